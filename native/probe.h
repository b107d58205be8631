// What one core can do at most, for the benchmark: reads from an array that stays in cache, multiply-adds on registers.
#pragma once

#include "simd.h"

namespace {

// In each round as many items as there are values: read, or multiplied and added in twelve registers, which hide how
// long one takes. What they come to keeps the compiler from leaving them out.
template <bool READS>
int64_t probe(const Probe& p, int64_t first, int64_t last) {
    const V factor = splat(p.values[0]), term = splat(p.values[1]);
    V held[12] = {};
    for (int64_t round = first; round < last; round++) {
        for (int64_t i = 0; i + 12 * W <= p.count; i += 12 * W) {
#pragma GCC unroll 12
            for (int j = 0; j < 12; j++)
                held[j] = READS ? least(held[j], load(p.values + i + j * W)) : fma(held[j], factor, term);
        }
        __asm__ volatile("" ::: "memory");  // every round reads anew
    }
    for (int j = 1; j < 12; j++) held[0] = held[0] + held[j];
    p.out[0] = lowest_lane(held[0]);
    return 0;
}

}  // namespace
