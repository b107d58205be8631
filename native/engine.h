// The account engine's plain data: a book of legs, a program of operations over registers, the scratch of a block.
//
// The levels (narrow, v3, v4) share these types, so nothing here may become a function of its own: each level would
// emit one for its instruction set, and the linker keeps only one of them.
#pragma once

#include <cstddef>

#include "table.h"

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

struct Code {
    int32_t op, level, dst, a, b, c, aux, n;
};
struct TierSet {
    int64_t offset, width, tables, which;
};
struct Tier {  // x -> base + (x - start) / span * slope; base alone where the span has no end
    double base, start, span, slope;
};
struct Scan {
    int64_t index, matrix, pitch, chain[3], first_segment, segments, first_fold, folds, unsigned_lanes;
};
enum Measure : int64_t { WORST, TAIL, ROW, CELLS };
struct Segment {
    int64_t from, to, measure, depth, shares, dst, weight, unused;
};
struct Fold {
    int64_t close_out, level, from, to, gain, loss, cap, deductible;  // close_out: columns from cells to shocked ones
};

struct Program {
    int64_t rows, classes, assets, by_side, sides;  // `sides`: whether the worst side of orders is asked for
    int64_t ops, output_count, scan_count;
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
    const void* row;  // u16, or i32 where `wide`
    const double *quantity, *extra_value, *inputs;
    const uint32_t *start, *count, *extra_start, *extra_count, *extra_leg;
    const uint8_t* pool_class;
    int64_t wide, arena, extras, units, stated;  // `stated` of the units have inputs: all, or none
};

// What checks read beside the book: each account's units with their figures, and where a trade in a contract lands.
struct Desk {
    const int32_t *first, *follow, *key;          // [accounts], [units] twice: -1 ends, a key below 0 is a position's own
    const uint8_t *account_class, *refused;       // [accounts], [units]
    const double *figures, *rate, *mark;          // [FIGURES, units], [classes], [contracts]
    const int32_t *rows, *pays, *lands, *opens;   // [classes, contracts], [contracts] twice, [account classes, contracts]
    const int32_t* outputs;                       // [FIGURES + 1] those of the program; the last counts what is refused
    int64_t accounts, contracts, account_classes;
};
constexpr int64_t FIGURES = 4;  // both requirements, then what stands for each

struct Asked {
    int64_t account, contract;
    double quantity, price;
    int64_t answer;  // the column of `out` that is the trade's
};

// The legs of one unit, as they lie in the book or as a trade would leave them.
struct Source {
    const void* row;
    const double *quantity, *extra_value;
    const uint32_t* extra_leg;
    uint32_t count, extras;
    int64_t unit, pool_class;  // a unit that is not there yet is -1
    bool wide;
    uint32_t side = 0;   // orders that a copy takes as filled, bids or asks; 0 of a unit itself
    int64_t origin = 0;  // the place of the unit that it is a copy of
};
constexpr uint32_t POSITION = (1u << 28) - 1;

// At least `bytes` of zeros that begin with a cache line, in place of `old`; throws std::bad_alloc.
void* regrow(void* old, size_t& room, size_t bytes);
void release(void* held);

template <class T>
struct Store {  // scratch that grows; what it held is gone then
    T* at = nullptr;
    size_t room = 0;
    INLINE ~Store() { release(at); }
    INLINE T* of(int64_t n) {
        const size_t bytes = static_cast<size_t>(n) * sizeof(T);
        if (bytes > room) at = static_cast<T*>(regrow(at, room, bytes));
        return at;
    }
};

struct Extra {
    int32_t leg;
    uint32_t column;
    double value;
};

// The rows of one level in a block: of each row its first leg and its row in the template, of each leg its row.
struct Rows {
    int64_t count = 0, stride = 0;
    Store<int32_t> first, key, of_leg;
    Store<double> bank;  // the level's registers, [register, stride]
};

struct Trade {
    int64_t unit, pool_class, row, wallet;
    double quantity, price;
};

struct Block {
    int64_t units = 0, legs = 0, extras = 0;
    Store<Source> source;  // with room for as many copies of each side
    Store<int32_t> row, scan_row, slot;
    Store<double> quantity, cells, lanes, kept;
    Store<Extra> extra;
    Rows rows[LEVELS];
    Store<int32_t> staged_row;  // legs after a trade, of every trade of the block
    Store<double> staged_quantity, staged_value;
    Store<uint32_t> staged_leg;
    Store<Trade> trades;
    Store<double> others, checked;  // of every trade of the block: the account's other units, the unit's outputs
    Block() = default;
    Block(const Block&) = delete;
    ~Block();
};

// Where the legs of a unit lie in the book; false where not within it.
INLINE bool find_unit(const Book& book, int64_t unit, Source& source) {
    source = {nullptr, nullptr, nullptr, nullptr, 0, 0, unit, -1, true};
    if (unit < 0 || unit >= book.units) return false;
    const int64_t first = book.start[unit], extra = book.extra_start[unit];
    const uint32_t count = book.count[unit], extras = book.extra_count[unit];
    if (first + count > book.arena || count > POSITION || extra + extras > book.extras) return false;
    const char* row = static_cast<const char*>(book.row) + first * (book.wide ? 4 : 2);
    source = {row,   book.quantity + first, book.extra_value + extra, book.extra_leg + extra,
              count, extras, unit, book.pool_class[unit], book.wide != 0};
    return true;
}
// Fills the block's sources with units as trades would leave them, each on its own.
Fault stage(const Program& program, const Trade* trades, int64_t count, Block& block);
// Where accounts would stand after trades, each on its own: `out` [FIGURES, stride] account-wide, NaN where one is refused;
// `aside` [stride] 1 where the trade is for Python to judge.
Fault check(const Table& level, const Program& program, const Book& book, const Desk& desk, const Asked* asked, int64_t count,
            Block& block, double* out, int64_t stride, uint8_t* aside);
