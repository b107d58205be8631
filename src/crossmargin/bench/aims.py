"""What each work is to reach, and whether it does on this machine: the table of docs/benchmarks.md.

Ratios of kernels are judged in every run. Seconds, and what a whole tick takes, are stated for a million accounts: they
are judged in runs of at least so many, on the cores that there are.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from crossmargin.bench.result import Aim

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from crossmargin.bench.result import Result

__all__ = ["MILLION", "with_aims"]

MILLION: Final = 1_000_000
_CORES: Final = 4


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A bound on a figure of a work. `threads`: 1, or 0 for all there are; `whole`: of a million accounts.

    `by_cores`: the bound is one of four cores, and less in proportion with fewer.
    """

    work: str
    threads: int
    what: str
    figure: Callable[[Result], float | None]
    bound: float
    unit: str = "x"
    least: bool = True
    whole: bool = False
    by_cores: bool = False


def _detail(name: str) -> Callable[[Result], float | None]:
    return lambda row: row.detail.get(name)


_WANTED: Final = (
    _Wanted("revalue", 1, "faster than vectorised SciPy", lambda row: _times(row, "SciPy ndtr"), 10),
    _Wanted("revalue", 1, "of the arithmetic limit", lambda row: row.limit_fraction, 0.6, "%"),
    _Wanted("worst_loss", 1, "faster than SciPy sparse", lambda row: row.peer_ratio, 6),
    _Wanted("worst_loss", 0, "faster than SciPy sparse", lambda row: row.peer_ratio, 20),
    _Wanted("worst_loss", 1, "of the L2 limit", lambda row: row.limit_fraction, 0.8, "%"),
    _Wanted("tick", 1, "the bare kernel's time", lambda row: _inverse(row.peer_ratio), 2, least=False, whole=True),
    _Wanted("tick", 0, "the bare kernel's time", lambda row: _inverse(row.peer_ratio), 2, least=False, whole=True),
    _Wanted("tick", 1, "one thread", lambda row: row.seconds, 0.250, "s", least=False, whole=True),
    _Wanted("tick", 0, "all threads", lambda row: row.seconds, 0.080, "s", least=False, whole=True),
    _Wanted("formula", 0, "all threads", lambda row: row.seconds, 0.400, "s", least=False, whole=True),
    _Wanted(
        "tick_one_underlying", 1, "of the full tick", _detail("share_of_full_tick"), 0.12, "%", least=False, whole=True
    ),
    _Wanted(
        "tick_one_underlying", 0, "of the full tick", _detail("share_of_full_tick"), 0.12, "%", least=False, whole=True
    ),
    _Wanted("what_if", 1, "median", lambda row: row.seconds, 3e-6, "s", least=False, whole=True),
    _Wanted("what_if", 1, "99.9 %", _detail("p999"), 15e-6, "s", least=False, whole=True),
    _Wanted("what_if_batch", 1, "a second, one core", _detail("trades_a_second_a_core"), 2e6, "/s", whole=True),
    _Wanted("expected_shortfall", 1, "faster than SciPy + partition", lambda row: row.peer_ratio, 4),
    _Wanted("expected_shortfall", 0, "faster than SciPy + partition", lambda row: row.peer_ratio, 12),
    _Wanted("greeks_iv", 1, "Greeks and implied vols", lambda row: row.seconds, 0.3e-3, "s", least=False),
    _Wanted("greeks_iv", 1, "IV relative error", _detail("iv_largest_relative_error"), 1e-12, "", least=False),
    _Wanted("memory", 1, "bytes an account, laid out", _detail("bytes_per_account"), 300, "", least=False),
    _Wanted("memory", 1, "bytes an account, live", _detail("live_bytes_per_account"), 400, "", least=False),
    _Wanted("worst_loss", 0, "scaling over threads", _detail("scaling"), 3.2, by_cores=True),
    _Wanted("tick", 0, "scaling over threads", _detail("scaling"), 3.2, whole=True, by_cores=True),
)


def with_aims(rows: Sequence[Result]) -> list[Result]:
    """Return the rows with their scaling over threads, and each with what it was to reach."""
    scaled = [_scaled(row, rows) for row in rows]
    most = max((row.threads for row in rows), default=1)
    return [replace(row, aims=tuple(_aims(row, most))) for row in scaled]


def _scaled(row: Result, rows: Sequence[Result]) -> Result:
    """Return a row of several threads with how many times faster than on one it is."""
    if row.threads == 1 or not row.seconds:
        return row
    same = (row.work, row.detail.get("rulebook"))
    alone = [x.seconds for x in rows if x.threads == 1 and (x.work, x.detail.get("rulebook")) == same and x.seconds]
    return replace(row, detail={**row.detail, "scaling": alone[0] / row.seconds}) if alone else row


def _aims(row: Result, most: int) -> list[Aim]:
    found = []
    for wanted in _WANTED:
        on_it = row.threads == 1 if wanted.threads == 1 else row.threads == most > 1
        figure = wanted.figure(row) if wanted.work == row.work and on_it else None
        if figure is not None:
            found.append(_judged(wanted, figure, row, most))
    return found


def _judged(wanted: _Wanted, figure: float, row: Result, most: int) -> Aim:
    """Return the aim; not judged where fewer accounts, or threads where the bound is one of four cores, were timed."""
    bound = wanted.bound * min(most, _CORES) / _CORES if wanted.by_cores else wanted.bound
    reached = figure >= bound if wanted.least else figure <= bound
    judged = not wanted.whole or row.detail.get("accounts", MILLION) >= MILLION
    cores = f", on {most} of {_CORES} cores" if wanted.threads == 0 and most < _CORES else ""
    return Aim(f"{wanted.what}{cores}", bound, wanted.least, figure, wanted.unit, reached if judged else None)


def _inverse(ratio: float | None) -> float | None:
    return 1 / ratio if ratio else None


def _times(row: Result, peer: str) -> float | None:
    """Return how many times one peer's seconds are ours."""
    seconds = row.detail.get("peers", {}).get(peer)
    return seconds / row.seconds if seconds and row.seconds else None
