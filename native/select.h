// The lowest cells of a row, exactly, without sorting it.
//
// Cells below a guessed bound are gathered and the lowest `depth` of them sorted, so that they are summed in one order
// whatever the guess. The guess is a multiple of the row's root mean square, tuned from row to row; where too few cells
// lie below it, all are gathered: the guess moves the time and never the result.
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

inline double mean_square(const double* row, int64_t cells) {
    V sum[2] = {splat(0.0), splat(0.0)};
    int64_t i = 0;
    for (; i + 2 * W <= cells; i += 2 * W) {
        const V a = load(row + i), b = load(row + i + W);
        sum[0] = fma(a, a, sum[0]);
        sum[1] = fma(b, b, sum[1]);
    }
    double lanes[W], total = 0.0;
    store(lanes, sum[0] + sum[1]);
    for (double lane : lanes) total += lane;
    for (; i < cells; i++) total += row[i] * row[i];
    return total / static_cast<double>(cells);
}

// The tail of a row; NaN where a cell is no number. `kept` has room for the cells and a vector more; `guess` is what
// this function left there (0 at first).
inline double tail_of(const double* row, int64_t cells, const Tail& tail, double* kept, double& guess) {
    constexpr int64_t FEW = 64;
    const double square = mean_square(row, cells);
    if (square != square) return square;
    if (!(guess > 0.0)) guess = 1.0;
    int64_t count = 0;
    if (cells > FEW && 4 * tail.depth <= cells) {
        const V bound = splat(-guess * __builtin_sqrt(square));
        int64_t i = 0;
        for (; i + W <= cells; i += W) {
            const V x = load(row + i);
            count += compress(x, x < bound, kept + count);
        }
        double lanes[W];
        store(lanes, bound);
        for (; i < cells; i++) {
            kept[count] = row[i];
            count += row[i] < lanes[0];
        }
        if (count < tail.depth) guess *= 0.85;
        if (count > tail.depth + tail.depth / 2 + 8) guess *= 1.02;
    }
    if (count < tail.depth) {
        count = cells;
        for (int64_t i = 0; i < cells; i++) kept[i] = row[i];
    }
    if (count > tail.depth) lowest_in_front(kept, count, tail.depth);
    if (tail.shares == nullptr) {
        double last = kept[0];
        for (int64_t i = 1; i < tail.depth; i++) last = last < kept[i] ? kept[i] : last;
        return last;
    }
    sort(kept, tail.depth);
    double sum = 0.0;
    for (int64_t i = 0; i < tail.depth; i++) sum = __builtin_fma(tail.shares[i], kept[i], sum);
    return sum;
}

Fault group_tail(const Groups& g, int64_t first, int64_t last) {
    const Legs legs = legs_of(g);
    Store<double> scratch;
    double* row = scratch.of(2 * g.pitch + WIDE);
    double guess = 0.0;
    for (int64_t i = first; i < last; i++) {
        write_row(legs, g.starts[i], g.starts[i + 1], g.pitch, row);
        const double found = tail_of(row, g.scenarios, g.tail, row + g.pitch, guess);
        if (found != found) return {Wrong::number, i};
        g.out[i] = found < 0.0 ? -found : 0.0;
    }
    return NO_FAULT;
}

}  // namespace
