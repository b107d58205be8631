"""One run of the benchmark: the works that were asked for, one after the other, as a document."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import UTC, datetime
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final

from crossmargin import kernels
from crossmargin.bench import peers
from crossmargin.bench.aims import MILLION, with_aims
from crossmargin.bench.machine import machine, probe_limits
from crossmargin.bench.result import Skipped
from crossmargin.bench.setting import NotHereError, Setting
from crossmargin.bench.works import WORKS
from crossmargin.errors import FailureReason, InputError
from crossmargin.kernels.engine import serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from crossmargin.bench.result import Result

__all__ = ["QUICK_ACCOUNTS", "make_setting", "run_bench"]

QUICK_ACCOUNTS: Final = 50_000
_REPETITIONS: Final = 9
_QUICK_REPETITIONS: Final = 3


def make_setting(*, quick: bool = False, accounts: int | None = None, threads: int | None = None) -> Setting:
    """Return the setting of a run; the limits are probed here, for one core and for as many as threads are used.

    Parameters
    ----------
    threads
        The most threads that works are timed on; None: one for each processor that may be used.
    """
    most = threads or serving()[1]
    counts = (1,) if most == 1 else (1, most)
    kernel = serving()[0]
    limits = {} if kernel == "numpy" else {n: probe_limits(n, kernel.removeprefix("native-")) for n in counts}
    wanted = accounts or (QUICK_ACCOUNTS if quick else MILLION)
    return Setting(wanted, _QUICK_REPETITIONS if quick else _REPETITIONS, counts, quick, limits)


def run_bench(setting: Setting, works: Sequence[str] = (), tell: Callable[[str], object] | None = None) -> dict[str, Any]:
    """Return the document of a run.

    Parameters
    ----------
    works
        Names of :data:`WORKS`; none: all.
    tell
        Called with the name of each work as it begins.

    Raises
    ------
    InputError
        When there is no such work.
    DifferentResultError
        When a contender's result is not the same: nothing is timed then.
    """
    unknown = [name for name in works if name not in WORKS]
    if unknown:
        message = f"there is no work {unknown[0]!r}: choose from {', '.join(WORKS)}"
        raise InputError(FailureReason.MALFORMED_INPUT, message)
    before, start = machine(), perf_counter()
    rows: list[Result] = []
    skipped: list[Skipped] = []
    with _same_kernel():
        for name in works or WORKS:
            if tell is not None:
                tell(name)
            try:
                rows += WORKS[name](setting)
            except NotHereError as reason:
                skipped.append(Skipped(name, str(reason)))
    return {
        "at": datetime.now(UTC),
        "quick": setting.quick,
        "accounts": setting.accounts,
        "machine": before,
        "kernel": kernels.kernel_name(),
        "limits": list(setting.limits.values()),
        "peers": peers.versions(),
        "peers_absent": peers.absent(),
        "results": with_aims(rows),
        "skipped": skipped,
        "seconds": perf_counter() - start,
    }


@contextmanager
def _same_kernel() -> Iterator[None]:
    """Leave the kernel and its threads as they were."""
    kernel, threads = serving()
    try:
        yield
    finally:
        kernels.use_kernel(kernel, threads)
