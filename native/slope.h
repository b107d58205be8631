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
    inline V operator()(V x) const {
        V up = gain * greatest(splat(0.0), x), down = loss * least(splat(0.0), x);  // NaN stays
        if (capped) up = minimum(up, cap);
        if (deducted) down = minimum(down + deductible, splat(0.0));
        return up + down;
    }
};

// A fold's operands, found once for a block.
struct Bend {
    Operand gain, loss, cap, deductible;
    int64_t level, from, to;
    bool close_out, capped, deducted;
    Bend() = default;
    Bend(const Program& p, const Block& b, const Fold& f)
        : gain(of(p, b, f, f.gain)), loss(of(p, b, f, f.loss)), cap(of(p, b, f, f.cap == NONE ? f.gain : f.cap)),
          deductible(of(p, b, f, f.deductible == NONE ? f.gain : f.deductible)), level(f.level), from(f.from), to(f.to),
          close_out(f.close_out != 0), capped(f.cap != NONE), deducted(f.deductible != NONE) {}
    inline Slope at(int64_t row) const {
        return {splat(gain[row]), splat(loss[row]), splat(cap[row]), splat(deductible[row]), capped, deducted};
    }

private:
    static Operand of(const Program& p, const Block& b, const Fold& f, int64_t number) {
        return operand(p, b, static_cast<int>(f.level), number);
    }
};

}  // namespace
