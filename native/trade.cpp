// A unit as one trade would leave it: what closes is realised into the wallet, the rest merges. The book stays.
#include <algorithm>
#include <cmath>
#include <initializer_list>

#include "engine.h"

namespace {

constexpr double DUST = 0x1p-50;  // of what is moved: less is left over from rounding

struct Held {  // a leg that the trade touches: its place before and after, and what a trade changes
    int64_t before = -1, after = -1;
    double quantity = 0.0, cost = 0.0, accrued = 0.0, old = 0.0;
};

class Staging {
public:
    Staging(const Program& p, const Source& s, const Trade& t) : p_(p), s_(s), t_(t) {}

    Fault run(int32_t* row, double* quantity, uint32_t* extra_leg, double* extra_value, Source& out) {
        s_.wide ? search<int32_t>() : search<uint16_t>();
        const int64_t first = first_, last = last_, wallet = paid_;
        find(first, last);
        wallet_.before = wallet < s_.count && row_at(wallet) == t_.wallet ? wallet : -1;
        read(long_);
        read(short_);
        read(wallet_);
        Held& same = t_.quantity > 0.0 ? long_ : short_;
        Held& opposite = p_.by_side == 0 ? same : t_.quantity > 0.0 ? short_ : long_;
        fill(same, opposite);
        // a leg that is new stands before leg `at` of the old ones: short legs before long ones
        const int64_t count = s_.count, none = count + 1;
        const int64_t at = same.before >= 0 ? none : &same == &long_ ? last : first;
        const int64_t paid = wallet_.before >= 0 ? none : wallet;
        s_.wide ? copy<int32_t>(at, paid, row, quantity) : copy<uint16_t>(at, paid, row, quantity);
        for (Held* leg : {&long_, &short_, &wallet_})
            if (leg->before >= 0) leg->after = leg->before + (at <= leg->before) + (paid <= leg->before);
        if (at != none) same.after = at + (paid < at || (paid == at && t_.wallet < t_.row));
        if (paid != none) wallet_.after = paid + (at < paid || (at == paid && t_.row < t_.wallet));
        put(same, t_.row, row, quantity);
        put(wallet_, t_.wallet, row, quantity);
        if (&opposite != &same) put(opposite, t_.row, row, quantity);
        const int64_t n = count + (at != none) + (paid != none);
        const Fault fault = extras(same, opposite, extra_leg, extra_value, out);
        out.row = row;
        out.quantity = quantity;
        out.extra_leg = extra_leg;
        out.extra_value = extra_value;
        out.count = static_cast<uint32_t>(n);
        out.unit = s_.unit;
        out.pool_class = s_.pool_class;
        out.wide = true;
        return fault;
    }

private:
    int64_t row_at(int64_t leg) const {
        return s_.wide ? static_cast<const int32_t*>(s_.row)[leg] : static_cast<const uint16_t*>(s_.row)[leg];
    }

    // Where the contract's legs begin and end, and the wallet's: all are counted, as few legs make a search a guess.
    template <class Row>
    void search() {
        const Row* rows = static_cast<const Row*>(s_.row);
        int32_t first = 0, last = 0, paid = 0;
        const int32_t row = static_cast<int32_t>(t_.row), wallet = static_cast<int32_t>(t_.wallet);
        for (uint32_t leg = 0; leg < s_.count; leg++) {
            first += rows[leg] < row;
            last += rows[leg] <= row;
            paid += rows[leg] < wallet;
        }
        first_ = first, last_ = last, paid_ = paid;
    }

    static void put(const Held& leg, int64_t template_row, int32_t* row, double* quantity) {
        if (leg.after < 0) return;
        row[leg.after] = static_cast<int32_t>(template_row);
        quantity[leg.after] = leg.quantity;
    }

    // The old legs, moved up by the new ones before them.
    template <class Row>
    void copy(int64_t at, int64_t paid, int32_t* row, double* quantity) const {
        const Row* rows = static_cast<const Row*>(s_.row);
        const int64_t count = s_.count;
        const int64_t ends[] = {std::min({at, paid, count}), std::min(std::max(at, paid), count), count};
        for (int64_t shift = 0, leg = 0; shift < 3; shift++)
            for (; leg < ends[shift]; leg++) {
                row[leg + shift] = rows[leg];
                quantity[leg + shift] = s_.quantity[leg];
            }
    }

    template <class F>
    void extras_of(int64_t leg, F f) const {
        uint32_t low = 0, high = s_.extras;
        while (low < high) {
            const uint32_t middle = low + (high - low) / 2;
            (s_.extra_leg[middle] & POSITION) < leg ? low = middle + 1 : high = middle;
        }
        for (; low < s_.extras && (s_.extra_leg[low] & POSITION) == leg; low++)
            f(s_.extra_leg[low] >> 28, s_.extra_value[low]);
    }

    void find(int64_t first, int64_t last) {
        for (int64_t leg = first; leg < last; leg++) {
            double side = s_.quantity[leg], orders = 0.0;
            if (side == 0.0) {  // of orders alone
                extras_of(leg, [&](uint32_t c, double value) { orders += c == BIDS || c == ASKS ? value : 0.0; });
                side = orders;
            }
            if (long_.before < 0 && (p_.by_side == 0 || side > 0.0)) long_.before = leg;
            if (short_.before < 0 && (p_.by_side == 0 || side < 0.0)) short_.before = leg;
        }
    }

    void read(Held& leg) const {
        if (leg.before < 0) return;
        leg.quantity = leg.old = s_.quantity[leg.before];
        extras_of(leg.before, [&](uint32_t column, double value) {
            if (column == COST) leg.cost = value;
            if (column == ACCRUED) leg.accrued = value;
        });
    }

    // Takes `closing` contracts (signed as the trade) off a leg; returns its change of cost. Its funding is paid.
    double close(Held& leg, double closing) {
        if (closing == 0.0) return 0.0;
        const double share = -closing / leg.quantity, cost = share * leg.cost, funding = share * leg.accrued;
        const bool whole = share == 1.0;
        leg.quantity = whole ? 0.0 : leg.quantity + closing;
        leg.cost = whole ? 0.0 : leg.cost - cost;
        leg.accrued = whole ? 0.0 : leg.accrued - funding;
        wallet_.quantity += funding;
        return -cost;
    }

    void fill(Held& same, Held& opposite) {
        const double amount = t_.quantity, level = t_.price, held = opposite.quantity;
        const double multiplier = p_.multiplier[t_.row];
        const bool flat = std::fabs(held + amount) <= DUST * std::max(std::fabs(held), std::fabs(amount));
        const double most = !flat && std::fabs(amount) <= std::fabs(held) ? amount : -held;
        const double closing = flat || held * amount < 0.0 ? most : 0.0, opened = flat ? 0.0 : amount - closing;
        if (p_.trade_kind[t_.row] == 1) {  // an option: its premium is paid
            close(opposite, closing);
            wallet_.quantity -= amount * multiplier * level;
            same.quantity += opened;
            same.cost += same.cost != 0.0 ? opened * level : 0.0;  // only where what is held states its entry
            return;
        }
        const bool inverse = p_.trade_kind[t_.row] == 3;
        const double price_of_one = inverse ? 1.0 / level : level;
        const double gained = close(opposite, closing) - closing * price_of_one;
        wallet_.quantity += gained * multiplier * (inverse ? -1.0 : 1.0);
        same.quantity += opened;
        same.cost += opened * price_of_one;
    }

    // Extras in the order of the legs: of touched legs cost and accrued anew, and no leverage of what closed or turned.
    Fault extras(const Held& same, const Held& opposite, uint32_t* leg, double* value, Source& out) {
        uint32_t n = 0;
        const Held* ahead[3] = {&same, &wallet_, &opposite};
        const int64_t waiting = &same == &opposite || opposite.before < 0 ? 2 : 3;
        for (int64_t i = 1; i < waiting; i++)
            for (int64_t j = i; j > 0 && ahead[j]->after < ahead[j - 1]->after; j--) std::swap(ahead[j], ahead[j - 1]);
        int64_t next = 0;
        const auto flush = [&](int64_t until) {
            for (; next < waiting && ahead[next]->after <= until; next++) {
                const uint32_t place = static_cast<uint32_t>(ahead[next]->after);
                if (ahead[next]->cost != 0.0) leg[n] = place | COST << 28, value[n++] = ahead[next]->cost;
                if (ahead[next]->accrued != 0.0) leg[n] = place | ACCRUED << 28, value[n++] = ahead[next]->accrued;
            }
        };
        for (uint32_t e = 0; e < s_.extras; e++) {
            const uint32_t code = s_.extra_leg[e], column = code >> 28, old = code & POSITION;
            if (old >= s_.count) return {Wrong::extra, s_.unit};
            const Held* mine = nullptr;
            int64_t place = old;
            for (int64_t i = 0; i < waiting; i++) {
                if (ahead[i]->before == old) mine = ahead[i];
                if (ahead[i]->before < 0 && ahead[i]->after <= place) place++;
            }
            flush(place);
            if (mine != nullptr && (column == COST || column == ACCRUED)) continue;
            const double was = s_.quantity[old];
            if (column == LEVERAGE && !(was * (mine ? mine->quantity : was) > 0.0)) continue;
            leg[n] = static_cast<uint32_t>(place) | column << 28;
            value[n++] = s_.extra_value[e];
        }
        flush(INT64_MAX - 1);
        out.extras = n;
        return NO_FAULT;
    }

    const Program& p_;
    const Source& s_;
    const Trade& t_;
    Held long_, short_, wallet_;
    int64_t first_ = 0, last_ = 0, paid_ = 0;
};

}  // namespace

Fault stage(const Program& p, const Trade* trades, int64_t count, Block& b) {
    int64_t legs = 0, extras = 0;
    b.units = count;
    for (int64_t i = 0; i < count; i++) {
        legs += b.source.at[i].count + 2;
        extras += b.source.at[i].extras + 6;
    }
    int32_t* row = b.staged_row.of(legs);
    double *quantity = b.staged_quantity.of(legs), *value = b.staged_value.of(extras);
    uint32_t* leg = b.staged_leg.of(extras);
    for (int64_t i = 0; i < count; i++) {
        const Source held = b.source.at[i];
        const Fault fault = Staging(p, held, trades[i]).run(row, quantity, leg, value, b.source.at[i]);
        if (fault.what != Wrong::nothing) return fault;
        row += held.count + 2;
        quantity += held.count + 2;
        leg += held.extras + 6;
        value += held.extras + 6;
    }
    return NO_FAULT;
}
