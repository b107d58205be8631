// Legs times scenario rows, closed out and folded level by level on the way up, then measured: without a table of rows.
#pragma once

#include "select.h"

namespace {

// As numpy.minimum: what is no number stays.
inline V minimum(V a, V b) { return select(unordered(a), a, least(a, b)); }
inline V maximum(V a, V b) { return select(unordered(a), a, greatest(a, b)); }
inline double minimum(double a, double b) { return a != a || a < b ? a : b; }
inline double maximum(double a, double b) { return a != a || b < a ? a : b; }

// An operand: a register of a level, or a constant, which stands WIDE times so that a vector of it can be read.
struct Operand {
    const double* at;
    int64_t step;  // all ones for a register, 0 for a constant
    double operator[](int64_t i) const { return at[i & step]; }
    V vector(int64_t i) const { return load(at + (i & step)); }
};

inline double* target(const Block& b, int64_t level, int64_t number) {
    return b.rows[level].bank.at + number * b.rows[level].stride;
}

inline Operand operand(const Program& p, const Block& b, int64_t level, int64_t number) {
    if (number < 0) return {p.constants + (-1 - number) * WIDE, 0};
    return {target(b, level, number), -1};
}

struct Climb {  // one scan over a block, to the rows of `line`
    const Program& p;
    Block& b;
    const Scan& s;
    const int line;
    const Fold* const folds = p.folds + s.first_fold;
    const Segment* const segments = p.segments + s.first_segment;
    double* const sums = b.cells.of(3 * s.pitch + WIDE);  // of a row at each level of the chain
    uint64_t kept[WIDE] = {};                             // of a quantity, in each of the last columns
    const int32_t* const index = s.index < 0 ? b.row.at : b.scan_row.at;
    const Legs legs = {b.quantity.at, index, p.matrices + s.matrix, s.pitch, kept};
    std::vector<Operand> operands = {};  // of all folds, then the weights of the segments

    void run() {
        const int32_t *const at = p.which + s.index, *const key = b.rows[LEG].key.at;
        for (int64_t leg = 0; s.index >= 0 && leg < b.legs; leg++) b.scan_row.at[leg] = at[key[leg]];
        for (int64_t j = 0; j < WIDE; j++) kept[j] = s.unsigned_lanes >> j & 1 ? ~SIGN : ~uint64_t{0};
        for (const Fold* f = folds; f != folds + s.folds; f++)
            for (const int64_t number : f->operands)
                operands.push_back(operand(p, b, f->level, number == NONE ? f->operands[0] : number));
        for (const Segment* g = segments; g != segments + s.segments; g++) {
            operands.push_back(operand(p, b, line, g->weight));
            const int64_t registers = g->measure == CELLS ? g->to - g->from : 1;
            std::fill_n(target(b, line, g->dst), registers * b.rows[line].stride, 0.0);  // of units without legs
        }
        with_lot(s.pitch / W % STRIP,
                 [&](auto rest) { s.unsigned_lanes ? rows_of<rest, WIDE / W>() : rows_of<rest, 0>(); });
    }

    template <int REST, int APART>
    void rows_of() {
        const Rows& rows = b.rows[s.chain[0]];
        for (int64_t row = 0; row < rows.count; row++) {
            const int64_t first = rows.first.at[row], last = rows.first.at[row + 1];
            if (first == last) continue;
            ToRow to{sums};
            if (s.pitch < LONG) strips_of<REST, APART>(legs, first, last, s.pitch, to);
            else write_row(legs, first, last, s.pitch, sums);
            climb(row);
        }
    }

    // The row of chain[0] is complete: it is folded and added to the row above. What is complete with it climbs on.
    void climb(int64_t row) {
        for (int64_t i = 0;; i++) {
            const int level = static_cast<int>(s.chain[i]);
            double* const x = sums + i * s.pitch;
            for (int64_t k = 0; k < s.folds; k++)
                if (folds[k].level == level) fold(folds[k], &operands[k * OPERANDS], x, row);
            if (level == line) return measure(x, row);
            const int above = static_cast<int>(s.chain[i + 1]);
            const int64_t whole = parent(b, level, above, row);
            double* const sum = x + s.pitch;
            const bool anew = row == 0 || parent(b, level, above, row - 1) != whole;
            for (int64_t j = 0; j < s.pitch; j += W) store(sum + j, anew ? load(x + j) : load(sum + j) + load(x + j));
            if (row + 1 < b.rows[level].count && parent(b, level, above, row + 1) == whole) return;
            row = whole;
        }
    }

    // A fold, x -> min(gain max(x, 0), cap) + min(loss min(x, 0) + deductible, 0), the last part where it is given; or
    // a close-out, x -> x + (slope - 1) y, the slope of gain or loss that the shocked cell y has.
    static void fold(const Fold& f, const Operand* in, double* x, int64_t row) {
        const V gain = splat(in[0][row]), loss = splat(in[1][row]), cap = splat(in[2][row]), less = splat(in[3][row]);
        const bool deducted = f.operands[3] != NONE;
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

    void measure(const double* cells, int64_t row) {
        const Operand* weight = &operands[s.folds * OPERANDS];
        for (const Segment *g = segments, *end = g + s.segments; g != end; g++, weight++) {
            const double* x = cells + g->from;
            double* to = target(b, line, g->dst) + row;
            if (g->measure != CELLS) *to = figure(*g, x, g->to - g->from) * (*weight)[row];
            else for (; x != cells + g->to; to += b.rows[line].stride) *to = *x++;
        }
    }

    double figure(const Segment& g, const double* x, int64_t cells) {
        if (g.measure == WORST) return worst_of(x, cells);
        if (g.measure == ROW) return std::accumulate(x, x + cells, 0.0);
        const Tail tail{g.shares < 0 ? nullptr : p.shares + g.shares, g.depth};
        const double lowest = tail_of(x, cells, tail, b.kept.of(cells + WIDE));
        return lowest > 0.0 ? 0.0 : 0.0 - lowest;
    }

    // A cell that is no number shows in the sum of all; infinities of both signs may too, and are looked at.
    static inline double worst_of(const double* x, int64_t cells) {
        ToWorst worst;
        for (int64_t i = 0; i < cells; i += W) {
            V cell[] = {i + W <= cells ? load(x + i) : select(before(cells - i), load(x + i), splat(0.0))};
            worst.take(cell, i);
        }
        return any(unordered(worst.all)) && strange(x, cells) ? __builtin_nan("") : 0.0 - lowest_lane(worst.low);
    }
};

}  // namespace
