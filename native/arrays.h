// Arrays at the door: any object with a buffer, its layout and item type checked, released at the end of the call.
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <cstdint>

#include "table.h"

// Thrown when a Python error is set.
struct PythonError {};

[[noreturn]] void refuse(PyObject* type, const char* message, ...);

class Array {
public:
    enum class Kind { real, integer, small };  // float64; int64; uint16, int32 or int64

    // `name` stands in what is raised. Rows of a table may lie apart; within a row cells lie side by side.
    Array(PyObject* object, const char* name, Kind kind, int dimensions, bool written);
    // A float64 array of at most two dimensions, to be read as a table that repeats it.
    Array(PyObject* object, const char* name);
    Array(const Array&) = delete;
    Array& operator=(const Array&) = delete;
    ~Array();

    int64_t extent(int axis) const { return view_.shape[axis]; }
    ptrdiff_t stride(int axis) const { return view_.strides[axis]; }
    void expect(int axis, int64_t wanted) const;
    template <class T>
    T* as() const {
        return static_cast<T*>(view_.buf);
    }
    Item item() const { return item_; }
    // The array as [rows, columns], by NumPy's rules of broadcasting; a single column is read as a single row.
    Grid grid(int64_t rows, int64_t columns) const;

private:
    void open(PyObject* object, int least, int most, bool written);
    ptrdiff_t step(int from_the_end, int64_t wanted) const;
    void check_item(Kind kind);
    Py_buffer view_{};
    const char* name_;
    Item item_ = Item::i64;
};
