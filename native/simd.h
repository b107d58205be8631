// A vector of doubles as wide as the instruction set: the compiler's own vector type, and what that type lacks. With
// two lanes (NEON, and `narrow`, which tests it on x86) no intrinsic is named: the compiler finds the instructions.
//
// Everything lives in an unnamed namespace: the same source is compiled once for each level, and no level may lend its
// code to another. Tests hold the levels to the same bits.
#pragma once

#include <cstdint>
#include <cstring>

#include "arguments.h"

#define INLINE inline __attribute__((always_inline))

#if LANES == 8
#include <immintrin.h>
#define WIDE_(name) _mm512_##name
#elif LANES == 4
#include <immintrin.h>
#define WIDE_(name) _mm256_##name
#endif

constexpr int W = LANES;  // doubles in a vector, as CMakeLists.txt says

namespace {

typedef double V __attribute__((vector_size(W * 8)));
typedef uint64_t U __attribute__((vector_size(W * 8)));
typedef double Unaligned __attribute__((vector_size(W * 8), aligned(8), may_alias));
using Mask = decltype(V{} < V{});  // all ones or zeros for each lane

template <class F>
inline V lanes(const F& value_of) {
    V v;
    for (int i = 0; i < W; i++) v[i] = value_of(i);
    return v;
}

inline V load(const double* p) { return *reinterpret_cast<const Unaligned*>(p); }
inline void store(double* p, V v) { *reinterpret_cast<Unaligned*>(p) = v; }
// Rows are read as whole vectors: where one does not end with one, its last begins earlier and does some cells once
// more.
inline int64_t whole(int64_t begin, int64_t end, int64_t wide = W) { return begin + wide <= end ? begin : end - wide; }
inline V splat(double d) { return d - V{}; }
inline V select(Mask m, V a, V b) { return m ? a : b; }
inline V sqrt(V a) { return lanes([&](int i) { return __builtin_sqrt(a[i]); }); }
#if defined(WIDE_)
inline V fma(V a, V b, V c) { return WIDE_(fmadd_pd)(a, b, c); }
inline V least(V a, V b) { return WIDE_(min_pd)(a, b); }
inline V greatest(V a, V b) { return WIDE_(max_pd)(a, b); }
#else
inline V fma(V a, V b, V c) { return lanes([&](int i) { return __builtin_fma(a[i], b[i], c[i]); }); }
inline V least(V a, V b) { return a < b ? a : b; }
inline V greatest(V a, V b) { return a > b ? a : b; }
#endif
inline double lowest_lane(V a) {
    for (int i = 1; i < W; i++) a[0] = a[i] < a[0] ? a[i] : a[0];
    return a[0];
}

#if LANES == 8
inline __mmask8 lanes_of(Mask m) { return _mm512_movepi64_mask(reinterpret_cast<__m512i>(m)); }
inline bool any(Mask m) { return lanes_of(m) != 0; }
// table[index] for a table of 16; two registers and a permutation, as gathers are slow on many processors
inline V lookup(const double* table, const int64_t* index) {
    return _mm512_permutex2var_pd(load(table), _mm512_loadu_si512(index), load(table + 8));
}
inline int compress(V a, Mask m, double* to) {  // in a register and then stored: to memory it is slow on Zen 4
    store(to, _mm512_maskz_compress_pd(lanes_of(m), a));
    return __builtin_popcount(lanes_of(m));
}
#else
#if LANES == 4
inline bool any(Mask m) { return _mm256_movemask_pd(reinterpret_cast<V>(m)) != 0; }
#else
inline bool any(Mask m) { return (m[0] | m[1]) != 0; }
#endif
inline V lookup(const double* table, const int64_t* index) { return lanes([&](int i) { return table[index[i]]; }); }
inline int compress(V a, Mask m, double* to) {
    int n = 0;
    for (int i = 0; i < W; n -= m[i++]) to[n] = a[i];
    return n;
}
#endif

inline U bits(V a) { return reinterpret_cast<U>(a); }
inline V real(U a) { return reinterpret_cast<V>(a); }
constexpr uint64_t SIGN = 0x8000000000000000ull;

inline Mask before(int64_t lane) { return lanes([](int i) { return 1.0 * i; }) < 1.0 * lane; }  // the first lanes
inline Mask unordered(V a) { return a != a; }
inline V absolute(V a) { return real(bits(a) & ~SIGN); }
inline V with_sign(V magnitude, V sign) { return real((bits(magnitude) & ~SIGN) | (bits(sign) & SIGN)); }

// --- exp, log and the normal tail on a vector, by one fixed sequence of operations each: no branch and no table

// Two arguments of one polynomial: the second chain of multiply-adds fills the gaps of the first, and each coefficient
// is read once.
struct Pair {
    V a, b;
    Pair(V one, V other) : a(one), b(other) {}
    Pair(V same) : Pair(same, same) {}
};
inline Pair operator*(Pair x, Pair y) { return {x.a * y.a, x.b * y.b}; }
inline Pair operator/(Pair x, Pair y) { return {x.a / y.a, x.b / y.b}; }
inline Pair fma(Pair x, Pair y, Pair z) { return {fma(x.a, y.a, z.a), fma(x.b, y.b, z.b)}; }

// Even and odd powers apart: two chains of half the length. Coefficients are read where they are used: held through a
// loop they would not fit the registers, and before its first round all would be put on the stack.
template <class T, int N>
INLINE T polynomial(const double (&coefficients)[N], T x) {
    const double* lowest_first = coefficients;
    __asm__("" : "+r"(lowest_first));
    const T square = x * x;
    T chain[] = {splat(lowest_first[(N - 1) & ~1]), splat(lowest_first[(N - 2) | 1])};
#pragma GCC unroll 16
    for (int i = N - 3; i >= 0; i--) chain[i % 2] = fma(chain[i % 2], square, splat(lowest_first[i]));
    return fma(chain[1], x, chain[0]);
}

constexpr double LN2_HIGH = 0x1.62e42fefa39efp-1, LN2_LOW = 0x1.abc9e3b39803fp-56;

// Taylor's series to the 13th power on |r| <= ln(2)/2: what is left out is below 5e-18 of the value.
constexpr double EXP[] = {1.0, 1.0, 1.0 / 2, 1.0 / 6, 1.0 / 24, 1.0 / 120, 1.0 / 720, 1.0 / 5040, 1.0 / 40320,
                          1.0 / 362880, 1.0 / 3628800, 1.0 / 39916800, 1.0 / 479001600, 1.0 / 6227020800.0};

// exp(x) for x <= 700; 0 below -708. The power of two is read from the low bits of x / ln 2 + 1.5 * 2^52.
INLINE V exponential(V x) {
    const V shifted = fma(x, splat(0x1.71547652b82fep0), splat(0x1.8p52)), power = shifted - 0x1.8p52;
    const V r = fma(power, splat(-LN2_LOW), fma(power, splat(-LN2_HIGH), x)), value = polynomial(EXP, r);
    return select(x < -708.0, splat(0.0), real(bits(value) + (bits(shifted) << 52)));
}

// W. J. Cody's form as FreeBSD's e_log.c has it: log(1 + f) = f - (f^2/2 - s (f^2/2 + R)), s = f / (2 + f).
constexpr double LOG[] = {
    0.0, 6.666666666666735130e-01, 3.999999999940941908e-01, 2.857142874366239149e-01, 2.222219843214978396e-01,
    1.818357216161805012e-01, 1.531383769920937332e-01, 1.479819860511658591e-01};

constexpr double LEAST_NUMBER = 1e-300, GREATEST_NUMBER = 1e300;

// log(x) within one unit in the last place, x = 2^power (1 + f) with f in [sqrt(1/2) - 1, sqrt(2) - 1]; what is below
// 1e-300 or no number counts as that, what is above as 1e300.
INLINE V logarithm(V argument) {
    const V x = least(greatest(argument, splat(LEAST_NUMBER)), splat(GREATEST_NUMBER));
    const U lifted = bits(x) + (0x3ff0000000000000ull - 0x3fe6a09e667f3bcdull);
    const V power = real((lifted >> 52) | 0x4330000000000000ull) - (0x1.0p52 + 1023.0);
    const V f = real(bits(x) - (lifted & 0xfff0000000000000ull) + 0x3ff0000000000000ull) - 1.0;
    const V s = f / (2.0 + f), s2 = s * s, half_square = 0.5 * f * f;
    const V low = fma(s, half_square + polynomial(LOG, s2), power * LN2_LOW);
    return fma(power, splat(LN2_HIGH), f - (half_square - low));
}

// exp(x^2/2) Phi(-x) = TAIL_ABOVE / TAIL_BELOW for x >= 0; the fit of kernels/normal_tail.py.
constexpr double TAIL_ABOVE[] = {0.5, 0.7755011671045791, 0.5949558838809716, 0.2899828797155682, 0.09799143906450468,
    0.023711736065036623, 0.004108299064809236, 0.0004931654148521171, 3.7503998398520884e-05, 1.396840746138408e-06};
constexpr double TAIL_BELOW[] = {1.0, 2.3488868950120128, 2.564052356364548, 1.7173016204220166, 0.7838786786848774,
    0.255738061994788, 0.060665688118990854, 0.010391987168713219, 0.001239683733634286, 9.400858279547498e-05,
    3.5013605094366017e-06};

// --- what one core can do at most, for the benchmark: reads from an array in cache, multiply-adds on registers

// In each round as many items as there are values: read, or multiplied and added in twelve registers, which hide how
// long one takes. What they come to keeps the compiler from leaving them out.
template <bool READS>
int64_t probe(const Probe& p, int64_t first, int64_t last) {
    const V factor = splat(p.values[0]), term = splat(p.values[1]);
    V held[12] = {};
    for (int64_t round = first; round < last; round++) {
        for (int64_t i = 0; i + 12 * W <= p.count; i += 12 * W)
            for (int j = 0; j < 12; j++)
                held[j] = READS ? least(held[j], load(p.values + i + j * W)) : fma(held[j], factor, term);
        __asm__ volatile("" ::: "memory");  // every round reads anew
    }
    for (int j = 0; j < 12; j++) store(p.out + j * W, held[j]);
    return 0;
}

}  // namespace
