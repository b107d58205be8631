"""A whole market tick: `assess_book` of every account at new prices, all lines of the rulebook, and its parts."""

from __future__ import annotations

from itertools import cycle
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import numpy as np

from crossmargin import kernels
from crossmargin.bench.groups import bucket_groups
from crossmargin.bench.market import moved
from crossmargin.bench.result import check_same, result
from crossmargin.bench.setting import FORMULA_RULEBOOKS, NotHereError
from crossmargin.bench.timing import on_threads, take_turns
from crossmargin.bench.works.worst_loss import gains, worst_of
from crossmargin.margin import assess_book
from crossmargin.margin.assess import assess_resolved
from crossmargin.margin.program.assess import run_program
from crossmargin.margin.program.program import make_market, make_program
from crossmargin.margin.program.unpack import unpack

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from crossmargin.bench.result import Result
    from crossmargin.bench.setting import Setting, Stage

__all__ = ["check_tick", "parts_of", "run", "run_formulas", "tick_of"]

_CHECKED: Final = 500  # accounts that are compared with the evaluation before anything is timed


def tick_of(stage: Stage) -> Callable[[], object]:
    """Return the call: every time at other prices than the last."""
    snapshots = cycle([moved(stage.market.snapshot, 1.001), stage.market.snapshot])
    return lambda: assess_book(stage.book, next(snapshots), stage.rulebook)


def run(setting: Setting) -> Iterator[Result]:
    """Yield a row for each number of threads; the peer is the bare kernel over the same accounts, 64 scenarios."""
    stage = setting.stage()
    difference = check_tick(stage)
    bare = worst_of(bucket_groups(stage, stage.contracts()), gains(stage))
    for threads in setting.threads:
        taken = _taken(setting, stage, threads, {"bare": bare})
        peers = {"the bare kernel": taken.pop("bare")}
        yield _row("tick", threads, taken, stage, difference, peers)


def run_formulas(setting: Setting) -> Iterator[Result]:
    """Yield a row for each rulebook of formulas and number of threads."""
    for spec in FORMULA_RULEBOOKS:
        stage = setting.stage(spec)
        difference = check_tick(stage)
        for threads in setting.threads:
            yield _row("formula", threads, _taken(setting, stage, threads), stage, difference)
        setting.stages.pop((spec, setting.accounts))


def _taken(
    setting: Setting, stage: Stage, threads: int, more: Mapping[str, Callable[[], object]] = MappingProxyType({})
) -> dict[str, float]:
    """Return the seconds of a tick, of its parts, and of what else is given."""
    contenders = {"tick": tick_of(stage), **more, **parts_of(stage)}
    on_them = {name: on_threads(threads, call) for name, call in contenders.items()}
    return take_turns(on_them, setting.repetitions, setting.enough)


def _row(
    work: str, threads: int, taken: dict[str, float], stage: Stage, difference: float,
    peers: dict[str, float] | None = None,
) -> Result:  # fmt: skip
    book = stage.book
    return result(
        work, threads, taken.pop("tick"), peers=peers, rulebook=stage.rulebook.name, accounts=len(book),
        pools=len(book.legs), legs=book.legs.row.shape[0], parts=taken, difference=difference,
    )  # fmt: skip


def check_tick(stage: Stage) -> float:
    """Return how far some accounts' figures are from the evaluation's, relative to the account's gross.

    Raises
    ------
    DifferentResultError
        When they are not the same.
    NotHereError
        When no compiled engine serves this rulebook.
    """
    book, rules = stage.book, stage.rulebook
    found = assess_book(book, stage.market.snapshot, rules)
    if not found.engine:
        message = "the account engine is compiled, and the NumPy kernel serves: minutes, not milliseconds"
        raise NotHereError(message)
    resolved = unpack(book, found.market, rules, 0, min(_CHECKED, len(book)))
    wanted = assess_resolved(resolved, rules)
    legs = resolved.legs
    marks = abs(legs.quantity * resolved.contracts.multiplier[legs.contract] * resolved.contracts.mark[legs.contract])
    pools = len(wanted.unit_equity)
    gross = np.bincount(legs.unit, weights=np.nan_to_num(marks), minlength=pools)
    scale = gross + abs(wanted.unit_equity) + abs(wanted.unit_initial)
    columns = ("unit_equity", "unit_initial", "unit_maintenance", "unit_adjusted_maintenance")
    return max(
        check_same(f"tick, {name}", getattr(found, name)[:pools], getattr(wanted, name), scale, 1e-11)
        for name in columns
    )


def parts_of(stage: Stage) -> dict[str, Callable[[], object]]:
    """Return what a tick is made of: prices, the program, the engine."""
    book, snapshot, rules = stage.book, stage.market.snapshot, stage.rulebook
    market = make_market(book.universe, snapshot, rules)
    ops = kernels.operations()
    program = make_program(book.universe, market, rules, ops)
    return {
        "prices": lambda: make_market(book.universe, snapshot, rules),
        "program": lambda: make_program(book.universe, market, rules, ops),
        "engine": lambda: run_program(book, program),
    }
