"""Whether a procedure's amounts restore an account, and how much more they move than would: tried beside `restore`."""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal
from typing import TYPE_CHECKING, Final

import msgspec
import numpy as np

from crossmargin.account import Book
from crossmargin.analysis.lint.accounts import make_cases
from crossmargin.analysis.lint.finding import Finding, LintRule
from crossmargin.analysis.lint.market import CALM, cash_asset, make_snapshot
from crossmargin.errors import InputError
from crossmargin.liquidation.assessed import Engine
from crossmargin.liquidation.compare import Compared, compared
from crossmargin.liquidation.postings import Venue
from crossmargin.margin import assess_book
from crossmargin.units import exact

if TYPE_CHECKING:
    from collections.abc import Iterator

    from crossmargin.account import Account
    from crossmargin.margin import BookReport
    from crossmargin.margin.model import Rulebook
    from crossmargin.market import Snapshot

__all__ = ["procedure_findings", "short_accounts"]

_SHORT_BY: Final = 0.05  # of maintenance
_MOST: Final = 12  # accounts that are tried: each costs some hundred assessments
_SAME: Final = 1e-6
_PROBE: Final = Decimal(1000)  # of cash, to see what it counts


def procedure_findings(rulebook: Rulebook) -> Iterator[Finding]:
    """Yield how each amount compares with `restore`, over generated accounts that are 5 % short of maintenance."""
    if not any(step.amount is not None for step in rulebook.procedure.liquidation.steps):
        return
    snapshot = make_snapshot(rulebook, CALM)
    found: dict[str, list[Compared]] = defaultdict(list)
    for account in short_accounts(rulebook, snapshot):
        engine = Engine(account, lambda _elapsed: snapshot, rulebook)
        try:
            rows = compared(rulebook.procedure, engine.opening(), engine, Venue(account.id))
        except (InputError, ArithmeticError):  # a step that needs what only the venue states
            continue
        for row in rows:
            found[row.step].append(row)
    for number, step in enumerate(rulebook.procedure.liquidation.steps):
        if step.name in found:
            path = f"liquidation.steps.{number}.amount"
            yield Finding(rule=LintRule.AMOUNT_RESTORES, path=path, message=_told(found[step.name]), severity="note")


def _told(rows: list[Compared]) -> str:
    """Say how often a step's first amount is what restores, less, or more."""
    able = [row for row in rows if row.restore is not None]
    ratios = [float(row.amount / row.restore) for row in able if row.restore]
    less = sum(ratio < 1 - _SAME for ratio in ratios)
    more = sum(ratio > 1 + _SAME for ratio in ratios)
    told = f"tried on {len(rows)} legs; closing all of one would restore {len(able)} of them"
    if not ratios:
        return told
    typical = f"the first amount is {np.median(ratios):.3g} times the least that restores (median)"
    return f"{told}: {typical}, less on {less}, more on {more}"


def short_accounts(rulebook: Rulebook, snapshot: Snapshot) -> Iterator[Account]:
    """Yield generated accounts with positions, their cash set so that they are 5 % short of maintenance."""
    held = [case.account for case in make_cases(rulebook, snapshot, quick=True) if case.account.positions]
    every = max(len(held) // _MOST, 1)
    chosen = [_cleared(account) for account in held[::every]][:_MOST]
    funds = cash_asset(rulebook)
    richer = [_with(account, funds, _PROBE) for account in chosen]
    report = assess_book(Book.from_accounts([*chosen, *richer]), snapshot, rulebook, max_quote_age_seconds=None)
    for number, account in enumerate(chosen):
        here, there = (_unit(report, place) for place in (number, number + len(chosen)))
        if here is None or there is None or report.unit_maintenance[here] <= 0:
            continue
        headroom = report.unit_adjusted_maintenance - (1 - _SHORT_BY) * report.unit_maintenance
        weight = float(headroom[there] - headroom[here]) / float(_PROBE)
        if weight > 0:
            yield _with(account, funds, exact(-float(headroom[here]) / weight))


def _unit(report: BookReport, account: int) -> int | None:
    """Return the one pool of an account; None where it has several, or was refused."""
    units = np.flatnonzero(report.resolved.units.account == account)
    return int(units[0]) if units.size == 1 and account not in report.failures else None


def _with(account: Account, asset: str, more: Decimal) -> Account:
    """Return the account with more of an asset."""
    balance = account.balances.get(asset, Decimal(0)) + more
    return msgspec.structs.replace(account, id=f"{account.id}.", balances={**account.balances, asset: balance})


def _cleared(account: Account) -> Account:
    """Return the account without what would be done first: its orders."""
    return msgspec.structs.replace(account, orders=())
