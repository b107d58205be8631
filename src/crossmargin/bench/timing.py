"""Times of contenders that take turns, so that what else the machine does meets them alike."""

from __future__ import annotations

import statistics
from time import perf_counter, perf_counter_ns
from typing import TYPE_CHECKING, TypeVar

from crossmargin import kernels
from crossmargin.kernels.engine import serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    T = TypeVar("T")

__all__ = ["each_call", "on_threads", "percentile", "take_turns", "timed"]


def timed(call: Callable[[], T]) -> tuple[float, T]:
    """Return seconds of one call, and what it gave."""
    start = perf_counter()
    found = call()
    return perf_counter() - start, found


def take_turns(contenders: Mapping[str, Callable[[], object]], repetitions: int, enough: float) -> dict[str, float]:
    """Return the median seconds of each contender. They take turns; the first turn warms and is not counted.

    After `enough` seconds no further turn is begun, but for the first that counts.
    """
    taken: dict[str, list[float]] = {name: [] for name in contenders}
    start = perf_counter()
    for turn in range(repetitions + 1):
        if turn > 1 and perf_counter() - start > enough:
            break
        for name, call in contenders.items():
            seconds, _ = timed(call)
            if turn:
                taken[name].append(seconds)
    return {name: statistics.median(times) for name, times in taken.items()}


def on_threads(threads: int, call: Callable[[], T]) -> Callable[[], T]:
    """Return the call with the compiled kernels on at most so many threads."""
    kernel = serving()[0]

    def run() -> T:
        if serving() != (kernel, threads):  # the choice is no part of the work
            kernels.use_kernel(kernel, threads)
        return call()

    return run


def each_call(call: Callable[..., object], arguments: Iterable[tuple[object, ...]]) -> list[float]:
    """Return the seconds of each call, ascending; reading the clock twice is part of them."""
    taken = []
    for given in arguments:
        start = perf_counter_ns()
        call(*given)
        taken.append(perf_counter_ns() - start)
    return [nanoseconds * 1e-9 for nanoseconds in sorted(taken)]


def percentile(ascending: list[float], share: float) -> float:
    """Return the value that `share` of the values do not exceed."""
    return ascending[min(int(share * len(ascending)), len(ascending) - 1)]
