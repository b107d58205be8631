// Our own threads: made on first use, kept, and shared by nobody else.
#pragma once

#include <cstdint>
#include <functional>

#include "table.h"

// What `work` says of ranges that together are [0, count): the fault of the lowest range that has one.
// A range is `chunk` rows. With one thread, one chunk, or a pool that is busy, the caller does it all.
Fault in_parallel(int64_t count, int64_t chunk, int threads, const std::function<Fault(int64_t, int64_t)>& work);

// Threads that may run here at once, at least 1.
int threads_here();
