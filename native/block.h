// A block of units: their active legs laid out side by side, and the rows of every level above them.
#pragma once

#include "engine.h"

namespace {

// The usual units, whose legs lie side by side in the book: no leg of nothing, and all in range and order. They are taken
// in one go, as there are few legs in a unit. False, and nothing is taken, where one is not of this sort.
template <class Row>
inline bool take_plain(const Program& p, const Source* s, int64_t units, Block& b) {
    const Row* rows = static_cast<const Row*>(s->row);
    const double* held = s->quantity;
    int32_t *const row = b.row.at + b.legs, *const index = b.rows[LEG].key.at + b.legs;
    double* const quantity = b.quantity.at + b.legs;
    int32_t* const first = b.rows[UNIT].first.at + (s - b.source.at);
    int64_t count = 0, extras = b.extras;
    for (int64_t unit = 0; unit < units; count += s[unit++].count) first[unit] = static_cast<int32_t>(b.legs + count);
    const uint32_t limit = static_cast<uint32_t>(p.rows);
    int32_t wrong = 0;
    for (int64_t leg = 0; leg < count; leg++) {
        const uint32_t r = static_cast<uint32_t>(rows[leg]);
        const double q = held[leg];
        row[leg] = static_cast<int32_t>(r);
        quantity[leg] = q;
        index[leg] = static_cast<int32_t>(3 * r + 1) + (q > 0.0) - (q < 0.0);
        wrong |= (r >= limit) | (q == 0.0);
    }
    for (int64_t leg = 1; leg < count; leg++) wrong += row[leg] < row[leg - 1];  // where a unit begins it may
    for (int64_t unit = 0; unit < units; unit++) {
        const int64_t at = first[unit] - b.legs;
        if (s[unit].count != 0 && at > 0) wrong -= row[at] < row[at - 1];
        bool ordered = false;
        uint32_t before = 0;
        for (uint32_t e = 0; e < s[unit].extras; e++) {
            const uint32_t code = s[unit].extra_leg[e], column = code >> 28, leg = code & POSITION;
            const double value = s[unit].extra_value[e];
            if (leg < before || leg >= s[unit].count || column < COST || column > ORDERS) return false;
            before = leg;
            ordered |= (column == BIDS || column == ASKS) && value != 0.0;
            b.extra.at[extras++] = {static_cast<int32_t>(first[unit] + leg), column, value};
        }
        b.ordered.at[s - b.source.at + unit] = ordered;
    }
    if (wrong != 0) return false;
    b.legs += count;
    b.extras = extras;
    return true;
}

// Appends the active legs of one unit; `fill` is a column of orders that the quantities take as filled, or 0.
// What a leg says is read once and checked: Python may rewrite the book while this runs.
template <class Row>
Fault take_legs(const Program& p, const Source& s, uint32_t fill, Block& b, bool& ordered) {
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

// Rows of a level whose legs lie side by side: a new one where the row in the template or the unit changes.
inline void take_rows(const Program& p, int level, Block& b) {
    Rows& rows = b.rows[level];
    const int32_t *const above = p.level_row[level], *const row = b.row.at, *const units = b.rows[UNIT].of_leg.at;
    int32_t *const start = rows.first.at, *const keys = rows.key.at, *const of_leg = rows.of_leg.at;
    const int64_t legs = b.legs;
    int32_t n = 0, last = -1, before = -1;
    for (int64_t leg = 0; leg < legs; leg++) {
        const int32_t key = above[row[leg]], unit = units[leg];
        start[n] = static_cast<int32_t>(leg);
        keys[n] = key;
        n += (key != last) | (unit != before);
        of_leg[leg] = n - 1;
        last = key;
        before = unit;
    }
    rows.count = n;
}

// The unit of each leg, without a loop for each unit: few legs make its end a branch that no processor foresees.
inline void number_units(Block& b) {
    const int32_t* first = b.rows[UNIT].first.at;
    int32_t *const of_leg = b.rows[UNIT].of_leg.at, unit = -1;
    for (int64_t leg = 0; leg <= b.legs; leg++) of_leg[leg] = 0;
    for (int64_t i = 0; i < b.units; i++) of_leg[first[i]]++;
    for (int64_t leg = 0; leg < b.legs; leg++) of_leg[leg] = unit += of_leg[leg];
}

// Rows of assets, whose legs lie apart: numbered as they are met.
inline void take_assets(const Program& p, int64_t first, int64_t last, Block& b) {
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
        if (level == LEG) continue;
        rows.of_leg.of(legs + 1);
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

// Takes units [unit, unit + n), whose legs lie side by side: all in one go, else one by one.
template <class Row>
Fault take_units(const Program& p, uint32_t fill, int64_t unit, int64_t n, Block& b) {
    if (fill == 0 && take_plain<Row>(p, b.source.at + unit, n, b)) return NO_FAULT;
    for (int64_t last = unit + n; unit < last; unit++) {
        if (fill == 0 && n > 1 && take_plain<Row>(p, b.source.at + unit, 1, b)) continue;
        b.rows[UNIT].first.at[unit] = static_cast<int32_t>(b.legs);
        bool ordered = false;
        const Fault fault = take_legs<Row>(p, b.source.at[unit], fill, b, ordered);
        if (fault.what != Wrong::nothing) return fault;
        b.ordered.at[unit] = ordered;
    }
    return NO_FAULT;
}

// Lays out the units of `source`; registers get room but no values.
Fault lay_out(const Program& p, uint32_t fill, Block& b) {
    make_room(p, b);
    b.legs = b.extras = 0;
    Rows& units = b.rows[UNIT];
    for (int64_t unit = 0, n = 0; unit < b.units; unit += n) {
        n = together(b, unit);
        const auto take = b.source.at[unit].wide ? take_units<int32_t> : take_units<uint16_t>;
        const Fault fault = take(p, fill, unit, n, b);
        if (fault.what != Wrong::nothing) return fault;
    }
    units.first.at[b.units] = static_cast<int32_t>(b.legs);
    for (int64_t unit = 0; unit < b.units; unit++) {
        const Source& s = b.source.at[unit];
        units.key.at[unit] = static_cast<int32_t>(s.pool_class);
        if (s.pool_class >= p.classes) return {Wrong::pool_class, s.unit};
        if (p.used[ASSET]) take_assets(p, units.first.at[unit], units.first.at[unit + 1], b);
    }
    number_units(b);
    for (int level = STRIKE; level < ASSET; level++)
        if (p.used[level]) take_rows(p, level, b);
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
    if (p.scan_count)
        for (int64_t leg = 0; leg < b.legs; leg++) b.contract.at[leg] = p.contract[b.row.at[leg]];
    return NO_FAULT;
}

}  // namespace
