// The lowest cells of a row, exactly, without sorting it.
//
// Cells below a bound are gathered; when enough have come together, the lowest `depth` of them are kept and the highest
// of those is the new bound. What is left is sorted, so that it is summed in one order whatever came before. Enough is
// the geometric mean of depth and cells: fewer make the first bound loose, more make it late.
#pragma once

#include "group.h"
#include "simd.h"
#include "table.h"

namespace {

inline void swap(double& a, double& b) {
    const double c = a;
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

inline void sift(double* x, int64_t root, int64_t n) {
    for (int64_t child = 2 * root + 1; child < n; child = 2 * root + 1) {
        if (child + 1 < n && x[child] < x[child + 1]) child++;
        if (!(x[root] < x[child])) return;
        swap(x[root], x[child]);
        root = child;
    }
}

// Ascending: by insertion where few, else by heap, which no order of the cells makes slow.
inline void sort(double* x, int64_t n) {
    if (n <= 48) {
        for (int64_t i = 1; i < n; i++) {
            const double held = x[i];
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

class Selection {
public:
    Selection(const Tail& tail, int64_t cells)
        : tail_(tail), full_(tail.depth + static_cast<int64_t>(__builtin_sqrt(static_cast<double>(tail.depth * cells)))),
          room_(full_ + V::W), kept_(static_cast<double*>(__builtin_malloc(room_ * 8))) {}
    Selection(const Selection&) = delete;
    Selection& operator=(const Selection&) = delete;
    ~Selection() { __builtin_free(kept_); }

    // False where a cell is no number. `row` has at least `depth` cells.
    bool of(const double* row, int64_t cells, double& out) {
        count_ = 0;
        bound_ = __builtin_inf();
        open_ = true;
        Mask strange = none();
        int64_t i = 0;
        for (; i + V::W <= cells; i += V::W) {
            const V x = load(row + i);
            strange = either(strange, unordered(x));
            if (open_ || any(x < splat(bound_))) gather(row + i, V::W);
        }
        for (; i < cells; i++) {
            if (row[i] != row[i]) return false;
            gather(row + i, 1);
        }
        if (any(strange)) return false;
        if (count_ > tail_.depth) lowest_in_front(kept_, count_, tail_.depth);
        sort(kept_, tail_.depth);
        out = tail_.shares ? weighted() : kept_[tail_.depth - 1];
        return true;
    }

private:
    void gather(const double* cells, int n) {
        for (int i = 0; i < n; i++) {
            kept_[count_] = cells[i];
            count_ += open_ || cells[i] < bound_;
        }
        if (count_ < full_) return;
        lowest_in_front(kept_, count_, tail_.depth);
        count_ = tail_.depth;
        bound_ = kept_[0];
        for (int64_t i = 1; i < count_; i++) bound_ = bound_ < kept_[i] ? kept_[i] : bound_;
        open_ = false;
    }

    double weighted() const {
        double sum = 0.0;
        for (int64_t i = 0; i < tail_.depth; i++) sum = __builtin_fma(tail_.shares[i], kept_[i], sum);
        return sum;
    }

    const Tail tail_;
    const int64_t full_, room_;
    double* const kept_;
    int64_t count_ = 0;
    double bound_ = 0.0;
    bool open_ = true;  // nothing is bounded yet: infinite cells count too
};

Fault tails(const Rows& r, int64_t first, int64_t last) {
    Selection selection(r.tail, r.scenarios);
    for (int64_t row = first; row < last; row++) {
        const double* cells = reinterpret_cast<const double*>(r.at + row * r.pitch);
        if (!selection.of(cells, r.scenarios, r.out[row])) return {Wrong::number, row};
    }
    return NO_FAULT;
}

// Takes one group's row into a scratch row and keeps the loss of its tail.
struct ToTail {
    const Groups& g;
    Selection& selection;
    double* scratch;
    void open(int64_t) {}
    template <int N, bool PART>
    inline void take(V (&sum)[N], int64_t column, Lanes part) {
#pragma GCC unroll 8
        for (int j = 0; j < N; j++) {
            if (PART && j == N - 1) {
                store(scratch + column + j * V::W, sum[j], part);
            } else {
                store(scratch + column + j * V::W, sum[j]);
            }
        }
    }
    bool close(int64_t group) {
        double tail;
        if (!selection.of(scratch, g.scenarios, tail)) return false;
        g.loss[group] = tail < 0.0 ? -tail : 0.0;
        return true;
    }
};

Fault group_tail(const Groups& g, const Tail& tail, int64_t first, int64_t last) {
    Selection selection(tail, g.scenarios);
    double* scratch = static_cast<double*>(__builtin_malloc(g.scenarios * 8 + 8));
    const Fault found = groups(g, first, last, ToTail{g, selection, scratch});
    __builtin_free(scratch);
    return found;
}

}  // namespace
