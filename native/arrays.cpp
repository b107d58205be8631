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

void Array::open(PyObject* object, int least, int most, bool written) {
    const int flags = PyBUF_STRIDES | PyBUF_FORMAT | (written ? PyBUF_WRITABLE : 0);
    if (PyObject_GetBuffer(object, &view_, flags) != 0) {
        PyErr_Clear();
        refuse(PyExc_TypeError, "%s: expected %s array", name_, written ? "a writable" : "an");
    }
    if (view_.ndim < least || view_.ndim > most) {
        const int found = view_.ndim;
        PyBuffer_Release(&view_);
        refuse(PyExc_ValueError, "%s: expected %d dimensions, found %d", name_, most, found);
    }
}

void Array::check_item(Kind kind) {
    const char* format = view_.format ? view_.format : "B";
    if (*format == '@' || *format == '=' || *format == '<') format++;
    const bool one = std::strlen(format) == 1;
    const auto is = [&](const char* letters, Py_ssize_t bytes) {
        return one && std::strchr(letters, *format) != nullptr && view_.itemsize == bytes;
    };
    bool right = false;
    if (kind == Kind::real) {
        right = is("d", 8);
    } else if (is("lq", 8)) {
        right = true;
    } else if (kind == Kind::small && is("il", 4)) {
        item_ = Item::i32;
        right = true;
    } else if (kind == Kind::small && is("H", 2)) {
        item_ = Item::u16;
        right = true;
    }
    const bool aligned = reinterpret_cast<uintptr_t>(view_.buf) % static_cast<uintptr_t>(view_.itemsize) == 0;
    if (right && aligned) return;
    PyBuffer_Release(&view_);
    const char* wanted = kind == Kind::real ? "float64" : kind == Kind::integer ? "int64" : "int64, int32 or uint16";
    if (!right) refuse(PyExc_TypeError, "%s: expected items of %s", name_, wanted);
    refuse(PyExc_ValueError, "%s: expected aligned items", name_);
}

Array::Array(PyObject* object, const char* name, Kind kind, int dimensions, bool written) : name_(name) {
    open(object, dimensions, dimensions, written);
    check_item(kind);
    const int inner = dimensions - 1;
    const bool beside = view_.shape[inner] <= 1 || view_.strides[inner] == view_.itemsize;
    const bool packed = dimensions == 1 || !written || view_.shape[0] <= 1 ||
                        view_.strides[0] == view_.shape[1] * view_.itemsize;
    if (beside && packed && (dimensions == 1 || view_.strides[0] % 8 == 0)) return;
    PyBuffer_Release(&view_);
    refuse(PyExc_ValueError, "%s: expected items that lie side by side", name_);
}

Array::Array(PyObject* object, const char* name) : name_(name) {
    open(object, 0, 2, false);
    check_item(Kind::real);
}

Array::~Array() { PyBuffer_Release(&view_); }

void Array::expect(int axis, int64_t wanted) const {
    if (view_.shape[axis] == wanted) return;
    refuse(PyExc_ValueError, "%s: expected %lld along axis %d, found %zd", name_, static_cast<long long>(wanted), axis,
           view_.shape[axis]);
}

ptrdiff_t Array::step(int from_the_end, int64_t wanted) const {
    const int axis = view_.ndim - from_the_end;
    if (axis < 0 || view_.shape[axis] == 1) return 0;
    if (view_.shape[axis] == wanted) return view_.strides[axis];
    refuse(PyExc_ValueError, "%s: expected %lld along axis %d, found %zd", name_, static_cast<long long>(wanted), axis,
           view_.shape[axis]);
}

Grid Array::grid(int64_t rows, int64_t columns) const {
    const ptrdiff_t down = step(2, rows), along = step(1, columns);
    const Grid found{static_cast<const char*>(view_.buf), columns == 1 ? 0 : down, columns == 1 ? down : along};
    if (found.down % 8 == 0 && (found.along == 0 || found.along == 8)) return found;
    refuse(PyExc_ValueError, "%s: expected items that lie side by side or repeat", name_);
}
