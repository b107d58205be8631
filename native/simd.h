// A vector of doubles as wide as the instruction set: the compiler's own vector type, and what that type lacks.
// With two lanes (NEON, and `narrow`, which tests it on x86) no intrinsic is named: the compiler finds the instructions.
//
// Everything lives in an unnamed namespace: the same source is compiled once for each level, and no level may lend its
// code to another. Tests hold the levels to the same bits.
#pragma once

#include <cstdint>
#include <cstring>

#if defined(LEVEL_v3) || defined(LEVEL_v4)
#include <immintrin.h>
#endif

namespace {

#if defined(LEVEL_v4)
constexpr int W = 8;  // doubles in a vector
#define WIDE_(name) _mm512_##name
#elif defined(LEVEL_v3)
constexpr int W = 4;
#define WIDE_(name) _mm256_##name
#else
constexpr int W = 2;
#endif

typedef double V __attribute__((vector_size(W * 8)));
typedef uint64_t U __attribute__((vector_size(W * 8)));
using Mask = decltype(V{} < V{});  // all ones or zeros for each lane

inline V load(const double* p) {
    V v;
    std::memcpy(&v, p, sizeof v);
    return v;
}
inline void store(double* p, V v) { std::memcpy(p, &v, sizeof v); }
inline V select(Mask m, V a, V b) { return m ? a : b; }

#if defined(WIDE_)
inline V splat(double d) { return WIDE_(set1_pd)(d); }
inline V fma(V a, V b, V c) { return WIDE_(fmadd_pd)(a, b, c); }
inline V sqrt(V a) { return WIDE_(sqrt_pd)(a); }
inline V least(V a, V b) { return WIDE_(min_pd)(a, b); }     // a < b ? a : b
inline V greatest(V a, V b) { return WIDE_(max_pd)(a, b); }  // a > b ? a : b
#else
inline V splat(double d) { return V{d, d}; }
inline V fma(V a, V b, V c) { return V{__builtin_fma(a[0], b[0], c[0]), __builtin_fma(a[1], b[1], c[1])}; }
inline V sqrt(V a) { return V{__builtin_sqrt(a[0]), __builtin_sqrt(a[1])}; }
inline V least(V a, V b) { return a < b ? a : b; }
inline V greatest(V a, V b) { return b < a ? a : b; }
#endif

#if defined(LEVEL_v4)
inline __mmask8 lanes_of(Mask m) { return _mm512_movepi64_mask(reinterpret_cast<__m512i>(m)); }
inline bool any(Mask m) { return lanes_of(m) != 0; }
inline double lowest_lane(V a) { return _mm512_reduce_min_pd(a); }
// table[index] for a table of 16; two registers and a permutation, as gathers are slow on many processors
inline V lookup(const double* table, const int64_t* index) {
    return _mm512_permutex2var_pd(load(table), _mm512_loadu_si512(index), load(table + 8));
}
inline int compress(V a, Mask m, double* to) {  // in a register and then stored: to memory it is slow on Zen 4
    store(to, _mm512_maskz_compress_pd(lanes_of(m), a));
    return __builtin_popcount(lanes_of(m));
}
#else
#if defined(WIDE_)
inline bool any(Mask m) { return WIDE_(movemask_pd)(reinterpret_cast<V>(m)) != 0; }
#else
inline bool any(Mask m) { return (m[0] | m[1]) != 0; }
#endif
inline double lowest_lane(V a) {
    double lowest = a[0];
    for (int i = 1; i < W; i++) lowest = a[i] < lowest ? a[i] : lowest;
    return lowest;
}
inline V lookup(const double* table, const int64_t* index) {
    V found;
    for (int i = 0; i < W; i++) found[i] = table[index[i]];
    return found;
}
inline int compress(V a, Mask m, double* to) {
    int n = 0;
    for (int i = 0; i < W; i++) {
        to[n] = a[i];
        n += m[i] != 0;
    }
    return n;
}
#endif
#undef WIDE_

inline U bits(V a) { return reinterpret_cast<U>(a); }
inline V real(U a) { return reinterpret_cast<V>(a); }
constexpr uint64_t SIGN = 0x8000000000000000ull;

inline Mask before(int64_t lane) {  // the first lanes
    U number;
    for (int i = 0; i < W; i++) number[i] = static_cast<uint64_t>(i);
    return number < static_cast<uint64_t>(lane);
}
inline Mask equal(V a, V b) { return a == b; }
inline Mask unordered(V a, V b) { return (a != a) | (b != b); }
inline Mask unordered(V a) { return a != a; }
inline Mask either(Mask a, Mask b) { return a | b; }
inline Mask both(Mask a, Mask b) { return a & b; }
inline Mask negated(Mask a) { return ~a; }
inline V absolute(V a) { return real(bits(a) & ~SIGN); }
inline V negative(V a) { return splat(-0.0) - a; }
inline V with_sign(V magnitude, V sign) { return real((bits(magnitude) & ~SIGN) | (bits(sign) & SIGN)); }

// All lanes, or of the last vector of a row no more than the first n.
struct Whole {};
struct Lanes {
    explicit Lanes(int64_t left) : n(static_cast<int>(left < W ? left : W)) {}
    int n;
};
inline V load(const double* p, Whole) { return load(p); }
inline void store(double* p, V v, Whole) { store(p, v); }
inline V load(const double* p, Lanes lanes) {
    if (lanes.n == W) return load(p);  // a copy of any length is a call
    V v{};
    std::memcpy(&v, p, static_cast<size_t>(lanes.n) * 8);
    return v;
}
inline void store(double* p, V v, Lanes lanes) { std::memcpy(p, &v, static_cast<size_t>(lanes.n) * 8); }
inline bool any(Mask m, Lanes lanes) {
    bool found = false;
    for (int i = 0; i < lanes.n; i++) found |= m[i] != 0;
    return found;
}

}  // namespace
