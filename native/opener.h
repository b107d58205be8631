// Buffers opened by name from a mapping: views that are read in place, and copies of what is checked once.
#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "arrays.h"

struct Opened {  // what a Book or a Program points into
    std::vector<std::unique_ptr<Array>> views;
    std::vector<std::shared_ptr<void>> copies;
};

class Opener {
public:
    Opener(PyObject* given, const char* what, Opened& opened) : given_(given), what_(what), opened_(opened) {}

    const Array& array(const char* name, const char* items, int dimensions, int64_t last = -1) {
        PyObject* object = item(name);
        std::unique_ptr<Array> array;
        try {
            array.reset(new Array(object, name, items, dimensions));
        } catch (...) {
            Py_DecRef(object);
            throw;
        }
        Py_DecRef(object);
        if (!array->packed()) wrong("%s: expected items that lie side by side", name);
        if (last >= 0) array->expect(dimensions - 1, last);
        opened_.views.push_back(std::move(array));
        return *opened_.views.back();
    }
    int64_t number(const char* name) {
        PyObject* object = item(name);
        const long long value = PyLong_AsLongLong(object);
        Py_DecRef(object);
        if (PyErr_Occurred()) throw PythonError{};
        return value;
    }
    // A copy as structs of `cells` items each; what is checked stays as it is.
    template <class T>
    const T* copy(const Array& array, int64_t& count, int64_t repeat = 1) {
        const int64_t cells = array.cells();
        const int64_t item = array.item() == 'B' ? 1 : array.item() == 'i' ? 4 : 8;
        count = cells * item / static_cast<int64_t>(sizeof(T));
        const std::shared_ptr<T> held(new T[static_cast<size_t>(count * repeat) + 1](), std::default_delete<T[]>());
        for (int64_t i = 0; i < count; i++)
            for (int64_t j = 0; j < repeat; j++) held.get()[i * repeat + j] = array.as<T>()[i];
        opened_.copies.push_back(held);
        return held.get();
    }

private:
    PyObject* item(const char* name) {
        PyObject* object = PyMapping_GetItemString(given_, name);
        if (object != nullptr) return object;
        PyErr_Clear();
        wrong("%s: expected an entry %s", what_, name);
    }
    PyObject* given_;
    const char* what_;
    Opened& opened_;
};
