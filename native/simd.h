// A vector of doubles as wide as the instruction set: the compiler's own vector type, and what that type lacks. With
// two lanes (NEON, and `narrow`, which tests it on x86) no intrinsic is named: the compiler finds the instructions.
//
// Everything lives in an unnamed namespace: the same source is compiled once for each level, and no level may lend its
// code to another. Tests hold the levels to the same bits.
#pragma once

#include <cstdint>
#include <cstring>

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
    double lowest = a[0];
    for (int i = 1; i < W; i++) lowest = a[i] < lowest ? a[i] : lowest;
    return lowest;
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
    for (int i = 0; i < W; i++) {
        to[n] = a[i];
        n += m[i] != 0;
    }
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

}  // namespace
