// The Python side: arguments in, arrays filled. Every function returns None, or raises and says what was expected.
#include "module.h"

#include <cstring>
#include <memory>
#include <type_traits>
#include <vector>

#include "arrays.h"
#include "dispatch.h"
#include "lines.h"
#include "options.h"
#include "pool.h"

namespace {

const Table* chosen = nullptr;  // read and written under the interpreter's lock

// Rows a thread takes at a time: enough cells to be worth the taking, few enough that threads end together.
int64_t chunk_of(int64_t rows, int64_t cells) {
    constexpr int64_t CELLS = 1 << 18;
    const int64_t in_row = rows > 0 ? cells / rows : 0;
    const int64_t fit = CELLS / (in_row > 0 ? in_row : 1);
    return fit < 1 ? 1 : fit > 4096 ? 4096 : fit;
}

template <class Work>
PyObject* spread(int64_t rows, int64_t cells, int threads, const Work& work) {
    constexpr int64_t WORTH_IT = 1 << 21;  // about a millisecond
    Fault fault;
    {
        const Unlocked unlocked;
        fault = in_parallel(rows, chunk_of(rows, cells), cells < WORTH_IT ? 1 : threads, work);
    }
    raise_if(fault);
    Py_RETURN_NONE;
}

// Index numbers as the kernels read them; the check has no branch in the loop, so that it takes a fraction of the reads.
template <class T>
const int32_t* narrow(const Array& index, int64_t contracts, std::unique_ptr<int32_t[]>& held) {
    const T* from = index.as<T>();
    const int64_t legs = index.extent(0);
    bool outside = false;
    for (int64_t leg = 0; leg < legs; leg++) outside |= static_cast<uint64_t>(from[leg]) >= static_cast<uint64_t>(contracts);
    for (int64_t leg = 0; outside; leg++)
        if (static_cast<uint64_t>(from[leg]) >= static_cast<uint64_t>(contracts))
            refuse(PyExc_IndexError, "index: leg %lld points outside the table", static_cast<long long>(leg));
    if (std::is_same<T, int32_t>::value) return reinterpret_cast<const int32_t*>(from);
    held.reset(new int32_t[static_cast<size_t>(legs) + 1]);
    for (int64_t leg = 0; leg < legs; leg++) held[static_cast<size_t>(leg)] = static_cast<int32_t>(from[leg]);
    return held.get();
}

// scale, index, matrix, starts: checked here once, so that the kernels need not.
struct GroupArrays {
    Array scale, index, matrix, starts;
    std::unique_ptr<int32_t[]> narrowed;
    std::vector<int64_t> bounds;
    std::vector<double> lined;
    Groups g{};

    explicit GroupArrays(PyObject* const* in)
        : scale(in[0], "scale", "d", 1), index(in[1], "index", "qiH", 1), matrix(in[2], "matrix", "d", 2),
          starts(in[3], "starts", "q", 1),
          bounds(starts.as<int64_t>(), starts.as<int64_t>() + starts.extent(0)) {
        index.expect(0, scale.extent(0));
        const int64_t contracts = matrix.extent(0);
        const int32_t* numbers = index.item() == 'H'   ? narrow<uint16_t>(index, contracts, narrowed)
                                 : index.item() == 'i' ? narrow<int32_t>(index, contracts, narrowed)
                                                       : narrow<int64_t>(index, contracts, narrowed);
        bounds.push_back(scale.extent(0));
        for (size_t i = 0; i + 1 < bounds.size(); i++)
            if (bounds[i] < 0 || bounds[i] > bounds[i + 1] || bounds[i] > scale.extent(0))
                wrong("starts: %lld is out of order or out of range", static_cast<long long>(i));
        g = {scale.as<double>(), numbers, bounds.data(), matrix.as<double>(), nullptr, starts.extent(0),
             matrix.extent(1), matrix.stride(0) / 8};
        // a load that crosses a line costs two: where rows are read often, a copy costs less
        const bool crosses = reinterpret_cast<uintptr_t>(g.matrix) % 64 != 0 || g.pitch % 8 != 0;
        if (crosses && g.scenarios >= 8 && scale.extent(0) > 16 * contracts) line_up(contracts);
    }
    void line_up(int64_t contracts) {  // each row begins with a cache line
        const int64_t wide = (g.scenarios + 7) / 8 * 8;
        lined.resize(static_cast<size_t>(wide * contracts + 8));
        double* first = lined.data() + (64 - reinterpret_cast<uintptr_t>(lined.data()) % 64) % 64 / 8;
        for (int64_t row = 0; row < contracts; row++)
            std::memcpy(first + row * wide, g.matrix + row * g.pitch, static_cast<size_t>(g.scenarios) * 8);
        g.matrix = first;
        g.pitch = wide;
    }
    int64_t cells() const { return scale.extent(0) * g.scenarios; }
};

PyObject* group_rows(PyObject*, PyObject* args) {
    PyObject* in[5];
    int threads;
    if (!PyArg_ParseTuple(args, "OOOOOi", &in[0], &in[1], &in[2], &in[3], &in[4], &threads)) return nullptr;
    return guarded([&] {
        GroupArrays arrays(in);
        const Array out(in[4], "out", "d", 2, true);
        Groups& g = arrays.g;
        out.expect(0, g.groups);
        out.expect(1, g.scenarios);
        g.out = out.as<double>();
        return spread(g.groups, arrays.cells(), threads,
                      [&, run = chosen->group_rows](int64_t a, int64_t b) { return run(g, a, b); });
    });
}

PyObject* group_worst(PyObject*, PyObject* args) {
    PyObject* in[5];
    int threads;
    if (!PyArg_ParseTuple(args, "OOOOOi", &in[0], &in[1], &in[2], &in[3], &in[4], &threads)) return nullptr;
    return guarded([&] {
        GroupArrays arrays(in);
        const Array loss(in[4], "loss", "d", 1, true);
        Groups& g = arrays.g;
        loss.expect(0, g.groups);
        g.out = loss.as<double>();
        return spread(g.groups, arrays.cells(), threads,
                      [&, run = chosen->group_worst](int64_t a, int64_t b) { return run(g, a, b); });
    });
}

PyObject* group_tail(PyObject*, PyObject* args) {
    PyObject* in[6];
    long long depth;
    int threads;
    if (!PyArg_ParseTuple(args, "OOOOOLOi", &in[0], &in[1], &in[2], &in[3], &in[4], &depth, &in[5], &threads))
        return nullptr;
    return guarded([&] {
        GroupArrays arrays(in);
        const Array shares(in[4], "shares", "d", 1), loss(in[5], "loss", "d", 1, true);
        Groups& g = arrays.g;
        loss.expect(0, g.groups);
        g.out = loss.as<double>();
        if (shares.extent(0) != 0) shares.expect(0, depth);
        if (depth < 1 || depth > g.scenarios)
            wrong("depth: expected 1 to %lld scenarios, found %lld",
                   static_cast<long long>(g.scenarios), depth);
        const Tail tail{shares.extent(0) == 0 ? nullptr : shares.as<double>(), depth};
        return spread(g.groups, arrays.cells(), threads,
                      [&, run = chosen->group_tail](int64_t a, int64_t b) { return run(g, tail, a, b); });
    });
}

PyObject* probe(PyObject*, PyObject* args) {
    const char* which;
    PyObject* in;
    long long rounds;
    if (!PyArg_ParseTuple(args, "sOL", &which, &in, &rounds)) return nullptr;
    return guarded([&] {
        const Array values(in, "values", "d", 1);
        if (values.extent(0) < 2) wrong("values: expected two or more");
        return PyFloat_FromDouble(chosen->probe(*which, values.as<double>(), values.extent(0), rounds));
    });
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
    {"group_rows", group_rows, METH_VARARGS, nullptr},       {"group_worst", group_worst, METH_VARARGS, nullptr},
    {"group_tail", group_tail, METH_VARARGS, nullptr},       {"option_values", option_values, METH_VARARGS, nullptr},
    {"option_greeks", option_greeks, METH_VARARGS, nullptr}, {"implied_vols", implied_vols, METH_VARARGS, nullptr},
    {"revalue", revalue, METH_VARARGS, nullptr},             {"probe", probe, METH_VARARGS, nullptr},
    {"levels", levels, METH_NOARGS, nullptr},                {"use_level", use_level, METH_VARARGS, nullptr},
    {"threads", threads, METH_NOARGS, nullptr},              {"scan_lines", scan_lines, METH_VARARGS, nullptr},
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
