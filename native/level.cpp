// One level: the kernels compiled for the instruction set that LEVEL_NAME names.
#include "check.h"
#include "revalue.h"

namespace {

constexpr size_t length(const char* items) { return *items == 0 ? 0 : (*items != '>') + length(items + 1); }

template <class T, int64_t (*kernel)(const T&, int64_t, int64_t) = nullptr>
constexpr Structure structure(const char* name) {
    static_assert(sizeof(T) == 8 * length(T::ITEMS), "an item for each 8 bytes");
    if constexpr (kernel == nullptr) return {name, T::ITEMS, nullptr};
    else return {name, T::ITEMS, [](const void* given, int64_t first, int64_t last) {
        return kernel(*static_cast<const T*>(given), first, last);
    }};
}

}  // namespace

const Structure* LEVEL_FUNCTION() {
    static const Structure structures[] = {
        {LEVEL_NAME, "", nullptr},
        structure<Program>("program"),
        structure<Book>("book"),
        structure<Desk>("desk"),
        structure<Evaluation, run_units>("evaluate"),
        structure<Checking, check>("checks"),
        structure<Groups, group_rows>("group_rows"),
        structure<Groups, group_worst>("group_worst"),
        structure<Groups, group_tail>("group_tail"),
        structure<Cells, each<1, 1, values>>("option_values"),
        structure<Cells, each<1, 9, greeks>>("option_greeks"),
        structure<Cells, each<2, 2, implied_vols>>("implied_vols"),
        structure<Revaluation, revalue>("revalue"),
        structure<Probe, probe<true>>("reads"),
        structure<Probe, probe<false>>("multiply_adds"),
        {nullptr, nullptr, nullptr},
    };
    return structures;
}
