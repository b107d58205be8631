"""The memory of one liquidation: a closed list of figures, made from what was done and when."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from math import inf
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from crossmargin.liquidation.formulas import Amount
    from crossmargin.liquidation.pools import Pool

__all__ = ["Case", "Done"]


@dataclass(frozen=True, slots=True)
class Done:
    """One move that was made: when (seconds), by which step, on which leg, how much, and the cash that it paid in."""

    time: float
    step: str
    leg: str
    do: str
    amount: Fraction
    paid_in: Fraction = Fraction(0)


@dataclass(frozen=True, slots=True)
class Case:
    """One liquidation so far.

    Parameters
    ----------
    start
        The pool when it began: `NAME_start` is read there.
    started, time, opened
        Seconds: when it began, where it stands, when the step that stands open was opened.
    position, passed
        Where the round stands: the step, and the legs that it has asked already.
    offered
        Steps that have been offered to bidders.
    beside
        Recent moves of other cases by steps whose window is the market's, in seconds of this case.
    """

    start: Pool
    started: float = 0.0
    time: float = 0.0
    opened: float = 0.0
    round: int = 0
    done: tuple[Done, ...] = ()
    position: int = 0
    passed: frozenset[str] = frozenset()
    offered: frozenset[str] = frozenset()
    beside: tuple[Done, ...] = ()

    def after(self, move: Done) -> Case:
        """Return the memory with one more move."""
        return replace(self, done=(*self.done, move))

    def at(self, time: float) -> Case:
        """Return the same case at a later moment, before its first step."""
        return replace(self, time=time, round=self.round + 1, position=0, passed=frozenset())

    def memory(self, name: str, step: str, leg: str, window: float) -> Amount | None:
        """Return what a step may read of the past under a name of `MEMORY`; None for any other."""
        made = MEMORY.get(name)
        return None if made is None else made(self, step, leg, window)


def _counted(case: Case, step: str, leg: str) -> list[Done]:
    return [move for move in (*case.done, *case.beside) if move.step == step and move.leg == leg]


def _used(case: Case, step: str, leg: str, window: float) -> Fraction:
    recent = (move.amount for move in _counted(case, step, leg) if case.time - move.time < window)
    return sum(recent, Fraction(0))


def _last(case: Case, step: str, leg: str, window: float) -> float:
    del window
    return case.time - max((move.time for move in _counted(case, step, leg)), default=-inf)


def _offered(case: Case, step: str, leg: str, window: float) -> float:
    del leg, window
    return float(step in case.offered or any(move.step == step for move in case.done))


def _moved(case: Case, leg: str, do: str) -> Fraction:
    return sum((move.amount for move in case.done if move.leg == leg and move.do == do), Fraction(0))


MEMORY: Final[Mapping[str, Callable[[Case, str, str, float], Amount]]] = MappingProxyType(
    {
        "elapsed": lambda case, *_: case.time - case.started,
        "t": lambda case, *_: case.time - case.opened,
        "round": lambda case, *_: float(case.round),
        "reserved": lambda case, *_: sum((move.paid_in for move in case.done), Fraction(0)),
        "used_in_window": _used,
        "was_offered": _offered,
        "last": _last,
        "closed": lambda case, _step, leg, _window: _moved(case, leg, "close"),
        "settled": lambda case, _step, leg, _window: _moved(case, leg, "settle"),
    }
)
"""What is read of a case, each made when it is read: a long case has many moves."""
