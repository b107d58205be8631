// Two vectors at once: every operation on the one, then on the other. One vector's work is a chain in which each step waits
// four cycles or more for the last; the second chain fills the gaps. Formulas are written once, for V and for Pair.
#pragma once

#include "simd.h"

namespace {

struct Whole {};  // as Lanes, where no lane is missing

struct Pair {
    static constexpr int WIDTH = 2 * W;
    V a, b;
    Pair() = default;
    Pair(V one, V other) : a(one), b(other) {}
    Pair(V same) : a(same), b(same) {}  // a constant meets a pair
};
struct Masks {
    Mask a, b;
};

#define ON_BOTH(name) inline Pair name(Pair x) { return {name(x.a), name(x.b)}; }
#define ON_BOTH_2(R, name) inline R name(Pair x, Pair y) { return {name(x.a, y.a), name(x.b, y.b)}; }
#define OPERATOR(R, sign) inline R operator sign(Pair x, Pair y) { return {x.a sign y.a, x.b sign y.b}; }
OPERATOR(Pair, +) OPERATOR(Pair, -) OPERATOR(Pair, *) OPERATOR(Pair, /) OPERATOR(Masks, <) OPERATOR(Masks, <=)
ON_BOTH_2(Pair, least) ON_BOTH_2(Pair, greatest) ON_BOTH_2(Pair, with_sign) ON_BOTH_2(Masks, equal)
ON_BOTH(sqrt) ON_BOTH(absolute) ON_BOTH(negative)
inline Pair fma(Pair x, Pair y, Pair z) { return {fma(x.a, y.a, z.a), fma(x.b, y.b, z.b)}; }
inline Pair select(Masks m, Pair x, Pair y) { return {select(m.a, x.a, y.a), select(m.b, x.b, y.b)}; }
inline Masks either(Masks m, Masks n) { return {either(m.a, n.a), either(m.b, n.b)}; }
inline Masks negated(Masks m) { return {negated(m.a), negated(m.b)}; }
inline bool any(Masks m) { return any(m.a) || any(m.b); }
inline Pair load(const double* p, Whole) { return {load(p), load(p + W)}; }
inline void store(double* p, Pair x, Whole) { store(p, x.a), store(p + W, x.b); }
inline void lookup(const double* table, const int64_t* i, V& x) { x = lookup(table, i); }
inline void lookup(const double* table, const int64_t* i, Pair& x) { x = {lookup(table, i), lookup(table, i + W)}; }

inline Masks both(Masks m, Masks n) { return {both(m.a, n.a), both(m.b, n.b)}; }

}  // namespace
