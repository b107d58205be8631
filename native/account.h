// The operations of a program over the registers of a block.
#pragma once

#include <cmath>
#include <cstring>

#include "scan.h"

namespace {

class Machine {
public:
    Machine(const Program& p, const Book& book, Block& b) : p_(p), book_(book), b_(b) {}

    Fault run(int64_t ops, bool nested) {
        for (int64_t i = 0; i < ops; i++) {
            const Code& c = p_.code[i];
            const Rows& rows = b_.rows[c.level];
            n_ = rows.count;
            dst_ = rows.bank.at + c.dst * rows.stride;
            if (c.op == op_worst_side && !nested) {
                const Fault fault = worst_side(c, i);
                if (fault.what != Wrong::nothing) return fault;
                continue;
            }
            step(c);
        }
        return NO_FAULT;
    }

private:
    Operand in(const Code& c, int32_t number) const { return operand(p_, b_, c.level, number); }

    // Rows are padded to whole vectors: the last one computes on what lies there, for nobody.
    template <class F>
    inline void each(const Code& c, F f) {
        const Operand a = in(c, c.a), b = in(c, c.b), d = in(c, c.c);
        for (int64_t i = 0; i < n_; i += W) store(dst_ + i, f(a.vector(i), b.vector(i), d.vector(i)));
    }
    template <class F>
    inline void one_by_one(const Code& c, F f) {
        const Operand a = in(c, c.a), b = in(c, c.b);
        for (int64_t i = 0; i < n_; i++) dst_[i] = f(a[i], b[i], i);
    }
    static V flag(Mask m) { return select(m, splat(1.0), splat(0.0)); }

    void step(const Code& c) {
        switch (c.op) {
            case op_add: return each(c, [](V a, V b, V) { return a + b; });
            case op_sub: return each(c, [](V a, V b, V) { return a - b; });
            case op_mul: return each(c, [](V a, V b, V) { return a * b; });
            case op_div: return each(c, [](V a, V b, V) { return a / b; });
            case op_neg: return each(c, [](V a, V, V) { return -a; });
            case op_abs: return each(c, [](V a, V, V) { return absolute(a); });
            case op_sqrt: return each(c, [](V a, V, V) { return sqrt(a); });
            case op_min: return each(c, [](V a, V b, V) { return minimum(a, b); });
            case op_max: return each(c, [](V a, V b, V) { return maximum(a, b); });
            case op_lt: return each(c, [](V a, V b, V) { return flag(a < b); });
            case op_le: return each(c, [](V a, V b, V) { return flag(a <= b); });
            case op_gt: return each(c, [](V a, V b, V) { return flag(b < a); });
            case op_ge: return each(c, [](V a, V b, V) { return flag(b <= a); });
            case op_eq: return each(c, [](V a, V b, V) { return flag(a == b); });
            case op_ne: return each(c, [](V a, V b, V) { return select(a == b, splat(0.0), splat(1.0)); });
            case op_select: return each(c, [](V a, V b, V d) { return select(a == splat(0.0), d, b); });
            case op_pow: return one_by_one(c, [](double a, double b, int64_t) { return std::pow(a, b); });
            case op_exp: return one_by_one(c, [](double a, double, int64_t) { return std::exp(a); });
            case op_log: return one_by_one(c, [](double a, double, int64_t) { return std::log(a); });
            case op_ceil_to: return one_by_one(c, [](double a, double b, int64_t) { return rounded(a, b, true); });
            case op_floor_to: return one_by_one(c, [](double a, double b, int64_t) { return rounded(a, b, false); });
            case op_marginal:
            case op_step:
            case op_ramp: return tiers(c);
            case op_table: return table(c);
            case op_input: return input(c);
            case op_form: return form(c);
            case op_legsum: return legsum(c);
            case op_sum: return fold_up(c, 0.0, [](double a, double b) { return a + b; });
            case op_largest: return fold_up(c, -__builtin_inf(), greater);
            case op_lift: return lift(c);
            case op_scan: return Climb(p_, b_, p_.scans[c.aux]).run();
            case op_max_loss: return max_loss(c);
            case op_worst_side: return each(c, [](V a, V, V) { return a; });  // within another: the line as it is
        }
    }

    static double greater(double a, double b) { return a != a || b < a ? a : b; }  // as numpy.maximum

    // A rounding error next to a multiple of the unit does not cost, or give, a whole unit.
    static double rounded(double amount, double unit, bool up) {
        const double ratio = amount / unit, nearest = __builtin_rint(ratio), wide = __builtin_fabs(nearest);
        const bool close = __builtin_fabs(ratio - nearest) <= 1e-12 * (wide < 1.0 ? 1.0 : wide);
        return (close ? nearest : up ? __builtin_ceil(ratio) : __builtin_floor(ratio)) * unit;
    }

    void tiers(const Code& c) {
        const TierSet& set = p_.tiers[c.aux];
        const int32_t* key = b_.rows[c.level].key.at;
        one_by_one(c, [&](double x, double, int64_t i) {
            const int64_t place = set.offset + (set.which < 0 ? 0 : p_.which[set.which + key[i]] * set.width);
            const double *upto = p_.upto + place, *rate = p_.rate + place;
            if (c.op == op_marginal) x = x != x || x > 0.0 ? x : 0.0;
            int64_t held = 0;
            for (int64_t tier = 0; tier + 1 < set.width; tier++) held += x > upto[tier];
            if (c.op == op_step) return x != x ? x : rate[held];
            return c.op == op_marginal ? marginal(x, held, upto, rate) : ramp(x, held, upto, rate);
        });
    }
    static double marginal(double x, int64_t held, const double* upto, const double* rate) {
        double below = 0.0, lower = 0.0;
        for (int64_t tier = 0; tier < held; tier++) {
            below += (upto[tier] - lower) * rate[tier];
            lower = upto[tier];
        }
        return below + (x - lower) * rate[held];
    }
    static double ramp(double x, int64_t held, const double* upto, const double* rate) {
        if (x != x) return x;
        if (held == 0 || !(upto[held] < __builtin_inf())) return rate[held > 0 ? held - 1 : 0];
        const double start = upto[held - 1], low = rate[held - 1];
        return low + (x - start) / (upto[held] - start) * (rate[held] - low);
    }

    void table(const Code& c) {
        const double* from = p_.tables + c.aux;
        const int32_t* key = b_.rows[c.level].key.at;
        for (int64_t i = 0; i < n_; i++) dst_[i] = from[key[i]];
    }

    void input(const Code& c) {
        const double* from = book_.inputs + c.aux * book_.stated;
        for (int64_t i = 0; i < n_; i++) {
            const int64_t unit = b_.source.at[i].unit;
            dst_[i] = unit < book_.stated && unit >= 0 ? from[unit] : 0.0;
        }
    }

    void form(const Code& c) {
        const int32_t* key = b_.rows[LEG].key.at;
        for (int64_t i = 0; i < n_; i++) dst_[i] = 0.0;
        for (int32_t t = 0; t < c.n; t++) {
            const Term& term = p_.form_terms[c.aux + t];
            const double* by = p_.tables + term.offset;
            if (term.column == QUANTITY) {
                for (int64_t i = 0; i < n_; i++) dst_[i] += b_.quantity.at[i] * by[key[i]];
            } else if (term.column == ONE) {
                for (int64_t i = 0; i < n_; i++) dst_[i] += by[key[i]];
            } else {
                if (term.column == LEVERAGE) without_leverage();
                for (int64_t e = 0; e < b_.extras; e++) {
                    const Extra& x = b_.extra.at[e];
                    if (static_cast<int32_t>(x.column) == term.column) dst_[x.leg] += x.value * by[key[x.leg]];
                }
            }
        }
    }
    void without_leverage() {  // NaN where a leg states none
        int64_t next = 0;
        for (int64_t e = 0; e < b_.extras; e++) {
            const Extra& x = b_.extra.at[e];
            if (x.column != LEVERAGE) continue;
            for (; next < x.leg; next++) dst_[next] = __builtin_nan("");
            next = x.leg + 1;
        }
        for (; next < n_; next++) dst_[next] = __builtin_nan("");
    }

    // Many sums of the same legs at once: a row of coefficients for each leg, added as a scan's rows are. Where `b` says so
    // the scan before has left those of quantities. The first sum stands in lane `a`.
    void legsum(const Code& c) {
        const LaneGroup& g = p_.groups[c.aux];
        const double* by[ONE + 1] = {};
        for (int64_t t = 0; t < g.terms; t++) {
            const Term& term = p_.lane_terms[g.first + t];
            by[term.column] = p_.lanes + g.offset + static_cast<int64_t>(term.offset) * 3 * p_.rows * g.width;
        }
        const Rows& rows = b_.rows[c.level];
        double* const lanes = b_.lanes.of((n_ + 1) * g.width);
        if (c.b != 0) by[QUANTITY] = nullptr;
        else if (by[QUANTITY]) on_rows<ToRow>(rows, dense(c.level, false, by[QUANTITY], g.width), lanes);
        else std::memset(lanes, 0, static_cast<size_t>(n_ * g.width) * sizeof(double));
        if (by[ONE]) on_rows<Onto>(rows, dense(c.level, true, by[ONE], g.width), lanes);
        by[QUANTITY] = by[ONE] = nullptr;
        for (int64_t e = 0; e < b_.extras; e++) {
            const Extra& x = b_.extra.at[e];
            if (by[x.column] == nullptr) continue;
            const double* row = by[x.column] + key_of(b_.row.at[x.leg], b_.quantity.at[x.leg]) * g.width;
            double* sum = lanes + rows.of_leg.at[x.leg] * g.width;
            for (int64_t j = 0; j < g.width; j += W) add(sum + j, splat(x.value) * load(row + j));
        }
        for (int64_t j = 0; j < c.n; j++) {
            double* dst = target(b_, c.level, c.dst + j);
            for (int64_t row = 0; row < n_; row++) dst[row] = lanes[row * g.width + c.a + j];
        }
    }
    template <class To>
    void on_rows(const Rows& rows, const Legs& legs, double* lanes) {
        for (int64_t row = 0; row < n_; row++) {
            To to{lanes + row * legs.pitch};
            row_of(legs, rows.first.at[row], rows.first.at[row + 1], legs.pitch, to);
        }
    }
    static inline void add(double* to, V x) { store(to, load(to) + x); }
    struct Onto {
        double* row;
        template <int N>
        inline void take(V (&sum)[N], int64_t column) {
#pragma GCC unroll 8
            for (int j = 0; j < N; j++) add(row + column + j * W, sum[j]);
        }
    };

    // The legs in the order of the level's rows, with their quantity or with one.
    Legs dense(int level, bool one, const double* by, int64_t width) {
        const int32_t* key = b_.rows[LEG].key.at;
        if (level != ASSET && !one) return {b_.quantity.at, key, by, width};
        double* weight = b_.weight.of(b_.legs + WIDE);
        int32_t* index = b_.sorted.of(b_.legs + 1);
        for (int64_t i = 0; i < b_.legs; i++) {
            const int32_t leg = level == ASSET ? b_.order.at[i] : static_cast<int32_t>(i);
            weight[i] = one ? 1.0 : b_.quantity.at[leg];
            index[i] = key[leg];
        }
        return {weight, index, by, width};
    }

    template <class F>
    inline void fold_up(const Code& c, double start, F f) {
        const double* from = target(b_, c.b, c.a);
        const int64_t count = b_.rows[c.b].count;
        for (int64_t i = 0; i < n_; i++) dst_[i] = start;
        for (int64_t i = 0; i < count; i++) {
            double& sum = dst_[parent(b_, c.b, c.level, i)];
            sum = f(sum, from[i]);
        }
    }

    void lift(const Code& c) {
        const double* from = target(b_, c.b, c.a);
        for (int64_t i = 0; i < n_; i++) dst_[i] = from[parent(b_, c.level, c.b, i)];
    }

    void max_loss(const Code& c) {
        const Rows& rows = b_.rows[c.level];
        const double *quantity = target(b_, LEG, c.a), *strike = p_.tables + c.b, *call = p_.tables + c.c;
        const double* counts = p_.tables + c.aux;
        const int32_t* key = b_.rows[LEG].key.at;
        OptionLeg* held = b_.options.of(b_.legs + 1);
        for (int64_t row = 0; row < n_; row++) {
            int64_t n = 0;
            double payoff = 0.0, slope = 0.0;
            for (int64_t i = rows.first.at[row]; i < rows.first.at[row + 1]; i++) {
                const int64_t leg = c.level == ASSET ? b_.order.at[i] : i;
                const int32_t k = key[leg];
                if (!(counts[k] != 0.0) || strike[k] != strike[k]) continue;
                held[n++] = {strike[k], quantity[leg]};
                if (call[k] != 0.0) continue;
                payoff += quantity[leg] * strike[k];
                slope -= quantity[leg];
            }
            dst_[row] = worst_payoff(held, n, payoff, slope);
        }
    }
    // The payoff is straight between strikes, and its slope grows by the quantity at each, be it of a call or a put.
    static double worst_payoff(OptionLeg* held, int64_t n, double payoff, double slope) {
        bool ascending = true;
        for (int64_t i = 1; i < n; i++) ascending &= !(held[i] < held[i - 1]);
        if (!ascending) sort(held, n);
        if (n > 0 && held[0].strike < 0.0) return __builtin_nan("");  // no such strike: 0 is the lowest price
        double lowest = minimum(payoff, 0.0), price = 0.0;
        for (int64_t i = 0; i < n; i++) {
            payoff += slope * (held[i].strike - price);
            price = held[i].strike;
            slope += held[i].quantity;
            lowest = minimum(lowest, payoff);
        }
        if (slope - slope != 0.0) return __builtin_nan("");  // a quantity that is no number, or infinite
        return lowest != lowest ? lowest : lowest < 0.0 ? -lowest : 0.0;
    }

    // The units with orders once more, all bids filled and then all asks: the worst of the three.
    Fault worst_side(const Code& c, int64_t place) {
        const double* held = target(b_, c.level, c.a);
        for (int64_t i = 0; i < n_; i++) dst_[i] = held[i];
        Block& inner = b_.within();
        inner.source.of(b_.units);
        for (uint32_t fill = BIDS; fill <= ASKS; fill++) {
            inner.units = 0;
            for (int64_t unit = 0; unit < b_.units; unit++)
                if (b_.ordered.at[unit]) inner.source.at[inner.units++] = b_.source.at[unit];
            if (inner.units == 0) break;
            Fault fault = lay_out(p_, fill, inner);
            if (fault.what == Wrong::nothing) fault = Machine(p_, book_, inner).run(place, true);
            if (fault.what != Wrong::nothing) return fault;
            const double* filled = target(inner, c.level, c.a);
            for (int64_t unit = 0, i = 0; unit < b_.units; unit++) {
                if (!b_.ordered.at[unit]) continue;
                const int64_t to = first_row(b_, c.level, unit), from = first_row(inner, c.level, i);
                const int64_t rows = first_row(inner, c.level, i + 1) - from;
                if (rows != first_row(b_, c.level, unit + 1) - to) return {Wrong::span, b_.source.at[unit].unit};  // rewritten
                for (int64_t j = 0; j < rows; j++) {
                    double& worst = dst_[to + j];
                    worst = greater(worst, filled[from + j]);
                }
                i++;
            }
        }
        return NO_FAULT;
    }

    const Program& p_;
    const Book& book_;
    Block& b_;
    double* dst_ = nullptr;
    int64_t n_ = 0;
};

Fault evaluate(const Program& p, const Book& book, Block& b, double* out, int64_t stride) {
    Fault fault = lay_out(p, 0, b);
    if (fault.what == Wrong::nothing) fault = Machine(p, book, b).run(p.ops, false);
    if (fault.what != Wrong::nothing) return fault;
    for (int64_t i = 0; i < p.output_count; i++) {
        const double* from = target(b, UNIT, p.outputs[i]);
        for (int64_t unit = 0; unit < b.units; unit++) out[i * stride + unit] = from[unit];
    }
    return NO_FAULT;
}

}  // namespace
