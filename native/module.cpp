// The Python side: arrays in, arrays filled. Every function returns None, or raises and says what was expected.
#include "module.h"

#include "arrays.h"
#include "dispatch.h"
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

// Six arguments that repeat as NumPy's do, and `tables` tables of answers, one below the other.
template <class Kernel>
PyObject* on_cells(Kernel kernel, int tables, PyObject* args) {
    PyObject *in[6], *filled;
    int threads;
    if (!PyArg_ParseTuple(args, "OOOOOOOi", &in[0], &in[1], &in[2], &in[3], &in[4], &in[5], &filled, &threads)) return nullptr;
    return guarded([&] {
        const Array out(filled, "out", 'd', 2, WRITTEN);
        const int64_t rows = out.extent(0) / tables, columns = out.extent(1);
        Cells cells{{}, out.as<double>(), rows, columns};
        for (int i = 0; i < 6; i++) {
            const Array argument(in[i], "argument", 'd', 2, REPEATED);  // the caller holds it
            cells.in[i] = argument.grid(rows, columns);
        }
        return spread(rows, columns, 1 << 15, 1 << 18, threads,
                      [&](int64_t first, int64_t last) { return kernel(cells, first, last); });
    });
}
PyObject* option_values(PyObject*, PyObject* args) { return on_cells(chosen->option_values, 1, args); }
PyObject* option_greeks(PyObject*, PyObject* args) { return on_cells(chosen->option_greeks, 9, args); }
PyObject* implied_vols(PyObject*, PyObject* args) { return on_cells(chosen->implied_vols, 2, args); }

void expect_places(const Array& array, const char* name, int64_t end) {
    for (int64_t i = 0; i < array.extent(0); i++)
        if (array.as<int64_t>()[i] < 0 || array.as<int64_t>()[i] >= end)
            refuse(PyExc_IndexError, "%s: %lld points outside the table", name, static_cast<long long>(i));
}

// The items of as many arrays as a tuple has, each [count]; null where one is None. The caller holds them.
template <class T, int N>
void each_of(PyObject* tuple, const char* name, char item, int64_t count, const T* (&found)[N]) {
    if (!PyTuple_Check(tuple) || PyTuple_Size(tuple) != N) refuse(PyExc_ValueError, "%s: expected a tuple of %d arrays", name, N);
    for (int i = 0; i < N; i++) {
        PyObject* object = PyTuple_GetItem(tuple, i);
        found[i] = nullptr;
        if (object == Py_None && item == 'B') continue;
        const Array array(object, name, item, 1);
        array.expect(0, count);
        found[i] = array.as<T>();
    }
}

// Returns whether an option was left alone: it is worth no number today.
PyObject* revalue(PyObject*, PyObject* args) {
    PyObject* in[9];
    int discount, threads;
    if (!PyArg_ParseTuple(args, "OOOOOOOOOpi", &in[0], &in[1], &in[2], &in[3], &in[4], &in[5], &in[6], &in[7], &in[8], &discount,
                          &threads))
        return nullptr;
    return guarded([&] {
        Revaluation r{};
        const Array contract(in[2], "contract", 'q', 1), vols(in[3], "vols", 'd', 2), vol_of(in[4], "vol_of", 'q', 1);
        const Array spot(in[6], "spot", 'd', 2, REPEATED), cells(in[7], "cells", 'd', 3, WRITTEN), today(in[8], "today", 'd', 1, WRITTEN);
        const int64_t contracts = today.extent(0);
        r.options = contract.extent(0), r.names = vols.extent(1), r.scenarios = vol_of.extent(0);
        each_of(in[0], "columns", 'd', contracts, r.columns), each_of(in[1], "flags", 'B', contracts, r.flags);
        each_of(in[5], "moves", 'd', r.scenarios, r.along);
        vols.expect(0, r.options), cells.expect(0, 2), cells.expect(1, contracts), cells.expect(2, r.scenarios);
        const Grid rows = spot.grid(contracts, r.scenarios);
        if (rows.along != 8 && r.scenarios > 1) refuse(PyExc_ValueError, "spot: expected a move for each scenario");
        expect_places(contract, "contract", contracts), expect_places(vol_of, "vol_of", r.names);
        r.vols = vols.as<double>(), r.vol_of = vol_of.as<int64_t>(), r.contract = contract.as<int64_t>();
        r.spot = rows.at, r.pitch = rows.down, r.discount = discount != 0, r.today = today.as<double>();
        r.gain = cells.as<double>(), r.shocked = r.gain + contracts * r.scenarios;
        Py_DecRef(spread(r.options, r.scenarios, 1 << 15, 1 << 18, threads,
                         [&](int64_t first, int64_t last) { return chosen->revalue(r, first, last); }));
        bool left = false;
        for (int64_t i = 0; i < r.options; i++) left |= r.today[r.contract[i]] != r.today[r.contract[i]];
        return PyBool_FromLong(left);
    });
}

PyObject* probe(PyObject*, PyObject* args) {
    const char* which;
    PyObject* in;
    long long rounds;
    if (!PyArg_ParseTuple(args, "sOL", &which, &in, &rounds)) return nullptr;
    return guarded([&] {
        const Array values(in, "values", 'd', 1);
        if (values.extent(0) < 2) refuse(PyExc_ValueError, "values: expected two or more");
        return PyFloat_FromDouble(chosen->probe(*which, values.as<double>(), values.extent(0), rounds));
    });
}

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
    {"probe", probe, METH_VARARGS, nullptr},
    {"levels", levels, METH_NOARGS, nullptr},
    {"use_level", use_level, METH_VARARGS, nullptr},
    {"threads", threads, METH_NOARGS, nullptr},
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
