#include <cstdlib>
#include <cstring>
#include <new>

#include "engine.h"

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
