"""One machine's processes, for rulebooks that the engine cannot run: Python takes the time there, and shares none."""

from __future__ import annotations

import os
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

import numpy as np

from crossmargin import kernels
from crossmargin.cluster import mapped
from crossmargin.cluster.shards import MOST_TRIES, bounds, died
from crossmargin.errors import FailureReason, InputError
from crossmargin.kernels.engine import serving
from crossmargin.margin.assess import assess_resolved
from crossmargin.margin.program.assess import CompactReport, at_market, check_rulebook, fill, make_report, program_of
from crossmargin.margin.program.program import OUTPUTS, Market, Program

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from crossmargin.cluster.shards import Progress
    from crossmargin.errors import Failure
    from crossmargin.margin.model import Rulebook
    from crossmargin.margin.program.book import CompactBook
    from crossmargin.market import Snapshot

    Floats = npt.NDArray[np.float64]

__all__ = ["assess_shards"]

_FEW: Final = 100_000  # accounts that this process has evaluated before others have started
_SHARDS_EACH: Final = 4  # of a process: the last one to finish is then not far behind
_ROWS: Final = len(OUTPUTS)
_WORK, _FOUND = "work", "found"


@dataclass(frozen=True, slots=True)
class _Work:
    """What every process needs: the same bits for all."""

    book: CompactBook
    market: Market
    program: Program | None
    rulebook: Rulebook
    kernel: str


def assess_shards(
    book: CompactBook,
    snapshot: Snapshot,
    rulebook: Rulebook,
    *,
    processes: int | None = None,
    shards: int | None = None,
    progress: Progress | None = None,
    max_quote_age_seconds: float | None = 3600.0,
) -> CompactReport:
    """Return what :func:`assess_book` does, to the bit, worked out shard by shard.

    Processes are started anew for each call and import the caller's main module, so a script keeps this call under
    ``if __name__ == "__main__":``. One that dies is replaced, and what it was at is done again.

    Parameters
    ----------
    processes
        How many; None: one for each processor, but none other than this one where the engine runs the rulebook on its
        threads or the book is small. 1 is this one too.
    shards
        Ranges of accounts; None: some for each process.
    progress
        Called with how many accounts are done, and of how many.

    Raises
    ------
    InputError
        When the book was laid out for another rulebook, or other terms: see :func:`assess_book`.
    CrossmarginError
        When processes die again and again on the same accounts.
    """
    check_rulebook(book, rulebook)
    book, market = at_market(book, snapshot, rulebook, max_quote_age_seconds)
    program = program_of(book.universe, market, rulebook)
    if processes is not None and processes < 1:
        message = f"at least one process is needed, found {processes}"
        raise InputError(FailureReason.MALFORMED_INPUT, message)
    count = processes or (1 if program is not None or len(book) < _FEW else _processors())
    work = _Work(book.packed(), market, program, rulebook, serving()[0])
    ranges = bounds(len(book), (1 if count == 1 else count * _SHARDS_EACH) if shards is None else shards)
    found = np.zeros((_ROWS, len(book.legs)))
    if count == 1:
        failures = _gathered(_here(work, ranges, found), ranges, progress)
    else:
        with TemporaryDirectory(dir=mapped.folder_for(book.nbytes + found.nbytes)) as folder:
            mapped.write(Path(folder) / _WORK, work)
            mapped.write_zeros(Path(folder) / _FOUND, found.nbytes)
            failures = _gathered(_elsewhere(folder, ranges, count), ranges, progress)
            found[:] = mapped.map_array(Path(folder) / _FOUND, found.shape)
    return make_report(book, market, rulebook, list(found), failures, engine=program is not None)


def _processors() -> int:
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def _gathered(
    done: Iterator[tuple[int, dict[int, Failure]]], ranges: list[tuple[int, int]], progress: Progress | None
) -> dict[int, Failure]:
    """Return who is refused, by account and in their order, once all shards are done."""
    failures: dict[int, Failure] = {}
    finished, accounts = 0, ranges[-1][1]
    for n, failed in done:
        first, last = ranges[n]
        failures |= {first + account: failure for account, failure in failed.items()}
        finished += last - first
        if progress is not None:
            progress(finished, accounts)
    return dict(sorted(failures.items()))


def _here(work: _Work, ranges: list[tuple[int, int]], out: Floats) -> Iterator[tuple[int, dict[int, Failure]]]:
    for n, ends in enumerate(ranges):
        yield n, _fill(work, out, *ends)


def _elsewhere(folder: str, ranges: list[tuple[int, int]], count: int) -> Iterator[tuple[int, dict[int, Failure]]]:
    """Yield shards as they are done. When a process dies its pool is closed, and what is not done goes to a new one."""
    waiting, deaths = dict.fromkeys(range(len(ranges))), 0
    while waiting:
        pool = ProcessPoolExecutor(count, get_context("spawn"), _open, (folder,))
        try:
            asked = {pool.submit(_shard, *ranges[n]): n for n in waiting}
            for future in as_completed(asked):
                if isinstance(future.exception(), BrokenProcessPool):
                    continue
                deaths = 0
                del waiting[asked[future]]
                yield asked[future], future.result()
        except BrokenProcessPool:  # while shards were handed out
            pass
        finally:
            pool.shutdown(cancel_futures=True)
        if waiting and (deaths := deaths + 1) == MOST_TRIES:
            raise died(*ranges[next(iter(waiting))])


def _fill(work: _Work, out: Floats, first: int, last: int) -> dict[int, Failure]:
    """Fill the columns of some accounts' pools; return who of them is refused, the first one's number being 0."""
    low, high = np.searchsorted(work.book.pool_account, [first, last]).tolist()
    part = work.book.part(first, last)
    found, failures = fill(part, work.market, work.program, work.rulebook, assess_resolved)
    for row, column in zip(out, found, strict=True):
        row[low:high] = column
    return failures


# --- in a process of its own ---------------------------------------------------------------------------------------
_OPEN: dict[str, tuple[_Work, Floats]] = {}


def _open(folder: str) -> None:
    """Map what is to be done; the process uses one thread, as there is one for each processor."""
    work: _Work = mapped.read(Path(folder) / _WORK)
    kernels.use_kernel(work.kernel, 1)
    _OPEN[""] = work, mapped.map_array(Path(folder) / _FOUND, (_ROWS, len(work.book.legs)))


def _shard(first: int, last: int) -> dict[int, Failure]:
    return _fill(*_OPEN[""], first, last)
