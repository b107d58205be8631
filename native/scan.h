// Legs times scenario rows, closed out and folded level by level on the way up, then measured: without a table of rows.
#pragma once

#include <algorithm>
#include <numeric>
#include <vector>

#include "block.h"
#include "group.h"
#include "select.h"
#include "slope.h"

namespace {

class Climb {  // one scan over a block, to the rows of `line`
public:
    Climb(const Program& p, Block& b, const Scan& s, int line)
        : p_(p), b_(b), s_(s), line_(line), stride_(b.rows[line].stride), cells_(b.cells.of(3 * s.pitch + WIDE)),
          legs_{b.quantity.at, s.index < 0 ? b.row.at : b.scan_row.at, p.matrices + s.matrix, s.pitch, kept_} {
        for (int64_t j = 0; j < WIDE; j++) kept_[j] = s.unsigned_lanes >> j & 1 ? ~SIGN : ~uint64_t{0};
        for (const Segment *g = p.segments + s.first_segment, *end = g + s.segments; g != end; g++) {
            measured_.push_back({*g, target(b, line, g->dst), operand(p, b, line, g->weight)});
            const int64_t registers = g->measure == CELLS ? g->to - g->from : 1;
            if (line == UNIT) std::fill_n(target(b, line, g->dst), registers * stride_, 0.0);  // without legs
        }
    }

    void run() {
        const int32_t *const at = p_.which + s_.index, *const key = b_.rows[LEG].key.at;
        for (int64_t leg = 0; s_.index >= 0 && leg < b_.legs; leg++) b_.scan_row.at[leg] = at[key[leg]];
        with_lot(s_.pitch / W % STRIP,
                 [&](auto rest) { s_.unsigned_lanes ? rows_of<rest, WIDE / W>() : rows_of<rest, 0>(); });
    }

private:
    struct Measured {  // a segment, and where its figures go
        Segment segment;
        double* to;
        Operand weight;
    };

    template <int REST, int APART>
    void rows_of() {
        const Rows& rows = b_.rows[s_.chain[0]];
        for (int64_t row = 0; row < rows.count; row++) {
            const int64_t first = rows.first.at[row], last = rows.first.at[row + 1];
            if (first == last) continue;
            ToRow to{cells_};
            if (s_.pitch < LONG) strips_of<REST, APART>(legs_, first, last, s_.pitch, to);
            else write_row(legs_, first, last, s_.pitch, cells_);
            climb(row);
        }
    }

    // The row of chain[0] is complete: it is folded and added to the row above. What is complete with it climbs on.
    void climb(int64_t row) {
        for (int64_t i = 0;; i++) {
            const int level = static_cast<int>(s_.chain[i]);
            double* const x = cells_ + i * s_.pitch;
            for (const Fold *f = p_.folds + s_.first_fold, *end = f + s_.folds; f != end; f++)
                if (f->level == level) fold(*f, x, row);
            if (level == line_) return measure(x, row);
            const int above = static_cast<int>(s_.chain[i + 1]);
            const int64_t whole = parent(b_, level, above, row);
            double* const sum = x + s_.pitch;
            const bool anew = row == 0 || parent(b_, level, above, row - 1) != whole;
            for (int64_t j = 0; j < s_.pitch; j += W) store(sum + j, anew ? load(x + j) : load(sum + j) + load(x + j));
            if (row + 1 < b_.rows[level].count && parent(b_, level, above, row + 1) == whole) return;
            row = whole;
        }
    }

    // A fold, x -> min(gain max(x, 0), cap) + min(loss min(x, 0) + deductible, 0), the last part where it is given; or
    // a close-out, x -> x + (slope - 1) y, the slope of gain or loss that the shocked cell y has.
    void fold(const Fold& f, double* x, int64_t row) const {
        const auto in = [&](int64_t number) { return splat(operand(p_, b_, f.level, number)[row]); };
        const bool deducted = f.deductible != NONE;
        const V gain = in(f.gain), loss = in(f.loss), cap = in(f.cap), less = deducted ? in(f.deductible) : gain;
        const V zero = splat(0.0), one = splat(1.0);
        for (int64_t i = f.from; i < f.to; i += W) {
            const V cell = load(x + i), shocked = load(x + f.close_out + i);
            const V slope = select(zero < shocked, gain, select(shocked < zero, loss, one));
            V lost = loss * least(zero, cell);  // NaN stays
            if (deducted) lost = minimum(lost + less, zero);
            const V folded = minimum(gain * greatest(zero, cell), cap) + lost;
            const V bent = f.close_out == 0 ? folded : cell + (slope - one) * shocked;
            store(x + i, i + W <= f.to ? bent : select(before(f.to - i), bent, cell));
        }
    }

    void measure(const double* x, int64_t row) {
        for (const Measured& m : measured_) {
            const Segment& g = m.segment;
            if (g.measure != CELLS) m.to[row] = figure(g, x + g.from, g.to - g.from) * m.weight[row];
            else for (int64_t j = g.from; j < g.to; j++) m.to[(j - g.from) * stride_ + row] = x[j];
        }
    }

    double figure(const Segment& g, const double* x, int64_t cells) {
        if (g.measure == WORST) return worst_of(x, cells);
        if (g.measure == ROW) return std::accumulate(x, x + cells, 0.0);
        const Tail tail{g.shares < 0 ? nullptr : p_.shares + g.shares, g.depth};
        const double lowest = tail_of(x, cells, tail, b_.kept.of(cells + WIDE));
        return lowest > 0.0 ? 0.0 : 0.0 - lowest;
    }

    // A cell that is no number shows in the sum of all; infinities of both signs may too, and are looked at.
    static inline double worst_of(const double* x, int64_t cells) {
        V low = splat(0.0), all = splat(0.0);
        for (int64_t i = 0; i < cells; i += W) {
            const V cell = i + W <= cells ? load(x + i) : select(before(cells - i), load(x + i), splat(0.0));
            low = least(cell, low);
            all = all + cell;
        }
        if (any(unordered(all)) && strange(x, cells)) return __builtin_nan("");
        return 0.0 - lowest_lane(low);
    }

    const Program& p_;
    Block& b_;
    const Scan& s_;
    const int line_;
    const int64_t stride_;  // from register to register
    double* const cells_;  // of a row at each level of the chain
    uint64_t kept_[WIDE];  // of a quantity, in each of the last columns
    const Legs legs_;
    std::vector<Measured> measured_;
};

}  // namespace
