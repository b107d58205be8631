// What one core can do at most, for the benchmark: reads from an array that stays in cache, multiply-adds on registers.
#pragma once

#include "simd.h"

namespace {

double probe_read(const double* values, int64_t count, int64_t rounds) {
    V low[8];
    for (V& lane : low) lane = splat(0.0);
    for (int64_t round = 0; round < rounds; round++) {
        for (int64_t i = 0; i + 8 * W <= count; i += 8 * W) {
#pragma GCC unroll 8
            for (int j = 0; j < 8; j++) low[j] = least(low[j], load(values + i + j * W));
        }
        __asm__ volatile("" ::: "memory");  // every round reads anew
    }
    double lanes[W];
    for (int j = 1; j < 8; j++) low[0] = least(low[0], low[j]);
    store(lanes, low[0]);
    return lanes[0];
}

double probe_fma(const double* values, int64_t count) {
    const V factor = splat(values[0]), term = splat(values[1]);
    V sum[12];
    for (V& lane : sum) lane = term;
    for (int64_t i = 0; i < count; i += 12) {
#pragma GCC unroll 12
        for (int j = 0; j < 12; j++) sum[j] = fma(sum[j], factor, term);
    }
    double lanes[W];
    for (int j = 1; j < 12; j++) sum[0] = sum[0] + sum[j];
    store(lanes, sum[0]);
    return lanes[0];
}

// The name's first letter tells which: read, fma, or width (lanes of a vector).
double probe(char which, const double* values, int64_t count, int64_t rounds) {
    if (which == 'r') return probe_read(values, count, rounds);
    if (which == 'f') return probe_fma(values, rounds);
    return W;
}

}  // namespace
