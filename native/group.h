// Legs times scenario rows, summed by group: the whole row, or only its worst cell.
//
// A strip of up to eight vectors of the row stays in registers while the group's legs go by, in their order: for each
// scenario the sum is the same sequence of operations whatever the width of a vector. Products are rounded before they
// are added, not fused: a long and a short leg then cancel to nothing, as they do in NumPy, and the reads take as long.
#pragma once

#include "simd.h"
#include "table.h"

namespace {

constexpr int STRIP = 8;

struct Legs {
    int64_t first, last;
};

inline bool span_of(const int64_t* starts, int64_t count, int64_t total, int64_t i, Legs& legs) {
    legs.first = starts[i];
    legs.last = i + 1 < count ? starts[i + 1] : total;
    return 0 <= legs.first && legs.first <= legs.last && legs.last <= total;
}

template <int N, bool PART>
inline V piece(const double* row, int j, Lanes part) {
    return PART && j == N - 1 ? load(row + j * V::W, part) : load(row + j * V::W);
}

// The strip's sums; -1, or the leg whose index is no row of the matrix.
template <int N, bool PART, class I>
inline int64_t sums(const Groups& g, Legs legs, int64_t column, Lanes part, V (&sum)[N]) {
    const I* index = static_cast<const I*>(g.index);
    const char* base = g.matrix + column * 8;
#pragma GCC unroll 8
    for (int j = 0; j < N; j++) sum[j] = splat(0.0);
    for (int64_t leg = legs.first; leg < legs.last; leg++) {
        const uint64_t row_number = static_cast<uint64_t>(static_cast<int64_t>(index[leg]));
        if (row_number >= static_cast<uint64_t>(g.contracts)) return leg;
        const double* row = reinterpret_cast<const double*>(base + static_cast<ptrdiff_t>(row_number) * g.pitch);
        const V scale = splat(g.scale[leg]);
        if (leg == legs.first) {
#pragma GCC unroll 8
            for (int j = 0; j < N; j++) sum[j] = scale * piece<N, PART>(row, j, part);
            continue;
        }
#pragma GCC unroll 8
        for (int j = 0; j < N; j++) sum[j] = sum[j] + scale * piece<N, PART>(row, j, part);
    }
    return -1;
}

// Writes the strip of one group's row.
struct ToRows {
    const Groups& g;
    double* row = nullptr;
    void open(int64_t group) { row = g.rows + group * g.scenarios; }
    template <int N, bool PART>
    inline void take(V (&sum)[N], int64_t column, Lanes part) {
#pragma GCC unroll 8
        for (int j = 0; j < N; j++) {
            double* to = row + column + j * V::W;
            if (PART && j == N - 1) {
                store(to, sum[j], part);
            } else {
                store(to, sum[j]);
            }
        }
    }
    bool close(int64_t) { return true; }
};

// Keeps the lowest cell of one group's row, and where it was first met.
struct ToWorst {
    const Groups& g;
    double lowest = 0.0;
    int64_t place = 0;
    bool strange = false;
    void open(int64_t) {
        lowest = __builtin_inf();
        place = 0;
        strange = false;
    }
    template <int N, bool PART>
    inline void take(V (&sum)[N], int64_t column, Lanes part) {
        if (PART) {
            double lanes[V::W];
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
        if (!(here < lowest)) return;
        lowest = here;
        if (!g.worst) return;
        uint64_t met = 0;
#pragma GCC unroll 8
        for (int j = 0; j < N; j++) met |= lanes_of(equal(sum[j], splat(here))) << (j * V::W);
        place = column + __builtin_ctzll(met | (1ull << 63));
    }
    bool close(int64_t group) {
        g.loss[group] = lowest < 0.0 ? -lowest : 0.0;
        if (g.worst) g.worst[group] = place;
        return !strange;
    }
};

template <int N, bool PART, class I, class To>
inline int64_t strip(const Groups& g, Legs legs, int64_t column, int part, To& to) {
    V sum[N];
    const Lanes lanes(part);
    const int64_t bad = sums<N, PART, I>(g, legs, column, lanes, sum);
    if (bad < 0) to.template take<N, PART>(sum, column, lanes);
    return bad;
}

// The rest of a row: fewer than STRIP full vectors and perhaps a part of one.
template <class I, class To>
inline int64_t rest(const Groups& g, Legs legs, int64_t column, To& to) {
    const int cells = static_cast<int>(g.scenarios - column);
    const int part = cells % V::W, vectors = cells / V::W + (part != 0);
#define CASE(N) \
    case N:     \
        return part ? strip<N, true, I>(g, legs, column, part, to) : strip<N, false, I>(g, legs, column, V::W, to)
    switch (vectors) {
        CASE(1);
        CASE(2);
        CASE(3);
        CASE(4);
        CASE(5);
        CASE(6);
        CASE(7);
        CASE(8);
        default:
            return -1;
    }
#undef CASE
}

template <class I, class To>
Fault groups_as(const Groups& g, int64_t first, int64_t last, To to) {
    constexpr int64_t FULL = STRIP * V::W;
    for (int64_t group = first; group < last; group++) {
        Legs legs;
        if (!span_of(g.starts, g.groups, g.legs, group, legs)) return {Wrong::order, group};
        to.open(group);
        int64_t column = 0, bad = -1;
        for (; bad < 0 && column + FULL <= g.scenarios; column += FULL)
            bad = strip<STRIP, false, I>(g, legs, column, V::W, to);
        if (bad < 0 && column < g.scenarios) bad = rest<I>(g, legs, column, to);
        if (bad >= 0) return {Wrong::index, bad};
        if (!to.close(group)) return {Wrong::number, group};
    }
    return NO_FAULT;
}

template <class To>
Fault groups(const Groups& g, int64_t first, int64_t last, To to) {
    switch (g.item) {
        case Item::u16:
            return groups_as<uint16_t>(g, first, last, to);
        case Item::i32:
            return groups_as<int32_t>(g, first, last, to);
        default:
            return groups_as<int64_t>(g, first, last, to);
    }
}

Fault group_rows(const Groups& g, int64_t first, int64_t last) { return groups(g, first, last, ToRows{g}); }

Fault group_worst(const Groups& g, int64_t first, int64_t last) { return groups(g, first, last, ToWorst{g}); }

// Values summed by span, each from its first to its last.
Fault span_sum(const Spans& s, int64_t first, int64_t last) {
    for (int64_t span = first; span < last; span++) {
        Legs part;
        if (!span_of(s.starts, s.spans, s.n, span, part)) return {Wrong::order, span};
        double sum = 0.0;
        for (int64_t i = part.first; i < part.last; i++) sum += s.values[i];
        s.out[span] = sum;
    }
    return NO_FAULT;
}

}  // namespace
