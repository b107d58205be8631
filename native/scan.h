// Legs times scenario rows, closed out and folded level by level on the way up, then measured: without a table of rows.
#pragma once

#include "block.h"
#include "group.h"
#include "select.h"

namespace {

// As numpy.minimum: what is no number stays.
inline V minimum(V a, V b) { return select(unordered(a), a, least(a, b)); }
inline V maximum(V a, V b) { return select(unordered(a), a, greatest(a, b)); }
inline double minimum(double a, double b) { return a != a || a < b ? a : b; }

// An operand: a register of a level, or a constant, which stands WIDE times so that a vector of it can be read.
struct Operand {
    const double* at;
    int64_t step;  // all ones for a register, 0 for a constant
    double operator[](int64_t i) const { return at[i & step]; }
    V vector(int64_t i) const { return load(at + (i & step)); }
};

inline Operand operand(const Program& p, const Block& b, int level, int64_t number) {
    if (number < 0) return {p.constants + (-1 - number) * WIDE, 0};
    return {b.rows[level].bank.at + number * b.rows[level].stride, -1};
}

inline double* target(const Block& b, int level, int64_t number) {
    return b.rows[level].bank.at + number * b.rows[level].stride;
}

// x -> min(gain max(x, 0), cap) + min(loss min(x, 0) + deductible, 0), each part where it is given.
struct Slope {
    V gain, loss, cap, deductible;
    bool capped, deducted;
    Slope(const Program& p, const Block& b, const Fold& f, int64_t row)
        : gain(splat(operand(p, b, static_cast<int>(f.level), f.gain)[row])),
          loss(splat(operand(p, b, static_cast<int>(f.level), f.loss)[row])), cap(gain), deductible(gain),
          capped(f.cap != NONE), deducted(f.deductible != NONE) {
        if (capped) cap = splat(operand(p, b, static_cast<int>(f.level), f.cap)[row]);
        if (deducted) deductible = splat(operand(p, b, static_cast<int>(f.level), f.deductible)[row]);
    }
    inline V operator()(V x) const {
        V up = gain * greatest(splat(0.0), x), down = loss * least(splat(0.0), x);  // NaN stays
        if (capped) up = minimum(up, cap);
        if (deducted) down = minimum(down + deductible, splat(0.0));
        return up + down;
    }
};

class Climb {  // one scan over a block
public:
    Climb(const Program& p, Block& b, const Scan& s)
        : p_(p), b_(b), s_(s), legs_{b.weight.at, b.contract.at, p.matrices + s.matrix, s.pitch} {}

    void run() {
        const double* scale = p_.tables + s_.scale;
        const int32_t* index = b_.rows[LEG].key.at;
        for (int64_t leg = 0; leg < b_.legs; leg++) b_.weight.at[leg] = b_.quantity.at[leg] * scale[index[leg]];
        const bool plain = s_.depth() == 1 && s_.folds == 0;
        if (plain && all_worst()) return worst_only();
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

    bool all_worst() const {
        for (int64_t i = 0; i < s_.segments; i++)
            if (p_.segments[s_.first_segment + i].measure != WORST) return false;
        return true;
    }

    void clear() {
        for (int64_t i = 0; i < s_.segments; i++) {
            double* dst = target(b_, UNIT, p_.segments[s_.first_segment + i].dst);
            for (int64_t unit = 0; unit < b_.units; unit++) dst[unit] = 0.0;
        }
    }

    // The quick way where nothing happens between the sum and the lowest cell: no row is written.
    void worst_only() {
        const Rows& rows = b_.rows[line()];
        for (int64_t i = 0; i < s_.segments; i++) {
            const Segment& g = p_.segments[s_.first_segment + i];
            double* dst = target(b_, line(), g.dst);
            for (int64_t row = 0; row < rows.count; row++) {
                const int64_t first = rows.first.at[row], last = rows.first.at[row + 1];
                ToWorst to;
                if (first != last) row_of(legs_, first, last, g.from, g.to, to);
                const double loss = to.strange ? __builtin_nan("") : to.loss();
                dst[row] = first == last ? 0.0 : weighted(g, row, loss);
            }
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
            const Slope slope(p_, b_, f, row);
            const V one = splat(1.0), zero = splat(0.0);
            for (int64_t j = 0; j < s_.pitch; j += V::W) {
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
            if (!f.close_out && f.level == level) fold(Slope(p_, b_, f, row), x, f.from, f.to);
        }
        if (i + 1 == s_.depth()) return measure(row);
        const int above = static_cast<int>(s_.chain[i + 1]);
        const int64_t parent = b_.rows[above].of_leg.at[first_leg(b_, level, row)];
        double* const sum = at_[i + 1];
        if (parent == open_[i + 1]) {
            for (int64_t j = 0; j < s_.pitch; j += V::W) store(sum + j, load(sum + j) + load(x + j));
            return;
        }
        leave(i + 1);
        open_[i + 1] = parent;
        for (int64_t j = 0; j < s_.pitch; j += V::W) store(sum + j, load(x + j));
    }

    void leave(int64_t i) {
        const int64_t row = open_[i];
        open_[i] = -1;
        if (row >= 0) arrived(i, row);
    }

    static void fold(const Slope& slope, double* x, int64_t from, int64_t to) {
        for (; from + V::W <= to; from += V::W) store(x + from, slope(load(x + from)));
        if (from == to) return;
        const Lanes part(static_cast<int>(to - from));
        store(x + from, slope(load(x + from, part)), part);
    }

    void measure(int64_t row) {
        const double* x = at_[s_.depth() - 1];
        for (int64_t i = 0; i < s_.segments; i++) {
            const Segment& g = p_.segments[s_.first_segment + i];
            const double loss = measured(g, s_.first_segment + i, x + g.from, g.to - g.from);
            target(b_, line(), g.dst)[row] = weighted(g, row, loss);
        }
    }

    double measured(const Segment& g, int64_t number, const double* x, int64_t cells) {
        double result = 0.0;
        if (g.measure == SHORTFALL || g.measure == AT_RISK) {
            const Tail tail{g.measure == SHORTFALL ? p_.shares + g.shares : nullptr, g.depth};
            result = tail_of(x, cells, tail, b_.kept.of(cells + WIDE), b_.guess.of(p_.segment_count)[number]);
            return result != result ? result : result < 0.0 ? -result : 0.0;
        }
        if (g.measure == WORST) return worst_of(x, cells);
        for (int64_t i = 0; i < cells; i++) result += x[i];
        return g.measure == ROW ? result : -(result / static_cast<double>(cells));
    }

    static double worst_of(const double* x, int64_t cells) {
        V low = splat(0.0);
        int64_t i = 0;
        for (; i + V::W <= cells; i += V::W) low = minimum(low, load(x + i));
        double lanes[V::W], lowest = 0.0;
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
