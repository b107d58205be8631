// What kernels read and fill: plain structures, eight bytes for each item that Python gives.
//
// ITEMS says in the order of the members what an item is: d float64, q int64, i int32, u uint32, h uint16, b uint8 or
// bool, each an array or None, > before one that is filled; n a number; a capital the structure whose name begins so.
#pragma once

#include <cstddef>
#include <cstdint>

// The `depth` lowest cells of a row. With shares: the sum of share * cell, lowest cell first; without: the last of
// them.
struct Tail { const double* shares; int64_t depth; };  // [depth], or null

struct Groups {
    static constexpr char ITEMS[] = "diqd>dnnnnndn";
    const double* scale;    // [legs]
    const int32_t* index;   // [legs] row of the matrix
    const int64_t* starts;  // [groups] ascending
    const double* matrix;   // [contracts, pitch]: rows are filled up with zeros to a multiple of 8
    double* out;            // [groups, pitch] or [groups]
    int64_t legs, groups, contracts, scenarios, pitch;
    Tail tail;  // of worst losses: one without shares
};

// Tables [rows, columns] of arguments, each of which may be one row or column for all: items from row to row, and
// whether there is one for each column. As many tables of answers as the kernel has, one after the other. 16 columns at
// least.
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

// Options under the scenarios [first, last). These share `states` of vol (a column of `vols`, or -1), time and rate;
// the first state is today's.
struct Revaluation {
    static constexpr char ITEMS[] = "dddddddbbbbqddddqqdd>d>dnnnnnnnnnn";
    const double* columns[CONTRACT_COLUMNS];  // [contracts] each
    const uint8_t* flags[CONTRACT_FLAGS];     // [contracts] each
    const int64_t* contract;                  // [options]
    const double *vols, *spot;                // [options, names]; relative moves, rows of contracts `pitch` items apart
    const double *basis, *peg;                // [scenarios] moves
    const int64_t *state, *vol_of;            // [last - first]; [states]
    const double *time, *rate;                // [states] moves
    double *cells, *today;                    // [2, contracts, scenarios] gain and value, [contracts]; rows of options
    int64_t contracts, options, names, scenarios, pitch, first, last, states;
    int64_t flat, discount;  // whether the basis stays, and whether values are discounted
};

struct Probe {
    static constexpr char ITEMS[] = "d>dn";
    const double* values;
    double* out;  // [12 * 8]
    int64_t count;
};

// --- the account engine: a book of legs, a program of operations over registers, and a desk beside them

enum Level : int32_t { LEG, STRIKE, EXPIRY, BUCKET, ASSET, UNIT, LEVELS };
enum Column : uint32_t { QUANTITY, COST, ACCRUED, LEVERAGE, BIDS, ASKS, BID_COST, ASK_COST, ORDERS, ONE };

// What a program is made of, numbered as in kernels/operations.py.
enum Operation : int32_t {
    op_add = 1, op_sub, op_mul, op_div, op_pow, op_abs, op_sqrt, op_exp, op_log, op_min, op_max, op_lt, op_le, op_eq,
    op_select, op_ceil_to, op_tiers, op_table, op_input, op_legsum, op_sum, op_largest, op_lift, op_scan,
    op_max_loss, op_worst_side
};

constexpr int64_t SIDES = 3;         // a unit, and copies with bids and with asks filled
constexpr int64_t NONE = INT32_MIN;  // an operand that is not given
constexpr int64_t WIDE = 8;          // doubles of a cache line: rows of matrices and registers are padded to it

struct Code { int32_t op, level, dst, a, b, c, aux, n; };
struct TierSet { int64_t offset, width, tables, which; };
struct Tier { double base, start, span, slope; };  // x -> base + (x - start) / span * slope; base where that has no end
struct Scan { int64_t index, matrix, pitch, chain[3], first_segment, segments, first_fold, folds, unsigned_lanes; };
enum Measure : int64_t { WORST, TAIL, ROW, CELLS };
struct Segment { int64_t from, to, measure, depth, shares, dst, weight, unused; };
constexpr int64_t OPERANDS = 4;  // gain, loss, cap, deductible
struct Fold { int64_t close_out, level, from, to, operands[OPERANDS]; };  // close_out: columns to shocked cells

struct Program {
    static constexpr char ITEMS[] = "nnnnnnnbbbiiiqddddddddqqqqqi";
    int64_t rows, classes, assets, by_side, sides;  // `sides`: whether the worst side of orders is asked for
    int64_t ops, output_count;
    const uint8_t *used, *always_active, *trade_kind;  // [LEVELS], [rows] twice
    const int32_t *level_row, *which, *outputs;        // [levels from STRIKE to ASSET, rows]
    const int64_t* registers;                          // [LEVELS]
    const double *constants, *tables, *upto, *lanes, *shares, *matrices, *multiplier;  // constants WIDE times
    const Tier* tiers;
    const TierSet* tier_sets;
    const int64_t (*groups)[ONE + 1];  // by column: where its coefficients begin among the lanes, or -1
    const Scan* scans;
    const Segment* segments;
    const Fold* folds;
    const Code* code;
};

struct Book {
    static constexpr char ITEMS[] = "hiddduuuuubnnnn";
    const uint16_t* row;
    const int32_t* wide;  // the rows where there are more of them than uint16 numbers; `row` is null then
    const double *quantity, *extra_value, *inputs;
    const uint32_t *start, *count, *extra_start, *extra_count, *extra_leg;
    const uint8_t* pool_class;
    int64_t arena, extras, units, stated;  // `stated` of the units have inputs: all, or none
};

// Units, listed or all of the book, and their outputs [output, stride].
struct Evaluation {
    static constexpr char ITEMS[] = "PBq>dn";
    const Program* program;
    const Book* book;
    const int64_t* listed;
    double* out;
    int64_t stride;
};

constexpr int64_t FIGURES = 4;  // both requirements, then what stands for each

// Each account's units with their figures, and where a trade in a contract lands. Units and accounts change while this
// is held; the rest is checked and kept by kernels/door.py.
struct Desk {
    static constexpr char ITEMS[] = "iiibbdddiiiiibnnn";
    const int32_t *first, *follow, *key;     // [accounts], [units] twice: -1 ends, a key below 0 is a position's own
    const uint8_t *account_class, *refused;  // [accounts], [units]
    const double *figures, *rate, *mark;     // [FIGURES, units], [classes], [contracts]
    const int32_t *rows, *wallets;           // [classes, contracts] each: where the wallet is -1 nothing can be traded
    const int32_t *lands, *opens;            // [contracts] the key of the unit, [account classes, contracts] its class
    const int32_t* outputs;                  // [FIGURES + 1] those of the program; the last counts what is refused
    const uint8_t* quiet;                    // [1]: 0 while an event is under way
    int64_t accounts, contracts, account_classes;
};

// Trades, each on its own: `order` says in which they are taken. Filled are `out` [FIGURES, trades] account-wide, NaN
// where one is refused, and `aside` [trades]: 1 where the trade is for Python to judge.
struct Checking {
    static constexpr char ITEMS[] = "PBDqqqdd>d>bn";
    const Program* program;
    const Book* book;
    const Desk* desk;
    const int64_t *account, *contract, *order;
    const double *quantity, *price;  // NaN: at the mark
    double* out;
    uint8_t* aside;
    int64_t trades;
};

// --- what a level, an instruction set's code, offers: structures by name, and kernels that run over some of them

struct Structure {
    const char *name, *items;
    // Rows [first, last); how many of them are bad, which give NaN. Null where the structure is only part of others.
    int64_t (*run)(const void* arguments, int64_t first, int64_t last);
};

// In the same order on each level: the first has its name, the last has none.
extern const Structure level_narrow[], level_v3[], level_v4[], level_neon[];
