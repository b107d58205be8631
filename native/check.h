// Pre-trade checks: the unit that a trade lands in as the trade would leave it, and the account's other units as they
// stand. The book stays as it is.
#pragma once

#include "account.h"

namespace {

constexpr double DUST = 0x1p-50;  // of what is moved: less is left over from rounding

struct Trade {
    int64_t at, account, contract, row, wallet;
    double quantity, price, total[FIGURES];  // the figures of the account's units, summed
};

int64_t row_of(const Source& s, int64_t leg) {
    return s.wide ? static_cast<const int32_t*>(s.row)[leg] : static_cast<const uint16_t*>(s.row)[leg];
}

// A leg with its numbers by column, a bit for each that is stated beside the quantity, and its quantity in the book.
struct Leg {
    int64_t row, stated;
    double was, of[ONE];
    double side() const { return of[QUANTITY] != 0.0 ? of[QUANTITY] : of[BIDS] + of[ASKS]; }  // of orders alone: theirs
};

// A unit while a trade changes it.
struct Unit {
    Leg *first, *end;

    // False where an extra is of no leg or column.
    bool take(const Source& s) {
        for (int64_t leg = 0; leg < s.count; leg++) *end++ = {row_of(s, leg), 0, s.quantity[leg], {s.quantity[leg]}};
        for (int64_t e = 0; e < s.extras; e++) {
            const uint32_t code = s.extra_leg[e], leg = code & POSITION, column = code >> 28;
            if (leg >= s.count || column == QUANTITY || column >= ONE) return false;
            first[leg].stated |= 1 << column;
            first[leg].of[column] = s.extra_value[e];
        }
        return true;
    }

    // The first leg of a row on a side, on any where that is 0; the end where there is none.
    Leg* find(int64_t row, double side) const {
        const auto fits = [&](const Leg& leg) { return leg.row == row && (side == 0.0 || leg.side() * side > 0.0); };
        return std::find_if(first, end, fits);
    }

    // The same, new where there is none: a short leg stands before a long one.
    Leg* made(int64_t row, double side) {
        Leg* leg = find(row, side);
        if (leg < end) return leg;
        for (end++; leg > first && leg[-1].row + (side < 0.0) > row; leg--) *leg = leg[-1];
        *leg = {row, 0, 0.0, {}};
        return leg;
    }
};

// As margin/trade.py has it: what is opposite closes and is realised into the wallet, the rest joins at its price.
void fill(const Program& p, const Trade& t, Unit& unit) {
    const bool option = p.trade_kind[t.row] == 1, inverse = p.trade_kind[t.row] == 3;
    const double amount = t.quantity, side = p.by_side == 0 ? 0.0 : amount, price = inverse ? 1.0 / t.price : t.price;
    Leg *const same = unit.made(t.row, side), *const other = unit.find(t.row, -side);
    const double held = other < unit.end ? other->of[QUANTITY] : 0.0;
    const double old = __builtin_fabs(held), moved = __builtin_fabs(amount);
    const bool flat = __builtin_fabs(held + amount) <= DUST * (old > moved ? old : moved);
    const bool closes = flat || held * amount < 0.0;
    const double closing = !closes ? 0.0 : flat || moved > old ? -held : amount, opened = flat ? 0.0 : amount - closing;
    double cost = 0.0, funding = 0.0;
    if (closes) {
        cost = -closing / held * other->of[COST];
        funding = -closing / held * other->of[ACCRUED];
        other->of[QUANTITY] += closing;
        other->of[COST] -= cost;
        other->of[ACCRUED] -= funding;
    }
    same->of[QUANTITY] += opened;
    if (!option || same->of[COST] != 0.0) same->of[COST] += opened * price;  // an option's where it states its entry
    same->stated |= 1 << COST;
    const double gained = (-cost - closing * price) * p.multiplier[t.row] * (inverse ? -1.0 : 1.0);
    double& wallet = unit.made(t.wallet, 0.0)->of[QUANTITY];
    wallet = wallet + funding + (option ? -(amount * p.multiplier[t.row] * price) : gained);
}

struct Staged { double *quantity, *value; int32_t* row; uint32_t* code; };  // where the next unit is written

// What was closed, or turned around, has no leverage.
Source write(const Unit& unit, const Source& s, Staged& to) {
    const Staged first = to;
    for (const Leg* leg = unit.first; leg < unit.end; leg++) {
        for (int64_t left = leg->stated; left != 0; left &= left - 1) {
            const uint32_t column = static_cast<uint32_t>(__builtin_ctzll(left));
            *to.code = static_cast<uint32_t>(leg - unit.first) | column << 28;
            *to.value = leg->of[column];
            const bool kept = column == LEVERAGE ? leg->was * leg->of[QUANTITY] > 0.0
                                                 : column > ACCRUED || leg->of[column] != 0.0;
            to.code += kept, to.value += kept;
        }
        *to.row++ = static_cast<int32_t>(leg->row);
        *to.quantity++ = leg->of[QUANTITY];
    }
    const auto length = [](auto begin, auto end) { return static_cast<uint32_t>(end - begin); };
    return {first.row, first.quantity, first.value, first.code, length(first.row, to.row), length(first.code, to.code),
            s.unit, s.pool_class, true};
}

// A trade's rows, the unit that it lands in and the other units' figures. False where Python is to judge.
bool place(const Program& p, const Book& book, const Desk& d, Trade& t, Source& s) {
    if (t.account < 0 || t.account >= d.accounts || t.contract < 0 || t.contract >= d.contracts) return false;
    const int64_t opening = d.account_class[t.account];
    s = {};
    if (opening < d.account_classes) s.pool_class = d.opens[opening * d.contracts + t.contract];
    int64_t left = book.units;  // a ring of units would have no end
    for (int64_t unit = d.first[t.account]; unit >= 0; unit = d.follow[unit]) {
        if (unit >= book.units || left-- == 0) return false;
        const int64_t pool_class = book.pool_class[unit];
        if (pool_class >= p.classes) return false;
        const bool own = d.key[unit] == d.lands[t.contract], alone = !own && d.key[unit] < 0;
        Source held;
        if ((own || alone) && !find_unit(book, unit, own ? s : held)) return false;
        for (int64_t leg = 0; alone && leg < held.count; leg++)
            if (row_of(held, leg) == d.rows[pool_class * d.contracts + t.contract]) return false;
        const double rate = d.refused[unit] ? __builtin_nan("") : d.rate[pool_class];
        for (int64_t i = 0; !own && i < FIGURES; i++) t.total[i] += d.figures[i * book.units + unit] * rate;
    }
    if (left == book.units || s.pool_class < 0 || s.pool_class >= p.classes) return false;
    for (int64_t line = 0; line < 4; line++) __builtin_prefetch(s.quantity + line * WIDE);
    const int64_t cell = s.pool_class * d.contracts + t.contract;
    t.row = d.rows[cell];
    t.wallet = d.wallets[cell];
    if (t.price != t.price) t.price = d.mark[t.contract];
    if (t.wallet < 0 || t.quantity == 0.0 || t.quantity - t.quantity != 0.0 || t.price - t.price != 0.0) return false;
    return t.price > 0.0 || (t.price == 0.0 && p.trade_kind[t.row] == 1);
}

// Trades [first, last) of the order; how many of them there are not. A range of some dozens is quickest: what they read
// lies far, and all is asked for before any is waited for.
int64_t check(const Checking& c, int64_t first, int64_t last) {
    Block& b = own_block();
    const int64_t count = last - first;
    const int32_t* const outputs = c.desk->outputs;
    Source* const source = b.source.of(SIDES * count);
    Trade* const trades = b.trades.of(count);
    int64_t asked = 0, placed = 0, room = 0;
    for (int64_t i = first; i < last; i++) {
        const int64_t at = c.order[i];
        if (at < 0 || at >= c.trades) continue;
        trades[asked++] = {at, c.account[at], c.contract[at], -1, -1, c.quantity[at], c.price[at], {}};
        c.aside[at] = 1;
        for (int64_t k = 0; k < FIGURES; k++) c.out[k * c.trades + at] = __builtin_nan("");
    }
    for (int64_t i = 0; i < asked; i++) {
        if (!place(*c.program, *c.book, *c.desk, trades[i], source[placed])) continue;
        room += source[placed].count + source[placed].extras + 4;  // two legs are new, and each states a cost
        trades[placed++] = trades[i];
    }
    double* const numbers = b.staged.of(3 * room);
    int32_t* const integers = reinterpret_cast<int32_t*>(numbers + 2 * room);
    Staged to = {numbers, numbers + room, integers, reinterpret_cast<uint32_t*>(integers + room)};
    b.units = 0;
    for (int64_t i = 0; i < placed; i++) {
        Leg* const legs = b.changed.of(source[i].count + 2);
        Unit unit{legs, legs};
        if (!unit.take(source[i])) continue;
        fill(*c.program, trades[i], unit);
        source[b.units] = write(unit, source[i], to);
        trades[b.units++] = trades[i];
    }
    const double* found = b.found.of(c.program->output_count * count);
    if (evaluate(*c.program, *c.book, b, b.found.at, count) != 0) return count - asked;
    for (int64_t i = 0; i < b.units; i++, found++) {
        Trade& t = trades[i];
        c.aside[t.at] = 0;
        if (outputs[FIGURES] >= 0 && found[outputs[FIGURES] * count] != 0.0) continue;
        for (int64_t k = 0; k < FIGURES; k++) {
            t.total[k] += found[outputs[k] * count] * c.desk->rate[source[i].pool_class];
            c.out[k * c.trades + t.at] = k < 2 ? t.total[k] : t.total[k] - t.total[k - 2];
        }
    }
    return count - asked;
}

}  // namespace
