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
    const double* scale;    // [legs]
    const int32_t* index;   // [legs] row of the matrix
    const int64_t* starts;  // [groups] ascending
    const double* matrix;   // [contracts, pitch]: rows are filled up with zeros to a multiple of 8
    double* out;            // [groups, pitch] or [groups]
    int64_t legs, groups, contracts, scenarios, pitch;
    Tail tail;
};

// A column or table that may repeat: bytes from row to row and from scenario to scenario, either of them 0.
struct Grid {
    const char* at;
    ptrdiff_t down, along;
};

// Tables of arguments, and as many tables [rows, columns] of answers as the kernel has, one after the other.
struct Cells {
    Grid in[6];
    double* out;
    int64_t rows, columns;
};

// A contract's columns and flags (1 or 0), in the order of the door's. WEIGHT multiplies the value of one unit.
enum ContractColumn { FORWARD, STRUCK, IV, YEARS, RATE, FIXED, WEIGHT, CONTRACT_COLUMNS };
enum ContractFlag { CALL, INVERSE, COIN, LINKED, CONTRACT_FLAGS };

struct Revaluation {
    const double* columns[CONTRACT_COLUMNS];  // [contracts] each
    const uint8_t* flags[CONTRACT_FLAGS];     // [contracts] each, or null: none of them
    const double* along[4];                   // [scenarios] each: moves of rate, basis, time and peg
    const double* vols;                       // [options, names]
    const int64_t *vol_of, *contract;         // [scenarios] column of `vols`; [options]
    const char* spot;                         // [contracts] rows of relative moves, `pitch` bytes apart
    ptrdiff_t pitch;
    double *gain, *shocked, *today;  // [contracts, scenarios] twice, [contracts]; options' rows are written
    int64_t options, names, scenarios;
    bool discount;
};

struct Program;
struct Book;
struct Block;

struct Table {
    const char* name;
    Fault (*group_rows)(const Groups&, int64_t first, int64_t last);
    Fault (*group_worst)(const Groups&, int64_t first, int64_t last);
    Fault (*group_tail)(const Groups&, int64_t first, int64_t last);
    // The outputs of the units in `block.source`, [output, stride] from `out` on.
    int64_t (*evaluate)(const Program&, const Book&, Block& block, double* out, int64_t stride);
    int64_t (*run_units)(const Program&, const Book&, const int64_t* list, double* out, int64_t stride, int64_t first,
                         int64_t last);
    Fault (*option_values)(const Cells&, int64_t first, int64_t last);
    Fault (*option_greeks)(const Cells&, int64_t first, int64_t last);
    Fault (*implied_vols)(const Cells&, int64_t first, int64_t last);
    Fault (*revalue)(const Revaluation&, int64_t first, int64_t last);
    double (*probe)(char which, const double* values, int64_t count, int64_t rounds);
};

const Table* level_narrow();
const Table* level_v3();
const Table* level_v4();
const Table* level_neon();
