// The Python side: arrays and numbers become a structure of addresses, and a kernel runs over its rows.
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <algorithm>
#include <atomic>
#include <cctype>
#include <cstring>
#include <future>
#include <vector>

#include "arguments.h"

#define HAS(feature) __builtin_cpu_supports(feature)

namespace {

constexpr Structure none[2] = {};  // a level without structures
const Structure* chosen = none;  // the level that serves: read and written under the interpreter's lock

// Lets a level serve; whether this processor can run it.
PyObject* use_level(PyObject*, PyObject* args) {
    const char* wanted;
    if (!PyArg_ParseTuple(args, "s", &wanted)) return nullptr;
#if defined(HAVE_neon)
    const Structure* const here[] = {level_neon};
#else
    __builtin_cpu_init();
    const bool v3 = HAS("avx2") && HAS("fma") && HAS("bmi") && HAS("bmi2") && HAS("popcnt");  // as in CMakeLists.txt
    const bool v4 = v3 && HAS("avx512f") && HAS("avx512bw") && HAS("avx512dq") && HAS("avx512vl");
    const Structure* const here[] = {v3 ? level_narrow : none, v3 ? level_v3 : none, v4 ? level_v4 : none};
#endif
    for (const Structure* level : here) {
        if (level == none || std::strcmp(level->name, wanted) != 0) continue;
        chosen = level;
        Py_RETURN_TRUE;
    }
    Py_RETURN_FALSE;
}

// --- the type Arguments: a structure, and what its addresses lead to, held as long as it is there

constexpr size_t MOST = 48;

struct Arguments {
    PyObject_HEAD
    size_t place;  // of the structure among a level's
    int64_t slots[MOST];
    Py_buffer views[MOST];
    PyObject* items;
};
PyTypeObject* type_of_arguments = nullptr;

Arguments& arguments_of(PyObject* object) { return *reinterpret_cast<Arguments*>(object); }

// The address of an array's items, side by side and aligned; null with a Python error where it has others.
void* items_of(PyObject* object, char item, bool filled, Py_buffer& view) {
    const struct { char item; const char *formats, *called; Py_ssize_t bytes; } known[] = {
        {'d', "d", "float64", 8}, {'q', "ql", "int64", 8}, {'i', "il", "int32", 4}, {'u', "IL", "uint32", 4},
        {'h', "H", "uint16", 2}, {'b', "B?", "uint8", 1}};
    const auto& wanted = *std::find_if(known, std::end(known), [&](const auto& one) { return one.item == item; });
    const int asked = PyBUF_C_CONTIGUOUS | PyBUF_FORMAT | (filled ? PyBUF_WRITABLE : 0);
    if (PyObject_GetBuffer(object, &view, asked) == 0) {
        const bool sort = std::strlen(view.format) == 1 && std::strchr(wanted.formats, *view.format) != nullptr;
        const size_t place = reinterpret_cast<size_t>(view.buf);
        if (sort && view.itemsize == wanted.bytes && place % wanted.bytes == 0) return view.buf;
    }
    const char* kind = filled ? "a writable" : "an";
    PyErr_Format(PyExc_TypeError, "expected %s array of %s, aligned and side by side", kind, wanted.called);
    return nullptr;
}

// Whether an item is what the structure has in its place: a number, an array or None, another structure.
bool take(Arguments& given, PyObject* object, char item, bool filled, size_t slot) {
    int64_t& word = given.slots[slot];
    if (item == 'n') word = PyLong_AsLongLong(object);
    else if (object != Py_None && std::islower(item))
        word = reinterpret_cast<int64_t>(items_of(object, item, filled, given.views[slot]));
    else if (Py_TYPE(object) == type_of_arguments && *chosen[arguments_of(object).place].name == std::tolower(item))
        word = reinterpret_cast<int64_t>(arguments_of(object).slots);
    else if (std::isupper(item)) PyErr_Format(PyExc_TypeError, "expected another structure than %R", object);
    return PyErr_Occurred() == nullptr;
}

PyObject* create(PyTypeObject* type, PyObject* args, PyObject*) {
    const char* name;
    PyObject* items;
    if (!PyArg_ParseTuple(args, "sO!", &name, &PyTuple_Type, &items)) return nullptr;
    size_t place = 1, slot = 0;
    for (; chosen[place].name != nullptr && std::strcmp(chosen[place].name, name) != 0;) place++;
    if (chosen[place].name == nullptr) return PyErr_Format(PyExc_ValueError, "there is no structure %s", name);
    PyObject* self = PyType_GenericAlloc(type, 0);
    if (self == nullptr) return nullptr;
    arguments_of(self).place = place;
    arguments_of(self).items = Py_NewRef(items);
    bool right = true;
    for (const char* item = chosen[place].items; right && *item != 0; item++) {
        const bool filled = *item == '>';
        item += filled;
        PyObject* object = PyTuple_GetItem(items, static_cast<Py_ssize_t>(slot));  // null with an error beyond the last
        right = object != nullptr && take(arguments_of(self), object, *item, filled, slot++);
    }
    if (right && PyTuple_Size(items) == static_cast<Py_ssize_t>(slot)) return self;
    if (right) PyErr_Format(PyExc_IndexError, "%s has %zu items", name, slot);
    Py_DecRef(self);
    return nullptr;
}

void discard(PyObject* self) {
    for (Py_buffer& view : arguments_of(self).views) PyBuffer_Release(&view);  // nothing where there is none
    Py_DecRef(arguments_of(self).items);
    PyObject_Free(self);
    Py_DecRef(reinterpret_cast<PyObject*>(type_of_arguments));
}

// --- functions

// Threads live as long as the call: one costs some 20 microseconds and a call that is worth threads a millisecond or
// more, and what does not live on needs no care when a process forks.
//
// A kernel over rows [0, count) in ranges of `chunk`: how many are bad, -1 where its memory did not suffice.
int64_t run_rows(const Structure& kernel, const void* given, int64_t count, int64_t chunk, int64_t threads) {
    std::atomic<int64_t> next{0};
    const auto serve = [&] {
        int64_t sum = 0;
        for (int64_t first; (first = next.fetch_add(chunk)) < count;)
            sum += kernel.run(given, first, std::min(first + chunk, count));
        return sum;
    };
    std::vector<std::future<int64_t>> helpers;
    const int64_t most = std::min({threads, (count + chunk - 1) / chunk, int64_t{256}});
    try {
        for (int64_t n = 1; n < most; n++) helpers.push_back(std::async(std::launch::async, serve));
    } catch (const std::exception&) {  // the system gives no more threads: those that are there do the work
    }
    try {
        int64_t sum = serve();
        for (auto& helper : helpers) sum += helper.get();
        return sum;
    } catch (const std::exception&) {
        return -1;
    }
}

// Arguments, rows, rows of a range, threads -> how many rows are bad. The interpreter goes on while the kernel works.
PyObject* run(PyObject*, PyObject* args) {
    PyObject* given;
    long long rows, chunk, threads;
    if (!PyArg_ParseTuple(args, "O!LLL", type_of_arguments, &given, &rows, &chunk, &threads)) return nullptr;
    const Structure& kernel = chosen[arguments_of(given).place];
    if (kernel.run == nullptr || chunk < 1) return PyErr_Format(PyExc_ValueError, "%s cannot run", kernel.name);
    PyThreadState* state = PyEval_SaveThread();
    const int64_t bad = run_rows(kernel, arguments_of(given).slots, rows, chunk, threads);
    PyEval_RestoreThread(state);
    return bad < 0 ? PyErr_NoMemory() : PyLong_FromLongLong(bad);
}

// Arguments of checks, accounts' numbers and contracts' places by name, a kind of tuple; then of one trade the account
// or its number, the contract, the quantity, and the price or None for the mark -> the figures; None where Python is to
// judge.
PyObject* check(PyObject*, PyObject* const* args, Py_ssize_t count) {
    if (count != 8) return PyErr_Format(PyExc_TypeError, "check: expected 4 arguments, found %zd", count - 4);
    PyObject* known = PyDict_GetItemWithError(args[1], args[4]);  // and converted at once: what runs next may drop it
    const int64_t account = PyErr_Occurred() ? -1 : PyLong_AsLongLong(known == nullptr ? args[4] : known), first = 0;
    known = PyErr_Occurred() ? nullptr : PyDict_GetItemWithError(args[2], args[5]);
    const int64_t contract = known == nullptr ? -1 : PyLong_AsLongLong(known);
    const double quantity = PyFloat_AsDouble(args[6]);
    const double price = args[7] == Py_None ? __builtin_nan("") : PyFloat_AsDouble(args[7]);
    const bool odd = PyErr_Occurred() != nullptr || PyBool_Check(args[4]) || (price != price && args[7] != Py_None);
    if (odd) PyErr_Clear();
    Checking one;
    std::memcpy(&one, arguments_of(args[0]).slots, sizeof one);
    if (odd || *one.desk->quiet == 0) Py_RETURN_NONE;  // no Python runs from here on: the book stands still
    double found[FIGURES];
    uint8_t aside = 1;
    one.account = &account, one.contract = &contract, one.quantity = &quantity, one.price = &price, one.order = &first;
    one.out = found, one.aside = &aside, one.trades = 1;
    if (run_rows(chosen[arguments_of(args[0]).place], &one, 1, 1, 1) < 0) return PyErr_NoMemory();
    if (aside || !std::all_of(found, found + FIGURES, [](double x) { return x - x == 0.0; })) Py_RETURN_NONE;
    PyObject* made = PyType_GenericAlloc(reinterpret_cast<PyTypeObject*>(args[3]), FIGURES);
    for (int64_t i = 0; i < FIGURES && made != nullptr; i++) PyTuple_SetItem(made, i, PyFloat_FromDouble(found[i]));
    return made;
}

PyMethodDef methods[] = {
    {"run", run, METH_VARARGS, nullptr},
    {"check", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(check)), METH_FASTCALL, nullptr},
    {"use_level", use_level, METH_VARARGS, nullptr},
    {nullptr, nullptr, 0, nullptr},
};

PyType_Slot slots[] = {
    {Py_tp_new, reinterpret_cast<void*>(create)}, {Py_tp_dealloc, reinterpret_cast<void*>(discard)}, {0, nullptr}};
PyType_Spec spec = {"crossmargin.kernels._native.Arguments", sizeof(Arguments), 0, Py_TPFLAGS_DEFAULT, slots};

int start(PyObject* module) {
    if (type_of_arguments == nullptr) type_of_arguments = reinterpret_cast<PyTypeObject*>(PyType_FromSpec(&spec));
    return type_of_arguments == nullptr ? -1 : PyModule_AddType(module, type_of_arguments);
}

PyModuleDef_Slot parts[] = {{Py_mod_exec, reinterpret_cast<void*>(start)}, {0, nullptr}};
PyModuleDef definition = {PyModuleDef_HEAD_INIT, "_native", nullptr, 0, methods, parts, nullptr, nullptr, nullptr};

}  // namespace

PyMODINIT_FUNC PyInit__native() { return PyModuleDef_Init(&definition); }
