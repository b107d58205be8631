// Options under scenarios: value, and gain on today's, as scenarios/revalue.py wants them.
//
// A cell costs one exponential and one division. What it shares is computed before: logarithm and reciprocal of a move
// once for all rows with that move, deviations, discounts and ln(F/K) once for each option, for a vector of options at
// a time. Today is a scenario like any other, computed by the same operations: where nothing moves, the difference is
// nothing.
#pragma once

#include "black76.h"

namespace {

struct Revaluer {
    enum { NONE, RATIO, PEG, RATIO_AND_PEG, MOVE, BACK, LOG, ROWS };
    const Revaluation& r;
    const int64_t width = r.last - r.first;
    int64_t option[W], contract[W];  // those in hand, past the last one that one again
    V share, log_ratio, forward, strike, today;
    alignas(64) double table[W][3][MOST_STATES];     // half, reciprocal and weight of each in every state
    alignas(64) double moves[ROWS][MOST_SCENARIOS];  // of the forward and of money
    const double* last_spot = nullptr;
    double last_years = 0.0, last_share = NOT_A_NUMBER;

    explicit Revaluer(const Revaluation& given) : r(given) {}

    // How far the underlying moves in the forward: the part of a settlement average that is known does not.
    static inline V moved(V spot, V basis, V years, V share) {
        return fma(share, spot * fma(basis, years, splat(1.0)), 1.0 - share);
    }

    // An option that is no number, negative, zero where it divides or out of range is not worth a number today.
    void prepare(int64_t first, int64_t last) {
        for (int j = 0; j < W; j++) option[j] = first + j < last ? first + j : last - 1;
        for (int j = 0; j < W; j++) contract[j] = r.contract[option[j]];
        const auto of = [&](int which) { return lanes([&](int j) { return r.columns[which][contract[j]]; }); };
        const auto flag = [&](int which) { return lanes([&](int j) { return r.flags[which][contract[j]]; }); };
        const V f = of(FORWARD), k = of(STRUCK), years = of(YEARS), rate = of(RATE), unit = of(WEIGHT);
        const V one = splat(1.0), zero = splat(0.0), product = f * k;
        const Mask inverse = flag(INVERSE) != 0.0;
        share = (f - of(FIXED)) / f, log_ratio = logarithm(f / k);
        forward = select(inverse, one, f), strike = select(inverse, k / f, k);
        Mask fine = (LEAST_NUMBER < product) & (product < GREATEST_NUMBER) & (0.0 < least(f, k));
        fine &= (0.0 <= years) & (0.0 <= share) & (share <= 1.0);
        for (int64_t state = 0; state < r.states; state++) {
            const int64_t name = r.vol_of[state];
            const V vol = name < 0 ? of(IV) : lanes([&](int j) { return r.vols[option[j] * r.names + name]; });
            const V ahead = years - r.time[state], left = greatest(ahead, zero), s = vol * sqrt(left);
            const V shifted = r.discount ? rate + r.rate[state] : zero;
            const V weight = r.discount ? unit * exponential(-greatest(shifted, zero) * left) : unit;
            fine &= (ahead < INFINITE) & (0.0 <= vol) & (s < INFINITE) & (shifted < INFINITE);
            Spread spread = spread_of(s);
            spread.reciprocal = select(HUGE_DEVIATION <= s, zero, spread.reciprocal);  // then the value is its most
            if (state == 0) {
                const V still = moved(one, zero, years, share);
                const V now = forward * select(inverse, one, still), back = strike * select(inverse, one / still, one);
                const Outcome outcome(absolute(log_ratio + logarithm(still)), spread);
                today = outcome.value(select(flag(CALL) != 0.0, now, back), least(now, back)) * weight;
            }
            const V found[] = {spread.half, spread.reciprocal, weight};
            for (int j = 0; j < W; j++)
                for (int which = 0; which < 3; which++) table[j][which][state] = found[which][j];
        }
        today = select(fine, today, splat(NOT_A_NUMBER));
    }

    // Moves of the forward, and of money with the coin and the peg, unless they are those of the row before. Returns
    // whether all are in range.
    bool move(const double* spot, double years, double share_now) {
        const bool known = share_now == last_share && (years == last_years || r.flat);
        if (known && (spot == last_spot || std::memcmp(spot, last_spot, width * sizeof(double)) == 0)) return true;
        Mask strange{};
        for (int64_t begin = 0; begin < width; begin += W) {
            const int64_t i = whole(begin, width);
            const V ratio = 1.0 + load(spot + i), peg = 1.0 + load(r.peg + r.first + i);
            const V by = moved(ratio, load(r.basis + r.first + i), splat(years), splat(share_now));
            const V found[ROWS] = {splat(1.0), ratio, peg, ratio * peg, by, 1.0 / by, logarithm(by)};
            for (int row = 0; row < ROWS; row++) store(moves[row] + i, found[row]);
            strange |= ~((1e-100 < by) & (by < 1e100));
        }
        last_spot = spot, last_years = years, last_share = any(strange) ? NOT_A_NUMBER : share_now;
        return last_share == share_now;
    }

    // The j-th option in hand: whether it is left alone, as it stays where earlier scenarios left it so. An inverse
    // one's value over the forward is that of an option on 1 at K/F.
    bool row(int j) {
        const int64_t c = contract[j];
        const bool fine = today[j] == today[j] && (r.first == 0 || r.today[c] == r.today[c]);
        const bool known = fine && move(r.spot + c * r.pitch + r.first, r.columns[YEARS][c], share[j]);
        r.today[c] = known ? today[j] : NOT_A_NUMBER;
        if (!known) return true;
        const bool call = r.flags[CALL][c], inverse = r.flags[INVERSE][c];
        const bool coin = r.flags[COIN][c], linked = r.flags[LINKED][c];
        const double *const up = moves[inverse ? NONE : MOVE], *const down = moves[inverse ? BACK : NONE];
        double *const gain = r.cells + c * r.scenarios + r.first, *const shocked = gain + r.contracts * r.scenarios;
        for (int64_t begin = 0; begin < width; begin += W) {
            const int64_t i = whole(begin, width), *const state = r.state + i;
            const V now = forward[j] * load(up + i), back = strike[j] * load(down + i);
            const Spread spread = {lookup(table[j][0], state), lookup(table[j][1], state)};
            const Outcome outcome(absolute(log_ratio[j] + load(moves[LOG] + i)), spread);
            const V money = load(moves[coin + 2 * linked] + i);
            const V value = outcome.value(call ? now : back, least(now, back)) * lookup(table[j][2], state) * money;
            store(shocked + i, value), store(gain + i, value - today[j]);
        }
        return false;
    }
};

// Returns how many options are left alone.
int64_t revalue(const Revaluation& r, int64_t first, int64_t last) {
    Revaluer revaluer(r);
    int64_t alone = 0;
    for (int64_t b = first; b < last; b += W) {
        revaluer.prepare(b, last);
        for (int j = 0; j < W && b + j < last; j++) alone += revaluer.row(j);
    }
    return alone;
}

}  // namespace
