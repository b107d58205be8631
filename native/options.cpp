// The option kernels' arguments: arrays in, arrays filled.
#include "options.h"

#include "arrays.h"
#include "module.h"
#include "pool.h"

namespace {

// Work on rows without the interpreter's lock; threads where it takes about a millisecond.
template <class Arguments>
PyObject* run(Fault (*kernel)(const Arguments&, int64_t, int64_t), const Arguments& arguments, int64_t rows, int64_t columns,
              int threads) {
    constexpr int64_t WORTH_IT = 1 << 18, CELLS = 1 << 15;
    const int64_t chunk = columns < CELLS ? CELLS / (columns > 8 ? columns : 8) : 1;
    {
        const Unlocked unlocked;
        in_parallel(rows, chunk, rows * columns < WORTH_IT ? 1 : threads,
                    [&](int64_t first, int64_t last) { return kernel(arguments, first, last); });
    }
    Py_RETURN_NONE;
}

// Six arguments that repeat as NumPy's do, and `tables` tables of answers, one below the other.
PyObject* on_cells(Fault (*kernel)(const Cells&, int64_t, int64_t), const char* const (&names)[6], int tables, PyObject* args) {
    PyObject *in[6], *filled;
    int threads;
    if (!PyArg_ParseTuple(args, "OOOOOOOi", &in[0], &in[1], &in[2], &in[3], &in[4], &in[5], &filled, &threads)) return nullptr;
    return guarded([&] {
        const Array a(in[0], names[0]), b(in[1], names[1]), c(in[2], names[2]), d(in[3], names[3]), e(in[4], names[4]),
            f(in[5], names[5]), out(filled, "out", "d", 2, true);
        const int64_t rows = out.extent(0) / tables, columns = out.extent(1);
        out.expect(0, rows * tables);
        Cells cells{{}, out.as<double>(), columns == 1 ? 1 : rows, columns == 1 ? rows : columns};
        int place = 0;
        for (const Array* array : {&a, &b, &c, &d, &e, &f}) cells.in[place++] = array->grid(rows, columns);
        return run(kernel, cells, cells.rows, cells.columns, threads);
    });
}

void expect_places(const Array& array, const char* name, int64_t end) {
    for (int64_t i = 0; i < array.extent(0); i++)
        if (array.as<int64_t>()[i] < 0 || array.as<int64_t>()[i] >= end)
            refuse(PyExc_IndexError, "%s: %lld points outside the table", name, static_cast<long long>(i));
}

}  // namespace

PyObject* option_values(PyObject*, PyObject* args) {
    return on_cells(level_in_use().option_values, {"forward", "strike", "vol", "years", "sign", "discount"}, 1, args);
}

PyObject* option_greeks(PyObject*, PyObject* args) {
    return on_cells(level_in_use().option_greeks, {"forward", "strike", "vol", "years", "sign", "discount"}, 9, args);
}

PyObject* implied_vols(PyObject*, PyObject* args) {
    return on_cells(level_in_use().implied_vols, {"price", "forward", "strike", "years", "sign", "discount"}, 2, args);
}

PyObject* revalue(PyObject*, PyObject* args) {
    PyObject* in[9];
    int discount, threads;
    if (!PyArg_ParseTuple(args, "OOOOOOOOpi", &in[0], &in[1], &in[2], &in[3], &in[4], &in[5], &in[6], &in[7], &discount, &threads))
        return nullptr;
    return guarded([&] {
        const Array columns(in[0], "columns", "d", 2), contract(in[1], "contract", "q", 1);
        const Array vols(in[2], "vols", "d", 2), vol_of(in[3], "vol_of", "q", 1);
        const Array moves(in[4], "moves", "d", 2), spot(in[5], "spot", "d", 2);
        const Array cells(in[6], "cells", "d", 2, true), today(in[7], "today", "d", 1, true);
        const int64_t options = contract.extent(0), scenarios = vol_of.extent(0), contracts = today.extent(0);
        columns.expect(0, OPTION_COLUMNS), columns.expect(1, options), vols.expect(0, options);
        moves.expect(0, 4), moves.expect(1, scenarios), spot.expect(0, contracts), spot.expect(1, scenarios);
        cells.expect(0, 2 * contracts), cells.expect(1, scenarios);
        expect_places(contract, "contract", contracts), expect_places(vol_of, "vol_of", vols.extent(1));
        const double *move = moves.as<double>(), *column = columns.as<double>();
        const ptrdiff_t beside = moves.stride(0) / 8;
        if (columns.stride(0) != options * 8 || vols.stride(0) != vols.extent(1) * 8)
            refuse(PyExc_ValueError, "columns, vols: expected rows that lie side by side");
        const Revaluation r{column, vols.as<double>(), vol_of.as<int64_t>(), contract.as<int64_t>(), move, move + beside,
                            move + 2 * beside, move + 3 * beside, spot.as<char>(), spot.stride(0), cells.as<double>(),
                            cells.as<double>() + contracts * scenarios, today.as<double>(), options, vols.extent(1), scenarios,
                            discount != 0};
        return run(level_in_use().revalue, r, options, scenarios, threads);
    });
}
