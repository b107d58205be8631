"""Whether a procedure's amounts restore an account, and how much more they move than would: tried beside `restore`."""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal
from itertools import chain, permutations
from typing import TYPE_CHECKING, Final

import msgspec
import numpy as np

from crossmargin.account import Account, Book
from crossmargin.analysis.lint.accounts import make_cases
from crossmargin.analysis.lint.finding import Finding, LintRule
from crossmargin.analysis.lint.market import CALM, asset_price, cash_asset, make_snapshot, named_keys
from crossmargin.errors import InputError
from crossmargin.liquidation.assessed import Engine
from crossmargin.liquidation.compare import SHARED, Compared, compared
from crossmargin.liquidation.postings import Venue
from crossmargin.margin import assess_book
from crossmargin.units import exact

if TYPE_CHECKING:
    from collections.abc import Iterator

    from crossmargin.margin import BookReport
    from crossmargin.margin.model import Rulebook
    from crossmargin.margin.procedure import Step
    from crossmargin.market import Snapshot

__all__ = ["procedure_findings", "short_accounts"]

_SHORT_BY: Final = 0.05  # of maintenance
_MOST: Final = 12  # accounts that are tried: each costs some hundred assessments
_SAME: Final = 1e-6
_LENT: Final = ("BTC", "ETH", "USDC", "USDT")
_NAMED: Final = 4  # assets that the rulebook's own tables name
_OWED: Final = 1e5  # dollars
_PROBE: Final = Decimal(1000)  # of cash, to see what it counts


def procedure_findings(rulebook: Rulebook) -> Iterator[Finding]:
    """Yield how each amount compares with `restore`, over generated accounts that are 5 % short of maintenance.

    Where there is nothing to compare, why.
    """
    steps = rulebook.procedure.liquidation.steps
    if not any(step.amount is not None for step in steps):
        return
    found, why = _tried(rulebook)
    for number, step in enumerate(steps):
        if step.amount is None:
            continue
        told = _told(found[step.name]) if step.name in found else _nothing_to_compare(step, why)
        path = f"liquidation.steps.{number}.amount"
        yield Finding(rule=LintRule.AMOUNT_RESTORES, path=path, message=told, severity="note")


def _tried(rulebook: Rulebook) -> tuple[dict[str, list[Compared]], str]:
    """Return what was compared, by step; and why an account could not be tried, of the last such."""
    snapshot = make_snapshot(rulebook, CALM)
    found: dict[str, list[Compared]] = defaultdict(list)
    why = ""
    for account in chain(*(make(rulebook, snapshot) for make in (short_accounts, _short_hedged, _short_borrowers))):
        engine = Engine(account, lambda _elapsed: snapshot, rulebook)
        try:
            # what a bidder pays must be money that counts: another asset would restore nothing
            rows = compared(rulebook.procedure, engine.opening(), engine, Venue(account.id, cash_asset(rulebook)))
        except (InputError, ArithmeticError) as error:  # a step that needs what only the venue states
            why = str(error)
            continue
        for row in rows:
            found[row.step].append(row)
    return found, why


def _nothing_to_compare(step: Step, why: str) -> str:
    """Say why a step's amount stands beside nothing."""
    if step.holder is not None:
        return f"nothing to compare: it disposes of what {step.holder} has taken over, which restores no account"
    if step.do not in SHARED:
        return f"nothing to compare: `{step.do}` is none of the steps that restore by how much they close"
    if why:
        return f"nothing to compare: of no generated account that is short could it be asked, the last as {why}"
    return "nothing to compare: no generated account that is short by 5 % of maintenance comes to this step"


def _told(rows: list[Compared]) -> str:
    """Say how often a step's first amount is what restores, less, or more."""
    able = [row for row in rows if row.restore is not None]
    ratios = [float(row.amount / row.restore) for row in able if row.restore]
    less = sum(ratio < 1 - _SAME for ratio in ratios)
    more = sum(ratio > 1 + _SAME for ratio in ratios)
    told = f"tried on {len(rows)} legs; closing all of one would restore {len(able)} of them"
    if not ratios:
        return f"{told}: nothing to compare"
    typical = f"the first amount is {np.median(ratios):.3g} times the least that restores (median)"
    return f"{told}: {typical}, {min(ratios):.3g} to {max(ratios):.3g}, less on {less}, more on {more}"


def short_accounts(rulebook: Rulebook, snapshot: Snapshot) -> Iterator[Account]:
    """Yield generated accounts with positions, their cash set so that they are 5 % short of maintenance."""
    held = [case.account for case in make_cases(rulebook, snapshot, quick=True) if case.account.positions]
    every = max(len(held) // _MOST, 1)
    yield from _short(held[::every][:_MOST], cash_asset(rulebook), rulebook, snapshot)


def _short_hedged(rulebook: Rulebook, snapshot: Snapshot) -> Iterator[Account]:
    """Yield accounts with both sides of one underlying, as short, where the procedure closes pairs."""
    if not any(step.pairs for step in rulebook.procedure.liquidation.steps):
        return
    cases = make_cases(rulebook, snapshot, quick=True)
    hedged = [case.account for case in cases if _has_pair(case.account, snapshot)]
    yield from _short(hedged[:_MOST], cash_asset(rulebook), rulebook, snapshot)


def _has_pair(account: Account, snapshot: Snapshot) -> bool:
    sides = {(snapshot.listings[one.instrument].underlying, one.quantity > 0) for one in account.positions}
    return len(sides) > len({underlying for underlying, _ in sides})


def _short_borrowers(rulebook: Rulebook, snapshot: Snapshot) -> Iterator[Account]:
    """Yield accounts that owe one asset against another, as short, where the procedure exchanges the two."""
    if all(step.do != "exchange" for step in rulebook.procedure.liquidation.steps):
        return
    listed = [*_LENT, *sorted(named_keys(rulebook)["asset"])[:_NAMED]]  # some count what they name alone
    known = [asset for asset in dict.fromkeys(listed) if asset in snapshot.assets]
    for collateral, debt in permutations(known, 2):
        owed = {debt: exact(-_OWED / asset_price(debt)), collateral: exact(_OWED / asset_price(collateral))}
        borrower = Account(id=f"{debt} owed against {collateral}", balances=owed)
        yield from _short([borrower], collateral, rulebook, snapshot)


def _short(held: list[Account], funds: str, rulebook: Rulebook, snapshot: Snapshot) -> Iterator[Account]:
    """Yield accounts with as much of an asset that they are 5 % short of maintenance, where that can be."""
    chosen = [_cleared(account) for account in held]
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
