"""The memory of one liquidation: a closed list of figures, made from what was done and when."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from math import inf
from typing import TYPE_CHECKING

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

    def memory(self, step: str, leg: str, window: float) -> dict[str, Amount]:
        """Return what a step may read of the past."""
        mine = [move for move in self.done if move.step == step and move.leg == leg]
        counted = mine + [move for move in self.beside if move.step == step and move.leg == leg]
        recent = [move.amount for move in counted if self.time - move.time < window]
        return {
            "elapsed": self.time - self.started,
            "t": self.time - self.opened,
            "round": float(self.round),
            "reserved": sum((move.paid_in for move in self.done), Fraction(0)),
            "used_in_window": sum(recent, Fraction(0)),
            "was_offered": float(step in self.offered or any(move.step == step for move in self.done)),
            "last": self.time - max(move.time for move in counted) if counted else inf,
            "closed": _moved(self.done, leg, "close"),
            "settled": _moved(self.done, leg, "settle"),
        }


def _moved(done: tuple[Done, ...], leg: str, do: str) -> Fraction:
    return sum((move.amount for move in done if move.leg == leg and move.do == do), Fraction(0))
