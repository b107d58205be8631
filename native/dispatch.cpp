#include "dispatch.h"

namespace {

std::vector<const Table*> found() {
    std::vector<const Table*> levels;
#if defined(HAVE_neon)
    levels = {level_neon()};
#else
    __builtin_cpu_init();
    const bool v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi") &&
                    __builtin_cpu_supports("bmi2");
    const bool v4 = v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                    __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
                    __builtin_cpu_supports("avx512vl");
    if (v3) levels = {level_narrow(), level_v3()};
    if (v4) levels.push_back(level_v4());
#endif
    return levels;
}

}  // namespace

const std::vector<const Table*>& levels_here() {
    static const std::vector<const Table*> levels = found();
    return levels;
}
