// Legs times rows of a matrix, summed by group.
//
// A strip of up to eight vectors of the row stays in registers while the group's legs go by, in their order: for each
// column the sum is the same sequence of operations whatever the width of a vector. Products are rounded before they are
// added, not fused: a long and a short leg then cancel to nothing, as they do in NumPy, and the reads take as long.
#pragma once

#include "engine.h"
#include "simd.h"

namespace {

constexpr int STRIP = 8;

struct Legs {
    const double* scale;
    const int32_t* index;
    const double* matrix;
    ptrdiff_t pitch;  // doubles from row to row
    const uint64_t* kept = nullptr;  // [WIDE] bits of the scale in the last columns, where some take it without its sign
    static constexpr bool astray(int64_t) { return false; }
};

struct NewLegs : Legs {  // as they come from the caller: asking on the way costs nothing beside the reads
    int64_t contracts;
    bool astray(int64_t leg) const { return static_cast<uint32_t>(index[leg]) >= contracts; }  // below 0 too
};

inline U kept(const Legs& legs, int vector) {
    U mask;
    std::memcpy(&mask, legs.kept + vector * W, sizeof mask);
    return mask;
}

// False where the row of a leg is outside the matrix, which is asked of new legs. The last APART vectors take what is kept
// of the scale's bits.
template <int N, int APART = 0, class From>
INLINE bool sums(const From& legs, int64_t first, int64_t last, int64_t column, V (&sum)[N]) {
    const double* base = legs.matrix + column;
#pragma GCC unroll 8
    for (int j = 0; j < N; j++) sum[j] = splat(0.0);
    if (first == last) return true;
    if (legs.astray(first)) return false;
    const double* row = base + legs.index[first] * legs.pitch;
    const auto by = [&](V scale, int j) { return j < N - APART ? scale : real(bits(scale) & kept(legs, j - (N - APART))); };
    V scale = splat(legs.scale[first]);
#pragma GCC unroll 8
    for (int j = 0; j < N; j++) sum[j] = by(scale, j) * load(row + j * W);
    for (int64_t leg = first + 1; leg < last; leg++) {
        if (legs.astray(leg)) return false;
        row = base + legs.index[leg] * legs.pitch;
        scale = splat(legs.scale[leg]);
#pragma GCC unroll 8
        for (int j = 0; j < N; j++) sum[j] = sum[j] + by(scale, j) * load(row + j * W);
    }
    return true;
}

template <int N>
struct Lot {  // a number below eight, which the compiler knows
    static constexpr int is = N;
};

template <int N = STRIP - 1, class Each>
inline auto with_lot(int64_t number, const Each& each) {
    if constexpr (N > 0)
        if (number != N) return with_lot<N - 1>(number, each);
    return each(Lot<N>());
}

// One group's row of `columns` cells, strip by strip, to a sink; REST vectors, 0 for a whole strip, are the last strip.
template <int REST, int APART = 0, class From, class To>
INLINE bool strips_of(const From& legs, int64_t first, int64_t last, int64_t columns, To& to) {
    int64_t from = 0;
    for (; from + STRIP * W < columns; from += STRIP * W) {
        V sum[STRIP];
        if (!sums(legs, first, last, from, sum)) return false;
        to.take(sum, from);
    }
    if (columns == 0) return true;
    constexpr int LEFT = REST > 0 ? REST : STRIP;
    V sum[LEFT];
    if (!sums<LEFT, (APART <= LEFT ? APART : 0)>(legs, first, last, from, sum)) return false;
    to.take(sum, from);
    return true;
}

template <class To>
inline void row_of(const Legs& legs, int64_t first, int64_t last, int64_t columns, To& to) {
    with_lot(columns / W % STRIP, [&](auto rest) { return strips_of<rest.is>(legs, first, last, columns, to); });
}

struct ToRow {  // writes the cells
    double* row;
    template <int N>
    inline void take(V (&sum)[N], int64_t column) {
#pragma GCC unroll 8
        for (int j = 0; j < N; j++) store(row + column + j * W, sum[j]);
    }
};

constexpr int64_t LONG = 256;  // columns

// The same for long rows, which lie far: eight legs at a time go along the whole row, so that each is read in one go.
template <int N>
inline void along(const Legs& legs, int64_t leg, bool anew, int64_t columns, double* out) {
    if constexpr (N > 0) {
        const double* row[N];
        V scale[N];
#pragma GCC unroll 8
        for (int k = 0; k < N; k++) {
            row[k] = legs.matrix + legs.index[leg + k] * legs.pitch;
            scale[k] = splat(legs.scale[leg + k]);
        }
        for (int64_t j = 0; j < columns; j += W) {
            V sum = scale[0] * load(row[0] + j);
            if (!anew) sum = load(out + j) + sum;
#pragma GCC unroll 8
            for (int k = 1; k < N; k++) sum = sum + scale[k] * load(row[k] + j);
            store(out + j, sum);
        }
    }
}

inline void write_row(const Legs& legs, int64_t first, int64_t last, int64_t columns, double* out) {
    ToRow rest{out};
    if (columns < LONG || first == last) return row_of(legs, first, last, columns, rest);
    int64_t leg = first;
    for (; leg + 8 <= last; leg += 8) along<8>(legs, leg, leg == first, columns, out);
    with_lot(last - leg, [&](auto lot) { along<lot.is>(legs, leg, leg == first, columns, out); });
}

struct ToWorst {  // keeps the lowest cell, and a sum that is no number where a cell is none, or infinities meet
    V low = splat(0.0), all = splat(0.0);
    template <int N>
    inline void take(V (&sum)[N], int64_t) {
#pragma GCC unroll 8
        for (int j = 0; j < N; j++) {
            low = least(sum[j], low);
            all = all + sum[j];
        }
    }
};

inline bool strange(const double* row, int64_t cells) {
    V all = splat(0.0);
    double rest = 0.0;
    int64_t i = 0;
    for (; i + W <= cells; i += W) all = all + load(row + i);
    for (; i < cells; i++) rest += row[i];
    if (!any(unordered(all)) && rest == rest) return false;
    while (i > 0 && row[i - 1] == row[i - 1]) i--;  // infinities of both signs meet in a sum that is no number
    return i > 0;
}

__attribute__((noinline)) bool strange(const Legs& legs, int64_t first, int64_t last, int64_t cells) {
    Store<double> row;
    write_row(legs, first, last, legs.pitch, row.of(legs.pitch));
    return strange(row.at, cells);  // without the filling, where an infinite quantity of nothing is no number
}

__attribute__((noinline)) int64_t first_astray(const NewLegs& legs, int64_t first, int64_t last) {
    while (first + 1 < last && !legs.astray(first)) first++;
    return first;
}

// What `each` finds wrong with a group and its legs, whose rows it is to ask for.
template <class Each>
inline Fault each_group(const Groups& g, int64_t first, int64_t last, const Each& each) {
    const NewLegs legs{{g.scale, g.index, g.matrix, g.pitch}, g.contracts};
    for (int64_t i = first; i < last; i++) {
        const int64_t from = g.starts[i], to = i + 1 < g.groups ? g.starts[i + 1] : g.legs;
        if (from < 0 || to < from) return {Wrong::start, i};
        if (to > g.legs) return {Wrong::start, i + 1};
        const Wrong wrong = each(legs, i, from, to);
        if (wrong != Wrong::nothing) return {wrong, wrong == Wrong::leg ? first_astray(legs, from, to) : i};
    }
    return NO_FAULT;
}

inline Wrong write_new(const NewLegs& legs, int64_t first, int64_t last, double* out) {
    for (int64_t leg = first; leg < last; leg++)
        if (legs.astray(leg)) return Wrong::leg;
    write_row(legs, first, last, legs.pitch, out);
    return Wrong::nothing;
}

Fault group_rows(const Groups& g, int64_t first, int64_t last) {
    return each_group(g, first, last, [&](const NewLegs& legs, int64_t group, int64_t from, int64_t to) {
        return write_new(legs, from, to, g.out + group * g.pitch);
    });
}

Fault group_worst(const Groups& g, int64_t first, int64_t last) {
    return with_lot(g.pitch / W % STRIP, [&](auto rest) {
        return each_group(g, first, last, [&](const NewLegs& legs, int64_t group, int64_t from, int64_t to) {
            ToWorst worst;
            if (!strips_of<rest.is>(legs, from, to, g.pitch, worst)) return Wrong::leg;
            g.out[group] = 0.0 - lowest_lane(worst.low);
            return any(unordered(worst.all)) && strange(legs, from, to, g.scenarios) ? Wrong::number : Wrong::nothing;
        });
    });
}

}  // namespace
