// What folds and operations share: operands, minima that keep what is no number, and the two slopes of a fold.
#pragma once

#include "block.h"
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

inline double* target(const Block& b, int64_t level, int64_t number) {
    return b.rows[level].bank.at + number * b.rows[level].stride;
}

inline Operand operand(const Program& p, const Block& b, int64_t level, int64_t number) {
    if (number < 0) return {p.constants + (-1 - number) * WIDE, 0};
    return {target(b, level, number), -1};
}

// A fold with its operands, found once for a block.
struct Bend {
    const Fold* fold;
    Operand gain, loss, cap, deductible;
    Bend(const Program& p, const Block& b, const Fold& f)
        : fold(&f), gain(operand(p, b, f.level, f.gain)), loss(operand(p, b, f.level, f.loss)),
          cap(operand(p, b, f.level, f.cap == NONE ? f.gain : f.cap)),
          deductible(operand(p, b, f.level, f.deductible == NONE ? f.gain : f.deductible)) {}

    // x -> min(gain max(x, 0), cap) + min(loss min(x, 0) + deductible, 0), each part where it is given.
    void bend(double* x, int64_t row) const {
        const V up = splat(gain[row]), down = splat(loss[row]), most = splat(cap[row]), less = splat(deductible[row]);
        each(x, [&](V x, V) {
            V gained = up * greatest(splat(0.0), x), lost = down * least(splat(0.0), x);  // NaN stays
            if (fold->cap != NONE) gained = minimum(gained, most);
            if (fold->deductible != NONE) lost = minimum(lost + less, splat(0.0));
            return gained + lost;
        });
    }

    // x -> x + (slope - 1) y, the slope that of the shocked cell y: gain above 0, loss below.
    void close_out(double* x, int64_t row) const {
        const V up = splat(gain[row]), down = splat(loss[row]), one = splat(1.0), zero = splat(0.0);
        each(x, [&](V x, V y) { return x + (select(zero < y, up, select(y < zero, down, one)) - one) * y; });
    }

private:
    template <class F>
    void each(double* x, const F& f) const {
        const double* y = x + fold->close_out;
        int64_t i = fold->from;
        for (; i + W <= fold->to; i += W) store(x + i, f(load(x + i), load(y + i)));
        if (i == fold->to) return;
        const Lanes part(fold->to - i);
        store(x + i, f(load(x + i, part), load(y + i, part)), part);
    }
};

}  // namespace
