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
    from crossmargin.margin.model import Rulebook
    from crossmargin.market import Snapshot

__all__ = ["procedure_findings", "short_accounts"]

_SHORT_BY: Final = 0.05  # of maintenance
_MOST: Final = 12  # accounts that are tried: each costs some hundred assessments
_SAME: Final = 1e-6


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
    report = assess_book(Book.from_accounts(chosen), snapshot, rulebook, max_quote_age_seconds=None)
    funds = cash_asset(rulebook)
    for number, account in enumerate(chosen):
        units = np.flatnonzero(report.resolved.units.account == number)
        if number in report.failures or units.size != 1 or report.unit_maintenance[units[0]] <= 0:
            continue
        unit = int(units[0])
        wanted = (1 - _SHORT_BY) * float(report.unit_maintenance[unit])
        lacking = (wanted - float(report.unit_adjusted_maintenance[unit])) * float(
            report.resolved.units.numeraire[unit]
        )
        price = snapshot.assets[funds].price if funds in snapshot.assets else 1.0
        balance = account.balances.get(funds, Decimal(0)) + exact(lacking / price)
        yield msgspec.structs.replace(account, balances={**account.balances, funds: balance})


def _cleared(account: Account) -> Account:
    """Return the account without what would be done first: its orders."""
    return msgspec.structs.replace(account, orders=())
