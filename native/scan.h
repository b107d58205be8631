// Legs times scenario rows, closed out and folded level by level on the way up, then measured: without a table of rows.
#pragma once

#include "block.h"
#include "group.h"
#include "select.h"
#include "strips.h"

namespace {

class Climb {  // one scan over a block
public:
    Climb(const Program& p, Block& b, const Scan& s)
        : p_(p), b_(b), s_(s), legs_{b.quantity.at, b.scan_row.at, p.matrices + s.matrix, s.pitch} {}

    void run() {
        const int32_t *const at = p_.which + s_.index, *const key = b_.rows[LEG].key.at;
        for (int64_t leg = 0; leg < b_.legs; leg++) b_.scan_row.at[leg] = at[key[leg]];
        if (Strips::serves(p_, s_)) return Strips(p_, b_, s_, legs_).run();
        double* cells = b_.cells.of(5 * s_.pitch);
        for (int64_t i = 0; i < 3; i++) at_[i] = cells + i * s_.pitch;
        shocked_ = cells + 3 * s_.pitch;
        if (line() == UNIT) clear();
        const Rows& rows = b_.rows[s_.chain[0]];
        for (int64_t row = 0; row < rows.count; row++) {
            const int64_t first = rows.first.at[row], last = rows.first.at[row + 1];
            if (first == last) continue;
            write_row(legs_, first, last, s_.pitch, at_[0]);
            if (s_.shocked >= 0) close_out(row, first, last);
            arrived(0, row);
        }
        for (int64_t i = 1; i < s_.depth(); i++) leave(i);
    }

private:
    int line() const { return static_cast<int>(s_.chain[s_.depth() - 1]); }

    void clear() {
        for (int64_t i = 0; i < s_.segments; i++) {
            double* dst = target(b_, UNIT, p_.segments[s_.first_segment + i].dst);
            for (int64_t unit = 0; unit < b_.units; unit++) dst[unit] = 0.0;
        }
    }

    double weighted(const Segment& g, int64_t row, double loss) const {
        return g.weight == NONE ? loss : loss * operand(p_, b_, line(), g.weight)[row];
    }

    void close_out(int64_t row, int64_t first, int64_t last) {
        Legs legs = legs_;
        legs.matrix = p_.matrices + s_.shocked;
        write_row(legs, first, last, s_.pitch, shocked_);
        for (int64_t i = 0; i < s_.folds; i++) {
            const Fold& f = p_.folds[s_.first_fold + i];
            if (!f.close_out) continue;
            const Slope slope = Bend(p_, b_, f).at(row);
            const V one = splat(1.0), zero = splat(0.0);
            for (int64_t j = 0; j < s_.pitch; j += W) {
                const V x = load(shocked_ + j);
                const V by = select(zero < x, slope.gain, select(x < zero, slope.loss, one));
                store(at_[0] + j, load(at_[0] + j) + (by - one) * x);
            }
        }
    }

    // The row of chain[i] is complete: fold it, then measure it or add it to the row above.
    void arrived(int64_t i, int64_t row) {
        double* const x = at_[i];
        const int level = static_cast<int>(s_.chain[i]);
        for (int64_t k = 0; k < s_.folds; k++) {
            const Fold& f = p_.folds[s_.first_fold + k];
            if (!f.close_out && f.level == level) fold(Bend(p_, b_, f).at(row), x, f.from, f.to);
        }
        if (i + 1 == s_.depth()) return measure(row);
        const int above = static_cast<int>(s_.chain[i + 1]);
        const int64_t parent = b_.rows[above].of_leg.at[first_leg(b_, level, row)];
        double* const sum = at_[i + 1];
        if (parent == open_[i + 1]) {
            for (int64_t j = 0; j < s_.pitch; j += W) store(sum + j, load(sum + j) + load(x + j));
            return;
        }
        leave(i + 1);
        open_[i + 1] = parent;
        for (int64_t j = 0; j < s_.pitch; j += W) store(sum + j, load(x + j));
    }

    void leave(int64_t i) {
        const int64_t row = open_[i];
        open_[i] = -1;
        if (row >= 0) arrived(i, row);
    }

    static void fold(const Slope& slope, double* x, int64_t from, int64_t to) {
        for (; from + W <= to; from += W) store(x + from, slope(load(x + from)));
        if (from == to) return;
        const Lanes part(to - from);
        store(x + from, slope(load(x + from, part)), part);
    }

    void measure(int64_t row) {
        const double* x = at_[s_.depth() - 1];
        for (int64_t i = 0; i < s_.segments; i++) {
            const Segment& g = p_.segments[s_.first_segment + i];
            const double loss = measured(g, x + g.from, g.to - g.from);
            target(b_, line(), g.dst)[row] = weighted(g, row, loss);
        }
    }

    double measured(const Segment& g, const double* x, int64_t cells) {
        double result = 0.0;
        if (g.measure == SHORTFALL || g.measure == AT_RISK) {
            const Tail tail{g.measure == SHORTFALL ? p_.shares + g.shares : nullptr, g.depth};
            result = tail_of(x, cells, tail, b_.kept.of(cells + WIDE));
            return result != result ? result : result < 0.0 ? -result : 0.0;
        }
        if (g.measure == WORST) return worst_of(x, cells);
        for (int64_t i = 0; i < cells; i++) result += x[i];
        return g.measure == ROW ? result : -(result / static_cast<double>(cells));
    }

    static double worst_of(const double* x, int64_t cells) {
        V low = splat(0.0);
        int64_t i = 0;
        for (; i + W <= cells; i += W) low = minimum(low, load(x + i));
        double lanes[W], lowest = 0.0;
        store(lanes, low);
        for (double lane : lanes) lowest = minimum(lowest, lane);
        for (; i < cells; i++) lowest = minimum(lowest, x[i]);
        return lowest != lowest ? lowest : lowest < 0.0 ? -lowest : 0.0;
    }

    const Program& p_;
    Block& b_;
    const Scan& s_;
    const Legs legs_;
    double* at_[3];
    double* shocked_ = nullptr;
    int64_t open_[3] = {-1, -1, -1};
};

}  // namespace
