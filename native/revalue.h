// Options under scenarios: value, and gain on today's, as scenarios/revalue.py wants them.
//
// A cell costs one exponential and one division. What it shares is computed before: logarithm and reciprocal of a move once for
// all rows with that move, deviations, discounts and ln(F/K) once for each option, for a vector of options at a time. Today is a
// scenario like any other, computed by the same operations: where nothing moves, the difference is nothing.
#pragma once

#include <vector>

#include "black76.h"

namespace {

// Scenarios in a row that share at most STATES vols, times and rates; state 0 is today's.
constexpr int STATES = 16;
struct Segment {
    int64_t first, last;
    int states;
    int64_t name[STATES];
    double time[STATES], rate[STATES];
};

class Revaluer {
public:
    explicit Revaluer(const Revaluation& r) : r_(r), state_(padded()) {
        for (std::vector<double>* row : {&ratio_, &move_, &inverse_, &log_, &money_}) row->assign(padded(), 1.0);
        segments_.push_back({0, 0, 1, {-1}, {0.0}, {0.0}});
        for (int64_t i = 0; i < r.scenarios; i++) plan(i);
    }

    // An option that is no number, negative, zero where it divides or out of range is not worth a number today.
    void run(int64_t first, int64_t last) {
        for (int64_t b = first; b < last; b += W) {
            const Lanes part(last - b);
            for (const Segment& segment : segments_) prepare(segment, b, part), rows(segment, b, part.n);
        }
    }

private:
    size_t padded() const { return static_cast<size_t>(r_.scenarios + W); }
    bool is(int which, int64_t contract) const { return r_.flags[which] != nullptr && r_.flags[which][contract] != 0; }

    void plan(int64_t i) {
        const double rate = r_.along[0][i], time = r_.along[2][i];
        const auto state_of = [&](const Segment& s) {
            int state = 1;
            while (state < s.states && (s.name[state] != r_.vol_of[i] || s.time[state] != time || s.rate[state] != rate)) state++;
            return state;
        };
        if (state_of(segments_.back()) == STATES) segments_.push_back({i, i, 1, {-1}, {0.0}, {0.0}});
        Segment& s = segments_.back();
        const int state = state_of(s);
        s.name[state] = r_.vol_of[i], s.time[state] = time, s.rate[state] = rate;
        s.states = state == s.states ? state + 1 : s.states;
        s.last = i + 1;
        state_[static_cast<size_t>(i)] = state;
    }

    // How far the underlying moves in the forward: the part of a settlement average that is known does not.
    static inline V moved(V spot, V basis, V years, V share) {
        return fma(share, spot * fma(basis, years, splat(1.0)), splat(1.0) - share);
    }

    void prepare(const Segment& segment, int64_t b, Lanes part) {
        const int64_t* const contract = r_.contract + b;
        const auto of = [&](int which) {
            double found[W] = {};
            for (int j = 0; j < part.n; j++) found[j] = r_.columns[which][contract[j]];
            return load(found);
        };
        const auto flagged = [&](int which) {
            double found[W] = {};
            for (int j = 0; j < part.n; j++) found[j] = is(which, contract[j]);
            return splat(0.0) < load(found);
        };
        const V forward = of(FORWARD), strike = of(STRUCK), years = of(YEARS);
        const V one = splat(1.0), zero = splat(0.0), share = (forward - of(FIXED)) / forward;
        const V still = moved(one, zero, years, share), log_ratio = logarithm(forward / strike);
        const Mask coin = flagged(INVERSE);
        const V by_forward = select(coin, one, forward), by_strike = select(coin, strike / forward, strike);
        const V product = forward * strike;
        Mask fine = both(splat(LEAST_NUMBER) < product, product < splat(GREATEST_NUMBER));
        fine = both(both(fine, zero < least(forward, strike)), both(zero <= years, both(zero <= share, share <= one)));
        V today = zero, left = zero, root = zero, weight = zero;
        for (int state = 0; state < segment.states; state++) {
            double vols[W] = {}, found[3][W];
            const int64_t name = segment.name[state];
            for (int j = 0; j < part.n; j++) vols[j] = name < 0 ? r_.columns[IV][contract[j]] : r_.vols[(b + j) * r_.names + name];
            // the last state's where time and rate are its own, too
            const bool anew = state == 0 || segment.time[state] != segment.time[state - 1];
            if (anew) {
                const V ahead = years - splat(segment.time[state]);
                fine = both(fine, ahead < splat(INFINITE));
                left = greatest(ahead, zero), root = sqrt(left);
            }
            if (state == 0 || (r_.discount && (anew || segment.rate[state] != segment.rate[state - 1]))) {
                weight = of(WEIGHT);
                if (r_.discount) {
                    const V rate = of(RATE) + splat(segment.rate[state]);
                    weight = weight * exponential(negative(greatest(rate, zero) * left));
                    fine = both(fine, rate < splat(INFINITE));
                }
            }
            const V vol = load(vols), s = vol * root;
            fine = both(fine, both(zero <= vol, s < splat(INFINITE)));
            Spread spread = Spread::of(s);
            spread.reciprocal = select(splat(HUGE_DEVIATION) <= s, zero, spread.reciprocal);  // then the value is its most
            if (state == 0) {
                const V f = by_forward * select(coin, one, still), k = by_strike * select(coin, one / still, one);
                const Outcome outcome(f, k, absolute(log_ratio + logarithm(still)), spread);
                today = outcome.value(select(flagged(CALL), f, k)) * weight;
            }
            store(found[0], spread.half), store(found[1], spread.reciprocal), store(found[2], weight);
            for (int j = 0; j < part.n; j++)
                for (int which = 0; which < 3; which++) table_[j][which][state] = found[which][j];
        }
        store(share_, share), store(log_ratio_, log_ratio), store(by_forward_, by_forward), store(by_strike_, by_strike);
        store(today_, select(fine, today, splat(NOT_A_NUMBER)));
    }

    void rows(const Segment& s, int64_t b, int count) {
        for (int j = 0; j < count; j++) {
            const int64_t contract = r_.contract[b + j];
            const double* spot = reinterpret_cast<const double*>(r_.spot + contract * r_.pitch);
            if (today_[j] != today_[j] || !move(s, spot, r_.columns[YEARS][contract], share_[j])) {
                r_.today[contract] = NOT_A_NUMBER;
                continue;
            }
            if (s.first == 0) r_.today[contract] = today_[j];
            const double* money = is(COIN, contract) ? ratio_.data() : nullptr;
            if (is(LINKED, contract)) {
                for (int64_t i = s.first; i < s.last; i++)
                    money_[static_cast<size_t>(i)] = (money == nullptr ? 1.0 : money[i]) * (1.0 + r_.along[3][i]);
                money = money_.data();
            }
            const Row row{j, is(CALL, contract), money, r_.shocked + contract * r_.scenarios,
                          r_.gain + contract * r_.scenarios};
            const bool inverse = is(INVERSE, contract), plain = money == nullptr && !r_.discount;
            if (inverse) plain ? along<true, true>(row, s) : along<true, false>(row, s);
            else plain ? along<false, true>(row, s) : along<false, false>(row, s);
        }
    }

    struct Row {
        int place;
        bool call;
        const double* money;
        double *shocked, *gain;
    };

    template <bool INVERSE_, bool PLAIN>
    void along(const Row& row, const Segment& s) {
        int64_t i = s.first;
        for (; i + W <= s.last; i += W) cell<INVERSE_, PLAIN>(row, i, Whole{});
        if (i < s.last) cell<INVERSE_, PLAIN>(row, i, Lanes(s.last - i));
    }

    // An inverse option's value over the forward is that of an option on 1 at K/F. A plain one's weight is always the same.
    template <bool INVERSE_, bool PLAIN, class Part>
    inline void cell(const Row& row, int64_t i, Part part) {
        const int j = row.place;
        const double(&table)[3][STATES] = table_[j];
        V forward = splat(by_forward_[j]), strike = splat(by_strike_[j]), weight = splat(table[2][0]);
        if (INVERSE_) strike = strike * load(inverse_.data() + i, part);
        else forward = forward * load(move_.data() + i, part);
        const V distance = absolute(splat(log_ratio_[j]) + load(log_.data() + i, part));
        const int64_t* state = state_.data() + i;
        const Outcome outcome(forward, strike, distance, {lookup(table[0], state), lookup(table[1], state)});
        if (!PLAIN) weight = lookup(table[2], state);
        V value = outcome.value(row.call ? forward : strike) * weight;
        if (!PLAIN && row.money != nullptr) value = value * load(row.money + i, part);
        store(row.shocked + i, value, part), store(row.gain + i, value - splat(today_[j]), part);
    }

    // Moves of the forward, unless they are those of the row before.
    bool move(const Segment& s, const double* spot, double years, double share) {
        const size_t bytes = static_cast<size_t>(s.last - s.first) * sizeof(double);
        const bool known = s.first == first_ && share == last_share_ && (years == years_ || flat_);
        if (known && (spot == spot_ || std::memcmp(spot + s.first, spot_ + s.first, bytes) == 0)) return true;
        spot_ = spot, first_ = s.first, years_ = years, last_share_ = share, flat_ = true;
        for (int64_t i = s.first; i < s.last; i += W) {
            const Lanes part(s.last - i);
            const V ratio = splat(1.0) + load(spot + i, part), basis = load(r_.along[1] + i, part);
            const V by = moved(ratio, basis, splat(years), splat(share));
            if (any(negated(equal(basis, splat(0.0))), part)) flat_ = false;
            if (any(negated(both(splat(1e-100) < by, by < splat(1e100))), part)) {
                first_ = -1;
                return false;
            }
            store(ratio_.data() + i, ratio), store(move_.data() + i, by), store(inverse_.data() + i, splat(1.0) / by),
                store(log_.data() + i, logarithm(by));
        }
        return true;
    }

    const Revaluation& r_;
    std::vector<Segment> segments_;
    std::vector<int64_t> state_;
    std::vector<double> ratio_, move_, inverse_, log_, money_;  // [scenarios], padded
    alignas(64) double table_[W][3][STATES] = {};           // half, reciprocal, weight
    alignas(64) double share_[W], log_ratio_[W], by_forward_[W], by_strike_[W], today_[W];
    const double* spot_ = nullptr;
    int64_t first_ = -1;
    double years_ = 0.0, last_share_ = 0.0;
    bool flat_ = false;
};

Fault revalue(const Revaluation& r, int64_t first, int64_t last) {
    Revaluer(r).run(first, last);
    return NO_FAULT;
}

}  // namespace
