// What one core can do at most, for the benchmark: reads from an array that stays in cache, multiply-adds on registers.
#pragma once

#include "simd.h"

namespace {

// Rounds of `step` on twelve registers, as many as hide how long one takes; their sum keeps the compiler from leaving it out.
template <class Step>
inline double busy(int64_t rounds, const Step& step) {
    V held[12] = {};
    for (int64_t i = 0; i < rounds; i++) {
#pragma GCC unroll 12
        for (int j = 0; j < 12; j++) held[j] = step(held[j], i, j);
    }
    V sum = held[0];
    for (const V& one : held) sum = sum + one;
    return lowest_lane(sum);
}

// Rounds [first, last) of twelve multiply-adds, or of reading all values where they are read; then the width of a vector.
int64_t probe(const Probe& p, int64_t first, int64_t last) {
    const V factor = splat(p.values[0]), term = splat(p.values[1]);
    for (int64_t round = first; p.reads && round < last; round++) {
        p.out[0] = busy(p.count / (12 * W), [&](V low, int64_t i, int j) { return least(low, load(p.values + (12 * i + j) * W)); });
        __asm__ volatile("" ::: "memory");  // every round reads anew
    }
    if (!p.reads) p.out[0] = busy((last - first) / 12, [&](V sum, int64_t, int) { return fma(sum, factor, term); });
    p.out[1] = W;
    return 0;
}

}  // namespace
