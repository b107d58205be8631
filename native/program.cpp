#include "program.h"

Book open_book(PyObject* from, Held& held) {
    Book b{};
    b.wide = held.number(from, "wide");
    b.stated = held.number(from, "stated");
    b.row = held.of<char>(from, "row");
    b.quantity = held.of<double>(from, "quantity", &b.arena);
    b.start = held.of<uint32_t>(from, "start", &b.units);
    b.count = held.of<uint32_t>(from, "count");
    b.extra_start = held.of<uint32_t>(from, "extra_start");
    b.extra_count = held.of<uint32_t>(from, "extra_count");
    b.extra_leg = held.of<uint32_t>(from, "extra_leg", &b.extras);
    b.extra_value = held.of<double>(from, "extra_value");
    b.pool_class = held.of<uint8_t>(from, "pool_class");
    b.inputs = held.of<double>(from, "inputs");
    return b;
}

Program open_program(PyObject* from, Held& held) {
    Program p{};
    p.rows = held.number(from, "rows");
    p.classes = held.number(from, "classes");
    p.by_side = held.number(from, "by_side");
    p.assets = held.number(from, "assets");
    p.sides = held.number(from, "sides");
    p.level_row = held.of<int32_t>(from, "level_row");
    p.registers = held.of<int64_t>(from, "registers");
    p.used = held.of<uint8_t>(from, "used");
    p.which = held.of<int32_t>(from, "which");
    p.outputs = held.of<int32_t>(from, "outputs", &p.output_count);
    p.always_active = held.of<uint8_t>(from, "always_active");
    p.trade_kind = held.of<uint8_t>(from, "trade_kind");
    p.constants = held.of<double>(from, "constants");
    p.tables = held.of<double>(from, "tables");
    p.upto = held.of<double>(from, "tier_upto");
    p.lanes = held.of<double>(from, "lanes");
    p.shares = held.of<double>(from, "shares");
    p.matrices = held.of<double>(from, "matrices");
    p.multiplier = held.of<double>(from, "multiplier");
    p.tiers = held.of<Tier>(from, "tiers");
    p.tier_sets = held.of<TierSet>(from, "tier_sets");
    p.groups = held.of<int64_t[ONE + 1]>(from, "lane_groups");
    p.scans = held.of<Scan>(from, "scans", &p.scan_count);
    p.segments = held.of<Segment>(from, "segments");
    p.folds = held.of<Fold>(from, "folds");
    p.code = held.of<Code>(from, "code", &p.ops);
    return p;
}

Desk open_desk(PyObject* from, Held& held) {
    Desk d{};
    d.account_classes = held.number(from, "account_classes");
    d.first = held.of<int32_t>(from, "first", &d.accounts);
    d.follow = held.of<int32_t>(from, "follow");
    d.key = held.of<int32_t>(from, "key");
    d.account_class = held.of<uint8_t>(from, "account_class");
    d.refused = held.of<uint8_t>(from, "refused");
    d.figures = held.of<double>(from, "figures");
    d.rate = held.of<double>(from, "rate");
    d.mark = held.of<double>(from, "mark", &d.contracts);
    d.rows = held.of<int32_t>(from, "rows");
    d.pays = held.of<int32_t>(from, "pays");
    d.lands = held.of<int32_t>(from, "lands");
    d.opens = held.of<int32_t>(from, "opens");
    d.outputs = held.of<int32_t>(from, "outputs");
    return d;
}
