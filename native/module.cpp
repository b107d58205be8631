// The Python side: arrays in, arrays filled. Every function returns None, or raises and says what was expected.
#include "module.h"

#include <atomic>
#include <cstring>

#include "arrays.h"
#include "dispatch.h"
#include "lines.h"
#include "pool.h"

namespace {

const Table* chosen = nullptr;  // read and written under the interpreter's lock

// `work` on ranges of rows without the interpreter's lock; by threads where it takes about a millisecond. A range has
// enough cells to be worth the taking, and few enough that threads end together.
template <class Work>
PyObject* spread(int64_t rows, int64_t in_row, int64_t cells, int64_t worth_it, int threads, const Work& work) {
    const int64_t fit = cells / (in_row > 0 ? in_row : 1), chunk = fit < 1 ? 1 : fit > 4096 ? 4096 : fit;
    Fault fault;
    {
        const Unlocked unlocked;
        fault = in_parallel(rows, chunk, rows * in_row < worth_it ? 1 : threads, work);
    }
    raise_if(fault);
    Py_RETURN_NONE;
}

// scale, index, matrix, starts, shares, depth, measure, scenarios, out: see kernels/native_engine.py; the kernels check what
// `index` and `starts` say, as they come to it.
PyObject* groups(PyObject*, PyObject* args) {
    PyObject* in[6];
    long long depth, scenarios;
    int measure, threads;
    if (!PyArg_ParseTuple(args, "OOOOOLiLOi", &in[0], &in[1], &in[2], &in[3], &in[4], &depth, &measure, &scenarios, &in[5],
                          &threads))
        return nullptr;
    return guarded([&] {
        const Array scale(in[0], "scale", 'd', 1), index(in[1], "index", 'i', 1), matrix(in[2], "matrix", 'd', 2);
        const Array starts(in[3], "starts", 'q', 1), shares(in[4], "shares", 'd', 1), out(in[5], "out", 'd', 2, WRITTEN);
        const int64_t legs = scale.extent(0), count = starts.extent(0), pitch = matrix.extent(1);
        index.expect(0, legs);
        const Groups g{scale.as<double>(), index.as<int32_t>(), starts.as<int64_t>(), matrix.as<double>(), out.as<double>(),
                       legs, count, matrix.extent(0), scenarios, pitch, {shares.extent(0) ? shares.as<double>() : nullptr, depth}};
        const auto kernel = measure == 0 ? chosen->group_rows : measure == 1 ? chosen->group_worst : chosen->group_tail;
        return spread(count, count ? legs * pitch / count : 0, 1 << 18, 1 << 21, threads,
                      [&](int64_t first, int64_t last) { return kernel(g, first, last); });
    });
}

// A struct of pointers and integers from a tuple of arrays and integers, whose item types `kinds` names in order.
template <class Arguments>
Arguments read_items(PyObject* items, const char* kinds) {
    int64_t words[sizeof(Arguments) / 8];
    const Py_ssize_t count = sizeof(Arguments) / 8;
    if (!PyTuple_Check(items) || PyTuple_Size(items) != count || std::strlen(kinds) != static_cast<size_t>(count))
        refuse(PyExc_TypeError, "expected %zd arguments", count);
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject* item = PyTuple_GetItem(items, i);
        if (kinds[i] == 'n') {
            words[i] = PyLong_AsLongLong(item);
            if (words[i] == -1 && PyErr_Occurred()) throw PythonError{};
            continue;
        }
        Py_buffer view;
        if (PyObject_GetBuffer(item, &view, PyBUF_C_CONTIGUOUS | PyBUF_FORMAT) != 0) {
            PyErr_Clear();
            refuse(PyExc_TypeError, "expected an array side by side");
        }
        words[i] = static_cast<int64_t>(reinterpret_cast<uintptr_t>(view.buf));
        const char *letters = kinds[i] == 'q' ? "lq" : kinds[i] == 'B' ? "B?" : "d", *format = view.format;
        const bool right = std::strlen(format) == 1 && std::strchr(letters, *format) != nullptr && (kinds[i] == 'B' || words[i] % 8 == 0);
        PyBuffer_Release(&view);
        if (!right) refuse(PyExc_TypeError, "expected items of type %c", kinds[i]);
    }
    Arguments read;
    std::memcpy(&read, words, sizeof read);
    return read;
}

// Items, rows, cells of a row, threads.
template <class Arguments>
PyObject* on_rows(int64_t (*kernel)(const Arguments&, int64_t, int64_t), const char* kinds, PyObject* args) {
    PyObject* items;
    long long rows, in_row;
    int threads;
    if (!PyArg_ParseTuple(args, "OLLi", &items, &rows, &in_row, &threads)) return nullptr;
    return guarded([&] {
        const Arguments read = read_items<Arguments>(items, kinds);
        std::atomic<int64_t> bad{0};
        Py_DecRef(spread(rows, in_row, 1 << 15, 1 << 18, threads, [&](int64_t first, int64_t last) {
            bad += kernel(read, first, last);
            return NO_FAULT;
        }));
        return PyLong_FromLongLong(bad);
    });
}
const char CELLS[] = "ddddddnnnnnnnnnnnndnn";
PyObject* option_values(PyObject*, PyObject* args) { return on_rows(chosen->option_values, CELLS, args); }
PyObject* option_greeks(PyObject*, PyObject* args) { return on_rows(chosen->option_greeks, CELLS, args); }
PyObject* implied_vols(PyObject*, PyObject* args) { return on_rows(chosen->implied_vols, CELLS, args); }
PyObject* revalue(PyObject*, PyObject* args) {
    return on_rows(chosen->revalue, "dddddddBBBBqddddqqddddnnnnnnnnnn", args);
}
PyObject* probe_reads(PyObject*, PyObject* args) { return on_rows(chosen->probe_reads, "ddn", args); }
PyObject* probe_multiply_adds(PyObject*, PyObject* args) { return on_rows(chosen->probe_multiply_adds, "ddn", args); }

PyObject* levels(PyObject*, PyObject*) {
    PyObject* names = PyList_New(0);
    for (const Table* level : levels_here()) {
        PyObject* name = names == nullptr ? nullptr : PyUnicode_FromString(level->name);
        if (name == nullptr || PyList_Append(names, name) != 0) return nullptr;
        Py_DecRef(name);
    }
    return names;
}

PyObject* use_level(PyObject*, PyObject* args) {
    PyObject* wanted;
    if (!PyArg_ParseTuple(args, "U", &wanted)) return nullptr;
    for (const Table* level : levels_here()) {
        if (PyUnicode_CompareWithASCIIString(wanted, level->name) != 0) continue;
        chosen = level;
        Py_RETURN_NONE;
    }
    return PyErr_Format(PyExc_ValueError, "this processor has no level %R", wanted);
}

PyObject* threads(PyObject*, PyObject*) { return PyLong_FromLong(threads_here()); }

PyMethodDef methods[] = {
    {"groups", groups, METH_VARARGS, nullptr},
    {"option_values", option_values, METH_VARARGS, nullptr},
    {"option_greeks", option_greeks, METH_VARARGS, nullptr},
    {"implied_vols", implied_vols, METH_VARARGS, nullptr},
    {"revalue", revalue, METH_VARARGS, nullptr},
    {"probe_reads", probe_reads, METH_VARARGS, nullptr},
    {"probe_multiply_adds", probe_multiply_adds, METH_VARARGS, nullptr},
    {"levels", levels, METH_NOARGS, nullptr},
    {"use_level", use_level, METH_VARARGS, nullptr},
    {"threads", threads, METH_NOARGS, nullptr},
    {"scan_lines", scan_lines, METH_VARARGS, nullptr},
    {"fold_lines", fold_lines, METH_VARARGS, nullptr},
    {nullptr, nullptr, 0, nullptr},
};

int start(PyObject* module) {
    if (levels_here().empty()) {
        PyErr_SetString(PyExc_ImportError, "this processor has none of the instruction sets of the compiled kernels");
        return -1;
    }
    chosen = levels_here().back();
    return add_engine(module);
}

PyModuleDef_Slot slots[] = {{Py_mod_exec, reinterpret_cast<void*>(start)}, {0, nullptr}};
PyModuleDef definition = {PyModuleDef_HEAD_INIT, "_native", nullptr, 0, methods, slots, nullptr, nullptr, nullptr};

}  // namespace

const Table& level_in_use() { return *chosen; }

PyMODINIT_FUNC PyInit__native() { return PyModuleDef_Init(&definition); }
