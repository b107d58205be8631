// A block of units: their active legs laid out side by side, and the rows of every level above them.
#pragma once

#include "engine.h"

namespace {

// What is wrong with the legs of units [unit, last), which were taken as they are: a row out of range, or out of order.
inline Fault blame(const Program& p, int64_t unit, int64_t last, const Block& b) {
    for (; unit < last; unit++) {
        const int32_t* row = b.row.at + b.rows[UNIT].first.at[unit];
        for (int64_t leg = 0, before = 0; leg < b.source.at[unit].count; before = row[leg++]) {
            if (row[leg] < 0 || row[leg] >= p.rows) return {Wrong::row, b.source.at[unit].unit};
            if (row[leg] < before) return {Wrong::order, b.source.at[unit].unit};
        }
    }
    return NO_FAULT;
}

// Fills orders, and leaves out the legs of nothing: of those taken last, from unit, leg and extra on.
inline void drop(const Program& p, uint32_t fill, int64_t unit, int64_t last, int64_t leg, int64_t e, Block& b) {
    int32_t* const place = b.rows[LEG].key.at;
    int64_t legs = leg, extras = e;
    for (int64_t i = leg; i < b.legs; i++) place[i] = b.quantity.at[i] != 0.0 || p.always_active[b.row.at[i]];
    for (int64_t i = e; i < b.extras; i++) {
        const Extra& x = b.extra.at[i];
        if (x.column != LEVERAGE && x.value != 0.0) place[x.leg] = 1;
        if (x.column == fill) b.quantity.at[x.leg] += x.value;
    }
    for (int64_t i = leg; i < b.legs; i++) {
        b.row.at[legs] = b.row.at[i];
        b.quantity.at[legs] = b.quantity.at[i];
        while (unit < last && b.rows[UNIT].first.at[unit] == i) b.rows[UNIT].first.at[unit++] = static_cast<int32_t>(legs);
        const bool stays = place[i] != 0;
        place[i] = stays ? static_cast<int32_t>(legs) : -1;
        legs += stays;
    }
    for (; unit < last; unit++) b.rows[UNIT].first.at[unit] = static_cast<int32_t>(legs);
    for (int64_t i = e; i < b.extras; i++) {
        Extra x = b.extra.at[i];
        x.leg = place[x.leg];
        b.extra.at[extras] = x;
        extras += x.leg >= 0;
    }
    b.legs = legs;
    b.extras = extras;
}

// A leg's row in the template: short, flat, or long.
inline int32_t key_of(int32_t row, double quantity) { return 3 * row + 1 + (quantity > 0.0) - (quantity < 0.0); }

// Appends the active legs of units [unit, last), which lie side by side in the book: all in one go, as a unit has few.
// `fill` is a column of orders that the quantities take as filled, or 0. What a leg says is read once and checked: Python
// may rewrite the book while this runs.
template <class Row>
Fault take_legs(const Program& p, uint32_t fill, int64_t unit, int64_t last, Block& b) {
    const Source* const source = b.source.at;
    const Row* rows = static_cast<const Row*>(source[unit].row);
    const double* held = source[unit].quantity;
    int32_t *const first = b.rows[UNIT].first.at, *__restrict const row = b.row.at + b.legs;
    double* __restrict const quantity = b.quantity.at + b.legs;
    const int64_t leg = b.legs, e = b.extras;
    for (int64_t i = unit; i < last; b.legs += source[i++].count) first[i] = static_cast<int32_t>(b.legs);
    const int64_t count = b.legs - leg;
    const uint32_t limit = static_cast<uint32_t>(p.rows);
    int32_t wrong = 0, none = 0;
    for (int64_t i = 0; i < count; i++) {
        row[i] = static_cast<int32_t>(rows[i]);
        quantity[i] = held[i];
        wrong |= static_cast<uint32_t>(row[i]) >= limit;
        none |= quantity[i] == 0.0;
    }
    for (int64_t i = 1; i < count; i++) wrong += row[i] < row[i - 1];
    for (int64_t i = unit; i < last; i++) {
        const Source& s = source[i];
        const int64_t at = first[i] - leg;
        if (s.count != 0 && at > 0) wrong -= row[at] < row[at - 1];  // where a unit begins it may
        bool ordered = false;
        for (uint32_t k = 0, before = 0; k < s.extras; k++) {
            const uint32_t code = s.extra_leg[k], column = code >> 28, mine = code & POSITION;
            const double value = s.extra_value[k];
            if (mine < before || mine >= s.count || column < COST || column > ORDERS) return {Wrong::extra, s.unit};
            before = mine;
            ordered |= (column == BIDS || column == ASKS) && value != 0.0;
            b.extra.at[b.extras++] = {static_cast<int32_t>(first[i] + mine), column, value};
        }
        b.ordered.at[i] = ordered;
    }
    if (wrong != 0) return blame(p, unit, last, b);
    if (none != 0 || fill != 0) drop(p, fill, unit, last, leg, e, b);
    if (!(p.used[LEG] & OF_LEGS)) return NO_FAULT;
    int32_t* const key = b.rows[LEG].key.at + leg;
    for (int64_t i = 0; i < b.legs - leg; i++) key[i] = key_of(row[i], quantity[i]);
    return NO_FAULT;
}

// Rows of a level whose legs lie side by side: a new one where the row in the template or the unit changes. What a row
// says is written for every leg and stays where the next is new: few legs make a branch that no processor foresees.
template <bool EACH>
void take_rows(const Program& p, int level, Block& b) {
    Rows& rows = b.rows[level];
    const int32_t *const above = p.level_row[level], *const row = b.row.at, *const units = b.rows[UNIT].first.at;
    int32_t *__restrict const start = rows.first.at, *__restrict const owner = rows.owner.at;
    int32_t *__restrict const keys = rows.key.at, *__restrict const of_leg = rows.of_leg.at;
    int32_t n = 0;
    for (int64_t unit = 0; unit < b.units; unit++) {
        int32_t last = -1;
        for (int64_t leg = units[unit]; leg < units[unit + 1]; leg++) {
            const int32_t key = above[row[leg]];
            start[n] = static_cast<int32_t>(leg);
            owner[n] = static_cast<int32_t>(unit);
            n += key != last;
            if (EACH) of_leg[leg] = n - 1;
            last = key;
        }
    }
    rows.count = n;
    for (int64_t i = 0; i < n; i++) keys[i] = above[row[start[i]]];
}

inline void number_units(Block& b) {
    const int32_t* const first = b.rows[UNIT].first.at;
    for (int64_t unit = 0; unit < b.units; unit++)
        for (int64_t leg = first[unit]; leg < first[unit + 1]; leg++) b.rows[UNIT].of_leg.at[leg] = static_cast<int32_t>(unit);
}

// Rows of assets, whose legs lie apart: numbered as they are met.
inline void take_assets(const Program& p, int64_t unit, Block& b) {
    const int64_t first = b.rows[UNIT].first.at[unit], last = b.rows[UNIT].first.at[unit + 1];
    Rows& rows = b.rows[ASSET];
    int32_t* const slot = b.slot.at;  // of each asset of the template, the row plus one; zeros between units
    const int64_t before = rows.count;
    for (int64_t leg = first; leg < last; leg++) {
        const int32_t key = p.level_row[ASSET][b.row.at[leg]];
        if (slot[key] == 0) {
            rows.key.at[rows.count] = key;
            slot[key] = static_cast<int32_t>(++rows.count);
        }
        rows.of_leg.at[leg] = slot[key] - 1;
    }
    for (int64_t row = before; row < rows.count; row++) {
        slot[rows.key.at[row]] = 0;
        rows.owner.at[row] = static_cast<int32_t>(unit);
    }
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

// The row above a row of a finer level.
inline int64_t parent(const Block& b, int fine, int coarse, int64_t row) {
    if (coarse == UNIT && fine != LEG) return b.rows[fine].owner.at[row];
    return b.rows[coarse].of_leg.at[fine == LEG ? row : b.rows[fine].first.at[row]];
}

inline void make_room(const Program& p, Block& b) {
    int64_t legs = 0, extras = 0;
    for (int64_t i = 0; i < b.units; i++) {
        legs += b.source.at[i].count;
        extras += b.source.at[i].extras;
    }
    b.row.of(legs + 1);
    b.scan_row.of(legs + 1);
    b.quantity.of(legs + WIDE);
    b.extra.of(extras + 1);
    b.ordered.of(b.units + 1);
    b.rows[LEG].key.of(legs + 1);
    for (int level = LEG; level < LEVELS; level++) {
        Rows& rows = b.rows[level];
        rows.count = 0;
        if (!p.used[level]) continue;
        if (level == LEG) continue;
        rows.of_leg.of(legs + 1);
        rows.owner.of(legs + 1);
        rows.first.of((level == UNIT ? b.units : legs) + 1);
        rows.key.of((level == UNIT ? b.units : legs) + 1);
    }
    if (!p.used[ASSET]) return;
    b.slot.of(p.level_rows[ASSET - STRIKE] + 1);
    b.order.of(legs + 1);
}

// The row of a level at which a unit begins; of a unit without legs, the next one's.
inline int64_t first_row(const Block& b, int level, int64_t unit) {
    const int64_t leg = b.rows[UNIT].first.at[unit];
    return level == LEG ? leg : level == UNIT ? unit : leg < b.legs ? b.rows[level].of_leg.at[leg] : b.rows[level].count;
}

// Units from `unit` on whose legs lie side by side, one at least.
inline int64_t together(const Block& b, int64_t unit) {
    const Source* s = b.source.at + unit;
    int64_t n = 1;
    for (; unit + n < b.units && s[n].wide == s->wide; n++) {
        const Source& last = s[n - 1];
        const char* end = static_cast<const char*>(last.row) + last.count * (last.wide ? 4 : 2);
        if (s[n].row != end || s[n].quantity != last.quantity + last.count) break;
    }
    return n;
}

// Lays out the units of `source`; registers get room but no values.
Fault lay_out(const Program& p, uint32_t fill, Block& b) {
    make_room(p, b);
    b.legs = b.extras = 0;
    Rows& units = b.rows[UNIT];
    for (int64_t unit = 0, n = 0; unit < b.units; unit += n) {
        n = together(b, unit);
        const auto take = b.source.at[unit].wide ? take_legs<int32_t> : take_legs<uint16_t>;
        const Fault fault = take(p, fill, unit, unit + n, b);
        if (fault.what != Wrong::nothing) return fault;
    }
    units.first.at[b.units] = static_cast<int32_t>(b.legs);
    for (int64_t unit = 0; unit < b.units; unit++) {
        const Source& s = b.source.at[unit];
        units.key.at[unit] = static_cast<int32_t>(s.pool_class);
        if (s.pool_class >= p.classes) return {Wrong::pool_class, s.unit};
        if (p.used[ASSET]) take_assets(p, unit, b);
    }
    if (p.used[UNIT] & OF_LEGS) number_units(b);
    for (int level = STRIKE; level < ASSET; level++)
        if (p.used[level]) p.used[level] & OF_LEGS ? take_rows<true>(p, level, b) : take_rows<false>(p, level, b);
    b.rows[LEG].count = b.legs;
    units.count = b.units;
    if (p.used[ASSET]) order_assets(b);
    for (int level = LEG; level < LEVELS; level++) {
        Rows& rows = b.rows[level];
        if (!p.used[level]) continue;
        if (level != LEG) rows.first.at[rows.count] = static_cast<int32_t>(b.legs);
        rows.stride = (rows.count + WIDE - 1) / WIDE * WIDE;
        rows.bank.of(rows.stride * p.registers[level] + WIDE);
    }
    return NO_FAULT;
}

}  // namespace
