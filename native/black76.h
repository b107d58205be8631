// Black-76 on rows of options: the work of the NumPy engine on registers. See pricing/black76.py for the formulas.
//
// One exponential and one division for both probabilities; logarithm, root and reciprocal once a row where they stay.
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

// Where a value is not in [0, inf).
inline Mask unusable(V a) { return either(negated(splat(0.0) <= a), negated(a < splat(__builtin_inf()))); }

inline V distance_of(V forward, V strike) {
    const V ratio = least(greatest(forward / strike, splat(1e-300)), splat(1e300));
    return absolute(logarithm(ratio));
}

struct Spread {
    V s, half, reciprocal;
};

inline Spread spread_of(V vol, V root) {
    const V s = vol * root;
    const V kept = least(greatest(s, splat(LEAST_DEVIATION)), splat(MOST_DEVIATION));
    return {s, splat(0.5) * kept, splat(1.0) / kept};
}

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
          same_distance_(forward_.repeats() && strike_.repeats()), same_spread_(vol_.repeats() && years_.repeats()) {
        const Lanes one(1);
        root_ = sqrt(years_(0, one, !years_.repeats() && V::W <= count_));
        if (same_distance_) distance_ = distance_of(forward_(0, one, true), strike_(0, one, true));
        if (same_spread_) spread_ = spread_of(vol_(0, one, true), root_);
    }

    // False where an argument is no number, negative or infinite, or the value is no number.
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
        const V distance = same_distance_ ? distance_ : distance_of(forward, strike);
        const V root = years_.repeats() ? root_ : sqrt(years);
        const Spread spread = same_spread_ ? spread_ : spread_of(vol, root);
        const V value = discount * undiscounted(forward, strike, sign_(i, part, whole), distance, spread);
        strange_ = either(strange_, either(unusable(forward), unusable(strike)));
        strange_ = either(strange_, either(unusable(vol), unusable(years)));
        strange_ = either(strange_, either(unordered(forward / strike), unordered(discount)));
        return value;
    }

    const Along forward_, strike_, vol_, years_, sign_, discount_;
    double* const out_;
    const int64_t count_;
    const bool same_distance_, same_spread_;
    V root_{}, distance_{};
    Spread spread_{};
    Mask strange_ = none();
};

Fault options(const Options& o, int64_t first, int64_t last) {
    for (int64_t row = first; row < last; row++)
        if (o.scenarios && !OptionRow(o, row).run()) return {Wrong::number, row};
    return NO_FAULT;
}

}  // namespace
