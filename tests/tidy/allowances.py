"""Exceptions to the tidy rules, each with its reason; one that is not needed any more fails its test."""

# "room/file.py:function" -> why it is longer than the limit
LONG_FUNCTIONS: dict[str, str] = {}

# "room/file.py" -> why it is longer than the limit
LONG_FILES: dict[str, str] = {}

# (path prefix below src/crossmargin, identifier) -> why the avoided word is right there
AVOIDED_WORDS: dict[tuple[str, str], str] = {
    ("margin/", "exposure"): "a parameter's name in the rulebook grammar",
}

# (path prefix below src/crossmargin, dotted name) -> why it may be used below the edge rooms
IMPURE: dict[tuple[str, str], str] = {
    ("kernels/native_engine.py", "os.sched_getaffinity"): "how many threads may run: no result depends on it",
    ("kernels/native_engine.py", "os.cpu_count"): "the same where the system knows of no affinity",
    ("margin/program/live_lock.py", "threading.RLock"): "a live book's lock: what is computed does not depend on it",
    ("margin/program/live_lock.py", "os.register_at_fork"): "forks wait for that lock",
}
