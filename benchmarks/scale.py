"""What a tick costs by accounts, cores, bytes and machines: measured here, fitted, and drawn out to a billion accounts.

python benchmarks/scale.py [--rulebook NAME] [--accounts N] [--evaluated N] [--cores N] [--memory GB] [--network GBIT]

Everything above the last table is measured on this machine; the last table is computed from it for machines of
`--cores`, `--memory` and `--network`. Seconds of computing are those of the processor (all threads added), so that what
else runs on the machine counts little; wall time stands beside them.
"""

from __future__ import annotations

import argparse
import pickle
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from benchmarks.columns import made_book
from crossmargin import kernels
from crossmargin.bench.setting import market_of
from crossmargin.cluster import open_cluster, shards_of
from crossmargin.kernels.engine import serving
from crossmargin.margin.assess import assess_resolved
from crossmargin.margin.program.assess import fill, program_of
from crossmargin.margin.program.compact import compact_books
from crossmargin.margin.program.program import OUTPUTS, make_market
from crossmargin.sources import load_rulebook, read_compact_book, write_compact_book

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    from crossmargin.margin import CompactBook, Rulebook
    from crossmargin.market import Snapshot

_PIECE = 100_000
_KILO, _GIGA = 1e3, 1e9
_USED = 0.6  # of a machine's memory: the book and its results; the rest is the system's, Ray's and a neighbour's shard
_WIDTHS = (14, 10, 9, 9, 15, 12, 12, 14)
_SIZES = (10**6, 10**7, 10**8, 10**9)


class Spent(NamedTuple):
    """Seconds by the clock and of the processor."""

    wall: float
    computing: float


class Costs(NamedTuple):
    """What was measured; seconds, bytes."""

    tick_fixed: float
    engine_account: float
    evaluation_account: float
    compact_account: float
    book_account: float
    result_account: float
    snapshot: int
    program: int
    read_rate: float
    actor_start: float
    actor_call: float
    result_rate: float


def spent(work: Callable[[], object], times: int = 3) -> Spent:
    """Return the least of some runs: what else runs can only add."""
    found = []
    for _ in range(times):
        wall, computing = time.perf_counter(), time.process_time()
        work()
        found.append((time.perf_counter() - wall, time.process_time() - computing))
    return Spent(min(wall for wall, _ in found), min(computing for _, computing in found))


def line(what: str, found: Spent, count: int) -> None:
    """Print one measurement."""
    each = found.computing / count * 1e6
    print(f"{what:<44}{count:>11,}{found.wall:>10.3f}{found.computing:>11.3f}{each:>12.3f}")


def fit(counts: list[int], seconds: list[float]) -> tuple[float, float]:
    """Return the fixed part and the part of each account, by least squares on relative errors."""
    weights = 1 / np.asarray(seconds)
    columns = np.stack([np.ones(len(counts)), np.asarray(counts, dtype=np.float64)], axis=1)
    fixed, each = np.linalg.lstsq(columns * weights[:, None], np.ones(len(counts)), rcond=None)[0]
    return max(float(fixed), 0.0), float(each)


def tick_costs(book: CompactBook, snapshot: Snapshot, rules: Rulebook, most: int, evaluated: int) -> dict[str, float]:
    """Measure the engine and the evaluation on parts of a book, and what every tick costs beside."""
    market = make_market(book.universe, snapshot, rules)
    program = program_of(book.universe, market, rules)
    made = spent(lambda: program_of(book.universe, make_market(book.universe, snapshot, rules), rules))
    line("prices and program of a tick", made, 1)
    found = {"tick_fixed": made.computing, "engine_account": float("nan")}
    found["program"] = float(sum(getattr(a, "nbytes", 0) for a in program.arrays.values())) if program else 0.0

    def timed(count: int, which: object, what: str) -> float:
        part = book.part(0, count)
        took = spent(lambda: fill(part, market, which, rules, assess_resolved))  # type: ignore[arg-type]
        line(what, took, count)
        return took.computing

    if program is not None:
        for threads in (None, 1):
            kernels.use_kernel(serving()[0], threads)
            counts = sorted({max(most // 10, 1), max(most // 3, 1), most})
            seconds = [timed(n, program, f"engine, {threads or kernels.threads_in_use()} threads") for n in counts]
        found["engine_account"] = fit(counts, seconds)[1]
    kernels.use_kernel(serving()[0], 1)
    counts = sorted({max(evaluated // 4, 1), max(evaluated // 2, 1), evaluated})
    found["evaluation_account"] = fit(counts, [timed(n, None, "evaluation, 1 thread") for n in counts])[1]
    kernels.use_kernel(serving()[0])
    return found


def file_costs(book: CompactBook) -> dict[str, float]:
    """Measure writing and reading a book as Arrow files."""
    with tempfile.TemporaryDirectory() as folder:
        line("written as Arrow", spent(lambda: write_compact_book(book, folder), 1), len(book))
        line("mapped and checked", spent(lambda: read_compact_book(folder)), len(book))
        whole = sum(path.stat().st_size for path in Path(folder).iterdir())
        took = spent(lambda: [path.read_bytes() for path in Path(folder).iterdir()])
    print(f"Arrow files: {whole / _GIGA:.3f} GB, read from the system's memory at {whole / took.wall / _GIGA:.1f} GB/s")
    return {"read_rate": whole / took.wall}


def actor_costs(book: CompactBook, snapshot: Snapshot, rules: Rulebook) -> dict[str, float]:
    """Measure Ray on this machine: start of an actor, a call, and the way back of results."""
    try:
        import ray  # noqa: PLC0415 - an extra
    except ImportError:
        print("Ray is not installed: `make cluster`. Its costs below are left at zero")
        return {"actor_start": 0.0, "actor_call": 0.0, "result_rate": float("inf")}
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, _node_ip_address="127.0.0.1")
    begun = time.perf_counter()
    with open_cluster(shards_of(book, 1), rules, threads=1) as cluster:
        cluster.tick(snapshot)
        first = time.perf_counter() - begun
        whole = spent(lambda: cluster.tick(snapshot))
        actor = cluster.actors[0]
        call = spent(lambda: ray.get(actor.__ray_call__.remote(_nothing)), 50)
        back = spent(lambda: ray.get(actor.__ray_call__.remote(_results)), 5).wall - call.wall
    ray.shutdown()
    sent = _results(None).nbytes
    print(f"Ray: first tick {first:.2f} s after the start, later ones {whole.wall:.3f} s")
    print(f"Ray: a call {call.wall * _KILO:.2f} ms; {sent / 1e6:.1f} MB of results in {back * _KILO:.1f} ms")
    return {"actor_start": max(first - whole.wall, 0.0), "actor_call": call.wall, "result_rate": sent / back}


def _nothing(_: object) -> None:
    return None


def _results(_: object) -> npt.NDArray[np.float64]:
    return np.ones((len(OUTPUTS) + 1, 10**6))


def table(costs: Costs, cores: int, memory: float, network: float) -> None:
    """Print what so many accounts need on machines of so many cores, gigabytes and gigabits a second."""
    print(f"\ncomputed for machines of {cores} cores, {memory:g} GB, {network:g} Gbit/s, enough for a tick in 1 s")
    heads = ("accounts", "machines", "GB each", "tick s", "by evaluation", "results GB", "all back s", "a lost one s")
    print("".join(f"{head:>{width}}" for head, width in zip(heads, _WIDTHS, strict=True)))
    wire = network * _GIGA / 8
    each = costs.book_account + costs.result_account
    for count in _SIZES:
        held = int(np.ceil(count * each / (_USED * memory * _GIGA)))
        quick = int(np.ceil(count * costs.engine_account / cores / max(1.0 - costs.tick_fixed, 0.1)))
        machines = max(held, quick, 1)
        sent = costs.snapshot * np.ceil(np.log2(machines + 1)) / wire
        fixed = costs.tick_fixed + costs.actor_call + (sent if machines > 1 else 0.0)
        tick, slow = (
            fixed + count * one / machines / cores for one in (costs.engine_account, costs.evaluation_account)
        )
        results = count * costs.result_account
        back = results / min(costs.result_rate, wire) if machines > 1 else 0.0
        share = count / machines
        lost = costs.actor_start + share * costs.book_account / wire + tick
        print(
            f"{count:>14,}{machines:>10,}{share * each / _GIGA:>9.1f}{tick:>9.2f}{slow:>15.1f}"
            f"{results / _GIGA:>12.2f}{back:>12.2f}{lost:>14.1f}"
        )


def main() -> None:
    """Measure, fit, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rulebook", default="deribit-portfolio@2026-02-01")
    parser.add_argument("--accounts", type=int, default=300_000)
    parser.add_argument("--evaluated", type=int, default=20_000)
    parser.add_argument("--cores", type=int, default=32)
    parser.add_argument("--memory", type=float, default=128.0)
    parser.add_argument("--network", type=float, default=25.0)
    asked = parser.parse_args()
    snapshot, rules, count = market_of(asked.rulebook).snapshot, load_rulebook(asked.rulebook), asked.accounts
    print(
        f"{rules.name}, {len(snapshot.listings)} contracts, kernel {kernels.kernel_name()}, 20 positions and 2 balances"
    )
    print(f"{'':<44}{'accounts':>11}{'wall s':>10}{'computing s':>11}{'us/account':>12}")
    made = [made_book(snapshot, n, min(n + _PIECE, count)) for n in range(0, count, _PIECE)]
    books: list[CompactBook] = []
    laid = spent(lambda: books.append(compact_books(made, snapshot, rules)), 1)
    line("laid out", laid, count)
    book = books.pop()
    made.clear()
    sent = len(pickle.dumps(snapshot, protocol=5))
    print(f"book {book.nbytes / count:.0f} bytes an account, {book.account_ids.nbytes / count:.0f} of them its id")
    found = tick_costs(book, snapshot, rules, count, min(asked.evaluated, count))
    print(f"snapshot {sent / 1e6:.2f} MB as it is sent, program {found['program'] / 1e6:.2f} MB")
    found |= file_costs(book) | actor_costs(book, snapshot, rules)
    costs = Costs(
        tick_fixed=found["tick_fixed"],
        engine_account=found["engine_account"],
        evaluation_account=found["evaluation_account"],
        compact_account=laid.computing / count,
        book_account=book.nbytes / count,
        result_account=len(book.legs) / count * 8 * (len(OUTPUTS) + 1),
        snapshot=sent,
        program=int(found["program"]),
        read_rate=found["read_rate"],
        actor_start=found["actor_start"],
        actor_call=found["actor_call"],
        result_rate=found["result_rate"],
    )
    print("\nfitted:", ", ".join(f"{name} {value:.4g}" for name, value in costs._asdict().items()))
    table(costs, asked.cores, asked.memory, asked.network)


if __name__ == "__main__":
    main()
