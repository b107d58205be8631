// Black-76 and its Greeks on registers: the work of the NumPy engine. See pricing/black76.py for the formulas.
//
// One exponential and one division for both probabilities. A value depends on its own arguments and not on where they stand,
// or a scenario that moves nothing would gain the last bit.
#pragma once

#include "elementary.h"

namespace {

constexpr double HUGE_DEVIATION = 24.0, LEAST_DEVIATION = 1e-150, MOST_DEVIATION = 80.0, FARTHEST = 1e10;
constexpr double INV_SQRT_2PI = 0.39894228040143267794, INFINITE = __builtin_inf(), NOT_A_NUMBER = __builtin_nan("");

// Half of s, and what a distance is multiplied by; no s is so small that this were infinite. A negative zero is zero.
struct Spread {
    V half, reciprocal;
    static inline Spread of(V s) {
        const V kept = greatest(least(s, splat(MOST_DEVIATION)), splat(0.0));
        return {splat(0.5) * kept, splat(1.0) / greatest(kept, splat(LEAST_DEVIATION))};
    }
};

// With m = min(F, K): side = h1, far = -h2, weight = exp(-h1^2/2), and of both tails what stands above and below the bar.
struct Outcome {
    V low, side, far, weight, near_above, near_below, far_above, far_below;

    INLINE Outcome(V forward, V strike, V distance, const Spread& spread) {
        low = least(forward, strike);
        const V h = least(distance * spread.reciprocal, splat(FARTHEST));
        side = spread.half - h;
        far = spread.half + h;
        const Pair tails(absolute(side), far), squares(side * side, far * far);
        weight = exponential(splat(-0.5) * squares.a);
        const Pair above = polynomial(TAIL_ABOVE, tails, squares), below = polynomial(TAIL_BELOW, tails, squares);
        near_above = above.a, near_below = below.a, far_above = above.b, far_below = below.b;
    }

    // `top` is what the option is worth at most: the forward of a call, the strike of a put. With h1 >= 0 the value is top less
    // m weight (near + far tail), else intrinsic value and m weight (near - far tail): the sign of h1 goes into the near one.
    inline V value(V top) const {
        const V above = fma(far_above, near_below, with_sign(near_above, side) * far_below);
        const V tails = above / (near_below * far_below), intrinsic = top - low;
        const V base = select(splat(0.0) <= side, top, intrinsic);
        return greatest(fma(low * weight, negative(tails), base), intrinsic);
    }
};

// |ln(F/K)|: of the quotient, which keeps the digits that a difference of logarithms loses near the strike.
inline V distance_of(V forward, V strike) {
    return absolute(logarithm(forward / strike));
}

inline Mask usable(V forward, V strike, V vol, V years) {
    const V lowest = least(least(forward, strike), least(vol, years));
    // sums and not minima tell what is no number
    return both(both(splat(0.0) <= lowest, splat(0.0) <= forward + strike), splat(0.0) <= vol + years);
}

// Arguments of an option in the order of pricing.price: forward, strike, vol, years, sign, discount.
struct Values {
    static constexpr int IN = 6, OUT = 1, TOGETHER = 1;
    static inline void at(const V* in, V* out) {
        const V forward = in[0], strike = in[1], s = in[2] * sqrt(in[3]);
        const Outcome outcome(forward, strike, distance_of(forward, strike), Spread::of(s));
        const V top = select(splat(0.0) < in[4], forward, strike);
        const V value = in[5] * select(splat(HUGE_DEVIATION) <= s, top, outcome.value(top));
        const V prices = forward + strike;
        const auto priced = both(both(splat(0.0) < prices, prices < splat(INFINITE)), splat(0.0) <= s);
        out[0] = select(both(usable(forward, strike, in[2], in[3]), priced), value, splat(NOT_A_NUMBER));
    }
};

// See pricing/greeks.py. F phi(d1) = m phi(h1), and d1, d2 are h1, h2 or, where the forward is the greater, -h2, -h1.
struct Greeks {
    static constexpr int IN = 6, OUT = 9, TOGETHER = 1;
    static inline void at(const V* in, V* out) {
        const V f = in[0], k = in[1], v = in[2], t = in[3], sign = in[4], d = in[5], zero = splat(0.0), one = splat(1.0);
        const V root = sqrt(t), s = v * root, spread = select(zero < least(f, k), s, zero);
        const auto live = zero < spread, below = f <= k;
        const Outcome o(f, k, select(equal(f, k), zero, distance_of(f, k)), Spread::of(spread));
        const V top = select(zero < sign, f, k);
        const V undiscounted = select(splat(HUGE_DEVIATION) <= s, top, o.value(top));
        const V value = d * select(zero < f + k, undiscounted, splat(NOT_A_NUMBER));
        const V money = splat(INV_SQRT_2PI) * o.low * o.weight, density = select(live, money / f, splat(0.0));
        const V d1 = select(below, o.side, o.far), d2 = negative(select(below, o.far, o.side));
        const V tail = o.weight * select(below, o.near_above / o.near_below, o.low / f * (o.far_above / o.far_below));
        const V probability = select(zero < sign * d1, one - tail, tail);
        const V rate = select(zero < t, negative(select(zero < d, logarithm(d), splat(NOT_A_NUMBER))) / t, zero);
        const V delta = d * sign * probability, vega = d * money * root, d2_by_vol = d2 / v;
        const V still = select(equal(f, k), splat(-0.5) * root, zero);  // the limit of d2 / vol at no vol
        const V at_no_vol = splat(INV_SQRT_2PI) * still;
        const auto alive = [&](V x) { return select(live, x, zero); };
        const V greeks[OUT] = {value,
                               delta,
                               alive(d * density / (f * s)),
                               vega,
                               rate * value - alive(d * money * v / (splat(2.0) * root)),
                               negative(t) * value,
                               negative(d) * select(live, density * d2_by_vol, at_no_vol),
                               alive(vega * d1 * d2 / v),
                               rate * delta + alive(d * density * d2 / (splat(2.0) * t))};
        const auto fine = both(usable(f, k, v, t), f + k + v + t + absolute(d) < splat(INFINITE));
        for (int i = 0; i < OUT; i++) out[i] = select(fine, greeks[i], splat(NOT_A_NUMBER));
    }
};

// One argument along a row: the same value for all scenarios, or one for each.
struct Along {
    const double* at;
    bool repeats;
    template <class Part>
    V operator()(int64_t i, Part part) const {
        return repeats ? splat(*at) : load(at + i, part);
    }
};

template <class F, int N, class Part>
inline void step(const Along* arguments, double* const* out, int64_t i, Part part) {
    V in[N][F::IN], found[N][F::OUT];
    for (int k = 0; k < N; k++)
        for (int a = 0; a < F::IN; a++) in[k][a] = arguments[a](i + k * W, part);
    if constexpr (F::TOGETHER == 1) F::at(in[0], found[0]);
    else F::at(in, found);
    for (int k = 0; k < N; k++)
        for (int a = 0; a < F::OUT; a++) store(out[a] + i + k * W, found[k][a], part);
}

template <class F>
Fault each(const Cells& c, int64_t first, int64_t last) {
    for (int64_t row = first; row < last; row++) {
        Along arguments[F::IN];
        double* out[F::OUT];
        for (int a = 0; a < F::IN; a++)
            arguments[a] = {reinterpret_cast<const double*>(c.in[a].at + row * c.in[a].down), c.in[a].along == 0};
        for (int a = 0; a < F::OUT; a++) out[a] = c.out + (a * c.rows + row) * c.columns;
        int64_t i = 0;
        for (constexpr int N = F::TOGETHER; i + N * W <= c.columns; i += N * W) step<F, N>(arguments, out, i, Whole{});
        for (; i < c.columns; i += W) step<F, 1>(arguments, out, i, Lanes(c.columns - i));
    }
    return NO_FAULT;
}

}  // namespace
