// One level: the kernels compiled for the instruction set that LEVEL names.
#include "account.h"
#include "black76.h"
#include "check.h"
#include "group.h"
#include "implied.h"
#include "kernels.h"
#include "probe.h"
#include "revalue.h"
#include "select.h"

struct Asked;
namespace {

// --- throwaway
template <class T, Fault (*kernel)(const T&, int64_t, int64_t)>
int64_t old(const T& given, int64_t first, int64_t last) { return kernel(given, first, last).what != Wrong::nothing; }

struct Units { static constexpr char ITEMS[] = "PBq>dn"; const Program* program; const Book* book; const int64_t* list; double* out; int64_t stride; };
int64_t run_units(const Units& u, int64_t first, int64_t last) {
    static thread_local Block b;
    while (first < last) {
        Source* source = b.source.of(512);
        int64_t legs = 0;
        const int64_t most = last - first < 512 ? last - first : 512;
        for (b.units = 0; b.units < most && legs < 2000; b.units++) {
            const int64_t at = first + b.units;
            if (find_unit(*u.book, u.list ? u.list[at] : at, source[b.units]).what != Wrong::nothing) return 1;
            legs += source[b.units].count;
        }
        if (evaluate(*u.program, *u.book, b, u.out + first, u.stride).what != Wrong::nothing) return 1;
        first += b.units;
    }
    return 0;
}
int64_t check_all(const Checking& c, int64_t first, int64_t last) {
    static thread_local Block b;
    Asked asked[64];
    for (int64_t n; first < last; first += n) {
        n = last - first < 64 ? last - first : 64;
        for (int64_t i = 0; i < n; i++) {
            const int64_t at = c.order[first + i];
            asked[i] = {c.account[at], c.contract[at], c.quantity[at], c.price[at], at};
        }
        check(evaluate, *c.program, *c.book, *c.desk, asked, n, b, c.out, c.trades, c.aside);
    }
    return 0;
}
// --- end

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
        kernel_over<Units, run_units>("evaluate"),
        kernel_over<Checking, check_all>("checks"),
        kernel_over<Groups, old<Groups, group_rows>>("group_rows"),
        kernel_over<Groups, old<Groups, group_worst>>("group_worst"),
        kernel_over<Groups, old<Groups, group_tail>>("group_tail"),
        kernel_over<Cells, each<Values>>("option_values"),
        kernel_over<Cells, each<Greeks>>("option_greeks"),
        kernel_over<Cells, each<ImpliedVols>>("implied_vols"),
        kernel_over<Revaluation, revalue>("revalue"),
        kernel_over<Probe, probe<true>>("reads"),
        kernel_over<Probe, probe<false>>("multiply_adds"),
        {nullptr, 0, nullptr, nullptr},
    };
    static const Kernels kernels = {NAME_OF(LEVEL), structures};
    return &kernels;
}
