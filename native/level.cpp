// One level: the kernels compiled for the instruction set that LEVEL_NAME names.
#include "check.h"
#include "revalue.h"

namespace {

constexpr size_t length(const char* items) { return *items == 0 ? 0 : (*items != '>') + length(items + 1); }

template <class T, int64_t (*kernel)(const T&, int64_t, int64_t)>
int64_t run(const void* given, int64_t first, int64_t last) {
    return kernel(*static_cast<const T*>(given), first, last);
}

template <class T>
constexpr Structure structure(const char* name, decltype(Structure::run) run = nullptr) {
    static_assert(sizeof(T) == 8 * length(T::ITEMS), "an item for each 8 bytes");
    return {name, T::ITEMS, run};
}

}  // namespace

constexpr Structure LEVEL[] = {
    {LEVEL_NAME, "", nullptr},
    structure<Program>("program"),
    structure<Book>("book"),
    structure<Desk>("desk"),
    structure<Evaluation>("evaluate", run<Evaluation, run_units>),
    structure<Checking>("checks", run<Checking, check>),
    structure<Groups>("group_rows", run<Groups, group_rows>),
    structure<Groups>("group_worst", run<Groups, group_worst>),
    structure<Groups>("group_tail", run<Groups, group_tail>),
    structure<Cells>("option_values", run<Cells, each<1, 1, values>>),
    structure<Cells>("option_greeks", run<Cells, each<1, 9, greeks>>),
    structure<Cells>("implied_vols", run<Cells, each<2, 2, implied_vols>>),
    structure<Revaluation>("revalue", run<Revaluation, revalue>),
    structure<Probe>("reads", run<Probe, probe<true>>),
    structure<Probe>("multiply_adds", run<Probe, probe<false>>),
    {nullptr, nullptr, nullptr},
};
