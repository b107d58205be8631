// What an instruction set offers: structures of arguments by name, and the kernels that run over some of them.
#pragma once

#include <cstdint>

struct Structure {
    const char *name, *items;  // see arguments.h
    // Rows [first, last); how many of them are bad, which give NaN. Null where the structure is only part of others.
    int64_t (*run)(const void* arguments, int64_t first, int64_t last);
};

struct Kernels {
    const char* level;
    const Structure* structures;  // the last has no name; in the same order on each level
};

const Kernels *level_narrow(), *level_v3(), *level_v4(), *level_neon();
