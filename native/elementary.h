// exp, log and the normal tail on a vector or a pair, by one fixed sequence of operations each: no branch and no table.
#pragma once

#include "pair.h"

namespace {

// Even and odd powers apart: two chains of half the length.
template <class T, int N>
inline T polynomial(const double (&lowest_first)[N], T x) {
    const T square = x * x;
    T one = splat(lowest_first[N - 1]), other = splat(lowest_first[N - 2]);
#pragma GCC unroll 8
    for (int i = N - 3; i > 0; i -= 2) {
        one = fma(one, square, splat(lowest_first[i]));
        other = fma(other, square, splat(lowest_first[i - 1]));
    }
    if (N % 2 == 0) return fma(one, x, other);
    one = fma(one, square, splat(lowest_first[0]));
    return fma(other, x, one);
}

constexpr double LN2_HIGH = 0x1.62e42fefa39efp-1, LN2_LOW = 0x1.abc9e3b39803fp-56;

// Taylor's series to the 13th power on |r| <= ln(2)/2: what is left out is below 5e-18 of the value.
constexpr double EXP[] = {1.0,           1.0,            1.0 / 2,         1.0 / 6,    1.0 / 24,
                          1.0 / 120,     1.0 / 720,      1.0 / 5040,      1.0 / 40320, 1.0 / 362880,
                          1.0 / 3628800, 1.0 / 39916800, 1.0 / 479001600, 1.0 / 6227020800.0};

// x times 2 to the power that stands in the low bits of `shifted`.
inline V scaled(V x, V shifted) { return real(bits(x) + (bits(shifted) << 52)); }
ON_BOTH_2(Pair, scaled)

// exp(x) for x <= 700; 0 below -708. The power of two is read from the low bits of x / ln 2 + 1.5 * 2^52.
template <class T>
inline T exponential(T x) {
    const T shifted = fma(x, splat(0x1.71547652b82fep0), splat(0x1.8p52));
    const T power = shifted - splat(0x1.8p52);
    const T r = fma(power, splat(-LN2_LOW), fma(power, splat(-LN2_HIGH), x));
    return select(x < splat(-708.0), splat(0.0), scaled(polynomial(EXP, r), shifted));
}

// W. J. Cody's form as FreeBSD's e_log.c has it: log(1 + f) = f - (f^2/2 - s (f^2/2 + R)), s = f / (2 + f).
constexpr double LOG[] = {0.0,
                          6.666666666666735130e-01,
                          3.999999999940941908e-01,
                          2.857142874366239149e-01,
                          2.222219843214978396e-01,
                          1.818357216161805012e-01,
                          1.531383769920937332e-01,
                          1.479819860511658591e-01};

// x = 2^power (1 + f), f in [sqrt(1/2) - 1, sqrt(2) - 1].
inline U lifted(V x) { return bits(x) + (0x3ff0000000000000ull - 0x3fe6a09e667f3bcdull); }
inline V power_of(V x) { return real((lifted(x) >> 52) | 0x4330000000000000ull) - splat(0x1.0p52 + 1023.0); }
inline V fraction_of(V x) {
    return real(bits(x) - (lifted(x) & 0xfff0000000000000ull) + 0x3ff0000000000000ull) - splat(1.0);
}
ON_BOTH(power_of) ON_BOTH(fraction_of)

constexpr double LEAST_NUMBER = 1e-300, GREATEST_NUMBER = 1e300;

// log(x) within one unit in the last place; what is below 1e-300 or no number counts as that, what is above as 1e300.
template <class T>
inline T logarithm(T argument) {
    const T x = least(greatest(argument, splat(LEAST_NUMBER)), splat(GREATEST_NUMBER));
    const T power = power_of(x), f = fraction_of(x), s = f / (splat(2.0) + f), half_square = splat(0.5) * f * f;
    const T low = fma(s, half_square + polynomial(LOG, s * s), power * splat(LN2_LOW));
    return fma(power, splat(LN2_HIGH), f - (half_square - low));
}

// exp(x^2/2) Phi(-x) = TAIL_ABOVE / TAIL_BELOW for x >= 0; the fit of kernels/normal_tail.py.
constexpr double TAIL_ABOVE[] = {0.49999999999999997303,    0.7755011671045790662,     0.59495588388097160356,
                                 0.28998287971556817756,    0.097991439064504673517,   0.023711736065036621162,
                                 0.0041082990648092363093,  0.00049316541485211710446, 0.000037503998398520883958,
                                 1.3968407461384080995e-6};
constexpr double TAIL_BELOW[] = {1.0,
                                 2.3488868950120128643,
                                 2.5640523563645478549,
                                 1.7173016204220165356,
                                 0.78387867868487739412,
                                 0.25573806199478797895,
                                 0.060665688118990851523,
                                 0.010391987168713218518,
                                 0.0012396837336342859596,
                                 0.000094008582795474982055,
                                 3.501360509436601581e-6};

}  // namespace
