// Black-76 on rows of options: the work of the NumPy engine on registers. See pricing/black76.py for the formulas.
//
// One exponential and one division for both probabilities; what stays along a row is computed once. It is computed by the
// same operations: a value depends on its own arguments and not on where they stand, or a scenario that moves nothing
// would gain the last bit.
#pragma once

#include "elementary.h"
#include "simd.h"
#include "table.h"

namespace {

constexpr double HUGE_DEVIATION = 24.0, LEAST_DEVIATION = 1e-150, MOST_DEVIATION = 80.0, FARTHEST = 1e10;

// One argument along a row: the same value for all scenarios, or one for each.
class Along {
public:
    Along(const Grid& grid, int64_t row)
        : at_(reinterpret_cast<const double*>(grid.at + row * grid.down)), repeats_(grid.along == 0) {}
    bool repeats() const { return repeats_; }
    inline V operator()(int64_t i, Lanes part, bool whole) const {
        if (repeats_) return splat(*at_);
        return whole ? load(at_ + i) : load(at_ + i, part);
    }

private:
    const double* at_;
    bool repeats_;
};

constexpr double LEAST_PRICE = 1e-300;  // stands for zero in a logarithm

inline V log_price(V price) { return logarithm(greatest(price, splat(LEAST_PRICE))); }

struct Spread {
    V s, half, reciprocal;
    static inline Spread of(V s) {
        const V kept = least(greatest(s, splat(LEAST_DEVIATION)), splat(MOST_DEVIATION));
        return {s, splat(0.5) * kept, splat(1.0) / kept};
    }
};

// m Phi(h1) - M Phi(h2), within [0, m].
inline V out_of_the_money(V low, V distance, const Spread& spread) {
    const V h = least(distance * spread.reciprocal, splat(FARTHEST));
    const V side = spread.half - h, far = spread.half + h;
    const V near = absolute(side);
    const V density = low * exponential(splat(-0.5) * side * side);
    const V below_near = polynomial(TAIL_BELOW, near), below_far = polynomial(TAIL_BELOW, far);
    const V above_near = with_sign(polynomial(TAIL_ABOVE, near), side) * below_far;
    const V above = fma(polynomial(TAIL_ABOVE, far), below_near, above_near);
    const V tails = density * (above / (below_near * below_far));
    const V value = select(splat(0.0) <= side, low, splat(0.0)) - tails;
    return least(greatest(value, splat(0.0)), low);
}

inline V undiscounted(V forward, V strike, V sign, V distance, const Spread& spread) {
    const V low = least(forward, strike);
    const V intrinsic = greatest(sign * (forward - strike), splat(0.0));
    const V value = intrinsic + out_of_the_money(low, distance, spread);
    const V most = select(splat(0.0) < sign, forward, strike);
    return select(splat(HUGE_DEVIATION) <= spread.s, most, value);
}

class OptionRow {
public:
    OptionRow(const Options& o, int64_t row)
        : forward_(o.forward, row), strike_(o.strike, row), vol_(o.vol, row), years_(o.years, row), sign_(o.sign, row),
          discount_(o.discount, row), out_(o.out + row * o.scenarios), count_(o.scenarios),
          same_spread_(vol_.repeats() && years_.repeats()) {
        const Lanes one(1);
        if (strike_.repeats()) log_strike_ = log_price(strike_(0, one, true));
        if (years_.repeats()) root_ = sqrt(years_(0, one, true));
        if (same_spread_) spread_ = Spread::of(vol_(0, one, true) * root_);
    }

    // False where an argument is no number, negative or infinite, or both prices are zero.
    bool run() {
        int64_t i = 0;
        for (; i + V::W <= count_; i += V::W) store(out_ + i, cell(i, Lanes(V::W), true));
        if (any(strange_)) return false;
        if (i == count_) return true;
        const Lanes part(static_cast<int>(count_ - i));
        store(out_ + i, cell(i, part, false), part);
        return !any(strange_, part);
    }

private:
    inline V cell(int64_t i, Lanes part, bool whole) {
        const V forward = forward_(i, part, whole), strike = strike_(i, part, whole), vol = vol_(i, part, whole);
        const V years = years_(i, part, whole), discount = discount_(i, part, whole);
        const Spread spread = same_spread_ ? spread_ : Spread::of(vol * (years_.repeats() ? root_ : sqrt(years)));
        const V log_strike = strike_.repeats() ? log_strike_ : log_price(strike);
        check(forward, strike, vol, years, spread.s, discount);
        const V distance = absolute(log_price(forward) - log_strike);
        return discount * undiscounted(forward, strike, sign_(i, part, whole), distance, spread);
    }

    inline void check(V forward, V strike, V vol, V years, V s, V discount) {
        const V zero = splat(0.0), prices = forward + strike;
        const Mask low = either(negated(zero <= least(forward, strike)), negated(zero <= least(vol, years)));
        const Mask far = either(negated(prices < splat(__builtin_inf())), negated(s < splat(__builtin_inf())));
        const Mask none_given = either(negated(zero < prices), unordered(discount, prices));
        strange_ = either(strange_, either(either(low, far), none_given));
    }

    const Along forward_, strike_, vol_, years_, sign_, discount_;
    double* const out_;
    const int64_t count_;
    const bool same_spread_;
    V root_{}, log_strike_{};
    Spread spread_{};
    Mask strange_ = none();
};

Fault options(const Options& o, int64_t first, int64_t last) {
    for (int64_t row = first; row < last; row++)
        if (o.scenarios && !OptionRow(o, row).run()) return {Wrong::number, row};
    return NO_FAULT;
}

}  // namespace
