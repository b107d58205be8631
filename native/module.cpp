// The Python side: arguments in, arrays filled. Every function returns None, or raises and says what was expected.
#include "arrays.h"
#include "dispatch.h"
#include "options.h"
#include "pool.h"

#include <cstring>
#include <vector>

namespace {

using Kind = Array::Kind;

const Table* chosen = nullptr;  // read and written under the interpreter's lock

class Unlocked {  // the interpreter goes on while the kernel works
public:
    Unlocked() : state_(PyEval_SaveThread()) {}
    Unlocked(const Unlocked&) = delete;
    Unlocked& operator=(const Unlocked&) = delete;
    ~Unlocked() { PyEval_RestoreThread(state_); }

private:
    PyThreadState* state_;
};

void raise_if(const Fault& fault, const char* what) {
    const long long place = fault.place;
    switch (fault.what) {
        case Wrong::index:
            refuse(PyExc_IndexError, "index: leg %lld points outside the table", place);
        case Wrong::order:
            refuse(PyExc_ValueError, "starts: %lld is out of order or out of range", place);
        case Wrong::number:
            refuse(PyExc_ValueError, "%s %lld: not a number", what, place);
        default:
            return;
    }
}

// Rows a thread takes at a time: enough cells to be worth the taking, few enough that threads end together.
int64_t chunk_of(int64_t rows, int64_t cells) {
    constexpr int64_t CELLS = 1 << 18;
    const int64_t in_row = rows > 0 ? cells / rows : 0;
    const int64_t fit = CELLS / (in_row > 0 ? in_row : 1);
    return fit < 1 ? 1 : fit > 4096 ? 4096 : fit;
}

template <class Work>
Fault spread(int64_t rows, int64_t cells, int threads, const Work& work) {
    constexpr int64_t WORTH_IT = 1 << 21;  // about a millisecond
    const Unlocked unlocked;
    return in_parallel(rows, chunk_of(rows, cells), cells < WORTH_IT ? 1 : threads, work);
}

template <class Body>
PyObject* guarded(const Body& body) {
    try {
        body();
    } catch (const PythonError&) {
        return nullptr;
    } catch (const std::exception& error) {
        PyErr_SetString(PyExc_RuntimeError, error.what());
        return nullptr;
    }
    Py_RETURN_NONE;
}

// A copy of a table whose rows begin with a cache line each.
class Aligned {
public:
    void take(Groups& g) {
        const int64_t wide = (g.scenarios + 7) / 8 * 8;
        held_.resize(static_cast<size_t>(wide * g.contracts + 8));
        const auto address = reinterpret_cast<uintptr_t>(held_.data());
        double* first = held_.data() + (64 - address % 64) % 64 / 8;
        for (int64_t row = 0; row < g.contracts; row++)
            std::memcpy(first + row * wide, g.matrix + row * g.pitch, static_cast<size_t>(g.scenarios) * 8);
        g.matrix = reinterpret_cast<const char*>(first);
        g.pitch = wide * 8;
    }

private:
    std::vector<double> held_;
};

struct GroupArrays {
    Array scale, index, matrix, starts;
    Aligned aligned;
    GroupArrays(PyObject* const* in)
        : scale(in[0], "scale", Kind::real, 1, false), index(in[1], "index", Kind::small, 1, false),
          matrix(in[2], "matrix", Kind::real, 2, false), starts(in[3], "starts", Kind::integer, 1, false) {
        index.expect(0, scale.extent(0));
    }
    Groups groups() {
        Groups g{};
        g.scale = scale.as<double>();
        g.index = index.as<void>();
        g.item = index.item();
        g.starts = starts.as<int64_t>();
        g.matrix = matrix.as<char>();
        g.pitch = matrix.stride(0);
        g.legs = scale.extent(0);
        g.groups = starts.extent(0);
        g.contracts = matrix.extent(0);
        g.scenarios = matrix.extent(1);
        // a load that crosses a line costs two: where rows are read often, a copy costs less
        const bool crosses = reinterpret_cast<uintptr_t>(g.matrix) % 64 != 0 || g.pitch % 64 != 0;
        if (crosses && g.scenarios >= 8 && g.legs > 16 * g.contracts) aligned.take(g);
        return g;
    }
    int64_t cells() const { return scale.extent(0) * matrix.extent(1); }
};

PyObject* group_rows(PyObject*, PyObject* args) {
    PyObject* in[5];
    int threads;
    if (!PyArg_ParseTuple(args, "OOOOOi", &in[0], &in[1], &in[2], &in[3], &in[4], &threads)) return nullptr;
    return guarded([&] {
        GroupArrays arrays(in);
        const Array out(in[4], "out", Kind::real, 2, true);
        Groups g = arrays.groups();
        out.expect(0, g.groups);
        out.expect(1, g.scenarios);
        g.rows = out.as<double>();
        const auto work = [&, run = chosen->group_rows](int64_t a, int64_t b) { return run(g, a, b); };
        raise_if(spread(g.groups, arrays.cells(), threads, work), "group");
    });
}

PyObject* group_worst(PyObject*, PyObject* args) {
    PyObject* in[6];
    int threads;
    if (!PyArg_ParseTuple(args, "OOOOOOi", &in[0], &in[1], &in[2], &in[3], &in[4], &in[5], &threads)) return nullptr;
    return guarded([&] {
        GroupArrays arrays(in);
        const Array loss(in[4], "loss", Kind::real, 1, true), worst(in[5], "worst", Kind::integer, 1, true);
        Groups g = arrays.groups();
        loss.expect(0, g.groups);
        if (worst.extent(0) != 0) worst.expect(0, g.groups);
        g.loss = loss.as<double>();
        g.worst = worst.extent(0) == 0 ? nullptr : worst.as<int64_t>();
        const auto work = [&, run = chosen->group_worst](int64_t a, int64_t b) { return run(g, a, b); };
        raise_if(spread(g.groups, arrays.cells(), threads, work), "group");
    });
}

Tail tail_of(const Array& shares, int64_t depth, int64_t scenarios) {
    if (shares.extent(0) != 0) shares.expect(0, depth);
    if (depth < 1 || depth > scenarios)
        refuse(PyExc_ValueError, "depth: expected 1 to %lld scenarios, found %lld", static_cast<long long>(scenarios),
               static_cast<long long>(depth));
    return {shares.extent(0) == 0 ? nullptr : shares.as<double>(), depth};
}

PyObject* group_tail(PyObject*, PyObject* args) {
    PyObject* in[6];
    long long depth;
    int threads;
    if (!PyArg_ParseTuple(args, "OOOOOLOi", &in[0], &in[1], &in[2], &in[3], &in[4], &depth, &in[5], &threads))
        return nullptr;
    return guarded([&] {
        GroupArrays arrays(in);
        const Array shares(in[4], "shares", Kind::real, 1, false), loss(in[5], "loss", Kind::real, 1, true);
        Groups g = arrays.groups();
        loss.expect(0, g.groups);
        g.loss = loss.as<double>();
        const Tail tail = tail_of(shares, depth, g.scenarios);
        const auto work = [&, run = chosen->group_tail](int64_t a, int64_t b) { return run(g, tail, a, b); };
        raise_if(spread(g.groups, arrays.cells(), threads, work), "group");
    });
}

PyObject* tails(PyObject*, PyObject* args) {
    PyObject* in[3];
    long long depth;
    int threads;
    if (!PyArg_ParseTuple(args, "OOLOi", &in[0], &in[1], &depth, &in[2], &threads)) return nullptr;
    return guarded([&] {
        const Array rows(in[0], "rows", Kind::real, 2, false), shares(in[1], "shares", Kind::real, 1, false);
        const Array out(in[2], "out", Kind::real, 1, true);
        out.expect(0, rows.extent(0));
        Rows r{rows.as<char>(), rows.stride(0), out.as<double>(), rows.extent(0), rows.extent(1), {}};
        r.tail = tail_of(shares, depth, r.scenarios);
        const auto work = [&, run = chosen->tails](int64_t a, int64_t b) { return run(r, a, b); };
        raise_if(spread(r.n, r.n * r.scenarios, threads, work), "row");
    });
}

PyObject* span_sum(PyObject*, PyObject* args) {
    PyObject* in[3];
    int threads;
    if (!PyArg_ParseTuple(args, "OOOi", &in[0], &in[1], &in[2], &threads)) return nullptr;
    return guarded([&] {
        const Array values(in[0], "values", Kind::real, 1, false), starts(in[1], "starts", Kind::integer, 1, false);
        const Array out(in[2], "out", Kind::real, 1, true);
        out.expect(0, starts.extent(0));
        const Spans s{values.as<double>(), starts.as<int64_t>(), out.as<double>(), values.extent(0), starts.extent(0)};
        const auto work = [&, run = chosen->span_sum](int64_t a, int64_t b) { return run(s, a, b); };
        raise_if(spread(s.spans, s.n, threads, work), "span");
    });
}

PyObject* probe(PyObject*, PyObject* args) {
    const char* which;
    PyObject* in;
    long long rounds;
    if (!PyArg_ParseTuple(args, "sOL", &which, &in, &rounds)) return nullptr;
    double found = 0.0;
    PyObject* none = guarded([&] {
        const Array values(in, "values", Kind::real, 1, false);
        if (values.extent(0) < 2) refuse(PyExc_ValueError, "values: expected two or more");
        found = chosen->probe(*which, values.as<double>(), values.extent(0), rounds);
    });
    if (none == nullptr) return nullptr;
    Py_DecRef(none);
    return PyFloat_FromDouble(found);
}

PyObject* levels(PyObject*, PyObject*) {
    const auto& here = levels_here();
    PyObject* names = PyTuple_New(static_cast<Py_ssize_t>(here.size()));
    if (names == nullptr) return nullptr;
    for (size_t i = 0; i < here.size(); i++) {
        PyObject* name = PyUnicode_FromString(here[i]->name);
        if (name == nullptr || PyTuple_SetItem(names, static_cast<Py_ssize_t>(i), name) != 0) {
            Py_DecRef(names);
            return nullptr;
        }
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
    {"group_rows", group_rows, METH_VARARGS, nullptr},   {"group_worst", group_worst, METH_VARARGS, nullptr},
    {"group_tail", group_tail, METH_VARARGS, nullptr},   {"tails", tails, METH_VARARGS, nullptr},
    {"span_sum", span_sum, METH_VARARGS, nullptr},
    {"option_values", option_values, METH_VARARGS, nullptr}, {"option_greeks", option_greeks, METH_VARARGS, nullptr},
    {"implied_vols", implied_vols, METH_VARARGS, nullptr},   {"revalue", revalue, METH_VARARGS, nullptr},
    {"probe", probe, METH_VARARGS, nullptr},
    {"levels", levels, METH_NOARGS, nullptr},
    {"use_level", use_level, METH_VARARGS, nullptr},     {"threads", threads, METH_NOARGS, nullptr},
    {nullptr, nullptr, 0, nullptr},
};

int start(PyObject*) {
    if (levels_here().empty()) {
        PyErr_SetString(PyExc_ImportError, "this processor has none of the instruction sets of the compiled kernels");
        return -1;
    }
    chosen = levels_here().back();
    return 0;
}

PyModuleDef_Slot slots[] = {{Py_mod_exec, reinterpret_cast<void*>(start)}, {0, nullptr}};
PyModuleDef module = {PyModuleDef_HEAD_INIT, "_native", nullptr, 0, methods, slots, nullptr, nullptr, nullptr};

}  // namespace

const Table* level_in_use() { return chosen; }

PyMODINIT_FUNC PyInit__native() { return PyModuleDef_Init(&module); }
