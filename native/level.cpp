// One level: the kernels compiled for the instruction set that LEVEL names.
#include "account.h"
#include "black76.h"
#include "check.h"
#include "group.h"
#include "kernels.h"
#include "revalue.h"
#include "select.h"

namespace {

constexpr size_t length(const char* items) { return *items == 0 ? 0 : (*items != '>') + length(items + 1); }

template <class T>
constexpr const char* items() {
    static_assert(sizeof(T) == 8 * length(T::ITEMS), "an item for each 8 bytes");
    return T::ITEMS;
}

template <class T, int64_t (*kernel)(const T&, int64_t, int64_t)>
int64_t on(const void* arguments, int64_t first, int64_t last) {
    return kernel(*static_cast<const T*>(arguments), first, last);
}

template <class T, int64_t (*kernel)(const T&, int64_t, int64_t)>
constexpr Structure kernel_over(const char* name) {
    return {name, 0, items<T>(), on<T, kernel>};
}

template <class T>
constexpr Structure part(const char* name, char initial) {
    return {name, initial, items<T>(), nullptr};
}

}  // namespace

#define JOIN(a, b) a##b
#define NAMED(a, b) JOIN(a, b)
#define TEXT(a) #a
#define NAME_OF(a) TEXT(a)

const Kernels* NAMED(level_, LEVEL)() {
    static const Structure structures[] = {
        part<Program>("program", 'P'),
        part<Book>("book", 'B'),
        part<Desk>("desk", 'D'),
        kernel_over<Evaluation, run_units>("evaluate"),
        kernel_over<Checking, check>("checks"),
        kernel_over<Groups, group_rows>("group_rows"),
        kernel_over<Groups, group_worst>("group_worst"),
        kernel_over<Groups, group_tail>("group_tail"),
        kernel_over<Cells, each<1, 1, values>>("option_values"),
        kernel_over<Cells, each<1, 9, greeks>>("option_greeks"),
        kernel_over<Cells, each<2, 2, implied_vols>>("implied_vols"),
        kernel_over<Revaluation, revalue>("revalue"),
        kernel_over<Probe, probe<true>>("reads"),
        kernel_over<Probe, probe<false>>("multiply_adds"),
        {nullptr, 0, nullptr, nullptr},
    };
    static const Kernels kernels = {NAME_OF(LEVEL), structures};
    return &kernels;
}
