// A block of units: their active legs laid out side by side, and the rows of every level above them.
#pragma once

#include "engine.h"

namespace {

// The usual unit: no extras and no leg of nothing. False where it is not one, or a row is out of range or order.
template <class Row>
inline bool take_plain(const Program& p, const Source& s, Block& b) {
    if (s.extras != 0) return false;
    const Row* rows = static_cast<const Row*>(s.row);
    const int64_t count = s.count, limit = p.rows;
    int32_t *const row = b.row.at + b.legs, *const index = b.rows[LEG].key.at + b.legs;
    double* const quantity = b.quantity.at + b.legs;
    bool wrong = false;
    for (int64_t leg = 0, before = 0; leg < count; leg++) {
        const int64_t r = rows[leg];
        const double q = s.quantity[leg];
        row[leg] = static_cast<int32_t>(r);
        quantity[leg] = q;
        index[leg] = static_cast<int32_t>(3 * r + 1 + (q > 0.0) - (q < 0.0));
        wrong |= r < before || q == 0.0;
        before = r;
    }
    if (wrong || (count > 0 && row[count - 1] >= limit)) return false;
    b.legs += count;
    return true;
}

// Appends the active legs of one unit; `fill` is a column of orders that the quantities take as filled, or 0.
// What a leg says is read once and checked: Python may rewrite the book while this runs.
template <class Row>
Fault take_legs(const Program& p, const Source& s, uint32_t fill, Block& b, bool& ordered) {
    if (take_plain<Row>(p, s, b)) return NO_FAULT;
    const Row* rows = static_cast<const Row*>(s.row);
    int32_t *const index = b.rows[LEG].key.at, *const row = b.row.at;
    double* const held = b.quantity.at;
    Extra* const extra = b.extra.at;
    const uint32_t count = s.count;
    const int64_t limit = p.rows;
    int64_t n = b.legs, extras = b.extras, before = 0;
    uint32_t e = 0, next = s.extras ? s.extra_leg[0] & POSITION : count;
    for (uint32_t leg = 0; leg < count; leg++) {
        const int64_t r = rows[leg];
        double quantity = s.quantity[leg];
        if (r < 0 || r >= limit) return {Wrong::row, s.unit};
        if (r < before) return {Wrong::order, s.unit};
        before = r;
        bool active = quantity != 0.0 || p.always_active[r];
        if (leg == next) {
            const int64_t mine = extras;
            for (next = count; e < s.extras; e++) {
                const uint32_t code = s.extra_leg[e], column = code >> 28;
                if ((code & POSITION) != leg) {
                    next = code & POSITION;
                    break;
                }
                const double value = s.extra_value[e];
                if (column < COST || column > ORDERS) return {Wrong::extra, s.unit};
                extra[extras++] = {static_cast<int32_t>(n), column, value};
                active |= column != LEVERAGE && value != 0.0;
                ordered |= (column == BIDS || column == ASKS) && value != 0.0;
                if (column == fill) quantity += value;
            }
            if (!active) extras = mine;
        }
        row[n] = static_cast<int32_t>(r);
        held[n] = quantity;
        index[n] = static_cast<int32_t>(3 * r + 1 + (quantity > 0.0) - (quantity < 0.0));
        n += active;
    }
    b.legs = n;
    b.extras = extras;
    return e == s.extras ? NO_FAULT : Fault{Wrong::extra, s.unit};
}

// Rows of a level whose legs lie side by side: a new one where the row in the template changes.
inline void take_rows(const Program& p, int level, int64_t first, Block& b) {
    Rows& rows = b.rows[level];
    const int32_t *const above = p.level_row[level], *const row = b.row.at;
    int32_t *const start = rows.first.at, *const keys = rows.key.at, *const of_leg = rows.of_leg.at;
    const int64_t legs = b.legs;
    int64_t n = rows.count;
    int32_t last = -1;
    for (int64_t leg = first; leg < legs; leg++) {
        const int32_t key = above[row[leg]];
        start[n] = static_cast<int32_t>(leg);
        keys[n] = key;
        n += key != last;
        of_leg[leg] = static_cast<int32_t>(n - 1);
        last = key;
    }
    rows.count = n;
}

// Rows of assets, whose legs lie apart: numbered as they are met.
inline void take_assets(const Program& p, int64_t first, Block& b) {
    Rows& rows = b.rows[ASSET];
    int32_t* const slot = b.slot.at;  // of each asset of the template, the row plus one; zeros between units
    const int64_t before = rows.count;
    for (int64_t leg = first; leg < b.legs; leg++) {
        const int32_t key = p.level_row[ASSET][b.row.at[leg]];
        if (slot[key] == 0) {
            rows.key.at[rows.count] = key;
            slot[key] = static_cast<int32_t>(++rows.count);
        }
        rows.of_leg.at[leg] = slot[key] - 1;
    }
    for (int64_t row = before; row < rows.count; row++) slot[rows.key.at[row]] = 0;
}

// `order` [legs]: the legs asset by asset; `first` then points into it.
inline void order_assets(Block& b) {
    Rows& rows = b.rows[ASSET];
    int32_t* const first = rows.first.at;
    for (int64_t row = 0; row <= rows.count; row++) first[row] = 0;
    for (int64_t leg = 0; leg < b.legs; leg++) first[rows.of_leg.at[leg] + 1]++;
    for (int64_t row = 0; row < rows.count; row++) first[row + 1] += first[row];
    for (int64_t leg = 0; leg < b.legs; leg++) b.order.at[first[rows.of_leg.at[leg]]++] = static_cast<int32_t>(leg);
    for (int64_t row = rows.count; row > 0; row--) first[row] = first[row - 1];
    first[0] = 0;
}

inline int64_t first_leg(const Block& b, int level, int64_t row) {
    if (level == LEG) return row;
    const int32_t first = b.rows[level].first.at[row];
    return level == ASSET ? b.order.at[first] : first;
}

inline void make_room(const Program& p, Block& b) {
    int64_t legs = 0, extras = 0;
    for (int64_t i = 0; i < b.units; i++) {
        legs += b.source.at[i].count;
        extras += b.source.at[i].extras;
    }
    b.row.of(legs + 1);
    b.contract.of(legs + 1);
    b.quantity.of(legs + WIDE);
    b.weight.of(legs + WIDE);
    b.extra.of(extras + 1);
    b.ordered.of(b.units + 1);
    b.rows[LEG].key.of(legs + 1);
    for (int level = LEG; level < LEVELS; level++) {
        Rows& rows = b.rows[level];
        rows.count = 0;
        if (!p.used[level]) continue;
        rows.of_unit.of(b.units + 1);
        if (level == LEG) continue;
        rows.of_leg.of(legs + 1);
        rows.first.of((level == UNIT ? b.units : legs) + 1);
        rows.key.of((level == UNIT ? b.units : legs) + 1);
    }
    if (!p.used[ASSET]) return;
    b.slot.of(p.level_rows[ASSET - STRIKE] + 1);
    b.order.of(legs + 1);
}

// Lays out the units of `source`; registers get room but no values.
Fault lay_out(const Program& p, uint32_t fill, Block& b) {
    make_room(p, b);
    b.legs = b.extras = 0;
    for (int64_t unit = 0; unit < b.units; unit++) {
        const Source& s = b.source.at[unit];
        const int64_t first = b.legs;
        bool ordered = false;
        const auto take = s.wide ? take_legs<int32_t> : take_legs<uint16_t>;
        const Fault fault = take(p, s, fill, b, ordered);
        if (fault.what != Wrong::nothing) return fault;
        b.ordered.at[unit] = ordered;
        for (int level = STRIKE; level < UNIT; level++) {
            if (!p.used[level]) continue;
            b.rows[level].of_unit.at[unit] = static_cast<int32_t>(b.rows[level].count);
            level == ASSET ? take_assets(p, first, b) : take_rows(p, level, first, b);
        }
        if (p.used[LEG]) b.rows[LEG].of_unit.at[unit] = static_cast<int32_t>(first);
        Rows& units = b.rows[UNIT];
        units.of_unit.at[unit] = static_cast<int32_t>(unit);
        units.first.at[unit] = static_cast<int32_t>(first);
        units.key.at[unit] = static_cast<int32_t>(s.pool_class);
        if (s.pool_class >= p.classes) return {Wrong::pool_class, s.unit};
        for (int64_t leg = first; leg < b.legs; leg++) units.of_leg.at[leg] = static_cast<int32_t>(unit);
    }
    b.rows[LEG].count = b.legs;
    b.rows[UNIT].count = b.units;
    if (p.used[ASSET]) order_assets(b);
    for (int level = LEG; level < LEVELS; level++) {
        Rows& rows = b.rows[level];
        if (!p.used[level]) continue;
        rows.of_unit.at[b.units] = static_cast<int32_t>(rows.count);
        if (level != LEG) rows.first.at[rows.count] = static_cast<int32_t>(b.legs);
        rows.stride = (rows.count + WIDE - 1) / WIDE * WIDE;
        rows.bank.of(rows.stride * p.registers[level] + WIDE);
    }
    if (p.scan_count)
        for (int64_t leg = 0; leg < b.legs; leg++) b.contract.at[leg] = p.contract[b.row.at[leg]];
    return NO_FAULT;
}

}  // namespace
