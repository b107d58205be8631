// The lowest cells of a row, exactly, without sorting it.
//
// The row is cut into parts. Where `depth` of these have a cell at or below a bound, the lowest `depth` cells of the row lie
// there too: those cells are gathered, and the lowest of them sorted, so that they are summed in one order.
#pragma once

#include <algorithm>

#include "group.h"

namespace {

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
    return each_group(g, first, last, 1, [&](const AnyLegs& legs, int64_t from, int64_t to, double* out) {
        write_row(legs, from, to, g.pitch, row);
        const double found = tail_of(row, g.scenarios, g.tail, row + g.pitch);
        *out = found < 0.0 ? -found : found != found ? found : 0.0;
    });
}

struct ToWorst {  // keeps the lowest cell, and a sum that is no number where a cell is none, or infinities meet
    V low = splat(0.0), all = splat(0.0);
    template <int N>
    inline void take(V (&sum)[N], int64_t) {
        for (const V x : sum) low = least(x, low);
        for (const V x : sum) all = all + x;
    }
};

int64_t group_worst(const Groups& g, int64_t first, int64_t last) {
    Groups strange = g;  // those whose sum is no number: the lowest cell, once all have been looked at
    strange.tail = {nullptr, 1};
    return with_lot(g.pitch / W % STRIP, [&](auto rest) {
        const auto fill = [&](const AnyLegs& legs, int64_t from, int64_t to, double* out) __attribute__((always_inline)) {
            ToWorst worst;
            strips_of<rest>(legs, from, to, g.pitch, worst);
            *out = 0.0 - lowest_lane(worst.low);
            if (any(unordered(worst.all))) group_tail(strange, out - g.out, out - g.out + 1);
        };
        return each_group(g, first, last, 1, fill);
    });
}

}  // namespace
