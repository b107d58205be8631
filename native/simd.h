// A vector of doubles as wide as the instruction set, and the few operations that the kernels need.
//
// Everything lives in an unnamed namespace: the same source is compiled once for each level, and no level may lend its
// code to another. `scalar` is the same sequence of operations on one lane; tests hold the levels to its bits.
#pragma once

#include <cstdint>
#include <cstring>

#if defined(LEVEL_v3) || defined(LEVEL_v4)
#include <immintrin.h>
#elif defined(LEVEL_neon)
#include <arm_neon.h>
#endif

namespace {

#if defined(LEVEL_v3) || defined(LEVEL_v4)

#if defined(LEVEL_v4)
#define MM(name) _mm512_##name
#define OF_BITS __m512i
struct V {
    static constexpr int W = 8;
    __m512d x;
};
using Mask = __mmask8;
struct Lanes {  // the first n lanes
    __mmask8 m;
    explicit Lanes(int n) : m(static_cast<__mmask8>((1u << n) - 1)) {}
};
#define COMPARED(a, b, how) _mm512_cmp_pd_mask(a.x, b.x, how)
inline V load(const double* p, Lanes n) { return {_mm512_maskz_loadu_pd(n.m, p)}; }
// table[index] for a table of 16; two registers and a permutation, as gathers are slow on many processors
inline V lookup(const double* table, const int64_t* index) {
    return {_mm512_permutex2var_pd(_mm512_loadu_pd(table), _mm512_loadu_si512(index), _mm512_loadu_pd(table + 8))};
}
inline void store(double* p, V a, Lanes n) { _mm512_mask_storeu_pd(p, n.m, a.x); }
inline Mask either(Mask a, Mask b) { return static_cast<Mask>(a | b); }
inline Mask negated(Mask a) { return static_cast<Mask>(~a); }
inline Mask none() { return 0; }
inline bool any(Mask a) { return a != 0; }
inline bool any(Mask a, Lanes n) { return (a & n.m) != 0; }
inline double lowest_lane(V a) { return _mm512_reduce_min_pd(a.x); }
inline V select(Mask m, V a, V b) { return {_mm512_mask_blend_pd(m, b.x, a.x)}; }
inline int compress(V a, Mask m, double* to) {  // in a register and then stored: to memory it is slow on Zen 4
    _mm512_storeu_pd(to, _mm512_maskz_compress_pd(m, a.x));
    return __builtin_popcount(m);
}
#else
#define MM(name) _mm256_##name
#define OF_BITS __m256i
struct V {
    static constexpr int W = 4;
    __m256d x;
};
using Mask = __m256d;
struct Lanes {
    __m256i m;
    explicit Lanes(int n) : m(_mm256_cmpgt_epi64(_mm256_set1_epi64x(n), _mm256_setr_epi64x(0, 1, 2, 3))) {}
};
#define COMPARED(a, b, how) _mm256_cmp_pd(a.x, b.x, how)
inline V load(const double* p, Lanes n) { return {_mm256_maskload_pd(p, n.m)}; }
inline V lookup(const double* table, const int64_t* i) {
    return {_mm256_setr_pd(table[i[0]], table[i[1]], table[i[2]], table[i[3]])};
}
inline void store(double* p, V a, Lanes n) { _mm256_maskstore_pd(p, n.m, a.x); }
inline Mask either(Mask a, Mask b) { return _mm256_or_pd(a, b); }
inline Mask negated(Mask a) { return _mm256_xor_pd(a, _mm256_castsi256_pd(_mm256_set1_epi64x(-1))); }
inline Mask none() { return _mm256_setzero_pd(); }
inline bool any(Mask a) { return _mm256_movemask_pd(a) != 0; }
inline bool any(Mask a, Lanes n) { return any(_mm256_and_pd(a, _mm256_castsi256_pd(n.m))); }
inline double lowest_lane(V a) {
    const __m128d two = _mm_min_pd(_mm256_castpd256_pd128(a.x), _mm256_extractf128_pd(a.x, 1));
    return _mm_cvtsd_f64(_mm_min_sd(two, _mm_unpackhi_pd(two, two)));
}
inline V select(Mask m, V a, V b) { return {_mm256_blendv_pd(b.x, a.x, m)}; }
inline int compress(V a, Mask m, double* to) {
    const unsigned met = static_cast<unsigned>(_mm256_movemask_pd(m));
    double lanes[4];
    _mm256_storeu_pd(lanes, a.x);
    int n = 0;
    for (unsigned lane = 0; lane < 4; lane++) {
        to[n] = lanes[lane];
        n += met >> lane & 1;
    }
    return n;
}
#endif
inline V splat(double d) { return {MM(set1_pd)(d)}; }
inline V load(const double* p) { return {MM(loadu_pd)(p)}; }
inline void store(double* p, V a) { MM(storeu_pd)(p, a.x); }
inline V operator+(V a, V b) { return {MM(add_pd)(a.x, b.x)}; }
inline V operator-(V a, V b) { return {MM(sub_pd)(a.x, b.x)}; }
inline V operator*(V a, V b) { return {MM(mul_pd)(a.x, b.x)}; }
inline V operator/(V a, V b) { return {MM(div_pd)(a.x, b.x)}; }
inline V fma(V a, V b, V c) { return {MM(fmadd_pd)(a.x, b.x, c.x)}; }
inline V sqrt(V a) { return {MM(sqrt_pd)(a.x)}; }
inline V least(V a, V b) { return {MM(min_pd)(a.x, b.x)}; }     // a < b ? a : b
inline V greatest(V a, V b) { return {MM(max_pd)(a.x, b.x)}; }  // a > b ? a : b
inline Mask operator<(V a, V b) { return COMPARED(a, b, _CMP_LT_OQ); }
inline Mask operator<=(V a, V b) { return COMPARED(a, b, _CMP_LE_OQ); }
inline Mask equal(V a, V b) { return COMPARED(a, b, _CMP_EQ_OQ); }
inline Mask unordered(V a, V b) { return COMPARED(a, b, _CMP_UNORD_Q); }
struct U {
    OF_BITS x;
};
#if defined(LEVEL_v4)
inline U bits(V a) { return {_mm512_castpd_si512(a.x)}; }
inline V real(U a) { return {_mm512_castsi512_pd(a.x)}; }
inline U constant(uint64_t u) { return {_mm512_set1_epi64(static_cast<long long>(u))}; }
inline U operator&(U a, U b) { return {_mm512_and_si512(a.x, b.x)}; }
inline U operator|(U a, U b) { return {_mm512_or_si512(a.x, b.x)}; }
#else
inline U bits(V a) { return {_mm256_castpd_si256(a.x)}; }
inline V real(U a) { return {_mm256_castsi256_pd(a.x)}; }
inline U constant(uint64_t u) { return {_mm256_set1_epi64x(static_cast<long long>(u))}; }
inline U operator&(U a, U b) { return {_mm256_and_si256(a.x, b.x)}; }
inline U operator|(U a, U b) { return {_mm256_or_si256(a.x, b.x)}; }
#endif
inline U operator+(U a, U b) { return {MM(add_epi64)(a.x, b.x)}; }
inline U operator-(U a, U b) { return {MM(sub_epi64)(a.x, b.x)}; }
inline U up52(U a) { return {MM(slli_epi64)(a.x, 52)}; }
inline U down52(U a) { return {MM(srli_epi64)(a.x, 52)}; }
#undef MM
#undef OF_BITS
#undef COMPARED

#elif defined(LEVEL_neon)

struct V {
    static constexpr int W = 2;
    float64x2_t x;
};
using Mask = uint64x2_t;
struct Lanes {
    int n;
    explicit Lanes(int count) : n(count) {}
};
inline V splat(double d) { return {vdupq_n_f64(d)}; }
inline V load(const double* p) { return {vld1q_f64(p)}; }
inline V load(const double* p, Lanes n) { return n.n == 2 ? load(p) : V{vsetq_lane_f64(*p, vdupq_n_f64(0.0), 0)}; }
inline V lookup(const double* table, const int64_t* i) { return {vsetq_lane_f64(table[i[1]], vdupq_n_f64(table[i[0]]), 1)}; }
inline void store(double* p, V a) { vst1q_f64(p, a.x); }
inline void store(double* p, V a, Lanes n) { n.n == 2 ? vst1q_f64(p, a.x) : vst1q_lane_f64(p, a.x, 0); }
inline V operator+(V a, V b) { return {vaddq_f64(a.x, b.x)}; }
inline V operator-(V a, V b) { return {vsubq_f64(a.x, b.x)}; }
inline V operator*(V a, V b) { return {vmulq_f64(a.x, b.x)}; }
inline V operator/(V a, V b) { return {vdivq_f64(a.x, b.x)}; }
inline V fma(V a, V b, V c) { return {vfmaq_f64(c.x, a.x, b.x)}; }
inline V sqrt(V a) { return {vsqrtq_f64(a.x)}; }
inline Mask operator<(V a, V b) { return vcltq_f64(a.x, b.x); }
inline Mask operator<=(V a, V b) { return vcleq_f64(a.x, b.x); }
inline Mask equal(V a, V b) { return vceqq_f64(a.x, b.x); }
inline V select(Mask m, V a, V b) { return {vbslq_f64(m, a.x, b.x)}; }
inline V least(V a, V b) { return select(a < b, a, b); }
inline V greatest(V a, V b) { return select(b < a, a, b); }
inline Mask negated(Mask a) { return veorq_u64(a, vdupq_n_u64(~0ull)); }
inline Mask either(Mask a, Mask b) { return vorrq_u64(a, b); }
inline Mask unordered(V a, V b) { return negated(vandq_u64(equal(a, a), equal(b, b))); }
inline Mask none() { return vdupq_n_u64(0); }
inline bool any(Mask a) { return (vgetq_lane_u64(a, 0) | vgetq_lane_u64(a, 1)) != 0; }
inline bool any(Mask a, Lanes n) { return n.n == 2 ? any(a) : vgetq_lane_u64(a, 0) != 0; }
inline double lowest_lane(V a) { return vminvq_f64(a.x); }
inline int compress(V a, Mask m, double* to) {
    const int first = vgetq_lane_u64(m, 0) & 1, second = vgetq_lane_u64(m, 1) & 1;
    to[0] = vgetq_lane_f64(a.x, 0);
    to[first] = vgetq_lane_f64(a.x, first ? 1 : 0);
    if (!first) to[0] = vgetq_lane_f64(a.x, 1);
    return first + second;
}
struct U {
    uint64x2_t x;
};
inline U bits(V a) { return {vreinterpretq_u64_f64(a.x)}; }
inline V real(U a) { return {vreinterpretq_f64_u64(a.x)}; }
inline U constant(uint64_t u) { return {vdupq_n_u64(u)}; }
inline U operator+(U a, U b) { return {vaddq_u64(a.x, b.x)}; }
inline U operator-(U a, U b) { return {vsubq_u64(a.x, b.x)}; }
inline U operator&(U a, U b) { return {vandq_u64(a.x, b.x)}; }
inline U operator|(U a, U b) { return {vorrq_u64(a.x, b.x)}; }
inline U up52(U a) { return {vshlq_n_u64(a.x, 52)}; }
inline U down52(U a) { return {vshrq_n_u64(a.x, 52)}; }

#else  // scalar

struct V {
    static constexpr int W = 1;
    double x;
};
using Mask = bool;
struct Lanes {
    explicit Lanes(int) {}
};
inline V splat(double d) { return {d}; }
inline V load(const double* p) { return {*p}; }
inline V load(const double* p, Lanes) { return {*p}; }
inline V lookup(const double* table, const int64_t* index) { return {table[*index]}; }
inline void store(double* p, V a) { *p = a.x; }
inline void store(double* p, V a, Lanes) { *p = a.x; }
inline V operator+(V a, V b) { return {a.x + b.x}; }
inline V operator-(V a, V b) { return {a.x - b.x}; }
inline V operator*(V a, V b) { return {a.x * b.x}; }
inline V operator/(V a, V b) { return {a.x / b.x}; }
inline V fma(V a, V b, V c) { return {__builtin_fma(a.x, b.x, c.x)}; }
inline V sqrt(V a) { return {__builtin_sqrt(a.x)}; }
inline V least(V a, V b) { return {a.x < b.x ? a.x : b.x}; }
inline V greatest(V a, V b) { return {a.x > b.x ? a.x : b.x}; }
inline Mask operator<(V a, V b) { return a.x < b.x; }
inline Mask operator<=(V a, V b) { return a.x <= b.x; }
inline Mask equal(V a, V b) { return a.x == b.x; }
inline Mask unordered(V a, V b) { return a.x != a.x || b.x != b.x; }
inline Mask either(Mask a, Mask b) { return a || b; }
inline Mask negated(Mask a) { return !a; }
inline Mask none() { return false; }
inline bool any(Mask a) { return a; }
inline bool any(Mask a, Lanes) { return a; }
inline double lowest_lane(V a) { return a.x; }
inline V select(Mask m, V a, V b) { return m ? a : b; }
inline int compress(V a, Mask m, double* to) {
    *to = a.x;
    return m;
}
struct U {
    uint64_t x;
};
inline U bits(V a) {
    U u;
    std::memcpy(&u.x, &a.x, 8);
    return u;
}
inline V real(U a) {
    V v;
    std::memcpy(&v.x, &a.x, 8);
    return v;
}
inline U constant(uint64_t u) { return {u}; }
inline U operator+(U a, U b) { return {a.x + b.x}; }
inline U operator-(U a, U b) { return {a.x - b.x}; }
inline U operator&(U a, U b) { return {a.x & b.x}; }
inline U operator|(U a, U b) { return {a.x | b.x}; }
inline U up52(U a) { return {a.x << 52}; }
inline U down52(U a) { return {a.x >> 52}; }

#endif

constexpr uint64_t SIGN = 0x8000000000000000ull;

inline Mask unordered(V a) { return unordered(a, a); }
inline V absolute(V a) { return real(bits(a) & constant(~SIGN)); }
inline V negative(V a) { return splat(-0.0) - a; }
inline V with_sign(V magnitude, V sign) { return real((bits(magnitude) & constant(~SIGN)) | (bits(sign) & constant(SIGN))); }

}  // namespace
