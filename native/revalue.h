// Options under scenarios: value, and gain on today's, as scenarios/revalue.py wants them.
//
// A cell costs one exponential and one division. What it shares is computed before: logarithm and reciprocal of a move once for
// all rows with that move, deviations, discounts and ln(F/K) once for each option, for a vector of options at a time. Today is a
// scenario like any other, computed by the same operations: where nothing moves, the difference is nothing.
#pragma once

#include "black76.h"

namespace {

class Revaluer {
public:
    explicit Revaluer(const Revaluation& r) : r_(r), width_(r.last - r.first) {}

    // Returns how many options are left alone: what is no number, negative, zero where it divides or out of range is not worth
    // a number today.
    int64_t run(int64_t first, int64_t last) {
        int64_t alone = 0;
        for (int64_t b = first; b < last; b += W) {
            for (int j = 0; j < W; j++) option_[j] = b + j < last ? b + j : last - 1;  // past the last one that one again
            for (int j = 0; j < W; j++) contract_[j] = r_.contract[option_[j]];
            prepare();
            for (int j = 0; j < W && b + j < last; j++) alone += row(contract_[j], j);
        }
        return alone;
    }

private:
    // How far the underlying moves in the forward: the part of a settlement average that is known does not.
    static inline V moved(V spot, V basis, V years, V share) {
        return fma(share, spot * fma(basis, years, splat(1.0)), 1.0 - share);
    }

    void prepare() {
        const auto of = [&](int which) { return lanes([&](int j) { return r_.columns[which][contract_[j]]; }); };
        const auto is = [&](int which) { return lanes([&](int j) { return r_.flags[which][contract_[j]] ? 1.0 : 0.0; }) != 0.0; };
        const V forward = of(FORWARD), strike = of(STRUCK), years = of(YEARS), rate = of(RATE), unit = of(WEIGHT);
        const V one = splat(1.0), zero = splat(0.0), product = forward * strike;
        const Mask inverse = is(INVERSE);
        share_ = (forward - of(FIXED)) / forward, log_ratio_ = logarithm(forward / strike);
        forward_ = select(inverse, one, forward), strike_ = select(inverse, strike / forward, strike);
        Mask fine = (LEAST_NUMBER < product) & (product < GREATEST_NUMBER) & (0.0 < least(forward, strike));
        fine &= (0.0 <= years) & (0.0 <= share_) & (share_ <= 1.0);
        V today = zero;
        for (int64_t state = 0; state < r_.states; state++) {
            const int64_t name = r_.vol_of[state];
            const V vol = name < 0 ? of(IV) : lanes([&](int j) { return r_.vols[option_[j] * r_.names + name]; });
            const V ahead = years - r_.time[state], left = greatest(ahead, zero), s = vol * sqrt(left);
            const V shifted = r_.discount ? rate + r_.rate[state] : zero;
            const V weight = r_.discount ? unit * exponential(-greatest(shifted, zero) * left) : unit;
            fine &= (ahead < INFINITE) & (0.0 <= vol) & (s < INFINITE) & (shifted < INFINITE);
            Spread spread = Spread::of(s);
            spread.reciprocal = select(HUGE_DEVIATION <= s, zero, spread.reciprocal);  // then the value is its most
            if (state == 0) {
                const V still = moved(one, zero, years, share_);
                const V f = forward_ * select(inverse, one, still), k = strike_ * select(inverse, one / still, one);
                const Outcome outcome(f, k, absolute(log_ratio_ + logarithm(still)), spread);
                today = outcome.value(select(is(CALL), f, k)) * weight;
            }
            const V found[] = {spread.half, spread.reciprocal, weight};
            for (int j = 0; j < W; j++)
                for (int which = 0; which < 3; which++) table_[j][which][state] = found[which][j];
        }
        today_ = select(fine, today, splat(NOT_A_NUMBER));
    }

    // The j-th option prepared. An inverse one's value over the forward is that of an option on 1 at K/F.
    bool row(int64_t contract, int j) {
        const double today = today_[j];
        double& stated = r_.today[contract];
        const bool before = r_.first == 0 || stated == stated;  // earlier scenarios did not leave it alone
        const bool known = before && today == today && move(r_.spot + contract * r_.pitch, r_.columns[YEARS][contract], share_[j]);
        stated = known ? today : NOT_A_NUMBER;
        if (!known) return true;
        const double(&table)[3][MOST_STATES] = table_[j];
        const bool call = r_.flags[CALL][contract], inverse = r_.flags[INVERSE][contract];
        const double *const up = moves_[inverse ? NONE : MOVE], *const down = moves_[inverse ? BACK : NONE];
        const double* const money = moves_[r_.flags[COIN][contract] + 2 * r_.flags[LINKED][contract]];
        double* const gain = r_.cells + contract * r_.scenarios + r_.first;
        double* const shocked = gain + r_.contracts * r_.scenarios;
        for (int64_t begin = 0; begin < width_; begin += W) {
            const int64_t i = begin + W <= width_ ? begin : width_ - W, *const state = r_.state + i;
            const V forward = forward_[j] * load(up + i), strike = strike_[j] * load(down + i);
            const Spread spread = {lookup(table[0], state), lookup(table[1], state)};
            const Outcome outcome(forward, strike, absolute(log_ratio_[j] + load(moves_[LOG] + i)), spread);
            const V value = outcome.value(call ? forward : strike) * lookup(table[2], state) * load(money + i);
            store(shocked + i, value), store(gain + i, value - today);
        }
        return false;
    }

    // Moves of the forward, and of the money's coin and peg, unless they are those of the row before; whether all are in range.
    bool move(const double* spot, double years, double share) {
        const bool known = share == last_share_ && (years == years_ || r_.flat);
        spot += r_.first;
        if (known && (spot == spot_ || std::memcmp(spot, spot_, static_cast<size_t>(width_) * sizeof(double)) == 0)) return true;
        spot_ = spot, years_ = years, last_share_ = share;
        Mask strange{};
        for (int64_t begin = 0; begin < width_; begin += W) {
            const int64_t i = begin + W <= width_ ? begin : width_ - W;
            const V ratio = 1.0 + load(spot + i), peg = 1.0 + load(r_.peg + r_.first + i);
            const V by = moved(ratio, load(r_.basis + r_.first + i), splat(years), splat(share));
            const V rows[] = {splat(1.0), ratio, peg, ratio * peg, by, 1.0 / by, logarithm(by)};
            for (int k = 0; k < ROWS; k++) store(moves_[k] + i, rows[k]);
            strange |= ~((1e-100 < by) & (by < 1e100));
        }
        if (any(strange)) last_share_ = NOT_A_NUMBER;
        return last_share_ == share;
    }

    enum { NONE, RATIO, PEG, RATIO_AND_PEG, MOVE, BACK, LOG, ROWS };
    const Revaluation& r_;
    const int64_t width_;
    int64_t option_[W], contract_[W];
    V share_, log_ratio_, forward_, strike_, today_;        // of the options prepared
    alignas(64) double table_[W][3][MOST_STATES];  // half, reciprocal and weight in each state
    alignas(64) double moves_[ROWS][MOST_SCENARIOS];
    const double* spot_ = nullptr;
    double years_ = 0.0, last_share_ = NOT_A_NUMBER;
};

int64_t revalue(const Revaluation& r, int64_t first, int64_t last) { return Revaluer(r).run(first, last); }

}  // namespace
