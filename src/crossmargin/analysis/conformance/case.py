"""A published case in the project's own words: an account, a market, a rulebook, and the figures to be met."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from math import inf
from typing import TYPE_CHECKING, Any, TypeAlias

from crossmargin.account import Book
from crossmargin.margin import assess_book, assess_exact

if TYPE_CHECKING:
    from crossmargin.account import Account
    from crossmargin.analysis.conformance.fields import Fields
    from crossmargin.margin import BookReport, ExactReport, MarginReport, PoolReport, Rulebook
    from crossmargin.margin.kinds.scan import ScanDetail
    from crossmargin.margin.report import ScenarioTable
    from crossmargin.market import Snapshot

FULL_PRECISION = 1e-9
"""Relative tolerance of a figure that its file states in full precision without saying a tolerance."""

Rulebooks: TypeAlias = "Callable[[str], Rulebook]"
"""What gives a shipped rulebook by ``name@date``."""


Amount: TypeAlias = float | Fraction
"""A number of a case: where its file states an integer or a decimal to the unit, a fraction."""


Read: TypeAlias = "Callable[[Outcome], Amount]"
"""What reads a number from what the engine made of a case."""


class Outcome:
    """What `assess` made of one case; every expected figure is read from here."""

    def __init__(self, case: Case, book: BookReport) -> None:
        self.case = case
        self.book = book
        self.report: MarginReport = book.report(0)

    @cached_property
    def exact(self) -> ExactReport:
        """The same in fractions, for figures that a venue rounds; raises where a line has no exact result."""
        case = self.case
        return assess_exact(case.account, case.snapshot, case.rulebook, max_quote_age_seconds=None)

    @property
    def pool(self) -> PoolReport:
        """The first pool, for cases that have one."""
        return self.report.pools[0]

    @cached_property
    def tables(self) -> Mapping[tuple[str, str], ScenarioTable]:
        """Scenario tables by line and row."""
        return {(table.line, table.row): table for pool in self.report.pools for table in pool.scenario_tables}

    def scenario_pnl(self, line: str, row: str, scenario: int) -> float:
        """Return the P&L of one scenario, weighted and folded; 0 where no leg stands in the row."""
        table = self.tables.get((line, row))
        return table.scenarios[scenario].pnl if table else 0.0

    def detail(self, line: str) -> ScanDetail:
        """Return what a scan line kept: its cells, and the P&L of its rows."""
        found: ScanDetail = self.book.evaluation.detail(line, "initial")
        return found

    def on_level(self, line: str, level: str, key: str, requirement: str) -> float:
        """Return a line on one bucket or asset by name; 0 where it has no row."""
        resolved = self.book.resolved
        legs = resolved.levels[level].first_leg
        names = [resolved.names.buckets[b] for b in resolved.contracts.bucket[resolved.legs.contract[legs]].tolist()]
        column = self.book.evaluation.line(line, requirement)
        return sum(float(column[row]) for row, name in enumerate(names) if name == key)


@dataclass(frozen=True, slots=True)
class Figure:
    """One number that the case states.

    Parameters
    ----------
    tolerance
        Of the residual, relative to the larger of 1 and the expected number.
    read
        Where the computed number stands in what the case came to: an :class:`Outcome`, or what a run left.
    truncated
        Whether the file states the integer that is left when the fraction is cut off, toward zero.
    """

    name: str
    expected: Amount
    read: Callable[[Any], Amount]
    tolerance: float = FULL_PRECISION
    truncated: bool = False

    def residual(self, computed: Amount) -> Amount:
        """Return how far a number is from the stated one, relative to the larger of 1 and the stated one."""
        away = max(computed - self.expected, self.expected - computed)
        if self.truncated:
            away = self._outside(computed)
        return away / max(self.expected, -self.expected, 1)

    def _outside(self, computed: Amount) -> Amount:
        """Return how far a number lies outside those that are cut to the stated integer."""
        low = self.expected - (1 if self.expected <= 0 else 0)
        high = self.expected + (1 if self.expected >= 0 else 0)
        return max(low - computed, computed - high, 0) if computed == computed else inf  # noqa: PLR0124 - NaN


@dataclass(frozen=True, slots=True)
class Case:
    """One case, ready for `assess`; `changes` are the rulebook's entries that the case's parameters replaced."""

    name: str
    account: Account
    snapshot: Snapshot
    rulebook: Rulebook
    figures: tuple[Figure, ...]
    changes: Mapping[str, object] = field(default_factory=dict)

    def assess(self) -> Outcome:
        """Return what the engine makes of it; published cases have no clock, so no quote is stale."""
        book = assess_book(Book.from_accounts([self.account]), self.snapshot, self.rulebook, max_quote_age_seconds=None)
        return Outcome(self, book)


@dataclass(frozen=True, slots=True)
class Run:
    """One case of a procedure, ready to be run; `play` returns what its figures read."""

    name: str
    figures: tuple[Figure, ...]
    play: Callable[[], Any]

    def assess(self) -> Any:  # noqa: ANN401 - what the family's own figures read
        """Return what the procedure left."""
        return self.play()


Steps: TypeAlias = tuple[str | int, ...]
"""Keys and indices that lead to one number of a decoded document."""


@dataclass(frozen=True, slots=True)
class Family:
    """One format of published cases: a kind of them, in documents of one shape.

    Parameters
    ----------
    recognises
        Whether a document has the format, from its content.
    names
        The cases' names, in the document's order.
    pose
        The case of an index.
    parameters
        The venue's parameters of that case: where each stands in the document, by a name that cases share.
    takes
        Which of a document's `cases` are of this kind; None: all that `names` names.
    """

    family: str
    kind: str
    recognises: Callable[[Mapping[str, object]], bool]
    names: Callable[[Fields], list[str]]
    pose: Callable[[Fields, int, Rulebooks], Case]
    parameters: Callable[[Fields, int], Mapping[str, Steps]]
    takes: Callable[[Mapping[str, object]], bool] | None = None

    def indices(self, document: Fields) -> list[int]:
        """Return which of a document's cases are this family's."""
        if self.takes is None:
            return list(range(len(self.names(document))))
        cases = document.items("cases")
        return [index for index, case in enumerate(cases) if isinstance(case, Mapping) and self.takes(case)]


@dataclass(frozen=True, slots=True)
class ProcedureFamily:
    """One kind of published cases about liquidation, auctions or settlement.

    Parameters
    ----------
    takes
        Which of a document's `cases` are of this kind, from their content.
    pose
        The case of an index, ready to be run.
    """

    family: str
    kind: str
    takes: Callable[[Mapping[str, object]], bool]
    pose: Callable[[Fields, int, Rulebooks], Run]

    def recognises(self, document: Mapping[str, object]) -> bool:
        """Return whether a document holds such a case."""
        return any_case(document, self.takes)

    def names(self, document: Fields) -> list[str]:
        """Return the names of all cases of a document."""
        return case_names(document)

    def indices(self, document: Fields) -> list[int]:
        """Return which of a document's cases are of this kind."""
        cases = document.items("cases")
        return [index for index, case in enumerate(cases) if isinstance(case, Mapping) and self.takes(case)]


def of_kind(*kinds: str) -> Callable[[Mapping[str, object]], bool]:
    """Return what takes the cases that state one of these kinds."""
    return lambda case: case.get("kind") in kinds


def holds_kind(*kinds: str, keys: tuple[str, ...] = ()) -> Callable[[Mapping[str, object]], bool]:
    """Return what recognises a document with a case of one of these kinds whose `input` (or itself) has the keys."""

    def fits(case: Mapping[str, object]) -> bool:
        return case.get("kind") in kinds and (has_keys(case.get("input"), *keys) or has_keys(case, *keys))

    return lambda document: any_case(document, fits)


def case_names(document: Fields) -> list[str]:
    """Return the ids of a document's cases; a case without one is called by its index."""
    return [_name(case, index) for index, case in enumerate(document.items("cases"))]


def _name(case: object, index: int) -> str:
    named = case.get("id") if isinstance(case, Mapping) else None
    return named if isinstance(named, str) else f"cases[{index}]"


def any_case(document: Mapping[str, object], holds: Callable[[Mapping[str, object]], bool]) -> bool:
    """Return whether one of a document's cases holds something; what is no case does not."""
    cases = document.get("cases")
    listed: Iterable[object] = cases if isinstance(cases, list) else ()
    return any(isinstance(case, Mapping) and holds(case) for case in listed)


def has_keys(value: object, *keys: str) -> bool:
    """Return whether a decoded value is an object with all of these keys."""
    return isinstance(value, Mapping) and all(key in value for key in keys)
