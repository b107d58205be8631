"""How cost grows: with accounts, scenarios, legs an account, and threads."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from crossmargin.bench.groups import bucket_groups
from crossmargin.bench.machine import memory_bytes
from crossmargin.bench.setting import DERIBIT, make_stage
from crossmargin.bench.timing import on_threads, take_turns
from crossmargin.bench.works.tick import check_tick, parts_of, tick_of
from crossmargin.bench.works.worst_loss import gains, worst_of
from crossmargin.margin.program.ids import Ids
from crossmargin.margin.program.join import join_books

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from crossmargin.bench.setting import Setting, Stage

__all__ = ["CURVES", "Curve"]

_ACCOUNTS: Final = (1_000, 10_000, 100_000, 1_000_000, 10_000_000)
_SCENARIOS: Final = (16, 32, 64, 128, 256, 512, 1_000, 2_000, 5_000)
# Positions that are asked for: an account has collateral beside them, and of many that are drawn some are drawn twice.
# These come out as 2 to 500 legs.
_LEGS: Final = (0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1_300)
_BYTES: Final = 1_500  # an account's share of memory, what is made of it on the way included
_MOST_AT_ONCE: Final = 1_000_000  # accounts that are made; more are the same again


@dataclass(frozen=True, slots=True)
class Curve:
    """Seconds [points] of a work on so many threads, by what grows."""

    curve: str
    work: str
    threads: int
    at: tuple[float, ...]
    seconds: tuple[float, ...]
    per: float
    """Accounts of every point; 0 where it is accounts that grow."""


def _curve(name: str, work: str, threads: int, points: Sequence[tuple[float, float]], accounts: float) -> Curve:
    at, seconds = zip(*points, strict=True)
    return Curve(name, work, threads, at, seconds, accounts)


def _each(setting: Setting, call: Callable[[], object]) -> dict[int, float]:
    """Return the median seconds on each number of threads."""
    contenders = {str(n): on_threads(n, call) for n in setting.threads}
    return {int(n): s for n, s in take_turns(contenders, setting.repetitions, setting.enough).items()}


def _collected(
    setting: Setting, name: str, work: str, points: Sequence[tuple[float, dict[int, float]]], accounts: float
) -> Iterator[Curve]:
    for threads in setting.threads:
        yield _curve(name, work, threads, [(at, seconds[threads]) for at, seconds in points], accounts)


def by_accounts(setting: Setting) -> Iterator[Curve]:
    """Yield ticks of 1,000 to 10,000,000 accounts, as far as they were asked for and memory goes."""
    room = (memory_bytes() or 0) / _BYTES
    points = []
    for accounts in _ACCOUNTS:
        if accounts > min(room, 10 * setting.accounts):
            continue
        stage = make_stage(DERIBIT, min(accounts, _MOST_AT_ONCE))
        check_tick(stage)
        points.append((float(accounts), _each(setting, tick_of(_repeated(stage, accounts // len(stage.book))))))
    yield from _collected(setting, "accounts", "tick", points, 0)


def _repeated(stage: Stage, times: int) -> Stage:
    """Return the same accounts so many times, under names of their own."""
    if times == 1:
        return stage
    book = stage.book
    named = [replace(book, account_ids=Ids.of(f"{n}-{name}" for name in book.account_ids)) for n in range(times)]
    return replace(stage, book=join_books(named))


def by_scenarios(setting: Setting) -> Iterator[Curve]:
    """Yield worst losses of a tenth of the accounts under 16 to 5,000 scenarios."""
    stage = setting.stage(accounts=max(setting.accounts // 10, 1_000))
    groups = bucket_groups(stage, stage.contracts())
    points = [(float(s), _each(setting, worst_of(groups, gains(stage, s)))) for s in _SCENARIOS]
    yield from _collected(setting, "scenarios", "worst_loss", points, len(stage.book))


def by_legs(setting: Setting) -> Iterator[Curve]:
    """Yield the engine's part of ticks by the legs of an account, on average: 2 (a position, its collateral) to 500."""
    accounts = max(setting.accounts // 50, 1_000)
    points = []
    for legs in _LEGS:
        stage = make_stage(DERIBIT, accounts, legs)
        points.append((stage.book.legs.row.shape[0] / accounts, _each(setting, parts_of(stage)["engine"])))
    yield from _collected(setting, "legs", "engine", points, accounts)


def by_threads(setting: Setting) -> Iterator[Curve]:
    """Yield a tick, and the bare kernel, on 1 to all threads."""
    stage = setting.stage()
    bare = worst_of(bucket_groups(stage, stage.contracts()), gains(stage))
    every = replace(setting, threads=tuple(range(1, setting.threads[-1] + 1)))
    for work, call in (("tick", tick_of(stage)), ("worst_loss", bare)):
        points = [(float(n), seconds) for n, seconds in _each(every, call).items()]
        yield _curve("threads", work, 0, points, len(stage.book))


CURVES: Final = {"scenarios": by_scenarios, "legs": by_legs, "threads": by_threads, "accounts": by_accounts}
