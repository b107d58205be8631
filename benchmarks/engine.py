"""The account engine on a large synthetic book, beside SciPy and beside what a core reads from its cache.

python benchmarks/engine.py [--units N] [--repetitions N] [--threads N] [--columns N]

Contenders take turns, so that what else runs meets them alike; medians are printed. The share in the last column is of
the time in which one core reads the legs' rows of the matrix from a 256 KiB array, over and over.
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from crossmargin.kernels import account_engine, operations, use_kernel
from crossmargin.kernels.native_options import probe

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    Mapping = dict[str, Any]

ROWS, BUCKETS, NONE = 2_000, 10, -(2**31)
UNIT, BUCKET = 5, 3


def aligned(values: Floats) -> Floats:
    """Return a copy whose rows begin with a cache line each."""
    room = np.zeros(values.size + 8)
    first = (-room.ctypes.data // 8) % 8
    out = room[first : first + values.size]
    out[:] = values.ravel()
    return out


def make_book(units: int, rng: np.random.Generator) -> Mapping:
    """Return units of about 20 legs in three buckets: seven to a row."""
    held = 1 + rng.poisson(5.7, units * 3)
    bucket = np.sort(np.argsort(rng.random((units, BUCKETS)), axis=1)[:, :3], axis=1).ravel()
    each = ROWS // BUCKETS
    group = np.repeat(np.arange(units * 3), held)
    row = np.repeat(bucket * each, held) + rng.integers(0, each, int(held.sum()))
    row = row[np.lexsort((row, group))]
    count = held.reshape(units, 3).sum(axis=1)
    return {
        "row": row.astype(np.uint16), "quantity": rng.integers(-9, 10, row.shape[0]) + 0.5,
        "start": (np.cumsum(count) - count).astype(np.uint32), "count": count.astype(np.uint32),
        "extra_start": np.zeros(units, dtype=np.uint32), "extra_count": np.zeros(units, dtype=np.uint32),
        "extra_leg": np.zeros(0, dtype=np.uint32), "extra_value": np.zeros(0),
        "pool_class": np.zeros(units, dtype=np.uint8), "inputs": np.zeros((1, units)),
    }  # fmt: skip


def make_program(rng: np.random.Generator, columns: int, chain: tuple[int, ...], depth: int = 0) -> Mapping:
    """Return one scan, folded where it climbs; shortfall where deep."""
    pitch = -(-columns // 8) * 8
    matrix = np.zeros((ROWS, pitch))
    matrix[:, :columns] = rng.normal(size=(ROWS, columns))
    index, line, number = np.arange(ROWS), chain[-1], operations()
    code = [(number["scan"], line, 0, 0, 0, 0, 0, 0)]
    if line != UNIT:
        code.append((number["sum"], UNIT, 0, 0, line, 0, 0, 0))
    half, one, no_cap, bent = -1, -2, -3, len(chain) - 1
    return {
        "level_row": np.vstack([index, index // 50, index // (ROWS // BUCKETS), index % 3]).astype(np.int32),
        "level_rows": np.array([ROWS, ROWS // 50, BUCKETS, 3]), "class_count": 1,
        "always_active": np.zeros(ROWS, dtype=np.uint8), "constants": np.array([0.5, 1.0, np.inf]),
        "tables": np.zeros(0), "tier_upto": np.zeros(0), "tiers": np.zeros((0, 4)),
        "tier_sets": np.zeros((0, 4), dtype=np.int64), "which": index.repeat(3).astype(np.int32),
        "code": np.array(code, dtype=np.int32), "registers": np.array([0, 0, 0, 1, 0, 1]),
        "lane_groups": np.zeros((0, 10), dtype=np.int64), "lanes": np.zeros(0), "matrices": aligned(matrix),
        "scans": np.array([(0, 0, pitch, *chain, *[0] * (3 - len(chain)), 0, 1, 0, bent, 0)]),
        "folds": np.array([(0, chain[0], 0, columns, half, one, no_cap, NONE)] * bent, np.int64).reshape(-1, 8),
        "segments": np.array([(0, columns, int(depth > 0), max(depth, 1), 0, 0, one, 0)]),
        "shares": np.full(max(depth, 1), 1.0 / max(depth, 1)), "outputs": np.zeros(1, dtype=np.int32),
        "trade_kind": np.full(ROWS, 2, dtype=np.uint8), "multiplier": np.ones(ROWS), "by_side": 0,
    }  # fmt: skip


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


def scanned(book: Mapping, columns: int, chain: tuple[int, ...], depth: int, threads: int, repetitions: int) -> None:
    """Run one scan over the book, and the same sums by SciPy over a part of it."""
    rng = np.random.default_rng(1)
    program, units, legs = make_program(rng, columns, chain, depth), len(book["start"]), len(book["row"])
    engine, out = account_engine(book, program), np.empty((1, units))
    matrix = program["matrices"].reshape(ROWS, -1)[:, :columns]
    few = min(units, 200_000_000 // (columns * 8 * (3 if len(chain) == 1 and chain[0] == BUCKET else 1)))
    part = int(book["start"][few - 1] + book["count"][few - 1])
    bucket = book["row"][:part] // (ROWS // BUCKETS)
    unit = np.repeat(np.arange(few), book["count"][:few])
    ends = np.append(np.flatnonzero(np.diff(unit if chain[0] == UNIT else unit * BUCKETS + bucket, prepend=-1)), part)
    table = sparse.csr_array((book["quantity"][:part], book["row"][:part], ends), (len(ends) - 1, ROWS))

    def by_scipy() -> object:
        rows = table @ matrix
        if len(chain) > 1:
            rows = 0.5 * np.maximum(rows, 0.0) + np.minimum(rows, 0.0)
            rows = np.add.reduceat(rows, np.flatnonzero(np.diff(unit[ends[:-1]], prepend=-1)), axis=0)
        if depth:
            return -np.partition(rows, depth - 1, axis=1)[:, :depth].mean(axis=1)
        return np.maximum(0.0, -rows.min(axis=1))

    contenders: dict[str, Callable[[], object]] = {
        "1 thread": lambda: engine.run(None, out, 1),
        f"{threads} threads": lambda: engine.run(None, out, threads),
        f"SciPy, {few:,} units": by_scipy,
    }
    print(f"\n{columns} columns, chain {list(chain)}{', shortfall' * bool(depth)}: {units:,} units, {legs:,} legs")
    limit = columns * 8 / bytes_a_second()
    for name, seconds in medians(contenders, repetitions).items():
        each = seconds / (part if name.startswith("SciPy") else legs)
        print(f"  {name:24} {seconds * 1e3:10.1f} ms {each * 1e9:8.2f} ns a leg {limit / each:7.0%}")


def bytes_a_second() -> float:
    """Return what one core reads from 256 KiB."""
    values = np.random.default_rng(0).normal(size=1 << 15)
    taken = []
    for _ in range(5):
        start = time.perf_counter()
        probe("reads", values, 200)
        taken.append(time.perf_counter() - start)
    return 200 * values.nbytes / min(taken)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--units", type=int, default=200_000)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--threads", type=int, default=4)
    parser.add_argument("--columns", type=int, default=64)
    given = parser.parse_args()
    use_kernel("native")
    book = make_book(given.units, np.random.default_rng(0))
    print(f"one core reads {bytes_a_second() / 1e9:.0f} GB/s from 256 KiB")
    for chain in ((BUCKET,), (BUCKET, UNIT)):
        scanned(book, given.columns, chain, 0, given.threads, given.repetitions)
    few = make_book(given.units // 10, np.random.default_rng(0))
    scanned(few, 1_000, (UNIT,), 25, given.threads, given.repetitions)
    scanned(
        make_book(given.units // 50, np.random.default_rng(0)), 5_000, (UNIT,), 125, given.threads, given.repetitions
    )


if __name__ == "__main__":
    main()
