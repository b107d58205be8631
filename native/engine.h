// The account engine's plain data: a book of legs, a program of operations over registers, the scratch of a block.
//
// The levels (narrow, v3, v4) share these types, so nothing here may become a function of its own: each level would emit
// one for its instruction set, and the linker keeps only one of them.
#pragma once

#include <cstddef>

#include "table.h"

enum Level : int32_t { LEG, STRIKE, EXPIRY, BUCKET, ASSET, UNIT, LEVELS };
enum Column : uint32_t { QUANTITY, COST, ACCRUED, LEVERAGE, BIDS, ASKS, BID_COST, ASK_COST, ORDERS, ONE };

#define OPERATIONS(X)                                                                                                \
    X(add, 1) X(sub, 2) X(mul, 3) X(div, 4) X(pow, 5) X(neg, 6) X(abs, 7) X(sqrt, 8) X(exp, 9) X(log, 10) X(min, 11) \
    X(max, 12) X(lt, 13) X(le, 14) X(gt, 15) X(ge, 16) X(eq, 17) X(ne, 18) X(select, 19) X(ceil_to, 20)              \
    X(floor_to, 21) X(marginal, 22) X(step, 23) X(ramp, 24) X(table, 40) X(input, 41) X(form, 42) X(legsum, 43)      \
    X(sum, 44) X(largest, 45) X(lift, 46) X(scan, 47) X(max_loss, 48) X(worst_side, 49)
#define NUMBER(name, number) op_##name = number,
enum Operation : int32_t { OPERATIONS(NUMBER) };
#undef NUMBER

enum Use : uint8_t { ROWS = 1, OF_LEGS = 2 };  // what a program asks of a level; of legs, their keys
constexpr int64_t NONE = INT32_MIN;  // an operand that is not given
constexpr int64_t WIDE = 8;          // doubles of a cache line: rows of matrices and registers are padded to it

struct Code {
    int32_t op, level, dst, a, b, c, aux, n;
};
struct TierSet {
    int64_t offset, width, tables, which;
};
struct Term {
    int32_t column, offset;
};
struct LaneGroup {
    int64_t offset, width, first, terms;
};
struct Scan {
    int64_t index, matrix, pitch, shocked, shocked_level, chain[3], first_segment, segments, first_fold, folds, unsigned_lanes;
    INLINE int64_t depth() const { return 1 + (chain[1] != 0) + (chain[2] != 0); }
};
enum Measure : int64_t { WORST, SHORTFALL, AT_RISK, MEAN, ROW, LANES };
struct Segment {
    int64_t from, to, measure, depth, shares, dst, weight, unused;
};
struct Fold {
    int64_t close_out, level, from, to, gain, loss, cap, deductible;
};

struct Program {
    static constexpr char ITEMS[] = "nnniiiiiiqqiibbbddddddddqiiqqqqinnnn";
    int64_t rows, classes, by_side;
    const int32_t* level_row[LEVELS];
    const int64_t *level_rows, *registers;  // [levels from STRIKE to ASSET], [LEVELS]
    const int32_t *which, *outputs;
    const uint8_t *used, *always_active, *trade_kind;
    const double *constants, *tables, *upto, *rate, *lanes, *shares, *matrices, *multiplier;  // constants WIDE times
    const TierSet* tiers;
    const Term *form_terms, *lane_terms;
    const LaneGroup* groups;
    const Scan* scans;
    const Segment* segments;
    const Fold* folds;
    const Code* code;
    int64_t ops, output_count, segment_count, scan_count;
};

struct Book {
    static constexpr char ITEMS[] = "hiddduuuuubnnnn";
    const uint16_t* row;
    const int32_t* wide;  // the rows where they are many, else null
    const double *quantity, *extra_value, *inputs;
    const uint32_t *start, *count, *extra_start, *extra_count, *extra_leg;
    const uint8_t* pool_class;
    int64_t arena, extras, units, stated;  // `stated` of the units have inputs: all, or none
};

// What checks read beside the book: each account's units with their figures, and where a trade in a contract lands.
struct Desk {
    static constexpr char ITEMS[] = "iiibbdddiiiiibnnn";
    const int32_t *first, *follow, *key;          // [accounts], [units] twice: -1 ends, a key below 0 is a position's own
    const uint8_t *account_class, *refused;       // [accounts], [units]
    const double *figures, *rate, *mark;          // [FIGURES, units], [classes], [contracts]
    const int32_t *rows, *pays, *lands, *opens;   // [classes, contracts], [contracts] twice, [account classes, contracts]
    const int32_t* outputs;                       // [FIGURES + 1] those of the program; the last counts what is refused
    const uint8_t* quiet;
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
};
constexpr uint32_t POSITION = (1u << 28) - 1;

// At least `bytes` of zeros that begin with a cache line, in place of `old`; throws std::bad_alloc.
void* regrow(void* old, size_t& room, size_t bytes);
void release(void* held);

template <class T>
struct Store {  // scratch that grows; what it held is gone then
    T* at = nullptr;
    size_t room = 0;
    INLINE Store() {}
    Store(const Store&) = delete;
    Store& operator=(const Store&) = delete;
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

struct OptionLeg {
    double strike, quantity;
    INLINE bool operator<(const OptionLeg& other) const { return strike < other.strike; }
};

// The rows of one level in a block: of each row its first leg (in `order` for assets), its row in the template and its unit;
// of each leg its row, where the program asks for it.
struct Rows {
    int64_t count = 0, stride = 0;
    Store<int32_t> first, key, owner, of_leg;
    Store<double> bank;  // the level's registers, [register, stride]
};

struct Trade {
    int64_t unit, pool_class, row, wallet;
    double quantity, price;
};

struct Block {
    int64_t units = 0, legs = 0, extras = 0;
    Store<Source> source;
    Store<int32_t> row, scan_row, order, slot, sorted;
    Store<double> quantity, weight, cells, lanes, kept;
    Store<Extra> extra;
    Store<OptionLeg> options;
    Store<uint8_t> ordered, measured, bends;  // whether a unit has bids or asks; what a scan's rows ask for
    Rows rows[LEVELS];
    Store<int32_t> staged_row;  // legs after a trade, of every trade of the block
    Store<double> staged_quantity, staged_value;
    Store<uint32_t> staged_leg;
    Store<Trade> trades;
    Store<double> others, checked;  // of every trade of the block: the account's other units, the unit's outputs
    Block* inner = nullptr;
    Block() = default;
    ~Block();
    Block& within();  // the block of those units that are evaluated once more
};

// Where the legs of a unit lie in the book.
Fault find_unit(const Book& book, int64_t unit, Source& source);
// Fills the block's sources with units as trades would leave them, each on its own.
Fault stage(const Program& program, const Trade* trades, int64_t count, Block& block);
// Where accounts would stand after trades, each on its own: `out` [FIGURES, stride] account-wide, NaN where one is refused;
// `aside` [stride] 1 where the trade is for Python to judge.
Fault check(Fault (*evaluate)(const Program&, const Book&, Block& block, double* out, int64_t stride), const Program& program, const Book& book, const Desk& desk, const Asked* asked, int64_t count,
            Block& block, double* out, int64_t stride, uint8_t* aside);
