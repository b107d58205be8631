"""`assess_exact`: the same lines on fractions, for venues whose rounding is part of the rule.

Amounts are the account's own decimals; prices and the rulebook's numbers are the decimals that they are written as.
What is computed then is exact: no sum depends on its order, and `ceil` and `floor` see the true number.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from datetime import timedelta
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np

from crossmargin.account import Book
from crossmargin.errors import Failure, FailureReason, InputError
from crossmargin.margin.evaluation import Evaluation
from crossmargin.margin.exact_functions import EXACT_FUNCTIONS
from crossmargin.margin.exact_number import exact, exact_column
from crossmargin.margin.resolve import resolve
from crossmargin.margin.rows import row_name
from crossmargin.scenarios import ASSET
from crossmargin.units import SECONDS_PER_YEAR

if TYPE_CHECKING:
    from collections.abc import Mapping

    from crossmargin.account import Account
    from crossmargin.margin.model import Rulebook
    from crossmargin.margin.resolved import Resolved
    from crossmargin.market import Snapshot

__all__ = ["ExactPool", "ExactReport", "ExactRow", "assess_exact"]

_YEAR: Final = timedelta(seconds=SECONDS_PER_YEAR)
_ONLY_SHOWN: Final = frozenset({"mark_iv", "delivery_price"})  # nothing is computed from them before the lines


@dataclass(frozen=True, slots=True)
class ExactRow:
    """One line on one row of its level, for one requirement; `row` is the row's name in reports."""

    line: str
    requirement: str
    row: str
    value: Fraction


@dataclass(frozen=True, slots=True)
class ExactPool:
    """One pool, in its `reporting_asset`; `adjusted` is the adjusted equity for each requirement.

    `lines` holds each line's total by requirement, and `rows` the lines' rows. A line that no requirement reads and
    that has no exact value is left out.
    """

    pool: str
    reporting_asset: str
    equity: Fraction
    requirements: Mapping[str, Fraction]
    adjusted: Mapping[str, Fraction]
    lines: Mapping[str, Mapping[str, Fraction]]
    rows: tuple[ExactRow, ...]

    def on_row(self, line: str, row: str, requirement: str) -> Fraction:
        """Return a line on one row (a leg's symbol, a bucket); 0 where it has no such row."""
        wanted = (line, row, requirement)
        return sum((r.value for r in self.rows if (r.line, r.row, r.requirement) == wanted), Fraction(0))


@dataclass(frozen=True, slots=True)
class ExactReport:
    """One account under one rulebook, in fractions."""

    account: str
    rulebook: str
    pools: tuple[ExactPool, ...]

    @property
    def pool(self) -> ExactPool:
        """The first pool, for accounts that have one."""
        return self.pools[0]


def assess_exact(
    account: Account, snapshot: Snapshot, rulebook: Rulebook, *, max_quote_age_seconds: float | None = 3600.0
) -> ExactReport:
    """Return an account's equity, adjusted equity and requirements as exact fractions.

    Parameters
    ----------
    max_quote_age_seconds
        Quotes observed longer before `snapshot.as_of` are refused; None accepts any age.

    Raises
    ------
    InputError
        The refusals of `assess`; or the line that a requirement reads and that has no exact result.
    """
    known = resolve(Book.from_accounts([account]), snapshot, rulebook, max_quote_age_seconds=max_quote_age_seconds)
    _raise(known.failures)
    book = Book.from_accounts([account], exact)
    read = resolve(book, _exact_snapshot(account, snapshot), rulebook, max_quote_age_seconds=max_quote_age_seconds)
    evaluation = Evaluation(_exact_resolved(read, snapshot), rulebook, functions=EXACT_FUNCTIONS)
    with np.errstate(all="ignore"):
        return ExactReport(account.id, f"{rulebook.name}@{rulebook.effective_from}", _pools(evaluation, known))


def _raise(failures: Mapping[int, Failure]) -> None:
    for failure in failures.values():
        raise InputError(failure.reason, failure.message, account=failure.account, instrument=failure.instrument)


# --- exact numbers in place of floats


def _exact_snapshot(account: Account, snapshot: Snapshot) -> Snapshot:
    """Return the snapshot with the prices of what the account uses as fractions: ratios of them are exact then."""
    used = {p.instrument for p in account.positions} | {o.instrument for o in account.orders}
    listings = {name: _in_fractions(one) if name in used else one for name, one in snapshot.listings.items()}
    assets = {name: _in_fractions(quote) for name, quote in snapshot.assets.items()}
    return msgspec.structs.replace(snapshot, listings=listings, assets=assets)


def _in_fractions(quote: Any) -> Any:  # noqa: ANN401 - an AssetQuote or a Listing, as given
    stated = {field: getattr(quote, field) for field in quote.__struct_fields__ if field not in _ONLY_SHOWN}
    numbers = {name: value for name, value in stated.items() if isinstance(value, int | float)}
    return msgspec.structs.replace(quote, **{name: exact(value).value for name, value in numbers.items()})


def _exact_resolved(read: Resolved, snapshot: Snapshot) -> Resolved:
    """Return the resolved book with every column of numbers exact, and times to expiry to the microsecond."""
    c = read.contracts
    years: Any = np.array(c.years)
    for row, symbol in enumerate(read.names.symbols):
        listing = snapshot.listings.get(symbol)
        if c.kind[row] != ASSET and listing is not None and listing.expiry is not None:
            years[row] = Fraction(_microseconds(listing.expiry - snapshot.as_of), _microseconds(_YEAR))
    inputs: dict[str, Any] = {name: exact_column(column) for name, column in read.inputs.items()}
    return replace(
        read,
        contracts=_exact_columns(replace(c, years=years)),
        legs=_exact_columns(read.legs),
        units=_exact_columns(read.units),
        inputs=inputs,
    )


def _microseconds(time: timedelta) -> int:
    return time // timedelta(microseconds=1)


def _exact_columns(columns: Any) -> Any:  # noqa: ANN401 - a dataclass of columns, as given
    found = {field.name: getattr(columns, field.name) for field in fields(columns)}
    numbers = {name: c for name, c in found.items() if isinstance(c, np.ndarray) and c.dtype.kind in "fO"}
    return replace(columns, **{name: exact_column(column) for name, column in numbers.items()})


# --- fractions out


def _pools(evaluation: Evaluation, known: Resolved) -> tuple[ExactPool, ...]:
    names = tuple(evaluation.rulebook.requirements)
    try:
        equity = evaluation.equity()
        required = {name: evaluation.requirement(name) for name in names}
        adjusted = {name: evaluation.adjusted(name) for name in names}
    except InputError as error:
        raise _named(error, evaluation, known) from None
    _raise(evaluation.failures)
    units = range(len(known.units))
    lines = _lines(evaluation, names)
    rows = _rows(evaluation, known, lines)
    return tuple(
        ExactPool(
            pool=known.units.label[unit],
            reporting_asset=_reporting_asset(known, unit),
            equity=_fraction(equity[unit], "equity", known),
            requirements={name: _fraction(column[unit], name, known) for name, column in required.items()},
            adjusted={name: _fraction(column[unit], "adjusted equity", known) for name, column in adjusted.items()},
            lines=_totals(evaluation, lines, unit),
            rows=tuple(row for owner, row in rows if owner == unit),
        )
        for unit in units
    )


def _reporting_asset(known: Resolved, unit: int) -> str:
    code = int(known.units.reporting[unit])
    return known.names.assets[code] if known.in_settlement and code >= 0 else known.reporting_asset


def _named(error: InputError, evaluation: Evaluation, known: Resolved) -> InputError:
    """Return a refusal with the line that it came from."""
    line = f"line {evaluation.at}: " if evaluation.at else ""
    return InputError(error.reason, f"{line}{error.message}", account=known.account_ids[0])


def _fraction(number: Any, what: str, known: Resolved) -> Fraction:  # noqa: ANN401 - an exact number
    value = number.value
    if not isinstance(value, Fraction):
        message = f"the rulebook's formulas give no finite {what} for this account; `explain` shows where"
        raise InputError(FailureReason.UNDEFINED_RESULT, message, account=known.account_ids[0])
    return value


def _lines(evaluation: Evaluation, names: tuple[str, ...]) -> dict[tuple[str, str], Any]:
    """Return the columns of all lines that have an exact value, by line and requirement."""
    found: dict[tuple[str, str], Any] = {}
    for line in evaluation.lines:
        for name in names:
            try:
                found[line, name] = evaluation.line(line, name)
            except InputError:  # no requirement reads it: those were computed before
                continue
    return found


def _totals(evaluation: Evaluation, lines: Mapping[tuple[str, str], Any], unit: int) -> dict[str, dict[str, Fraction]]:
    totals: dict[str, dict[str, Fraction]] = {}
    for line, name in lines:
        value = evaluation.line_total(line, name)[unit].value
        if isinstance(value, Fraction):
            totals.setdefault(line, {})[name] = value
    return totals


def _rows(evaluation: Evaluation, known: Resolved, lines: Mapping[tuple[str, str], Any]) -> list[tuple[int, ExactRow]]:
    rows: list[tuple[int, ExactRow]] = []
    for (line, name), column in lines.items():
        level = evaluation.lines[line].level
        owners = evaluation.unit_of_row(level).tolist()
        for row, (owner, number) in enumerate(zip(owners, column, strict=True)):
            if isinstance(number.value, Fraction):
                rows.append((owner, ExactRow(line, name, row_name(known, level, row), number.value)))
    return rows
