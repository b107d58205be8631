// What folds and operations share: operands, minima that keep what is no number, and the two slopes of a fold.
#pragma once

#include "block.h"
#include "group.h"

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

}  // namespace
