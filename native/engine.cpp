// The type Engine: a book and a program that are checked once, and then run as often as wanted.
#include "engine.h"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <new>
#include <vector>

#include "module.h"
#include "pool.h"
#include "program.h"

void* regrow(void* old, size_t& room, size_t bytes) {
    const size_t wanted = (bytes + bytes / 4 + 127) / 64 * 64;
    void* found = nullptr;
    if (posix_memalign(&found, 64, wanted) != 0) throw std::bad_alloc{};
    std::free(old);
    std::memset(found, 0, wanted);
    room = wanted;
    return found;
}
void release(void* held) { std::free(held); }

Block::~Block() = default;

namespace {

constexpr int64_t LEGS_OF_BLOCK = 2000, BLOCKS_OF_CHUNK = 4;

struct Engine {
    Held held;
    Book book;
    Program program;
    Desk desk{};
    PyObject *numbers = nullptr, *places = nullptr;  // of accounts and contracts by name
    const uint8_t* quiet = nullptr;                  // [1] 0 while an event is under way
    PyTypeObject* answer = nullptr;                  // of a single check: a kind of tuple
    allocfunc allocate = nullptr;
    Block single;  // of check, under the interpreter's lock
    std::mutex lock;
    std::vector<std::unique_ptr<Block>> idle;

    Engine(PyObject* given_book, PyObject* given_program, PyObject* given_desk)
        : book(open_book(given_book, held)), program(open_program(given_program, held)) {
        if (given_desk == Py_None) return;
        desk = open_desk(given_desk, held);
        numbers = held.object(given_desk, "numbers");
        places = held.object(given_desk, "places");
        quiet = held.of<uint8_t>(given_desk, "quiet");
        answer = reinterpret_cast<PyTypeObject*>(held.object(given_desk, "answer"));
        allocate = reinterpret_cast<allocfunc>(PyType_GetSlot(answer, Py_tp_alloc));
    }

    int64_t legs_of_unit() const { return book.units == 0 ? 1 : book.arena / book.units + 1; }
};

class Lease {  // a block that nobody else works on
public:
    explicit Lease(Engine& engine) : engine_(engine) {
        const std::lock_guard<std::mutex> hold(engine.lock);
        if (engine.idle.empty()) {
            block_.reset(new Block);
            return;
        }
        block_ = std::move(engine.idle.back());
        engine.idle.pop_back();
    }
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;
    ~Lease() {
        const std::lock_guard<std::mutex> hold(engine_.lock);
        engine_.idle.push_back(std::move(block_));
    }
    Block& block() { return *block_; }

private:
    Engine& engine_;
    std::unique_ptr<Block> block_;
};

struct Object {
    PyObject_HEAD
    Engine* engine;
};
Engine& engine_of(PyObject* self) { return *reinterpret_cast<Object*>(self)->engine; }

// `work` on ranges of `count` units, by threads where that is worth it.
template <class Work>
PyObject* spread(Engine& e, int64_t count, int threads, const Work& work) {
    constexpr int64_t WORTH_IT = 1 << 21, OPERATION = 4;  // cells: about a millisecond; an operation is worth a few
    int64_t cells = OPERATION * e.program.ops;
    for (int64_t i = 0; i < e.program.scan_count; i++) cells += e.program.scans[i].pitch;
    const int64_t legs = count * e.legs_of_unit();
    const int64_t chunk = std::max<int64_t>(1, BLOCKS_OF_CHUNK * LEGS_OF_BLOCK / e.legs_of_unit());
    Fault fault;
    {
        const Unlocked unlocked;
        fault = in_parallel(count, chunk, legs * cells < WORTH_IT ? 1 : threads, work);
    }
    raise_if(fault);
    Py_RETURN_NONE;
}

PyObject* run(PyObject* self, PyObject* args) {
    PyObject *units, *object;
    int threads;
    if (!PyArg_ParseTuple(args, "OOi", &units, &object, &threads)) return nullptr;
    return guarded([&] {
        Engine& e = engine_of(self);
        const Array out(object, "out", 'd', 2, WRITTEN);
        const std::unique_ptr<Array> listed(units == Py_None ? nullptr : new Array(units, "units", 'q', 1));
        const int64_t count = listed ? listed->extent(0) : e.book.units, stride = out.extent(1);
        out.expect(0, e.program.output_count);
        if (stride < count) out.expect(1, count);
        const int64_t* list = listed ? listed->as<int64_t>() : nullptr;
        std::atomic<int64_t> bad{0};
        PyObject* none = spread(e, count, threads, [&, level = &level_in_use()](int64_t first, int64_t last) {
            bad += level->run_units(e.program, e.book, list, out.as<double>(), stride, first, last);
            return NO_FAULT;
        });
        Py_DecRef(none);
        return PyLong_FromLongLong(bad);
    });
}

// account or its name, contract's name, quantity, price or None for the mark -> the figures, None where Python is to judge.
PyObject* check_one(PyObject* self, PyObject* const* args, Py_ssize_t count) {
    if (count != 4) return PyErr_Format(PyExc_TypeError, "check: expected 4 arguments, found %zd", count);
    Engine& e = engine_of(self);
    if (e.desk.first == nullptr) Py_RETURN_NONE;
    const double price = args[3] == Py_None ? __builtin_nan("") : PyFloat_AsDouble(args[3]);
    PyObject* found = PyDict_GetItemWithError(e.numbers, args[0]);
    const int64_t account = PyLong_AsLongLong(found == nullptr ? args[0] : found);
    found = PyDict_GetItemWithError(e.places, args[1]);
    const Asked asked{account, found == nullptr ? -1 : PyLong_AsLongLong(found), PyFloat_AsDouble(args[2]), price, 0};
    const bool odd = PyErr_Occurred() != nullptr || PyBool_Check(args[0]) || (price != price && args[3] != Py_None);
    if (odd) PyErr_Clear();
    if (odd || *e.quiet == 0) Py_RETURN_NONE;  // no Python runs from here on: the book stands still
    return guarded([&]() -> PyObject* {
        double found[FIGURES], sum = 0.0;
        uint8_t aside = 1;
        raise_if(check(level_in_use(), e.program, e.book, e.desk, &asked, 1, e.single, found, 1, &aside));
        for (const double figure : found) sum += aside ? 0.0 : figure - figure;
        if (aside || sum != 0.0) Py_RETURN_NONE;
        PyObject* made = e.allocate(e.answer, FIGURES);
        for (int64_t i = 0; i < FIGURES && made != nullptr; i++) PyTuple_SetItem(made, i, PyFloat_FromDouble(found[i]));
        return made;
    });
}

PyObject* check_many(PyObject* self, PyObject* args) {
    PyObject* in[7];
    int threads;
    if (!PyArg_ParseTuple(args, "OOOOOOOi", &in[0], &in[1], &in[2], &in[3], &in[4], &in[5], &in[6], &threads)) return nullptr;
    return guarded([&] {
        Engine& e = engine_of(self);
        const Array account(in[0], "account", 'q', 1), contract(in[1], "contract", 'q', 1);
        const Array quantity(in[2], "quantity", 'd', 1), price(in[3], "price", 'd', 1);
        const Array order(in[4], "order", 'q', 1), out(in[5], "out", 'd', 2, WRITTEN), aside(in[6], "aside", 'B', 1, WRITTEN);
        const int64_t trades = account.extent(0);
        for (const Array* array : {&contract, &quantity, &price, &order, &aside}) array->expect(0, trades);
        out.expect(0, FIGURES);
        out.expect(1, trades);
        if (e.desk.first == nullptr) refuse(PyExc_ValueError, "checks: the engine was made without a desk");
        return spread(e, trades, threads, [&, level = &level_in_use()](int64_t first, int64_t last) {
            constexpr int64_t TRADES = 64;
            Lease lease(e);
            Asked asked[TRADES];
            for (int64_t n; first < last; first += n) {
                n = std::min(last - first, TRADES);
                for (int64_t i = 0; i < n; i++) {
                    const int64_t at = order.as<int64_t>()[first + i];
                    if (at < 0 || at >= trades) return Fault{Wrong::trade, at};
                    asked[i] = {account.as<int64_t>()[at], contract.as<int64_t>()[at], quantity.as<double>()[at],
                                price.as<double>()[at], at};
                }
                const Fault fault = check(*level, e.program, e.book, e.desk, asked, n, lease.block(), out.as<double>(),
                                          trades, aside.as<uint8_t>());
                if (fault.what != Wrong::nothing) return fault;
            }
            return NO_FAULT;
        });
    });
}

PyObject* create(PyTypeObject* type, PyObject* args, PyObject*) {
    PyObject *book, *program, *desk = Py_None;
    if (!PyArg_ParseTuple(args, "OO|O", &book, &program, &desk)) return nullptr;
    return guarded([&]() -> PyObject* {
        std::unique_ptr<Engine> engine(new Engine(book, program, desk));
        const auto allocate = reinterpret_cast<allocfunc>(PyType_GetSlot(type, Py_tp_alloc));
        PyObject* self = allocate(type, 0);
        if (self != nullptr) reinterpret_cast<Object*>(self)->engine = engine.release();
        return self;
    });
}

void discard(PyObject* self) {
    PyTypeObject* type = Py_TYPE(self);
    delete reinterpret_cast<Object*>(self)->engine;
    reinterpret_cast<freefunc>(PyType_GetSlot(type, Py_tp_free))(self);
    Py_DecRef(reinterpret_cast<PyObject*>(type));
}

PyMethodDef methods[] = {
    {"run", run, METH_VARARGS, nullptr},
    {"check", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(check_one)), METH_FASTCALL, nullptr},
    {"checks", check_many, METH_VARARGS, nullptr},
    {nullptr, nullptr, 0, nullptr},
};
PyType_Slot slots[] = {{Py_tp_new, reinterpret_cast<void*>(create)},
                       {Py_tp_dealloc, reinterpret_cast<void*>(discard)},
                       {Py_tp_methods, methods},
                       {0, nullptr}};
PyType_Spec spec = {"crossmargin.kernels._native.Engine", sizeof(Object), 0, Py_TPFLAGS_DEFAULT, slots};

int add(PyObject* module, const char* name, PyObject* object) {
    const int result = object == nullptr ? -1 : PyModule_AddObjectRef(module, name, object);
    if (object != nullptr) Py_DecRef(object);
    return result;
}

}  // namespace

int add_engine(PyObject* module) {
    return add(module, "Engine", PyType_FromSpec(&spec));
}
