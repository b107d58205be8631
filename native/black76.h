// Black-76, its Greeks and implied vols on registers: the work of the NumPy engine. See pricing/black76.py for the
// formulas.
//
// One exponential and one division for both probabilities. A value depends on its own arguments and not on where they
// stand, or a scenario that moves nothing would gain the last bit.
#pragma once

#include "simd.h"

namespace {

constexpr double HUGE_DEVIATION = 24.0, LEAST_DEVIATION = 1e-150, MOST_DEVIATION = 80.0, FARTHEST = 1e10;
constexpr double INV_SQRT_2PI = 0.39894228040143267794, INFINITE = __builtin_inf(), NOT_A_NUMBER = __builtin_nan("");

// Half of s, and what a distance is multiplied by; no s is so small that this were infinite. A negative zero is zero.
struct Spread { V half, reciprocal; };
inline Spread spread_of(V s) {
    const V kept = greatest(least(s, splat(MOST_DEVIATION)), splat(0.0));
    return {0.5 * kept, 1.0 / greatest(kept, splat(LEAST_DEVIATION))};
}

// h = |ln(F/K)| / s, side = h1, far = -h2, weight = exp(-h1^2/2), and of both tails what stands above and below the
// bar.
struct Outcome {
    V h, side, far, weight;
    Pair above, below;

    INLINE Outcome(V distance, const Spread& spread)
        : h(least(distance * spread.reciprocal, splat(FARTHEST))), side(spread.half - h), far(spread.half + h),
          weight(exponential(-0.5 * (side * side))), above(polynomial(TAIL_ABOVE, Pair(absolute(side), far))),
          below(polynomial(TAIL_BELOW, Pair(absolute(side), far))) {}

    // `top` is what the option is worth at most: the forward of a call, the strike of a put; `low` the lesser of both,
    // m. With h1 >= 0 the value is top less m weight (near + far tail), else intrinsic value and m weight (near - far
    // tail): the sign of h1 goes into the near one.
    inline V value(V top, V low) const {
        const V tails = fma(above.b, below.a, with_sign(above.a, side) * below.b) / (below.a * below.b);
        const V intrinsic = top - low, base = select(0.0 <= side, top, intrinsic);
        return greatest(fma(low * weight, -tails, base), intrinsic);
    }
};

// An option by its arguments in the order of pricing.price: forward, strike, vol, years, sign, discount. The distance
// is that of the quotient, which keeps the digits that a difference of logarithms loses near the strike.
struct Priced {
    V root, s, spread, low, lowest, value;  // minima tell what is negative, sums what is no number
    Outcome o;

    INLINE explicit Priced(const V* in)
        : root(sqrt(in[3])), s(in[2] * root), spread(select(0.0 < least(in[0], in[1]), s, splat(0.0))),
          low(least(in[0], in[1])), lowest(least(low, least(in[2], in[3]))),
          o(select(in[0] == in[1], splat(0.0), absolute(logarithm(in[0] / in[1]))), spread_of(spread)) {
        const V top = select(0.0 < in[4], in[0], in[1]), prices = in[0] + in[1];
        const Mask priced = (0.0 <= lowest) & (0.0 < prices) & (prices < INFINITE) & (0.0 <= s);
        value = select(priced, in[5] * select(HUGE_DEVIATION <= s, top, o.value(top, low)), splat(NOT_A_NUMBER));
    }
};

inline void values(const V (*in)[6], V (*out)[1]) { out[0][0] = Priced(in[0]).value; }

// See pricing/greeks.py. F phi(d1) = m phi(h1), and d1, d2 are h1, h2 or, where the forward is the greater, -h2, -h1.
inline void greeks(const V (*in)[6], V (*out)[9]) {
    const V f = in[0][0], k = in[0][1], v = in[0][2], t = in[0][3], sign = in[0][4], d = in[0][5];
    const Priced p(in[0]);
    const Outcome& o = p.o;
    const Mask live = 0.0 < p.spread, below = f <= k;
    const auto alive = [&](V x) { return select(live, x, V{}); };
    const V money = INV_SQRT_2PI * p.low * o.weight, density = alive(money / f);
    const V d1 = select(below, o.side, o.far), d2 = -select(below, o.far, o.side);
    const V tail = o.weight * select(below, o.above.a / o.below.a, p.low / f * (o.above.b / o.below.b));
    const V probability = select(0.0 < sign * d1, 1.0 - tail, tail);
    const V rate = select(0.0 < t, -select(0.0 < d, logarithm(d), splat(NOT_A_NUMBER)) / t, V{});
    const V delta = d * sign * probability, vega = d * money * p.root, gamma = alive(d * density / (f * p.s));
    const V theta = rate * p.value - alive(d * money * v / (2.0 * p.root)), rho = -t * p.value;
    const V still = select(f == k, -0.5 * p.root, V{});  // the limit of d2 / vol at no vol
    const V vanna = -d * select(live, density * (d2 / v), INV_SQRT_2PI * still), volga = alive(vega * d1 * d2 / v);
    const V charm = rate * delta + alive(d * density * d2 / (2.0 * t));
    const V found[] = {p.value, delta, gamma, vega, theta, rho, vanna, volga, charm};
    const Mask fine = (0.0 <= p.lowest) & (f + k + v + t + absolute(d) < INFINITE);
    for (int i = 0; i < 9; i++) out[0][i] = select(fine, found[i], splat(NOT_A_NUMBER));
}

// N vectors of cells at a time, and as many answers for each as the function has.
template <int N, int ANSWERS, void (*answer)(const V (*in)[6], V (*out)[ANSWERS])>
int64_t each(const Cells& c, int64_t first, int64_t last) {
    for (int64_t row = first; row < last; row++) {
        for (int64_t begin = 0; begin < c.columns; begin += N * W) {
            const int64_t i = whole(begin, c.columns, N * W);
            V in[N][6], out[N][ANSWERS];
            for (int k = 0; k < N; k++)
                for (int a = 0; a < 6; a++)
                    in[k][a] = c.along[a] ? load(c.in[a] + row * c.down[a] + i + k * W)
                                          : splat(c.in[a][row * c.down[a]]);
            answer(in, out);
            for (int k = 0; k < N; k++)
                for (int a = 0; a < ANSWERS; a++) store(c.out + (a * c.rows + row) * c.columns + i + k * W, out[k][a]);
        }
    }
    return 0;
}

// --- implied vol: the problem and the three functions of pricing/implied.py, and Halley's steps inside a bracket. A
// lane that has its root stands still while the others go on, so that a root depends on its own price alone.

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
