// A pre-trade check: the unit that a trade lands in as the trade would leave it, and the account's other units as they stand.
#include <cmath>

#include "engine.h"

namespace {

class Checks {
public:
    Checks(const Program& p, const Book& book, const Desk& desk) : p_(p), book_(book), d_(desk) {}

    // What is read of an account lies far: all of it is asked for before any is waited for.
    void ahead(const Asked& a) const {
        const int64_t unit = first(a);
        if (unit < 0 || unit >= book_.units) return;
        const void* const wanted[] = {d_.key + unit,         d_.follow + unit,          d_.refused + unit,
                                      book_.start + unit,    book_.count + unit,        book_.extra_start + unit,
                                      book_.extra_count + unit, book_.pool_class + unit};
        for (const void* each : wanted) __builtin_prefetch(each);
        for (int64_t i = 0; i < FIGURES; i++) __builtin_prefetch(d_.figures + i * book_.units + unit);
    }

    // The trade by numbers, and the other units' figures summed. False where Python is to judge.
    bool place(const Asked& a, Trade& t, double* others) const {
        if (first(a) < 0 || a.contract < 0 || a.contract >= d_.contracts) return false;
        const int64_t pays = d_.pays[a.contract];
        t = {-1, -1, -1, -1, a.quantity, a.price != a.price ? d_.mark[a.contract] : a.price};
        int64_t steps = 0;
        for (int64_t unit = first(a); unit >= 0; unit = d_.follow[unit]) {
            if (unit >= book_.units || steps++ > book_.units) return false;
            if (d_.key[unit] == d_.lands[a.contract]) {
                t.unit = unit;
            } else if (!add(a, unit, others)) {
                return false;
            }
        }
        t.pool_class = t.unit >= 0 ? book_.pool_class[t.unit] : fresh(a);
        if (t.pool_class < 0 || t.pool_class >= p_.classes || pays < 0 || pays >= d_.contracts) return false;
        t.row = d_.rows[t.pool_class * d_.contracts + a.contract];
        t.wallet = d_.rows[t.pool_class * d_.contracts + pays];
        return sound(t);
    }

private:
    int64_t first(const Asked& a) const { return a.account < 0 || a.account >= d_.accounts ? -1 : d_.first[a.account]; }

    int64_t fresh(const Asked& a) const {  // the class of a unit that the trade would open
        const int64_t account_class = d_.account_class[a.account];
        return account_class < d_.account_classes ? d_.opens[account_class * d_.contracts + a.contract] : -1;
    }

    bool sound(const Trade& t) const {
        if (t.row < 0 || t.row >= p_.rows || t.wallet < 0 || t.wallet >= p_.rows || t.wallet == t.row) return false;
        const int kind = p_.trade_kind[t.row];
        const bool priced = std::isfinite(t.price) && (t.price > 0.0 || (t.price == 0.0 && kind == 1));
        return 1 <= kind && kind <= 3 && priced && std::isfinite(t.quantity) && t.quantity != 0.0;
    }

    bool add(const Asked& a, int64_t unit, double* others) const {
        const int64_t pool_class = book_.pool_class[unit];
        if (pool_class >= p_.classes || (d_.key[unit] < 0 && holds(unit, d_.rows[pool_class * d_.contracts + a.contract])))
            return false;
        const double rate = d_.refused[unit] ? __builtin_nan("") : d_.rate[pool_class];
        for (int64_t i = 0; i < FIGURES; i++) others[i] += d_.figures[i * book_.units + unit] * rate;
        return true;
    }
    bool holds(int64_t unit, int64_t row) const {
        Source s;
        if (!find_unit(book_, unit, s)) return true;
        for (uint32_t leg = 0; leg < s.count; leg++)
            if (row == (s.wide ? static_cast<const int32_t*>(s.row)[leg] : static_cast<const uint16_t*>(s.row)[leg])) return true;
        return false;
    }

    const Program& p_;
    const Book& book_;
    const Desk& d_;
};

}  // namespace

Fault check(const Table& level, const Program& p, const Book& book, const Desk& desk, const Asked* asked, int64_t count,
            Block& b, double* out, int64_t stride, uint8_t* aside) {
    const Checks checks(p, book, desk);
    for (int64_t i = 0; i < count; i++) checks.ahead(asked[i]);
    Source* source = b.source.of(SIDES * count);
    double* others = b.others.of(count * FIGURES);
    Trade* trades = b.trades.of(count);
    int64_t n = 0;
    for (int64_t i = 0; i < count; i++) {
        double* sums = others + n * FIGURES;
        for (int64_t k = 0; k < FIGURES; k++) sums[k] = 0.0;
        const bool left = !checks.place(asked[i], trades[n], sums);
        aside[asked[i].answer] = left;
        if (left) continue;
        source[n] = {nullptr, nullptr, nullptr, nullptr, 0, 0, -1, trades[n].pool_class, true};
        if (trades[n].unit >= 0 && !find_unit(book, trades[n].unit, source[n])) return {Wrong::span, trades[n].unit};
        __builtin_prefetch(source[n].row);
        __builtin_prefetch(source[n].extra_leg);
        __builtin_prefetch(source[n].extra_value);
        for (int64_t line = 0; line < 4; line++) __builtin_prefetch(source[n].quantity + line * WIDE);
        n++;
    }
    double* found = b.checked.of(p.output_count * (n + 1));
    const Fault fault = stage(p, trades, n, b);
    if (fault.what != Wrong::nothing) return fault;
    if (level.evaluate(p, book, b, found, n) != 0) return {Wrong::row, trades[0].unit};
    for (int64_t i = 0, k = 0; i < count; i++) {
        double total[FIGURES];
        for (int64_t j = 0; j < FIGURES; j++) total[j] = __builtin_nan("");
        const bool left = aside[asked[i].answer];
        const bool refused = left || (desk.outputs[FIGURES] >= 0 && found[desk.outputs[FIGURES] * n + k] != 0.0);
        for (int64_t j = 0; !refused && j < FIGURES; j++)
            total[j] = others[k * FIGURES + j] + found[desk.outputs[j] * n + k] * desk.rate[trades[k].pool_class];
        for (int64_t j = 0; j < FIGURES; j++) out[j * stride + asked[i].answer] = j < 2 ? total[j] : total[j] - total[j - 2];
        k += !left;
    }
    return NO_FAULT;
}
