// What the module asks of a level: plain arguments, checked before, and one function for each kernel.
//
// Every kernel works on a range of rows and returns NO_FAULT or a fault: what is wrong, and the place of it.
#pragma once

#include <cstddef>
#include <cstdint>

#define INLINE inline __attribute__((always_inline))

enum class Wrong : int {
    nothing, number, row, order, span, extra, pool_class, unit, trade, memory, leg, start
};

struct Fault {
    Wrong what;
    int64_t place;
};
constexpr Fault NO_FAULT{Wrong::nothing, 0};

// The `depth` lowest cells of a row. With shares: the sum of share * cell, lowest cell first; without: the last of them.
struct Tail {
    const double* shares;  // [depth], or null
    int64_t depth;
};

struct Groups {
    static constexpr char ITEMS[] = "diqd>dnnnnndn";
    const double* scale;    // [legs]
    const int32_t* index;   // [legs] row of the matrix
    const int64_t* starts;  // [groups] ascending
    const double* matrix;   // [contracts, pitch]: rows are filled up with zeros to a multiple of 8
    double* out;            // [groups, pitch] or [groups]
    int64_t legs, groups, contracts, scenarios, pitch;
    Tail tail;
};

// Tables [rows, columns] of arguments, each of which may be one row or column for all: items from row to row, and whether
// there is one for each column. As many tables of answers as the kernel has, one after the other. 16 columns at least.
struct Cells {
    static constexpr char ITEMS[] = "ddddddnnnnnnnnnnnn>dnn";
    const double* in[6];
    int64_t down[6], along[6];
    double* out;
    int64_t rows, columns;
};

// A contract's columns and flags (1 or 0), in the order of the door's. WEIGHT multiplies the value of one unit.
enum ContractColumn { FORWARD, STRUCK, IV, YEARS, RATE, FIXED, WEIGHT, CONTRACT_COLUMNS };
enum ContractFlag { CALL, INVERSE, COIN, LINKED, CONTRACT_FLAGS };
constexpr int64_t MOST_STATES = 16, MOST_SCENARIOS = 256;  // of one call; no fewer than 8 scenarios

// Options under the scenarios [first, last). These share `states` of vol (a column of `vols`, or -1), time and rate; the
// first state is today's.
struct Revaluation {
    static constexpr char ITEMS[] = "dddddddbbbbqddddqqdd>d>dnnnnnnnnnn";
    const double* columns[CONTRACT_COLUMNS];  // [contracts] each
    const uint8_t* flags[CONTRACT_FLAGS];     // [contracts] each
    const int64_t* contract;                  // [options]
    const double *vols, *spot;                // [options, names]; relative moves, rows of contracts `pitch` items apart
    const double *basis, *peg;                // [scenarios] moves
    const int64_t *state, *vol_of;            // [last - first]; [states]
    const double *time, *rate;                // [states] moves
    double *cells, *today;                    // [2, contracts, scenarios] gain and value, [contracts]; options' rows are written
    int64_t contracts, options, names, scenarios, pitch, first, last, states;
    int64_t flat, discount;  // whether the basis stays, and whether values are discounted
};

struct Probe {
    static constexpr char ITEMS[] = "d>dn";
    const double* values;
    double* out;  // [1]
    int64_t count;
};
