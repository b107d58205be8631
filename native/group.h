// Legs times rows of a matrix, summed by group.
//
// A strip of up to eight vectors of the row stays in registers while the group's legs go by, in their order: for each
// column the sum is the same sequence of operations whatever the width of a vector. Products are rounded before they
// are added, not fused: a long and a short leg then cancel to nothing, as they do in NumPy, and the reads take as long.
#pragma once

#include <algorithm>
#include <type_traits>

#include "block.h"
#include "simd.h"

namespace {

constexpr int STRIP = 8, NARROW = 2;  // vectors

struct Legs {
    const double* scale;
    const int32_t* index;  // where one asks for a row that the matrix has not, its sums are no numbers
    const double* matrix;  // [rows, pitch], at least one row
    int64_t rows, pitch;
    const double* dropped = nullptr;  // [WIDE] bits of the scale: its sign in those of the last columns that take none
};

// Sums of N vectors of columns, to a sink, or of those of a row and the legs. The last APART vectors drop bits of the
// scale. What begins with -0.0 is what is added, to the sign of a zero.
template <int N, int APART = 0, class To>
INLINE void strip(const Legs& legs, int64_t first, int64_t last, int64_t column, To& to, const double* onto) {
    const auto dropped = [&](int j) { return bits(load(legs.dropped + (j - N + APART) * W)); };
    V sum[N];
#pragma GCC unroll 8
    for (int j = 0; j < N; j++) sum[j] = onto ? load(onto + column + j * W) : splat(first < last ? -0.0 : 0.0);
    for (int64_t leg = first; leg < last; leg++) {
        const uint32_t number = static_cast<uint32_t>(legs.index[leg]);  // below 0 is beyond any
        const double* row = legs.matrix + column;
        double by = __builtin_nan("");
        if (number < legs.rows) {
            row += number * legs.pitch;
            by = legs.scale[leg];
        }
#pragma GCC unroll 8
        for (int j = 0; j < N; j++)
            sum[j] = sum[j] + (j < N - APART ? splat(by) : real(bits(splat(by)) & ~dropped(j))) * load(row + j * W);
    }
    to.take(sum, column);
}

// Each of a number below eight, which the compiler then knows.
template <int N = STRIP - 1, class Each>
inline auto with_lot(int64_t number, const Each& each) {
    if constexpr (N > 0)
        if (number != N) return with_lot<N - 1>(number, each);
    return each(std::integral_constant<int, N>());
}

// One group's row of cells; REST vectors, 0 for a whole strip, are the last strip.
template <int REST, int APART = 0, int WHOLE = STRIP, class To>
INLINE void strips_of(const Legs& legs, int64_t first, int64_t last, To& to, const double* onto = nullptr) {
    constexpr int LEFT = REST > 0 ? REST : WHOLE;
    int64_t from = 0;
    for (; from + LEFT * W < legs.pitch; from += WHOLE * W) strip<WHOLE>(legs, first, last, from, to, onto);
    strip<LEFT, (APART <= LEFT ? APART : 0)>(legs, first, last, from, to, onto);
}

struct ToRow {  // writes the cells
    double* row;
    template <int N>
    inline void take(V (&sum)[N], int64_t column) {
        for (int j = 0; j < N; j++) store(row + column + j * W, sum[j]);
    }
};

constexpr int64_t LONG = 256, AT_ONCE = 16;  // columns, legs

// Long rows lie far: some legs at a time go along the whole row in narrow strips, so that each is read in one go.
inline void write_row(const Legs& legs, int64_t first, int64_t last, double* out) {
    ToRow to{out};
    if (legs.pitch < LONG || first == last)
        return with_lot(legs.pitch / W % STRIP, [&](auto rest) { strips_of<rest>(legs, first, last, to); });
    with_lot<NARROW - 1>(legs.pitch / W % NARROW, [&](auto rest) {
        for (int64_t i = first; i < last; i += AT_ONCE)
            strips_of<rest, 0, NARROW>(legs, i, std::min(i + AT_ONCE, last), to, i > first ? out : nullptr);
    });
}

// Whether a cell is no number.
inline bool strange(const double* row, int64_t cells) {
    Mask odd{};
    int64_t i = 0;
    for (; i + W <= cells; i += W) odd |= unordered(load(row + i));
    return any(odd | (unordered(load(row + i)) & before(cells - i)));
}

// Fills the `figures` of each group, which are no numbers where a group is not within the legs; how many groups begin
// with none.
template <class Fill>
inline int64_t each_group(const Groups& g, int64_t first, int64_t last, int64_t figures, const Fill& fill) {
    const Legs legs{g.scale, g.index, g.matrix, g.contracts, g.pitch};
    int64_t bad = 0;
    for (int64_t i = first; i < last; i++) {
        const int64_t from = g.starts[i], to = i + 1 < g.groups ? g.starts[i + 1] : g.legs;
        double* const out = g.out + i * figures;
        if (0 <= from && from <= to && to <= g.legs) fill(legs, from, to, out);
        else std::fill_n(out, figures, __builtin_nan(""));
        bad += out[0] != out[0];
    }
    return bad;
}

int64_t group_rows(const Groups& g, int64_t first, int64_t last) {
    return each_group(g, first, last, g.pitch, [&](const Legs& legs, int64_t from, int64_t to, double* out) {
        write_row(legs, from, to, out);
    });
}

// --- the lowest cells of a row, exactly, without sorting it
//
// The row is cut into parts. Where `depth` of these have a cell at or below a bound, the lowest `depth` cells of the
// row lie there too: those cells are gathered, and the lowest of them sorted, so that they are summed in one order.

// Of this level alone, so that its sorts are too: the linker keeps one of those that levels share.
constexpr auto lower = [](const auto& a, const auto& b) { return a < b; };

// The lowest `depth` of n cells in front, ascending; there is room for a vector more. Few find their places by counting
// what is lower, without a branch on the cells, which no processor could foresee.
inline void ascend(double* x, int64_t n, int64_t depth) {
    constexpr int64_t FEW = 128;
    if (n > FEW) {
        std::nth_element(x, x + depth - 1, x + n, lower);
        return std::sort(x, x + depth, lower);
    }
    double placed[FEW + 1];
    std::fill_n(placed, n, __builtin_nan(""));
    std::fill_n(x + n, W, __builtin_inf());
    for (int64_t i = 0; i < n; i += W) {
        const V mine = load(x + i);
        Mask lower{};  // -1 for each
        for (int64_t j = 0; j < n; j++) lower += splat(x[j]) < mine;
        for (int k = 0; k < W; k++) placed[-lower[k]] = x[i + k];
    }
    double last = 0.0;  // equal cells share a place, and leave those behind it
    for (int64_t i = 0; i < depth; i++) x[i] = last = placed[i] == placed[i] ? placed[i] : last;
}

// No less than the lowest `depth` cells: the last of as many among the lowest cells of twice as many parts of the row.
inline double bound_of(const double* row, int64_t cells, int64_t depth, double* lows) {
    const int64_t parts = (2 * depth + WIDE - 1) / WIDE * WIDE;
    if (4 * parts > cells) return __builtin_inf();
    for (int64_t j = 0; j < parts; j += W) {
        V low = load(row + j);
        for (int64_t i = j + parts; i + W <= cells; i += parts) low = least(load(row + i), low);
        store(lows + j, low);
    }
    ascend(lows, parts, depth);
    return lows[depth - 1];
}

// The tail of a row; NaN where a cell is no number. `kept` has room for the cells and a vector more.
inline double tail_of(const double* row, int64_t cells, const Tail& tail, double* kept) {
    if (strange(row, cells)) return __builtin_nan("");
    const V bound = splat(bound_of(row, cells, tail.depth, kept));
    int64_t count = 0, i = 0;
    for (; i + W <= cells; i += W) count += compress(load(row + i), load(row + i) <= bound, kept + count);
    const V rest = select(before(cells - i), load(row + i), splat(__builtin_inf()));
    count += compress(rest, rest <= bound, kept + count);  // what fills the vector up comes last
    ascend(kept, count, tail.depth);
    if (tail.shares == nullptr) return kept[tail.depth - 1];
    double sum = 0.0;
    for (i = 0; i < tail.depth; i++) sum = __builtin_fma(tail.shares[i], kept[i], sum);
    return sum;
}

int64_t group_tail(const Groups& g, int64_t first, int64_t last) {
    Store<double> scratch;
    double* const row = scratch.of(2 * g.pitch + WIDE);
    return each_group(g, first, last, 1, [&](const Legs& legs, int64_t from, int64_t to, double* out) {
        write_row(legs, from, to, row);
        const double found = tail_of(row, g.scenarios, g.tail, row + g.pitch);
        *out = found < 0.0 ? -found : found != found ? found : 0.0;
    });
}

struct ToWorst {  // keeps the lowest cell, and of each lane one that is no number
    V low = splat(0.0);
    Mask odd{};
    template <int N>
    inline void take(V (&sum)[N], int64_t) {
        for (const V x : sum) low = least(x, low);
        for (const V x : sum) odd |= unordered(x);
    }
    inline double figure() const { return any(odd) ? __builtin_nan("") : 0.0 - lowest_lane(low); }
};

int64_t group_worst(const Groups& g, int64_t first, int64_t last) {
    return with_lot(g.pitch / W % STRIP, [&](auto rest) {
        const auto fill = [&](const Legs& legs, int64_t from, int64_t to, double* out) __attribute__((always_inline)) {
            ToWorst worst;
            strips_of<rest>(legs, from, to, worst);
            *out = worst.figure();
            if (*out != *out) group_tail(g, out - g.out, out - g.out + 1);  // for what fills the row up, or a scenario
        };
        return each_group(g, first, last, 1, fill);
    });
}

}  // namespace
