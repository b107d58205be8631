// A block of units: their active legs laid out side by side, and the rows of every level above them.
#pragma once

#include <algorithm>
#include <numeric>
#include <utility>
#include <vector>

#include "arguments.h"

namespace {

// The legs of one unit, as they lie in the book or as a trade would leave them.
struct Source {
    const void* row = nullptr;
    const double *quantity = nullptr, *extra_value = nullptr;
    const uint32_t* extra_leg = nullptr;
    uint32_t count = 0, extras = 0;
    int64_t unit = -1, pool_class = -1;  // of one that is not there yet
    bool wide = true;                    // whether rows are int32
    uint32_t side = 0;                   // orders that a copy takes as filled, bids or asks; 0 of a unit itself
    int64_t origin = 0;                  // the place of the unit that it is a copy of
};
constexpr uint32_t POSITION = (1u << 28) - 1;

struct alignas(64) Line { char bytes[64]; };  // of the processor's cache

template <class T>
struct Store {  // scratch that grows; what it held is gone then
    T* at = nullptr;
    std::vector<Line> lines;
    T* of(int64_t n) {  // zeros at first
        const size_t wanted = static_cast<size_t>(n) * sizeof(T) / sizeof(Line) + 1;
        if (wanted > lines.size()) lines = std::vector<Line>(wanted + wanted / 4);
        return at = reinterpret_cast<T*>(lines.data());
    }
};

struct Extra { int32_t leg; uint32_t column; double value; };

// The rows of one level in a block: of each row its first leg and its row in the template, of each leg its row.
struct Rows {
    int64_t count = 0, stride = 0;
    Store<int32_t> first, key, of_leg;
    Store<double> bank;  // the level's registers, [register, stride]
};

struct Block {
    int64_t units = 0, legs = 0, extras = 0;
    bool ordered = false;
    Store<Source> source;  // with room for as many copies of each side
    Store<int32_t> row, scan_row, slot;
    Store<double> quantity, cells, lanes, kept;
    Store<double> staged, found;  // of checks: units as trades leave them, and what the program says of them
    Store<struct Trade> trades;
    Store<struct Leg> changed;  // those of a unit that a trade changes
    Store<Extra> extra;
    Rows rows[LEVELS];
};

// The thread's own. That it is, callers must not know: the compiler would ask whose with every operation.
__attribute__((noinline)) Block& own_block() {
    thread_local Block block;
    return block;
}

// Where the legs of a unit lie in the book; false where not within it.
inline bool find_unit(const Book& book, int64_t unit, Source& source) {
    source = {};
    if (unit < 0 || unit >= book.units) return false;
    const int64_t first = book.start[unit], extra = book.extra_start[unit];
    const uint32_t count = book.count[unit], extras = book.extra_count[unit];
    if (first + count > book.arena || count > POSITION || extra + extras > book.extras) return false;
    const void* const row = book.wide ? static_cast<const void*>(book.wide + first) : book.row + first;
    source = {row,   book.quantity + first, book.extra_value + extra, book.extra_leg + extra,
              count, extras, unit, book.pool_class[unit], book.wide != nullptr};
    return true;
}

constexpr int64_t LINE = 16;  // integers

// A leg's row in the template: short, flat, or long.
inline int32_t key_of(int32_t row, double quantity) { return 3 * row + 1 + (quantity > 0.0) - (quantity < 0.0); }

// The row above a row of a finer level.
inline int64_t parent(const Block& b, int fine, int coarse, int64_t row) {
    return b.rows[coarse].of_leg.at[b.rows[fine].first.at[row]];
}

// Behind the units two copies of each with orders: one with bids filled, one with asks.
inline void copy_sides(Block& b) {
    const auto ordered = [](uint32_t code) { return code >> 28 == BIDS || code >> 28 == ASKS; };
    for (int64_t unit = 0, units = b.units; unit < units; unit++) {
        Source copy = b.source.at[unit];
        if (!std::any_of(copy.extra_leg, copy.extra_leg + copy.extras, ordered)) continue;
        copy.origin = unit;
        for (copy.side = BIDS; copy.side <= ASKS; copy.side++) b.source.at[b.units++] = copy;
    }
}

// Room for all units; none is there yet.
inline void make_room(const Program& p, Block& b) {
    int64_t room = b.units + LINE, extras = 0;
    for (int64_t i = 0; i < b.units; i++) {
        room += b.source.at[i].count;
        extras += b.source.at[i].extras;
    }
    b.row.of(room);
    b.scan_row.of(room);
    for (Rows& rows : b.rows)
        for (Store<int32_t>* integers : {&rows.first, &rows.key, &rows.of_leg}) integers->of(room);
    for (int32_t* const each : {b.rows[LEG].first.at, b.rows[LEG].of_leg.at})  // a leg is its own row: numbered once
        if (each[room - 1] != room - 1) std::iota(each, each + room, 0);
    b.quantity.of(room);
    b.extra.of(extras);
    b.slot.of(p.assets);
    b.legs = b.extras = b.ordered = 0;
}

// Appends the legs of units from `unit` on that lie side by side, all in one go, as a unit has few; the next unit.
inline int64_t take_legs(int64_t unit, Block& b) {
    const Source *const source = b.source.at, &s = source[unit];
    int64_t count = 0;
    do {
        b.rows[UNIT].first.at[unit] = static_cast<int32_t>(b.legs + count);
        count += source[unit++].count;
    } while (unit < b.units && source[unit].quantity == s.quantity + count);
    if (s.wide) std::copy_n(static_cast<const int32_t*>(s.row), count, b.row.at + b.legs);
    else std::copy_n(static_cast<const uint16_t*>(s.row), count, b.row.at + b.legs);
    std::copy_n(s.quantity, count, b.quantity.at + b.legs);
    b.legs += count;
    return unit;
}

// Appends a unit's extras, and fills its orders of a side; false where extras are out of order or range.
inline bool take_extras(const Source& s, int32_t first, Block& b) {
    for (uint32_t i = 0, before = 0; i < s.extras; i++) {
        const uint32_t code = s.extra_leg[i], column = code >> 28, leg = code & POSITION;
        if (leg < before || leg >= s.count || column < COST || column > ORDERS) return false;
        before = leg;
        const Extra& x = b.extra.at[b.extras++] = {first + static_cast<int32_t>(leg), column, s.extra_value[i]};
        b.ordered |= column == BIDS || column == ASKS;
        if (column == s.side) b.quantity.at[x.leg] += x.value;
    }
    return true;
}

// Leaves out the legs of nothing.
inline void drop(const Program& p, Block& b) {
    int32_t *const place = b.rows[LEG].key.at, *const first = b.rows[UNIT].first.at;
    int32_t legs = 0;
    for (int64_t i = 0; i < b.legs; i++) place[i] = b.quantity.at[i] != 0.0 || p.always_active[b.row.at[i]];
    for (const Extra *x = b.extra.at, *end = x + b.extras; x != end; x++)
        place[x->leg] |= x->column != LEVERAGE && x->value != 0.0;
    for (int64_t i = 0; i < b.legs; i++) {
        b.row.at[legs] = b.row.at[i];
        b.quantity.at[legs] = b.quantity.at[i];
        legs += std::exchange(place[i], legs);
    }
    place[b.legs] = legs;
    b.legs = legs;
    for (int64_t unit = 0; unit <= b.units; unit++) first[unit] = place[first[unit]];
    const auto gone = [place](const Extra& x) { return place[x.leg + 1] == place[x.leg]; };
    b.extras = std::remove_if(b.extra.at, b.extra.at + b.extras, gone) - b.extra.at;
    for (Extra *x = b.extra.at, *end = x + b.extras; x != end; x++) x->leg = place[x->leg];
}

// Reads the units of `source`; false where one is not as it should be. What the book says is read once and then
// checked: Python may rewrite it while this runs.
inline bool take_units(const Program& p, Block& b) {
    int32_t *const first = b.rows[UNIT].first.at, *const row = b.row.at;
    for (int64_t unit = 0; unit < b.units;) unit = take_legs(unit, b);
    first[b.units] = static_cast<int32_t>(b.legs);
    int64_t outside = 0, none = 0, descents = 0;
    for (int64_t i = 0; i < b.legs; i++) {
        outside |= static_cast<uint32_t>(row[i]) >= static_cast<uint32_t>(p.rows);
        none |= b.quantity.at[i] == 0.0;
    }
    for (int64_t i = 1; i < b.legs; i++) descents += row[i] < row[i - 1];
    for (int64_t unit = 0; unit < b.units; unit++) {
        const Source& s = b.source.at[unit];
        const int32_t leg = first[unit];
        if (s.pool_class < 0 || s.pool_class >= p.classes || !take_extras(s, leg, b)) return false;
        if (leg > 0 && leg < first[unit + 1]) descents -= row[leg] < row[leg - 1];  // a unit's rows start anew
        b.rows[UNIT].key.at[unit] = static_cast<int32_t>(s.pool_class);
    }
    if (outside != 0 || descents != 0) return false;
    if (none != 0) drop(p, b);
    return true;
}

// The rows of a level: a new one where the row in the template or the unit changes, or, where legs of a row lie apart,
// where the unit has not met it. What a row says is written for every leg and stays where the next is new: few legs
// make a branch that no processor foresees.
template <bool APART>
void take_rows(const Program& p, int level, Block& b) {
    const int32_t *const above = p.level_row + (level - STRIKE) * p.rows, *const row = b.row.at;
    Rows &rows = b.rows[level], &units = b.rows[UNIT];
    int32_t *__restrict const first = rows.first.at, *__restrict const keys = rows.key.at;
    int32_t *__restrict const of_leg = rows.of_leg.at, *const slot = b.slot.at;  // the row last given to an asset
    if (APART) std::fill_n(slot, p.assets, -1);
    int32_t n = 0;
    for (int64_t unit = 0; unit < b.units; unit++) {
        const int32_t before = n;
        for (int32_t last = -1, leg = units.first.at[unit]; leg < units.first.at[unit + 1]; leg++) {
            const int32_t key = above[row[leg]];
            const bool fresh = APART ? slot[key] < before : key != last;
            first[n] = leg;
            keys[n] = last = key;
            if (APART && fresh) slot[key] = n;
            n += fresh;
            of_leg[leg] = APART ? slot[key] : n - 1;
        }
    }
    rows.count = n;
}

// Lays out the units of `source`; registers get room but no values. False where a unit is not as it should be.
inline bool lay_out(const Program& p, Block& b) {
    make_room(p, b);
    if (!take_units(p, b)) return false;
    if (b.ordered && p.sides != 0 && b.source.at[b.units - 1].side == 0) {
        copy_sides(b);
        return lay_out(p, b);
    }
    Rows &legs = b.rows[LEG], &units = b.rows[UNIT];
    legs.count = b.legs;
    units.count = b.units;
    for (int64_t i = 0; i < b.legs; i++) legs.key.at[i] = key_of(b.row.at[i], b.quantity.at[i]);
    for (int32_t unit = 0; unit < b.units; unit++)  // lines at a time: what is too much the next unit overwrites
        for (int64_t leg = units.first.at[unit]; leg < units.first.at[unit + 1]; leg += LINE)
            std::fill_n(units.of_leg.at + leg, LINE, unit);
    for (int level = STRIKE; level < UNIT; level++)
        if (p.used[level]) level == ASSET ? take_rows<true>(p, level, b) : take_rows<false>(p, level, b);
    for (int level = LEG; level < LEVELS; level++) {
        Rows& rows = b.rows[level];
        rows.first.at[rows.count] = static_cast<int32_t>(b.legs);
        rows.stride = (rows.count + WIDE - 1) / WIDE * WIDE;
        rows.bank.of(rows.stride * p.registers[level] + WIDE);
    }
    return true;
}

}  // namespace
