// Black-76 and its Greeks on registers: the work of the NumPy engine. See pricing/black76.py for the formulas.
//
// One exponential and one division for both probabilities. A value depends on its own arguments and not on where they
// stand, or a scenario that moves nothing would gain the last bit.
#pragma once

#include "elementary.h"

namespace {

constexpr double HUGE_DEVIATION = 24.0, LEAST_DEVIATION = 1e-150, MOST_DEVIATION = 80.0, FARTHEST = 1e10;
constexpr double INV_SQRT_2PI = 0.39894228040143267794, INFINITE = __builtin_inf(), NOT_A_NUMBER = __builtin_nan("");

// Half of s, and what a distance is multiplied by; no s is so small that this were infinite. A negative zero is zero.
struct Spread {
    V half, reciprocal;
};
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
    const V zero = splat(0.0);
    const Priced p(in[0]);
    const Outcome& o = p.o;
    const Mask live = 0.0 < p.spread, below = f <= k;
    const auto alive = [&](V x) { return select(live, x, zero); };
    const V money = INV_SQRT_2PI * p.low * o.weight, density = alive(money / f);
    const V d1 = select(below, o.side, o.far), d2 = -select(below, o.far, o.side);
    const V tail = o.weight * select(below, o.above.a / o.below.a, p.low / f * (o.above.b / o.below.b));
    const V probability = select(0.0 < sign * d1, 1.0 - tail, tail);
    const V rate = select(0.0 < t, -select(0.0 < d, logarithm(d), splat(NOT_A_NUMBER)) / t, zero);
    const V delta = d * sign * probability, vega = d * money * p.root, gamma = alive(d * density / (f * p.s));
    const V theta = rate * p.value - alive(d * money * v / (2.0 * p.root)), rho = -t * p.value;
    const V still = select(f == k, -0.5 * p.root, zero);  // the limit of d2 / vol at no vol
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
                for (int a = 0; a < 6; a++) {
                    const double* at = c.in[a] + row * c.down[a];
                    in[k][a] = c.along[a] ? load(at + i + k * W) : splat(*at);
                }
            answer(in, out);
            for (int k = 0; k < N; k++)
                for (int a = 0; a < ANSWERS; a++) store(c.out + (a * c.rows + row) * c.columns + i + k * W, out[k][a]);
        }
    }
    return 0;
}

}  // namespace
