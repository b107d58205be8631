// One level: the kernels compiled for the instruction set that LEVEL names.
#include "account.h"
#include "black76.h"
#include "group.h"
#include "implied.h"
#include "probe.h"
#include "revalue.h"
#include "select.h"
#include "table.h"

#define JOIN(a, b) a##b
#define NAMED(a, b) JOIN(a, b)
#define TEXT(a) #a
#define NAME_OF(a) TEXT(a)

const Table* NAMED(level_, LEVEL)() {
    static const Table table = {NAME_OF(LEVEL), group_rows, group_worst, group_tail, evaluate, run_units, each<Values>,
                                each<Greeks>, each<ImpliedVols>, revalue, probe};
    return &table;
}
