// A book, a program and a desk as kernels/program_check.py has checked them: buffers by name, held and read in place.
#pragma once

#include <list>

#include "arrays.h"
#include "engine.h"

class Held {
public:
    Held() = default;
    Held(const Held&) = delete;
    Held& operator=(const Held&) = delete;
    ~Held() {
        for (Py_buffer& view : views_) PyBuffer_Release(&view);
        for (PyObject* object : objects_) Py_DecRef(object);
    }
    template <class T>
    const T* of(PyObject* from, const char* name, int64_t* count = nullptr) {
        PyObject* object = item(from, name);
        views_.emplace_back();
        const bool opened = PyObject_GetBuffer(object, &views_.back(), PyBUF_SIMPLE) == 0;
        Py_DecRef(object);
        if (!opened) {
            views_.pop_back();
            throw PythonError{};
        }
        if (count != nullptr) *count = views_.back().len / static_cast<int64_t>(sizeof(T));
        return static_cast<const T*>(views_.back().buf);
    }
    PyObject* object(PyObject* from, const char* name) { return objects_.emplace_back(item(from, name)); }
    int64_t number(PyObject* from, const char* name) {
        PyObject* object = item(from, name);
        const long long value = PyLong_AsLongLong(object);
        Py_DecRef(object);
        if (PyErr_Occurred()) throw PythonError{};
        return value;
    }

private:
    static PyObject* item(PyObject* from, const char* name) {
        PyObject* object = PyMapping_GetItemString(from, name);
        if (object == nullptr) throw PythonError{};
        return object;
    }
    std::list<Py_buffer> views_;
    std::list<PyObject*> objects_;
};

Book open_book(PyObject* from, Held& held);
Program open_program(PyObject* from, Held& held);
Desk open_desk(PyObject* from, Held& held);
