#include "program.h"

#include <algorithm>
#include <cstring>

#define LINE(name, number, operands) {#name, number, operands},
const OperationName OPERATION_NAMES[] = {OPERATIONS(LINE){nullptr, 0, 0}};
#undef LINE

namespace {

bool within(int64_t offset, int64_t size, int64_t total) {
    return 0 <= offset && 0 <= size && size <= total && offset <= total - size;
}

class Checker {
public:
    Checker(PyObject* given, Opened& opened, int64_t inputs)
        : open_(given, "program", opened), opened_(opened), inputs_(inputs) {}

    Program program() {
        template_rows();
        int64_t unused;
        p_.constants = open_.copy<double>(open_.array("constants", "d", 1), constants_, WIDE);
        p_.tables = floats("tables", tables_);
        p_.upto = floats("tier_upto", upto_);
        int64_t rates;
        p_.rate = floats("tier_rate", rates);
        upto_ = std::min(upto_, rates);
        p_.lanes = floats("lanes", lanes_);
        p_.shares = floats("shares", shares_);
        p_.multiplier = open_.array("multiplier", "d", 1, p_.rows).as<double>();
        matrices();
        p_.tiers = open_.copy<TierSet>(open_.array("tier_sets", "q", 2, 4), tier_sets_);
        p_.which = open_.copy<int32_t>(open_.array("which", "i", 1), which_);
        p_.form_terms = open_.copy<Term>(open_.array("form_terms", "i", 2, 2), form_terms_);
        p_.lane_terms = open_.copy<Term>(open_.array("lane_terms", "i", 2, 2), lane_terms_);
        p_.groups = open_.copy<LaneGroup>(open_.array("lane_groups", "q", 2, 4), groups_);
        p_.scans = open_.copy<Scan>(open_.array("scans", "q", 2, 12), p_.scan_count);
        p_.folds = open_.copy<Fold>(open_.array("folds", "q", 2, 8), folds_);
        p_.segments = open_.copy<Segment>(open_.array("segments", "q", 2, 8), p_.segment_count);
        p_.code = open_.copy<Code>(open_.array("code", "i", 2, 8), p_.ops);
        p_.outputs = open_.copy<int32_t>(open_.array("outputs", "i", 1), p_.output_count);
        p_.trade_kind = open_.copy<uint8_t>(open_.array("trade_kind", "B", 1, p_.rows), unused);
        p_.by_side = open_.number("by_side");
        registers();
        for (at_ = 0; at_ < p_.ops; at_++) operation(const_cast<Code&>(p_.code[at_]));
        for (int64_t i = 0; i < p_.output_count; i++)
            if (!written(UNIT, p_.outputs[i])) wrong("outputs: %d is not written", p_.outputs[i]);
        return p_;
    }

private:
    const double* floats(const char* name, int64_t& count) {
        const Array& array = open_.array(name, "d", 1);
        count = array.cells();
        return array.as<double>();
    }

    void template_rows() {
        const Array& contract = open_.array("contract", "i", 1);
        p_.rows = contract.extent(0);
        int64_t unused, levels;
        p_.contract = open_.copy<int32_t>(contract, unused);
        for (int64_t r = 0; r < p_.rows; r++) {
            if (p_.contract[r] < 0) wrong("contract: row %lld is negative", static_cast<long long>(r));
            contracts_ = std::max<int64_t>(contracts_, p_.contract[r] + 1);
        }
        p_.always_active = open_.copy<uint8_t>(open_.array("always_active", "B", 1, p_.rows), unused);
        const Array& above = open_.array("level_row", "i", 2, p_.rows);
        above.expect(0, 4);
        const int32_t* rows = open_.copy<int32_t>(above, unused);
        const int64_t* counts = open_.copy<int64_t>(open_.array("level_rows", "q", 1, 4), levels);
        p_.classes = open_.number("class_count");
        if (p_.classes < 0 || p_.classes > 256) wrong("class_count: expected 0 to 256");
        if (p_.rows > INT32_MAX / 4) wrong("contract: too many rows");
        for (int level = STRIKE; level < UNIT; level++) {
            p_.level_row[level] = rows + (level - 1) * p_.rows;
            p_.level_rows[level] = counts[level - 1];
            check_level(level);
        }
    }

    // In range, and a strike in one expiry, an expiry in one bucket, each lying together.
    void check_level(int level) {
        const int64_t count = p_.level_rows[level];
        if (count < 0 || count > INT32_MAX / 4) wrong("level_rows: level %d is out of range", level);
        std::vector<bool> met(static_cast<size_t>(count));
        for (int64_t r = 0; r < p_.rows; r++) {
            const int32_t row = p_.level_row[level][r];
            if (row < 0 || row >= count)
                wrong("level_row: row %lld of level %d is out of range", static_cast<long long>(r), level);
            const bool same = r > 0 && p_.level_row[level][r - 1] == row;
            const int32_t* finer = level > STRIKE ? p_.level_row[level - 1] : nullptr;
            const bool finer_goes_on = finer && r > 0 && finer[r - 1] == finer[r];
            if (level != ASSET && !same && (met[static_cast<size_t>(row)] || finer_goes_on))
                wrong("level_row: row %lld of level %d does not lie with its like", static_cast<long long>(r), level);
            met[static_cast<size_t>(row)] = true;
        }
    }

    void matrices() {  // read where they are, or from a copy whose rows begin with a cache line each
        p_.matrices = floats("matrices", matrices_);
        if (reinterpret_cast<uintptr_t>(p_.matrices) % 64 == 0) return;
        size_t room = 0;
        const size_t bytes = static_cast<size_t>(matrices_) * 8;
        const std::shared_ptr<void> held(regrow(nullptr, room, bytes + 8), release);
        std::memcpy(held.get(), p_.matrices, bytes);
        p_.matrices = static_cast<const double*>(held.get());
        opened_.copies.push_back(held);
    }

    void registers() {
        int64_t unused;
        const int64_t* counts = open_.copy<int64_t>(open_.array("registers", "q", 1, LEVELS), unused);
        for (int level = LEG; level < LEVELS; level++) {
            if (counts[level] < 0 || counts[level] > 1 << 16) wrong("registers: level %d is out of range", level);
            p_.registers[level] = counts[level];
            p_.used[level] = level == LEG || level == UNIT;
            written_[level].assign(static_cast<size_t>(counts[level]), false);
        }
    }

    [[noreturn]] void fail(const char* expected) const {
        wrong("code %lld (%s): expected %s", static_cast<long long>(at_), name_, expected);
    }
    void need(bool ok, const char* expected) const {
        if (!ok) fail(expected);
    }
    bool written(int64_t level, int64_t number) const {
        return within(number, 1, p_.registers[level]) && written_[level][static_cast<size_t>(number)];
    }
    void reads(int64_t level, int64_t number) const {
        if (number < 0) return need(-1 - number < constants_, "a constant that is there");
        need(written(level, number), "a register that is written before");
    }
    void writes(int64_t level, int64_t number, int64_t count = 1) {
        need(within(number, count, p_.registers[level]), "a destination among the registers");
        for (int64_t i = 0; i < count; i++) written_[level][static_cast<size_t>(number + i)] = true;
    }
    int64_t keys(int64_t level) const {
        return level == LEG ? 3 * p_.rows : level == UNIT ? p_.classes : p_.level_rows[level];
    }
    void table(int64_t offset, int64_t level) const {
        need(within(offset, keys(level), tables_), "a table within tables");
    }
    void uses(int64_t level) {
        need(LEG <= level && level <= UNIT, "a level from 0 to 5");
        p_.used[level] = true;
    }
    // Level `fine` within level `coarse`; assets only within units.
    void nests(int64_t fine, int64_t coarse) const {
        need(fine < coarse && (fine == LEG || coarse == UNIT || coarse != ASSET), "a finer level and a coarser one");
    }

    void operation(Code& c) {
        name_ = "?";
        const OperationName* known = OPERATION_NAMES;
        while (known->name != nullptr && known->number != c.op) known++;
        need(known->name != nullptr, "a number of OPS");
        name_ = known->name;
        uses(c.level);
        if (c.op < op_table && known->operands < 3) c.c = c.a;  // read by nobody
        if (c.op < op_table && known->operands < 2) c.b = c.a;
        const int32_t operands[] = {c.a, c.b, c.c};
        for (int i = 0; i < known->operands; i++) reads(c.level, operands[i]);
        switch (c.op) {
            case op_marginal:
            case op_step:
            case op_ramp: tiers(c); break;
            case op_table: table(c.aux, c.level); break;
            case op_input: need(c.level == UNIT && within(c.aux, 1, inputs_), "an input, at level 5"); break;
            case op_form: form(c); break;
            case op_legsum: return legsum(c);
            case op_sum:
            case op_largest: climbs(c, c.b, c.level); break;
            case op_lift: climbs(c, c.level, c.b); break;
            case op_scan: return scan(c);
            case op_max_loss:
                need(c.level != LEG, "a level of rows");
                need(c.a >= 0, "a register");
                reads(LEG, c.a);
                for (const int32_t offset : {c.b, c.c, c.aux}) table(offset, LEG);
                break;
            case op_worst_side: need(c.a >= 0, "a register"); break;
            default: break;
        }
        writes(c.level, c.dst);
    }

    void climbs(const Code& c, int64_t fine, int64_t coarse) {
        uses(c.b);
        nests(fine, coarse);
        need(c.a >= 0, "a register");
        reads(c.b, c.a);
    }

    void tiers(const Code& c) const {
        need(within(c.aux, 1, tier_sets_), "a tier set that is there");
        const TierSet& set = p_.tiers[c.aux];
        need(0 < set.width && set.width <= upto_ && 0 < set.tables && set.tables <= upto_, "a tier set with tiers");
        need(within(set.offset, set.width * set.tables, upto_), "tiers within tier_upto and tier_rate");
        if (set.which < 0) return;
        need(within(set.which, keys(c.level), which_), "a table number for each row of the level");
        for (int64_t i = 0; i < keys(c.level); i++)
            need(within(p_.which[set.which + i], 1, set.tables), "numbers of tables in which");
    }

    void form(const Code& c) const {
        need(c.level == LEG && within(c.aux, c.n, form_terms_), "terms within form_terms, at level 0");
        for (int32_t t = 0; t < c.n; t++) {
            need(within(p_.form_terms[c.aux + t].column, 1, ONE + 1), "a column from 0 to 9");
            table(p_.form_terms[c.aux + t].offset, LEG);
        }
    }

    void legsum(const Code& c) {
        need(c.level != LEG && within(c.aux, 1, groups_), "a lane group, at a level of rows");
        const LaneGroup& g = p_.groups[c.aux];
        need(g.width > 0 && g.width % WIDE == 0 && g.width <= 1 << 16, "a lane group whose width is a multiple of 8");
        need(0 <= c.n && c.n <= g.width, "no more lanes than the group has");
        need(within(g.first, g.terms, lane_terms_), "terms within lane_terms");
        for (int64_t t = 0; t < g.terms; t++) {
            const Term& term = p_.lane_terms[g.first + t];
            const int64_t block = 3 * p_.rows * g.width;
            const bool known = within(term.column, 1, ONE + 1) && term.column != LEVERAGE;
            need(known, "a column from 0 to 9 other than leverage");
            need(within(term.offset, 1, 1 << 16), "numbers of blocks");
            need(within(g.offset, (term.offset + 1) * block, lanes_), "blocks within lanes");
        }
        writes(c.level, c.dst, c.n);
    }

    void scan(const Code& c) {
        need(within(c.aux, 1, p_.scan_count), "a scan that is there");
        const Scan& s = p_.scans[c.aux];
        table(s.scale, LEG);
        need(s.pitch > 0 && s.pitch % WIDE == 0 && s.pitch <= 1 << 24, "a pitch that is a multiple of 8");
        matrix(s, s.matrix);
        if (s.shocked != -1) matrix(s, s.shocked);
        need(s.shocked == -1 || s.shocked_level == s.chain[0], "close-outs at the finest level of the chain");
        need(s.chain[1] != 0 || s.chain[2] == 0, "a chain of levels without a gap");
        for (int64_t i = 0; i < s.depth(); i++) {
            need(s.chain[i] != LEG && s.chain[i] != ASSET, "a chain of the levels 1, 2, 3 and 5");
            uses(s.chain[i]);
            if (i > 0) nests(s.chain[i - 1], s.chain[i]);
        }
        need(s.chain[s.depth() - 1] == c.level, "a chain that ends at the level of the line");
        need(within(s.first_fold, s.folds, folds_), "folds within folds");
        need(within(s.first_segment, s.segments, p_.segment_count), "segments within segments");
        for (int64_t i = 0; i < s.folds; i++) fold(s, p_.folds[s.first_fold + i]);
        for (int64_t i = 0; i < s.segments; i++) segment(s, c.level, p_.segments[s.first_segment + i]);
        for (int64_t i = 0; i < s.segments; i++) apart(s, c.level, p_.segments[s.first_segment + i].dst);
        for (int64_t i = 0; i < s.segments; i++) writes(c.level, p_.segments[s.first_segment + i].dst);
    }
    void apart(const Scan& s, int64_t level, int64_t dst) const {  // rows are written while others are still computed
        bool read = false;
        for (int64_t i = 0; i < s.segments; i++) read |= p_.segments[s.first_segment + i].weight == dst;
        for (int64_t i = 0; i < s.folds; i++) {
            const Fold& f = p_.folds[s.first_fold + i];
            read |= f.level == level && (f.gain == dst || f.loss == dst || f.cap == dst || f.deductible == dst);
        }
        need(!read, "destinations that the scan itself does not read");
    }
    void matrix(const Scan& s, int64_t offset) const {
        const bool inside = offset % WIDE == 0 && within(offset, s.pitch * contracts_, matrices_);
        need(inside, "a matrix within matrices, at a multiple of 8");
    }
    void fold(const Scan& s, const Fold& f) const {
        const bool closes = f.close_out == 1 && s.shocked >= 0 && f.level == s.chain[0];
        need(f.close_out == 0 || closes, "a fold or a close-out of the finest level");
        need(std::count(s.chain, s.chain + s.depth(), f.level) == 1, "a fold at a level of the chain");
        need(0 <= f.from && f.from <= f.to && f.to <= s.pitch, "columns of a fold within the pitch");
        reads(f.level, f.gain);
        reads(f.level, f.loss);
        if (f.cap != NONE) reads(f.level, f.cap);
        if (f.deductible != NONE) reads(f.level, f.deductible);
    }
    void segment(const Scan& s, int64_t level, const Segment& g) const {
        need(0 <= g.from && g.from <= g.to && g.to <= s.pitch, "columns of a segment within the pitch");
        need(WORST <= g.measure && g.measure <= ROW, "a measure from 0 to 4");
        if (g.measure == MEAN) need(g.from < g.to, "a mean of some columns");
        const bool tail = g.measure == SHORTFALL || g.measure == AT_RISK;
        need(!tail || (1 <= g.depth && g.depth <= g.to - g.from), "a depth within the segment");
        if (g.measure == SHORTFALL) need(within(g.shares, g.depth, shares_), "shares within shares");
        if (g.weight != NONE) reads(level, g.weight);
    }

    Opener open_;
    Opened& opened_;
    Program p_{};
    const int64_t inputs_;
    int64_t constants_ = 0, tables_ = 0, upto_ = 0, lanes_ = 0, shares_ = 0, matrices_ = 0, contracts_ = 0, at_ = 0;
    int64_t tier_sets_ = 0, which_ = 0, form_terms_ = 0, lane_terms_ = 0, groups_ = 0, folds_ = 0;
    std::vector<bool> written_[LEVELS];
    const char* name_ = "?";
};

}  // namespace

Book open_book(PyObject* given, Opened& opened, int64_t& inputs) {
    Opener open(given, "book", opened);
    const Array& row = open.array("row", "Hi", 1);
    const Array& start = open.array("start", "I", 1);
    const Array& extra = open.array("extra_leg", "I", 1);
    Book book{};
    book.row = row.as<void>();
    book.wide = row.item() == 'i';
    book.arena = row.extent(0);
    book.extras = extra.extent(0);
    book.units = start.extent(0);
    book.quantity = open.array("quantity", "d", 1, book.arena).as<double>();
    book.start = start.as<uint32_t>();
    book.count = open.array("count", "I", 1, book.units).as<uint32_t>();
    book.extra_start = open.array("extra_start", "I", 1, book.units).as<uint32_t>();
    book.extra_count = open.array("extra_count", "I", 1, book.units).as<uint32_t>();
    book.extra_leg = extra.as<uint32_t>();
    book.extra_value = open.array("extra_value", "d", 1, book.extras).as<double>();
    book.pool_class = open.array("pool_class", "B", 1, book.units).as<uint8_t>();
    const Array& columns = open.array("inputs", "d", 2);
    book.inputs = columns.as<double>();
    book.stated = columns.extent(1);
    if (book.stated != 0) columns.expect(1, book.units);
    inputs = columns.extent(0);
    return book;
}

Desk open_desk(PyObject* given, Opened& opened, const Book& book, const Program& program) {
    Opener open(given, "desk", opened);
    const auto ints = [&](const char* name, int64_t last) { return open.array(name, "i", 1, last).as<int32_t>(); };
    const Array &first = open.array("first", "i", 1), &mark = open.array("mark", "d", 1);
    const Array &rows = open.array("rows", "i", 2, mark.extent(0)), &opens = open.array("opens", "i", 2, mark.extent(0));
    const Array& figures = open.array("figures", "d", 2, book.units);
    rows.expect(0, program.classes);
    figures.expect(0, FIGURES);
    Desk desk{};
    desk.first = first.as<int32_t>();
    desk.accounts = first.extent(0);
    desk.contracts = mark.extent(0);
    desk.account_classes = opens.extent(0);
    desk.mark = mark.as<double>();
    desk.rows = rows.as<int32_t>();
    desk.opens = opens.as<int32_t>();
    desk.figures = figures.as<double>();
    desk.follow = ints("follow", book.units);
    desk.key = ints("key", book.units);
    desk.pays = ints("pays", desk.contracts);
    desk.lands = ints("lands", desk.contracts);
    desk.account_class = open.array("account_class", "B", 1, desk.accounts).as<uint8_t>();
    desk.refused = open.array("refused", "B", 1, book.units).as<uint8_t>();
    desk.rate = open.array("rate", "d", 1, program.classes).as<double>();
    int64_t count;
    desk.outputs = open.copy<int32_t>(open.array("outputs", "i", 1, FIGURES + 1), count);
    for (int64_t i = 0; i < count; i++)
        if (desk.outputs[i] < (i < FIGURES ? 0 : -1) || desk.outputs[i] >= program.output_count)
            wrong("outputs: %d is none of the program's", desk.outputs[i]);
    return desk;
}

Program open_program(PyObject* given, Opened& opened, int64_t inputs) {
    return Checker(given, opened, inputs).program();
}
