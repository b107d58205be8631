// What one core can do at most, for the benchmark: reads from an array that stays in cache, multiply-adds on registers.
#pragma once

#include "simd.h"

namespace {

struct Probe {
    static constexpr char ITEMS[] = "d>dnn";
    const double* values;
    double* found;  // [2]: what keeps the compiler from leaving the work out, and the lanes of a vector
    int64_t count, rounds;
};

inline int64_t found(const Probe& probe, V last) {
    probe.found[0] = lowest_lane(last);
    probe.found[1] = W;
    return 0;
}

int64_t reads(const Probe& probe, int64_t, int64_t) {
    V low[8];
    for (V& lane : low) lane = splat(0.0);
    for (int64_t round = 0; round < probe.rounds; round++) {
        for (int64_t i = 0; i + 8 * W <= probe.count; i += 8 * W) {
#pragma GCC unroll 8
            for (int j = 0; j < 8; j++) low[j] = least(low[j], load(probe.values + i + j * W));
        }
        __asm__ volatile("" ::: "memory");  // every round reads anew
    }
    for (const V& lane : low) low[0] = least(low[0], lane);
    return found(probe, low[0]);
}

int64_t multiply_adds(const Probe& probe, int64_t, int64_t) {
    const V factor = splat(probe.values[0]), term = splat(probe.values[1]);
    V sum[12];
    for (V& lane : sum) lane = term;
    for (int64_t i = 0; i < probe.rounds; i += 12) {
#pragma GCC unroll 12
        for (int j = 0; j < 12; j++) sum[j] = fma(sum[j], factor, term);
    }
    for (const V& lane : sum) sum[0] = sum[0] + lane;
    return found(probe, sum[0]);
}

}  // namespace
