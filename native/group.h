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

template <int N>
inline void sums(const Legs& legs, int64_t first, int64_t last, int64_t column, V (&sum)[N]) {
    const double* base = legs.matrix + column;
#pragma GCC unroll 8
    for (int j = 0; j < N; j++) sum[j] = splat(0.0);
    if (first == last) return;
    const double* row = base + legs.index[first] * legs.pitch;
    V scale = splat(legs.scale[first]);
#pragma GCC unroll 8
    for (int j = 0; j < N; j++) sum[j] = scale * load(row + j * W);
    for (int64_t leg = first + 1; leg < last; leg++) {
        row = base + legs.index[leg] * legs.pitch;
        scale = splat(legs.scale[leg]);
#pragma GCC unroll 8
        for (int j = 0; j < N; j++) sum[j] = sum[j] + scale * load(row + j * W);
    }
}

template <int N, class To>
inline void strip(const Legs& legs, int64_t first, int64_t last, int64_t column, To& to) {
    V sum[N];
    sums<N>(legs, first, last, column, sum);
    to.take(sum, column);
}

// One group's row of `columns` cells, strip by strip, to a sink.
template <class To>
inline void row_of(const Legs& legs, int64_t first, int64_t last, int64_t columns, To& to) {
    int64_t from = 0;
    for (; from + STRIP * W <= columns; from += STRIP * W) strip<STRIP>(legs, first, last, from, to);
    switch ((columns - from) / W) {
        case 1: return strip<1>(legs, first, last, from, to);
        case 2: return strip<2>(legs, first, last, from, to);
        case 3: return strip<3>(legs, first, last, from, to);
        case 4: return strip<4>(legs, first, last, from, to);
        case 5: return strip<5>(legs, first, last, from, to);
        case 6: return strip<6>(legs, first, last, from, to);
        case 7: return strip<7>(legs, first, last, from, to);
    }
}

struct ToRow {  // writes the cells
    double* row;
    template <int N>
    inline void take(V (&sum)[N], int64_t column) {
#pragma GCC unroll 8
        for (int j = 0; j < N; j++) store(row + column + j * W, sum[j]);
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
    if (columns < LONG || first == last) return row_of(legs, first, last, columns, rest);
    int64_t leg = first;
    for (; leg + 4 <= last; leg += 4) along<4>(legs, leg, leg == first, columns, out);
    for (; leg < last; leg++) along<1>(legs, leg, leg == first, columns, out);
}

struct ToWorst {  // keeps the lowest cell, or that one was no number
    V low = splat(0.0);
    Mask odd{};
    template <int N>
    inline void take(V (&sum)[N], int64_t) {
#pragma GCC unroll 8
        for (int j = 0; j < N; j++) {
            low = least(sum[j], low);
            odd = either(odd, unordered(sum[j]));
        }
    }
};

inline Legs legs_of(const Groups& g) { return {g.scale, g.index, g.matrix, g.pitch}; }

Fault group_rows(const Groups& g, int64_t first, int64_t last) {
    const Legs legs = legs_of(g);
    for (int64_t i = first; i < last; i++) write_row(legs, g.starts[i], g.starts[i + 1], g.pitch, g.out + i * g.pitch);
    return NO_FAULT;
}

Fault group_worst(const Groups& g, int64_t first, int64_t last) {
    const Legs legs = legs_of(g);
    for (int64_t i = first; i < last; i++) {
        ToWorst to;
        row_of(legs, g.starts[i], g.starts[i + 1], g.pitch, to);
        if (any(to.odd)) return {Wrong::number, i};
        g.out[i] = 0.0 - lowest_lane(to.low);
    }
    return NO_FAULT;
}

}  // namespace
