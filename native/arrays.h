// Arrays at the door: any object with a buffer, its layout and item type checked, released with the Array.
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <cstdint>
#include <exception>

#include "table.h"

// Thrown when a Python error is set.
struct PythonError {};

[[noreturn]] void refuse(PyObject* type, const char* message, ...);
template <class... Parts>
[[noreturn]] void wrong(const char* message, Parts... parts) {
    refuse(PyExc_ValueError, message, parts...);
}
void raise_fault(const Fault& fault);
inline void raise_if(const Fault& fault) {
    if (fault.what != Wrong::nothing) raise_fault(fault);
}

class Array {
public:
    // `items`: the item types that are let in, d float64, q int64, i int32, I uint32, H uint16, B uint8 or bool. `name`
    // stands in what is raised. Rows of a table may lie apart where it is only read; cells of a row lie side by side.
    Array(PyObject* object, const char* name, const char* items, int dimensions, bool written = false);
    // A float64 array of at most two dimensions, to be read as a table that repeats it.
    Array(PyObject* object, const char* name);
    Array(const Array&) = delete;
    Array& operator=(const Array&) = delete;
    ~Array() { PyBuffer_Release(&view_); }

    int64_t extent(int axis) const { return view_.shape[axis]; }
    ptrdiff_t stride(int axis) const { return view_.strides[axis]; }
    int64_t cells() const { return view_.len / view_.itemsize; }
    bool packed() const { return PyBuffer_IsContiguous(&view_, 'C') != 0; }
    void expect(int axis, int64_t wanted) const;
    template <class T>
    T* as() const {
        return static_cast<T*>(view_.buf);
    }
    char item() const { return item_; }
    const char* name() const { return name_; }
    // The array as [rows, columns], by NumPy's rules of broadcasting; a single column is read as a single row.
    Grid grid(int64_t rows, int64_t columns) const;

private:
    void open(PyObject* object, const char* items, int least, int most, bool written);
    ptrdiff_t step(int from_the_end, int64_t wanted) const;
    Py_buffer view_{};
    const char* name_;
    char item_ = 'd';
};

class Unlocked {  // the interpreter goes on while the kernel works
public:
    Unlocked() : state_(PyEval_SaveThread()) {}
    Unlocked(const Unlocked&) = delete;
    Unlocked& operator=(const Unlocked&) = delete;
    ~Unlocked() { PyEval_RestoreThread(state_); }

private:
    PyThreadState* state_;
};

// What `body` returns; where it throws, the Python error that says why.
template <class Body>
PyObject* guarded(const Body& body) {
    try {
        return body();
    } catch (const PythonError&) {
    } catch (const std::bad_alloc&) {
        PyErr_NoMemory();
    } catch (const std::exception& error) {
        PyErr_SetString(PyExc_RuntimeError, error.what());
    }
    return nullptr;
}
