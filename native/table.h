// What the module asks of a level: plain arguments, checked before, and one function for each kernel.
//
// Every kernel works on a range of rows and returns NO_FAULT or a fault: what is wrong, and the place of it.
#pragma once

#include <cstddef>
#include <cstdint>

enum class Wrong : int { nothing, index, order, number };

struct Fault {
    Wrong what;
    int64_t place;
};
constexpr Fault NO_FAULT{Wrong::nothing, 0};

enum class Item : int { u16, i32, i64 };

struct Groups {
    const double* scale;  // [legs]
    const void* index;    // [legs] of `item`
    const int64_t* starts;  // [groups]; the last group ends with the legs
    const char* matrix;   // [contracts] rows of doubles, `pitch` bytes apart
    double* rows;         // [groups, scenarios], or null
    double* loss;         // [groups], or null
    int64_t* worst;       // [groups], or null
    int64_t legs, groups, contracts, scenarios;
    ptrdiff_t pitch;
    Item item;
};

struct Spans {
    const double* values;   // [n]
    const int64_t* starts;  // [spans]; the last one ends with the values
    double* out;            // [spans]
    int64_t n, spans;
};

// The `depth` lowest cells of a row. With shares: the sum of share * cell, lowest cell first; without: the last of them.
struct Tail {
    const double* shares;  // [depth], or null
    int64_t depth;
};

struct Rows {
    const char* at;  // [n] rows of doubles, `pitch` bytes apart
    ptrdiff_t pitch;
    double* out;  // [n]
    int64_t n, scenarios;
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

// Columns of `Revaluation::columns`, each [options]. Flags are 1 or 0; WEIGHT multiplies the value of one unit.
enum OptionColumn { FORWARD, STRIKE, IV, YEARS, SIDE, RATE, FIXED, WEIGHT, INVERSE, COIN, LINKED, OPTION_COLUMNS };

struct Revaluation {
    const double* columns;  // [OPTION_COLUMNS, options]
    const double* vols;     // [options, names]
    const int64_t *vol_of, *contract;  // [scenarios] column of `vols`; [options] row of what follows
    const double *rate, *basis, *time, *peg;  // [scenarios]
    const char* spot;                         // [contracts] rows of relative moves, `pitch` bytes apart
    ptrdiff_t pitch;
    double *gain, *shocked, *today;  // [contracts, scenarios] twice, [contracts]; options' rows are written
    int64_t options, names, scenarios;
    bool discount;
};

struct Table {
    const char* name;
    Fault (*group_rows)(const Groups&, int64_t first, int64_t last);
    Fault (*group_worst)(const Groups&, int64_t first, int64_t last);
    Fault (*span_sum)(const Spans&, int64_t first, int64_t last);
    Fault (*group_tail)(const Groups&, const Tail&, int64_t first, int64_t last);
    Fault (*tails)(const Rows&, int64_t first, int64_t last);
    Fault (*option_values)(const Cells&, int64_t first, int64_t last);
    Fault (*option_greeks)(const Cells&, int64_t first, int64_t last);
    Fault (*implied_vols)(const Cells&, int64_t first, int64_t last);
    Fault (*revalue)(const Revaluation&, int64_t first, int64_t last);
    double (*probe)(char which, const double* values, int64_t count, int64_t rounds);
};

const Table* level_scalar();
const Table* level_v3();
const Table* level_v4();
const Table* level_neon();
