"""What a change of rulebook does to a book: whose requirement moves, by how much, and through which lines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import msgspec
import numpy as np

from crossmargin.account import Account, Book
from crossmargin.analysis.compare import asset_rate
from crossmargin.errors import Failure
from crossmargin.margin.assess import BookReport, assess_book
from crossmargin.margin.model import INITIAL, Rulebook
from crossmargin.margin.report import AccountState, BookRow
from crossmargin.market import Snapshot

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

__all__ = ["LineChange", "PreviewRow", "preview"]

_SHOWN_LINES: Final = 3
_SAME: Final = 1e-9  # of the amounts compared: what rounding alone may differ by


class LineChange(msgspec.Struct, frozen=True, kw_only=True):
    """One charge under both rulebooks, summed over the account; 0 where a rulebook has no such line."""

    line: str
    before: float
    after: float


class PreviewRow(msgspec.Struct, frozen=True, kw_only=True):
    """One account under two rulebooks; money in `reporting_asset`, the snapshot's.

    Figures are None where the rulebook refused the account; its failure stands beside them. `lines` are the charges
    toward initial margin that differ most.
    """

    account: str
    reporting_asset: str | None = None
    state_before: AccountState | None = None
    state_after: AccountState | None = None
    initial_before: float | None = None
    initial_after: float | None = None
    maintenance_before: float | None = None
    maintenance_after: float | None = None
    available_before: float | None = None
    available_after: float | None = None
    lines: tuple[LineChange, ...] = ()
    failure_before: Failure | None = None
    failure_after: Failure | None = None

    @property
    def change(self) -> float:
        """How much more initial margin is required; infinite where only one of the two refuses the account."""
        if self.initial_before is None or self.initial_after is None:
            return 0.0 if self.initial_before is self.initial_after else float("inf")
        return self.initial_after - self.initial_before

    @property
    def moves(self) -> bool:
        """Whether a requirement, the margin that is left, or the state differs by more than rounding."""
        pairs = (
            (self.initial_before, self.initial_after),
            (self.maintenance_before, self.maintenance_after),
            (self.available_before, self.available_after),
        )
        figures = any(_differ(before or 0.0, after or 0.0) for before, after in pairs)
        return figures or self.state_before != self.state_after


def preview(
    accounts: Sequence[Account],
    snapshot: Snapshot,
    before: Rulebook,
    after: Rulebook,
    *,
    max_quote_age_seconds: float | None = 3600.0,
) -> tuple[PreviewRow, ...]:
    """Return one row for each account, the largest change of initial margin first; refusals stand on top."""
    book = Book.from_accounts(accounts)
    sides = [
        _Side(assess_book(book, snapshot, rulebook, max_quote_age_seconds=max_quote_age_seconds), snapshot)
        for rulebook in (before, after)
    ]
    rows = [_row(index, snapshot.reporting_asset, *sides) for index in range(len(book))]
    return tuple(sorted(rows, key=lambda row: -abs(row.change)))


class _Side:
    """A book under one of the two rulebooks, and its charges by account."""

    def __init__(self, report: BookReport, snapshot: Snapshot) -> None:
        self.rate = asset_rate(report.reporting_asset, snapshot)
        self.rows: list[BookRow] = report.rows()
        evaluation = report.evaluation
        self.lines: dict[str, Floats] = {
            name: report.account_sum(np.asarray(evaluation.line_total(name, INITIAL))) * self.rate
            for name in report.rulebook.charges
        }

    def figure(self, index: int, name: str) -> float | None:
        """Return one figure of an account in the snapshot's reporting asset."""
        value = getattr(self.rows[index], name)
        return None if value is None else float(value) * self.rate


def _row(index: int, asset: str, before: _Side, after: _Side) -> PreviewRow:
    first, second = before.rows[index], after.rows[index]
    figures = {
        f"{short}_{when}": side.figure(index, name)
        for short, name in _FIGURES.items()
        for when, side in (("before", before), ("after", after))
    }
    return PreviewRow(
        account=first.account,
        reporting_asset=asset,
        state_before=first.state,
        state_after=second.state,
        lines=_lines(index, before, after) if first.failure is None and second.failure is None else (),
        failure_before=first.failure,
        failure_after=second.failure,
        **figures,
    )


_FIGURES: Final = {
    "initial": "initial_margin",
    "maintenance": "maintenance_margin",
    "available": "available_margin",
}


def _lines(index: int, before: _Side, after: _Side) -> tuple[LineChange, ...]:
    names = dict.fromkeys((*before.lines, *after.lines))
    amounts = [
        LineChange(line=name, before=_at(before.lines.get(name), index), after=_at(after.lines.get(name), index))
        for name in names
    ]
    differing = [line for line in amounts if _differ(line.before, line.after)]
    return tuple(sorted(differing, key=lambda line: -abs(line.after - line.before))[:_SHOWN_LINES])


def _at(column: Floats | None, index: int) -> float:
    return 0.0 if column is None else float(column[index])


def _differ(first: float, second: float) -> bool:
    return abs(first - second) > _SAME * max(1.0, abs(first), abs(second))
