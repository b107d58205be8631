// The type Engine: a book and a program that are checked once, and then run as often as wanted.
#include "engine.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <new>

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

Block::~Block() { delete inner; }
Block& Block::within() {
    if (inner == nullptr) inner = new Block;
    return *inner;
}

namespace {

constexpr int64_t LEGS_OF_BLOCK = 1000, UNITS_OF_BLOCK = 512, BLOCKS_OF_CHUNK = 8;

struct Engine {
    Opened opened;
    int64_t inputs = 0;
    Book book;
    Program program;
    Block single;                 // of what_if, under the interpreter's lock
    std::unique_ptr<Array> out;   // what what_if wrote to last: asking for a buffer takes as long as the margin
    PyObject* out_object = nullptr;
    std::mutex lock;
    std::vector<std::unique_ptr<Block>> idle;

    Engine(PyObject* given_book, PyObject* given_program)
        : book(open_book(given_book, opened, inputs)), program(open_program(given_program, opened, inputs)) {}

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
        const Array out(object, "out", "d", 2, true);
        const std::unique_ptr<Array> listed(units == Py_None ? nullptr : new Array(units, "units", "q", 1));
        const int64_t count = listed ? listed->extent(0) : e.book.units, stride = out.extent(1);
        out.expect(0, e.program.output_count);
        if (stride < count) out.expect(1, count);
        const int64_t* list = listed ? listed->as<int64_t>() : nullptr;
        return spread(e, count, threads, [&, level = &level_in_use()](int64_t first, int64_t last) {
            Lease lease(e);
            Block& b = lease.block();
            while (first < last) {
                Source* source = b.source.of(UNITS_OF_BLOCK);
                int64_t legs = 0;
                const int64_t most = std::min(last - first, UNITS_OF_BLOCK);
                for (b.units = 0; b.units < most && legs < LEGS_OF_BLOCK; b.units++) {
                    const int64_t at = first + b.units;
                    const Fault fault = find_unit(e.book, list ? list[at] : at, source[b.units]);
                    if (fault.what != Wrong::nothing) return fault;
                    legs += source[b.units].count;
                }
                const Fault fault = level->evaluate(e.program, e.book, b, out.as<double>() + first, stride);
                if (fault.what != Wrong::nothing) return fault;
                first += b.units;
            }
            return NO_FAULT;
        });
    });
}

PyObject* what_if(PyObject* self, PyObject* const* args, Py_ssize_t count) {
    if (count != 6) return PyErr_Format(PyExc_TypeError, "what_if: expected 6 arguments, found %zd", count);
    Trade trade;
    trade.unit = PyLong_AsLongLong(args[0]);
    trade.row = PyLong_AsLongLong(args[1]);
    trade.wallet = PyLong_AsLongLong(args[2]);
    trade.quantity = PyFloat_AsDouble(args[3]);
    trade.price = PyFloat_AsDouble(args[4]);
    if (PyErr_Occurred()) return nullptr;
    return guarded([&]() -> PyObject* {
        Engine& e = engine_of(self);
        if (args[5] != e.out_object) {
            e.out_object = nullptr;
            e.out.reset(new Array(args[5], "out", "d", 1, true));
            e.out->expect(0, e.program.output_count);
            e.out_object = args[5];
        }
        raise_if(stage(e.program, e.book, &trade, 1, e.single));
        raise_if(level_in_use().evaluate(e.program, e.book, e.single, e.out->as<double>(), 1));
        Py_RETURN_NONE;
    });
}

PyObject* what_ifs(PyObject* self, PyObject* args) {
    PyObject* in[6];
    int threads;
    if (!PyArg_ParseTuple(args, "OOOOOOi", &in[0], &in[1], &in[2], &in[3], &in[4], &in[5], &threads)) return nullptr;
    return guarded([&] {
        Engine& e = engine_of(self);
        const Array unit(in[0], "unit", "q", 1), row(in[1], "row", "i", 1), wallet(in[2], "wallet_row", "i", 1);
        const Array quantity(in[3], "quantity", "d", 1), price(in[4], "price", "d", 1), out(in[5], "out", "d", 2, true);
        const int64_t trades = unit.extent(0), stride = out.extent(1);
        for (const Array* array : {&row, &wallet, &quantity, &price}) array->expect(0, trades);
        out.expect(0, e.program.output_count);
        out.expect(1, trades);
        return spread(e, trades, threads, [&, level = &level_in_use()](int64_t first, int64_t last) {
            Lease lease(e);
            Trade trade[UNITS_OF_BLOCK];
            while (first < last) {
                int64_t n = 0, legs = 0;
                const int64_t most = std::min(last - first, UNITS_OF_BLOCK);
                for (; n < most && legs < LEGS_OF_BLOCK; n++) {
                    const int64_t i = first + n;
                    Trade& t = trade[n];
                    t.unit = unit.as<int64_t>()[i];
                    t.row = row.as<int32_t>()[i];
                    t.wallet = wallet.as<int32_t>()[i];
                    t.quantity = quantity.as<double>()[i];
                    t.price = price.as<double>()[i];
                    if (0 <= t.unit && t.unit < e.book.units) legs += e.book.count[t.unit] + 2;
                }
                Fault fault = stage(e.program, e.book, trade, n, lease.block());
                if (fault.what == Wrong::nothing)
                    fault = level->evaluate(e.program, e.book, lease.block(), out.as<double>() + first, stride);
                if (fault.what != Wrong::nothing) return fault;
                first += n;
            }
            return NO_FAULT;
        });
    });
}

PyObject* create(PyTypeObject* type, PyObject* args, PyObject*) {
    PyObject *book, *program;
    if (!PyArg_ParseTuple(args, "OO", &book, &program)) return nullptr;
    return guarded([&]() -> PyObject* {
        std::unique_ptr<Engine> engine(new Engine(book, program));
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
    {"what_if", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(what_if)), METH_FASTCALL, nullptr},
    {"what_ifs", what_ifs, METH_VARARGS, nullptr},
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
    PyObject* numbers = PyDict_New();
    for (const OperationName* each = OPERATION_NAMES; numbers != nullptr && each->name != nullptr; each++) {
        PyObject* number = PyLong_FromLong(each->number);
        if (number == nullptr || PyDict_SetItemString(numbers, each->name, number) != 0) return -1;
        Py_DecRef(number);
    }
    return add(module, "OPS", numbers) != 0 ? -1 : add(module, "Engine", PyType_FromSpec(&spec));
}
