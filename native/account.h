// A program over a block: its scans, and its operations on registers.
//
// A scan is legs times scenario rows, closed out and folded level by level on the way up, then measured: without a
// table of rows.
#pragma once

#include <cmath>

#include "group.h"

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

INLINE double* target(const Block& b, int64_t level, int64_t number) {
    return b.rows[level].bank.at + number * b.rows[level].stride;
}

INLINE Operand operand(const Program& p, const Block& b, int64_t level, int64_t number) {
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
    double dropped[WIDE] = {};                            // of a quantity, in each of the last columns
    const int32_t* const index = s.index < 0 ? b.row.at : b.scan_row.at;
    const Legs legs = {b.quantity.at, index, p.matrices + s.matrix, INT32_MAX, s.pitch, dropped};
    std::vector<Operand> operands = {};  // of all folds, then the weights of the segments

    void run() {
        const int32_t *const at = p.which + s.index, *const key = b.rows[LEG].key.at;
        for (int64_t leg = 0; s.index >= 0 && leg < b.legs; leg++) b.scan_row.at[leg] = at[key[leg]];
        for (int64_t j = 0; j < WIDE; j++) dropped[j] = s.unsigned_lanes >> j & 1 ? -0.0 : 0.0;
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
            if (s.pitch < LONG) strips_of<REST, APART>(legs, first, last, to);
            else write_row(legs, first, last, sums);
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

    static inline double worst_of(const double* x, int64_t cells) {
        ToWorst worst;
        for (int64_t i = 0; i < cells; i += W) {
            V cell[] = {i + W <= cells ? load(x + i) : select(before(cells - i), load(x + i), splat(0.0))};
            worst.take(cell, i);
        }
        return worst.figure();
    }
};

struct Machine {
    const Program& p;
    const Book& book;
    Block& b;
    double* dst = nullptr;  // of the operation under way: where it writes, and how many rows
    int64_t n = 0;

    void run(const Code& c) {
        const bool between = c.op == op_sum || c.op == op_largest || c.op == op_lift;  // `b` is a level
        const Operand x = operand(p, b, between ? c.b : c.level, c.a), y = in(c, c.b), z = in(c, c.c);
        const int32_t *const key = b.rows[c.level].key.at;
        n = b.rows[c.level].count;
        dst = target(b, c.level, c.dst);
        switch (c.op) {
            case op_add: return each(x, y, z, [](V a, V b, V) { return a + b; });
            case op_sub: return each(x, y, z, [](V a, V b, V) { return a - b; });
            case op_mul: return each(x, y, z, [](V a, V b, V) { return a * b; });
            case op_div: return each(x, y, z, [](V a, V b, V) { return a / b; });
            case op_abs: return each(x, y, z, [](V a, V, V) { return absolute(a); });
            case op_sqrt: return each(x, y, z, [](V a, V, V) { return sqrt(a); });
            case op_min: return each(x, y, z, [](V a, V b, V) { return minimum(a, b); });
            case op_max: return each(x, y, z, [](V a, V b, V) { return maximum(a, b); });
            case op_lt: return each(x, y, z, [](V a, V b, V) { return flag(a < b); });
            case op_le: return each(x, y, z, [](V a, V b, V) { return flag(a <= b); });
            case op_eq: return each(x, y, z, [](V a, V b, V) { return flag(a == b); });
            case op_select: return each(x, y, z, [](V a, V b, V d) { return select(a == 0.0, d, b); });
            case op_pow: return one_by_one([&](int64_t i) { return std::pow(x[i], y[i]); });
            case op_exp: return one_by_one([&](int64_t i) { return std::exp(x[i]); });
            case op_log: return one_by_one([&](int64_t i) { return std::log(x[i]); });
            case op_ceil_to: return one_by_one([&](int64_t i) { return rounded(x[i], y[i]); });
            case op_tiers: return one_by_one([&](int64_t i) { return tiered(p.tier_sets[c.aux], key[i], x[i]); });
            case op_table: return one_by_one([table = p.tables + c.aux, key](int64_t i) { return table[key[i]]; });
            case op_input: return one_by_one([&](int64_t i) { return stated(c.aux, b.source.at[i].unit); });
            case op_lift: return one_by_one([&](int64_t i) { return x[parent(b, c.level, c.b, i)]; });
            case op_legsum: return legsum(c);
            case op_sum: return fold_up(c, x.at, 0.0, [](double a, double b) { return a + b; });
            case op_largest: return fold_up(c, x.at, -INFINITY, [](double a, double b) { return maximum(a, b); });
            case op_scan: return Climb{p, b, p.scans[c.aux], c.level}.run();
            case op_max_loss: return max_loss(c);
            case op_worst_side: return worst_side(c);
        }
    }

    Operand in(const Code& c, int32_t number) const { return operand(p, b, c.level, number); }

    // Rows are padded to whole vectors: the last one computes on what lies there, for nobody.
    template <class F>
    inline void each(const Operand x, const Operand y, const Operand z, F f) const {
        for (int64_t i = 0; i < n; i += W) store(dst + i, f(x.vector(i), y.vector(i), z.vector(i)));
    }
    template <class F>
    inline void one_by_one(F f) const {
        for (int64_t i = 0; i < n; i++) dst[i] = f(i);
    }
    static V flag(Mask m) { return select(m, splat(1.0), splat(0.0)); }

    // A rounding error next to a multiple of the unit does not cost a whole unit.
    static double rounded(double amount, double unit) {
        const double ratio = amount / unit, nearest = __builtin_rint(ratio), wide = __builtin_fabs(nearest);
        const bool close = __builtin_fabs(ratio - nearest) <= 1e-12 * (wide < 1.0 ? 1.0 : wide);
        return (close ? nearest : __builtin_ceil(ratio)) * unit;
    }

    double tiered(const TierSet& set, int32_t key, double x) const {
        const int64_t first = set.offset + (set.which < 0 ? 0 : p.which[set.which + key] * set.width);
        int64_t held = first;
        for (int64_t tier = first; tier + 1 < first + set.width; tier++) held += x > p.upto[tier];
        const Tier& t = p.tiers[held];
        return x != x ? x : t.span < __builtin_inf() ? t.base + (x - t.start) / t.span * t.slope : t.base;
    }

    double stated(int64_t input, int64_t unit) const {
        return unit < 0 || unit >= book.stated ? 0.0 : book.inputs[input * book.stated + unit];
    }

    // Sums of the legs' numbers, `n` at once: for each column that is summed a row of coefficients for each leg's key.
    // Where `b` says so they go on from what stands in their registers. Many new ones stand side by side until
    // complete.
    void legsum(const Code& c) {
        const int64_t *const from = p.groups[c.aux], stride = b.rows[c.level].stride;
        const int64_t width = c.n == 1 ? 1 : (c.n + WIDE - 1) / WIDE * WIDE, lanes = c.b != 0 || c.n == 1 ? 0 : width;
        const int32_t *const key = b.rows[LEG].key.at, *const above = b.rows[c.level].of_leg.at;
        double* const sums = lanes != 0 ? b.lanes.of(n * lanes + WIDE) : dst;
        if (c.b == 0) std::fill_n(sums, lanes != 0 ? n * lanes : stride, 0.0);
        const auto add = [&](int64_t column, int64_t leg, double x) __attribute__((always_inline)) {
            const double* const row = p.lanes + from[column] + key[leg] * width;
            const int64_t to = above[leg];
            double* const sum = sums + to * lanes;
            for (int64_t j = 0; j < lanes; j += W) store(sum + j, load(sum + j) + splat(x) * load(row + j));
            for (int64_t j = 0; lanes == 0 && j < c.n; j++) sums[j * stride + to] += x * row[j];
        };
        for (int64_t leg = 0; from[QUANTITY] >= 0 && leg < b.legs; leg++) add(QUANTITY, leg, b.quantity.at[leg]);
        for (int64_t leg = 0; from[ONE] >= 0 && leg < b.legs; leg++) add(ONE, leg, 1.0);
        for (const Extra *x = b.extra.at, *end = x + b.extras; x != end; x++)
            if (from[x->column] >= 0) add(x->column, x->leg, x->value);
        for (int64_t j = 0; lanes != 0 && j < c.n; j++)
            for (int64_t row = 0; row < n; row++) dst[j * stride + row] = sums[row * lanes + j];
    }

    template <class F>
    inline void fold_up(const Code& c, const double* from, double start, F f) {
        std::fill_n(dst, n, start);
        for (int64_t i = 0; i < b.rows[c.b].count; i++) {
            double& sum = dst[parent(b, c.b, c.level, i)];
            sum = f(sum, from[i]);
        }
    }

    // The worst payoff of a row's options over price 0 and the strikes held, which ascend. It is straight between
    // strikes, and its slope grows by the quantity at each, be it of a call or a put; `b` and `c` are both at price 0.
    void max_loss(const Code& c) {
        const int32_t *const first = b.rows[c.level].first.at, *const key = b.rows[LEG].key.at;
        const double *const quantity = target(b, LEG, c.a), *const strikes = p.tables + c.aux;
        for (int64_t row = 0; row < n; row++) {
            double payoff = in(c, c.b)[row], slope = in(c, c.c)[row], price = 0.0, lowest = minimum(payoff, 0.0);
            for (int64_t leg = first[row]; leg < first[row + 1]; leg++) {
                const double strike = strikes[key[leg]];
                if (strike != strike) continue;  // no option
                payoff += slope * (strike - price);
                price = strike;
                slope += quantity[leg];
                lowest = minimum(lowest, payoff);
            }
            dst[row] = 0.0 - lowest + (slope - slope);  // a quantity that is no number, or infinite, is seen at last
        }
    }

    // Of the units with orders the worst of three: as they stand, with all bids filled, and with all asks.
    void worst_side(const Code& c) {
        const double* held = target(b, c.level, c.a);
        const int32_t *const first = b.rows[UNIT].first.at, *const above = b.rows[c.level].of_leg.at;
        std::copy_n(held, n, dst);
        for (int64_t unit = 0; unit < b.units; unit++) {
            if (b.source.at[unit].side == 0) continue;
            const int64_t before = first[b.source.at[unit].origin] - first[unit];  // legs lie as they do there
            for (int64_t leg = first[unit]; leg < first[unit + 1]; leg++) {
                double& worst = dst[above[before + leg]];
                worst = maximum(worst, held[above[leg]]);
            }
        }
    }
};

// The outputs of the units in the block's source, [output, stride]. Where one of them is not as it should be all
// outputs are no numbers, and 1 is returned.
int64_t evaluate(const Program& p, const Book& book, Block& b, double* out, int64_t stride) {
    const int64_t units = b.units;
    const bool sound = lay_out(p, b);
    Machine machine{p, book, b};
    for (int64_t i = 0; sound && i < p.ops; i++) machine.run(p.code[i]);
    for (int64_t i = 0; i < p.output_count; i++) {
        if (sound) std::copy_n(target(b, UNIT, p.outputs[i]), units, out + i * stride);
        else std::fill_n(out + i * stride, units, __builtin_nan(""));
    }
    b.units = units;
    return sound ? 0 : 1;
}

constexpr int64_t LEGS_OF_BLOCK = 2000, UNITS_OF_BLOCK = 512;

// Returns how many blocks have a unit that is not as it should be.
int64_t run_units(const Evaluation& e, int64_t first, int64_t last) {
    Block& b = own_block();
    int64_t bad = 0;
    for (; first < last; first += b.units) {
        Source* source = b.source.of(SIDES * UNITS_OF_BLOCK);
        int64_t legs = 0;
        for (b.units = 0; b.units < UNITS_OF_BLOCK && first + b.units < last && legs < LEGS_OF_BLOCK; b.units++) {
            const int64_t at = first + b.units;
            find_unit(*e.book, e.listed ? e.listed[at] : at, source[b.units]);
            legs += source[b.units].count;
        }
        bad += evaluate(*e.program, *e.book, b, e.out + first, e.stride);
    }
    return bad;
}

}  // namespace
