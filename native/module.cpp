// The Python side: arrays and numbers become a structure of addresses, and a kernel runs over its rows.
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <algorithm>
#include <atomic>
#include <cctype>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "arguments.h"

namespace {

std::vector<const Kernels*> levels_here() {  // those that this processor can run, the best last
#if defined(HAVE_neon)
    return {level_neon()};
#else
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("x86-64-v3")) return {};
    if (!__builtin_cpu_supports("x86-64-v4")) return {level_narrow(), level_v3()};
    return {level_narrow(), level_v3(), level_v4()};
#endif
}

const Kernels* chosen = nullptr;  // read and written under the interpreter's lock

PyObject* use_level(PyObject*, PyObject* wanted) {
    for (const Kernels* one : levels_here()) {
        if (!PyUnicode_Check(wanted) || PyUnicode_CompareWithASCIIString(wanted, one->level) != 0) continue;
        chosen = one;
        Py_RETURN_NONE;
    }
    return PyErr_Format(PyExc_ValueError, "this processor has no level %R", wanted);
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
    const struct {
        char item;
        const char *formats, *called;
        Py_ssize_t bytes;
    } known[] = {{'d', "d", "float64", 8}, {'q', "ql", "int64", 8},  {'i', "il", "int32", 4},
                 {'u', "IL", "uint32", 4}, {'h', "H", "uint16", 2}, {'b', "B?", "uint8", 1}};
    const auto& wanted = *std::find_if(known, std::end(known), [&](const auto& one) { return one.item == item; });
    const int asked = PyBUF_C_CONTIGUOUS | PyBUF_FORMAT | (filled ? PyBUF_WRITABLE : 0);
    if (PyObject_GetBuffer(object, &view, asked) == 0) {
        const bool sort = std::strlen(view.format) == 1 && std::strchr(wanted.formats, *view.format) != nullptr;
        if (sort && view.itemsize == wanted.bytes && reinterpret_cast<size_t>(view.buf) % wanted.bytes == 0) return view.buf;
    }
    PyErr_Format(PyExc_TypeError, "expected %s array of %s, aligned and side by side", filled ? "a writable" : "an", wanted.called);
    return nullptr;
}

// Whether an item is what the structure has in its place: a number, an array or None, another structure.
bool take(Arguments& given, PyObject* object, char item, bool filled, size_t slot) {
    int64_t& word = given.slots[slot];
    if (item == 'n') {
        word = PyLong_AsLongLong(object);
    } else if (std::isupper(item)) {
        word = reinterpret_cast<int64_t>(arguments_of(object).slots);
        const bool part = Py_TYPE(object) == type_of_arguments;
        if (!part || *chosen->structures[arguments_of(object).place].name != std::tolower(item))
            PyErr_Format(PyExc_TypeError, "expected another structure than %R", object);
    } else if (object != Py_None) {
        word = reinterpret_cast<int64_t>(items_of(object, item, filled, given.views[slot]));
    }
    return PyErr_Occurred() == nullptr;
}

PyObject* create(PyTypeObject* type, PyObject* args, PyObject*) {
    const char* name;
    PyObject* items;
    if (!PyArg_ParseTuple(args, "sO!", &name, &PyTuple_Type, &items)) return nullptr;
    size_t place = 0, slot = 0;
    for (; chosen->structures[place].name != nullptr && std::strcmp(chosen->structures[place].name, name) != 0;) place++;
    if (chosen->structures[place].name == nullptr) return PyErr_Format(PyExc_ValueError, "there is no structure %s", name);
    PyObject* self = reinterpret_cast<allocfunc>(PyType_GetSlot(type, Py_tp_alloc))(type, 0);
    if (self == nullptr) return nullptr;
    arguments_of(self).place = place;
    arguments_of(self).items = Py_NewRef(items);
    bool right = true;
    for (const char* item = chosen->structures[place].items; right && *item != 0; item++) {
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
    PyTypeObject* type = Py_TYPE(self);
    for (Py_buffer& view : arguments_of(self).views) PyBuffer_Release(&view);  // nothing where there is none
    Py_DecRef(arguments_of(self).items);
    reinterpret_cast<freefunc>(PyType_GetSlot(type, Py_tp_free))(self);
    Py_DecRef(reinterpret_cast<PyObject*>(type));
}

// --- functions

// Threads live as long as the call: one costs some 20 microseconds and a call that is worth threads a millisecond or more, and
// what does not live on needs no care when a process forks.
//
// The sum of what `work` returns for ranges of `chunk` rows that together are [0, count); -1 where memory did not suffice.
template <class Work>
int64_t in_parallel(int64_t count, int64_t chunk, int64_t threads, const Work& work) {
    std::atomic<int64_t> next{0}, sum{0};
    std::atomic<bool> failed{false};
    const auto serve = [&] {
        try {
            for (int64_t first; !failed && (first = next.fetch_add(chunk)) < count;)
                sum += work(first, std::min(first + chunk, count));
        } catch (const std::exception&) {
            failed = true;
        }
    };
    std::vector<std::thread> helpers;
    try {
        for (int64_t n = 1; n < std::min({threads, (count + chunk - 1) / chunk, int64_t{256}}); n++) helpers.emplace_back(serve);
    } catch (const std::exception&) {  // the system gives no more: those that are there do the work
    }
    serve();
    for (std::thread& helper : helpers) helper.join();
    return failed ? -1 : sum.load();
}

// Arguments, rows, rows of a range, threads -> how many rows are bad. The interpreter goes on while the kernel works.
PyObject* run(PyObject*, PyObject* args) {
    PyObject* given;
    long long rows, chunk, threads;
    if (!PyArg_ParseTuple(args, "O!LLL", type_of_arguments, &given, &rows, &chunk, &threads)) return nullptr;
    const Structure& kernel = chosen->structures[arguments_of(given).place];
    if (kernel.run == nullptr || chunk < 1) return PyErr_Format(PyExc_ValueError, "%s cannot run", kernel.name);
    const auto work = [&](int64_t first, int64_t last) { return kernel.run(arguments_of(given).slots, first, last); };
    PyThreadState* state = PyEval_SaveThread();
    const int64_t bad = in_parallel(rows, chunk, threads, work);
    PyEval_RestoreThread(state);
    return bad < 0 ? PyErr_NoMemory() : PyLong_FromLongLong(bad);
}

// Arguments of checks, accounts' numbers and contracts' places by name, a kind of tuple; then of one trade the account or its
// number, the contract, the quantity, and the price or None for the mark -> the figures; None where Python is to judge.
PyObject* check(PyObject*, PyObject* const* args, Py_ssize_t count) {
    if (count != 8) return PyErr_Format(PyExc_TypeError, "check: expected 4 arguments, found %zd", count - 4);
    const Arguments& given = arguments_of(args[0]);
    PyObject* found_there = PyDict_GetItemWithError(args[1], args[4]);  // and converted at once: what runs next may drop it
    const int64_t account = PyErr_Occurred() ? -1 : PyLong_AsLongLong(found_there == nullptr ? args[4] : found_there), first = 0;
    if (!PyErr_Occurred()) found_there = PyDict_GetItemWithError(args[2], args[5]);
    const int64_t contract = PyErr_Occurred() || found_there == nullptr ? -1 : PyLong_AsLongLong(found_there);
    const double quantity = PyFloat_AsDouble(args[6]);
    const double price = args[7] == Py_None ? __builtin_nan("") : PyFloat_AsDouble(args[7]);
    const bool odd = PyErr_Occurred() != nullptr || PyBool_Check(args[4]) || (price != price && args[7] != Py_None);
    if (odd) PyErr_Clear();
    Checking one;
    std::memcpy(&one, given.slots, sizeof one);
    if (odd || *one.desk->quiet == 0) Py_RETURN_NONE;  // no Python runs from here on: the book stands still
    double found[FIGURES];
    uint8_t aside = 1;
    one.account = &account, one.contract = &contract, one.quantity = &quantity, one.price = &price, one.order = &first;
    one.out = found, one.aside = &aside, one.trades = 1;
    const auto work = [&](int64_t from, int64_t to) { return chosen->structures[given.place].run(&one, from, to); };
    if (in_parallel(1, 1, 1, work) < 0) return PyErr_NoMemory();
    double sum = 0.0;
    for (const double figure : found) sum += aside ? 0.0 : figure - figure;
    if (aside || sum != 0.0) Py_RETURN_NONE;
    PyTypeObject* answer = reinterpret_cast<PyTypeObject*>(args[3]);
    PyObject* made = reinterpret_cast<allocfunc>(PyType_GetSlot(answer, Py_tp_alloc))(answer, FIGURES);
    for (int64_t i = 0; i < FIGURES && made != nullptr; i++) PyTuple_SetItem(made, i, PyFloat_FromDouble(found[i]));
    return made;
}

PyMethodDef methods[] = {
    {"run", run, METH_VARARGS, nullptr},
    {"check", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(check)), METH_FASTCALL, nullptr},
    {"use_level", use_level, METH_O, nullptr},
    {nullptr, nullptr, 0, nullptr},
};

PyType_Slot slots[] = {
    {Py_tp_new, reinterpret_cast<void*>(create)}, {Py_tp_dealloc, reinterpret_cast<void*>(discard)}, {0, nullptr}};
PyType_Spec spec = {"crossmargin.kernels._native.Arguments", sizeof(Arguments), 0, Py_TPFLAGS_DEFAULT, slots};

int start(PyObject* module) {
    if (levels_here().empty()) {
        PyErr_SetString(PyExc_ImportError, "this processor has none of the instruction sets of the compiled kernels");
        return -1;
    }
    chosen = levels_here().back();
    std::string levels;
    for (const Kernels* one : levels_here()) levels += std::string(one->level) + " ";
    if (type_of_arguments == nullptr) type_of_arguments = reinterpret_cast<PyTypeObject*>(PyType_FromSpec(&spec));
    PyObject* type = reinterpret_cast<PyObject*>(type_of_arguments);
    if (type == nullptr || PyModule_AddObjectRef(module, "Arguments", type) != 0) return -1;
    return PyModule_AddStringConstant(module, "LEVELS", levels.c_str());
}

PyModuleDef_Slot parts[] = {{Py_mod_exec, reinterpret_cast<void*>(start)}, {0, nullptr}};
PyModuleDef definition = {PyModuleDef_HEAD_INIT, "_native", nullptr, 0, methods, parts, nullptr, nullptr, nullptr};

}  // namespace

PyMODINIT_FUNC PyInit__native() { return PyModuleDef_Init(&definition); }
