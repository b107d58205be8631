"""The machine, and what it can do at most: reads from the second-level cache, multiply-adds on registers."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from crossmargin import kernels

__all__ = ["Limits", "machine", "memory_bytes", "probe_limits", "processors", "resident_bytes"]

_ITEMS: Final = 341 * 96  # just below 256 KiB, and twelve of the widest vectors at a time
# One core's work, started on a line of input so that all cores begin together: prints the best of its rates.
_PROBE: Final = """
import sys, time
import numpy as np
from crossmargin.kernels.native_engine import use_level
from crossmargin.kernels.native_options import probe
use_level(sys.argv[1])
memory = np.ones({count} + 8)
skip = -memory.ctypes.data % 64 // 8
values = memory[skip : skip + {count}]
def best(which):
    rates = []
    for _ in range(20):
        start = time.perf_counter()
        probe(which, values, 4_000)
        rates.append(4_000 * {count} / (time.perf_counter() - start))
    return max(rates)
best("multiply_adds")
print("ready", flush=True)
sys.stdin.readline()
print(8 * best("reads"), best("multiply_adds"), flush=True)
"""


@dataclass(frozen=True, slots=True)
class Limits:
    """Of so many cores at once: bytes a second read from 256 KiB each, multiply-adds a second on registers."""

    cores: int
    read_bytes: float
    multiply_adds: float


def probe_limits(cores: int, level: str) -> Limits:
    """Return the limits of so many cores at the widest instruction set: for each the best of 20 readings, added up."""
    script = _PROBE.format(count=_ITEMS)
    command = [sys.executable, "-c", script, level]
    with ExitStack() as stack:
        workers = [
            stack.enter_context(
                subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)  # noqa: S603  # our own
            )
            for _ in range(cores)
        ]
        for worker in workers:
            _line(worker)
        for worker in workers:
            assert worker.stdin is not None
            worker.stdin.write("go\n")
            worker.stdin.flush()
        rates = np.asarray([[float(word) for word in _line(worker).split()] for worker in workers])
    read, multiply_adds = rates.sum(axis=0).tolist()
    return Limits(cores, read, multiply_adds)


def _line(worker: subprocess.Popen[str]) -> str:
    assert worker.stdout is not None
    line = worker.stdout.readline()
    if not line:
        message = f"a probe of the machine's limits ended with code {worker.wait()}"
        raise OSError(message)
    return line


def processors() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def machine() -> dict[str, Any]:
    """Return what the times depend on: processor, cores, memory, system, versions."""
    return {
        "processor": _processor(),
        "cores": processors(),
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "memory_bytes": memory_bytes(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "numpy": np.__version__,
        "kernels": list(kernels.kernels_here()),
    }


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor()
    names = [line.split(":", 1)[1].strip() for line in text.splitlines() if line.startswith("model name")]
    return names[0] if names else platform.processor()


def memory_bytes() -> int | None:
    """Return the machine's memory; None where the system does not say."""
    if "SC_PHYS_PAGES" not in getattr(os, "sysconf_names", {}):
        return None
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def resident_bytes() -> int | None:
    """Return the memory that this process holds now; None where the system does not say."""
    try:
        pages = Path("/proc/self/statm").read_text(encoding="utf-8").split()[1]
    except OSError:
        return None
    return int(pages) * os.sysconf("SC_PAGE_SIZE")
