// Rows shared out among threads. They live as long as the call: a thread costs some 20 microseconds and a call that is worth
// threads a millisecond or more, and what does not live on needs no care when a process forks.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <exception>
#include <thread>
#include <vector>

// The sum of what `work` returns for ranges of `chunk` rows that together are [0, count); -1 where memory did not suffice.
template <class Work>
int64_t in_parallel(int64_t count, int64_t chunk, int64_t threads, const Work& work) {
    std::atomic<int64_t> next{0}, sum{0};
    std::atomic<bool> failed{false};
    const auto serve = [&] {
        try {
            for (int64_t first; !failed && (first = next.fetch_add(chunk)) < count;)
                sum += work(first, std::min(first + chunk, count));
        } catch (const std::exception&) {
            failed = true;
        }
    };
    std::vector<std::thread> helpers;
    try {
        for (int64_t n = 1; n < std::min({threads, (count + chunk - 1) / chunk, int64_t{256}}); n++) helpers.emplace_back(serve);
    } catch (const std::exception&) {  // the system gives no more: those that are there do the work
    }
    serve();
    for (std::thread& helper : helpers) helper.join();
    return failed ? -1 : sum.load();
}
