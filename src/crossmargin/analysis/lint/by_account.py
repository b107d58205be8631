"""What must hold of whole accounts: flat ones, debts, deposits, ladders of outrights, the two requirements."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from crossmargin.analysis.lint.finding import Finding, LintRule
from crossmargin.analysis.lint.trial import Trial, money, sequence_of, worst
from crossmargin.errors import FailureReason
from crossmargin.margin.model import INITIAL, MAINTENANCE

if TYPE_CHECKING:
    from collections.abc import Iterator

_UNDEFINED = frozenset({FailureReason.UNDEFINED_RESULT, FailureReason.INCONSISTENT_ROW})


def account_findings(trial: Trial) -> Iterator[Finding]:
    """Yield what does not hold of the generated accounts."""
    yield from _undefined(trial)
    yield from _flat(trial)
    yield from _balances(trial)
    yield from _deposits(trial)
    yield from _ladders(trial)
    yield from _requirements(trial)


def _undefined(trial: Trial) -> Iterator[Finding]:
    """Accounts that the rulebook itself cannot work out; a key without an entry is a refusal that it may mean."""
    seen: set[str] = set()
    for account, failure in trial.report.failures.items():
        if failure.reason in _UNDEFINED and failure.message not in seen:
            seen.add(failure.message)
            message = f"{trial.name(account)} cannot be assessed: {failure.message}; guard the divisor or the level"
            yield Finding(rule=LintRule.RESULT_DEFINED, path="requirement", message=message)


def _flat(trial: Trial) -> Iterator[Finding]:
    flat = trial.of_role("flat")
    for name in trial.rulebook.requirements:
        required = np.abs(trial.required(name))
        account = worst(flat, required, trial.tolerance)
        if account is not None:
            told = f"{trial.name(account)} has no position, order or debt and requires {money(required[account])}"
            message = f"{told} {trial.unit}; let the charge read positions, orders and debts only"
            yield Finding(rule=LintRule.FLAT_REQUIRES_NOTHING, path=f"requirement.{name}", message=message)


def _balances(trial: Trial) -> Iterator[Finding]:
    """Of balances alone nothing may count for more than it is worth, a debt for no less than is owed."""
    equity = trial.report.account_sum(trial.report.unit_equity)
    cases = (
        ("flat", LintRule.HAIRCUT_LOWERS_VALUE, "a balance counts for more than its value; keep haircuts in [0, 1]"),
        ("debt", LintRule.DEBT_COUNTS_IN_FULL, "a debt counts for less than is owed; count it in full at least"),
    )
    for role, rule, told in cases:
        for name in (MAINTENANCE, INITIAL):
            # what is owed may stand in the requirement instead of the equity
            adjusted = trial.adjusted(name) - (trial.required(name) if role == "debt" else 0.0)
            account = worst(trial.of_role(role), adjusted - equity, trial.tolerance)
            if account is not None:
                figures = f"adjusted equity {money(adjusted[account])}, equity {money(equity[account])} {trial.unit}"
                message = f"{trial.name(account)}, {name}: {figures}: {told}"
                yield Finding(rule=rule, path="equity.adjusted", message=message)
                break


def _deposits(trial: Trial) -> Iterator[Finding]:
    for name in (MAINTENANCE, INITIAL):
        headroom = trial.adjusted(name) - trial.required(name)
        before = np.asarray([case.before for case in trial.cases])
        fall = np.where(before >= 0, headroom[before] - headroom, 0.0)
        account = worst(trial.of_role("deposit"), fall, trial.tolerance)
        if account is not None:
            figures = f"from {money(headroom[before[account]])} to {money(headroom[account])} {trial.unit}"
            message = f"more cash takes the {name} headroom {figures} in {trial.name(account)}; cash must never cost"
            yield Finding(rule=LintRule.CASH_RAISES_HEADROOM, path=f"requirement.{name}", message=message)


def _ladders(trial: Trial) -> Iterator[Finding]:
    """The maintenance requirement of one outright never falls as its quantity grows; one finding is enough."""
    required = trial.required(MAINTENANCE)
    rungs = [pair for ladder in sequence_of(trial.cases).values() for pair in pairwise(ladder)]
    if not rungs:
        return
    lower, upper = np.asarray(rungs, dtype=np.int64).T
    fall = np.zeros(len(trial.cases))
    fall[upper] = required[lower] - required[upper]
    account = worst(~trial.refused, fall, trial.tolerance)
    if account is None:
        return
    smaller = int(lower[np.flatnonzero(upper == account)[0]])
    figures = f"{money(required[account])} {trial.unit}, {trial.name(smaller)} {money(required[smaller])}"
    message = f"{trial.name(account)} requires {figures}: more of one position must never require less; check the tiers"
    yield Finding(rule=LintRule.GROWS_WITH_QUANTITY, path=f"requirement.{MAINTENANCE}", message=message)


def _requirements(trial: Trial) -> Iterator[Finding]:
    """Whoever may take on risk is not liquidated at once: initial headroom is at most maintenance headroom."""
    initial, maintenance = (trial.adjusted(name) - trial.required(name) for name in (INITIAL, MAINTENANCE))
    account = worst(~trial.refused, initial - maintenance, trial.tolerance)
    if account is not None:
        figures = f"{money(initial[account])} against {money(maintenance[account])} {trial.unit}"
        message = f"{trial.name(account)} has more initial than maintenance headroom: {figures}; raise the initial"
        yield Finding(rule=LintRule.INITIAL_COVERS_MAINTENANCE, path=f"requirement.{INITIAL}", message=message)
