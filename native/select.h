// The lowest cells of a row, exactly, without sorting it.
//
// The row is cut into parts. Where `depth` of these have a cell at or below a bound, the lowest `depth` cells of the row lie
// there too: those cells are gathered, and the lowest of them sorted, so that they are summed in one order.
#pragma once

#include "engine.h"
#include "group.h"
#include "simd.h"

namespace {

template <class T>
inline void swap(T& a, T& b) {
    const T c = a;
    a = b;
    b = c;
}

// Moves what comes before `pivot` (or is it, where `with_equal`) to the front of [low, high]; where the rest begins.
// Without a branch on the cells, which no processor could foresee.
inline int64_t split_at(double* x, int64_t low, int64_t high, double pivot, bool with_equal) {
    int64_t rest = low;
    for (int64_t i = low; i <= high; i++) {
        const double cell = x[i];
        x[i] = x[rest];
        x[rest] = cell;
        rest += with_equal ? !(pivot < cell) : cell < pivot;
    }
    return rest;
}

// Puts the lowest k of [0, n) in front, 0 < k <= n (Hoare 1961, the middle of three as pivot).
inline void lowest_in_front(double* x, int64_t n, int64_t k) {
    int64_t low = 0, high = n - 1;
    while (low < high) {
        const double a = x[low], b = x[low + (high - low) / 2], c = x[high];
        const double lesser = a < b ? a : b, greater = a < b ? b : a;
        const double pivot = c < lesser ? lesser : greater < c ? greater : c;
        const int64_t equal = split_at(x, low, high, pivot, false);
        if (k <= equal) {
            high = equal - 1;
            continue;
        }
        low = split_at(x, equal, high, pivot, true);
        if (k <= low) return;
    }
}

template <class T>
inline void sift(T* x, int64_t root, int64_t n) {
    for (int64_t child = 2 * root + 1; child < n; child = 2 * root + 1) {
        if (child + 1 < n && x[child] < x[child + 1]) child++;
        if (!(x[root] < x[child])) return;
        swap(x[root], x[child]);
        root = child;
    }
}

// Ascending: by insertion where few, else by heap, which no order of the cells makes slow.
template <class T>
inline void sort(T* x, int64_t n) {
    if (n <= 48) {
        for (int64_t i = 1; i < n; i++) {
            const T held = x[i];
            int64_t j = i;
            for (; j > 0 && held < x[j - 1]; j--) x[j] = x[j - 1];
            x[j] = held;
        }
        return;
    }
    for (int64_t root = n / 2 - 1; root >= 0; root--) sift(x, root, n);
    for (int64_t end = n - 1; end > 0; end--) {
        swap(x[0], x[end]);
        sift(x, 0, end);
    }
}

// The lowest `depth` of n cells in front, ascending; there is room for a vector more. Few find their places by counting
// what is lower, without a branch on the cells.
inline void ascend(double* x, int64_t n, int64_t depth) {
    constexpr int64_t FEW = 128;
    if (n > FEW) {
        if (depth < n) lowest_in_front(x, n, depth);
        return sort(x, depth);
    }
    double placed[FEW + 1];
    for (int64_t i = 0; i < n; i++) placed[i] = __builtin_nan("");
    for (int64_t i = n; i % W != 0; i++) x[i] = __builtin_inf();
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
    const double bound = bound_of(row, cells, tail.depth, kept);
    int64_t count = 0, i = 0;
    for (; i + W <= cells; i += W) {
        const V x = load(row + i);
        count += compress(x, x <= splat(bound), kept + count);
    }
    for (; i < cells; i++) {
        kept[count] = row[i];
        count += row[i] <= bound;
    }
    ascend(kept, count, tail.depth);
    if (tail.shares == nullptr) return kept[tail.depth - 1];
    double sum = 0.0;
    for (i = 0; i < tail.depth; i++) sum = __builtin_fma(tail.shares[i], kept[i], sum);
    return sum;
}

Fault group_tail(const Groups& g, int64_t first, int64_t last) {
    Store<double> scratch;
    double* row = scratch.of(2 * g.pitch + WIDE);
    return each_group(g, first, last, [&](const NewLegs& legs, int64_t group, int64_t from, int64_t to) {
        if (write_new(legs, from, to, row) != Wrong::nothing) return Wrong::leg;
        const double found = tail_of(row, g.scenarios, g.tail, row + g.pitch);
        g.out[group] = found < 0.0 ? -found : 0.0;
        return found == found ? Wrong::nothing : Wrong::number;
    });
}

}  // namespace
