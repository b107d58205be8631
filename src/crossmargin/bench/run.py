"""One run of the benchmark: the works that were asked for, one after the other, as a document."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import UTC, datetime
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final, TypeVar

from crossmargin import kernels
from crossmargin.bench import peers
from crossmargin.bench.aims import MILLION, with_aims
from crossmargin.bench.curves import CURVES
from crossmargin.bench.machine import machine, probe_limits, processors
from crossmargin.bench.result import Skipped
from crossmargin.bench.setting import NotHereError, Setting
from crossmargin.bench.works import WORKS
from crossmargin.kernels.engine import serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

T = TypeVar("T")

__all__ = ["QUICK_ACCOUNTS", "make_setting", "run_bench", "run_curves"]

QUICK_ACCOUNTS: Final = 50_000
_REPETITIONS: Final = 9
_QUICK_REPETITIONS: Final = 3
_ENOUGH: Final = 30.0
_QUICK_ENOUGH: Final = 1.5


def make_setting(*, quick: bool = False, accounts: int | None = None, threads: int | None = None) -> Setting:
    """Return the setting of a run; the limits are probed here, for one core and for as many as threads are used.

    Parameters
    ----------
    threads
        The most threads that works are timed on; None: one for each processor that may be used, which is the most.
    """
    most = min(threads or serving()[1], processors())
    counts = (1,) if most == 1 else (1, most)
    kernel = serving()[0]
    limits = {} if kernel == "numpy" else {n: probe_limits(n, kernel.removeprefix("native-")) for n in counts}
    wanted = accounts or (QUICK_ACCOUNTS if quick else MILLION)
    repetitions, enough = (_QUICK_REPETITIONS, _QUICK_ENOUGH) if quick else (_REPETITIONS, _ENOUGH)
    return Setting(wanted, repetitions, counts, quick, limits, enough)


def run_bench(setting: Setting, works: Sequence[str], tell: Callable[[str], object]) -> dict[str, Any]:
    """Return the document of a run.

    Parameters
    ----------
    works
        Names of :data:`WORKS`; none: all.
    tell
        Called with the name of each work as it begins.

    Raises
    ------
    DifferentResultError
        When a contender's result is not the same: nothing is timed then.
    """
    before, start = _before(setting), perf_counter()
    rows, skipped = _done(setting, works, WORKS, tell)
    found = {"results": with_aims(rows), "skipped": skipped, "seconds": perf_counter() - start}
    return {**before, "peers": peers.versions(), "peers_absent": peers.absent(), **found}


def run_curves(setting: Setting, names: Sequence[str], tell: Callable[[str], object]) -> dict[str, Any]:
    """Return how cost grows, as a document; arguments and errors as of :func:`run_bench`, names of :data:`CURVES`."""
    before, start = _before(setting), perf_counter()
    curves, skipped = _done(setting, names, CURVES, tell)
    return {**before, "curves": curves, "skipped": skipped, "seconds": perf_counter() - start}


def _before(setting: Setting) -> dict[str, Any]:
    return {
        "at": datetime.now(UTC),
        "quick": setting.quick,
        "accounts": setting.accounts,
        "machine": machine(),
        "kernel": kernels.kernel_name(),
        "limits": list(setting.limits.values()),
    }


def _done(
    setting: Setting,
    names: Sequence[str],
    works: Mapping[str, Callable[[Setting], Iterator[T]]],
    tell: Callable[[str], object],
) -> tuple[list[T], list[Skipped]]:
    """Return what the works give, and which of them cannot be done here."""
    rows: list[T] = []
    skipped: list[Skipped] = []
    with _same_kernel():
        for name in names or works:
            tell(name)
            try:
                rows += works[name](setting)
            except NotHereError as reason:
                skipped.append(Skipped(name, str(reason)))
    return rows, skipped


@contextmanager
def _same_kernel() -> Iterator[None]:
    """Leave the kernel and its threads as they were."""
    kernel, threads = serving()
    try:
        yield
    finally:
        kernels.use_kernel(kernel, threads)
