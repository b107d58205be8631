"""An account's lines row by row, with what each carries into the requirements and into other lines.

Everything is read from one traced evaluation: the slopes are the derivatives of the tree that was assessed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from crossmargin.margin.evaluation import Evaluation
from crossmargin.margin.model import INITIAL
from crossmargin.margin.tape import TRACED_FUNCTIONS, Traced, gradient, plain
from crossmargin.scenarios import ASSET

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy.typing as npt

    from crossmargin.margin import BookReport
    from crossmargin.margin.kinds.scan import ScanDetail

    Floats = npt.NDArray[np.float64]
    Flags = npt.NDArray[np.bool_]
    Ints = npt.NDArray[np.int64]

_SAME = 1e-9  # within which two moves are one


@dataclass(frozen=True, slots=True)
class Place:
    """Where a figure stands: a pool, a bucket, both, or the whole account."""

    pool: str | None = None
    bucket: str | None = None


class ComputedLines:
    """The lines of one account alone, by row.

    Parameters
    ----------
    book
        A book that holds the account and no other.
    """

    def __init__(self, book: BookReport) -> None:
        assert len(book) == 1
        self.resolved = book.resolved
        self.rulebook = book.rulebook
        self._plain = book.evaluation
        self._traced = _without_orders(book)
        self._kept: dict[tuple[object, ...], Any] = {}

    def known(self, names: Iterable[str]) -> tuple[str, ...]:
        """Return those of the names that are lines of the rulebook."""
        return tuple(name for name in names if name in self.rulebook.lines)

    def amount(self, lines: Sequence[str], requirement: str, place: Place, *, carried: bool = False) -> float | None:
        """Return the sum of lines on the rows of a place; None where the account, or a line, is not split that way.

        `carried`: each row times what one unit of it adds to the requirement.
        """
        if not self._exists(place):
            return None
        total = 0.0
        for name in lines:
            if self._spans(name, requirement, place):
                return None
            column = self.column(name, requirement) * self.within(name, place) * self._money(name, place)
            total += float(np.sum(column * self.slope(None, name, requirement) if carried else column))
        return total

    def stated_input(self, name: str, place: Place) -> float | None:
        """Return what an account states as one of the rulebook's inputs at a place; None where it is no input."""
        if name not in self.rulebook.inputs or place.bucket is not None or not self._exists(place):
            return None
        units = self.resolved.units
        mine = np.asarray([place.pool in {None, label} for label in units.label], dtype=bool)
        rate = units.numeraire if self.resolved.in_settlement and place.pool is None else np.ones(len(units))
        return float(np.sum((np.asarray(self.resolved.inputs[name]) * rate)[mine]))

    def numeraire(self, place: Place) -> float:
        """Return what turns an amount at a place into the account's reporting asset."""
        if place.pool is None or not self.resolved.in_settlement:
            return 1.0
        return float(self.resolved.units.numeraire[self.resolved.units.label.index(place.pool)])

    def column(self, line: str, requirement: str) -> Floats:
        """Return a line's amount on every row of its level."""
        found: Floats = np.asarray(self._plain.line(line, requirement), dtype=np.float64)
        return found

    def share(self, targets: Sequence[str] | None, lines: Sequence[str], requirement: str, place: Place) -> float:
        """Return what one unit of a group of lines at a place adds to `targets` (None: the requirement).

        Rows count by their amounts; where all are 0, as the row that adds most.
        """
        amounts, slopes = [], []
        for name in lines:
            rows = np.flatnonzero(self.within(name, place))
            slope = sum(
                self.slope(target, name, requirement)[rows] for target in ([None] if targets is None else targets)
            )
            amounts.append(np.abs(self.column(name, requirement)[rows]))
            slopes.append(slope)
        weight, slope = np.concatenate(amounts), np.concatenate(slopes)
        if not slope.shape[0]:
            return 0.0
        return float(weight @ slope / weight.sum()) if weight.any() else float(slope[np.argmax(np.abs(slope))])

    def profit(self, instrument: str) -> float | None:
        """Return the unrealised P&L of what is held of an instrument, in the account's reporting asset."""
        names, legs, units = self.resolved.names.symbols, self.resolved.legs, self.resolved.units
        symbols = self.resolved.contracts.symbol[legs.contract].tolist()
        held = [leg for leg, code in enumerate(symbols) if names[code] == instrument]
        rate = units.numeraire[legs.unit] if self.resolved.in_settlement else np.ones(legs.unit.shape[0])
        return float(np.sum((np.asarray(self._plain.measures["pnl"]) * rate)[held])) if held else None

    def slope(self, target: str | None, line: str, requirement: str) -> Floats:
        """Return what one unit of each row of a line adds to another line (summed over its rows), or a requirement."""
        key = ("slope", target, line, requirement)
        if key not in self._kept:
            top = self._traced.requirement(requirement) if target is None else self._traced.line(target, requirement)
            inner = self._traced.line(line, requirement)
            both = isinstance(top, Traced) and isinstance(inner, Traced) and target != line
            self._kept[key] = gradient(top, inner) if both else np.zeros(plain(inner).shape[0])
        found: Floats = self._kept[key]
        return found

    def within(self, line: str, place: Place) -> Flags:
        """Return which rows of a line's level stand at a place."""
        level = self.rulebook.line(line).level
        unit = self._traced.unit_of_row(level)
        fits = np.ones(unit.shape[0], dtype=bool)
        if place.pool is not None:
            fits &= np.asarray([self.resolved.units.label[i] == place.pool for i in unit.tolist()], dtype=bool)
        if place.bucket is not None:
            fits &= np.asarray([name == place.bucket for name in self._buckets(line)], dtype=bool)
        return fits

    def pnl(self, line: str, place: Place, spot: float, vols: Sequence[str], *, weighted: bool) -> list[float]:
        """Return a scan's P&L of the one row at a place, in its scenarios of a spot move and a vol rule.

        Nothing is returned where the place has several rows, or where the row's underlyings move by different shares.
        """
        if line not in self.rulebook.lines or self.rulebook.line(line).kind != "scan":
            return []
        detail: ScanDetail = self._plain.detail(line, INITIAL)
        inside = np.flatnonzero(self.within(line, place)[detail.frame.rows])
        if inside.shape[0] != 1:
            return []
        row = int(inside[0])
        contracts = self.resolved.legs.contract[detail.frame.legs[detail.frame.row_of == row]]
        moves = detail.cells.spot[contracts]
        if not moves.shape[0] or float(np.ptp(moves, axis=0).max()) > _SAME:
            return []
        names = detail.cells.axes.vol
        near = [s for s in range(len(names)) if abs(float(moves[0, s]) - spot) < _SAME and names[s] in vols]
        weight = detail.cells.weight[contracts[0]]
        return [float(detail.pnl[row, s] / (1.0 if weighted else weight[s])) for s in near]

    def _exists(self, place: Place) -> bool:
        if place.pool is not None and place.pool not in self.resolved.units.label:
            return False
        if place.bucket is None:
            return True
        c, legs = self.resolved.contracts, self.resolved.legs
        held = legs.contract[c.kind[legs.contract] != ASSET]
        return place.bucket in {self.resolved.names.buckets[i] for i in c.bucket[held].tolist()}

    def _spans(self, line: str, requirement: str, place: Place) -> bool:
        """Return whether a row of the line holds several buckets where one is asked for."""
        if place.bucket is None:
            return False
        several = np.asarray([name is None for name in self._buckets(line)], dtype=bool)
        rows = self.within(line, Place(pool=place.pool)) & several
        return bool(np.any(self.column(line, requirement)[rows]))

    def _buckets(self, line: str) -> list[str | None]:
        """Return the one bucket of each row of a line's level; None where its legs are of several."""
        if ("buckets", line) not in self._kept:
            spec = self.rulebook.line(line)
            frame = self._traced.frame(spec.level, spec.of, charged=spec.section == "charges")
            found: list[set[str]] = [set() for _ in range(self._traced.row_count(spec.level))]
            codes = self.resolved.contracts.bucket[self.resolved.legs.contract[frame.legs]].tolist()
            for position, code in zip(frame.row_of.tolist(), codes, strict=True):
                found[int(frame.rows[position])].add(self.resolved.names.buckets[code])
            self._kept["buckets", line] = [next(iter(names)) if len(names) == 1 else None for names in found]
        buckets: list[str | None] = self._kept["buckets", line]
        return buckets

    def _money(self, line: str, place: Place) -> Floats:
        """Return what turns each row into the asset of the figure: the pool's own, or the account's."""
        unit = self._traced.unit_of_row(self.rulebook.line(line).level)
        if not self.resolved.in_settlement or place.pool is not None:
            return np.ones(unit.shape[0])
        return np.asarray(self.resolved.units.numeraire[unit])


def _without_orders(book: BookReport) -> Evaluation:
    """Return the traced evaluation of what is held: slopes of what orders would add stand in lines of their own."""
    legs = book.resolved.legs
    none = np.zeros_like(legs.bids)
    bare = replace(legs, bids=none, asks=none, bid_cost=none, ask_cost=none, orders=none)
    quantity: Any = Traced(legs.quantity)
    resolved = replace(book.resolved, legs=bare)
    return Evaluation(resolved, book.rulebook, quantity, TRACED_FUNCTIONS, book.evaluation.shared)
