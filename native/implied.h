// Implied vol on registers: the problem and the three functions of pricing/implied.py, and Halley's steps inside a
// bracket.
//
// A lane that has its root stands still while the others go on, so that a root depends on its own price alone.
#pragma once

#include "black76.h"

namespace {

constexpr double LEAST_VOL = 1e-4, GREATEST_VOL = 20.0, NOISE = 0x1p-50, CONVERGED = 1e-7;
constexpr int MOST_ITERATIONS = 100, PATIENCE = 10;
// ImpliedVolStatus, and one more
constexpr double OK = 0, BELOW_INTRINSIC = 1, ABOVE_MAXIMUM = 2, NOT_CONVERGED = 3, INVALID = 4, LEFT_ALONE = 5;

// r(h - s/2) - r(h + s/2) for small s by Taylor's series about h up to s^9: a difference of tails would lose its
// digits.
inline V tail_difference(V h, V s) {
    const V half = 0.5 * s;
    V before = polynomial(TAIL_ABOVE, h) / polynomial(TAIL_BELOW, h);
    V current = fma(h, before, splat(-INV_SQRT_2PI)), term = half, total = current * term;
    for (int order = 1; order <= 7; order += 2) {
        before = fma(h, current, static_cast<double>(order) * before);
        current = fma(h, before, (order + 1.0) * current);
        term = term * half * half * (1.0 / ((order + 1) * (order + 2)));
        total = fma(current, term, total);
    }
    return -2.0 * total;
}

// The time value over m, one less that, its slope by s, and the second derivative over the first.
struct TimeValue {
    V value, complement, slope, curvature;

    INLINE TimeValue(V x, V s) {
        const V per_s = 1.0 / s;
        const Outcome o(x, {0.5 * s, per_s});
        const Pair tails = o.above / o.below;
        const V both_tails = o.weight * (tails.a + tails.b);
        const Mask above = 0.0 <= o.side, small = (s < 0.1) & (o.h < 4.0);
        value = select(above, 1.0 - both_tails, o.weight * (tails.a - tails.b));
        if (any(small)) value = select(small, o.weight * tail_difference(o.h, s), value);
        complement = select(above & ~small, both_tails, 1.0 - value);
        slope = INV_SQRT_2PI * o.weight;
        curvature = -o.side * o.far * per_s;
    }
};

// Arguments: price, forward, strike, years, sign, discount. Answers: the vol, and its status as a number.
struct Search {
    V root_years, target, rest, x, low, high, log_target, s, status;
    Mask upper, lower, open;

    INLINE explicit Search(const V* in) {
        const V zero = splat(0.0), undiscounted = in[0] / in[5];
        root_years = sqrt(in[3]), low = LEAST_VOL * root_years, high = GREATEST_VOL * root_years;
        const V m = least(in[1], in[2]), intrinsic = greatest(in[4] * (in[1] - in[2]), zero);
        target = (undiscounted - intrinsic) / m, rest = (m - (undiscounted - intrinsic)) / m;
        const V noise = NOISE * greatest(undiscounted, zero) / m;
        // x = ln(1 + y); what the sum 1 + y drops is put back
        const V y = (greatest(in[1], in[2]) - m) / m, sum = 1.0 + y;
        x = logarithm(sum) + (y - (sum - 1.0)) / sum;
        const V inflection = sqrt(2.0 * x), start = greatest(inflection, low);
        const TimeValue middle(x, start);
        upper = 0.5 < target, lower = (target < 0.5 * middle.value) & (low < inflection);
        log_target = logarithm(select(upper, rest, target));

        Mask below = (target <= zero) | ((zero < intrinsic) & (target <= noise)), over = rest <= noise;
        // b(low) and 1 - b(high) are rarely near: b < 0.4 s, and above one half from h1 = 0.68 on
        if (any(~(0.4 * low < target))) below |= target < TimeValue(x, low).value;
        if (any(upper | ~(0.68 < 0.5 * high - x / high))) over |= rest < TimeValue(x, high).complement;
        high = select(lower, least(high, inflection), high);
        // where b underflows in the search, NumPy has the finer exponential
        status = select(over, splat(ABOVE_MAXIMUM), select(target < 1e-280, splat(LEFT_ALONE), splat(NOT_CONVERGED)));
        const Mask numbers = absolute(in[0]) + in[1] + in[2] + in[3] + in[5] < INFINITE;
        const Mask valid = numbers & (0.0 < least(m, least(in[3], in[5])));
        status = select(valid, select(below, splat(BELOW_INTRINSIC), status), splat(INVALID));
        open = status == NOT_CONVERGED;

        // far below the inflection 1/ln b, above one half ln(1 - b), between b itself
        s = select(lower, x / sqrt(-2.0 * log_target), start + (target - middle.value) / middle.slope);
        // Polya: 2 Phi(s/2) - 1 is near sqrt(1 - exp(-s^2 / (2 pi)))
        s = select(upper, sqrt(-6.283185307179586 * logarithm(rest * (2.0 - rest))), s);
        s = select((low < s) & (s < high), s, sqrt(low * high));
    }

    INLINE void step(int iteration) {
        const TimeValue now(x, s);
        const V more = select(upper, now.complement - rest, target - now.value);
        low = select(0.0 < more, s, low), high = select(0.0 < more, high, s);
        const V amount = select(upper, now.complement, now.value), log_now = logarithm(amount);
        const V miss = select(upper, log_now - log_target, log_now * (1.0 - log_now / log_target));
        const V newton = select(upper | lower, miss * amount, target - now.value) / now.slope;
        const V ratio = now.slope / amount, straight = -ratio * (1.0 + 2.0 / log_now);
        const V curvature = now.curvature + select(upper, ratio, select(lower, straight, splat(0.0)));
        const V factor = fma(0.5 * newton, curvature, splat(1.0));
        const V guess = s + select(0.5 < factor, newton / factor, newton);
        Mask inside = (low <= guess) & (guess <= high);
        if (iteration > PATIENCE && iteration % 2) inside = Mask{};
        const V next = any(open & ~inside) ? select(inside, guess, sqrt(low * high)) : guess;  // rarely: a root is dear
        const Mask near = inside & (absolute(next - s) <= CONVERGED * s);
        s = select(open, next, s);
        open &= ~(near | (high - low <= NOISE * high));
    }
};

// One search is a chain in which each step waits for the last: another, beside it, fills the gaps.
inline void implied_vols(const V (*in)[6], V (*out)[2]) {
    Search searches[] = {Search(in[0]), Search(in[1])};
    for (int iteration = 0; iteration < MOST_ITERATIONS && any(searches[0].open | searches[1].open); iteration++)
        for (Search& one : searches) one.step(iteration);
    for (const Search& one : searches) {
        const Mask found = (one.status == NOT_CONVERGED) & ~one.open;
        (*out)[0] = select(found, one.s / one.root_years, splat(NOT_A_NUMBER));
        (*out++)[1] = select(found, splat(OK), one.status);
    }
}

}  // namespace
