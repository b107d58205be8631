"""What drives a requirement: the capital that each position and balance ties up, in one money for every rulebook.

Lines of different rulebooks have nothing in common, positions have: differences are told by position.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np

from crossmargin.analysis.contributions import contributions
from crossmargin.margin.evaluation import Evaluation
from crossmargin.margin.rows import leg_name

if TYPE_CHECKING:
    from collections.abc import Iterable

    from crossmargin.margin.model import Rulebook
    from crossmargin.margin.resolved import Resolved

__all__ = ["Driver", "Shift", "drivers", "shifts"]


class Driver(msgspec.Struct, frozen=True, kw_only=True):
    """What one position or balance ties up, signed: its part of initial margin, and of its value what does not count.

    `not_credited` is equity less adjusted equity for initial margin: haircuts, option value that is not credited.
    """

    name: str
    initial_margin: float
    not_credited: float

    @property
    def tied_up(self) -> float:
        """Capital tied up: the margin it requires and the value that does not count."""
        return self.initial_margin + self.not_credited


class Shift(msgspec.Struct, frozen=True, kw_only=True):
    """How much more capital a position ties up under one rulebook than under another."""

    name: str
    change: float


def drivers(resolved: Resolved, rulebook: Rulebook) -> tuple[Driver, ...]:
    """Return what each position and balance ties up, the most first, in the book's reporting asset; pools are summed.

    They sum to initial margin + equity - adjusted equity; what no position moves (a venue's own figure, a jump) stands
    under its own name.
    """
    money = resolved.units.numeraire if resolved.in_settlement else np.ones(len(resolved.units))
    rate = dict(zip(resolved.units.label, money.tolist(), strict=True))
    required: dict[str, float] = {}
    credit: dict[str, float] = {}
    for row in contributions(resolved, rulebook):
        _add(required, row.name, row.initial_margin * rate[row.pool])
        _add(credit, row.name, row.adjusted_equity_initial * rate[row.pool])
    worth: dict[str, float] = {}
    equity = np.asarray(Evaluation(resolved, rulebook).measures["equity"])
    for leg, value in enumerate((equity * money[resolved.legs.unit]).tolist()):
        _add(worth, leg_name(resolved, leg), value)
    names = dict.fromkeys((*required, *worth))
    rows = (
        Driver(
            name=name, initial_margin=required.get(name, 0.0), not_credited=worth.get(name, 0.0) - credit.get(name, 0.0)
        )
        for name in names
    )
    return tuple(sorted(rows, key=lambda row: -abs(row.tied_up)))


def _add(sums: dict[str, float], name: str, value: float) -> None:
    sums[name] = sums.get(name, 0.0) + value


def shifts(before: Iterable[Driver], after: Iterable[Driver]) -> tuple[Shift, ...]:
    """Return what each position ties up more under the second than under the first, the largest change first."""
    first = {row.name: row.tied_up for row in before}
    second = {row.name: row.tied_up for row in after}
    rows = (
        Shift(name=name, change=second.get(name, 0.0) - first.get(name, 0.0))
        for name in dict.fromkeys((*first, *second))
    )
    return tuple(sorted(rows, key=lambda row: -abs(row.change)))
