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
        : p_(p), b_(b), s_(s), line_(line), stride_(b.rows[line].stride),
          legs_{b.quantity.at, s.index < 0 ? b.row.at : b.scan_row.at, p.matrices + s.matrix, s.pitch, kept_} {
        static const double one[WIDE] = {1.0};
        for (int64_t j = 0; j < WIDE; j++) kept_[j] = s.unsigned_lanes >> j & 1 ? ~SIGN : ~uint64_t{0};
        double* const cells = b.cells.of(3 * s.pitch);
        for (int64_t i = 0; i < 3; i++) cells_[i] = cells + i * s.pitch;
        for (int64_t i = 0; i < s.folds; i++) bends_.emplace_back(p, b, p.folds[s.first_fold + i]);
        for (int64_t i = 0; i < s.segments; i++) {
            const Segment& g = p.segments[s.first_segment + i];
            const Operand weight = g.weight == NONE ? Operand{one, 0} : operand(p, b, line, g.weight);
            const int64_t registers = g.measure == CELLS ? g.to - g.from : 1;
            measured_.push_back({g, target(b, line, g.dst), weight});
            if (line == UNIT) std::fill_n(target(b, line, g.dst), registers * b.rows[line].stride, 0.0);  // without legs
        }
    }

    void run() {
        const int32_t *const at = p_.which + s_.index, *const key = b_.rows[LEG].key.at;
        for (int64_t leg = 0; s_.index >= 0 && leg < b_.legs; leg++) b_.scan_row.at[leg] = at[key[leg]];
        with_lot(s_.pitch / W % STRIP, [&](auto rest) { s_.unsigned_lanes ? rows_of<rest.is, WIDE / W>() : rows_of<rest.is, 0>(); });
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
            ToRow to{cells_[0]};
            if (s_.pitch < LONG) strips_of<REST, APART>(legs_, first, last, s_.pitch, to);
            else write_row(legs_, first, last, s_.pitch, cells_[0]);
            climb(row);
        }
    }

    // The row of chain[0] is complete: it is folded and added to the row above. What is complete with it climbs on.
    void climb(int64_t row) {
        for (int64_t i = 0;; i++) {
            const int level = static_cast<int>(s_.chain[i]);
            double* const x = cells_[i];
            for (const Bend& bend : bends_)
                if (bend.fold->level == level) bend.fold->close_out ? bend.close_out(x, row) : bend.bend(x, row);
            if (level == line_) return measure(x, row);
            const int above = static_cast<int>(s_.chain[i + 1]);
            const int64_t whole = parent(b_, level, above, row);
            double* const sum = cells_[i + 1];
            const bool anew = row == 0 || parent(b_, level, above, row - 1) != whole;
            for (int64_t j = 0; j < s_.pitch; j += W) store(sum + j, anew ? load(x + j) : load(sum + j) + load(x + j));
            if (row + 1 < b_.rows[level].count && parent(b_, level, above, row + 1) == whole) return;
            row = whole;
        }
    }

    void measure(const double* x, int64_t row) {
        for (const Measured& m : measured_) {
            const Segment& g = m.segment;
            if (g.measure == CELLS) {  // into registers, one for each
                double* to = m.to + row;
                for (int64_t j = g.from; j < g.to; j++, to += stride_) *to = x[j];
            } else {
                const double loss = g.measure == WORST ? worst_of(x + g.from, g.to - g.from) : measured(g, x + g.from, g.to - g.from);
                m.to[row] = loss * m.weight[row];
            }
        }
    }

    double measured(const Segment& g, const double* x, int64_t cells) {
        if (g.measure == SHORTFALL || g.measure == AT_RISK) {
            const Tail tail{g.measure == SHORTFALL ? p_.shares + g.shares : nullptr, g.depth};
            const double lowest = tail_of(x, cells, tail, b_.kept.of(cells + WIDE));
            return lowest > 0.0 ? 0.0 : 0.0 - lowest;
        }
        const double sum = std::accumulate(x, x + cells, 0.0);
        return g.measure == ROW ? sum : -(sum / static_cast<double>(cells));
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
    uint64_t kept_[WIDE];  // of a quantity, in each of the last columns
    const Legs legs_;
    double* cells_[3];  // of the rows that are not complete, at each level of the chain
    std::vector<Measured> measured_;
    std::vector<Bend> bends_;
};

}  // namespace
