#include "arrays.h"

#include <cstdarg>
#include <cstring>

void refuse(PyObject* type, const char* message, ...) {
    va_list parts;
    va_start(parts, message);
    PyErr_FormatV(type, message, parts);
    va_end(parts);
    throw PythonError{};
}

void raise_if(const Fault& fault) {
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
        {Wrong::trade, index, "order: %lld is outside the trades"},
        {Wrong::leg, index, "index: leg %lld points outside the table"},
        {Wrong::start, number, "starts: %lld is out of order or out of range"},
    };
    if (fault.what == Wrong::memory) throw std::bad_alloc{};
    for (const auto& f : faults)
        if (f.what == fault.what) refuse(f.type, f.message, static_cast<long long>(fault.place));
}

Array::Array(PyObject* object, const char* name, char item, int dimensions, Layout layout) : name_(name) {
    const int flags = PyBUF_STRIDES | PyBUF_FORMAT | (layout == WRITTEN ? PyBUF_WRITABLE : 0);
    if (PyObject_GetBuffer(object, &view_, flags) != 0) {
        PyErr_Clear();
        refuse(PyExc_TypeError, "%s: expected %s array", name_, layout == WRITTEN ? "a writable" : "an");
    }
    const char *letters = item == 'q' ? "lq" : item == 'i' ? "il" : item == 'B' ? "B?" : "d", *format = view_.format;
    const Py_ssize_t bytes = item == 'B' ? 1 : item == 'i' ? 4 : 8;
    const bool right = std::strlen(format) == 1 && std::strchr(letters, *format) != nullptr && view_.itemsize == bytes;
    const bool beside = layout == REPEATED || PyBuffer_IsContiguous(&view_, 'C') != 0;
    const int found = view_.ndim;
    const bool fits = found == dimensions || (layout == REPEATED && found < dimensions);
    if (right && beside && fits && reinterpret_cast<uintptr_t>(view_.buf) % static_cast<size_t>(bytes) == 0) return;
    PyBuffer_Release(&view_);
    if (!right) refuse(PyExc_TypeError, "%s: expected items of type '%c', found others", name_, item);
    if (found != dimensions) refuse(PyExc_ValueError, "%s: expected %d dimensions, found %d", name_, dimensions, found);
    refuse(PyExc_ValueError, "%s: expected aligned items that lie side by side", name_);
}

void Array::expect(int axis, int64_t wanted) const {
    if (view_.shape[axis] == wanted) return;
    refuse(PyExc_ValueError, "%s: expected %lld along axis %d, found %zd", name_, static_cast<long long>(wanted), axis,
           view_.shape[axis]);
}
