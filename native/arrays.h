// Arrays at the door: any object with a buffer, its layout and item type checked, released with the Array.
#pragma once

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <cstdint>
#include <exception>
#include <new>

#include "table.h"

// Thrown when a Python error is set.
struct PythonError {};

[[noreturn]] void refuse(PyObject* type, const char* message, ...);
void raise_if(const Fault& fault);

enum Layout { READ, WRITTEN, REPEATED };  // side by side, but for the last: rows may lie apart or repeat, axes be fewer

class Array {
public:
    // `item`: d float64, q int64, i int32, B uint8 or bool. `name` stands in what is raised.
    Array(PyObject* object, const char* name, char item, int dimensions, Layout layout = READ);
    Array(const Array&) = delete;
    Array& operator=(const Array&) = delete;
    ~Array() { PyBuffer_Release(&view_); }

    int64_t extent(int axis) const { return view_.shape[axis]; }
    void expect(int axis, int64_t wanted) const;
    template <class T>
    T* as() const {
        return static_cast<T*>(view_.buf);
    }

private:
    Py_buffer view_{};
    const char* name_;
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
