#include "arrays.h"

#include <cstdarg>
#include <cstring>
#include <new>

void refuse(PyObject* type, const char* message, ...) {
    va_list parts;
    va_start(parts, message);
    PyErr_FormatV(type, message, parts);
    va_end(parts);
    throw PythonError{};
}

void raise_fault(const Fault& fault) {
    PyObject *number = PyExc_ValueError, *index = PyExc_IndexError;
    const struct {
        Wrong what;
        PyObject* type;
        const char* message;
    } faults[] = {
        {Wrong::number, number, "group %lld: not a number"},
        {Wrong::row, index, "unit %lld: a leg's row is outside the template"},
        {Wrong::order, number, "unit %lld: expected legs in ascending order of rows"},
        {Wrong::span, index, "unit %lld: its legs or extras are outside the arena"},
        {Wrong::extra, index, "unit %lld: expected extras in the order of its legs, of columns 1 to 8"},
        {Wrong::pool_class, index, "unit %lld: its pool_class is not below class_count"},
        {Wrong::unit, index, "unit %lld is outside the book"},
        {Wrong::trade_row, index, "row %lld is outside the template"},
        {Wrong::wallet, index, "wallet_row %lld: expected a row of the template other than the traded one"},
        {Wrong::not_traded, number, "row %lld cannot be traded"},
        {Wrong::not_finite, number, "trade %lld: expected a finite quantity and price, above 0 where inverse"},
    };
    if (fault.what == Wrong::memory) throw std::bad_alloc{};
    for (const auto& f : faults)
        if (f.what == fault.what) refuse(f.type, f.message, static_cast<long long>(fault.place));
}

namespace {

// The letter of an item type, whatever the platform calls it; 0: none that is known.
char letter_of(const Py_buffer& view) {
    const char* format = view.format ? view.format : "B";
    if (*format == '@' || *format == '=' || *format == '<') format++;
    if (std::strlen(format) != 1) return 0;
    const auto is = [&](const char* letters, Py_ssize_t bytes) {
        return std::strchr(letters, *format) != nullptr && view.itemsize == bytes;
    };
    if (is("d", 8)) return 'd';
    if (is("lq", 8)) return 'q';
    if (is("il", 4)) return 'i';
    return is("IL", 4) ? 'I' : is("H", 2) ? 'H' : is("B?", 1) ? 'B' : 0;
}

const char* words_of(const char* items) {
    const struct {
        const char *items, *words;
    } known[] = {{"d", "float64"}, {"q", "int64"}, {"i", "int32"},
                 {"I", "uint32"},  {"B", "uint8"}, {"Hi", "uint16 or int32"}};
    for (const auto& each : known)
        if (std::strcmp(each.items, items) == 0) return each.words;
    return "int64, int32 or uint16";
}

}  // namespace

void Array::open(PyObject* object, const char* items, int least, int most, bool written) {
    const int flags = PyBUF_STRIDES | PyBUF_FORMAT | (written ? PyBUF_WRITABLE : 0);
    if (PyObject_GetBuffer(object, &view_, flags) != 0) {
        PyErr_Clear();
        refuse(PyExc_TypeError, "%s: expected %s array", name_, written ? "a writable" : "an");
    }
    const int found = view_.ndim;
    item_ = letter_of(view_);
    const bool right = item_ != 0 && std::strchr(items, item_) != nullptr;
    const bool aligned = right && reinterpret_cast<uintptr_t>(view_.buf) % static_cast<uintptr_t>(view_.itemsize) == 0;
    if (least <= found && found <= most && aligned) return;
    PyBuffer_Release(&view_);
    if (found < least || found > most) wrong("%s: expected %d dimensions, found %d", name_, most, found);
    if (!right) refuse(PyExc_TypeError, "%s: expected items of %s", name_, words_of(items));
    wrong("%s: expected aligned items", name_);
}

Array::Array(PyObject* object, const char* name, const char* items, int dimensions, bool written) : name_(name) {
    open(object, items, dimensions, dimensions, written);
    const int inner = dimensions - 1;
    const bool beside = view_.shape[inner] <= 1 || view_.strides[inner] == view_.itemsize;
    const bool apart = !written && dimensions == 2 && view_.strides[0] % view_.itemsize == 0;
    if ((beside && apart) || packed()) return;
    PyBuffer_Release(&view_);
    wrong("%s: expected items that lie side by side", name_);
}

Array::Array(PyObject* object, const char* name) : name_(name) { open(object, "d", 0, 2, false); }

void Array::expect(int axis, int64_t wanted) const {
    if (view_.shape[axis] == wanted) return;
    wrong("%s: expected %lld along axis %d, found %zd", name_, static_cast<long long>(wanted), axis,
           view_.shape[axis]);
}

ptrdiff_t Array::step(int from_the_end, int64_t wanted) const {
    const int axis = view_.ndim - from_the_end;
    if (axis < 0 || view_.shape[axis] == 1) return 0;
    if (view_.shape[axis] == wanted) return view_.strides[axis];
    wrong("%s: expected %lld along axis %d, found %zd", name_, static_cast<long long>(wanted), axis,
           view_.shape[axis]);
}

Grid Array::grid(int64_t rows, int64_t columns) const {
    const ptrdiff_t down = step(2, rows), along = step(1, columns);
    const Grid found{static_cast<const char*>(view_.buf), columns == 1 ? 0 : down, columns == 1 ? down : along};
    if (found.down % 8 == 0 && (found.along == 0 || found.along == 8)) return found;
    wrong("%s: expected items that lie side by side or repeat", name_);
}
