// What an instruction set offers: structures of arguments by name, and the kernels that run over some of them.
#pragma once

#include <cstdint>

// `items` says what Python gives for each 8 bytes of the structure, in its order: d float64, q int64, i int32, u uint32, h uint16,
// b uint8 or bool, each an array or None, > before what is filled; n a number; a capital the structure that has it for its initial.
struct Structure {
    const char* name;
    char initial;  // by which others name it among their items
    const char* items;
    // Rows [first, last); how many of them are bad, which give NaN. Null where the structure is only part of others.
    int64_t (*run)(const void* arguments, int64_t first, int64_t last);
};

struct Kernels {
    const char* level;
    const Structure* structures;  // the last has no name; in the same order on each level
};

const Kernels* level_narrow();
const Kernels* level_v3();
const Kernels* level_v4();
const Kernels* level_neon();
