// Lines of a journal that are plain postings, read as the writer writes them and added to balances where they stand.
// Whatever is written in another way is not judged here: it is left to the decoder, which knows all of JSON.
#include "lines.h"

#include <cstring>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "python.h"

namespace {

using View = std::string_view;

constexpr size_t WORD_DIGITS = 18;  // so many fit 64 bits

int64_t small(View text) {
    const bool negative = text[0] == '-';
    int64_t value = 0;
    for (size_t n = negative; n < text.size(); n++) value = value * 10 + (text[n] - '0');
    return negative ? -value : value;
}

class Owned {  // a reference that is ours, given back in the end
public:
    explicit Owned(PyObject* object) : object_(object) {
        if (object == nullptr) throw PythonError{};
    }
    Owned(Owned&& other) noexcept : object_(other.object_) { other.object_ = nullptr; }
    Owned(const Owned&) = delete;
    Owned& operator=(const Owned&) = delete;
    ~Owned() { Py_XDECREF(object_); }
    PyObject* get() const { return object_; }

private:
    PyObject* object_;
};

struct Row {
    View owner, key, name, amount;  // the key is purse and asset with their quotes, the name all three
};

struct Line {
    View number, source, sequence, as_of;
    size_t rows;  // up to and with this line's

    bool is(long long wanted) const { return number.size() <= WORD_DIGITS && small(number) == wanted; }
};

class Cursor {
public:
    Cursor(const char* at, const char* end) : at_(at), end_(end) {}
    const char* at() const { return at_; }

    bool word(View wanted) {
        if (static_cast<size_t>(end_ - at_) < wanted.size() || std::memcmp(at_, wanted.data(), wanted.size()) != 0)
            return false;
        at_ += wanted.size();
        return true;
    }

    // What stands between quotes: printable ASCII without an escape.
    bool text(View& found) {
        if (at_ == end_ || *at_ != '"') return false;
        const char* begin = ++at_;
        while (at_ != end_ && *at_ != '"' && *at_ != '\\' && *at_ >= ' ' && *at_ <= '~') at_++;
        if (at_ == end_ || *at_ != '"') return false;
        found = View(begin, at_++ - begin);
        return true;
    }

    bool integer(View& found) {
        const char* begin = at_;
        if (at_ != end_ && *at_ == '-') at_++;
        const char* digits = at_;
        while (at_ != end_ && *at_ >= '0' && *at_ <= '9') at_++;
        found = View(begin, at_ - begin);
        const auto count = at_ - digits;
        return count > 0 && count <= MOST_DIGITS && (*digits != '0' || found == "0");
    }

    // As the writer states UTC: 2026-01-31T23:59:59.999999Z, the fraction only where there is one.
    bool moment(View& found) {
        if (!text(found) || found.size() < 20 || found.size() > 27 || found.size() == 21 || found.back() != 'Z') return false;
        int field[6];
        const char marks[] = "--T::";
        const size_t width[] = {4, 2, 2, 2, 2, 2};
        const char* p = found.data();
        for (int n = 0; n < 6; n++) {
            field[n] = 0;
            for (size_t digit = 0; digit < width[n]; digit++, p++) {
                if (*p < '0' || *p > '9') return false;
                field[n] = field[n] * 10 + (*p - '0');
            }
            if (n < 5 && *p++ != marks[n]) return false;
        }
        if (found.size() > 20 && *p++ != '.') return false;
        for (; p != found.data() + found.size() - 1; p++)
            if (*p < '0' || *p > '9') return false;
        return field[0] > 0 && field[1] > 0 && field[1] <= 12 && field[2] > 0 && field[2] <= days(field[0], field[1]) &&
               field[3] < 24 && field[4] < 60 && field[5] < 60;
    }

    bool row(Row& found) {
        View purse, asset;
        if (!word("[")) return false;
        const char* name = at_;
        if (!text(found.owner) || !word(",")) return false;
        const char* key = at_;
        if (!text(purse) || !word(",") || !text(asset)) return false;
        found.key = View(key, at_ - key);
        found.name = View(name, at_ - name);
        return word(",") && integer(found.amount) && word("]");
    }

    // One plain posting, its end of line included; `each` is given its rows.
    template <class Each>
    bool line(Line& found, const Each& each) {
        View engine, rulebook, cause, filed;
        if (!word("[") || !integer(found.number) || !word(",") || !text(found.source) || !word(",") ||
            !integer(found.sequence) || !word(",") || !moment(found.as_of) || !word(",") || !text(engine) || !word(",") ||
            !text(rulebook) || !word(",[\"posted\",") || !text(cause) || !word(",") || !(word("null") || text(filed)) ||
            !word(",["))
            return false;
        Row each_row;
        for (bool more = !word("]"); more;) {
            if (!row(each_row)) return false;
            each(each_row);
            more = word(",");
            if (!more && !word("]")) return false;
        }
        return word("]]\n");
    }

private:
    static constexpr int MOST_DIGITS = 200;

    static int days(int year, int month) {
        constexpr int OF[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
        const bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        return month == 2 && leap ? 29 : OF[month - 1];
    }
    const char *at_, *end_;
};

Owned number_of(View text) {
    if (text.size() <= WORD_DIGITS) return Owned(PyLong_FromLongLong(small(text)));
    return Owned(PyLong_FromString(std::string(text).c_str(), nullptr, 10));
}

Owned text_of(View text) { return Owned(PyUnicode_FromStringAndSize(text.data(), static_cast<Py_ssize_t>(text.size()))); }

Owned key_of(View key) {  // "purse","asset": neither holds a quote
    const size_t middle = key.find("\",\"");
    const Owned purse = text_of(key.substr(1, middle - 1)), asset = text_of(key.substr(middle + 3, key.size() - middle - 4));
    return Owned(PyTuple_Pack(2, purse.get(), asset.get()));
}

PyObject* item(PyObject* dict, PyObject* key) {  // borrowed, null where there is none
    PyObject* found = PyDict_GetItemWithError(dict, key);
    if (found == nullptr && PyErr_Occurred()) throw PythonError{};
    return found;
}

void check(int result) {
    if (result != 0) throw PythonError{};
}

// A balance as it stands, in 64 bits where it fits: written back once, unless it comes or goes, since a table keeps the
// order in which its balances were created.
struct Slot {
    PyObject *holdings, *key;
    int64_t value;
    bool stands, fits, changed;
};

class Ledger {
public:
    Ledger(PyObject* balances, PyObject* sources) : balances_(balances), sources_(sources) {}

    void add(const Row& row) {
        const auto known = slots_.find(row.name);
        Slot& slot = known != slots_.end() ? known->second : slots_.emplace(row.name, slot_of(row)).first->second;
        int64_t after;
        if (!slot.fits || row.amount.size() > WORD_DIGITS || __builtin_add_overflow(slot.value, small(row.amount), &after))
            return add_large(slot, row.amount);
        if (!slot.stands && after != 0) {
            check(PyDict_SetItem(slot.holdings, slot.key, Owned(PyLong_FromLongLong(after)).get()));
        } else if (slot.stands && after == 0) {
            check(PyDict_DelItem(slot.holdings, slot.key));
        }
        slot.changed = slot.stands && after != 0;
        slot.stands = after != 0;
        slot.value = after;
    }

    void answered(const Line& line) {
        if (line.source != source_) {
            note_source();
            source_ = line.source;
        }
        sequence_ = line.sequence;
    }

    void finish() {
        for (auto& each : slots_) write_back(each.second);
        note_source();
    }

private:
    using Known = std::unordered_map<View, Owned>;

    template <class Make>
    static PyObject* named(Known& known, View text, const Make& make) {
        const auto found = known.find(text);
        return found != known.end() ? found->second.get() : known.emplace(text, make(text)).first->second.get();
    }

    static void write_back(Slot& slot) {
        if (!slot.changed) return;
        check(PyDict_SetItem(slot.holdings, slot.key, Owned(PyLong_FromLongLong(slot.value)).get()));
        slot.changed = false;
    }

    static void read(Slot& slot) {
        PyObject* before = item(slot.holdings, slot.key);
        int overflow = 0;
        slot.stands = before != nullptr;
        slot.value = before == nullptr ? 0 : PyLong_AsLongLongAndOverflow(before, &overflow);
        if (slot.value == -1 && PyErr_Occurred()) throw PythonError{};
        slot.fits = overflow == 0;
    }

    static void add_large(Slot& slot, View text) {
        write_back(slot);
        PyObject* before = item(slot.holdings, slot.key);
        const Owned amount = number_of(text);
        const Owned after(before == nullptr ? Py_NewRef(amount.get()) : PyNumber_Add(before, amount.get()));
        if (PyObject_IsTrue(after.get()))
            check(PyDict_SetItem(slot.holdings, slot.key, after.get()));
        else if (before != nullptr)
            check(PyDict_DelItem(slot.holdings, slot.key));
        read(slot);
    }

    Slot slot_of(const Row& row) {
        Slot slot{holdings_of(row.owner), named(keys_, row.key, key_of), 0, false, false, false};
        read(slot);
        return slot;
    }

    void note_source() {
        if (source_.data() == nullptr) return;
        check(PyDict_SetItem(sources_, text_of(source_).get(), number_of(sequence_).get()));
    }

    PyObject* holdings_of(View owner) {
        return named(owners_, owner, [&](View name) {
            const Owned text = text_of(name);
            PyObject* found = item(balances_, text.get());
            if (found != nullptr) return Owned(Py_NewRef(found));
            Owned fresh(PyDict_New());
            check(PyDict_SetItem(balances_, text.get(), fresh.get()));
            return fresh;
        });
    }

    PyObject *balances_, *sources_;
    Known owners_, keys_;
    std::unordered_map<View, Slot> slots_;
    View source_, sequence_;
};

View content(PyObject* bytes) {
    char* data = nullptr;
    Py_ssize_t size = 0;
    if (PyBytes_AsStringAndSize(bytes, &data, &size) != 0) throw PythonError{};
    return View(data, static_cast<size_t>(size));
}

}  // namespace

PyObject* scan_lines(PyObject*, PyObject* args) {
    PyObject* bytes;
    long long number;
    if (!PyArg_ParseTuple(args, "OL", &bytes, &number)) return nullptr;
    return guarded([&]() -> PyObject* {
        const View all = content(bytes);
        Owned others(PyList_New(0));
        const char *at = all.data(), *const end = at + all.size();
        Line line{};
        for (; at != end; number++) {
            Cursor cursor(at, end);
            if (cursor.line(line, [](const Row&) {}) && line.is(number)) {
                at = cursor.at();
                continue;
            }
            const char* next = static_cast<const char*>(std::memchr(at, '\n', end - at));
            if (next == nullptr) return Py_NewRef(Py_None);  // the last line does not end
            const Owned place(Py_BuildValue("(nnL)", at - all.data(), ++next - all.data(), number));
            check(PyList_Append(others.get(), place.get()));
            at = next;
        }
        return Py_NewRef(others.get());
    });
}

PyObject* fold_lines(PyObject*, PyObject* args) {
    PyObject *bytes, *balances, *sources;
    Py_ssize_t begin, end, count;
    long long number;
    if (!PyArg_ParseTuple(args, "OnnLO!O!n", &bytes, &begin, &end, &number, &PyDict_Type, &balances, &PyDict_Type, &sources,
                          &count))
        return nullptr;
    return guarded([&]() -> PyObject* {
        const View all = content(bytes);
        if (begin < 0 || begin > end || static_cast<size_t>(end) > all.size())
            return PyErr_Format(PyExc_ValueError, "there are no bytes %zd to %zd", begin, end);
        std::vector<Line> lines;
        std::vector<Row> rows;
        Line line{};
        Cursor cursor(all.data() + begin, all.data() + end);
        while (cursor.at() != all.data() + end) {
            if (!cursor.line(line, [&](const Row& row) { rows.push_back(row); }) || !line.is(number++)) return Py_NewRef(Py_None);
            line.rows = rows.size();
            lines.push_back(line);
        }
        if (lines.size() != static_cast<size_t>(count) || count == 0) return Py_NewRef(Py_None);
        Ledger ledger(balances, sources);
        size_t row = 0;
        for (const Line& each : lines) {
            for (; row < each.rows; row++) ledger.add(rows[row]);
            ledger.answered(each);
        }
        ledger.finish();
        return PyUnicode_FromStringAndSize(line.as_of.data(), static_cast<Py_ssize_t>(line.as_of.size()));
    });
}
