"""What lint finds, and which of it a rulebook declares as known."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

import msgspec

from crossmargin.margin.locate import undotted

if TYPE_CHECKING:
    from collections.abc import Iterable

    from crossmargin.margin.model import KnownDefect, Rulebook

Severity: TypeAlias = Literal["error", "warning", "note"]
_QUOTED: Final = re.compile(r"`([^`]+)`")


class LintRule(StrEnum):
    """What must hold of every rulebook. Closed: tests walk every member."""

    CHARGE_NOT_NEGATIVE = "charge_not_negative"
    HAIRCUT_LOWERS_VALUE = "haircut_lowers_value"
    DEBT_COUNTS_IN_FULL = "debt_counts_in_full"
    CASH_RAISES_HEADROOM = "cash_raises_headroom"
    LONG_CLOSES_OUT_LOWER = "long_closes_out_lower"
    SHORT_CLOSES_OUT_HIGHER = "short_closes_out_higher"
    GROWS_WITH_QUANTITY = "grows_with_quantity"
    FLAT_REQUIRES_NOTHING = "flat_requires_nothing"
    INITIAL_COVERS_MAINTENANCE = "initial_covers_maintenance"
    RAMP_CONTINUOUS = "ramp_continuous"
    STEP_DECLARED = "step_declared"
    WEIGHT_WITHIN_ONE = "weight_within_one"
    PRICE_STAYS_POSITIVE = "price_stays_positive"
    RESULT_DEFINED = "result_defined"
    BRANCH_REACHED = "branch_reached"
    PARAMETER_MATTERS = "parameter_matters"
    PARAMETER_MONOTONE = "parameter_monotone"
    PARAMETER_ONE_WAY = "parameter_one_way"
    VALUATION_EXPLAINED = "valuation_explained"
    SOURCE_USED = "source_used"
    DEFECT_FOUND = "defect_found"
    VERIFIED = "verified"
    AMOUNT_RESTORES = "amount_restores"


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that a rulebook should not say.

    Parameters
    ----------
    rule
        What does not hold.
    path
        The entry, dotted (``charges.scan.close_out.expiry.gain``).
    message
        What is wrong, the figures that show it, and what to do.
    severity
        An error refuses the rulebook; a warning asks for a look; a note only tells.
    """

    rule: LintRule
    path: str
    message: str
    severity: Severity = "error"


def declared(findings: Iterable[Finding], rulebook: Rulebook) -> list[Finding]:
    """Return the findings with those that the rulebook declares turned into notes.

    The text of a known defect names in backticks what it covers: rules (`charge_not_negative`), entries with all below
    them (`charges.scan.close_out`), or both; then both must fit. One that names something where nothing is found is a
    warning: it was put right, or it is misspelt. One that names nothing covers nothing.
    """
    defects = [_Declared(defect) for defect in rulebook.known_defects]
    result = []
    for finding in findings:
        owner = next((one for one in defects if one.covers(finding)), None)
        if owner is None or finding.severity == "note":
            result.append(finding)
            continue
        owner.found = True
        message = f"declared in known_defects ({owner.source}): {finding.message}"
        result.append(Finding(rule=finding.rule, path=finding.path, message=message, severity="note"))
    for number, one in enumerate(defects):
        if not one.found and (one.rules or one.entries):
            message = "lint does not find this defect; correct what it names in backticks, or delete it"
            path = f"known_defects.{number}"
            result.append(Finding(rule=LintRule.DEFECT_FOUND, path=path, message=message, severity="warning"))
    return result


class _Declared:
    """A known defect with what it names."""

    def __init__(self, defect: KnownDefect) -> None:
        named = _QUOTED.findall(defect.what)
        self.source = defect.source
        self.rules = frozenset(word for word in named if word in set(LintRule))
        self.entries = tuple(undotted(word) for word in named if word not in self.rules)
        self.found = False

    def covers(self, finding: Finding) -> bool:
        """Return whether the defect names this finding."""
        path = undotted(finding.path)
        below = any(path[: len(entry)] == entry for entry in self.entries)
        by_rule = finding.rule in self.rules
        if self.rules and self.entries:
            return by_rule and below
        return by_rule or below
