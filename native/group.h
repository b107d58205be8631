// Legs times rows of a matrix, summed by group.
//
// A strip of up to eight vectors of the row stays in registers while the group's legs go by, in their order: for each
// column the sum is the same sequence of operations whatever the width of a vector. Products are rounded before they are
// added, not fused: a long and a short leg then cancel to nothing, as they do in NumPy, and the reads take as long.
#pragma once

#include "simd.h"
#include "table.h"

namespace {

constexpr int STRIP = 8;

struct Legs {
    const double* scale;
    const int32_t* index;
    const double* matrix;
    ptrdiff_t pitch;  // doubles from row to row
};

template <int N, bool PART>
inline V piece(const double* row, int j, Lanes part) {
    return PART && j == N - 1 ? load(row + j * W, part) : load(row + j * W);
}

template <int N, bool PART>
inline void sums(const Legs& legs, int64_t first, int64_t last, int64_t column, Lanes part, V (&sum)[N]) {
    const double* base = legs.matrix + column;
#pragma GCC unroll 8
    for (int j = 0; j < N; j++) sum[j] = splat(0.0);
    if (first == last) return;
    const double* row = base + legs.index[first] * legs.pitch;
    V scale = splat(legs.scale[first]);
#pragma GCC unroll 8
    for (int j = 0; j < N; j++) sum[j] = scale * piece<N, PART>(row, j, part);
    for (int64_t leg = first + 1; leg < last; leg++) {
        row = base + legs.index[leg] * legs.pitch;
        scale = splat(legs.scale[leg]);
#pragma GCC unroll 8
        for (int j = 0; j < N; j++) sum[j] = sum[j] + scale * piece<N, PART>(row, j, part);
    }
}

template <int N, bool PART, class To>
inline void strip(const Legs& legs, int64_t first, int64_t last, int64_t column, int part, To& to) {
    V sum[N];
    const Lanes lanes(part);
    sums<N, PART>(legs, first, last, column, lanes, sum);
    to.template take<N, PART>(sum, column, lanes);
}

// Columns [from, until) of one group's row, strip by strip, to a sink.
template <class To>
inline void row_of(const Legs& legs, int64_t first, int64_t last, int64_t from, int64_t until, To& to) {
    constexpr int64_t FULL = STRIP * W;
    for (; from + FULL <= until; from += FULL) strip<STRIP, false>(legs, first, last, from, W, to);
    const int cells = static_cast<int>(until - from), part = cells % W;
#define CASE(N)                                                             \
    case N:                                                                 \
        if (part) return strip<N, true>(legs, first, last, from, part, to); \
        return strip<N, false>(legs, first, last, from, W, to);
    switch (cells / W + (part != 0)) {
        CASE(1) CASE(2) CASE(3) CASE(4) CASE(5) CASE(6) CASE(7) CASE(8)
    }
#undef CASE
}

struct ToRow {  // writes the cells
    double* row;
    template <int N, bool PART>
    inline void take(V (&sum)[N], int64_t column, Lanes part) {
#pragma GCC unroll 8
        for (int j = 0; j < N - PART; j++) store(row + column + j * W, sum[j]);
        if (PART) store(row + column + (N - 1) * W, sum[N - 1], part);
    }
};

// The same for long rows, which lie far: four legs at a time go along the whole row, so that each is read in one go.
template <int N>
inline void along(const Legs& legs, int64_t leg, bool anew, int64_t columns, double* out) {
    const double* row[N];
    V scale[N];
#pragma GCC unroll 4
    for (int k = 0; k < N; k++) {
        row[k] = legs.matrix + legs.index[leg + k] * legs.pitch;
        scale[k] = splat(legs.scale[leg + k]);
    }
    for (int64_t j = 0; j < columns; j += W) {
        V sum = scale[0] * load(row[0] + j);
        if (!anew) sum = load(out + j) + sum;
#pragma GCC unroll 4
        for (int k = 1; k < N; k++) sum = sum + scale[k] * load(row[k] + j);
        store(out + j, sum);
    }
}

inline void write_row(const Legs& legs, int64_t first, int64_t last, int64_t columns, double* out) {
    constexpr int64_t LONG = 256;
    ToRow rest{out};
    const int64_t whole = columns < LONG || first == last ? 0 : columns / W * W;
    int64_t leg = first;
    for (; whole && leg + 4 <= last; leg += 4) along<4>(legs, leg, leg == first, whole, out);
    for (; whole && leg < last; leg++) along<1>(legs, leg, leg == first, whole, out);
    if (whole < columns) row_of(legs, first, last, whole, columns, rest);
}

struct ToWorst {  // keeps the lowest cell, or that one was no number
    double lowest = __builtin_inf();
    bool strange = false;
    template <int N, bool PART>
    inline void take(V (&sum)[N], int64_t, Lanes part) {
        if (PART) {
            double lanes[W];
            store(lanes, splat(__builtin_inf()));
            store(lanes, sum[N - 1], part);
            sum[N - 1] = load(lanes);
        }
        Mask odd = unordered(sum[0], sum[N - 1]);
        V low = least(sum[0], sum[N - 1]);
#pragma GCC unroll 8
        for (int j = 1; j < N - 1; j++) {
            if (j % 2 == 1) odd = either(odd, unordered(sum[j], sum[j + 1]));
            low = least(low, sum[j]);
        }
        strange |= any(odd);
        const double here = lowest_lane(low);
        lowest = here < lowest ? here : lowest;
    }
    double loss() const { return lowest < 0.0 ? -lowest : 0.0; }
};

inline Legs legs_of(const Groups& g) { return {g.scale, g.index, g.matrix, g.pitch}; }

Fault group_rows(const Groups& g, int64_t first, int64_t last) {
    const Legs legs = legs_of(g);
    for (int64_t i = first; i < last; i++) {
        write_row(legs, g.starts[i], g.starts[i + 1], g.scenarios, g.out + i * g.scenarios);
    }
    return NO_FAULT;
}

Fault group_worst(const Groups& g, int64_t first, int64_t last) {
    const Legs legs = legs_of(g);
    for (int64_t i = first; i < last; i++) {
        ToWorst to;
        row_of(legs, g.starts[i], g.starts[i + 1], 0, g.scenarios, to);
        if (to.strange) return {Wrong::number, i};
        g.out[i] = to.loss();
    }
    return NO_FAULT;
}

}  // namespace
