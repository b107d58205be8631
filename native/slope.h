// What scans and operations share: operands, and minima that keep what is no number.
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

}  // namespace
