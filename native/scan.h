// Legs times scenario rows, closed out and folded level by level on the way up, then measured: without a table of rows.
#pragma once

#include "block.h"
#include "group.h"
#include "select.h"
#include "slope.h"

namespace {

class Climb {  // one scan over a block
public:
    Climb(const Program& p, Block& b, const Scan& s)
        : p_(p), b_(b), s_(s),
          legs_{b.quantity.at, s.index < 0 ? b.row.at : b.scan_row.at, p.matrices + s.matrix, s.pitch, kept_} {
        for (int64_t j = 0; j < WIDE; j++) kept_[j] = s.unsigned_lanes >> j & 1 ? ~SIGN : ~uint64_t{0};
    }

    void run() {
        const int32_t *const at = p_.which + s_.index, *const key = b_.rows[LEG].key.at;
        for (int64_t leg = 0; s_.index >= 0 && leg < b_.legs; leg++) b_.scan_row.at[leg] = at[key[leg]];
        double* cells = b_.cells.of(5 * s_.pitch);
        for (int64_t i = 0; i < 3; i++) at_[i] = cells + i * s_.pitch;
        shocked_ = cells + 3 * s_.pitch;
        prepare();
        with_lot(s_.pitch / W % STRIP, [&](auto rest) { s_.unsigned_lanes ? rows_of<rest.is, WIDE / W>() : rows_of<rest.is, 0>(); });
        for (int64_t i = 1; i < s_.depth(); i++) leave(i);
    }

private:
    int line() const { return static_cast<int>(s_.chain[s_.depth() - 1]); }

    struct Measured {  // a segment, and where its figures go
        int64_t measure, from, cells;
        double* to;
        Operand weight;
        const Segment* segment;
    };

    // What every row asks for. Units without legs get zeros: no row of theirs is ever measured.
    void prepare() {
        static const double ones[WIDE] = {1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0};
        const int64_t rows = b_.rows[line()].count;
        measured_ = reinterpret_cast<Measured*>(b_.measured.of(s_.segments * static_cast<int64_t>(sizeof(Measured))));
        bends_ = reinterpret_cast<Bend*>(b_.bends.of(s_.folds * static_cast<int64_t>(sizeof(Bend))));
        for (int64_t i = 0; i < s_.folds; i++) bends_[i] = Bend(p_, b_, p_.folds[s_.first_fold + i]);
        for (int64_t i = 0; i < s_.segments; i++) {
            const Segment& g = p_.segments[s_.first_segment + i];
            const bool lanes = g.measure == LANES;
            const int64_t cells = g.to - g.from;
            double* to = lanes ? b_.lanes.of((rows + 1) * cells) : target(b_, line(), g.dst);
            const Operand weight = g.weight == NONE ? Operand{ones, 0} : operand(p_, b_, line(), g.weight);
            measured_[i] = {g.measure, g.from, cells, to, weight, &g};
            if (line() == UNIT) std::memset(to, 0, static_cast<size_t>(lanes ? rows * cells : rows) * sizeof(double));
        }
    }

    template <int REST, int APART>
    void rows_of() {
        const Rows& rows = b_.rows[s_.chain[0]];
        for (int64_t row = 0; row < rows.count; row++) {
            const int64_t first = rows.first.at[row], last = rows.first.at[row + 1];
            if (first == last) continue;
            ToRow to{at_[0]};
            if (s_.pitch < LONG) strips_of<REST, APART>(legs_, first, last, s_.pitch, to);
            else write_row(legs_, first, last, s_.pitch, at_[0]);
            if (s_.shocked >= 0) close_out(row, first, last);
            arrived(0, row);
        }
    }

    void close_out(int64_t row, int64_t first, int64_t last) {
        Legs legs = legs_;
        legs.matrix = p_.matrices + s_.shocked;
        write_row(legs, first, last, s_.pitch, shocked_);
        for (int64_t i = 0; i < s_.folds; i++) {
            if (!bends_[i].close_out) continue;
            const Slope slope = bends_[i].at(row);
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
            const Bend& f = bends_[k];
            if (!f.close_out && f.level == level) fold(f.at(row), x, f.from, f.to);
        }
        if (i + 1 == s_.depth()) return measure(row);
        const int above = static_cast<int>(s_.chain[i + 1]);
        const int64_t whole = parent(b_, level, above, row);
        double* const sum = at_[i + 1];
        if (whole == open_[i + 1]) {
            for (int64_t j = 0; j < s_.pitch; j += W) store(sum + j, load(sum + j) + load(x + j));
            return;
        }
        leave(i + 1);
        open_[i + 1] = whole;
        for (int64_t j = 0; j < s_.pitch; j += W) store(sum + j, load(x + j));
    }

    __attribute__((noinline)) void leave(int64_t i) {
        const int64_t row = open_[i];
        open_[i] = -1;
        if (row >= 0) arrived(i, row);
    }

    static void fold(const Slope& slope, double* x, int64_t from, int64_t to) {
        for (; from + W <= to; from += W) store(x + from, slope(load(x + from)));
        if (from == to) return;
        const V rest = load(x + from);
        store(x + from, select(before(to - from), slope(rest), rest));
    }

    void measure(int64_t row) {
        const double* x = at_[s_.depth() - 1];
        for (const Measured *m = measured_, *end = m + s_.segments; m != end; m++) {
            const double* from = x + m->from;
            if (m->measure == WORST) {
                m->to[row] = worst_of(from, m->cells) * m->weight[row];
            } else if (m->measure == LANES) {
                for (int64_t j = 0; j < m->cells; j += W) store(m->to + row * m->cells + j, load(from + j));
            } else {
                m->to[row] = measured(*m->segment, from, m->cells) * m->weight[row];
            }
        }
    }

    double measured(const Segment& g, const double* x, int64_t cells) {
        double result = 0.0;
        if (g.measure == SHORTFALL || g.measure == AT_RISK) {
            const Tail tail{g.measure == SHORTFALL ? p_.shares + g.shares : nullptr, g.depth};
            result = tail_of(x, cells, tail, b_.kept.of(cells + WIDE));
            return result != result ? result : result < 0.0 ? -result : 0.0;
        }
        for (int64_t i = 0; i < cells; i++) result += x[i];
        return g.measure == ROW ? result : -(result / static_cast<double>(cells));
    }

    // A cell that is no number shows in the sum of all; infinities of both signs may too, and are looked at.
    static inline double worst_of(const double* x, int64_t cells) {
        V low = splat(0.0), all = splat(0.0);
        int64_t i = 0;
        for (; i + W <= cells; i += W) {
            low = least(load(x + i), low);
            all = all + load(x + i);
        }
        if (i < cells) {
            const V rest = select(before(cells - i), load(x + i), splat(0.0));
            low = least(rest, low);
            all = all + rest;
        }
        if (any(unordered(all)) && strange(x, cells)) return __builtin_nan("");
        return 0.0 - lowest_lane(low);
    }

    const Program& p_;
    Block& b_;
    const Scan& s_;
    uint64_t kept_[WIDE];  // of a quantity, in each of the last columns
    const Legs legs_;
    double* at_[3];
    double* shocked_ = nullptr;
    Measured* measured_ = nullptr;
    Bend* bends_ = nullptr;
    int64_t open_[3] = {-1, -1, -1};
};

}  // namespace
