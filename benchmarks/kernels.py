"""The compiled kernels beside their peers and beside what the machine can do at most, in one run.

python benchmarks/kernels.py [--accounts N] [--repetitions N] [--threads N]

Contenders take turns, so that what else runs meets them alike; medians are printed, with the ratio to the kernel and,
for the kernel, the fraction of the limit. The limits are probed in the same run: reading 256 KiB over and over on one
core, and the fused multiply-adds that a core does on its registers.
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy import sparse
from scipy.special import ndtr

from crossmargin import kernels
from crossmargin.kernels import _native, numpy_engine

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

CONTRACTS, UNDERLYINGS, SCENARIOS, PAST = 2_000, 10, 64, 1_000


class Book(NamedTuple):
    """Legs sorted by underlying and account; contracts [underlying, contracts of it] lie side by side."""

    scale: Floats
    index: npt.NDArray[np.uint16]
    starts: npt.NDArray[np.int64]

    @property
    def legs(self) -> int:
        return self.scale.shape[0]


def make_book(accounts: int, rng: np.random.Generator) -> Book:
    """About 20 legs an account in three underlyings: seven to a group."""
    groups = accounts * 3
    held = 1 + rng.poisson(5.7, groups)
    underlying = np.sort(rng.integers(0, UNDERLYINGS, groups))
    each = CONTRACTS // UNDERLYINGS
    index = np.repeat(underlying * each, held) + rng.integers(0, each, int(held.sum()))
    starts = np.cumsum(held) - held
    return Book(rng.integers(-9, 10, index.shape[0]) + 0.5, index.astype(np.uint16), starts)


def medians(contenders: dict[str, Callable[[], object]], repetitions: int) -> dict[str, float]:
    """Seconds of each contender, which take turns."""
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for turn in range(repetitions + 1):
        for name, call in contenders.items():
            start = time.perf_counter()
            call()
            if turn:  # the first warms
                times[name].append(time.perf_counter() - start)
    return {name: statistics.median(taken) for name, taken in times.items()}


def show(title: str, taken: dict[str, float], limit: float | None = None) -> None:
    """Print a table: milliseconds, ratio to the first contender, fraction of the limit."""
    print(f"\n{title}")
    first = next(iter(taken.values()))
    for name, seconds in taken.items():
        share = f"{limit / seconds:7.0%}" if limit and name.startswith("native") else "       "
        print(f"  {name:38} {seconds * 1e3:10.3f} ms {seconds / first:8.2f}x {share}")


def native(threads: int, call: Callable[[], object], level: str = "native") -> Callable[[], object]:
    """Run `call` with the compiled kernels on so many threads."""

    def run() -> object:
        kernels.use_kernel(level, threads)
        return call()

    return run


def probe(repetitions: int) -> tuple[float, float]:
    """Bytes a second that one core reads from 256 KiB, and fused multiply-adds a second on registers."""
    values = np.ones(1 << 15)
    rounds = 2_000
    read = medians({"read": lambda: _native.probe("read", values, rounds)}, repetitions)["read"]
    count = 20_000_000
    multiplied = medians({"fma": lambda: _native.probe("fma", values, count)}, repetitions)["fma"]
    return values.nbytes * rounds / read, _native.probe("width", values, 0) * count / multiplied


def worst_loss(book: Book, matrix: Floats, threads: int, repetitions: int, bytes_a_second: float) -> None:
    """Worst loss of every group: fused, against SciPy's sparse product and against NumPy."""
    rows = sparse.csr_array((book.scale, book.index, np.append(book.starts, book.legs)), (len(book.starts), CONTRACTS))

    def call() -> object:
        return kernels.group_worst(*_of(book, matrix))

    contenders = {
        "native, 1 thread": native(1, call),
        f"native, {threads} threads": native(threads, call),
        **{f"{level}, 1 thread": native(1, call, level) for level in kernels.kernels_here() if level != "numpy"},
        "SciPy csr @ dense, minimum": lambda: np.maximum(0.0, -(rows @ matrix).min(axis=1)),
        "NumPy": lambda: numpy_engine.group_worst(*_of(book, matrix)),
    }
    limit = book.legs * matrix.shape[1] * 8 / bytes_a_second
    title = (
        f"worst loss: {len(book.starts):,} groups, {book.legs:,} legs, {matrix.shape[1]} scenarios (limit: L2 reads)"
    )
    show(title, medians(contenders, repetitions), limit)


def shortfall(book: Book, matrix: Floats, threads: int, repetitions: int) -> None:
    """Expected shortfall of every group over past moves."""
    depth = matrix.shape[1] // 40
    shares = np.full(depth, 1.0 / depth)
    rows = sparse.csr_array((book.scale, book.index, np.append(book.starts, book.legs)), (len(book.starts), CONTRACTS))

    def call() -> object:
        return kernels.group_tail(*_of(book, matrix), depth, shares)

    contenders = {
        "native, 1 thread": native(1, call),
        f"native, {threads} threads": native(threads, call),
        "SciPy csr @ dense, partition": lambda: -np.partition(rows @ matrix, depth, axis=1)[:, :depth].mean(axis=1),
    }
    show(f"expected shortfall: {len(book.starts):,} groups, {matrix.shape[1]} days", medians(contenders, repetitions))


def _of(book: Book, matrix: Floats) -> tuple[Floats, npt.NDArray[np.uint16], Floats, npt.NDArray[np.int64]]:
    return book.scale, book.index, matrix, book.starts


def pricing(rng: np.random.Generator, repetitions: int, multiply_adds: float) -> None:
    """Black-76 of options under scenarios."""
    strike, years = rng.uniform(50, 150, (CONTRACTS, 1)), rng.uniform(0.01, 2, (CONTRACTS, 1))
    forward, vol = 100.0 * rng.uniform(0.8, 1.2, (1, SCENARIOS)), rng.uniform(0.3, 1, (CONTRACTS, 1))
    vol = vol * rng.choice([0.7, 1.0, 1.3], SCENARIOS)
    sign, discount = rng.choice([-1.0, 1.0], (CONTRACTS, 1)), np.exp(-0.03 * years)

    def call() -> object:
        return kernels.option_values(forward, strike, vol, years, sign, discount)

    def by_scipy() -> object:
        s = vol * np.sqrt(years)
        d1 = np.log(forward / strike) / s + 0.5 * s
        return discount * sign * (forward * ndtr(sign * d1) - strike * ndtr(sign * (d1 - s)))

    contenders = {
        **{f"{level}, 1 thread": native(1, call, level) for level in reversed(kernels.kernels_here()[1:])},
        "SciPy ndtr": by_scipy,
        "NumPy engine": lambda: numpy_engine.option_values(forward, strike, vol, years, sign, discount),
    }
    cells = CONTRACTS * SCENARIOS
    show(f"option values: {CONTRACTS:,} x {SCENARIOS} (limit: 75 vector operations a cell)",
         medians(contenders, repetitions), 75 * cells / multiply_adds)  # fmt: skip


def main() -> None:
    """Run every comparison."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--accounts", type=int, default=100_000)
    parser.add_argument("--repetitions", type=int, default=7)
    parser.add_argument("--threads", type=int, default=_native.threads())
    given = parser.parse_args()
    rng = np.random.default_rng(1)
    read, multiply_adds = probe(given.repetitions)
    print(f"{kernels.kernel_name()}; one core reads {read / 1e9:.1f} GB/s from L2, {2e-9 * multiply_adds:.1f} GFLOP/s")
    book = make_book(given.accounts, rng)
    matrix = rng.normal(size=(CONTRACTS, SCENARIOS))
    pricing(rng, given.repetitions, multiply_adds)
    worst_loss(book, matrix, given.threads, given.repetitions, read)
    few = make_book(given.accounts // 20, rng)
    shortfall(few, rng.normal(size=(CONTRACTS, PAST)), given.threads, given.repetitions)


if __name__ == "__main__":
    main()
