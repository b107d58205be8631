"""One rulebook, one generated market, all generated accounts: assessed once, read by every check."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from crossmargin.account import Book
from crossmargin.analysis.lint.accounts import Case, make_cases
from crossmargin.analysis.lint.market import Mood, make_snapshot
from crossmargin.margin import BookReport, assess_book

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from crossmargin.margin.model import Rulebook

    Floats = npt.NDArray[np.float64]
    Flags = npt.NDArray[np.bool_]
    Ints = npt.NDArray[np.int64]

_ROUNDING: Final = 1e-9  # of all that an account adds up


@dataclass(frozen=True, slots=True)
class Trial:
    """A rulebook after its generated accounts were assessed. Arrays are [accounts] unless they say otherwise."""

    rulebook: Rulebook
    cases: tuple[Case, ...]
    report: BookReport
    tolerance: Floats
    refused: Flags

    @property
    def unit(self) -> str:
        """The asset that figures are in, for messages."""
        return "units of the pool's asset" if self.rulebook.reporting == "settlement" else self.rulebook.reporting

    def name(self, account: int) -> str:
        """Return how messages call an account."""
        return f"the account {self.cases[account].account.id!r}"

    def of_role(self, *roles: str) -> Flags:
        """Return which accounts play one of these roles and could be assessed."""
        return np.asarray([case.role in roles for case in self.cases], dtype=bool) & ~self.refused

    def account_of_row(self, level: str) -> Ints:
        """Return the account of each row of a level."""
        units = self.report.evaluation.unit_of_row(level)
        return self.report.resolved.units.account[units]

    def required(self, requirement: str) -> Floats:
        """Return one requirement of every account."""
        return self.report.account_sum(np.asarray(self.report.evaluation.requirement(requirement)))

    def adjusted(self, requirement: str) -> Floats:
        """Return the adjusted equity of every account toward one requirement."""
        return self.report.account_sum(np.asarray(self.report.evaluation.adjusted(requirement)))


def try_rulebook(rulebook: Rulebook, mood: Mood, *, quick: bool = False) -> Trial:
    """Return the trial of a rulebook in one market."""
    snapshot = make_snapshot(rulebook, mood)
    cases = make_cases(rulebook, snapshot, quick=quick)
    report = assess_book(Book.from_accounts([case.account for case in cases]), snapshot, rulebook)
    refused = np.zeros(len(cases), dtype=bool)
    refused[list(report.failures)] = True
    return Trial(rulebook, tuple(cases), report, _ROUNDING * (1.0 + _gross(report)), refused)


def _gross(report: BookReport) -> Floats:
    """Return what rounding is measured against: the sum of all that an account holds."""
    measures, legs, units = report.evaluation.measures, report.resolved.legs, report.resolved.units
    held = np.abs(np.asarray(measures["notional"])) + np.abs(np.asarray(measures["mark_value"]))
    held = np.nan_to_num(held) * units.numeraire[legs.unit]
    total = np.bincount(units.account[legs.unit], weights=held, minlength=len(report))
    return np.asarray(total, dtype=np.float64)


def worst(accounts: Flags, shortfall: Floats, tolerance: Floats | float) -> int | None:
    """Return the place of the greatest shortfall among those that count, None where all stay within rounding."""
    wrong = np.flatnonzero(accounts & (shortfall > tolerance))
    return int(wrong[np.argmax(shortfall[wrong])]) if wrong.size else None


def money(value: float) -> str:
    """Return an amount for a message."""
    return f"{value:,.10g}"


def sequence_of(cases: Sequence[Case]) -> dict[str, list[int]]:
    """Return the places of each ladder's rungs, by its name, in rising quantity."""
    ladders: dict[str, list[int]] = {}
    for place, case in enumerate(cases):
        if case.role == "outright":
            ladders.setdefault(case.group, []).append(place)
    return ladders


__all__ = ["Trial", "money", "sequence_of", "try_rulebook", "worst"]
