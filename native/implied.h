// Implied vol on registers: the problem and the three functions of pricing/implied.py, and Halley's steps inside a bracket.
//
// A lane that has its root stands still while the others go on, so that a root depends on its own price alone.
#pragma once

#include "black76.h"

namespace {

constexpr double LEAST_VOL = 1e-4, GREATEST_VOL = 20.0, NOISE = 0x1p-50, CONVERGED = 1e-7;
constexpr int MOST_ITERATIONS = 100, PATIENCE = 10;
enum Status { OK, BELOW_INTRINSIC, ABOVE_MAXIMUM, NOT_CONVERGED, INVALID, LEFT_ALONE };  // ImpliedVolStatus, and one more

template <class T>
inline T scaled_tail(T x) {
    return polynomial(TAIL_ABOVE, x, x * x) / polynomial(TAIL_BELOW, x, x * x);
}

// r(h - s/2) - r(h + s/2) for small s by Taylor's series about h up to s^9: a difference of tails would lose its digits.
inline V tail_difference(V h, V s) {
    const V half = splat(0.5) * s;
    V before = scaled_tail(h), current = fma(h, before, splat(-INV_SQRT_2PI)), term = half, total = current * term;
    for (int order = 1; order <= 7; order += 2) {
        before = fma(h, current, splat(order) * before);
        current = fma(h, before, splat(order + 1) * current);
        term = term * half * half * splat(1.0 / ((order + 1) * (order + 2)));
        total = fma(current, term, total);
    }
    return splat(-2.0) * total;
}

// The time value over m, one less that, its slope by s, and the second derivative over the first.
struct TimeValue {
    V value, complement, slope, curvature;

    INLINE TimeValue(V x, V s) {
        const V one = splat(1.0), per_s = one / s, h = least(x * per_s, splat(FARTHEST));
        const V h1 = splat(0.5) * s - h, far = splat(0.5) * s + h, weight = exponential(splat(-0.5) * h1 * h1);
        const Pair tails = scaled_tail(Pair(absolute(h1), far));
        const V both_tails = weight * (tails.a + tails.b);
        const auto above = splat(0.0) <= h1, small = both(s < splat(0.1), h < splat(4.0));
        value = select(above, one - both_tails, weight * (tails.a - tails.b));
        if (any(small)) value = select(small, weight * tail_difference(h, s), value);
        complement = select(both(above, negated(small)), both_tails, one - value);
        slope = splat(INV_SQRT_2PI) * weight;
        curvature = negative(h1) * far * per_s;
    }
};

// ln(1 + y) for y >= 0; what the sum 1 + y drops is put back.
inline V logarithm_of_one_and(V y) {
    const V sum = splat(1.0) + y;
    return logarithm(sum) + (y - (sum - splat(1.0))) / sum;
}

// Arguments: price, forward, strike, years, sign, discount. Answers: the vol, and its status as a number.
struct ImpliedVols {
    static constexpr int IN = 6, OUT = 2, TOGETHER = 2;
    V root_years, target, rest, x, low, high, log_target, s, status, root;
    Mask upper, lower, open;

    ImpliedVols() = default;
    INLINE explicit ImpliedVols(const V* in) {
        const V zero = splat(0.0), undiscounted = in[0] / in[5];
        root_years = sqrt(in[3]);
        const V m = least(in[1], in[2]), intrinsic = greatest(in[4] * (in[1] - in[2]), zero);
        target = (undiscounted - intrinsic) / m, rest = (m - (undiscounted - intrinsic)) / m;
        const V noise = splat(NOISE) * greatest(undiscounted, zero) / m;
        x = logarithm_of_one_and((greatest(in[1], in[2]) - m) / m);
        low = splat(LEAST_VOL) * root_years, high = splat(GREATEST_VOL) * root_years;
        const V inflection = sqrt(splat(2.0) * x);
        const TimeValue middle(x, greatest(inflection, low));
        const auto least_positive = least(m, least(in[3], in[5]));
        const auto valid = both(zero < least_positive, absolute(in[0]) + in[1] + in[2] + in[3] + in[5] < splat(INFINITE));
        Mask below = either(target <= zero, both(zero < intrinsic, target <= noise)), over = rest <= noise;
        upper = splat(0.5) < target, lower = both(target < splat(0.5) * middle.value, low < inflection);
        log_target = logarithm(select(upper, rest, target));
        // b(low) and 1 - b(high) are rarely near: b < 0.4 s, b < exp(-h1^2/2) where h1 < 0, 1 - b < exp(-h1^2/2) where h1 > 0,
        // and below one half from h1 = 0.68 on
        const V bottom = fma(splat(0.5), low, negative(x / low)), top = fma(splat(0.5), high, negative(x / high));
        const V at_bottom = greatest(splat(-0.5) * bottom * bottom, splat(-600.0)), at_top = splat(-0.5) * top * top;
        const Mask far_out = both(bottom < zero, either(upper, at_bottom < log_target));
        const Mask above_low = either(splat(0.4) * low < target, far_out);
        const Mask below_high = both(splat(0.68) < top, either(negated(upper), at_top < log_target));
        if (any(negated(above_low))) below = either(below, target < TimeValue(x, low).value);
        if (any(negated(below_high))) over = either(over, rest < TimeValue(x, high).complement);
        high = select(lower, least(high, inflection), high);
        status = select(below, splat(BELOW_INTRINSIC), select(over, splat(ABOVE_MAXIMUM), splat(NOT_CONVERGED)));
        // where b underflows in the search, NumPy has the finer exponential
        status = select(both(equal(status, splat(NOT_CONVERGED)), target < splat(1e-280)), splat(LEFT_ALONE), status);
        status = select(valid, status, splat(INVALID));

        // far below the inflection 1/ln b, above one half ln(1 - b), between b itself
        s = greatest(inflection, low) + (target - middle.value) / middle.slope;
        s = select(lower, x / sqrt(splat(-2.0) * log_target), s);
        // Polya: 2 Phi(s/2) - 1 is near sqrt(1 - exp(-s^2 / (2 pi)))
        s = select(upper, sqrt(splat(-6.283185307179586) * logarithm(rest * (splat(2.0) - rest))), s);
        s = select(both(low < s, s < high), s, sqrt(low * high));
        open = equal(status, splat(NOT_CONVERGED));
        root = splat(NOT_A_NUMBER);
    }

    INLINE void step(int iteration) {
        const V zero = splat(0.0), one = splat(1.0);
        const TimeValue now(x, s);
        const auto more = select(upper, now.complement - rest, target - now.value);
        low = select(zero < more, s, low), high = select(zero < more, high, s);
        const V amount = select(upper, now.complement, now.value), log_now = logarithm(amount);
        const V miss = select(upper, log_now - log_target, log_now * (one - log_now / log_target));
        const auto bent = either(upper, lower);
        const V newton = select(bent, miss * amount, target - now.value) / now.slope;
        const V ratio = now.slope / amount, straight = negative(ratio) * (one + splat(2.0) / log_now);
        const V curvature = now.curvature + select(upper, ratio, select(lower, straight, zero));
        const V factor = fma(splat(0.5) * newton, curvature, one);
        const V guess = s + select(splat(0.5) < factor, newton / factor, newton);
        auto inside = both(low <= guess, guess <= high);
        if (iteration > PATIENCE && iteration % 2) inside = both(inside, negated(inside));
        const V next = select(inside, guess, sqrt(low * high));
        const auto near = both(inside, absolute(next - s) <= splat(CONVERGED) * s);
        const auto found = both(open, either(near, high - low <= splat(NOISE) * high));
        root = select(found, next, root), status = select(found, splat(OK), status);
        open = both(open, negated(found));
        s = select(open, next, s);
    }

    // One search is a chain in which each step waits for the last: another, beside it, fills the gaps.
    template <int N>
    static inline void at(const V (&in)[N][IN], V (&out)[N][OUT]) {
        ImpliedVols search[N];
        for (int k = 0; k < N; k++) search[k] = ImpliedVols(in[k]);
        for (int iteration = 0; iteration < MOST_ITERATIONS; iteration++) {
            bool open = false;
            for (const ImpliedVols& one : search) open |= any(one.open);
            if (!open) break;
            for (ImpliedVols& one : search) one.step(iteration);
        }
        for (int k = 0; k < N; k++) out[k][0] = search[k].root / search[k].root_years, out[k][1] = search[k].status;
    }
};

}  // namespace
