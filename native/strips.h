// The usual scan without a row in memory: a strip of columns climbs in registers from the legs to the line's own row.
//
// It serves where every measure is the worst cell, nothing is closed out, and a vector of columns is folded once at most,
// at the finest level. The operations are those of Climb in its order, so the bits are the same.
#pragma once

#include "slope.h"

namespace {

class Strips {
    static constexpr int64_t MOST = 16;  // folds, and segments

public:
    Strips(const Program& p, Block& b, const Scan& s, const Legs& legs)
        : p_(p), b_(b), s_(s), legs_(legs), fine_(b.rows[s.chain[0]]), line_(static_cast<int>(s.chain[s.depth() - 1])) {
        for (int64_t k = 0; k < s.folds; k++) bends_[k] = Bend(p, b, p.folds[s.first_fold + k]);
        for (int64_t i = 0; i < s.segments; i++) dst_[i] = target(b, line_, segment(i).dst);
    }

    static bool serves(const Program& p, const Scan& s) {
        if (s.shocked >= 0 || s.depth() > 2 || s.folds > MOST || s.segments > MOST) return false;
        for (int64_t i = 0; i < s.segments; i++) {
            const Segment& g = p.segments[s.first_segment + i];
            if (g.measure != WORST || g.from % WIDE != 0 || g.to % WIDE != 0) return false;
        }
        for (int64_t k = 0; k < s.folds; k++) {
            const Fold& f = p.folds[s.first_fold + k];
            if (f.level != s.chain[0] || f.from % WIDE != 0 || f.to % WIDE != 0) return false;
            for (int64_t other = 0; other < k; other++) {
                const Fold& g = p.folds[s.first_fold + other];
                if (f.from < g.to && g.from < f.to) return false;
            }
        }
        return true;
    }

    void run() {
        const int64_t rows = b_.rows[line_].count;
        const int32_t* first = b_.rows[line_].first.at;
        for (int64_t i = 0; i < s_.segments; i++) {
            for (int64_t row = 0; row < rows; row++) dst_[i][row] = 0.0;
        }
        for (int64_t column = 0; column < s_.pitch; column += STRIP * W) strip(column);
        for (int64_t i = 0; i < s_.segments; i++) {
            const Segment& g = segment(i);
            if (g.weight == NONE) continue;
            const Operand weight = operand(p_, b_, line_, g.weight);
            for (int64_t row = 0; row < rows; row++)
                if (first[row] != first[row + 1]) dst_[i][row] *= weight[row];
        }
    }

private:
    const Segment& segment(int64_t i) const { return p_.segments[s_.first_segment + i]; }

    void strip(int64_t column) {
        const int64_t left = (s_.pitch - column) / W;
        if (left >= STRIP) return climb<STRIP>(column);
        with_lot(left, [&](auto lot) {
            if constexpr (lot.is > 0) climb<lot.is>(column);
        });
    }

    template <int N>
    void climb(int64_t column) {
        const int32_t* above = b_.rows[line_].of_leg.at;
        V sum[N], total[N];
        int64_t open = -1;
        for (int64_t row = 0; row < fine_.count; row++) {
            const int64_t first = fine_.first.at[row], last = fine_.first.at[row + 1];
            if (first == last) continue;
            sums<N>(legs_, first, last, column, sum);
            for (int64_t k = 0; k < s_.folds; k++) bend<N>(bends_[k], column, row, sum);
            if (s_.depth() == 1) {
                measure<N>(column, row, sum);
                continue;
            }
            const int64_t parent = above[first];
            if (parent != open) {
                if (open >= 0) measure<N>(column, open, total);
                open = parent;
#pragma GCC unroll 8
                for (int j = 0; j < N; j++) total[j] = sum[j];
                continue;
            }
#pragma GCC unroll 8
            for (int j = 0; j < N; j++) total[j] = total[j] + sum[j];
        }
        if (open >= 0) measure<N>(column, open, total);
    }

    template <int N>
    inline void bend(const Bend& f, int64_t column, int64_t row, V (&x)[N]) {
        const int64_t from = (f.from - column) / W, to = (f.to - column) / W;
        if (to <= 0 || from >= N) return;
        const Slope slope = f.at(row);
        // every place is known to the compiler, so that the strip stays in registers
#pragma GCC unroll 8
        for (int j = 0; j < N; j++)
            if (from <= j && j < to) x[j] = slope(x[j]);
    }

    template <int N>
    inline void measure(int64_t column, int64_t row, const V (&x)[N]) {
        for (int64_t i = 0; i < s_.segments; i++) {
            const Segment& g = segment(i);
            const int64_t from = (g.from - column) / W, to = (g.to - column) / W;
            if (to <= 0 || from >= N) continue;
            V low = splat(0.0);
            Mask odd = Mask{};
#pragma GCC unroll 8
            for (int j = 0; j < N; j++) {
                if (j < from || j >= to) continue;
                low = least(x[j], low);
                odd = either(odd, unordered(x[j]));
            }
            double& worst = dst_[i][row];
            const double loss = any(odd) ? __builtin_nan("") : -lowest_lane(low);
            worst = worst != worst || loss <= worst ? worst : loss;
        }
    }

    const Program& p_;
    Block& b_;
    const Scan& s_;
    const Legs legs_;
    const Rows& fine_;
    const int line_;
    Bend bends_[MOST];
    double* dst_[MOST];
};

}  // namespace
