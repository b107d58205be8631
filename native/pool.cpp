#include "pool.h"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <new>
#include <system_error>
#include <thread>

namespace {

using Work = std::function<Fault(int64_t, int64_t)>;

struct Job {
    const Work* work;
    int64_t count, chunk;
    std::atomic<int64_t> next{0};
    std::mutex lock{};
    int64_t fault_at = INT64_MAX;
    Fault fault = NO_FAULT;

    void run() {
        for (;;) {
            const int64_t first = next.fetch_add(chunk, std::memory_order_relaxed);
            if (first >= count) return;
            Fault found;
            try {
                found = (*work)(first, std::min(first + chunk, count));
            } catch (const std::bad_alloc&) {
                found = {Wrong::memory, first};
            }
            if (found.what == Wrong::nothing) continue;
            const std::lock_guard<std::mutex> hold(lock);
            if (first < fault_at) {
                fault_at = first;
                fault = found;
            }
        }
    }
};

class Pool {
public:
    const pid_t owner = getpid();
    std::mutex busy;  // held by the caller whose job is running

    void run(Job& job, int helpers) {
        {
            const std::lock_guard<std::mutex> hold(lock_);
            for (; started_ < helpers && start(); started_++) {
            }
            job_ = &job;
            seats_ = helpers;
        }
        wake_.notify_all();
        job.run();
        std::unique_lock<std::mutex> hold(lock_);
        seats_ = 0;  // who has not woken by now is not waited for
        done_.wait(hold, [this] { return running_ == 0; });
    }

private:
    bool start() {
        try {
            std::thread([this] { serve(); }).detach();
        } catch (const std::system_error&) {
            return false;  // the system gives no more threads: those that are there do the work
        }
        return true;
    }

    void serve() {
        std::unique_lock<std::mutex> hold(lock_);
        for (;;) {
            wake_.wait(hold, [this] { return seats_ > 0; });
            Job* job = job_;
            seats_--;
            running_++;
            hold.unlock();
            job->run();
            hold.lock();
            if (--running_ == 0) done_.notify_one();
        }
    }

    std::mutex lock_;
    std::condition_variable wake_, done_;
    Job* job_ = nullptr;
    int started_ = 0, seats_ = 0, running_ = 0;
};

// The pool of this process. A child made by fork has none of its parent's threads, so it gets a pool of its own; the
// parent's is left where it is, as is every pool at the end of the process.
Pool& pool() {
    static std::mutex lock;
    static Pool* current = nullptr;
    const std::lock_guard<std::mutex> hold(lock);
    if (current == nullptr || current->owner != getpid()) current = new Pool;
    return *current;
}

}  // namespace

Fault in_parallel(int64_t count, int64_t chunk, int threads, const Work& work) {
    Job job{&work, count, std::max<int64_t>(1, chunk)};
    const int64_t chunks = (count + job.chunk - 1) / job.chunk;
    const int helpers = static_cast<int>(std::min<int64_t>({threads, chunks, 256})) - 1;
    if (helpers < 1) {
        job.run();
        return job.fault;
    }
    Pool& mine = pool();
    const std::unique_lock<std::mutex> hold(mine.busy, std::try_to_lock);
    if (hold.owns_lock()) {
        mine.run(job, helpers);
    } else {
        job.run();
    }
    return job.fault;
}

int threads_here() {
#if defined(__linux__)
    cpu_set_t mine;
    CPU_ZERO(&mine);
    if (sched_getaffinity(0, sizeof mine, &mine) == 0) return std::max(1, CPU_COUNT(&mine));
#endif
    return std::max(1u, std::thread::hardware_concurrency());
}
