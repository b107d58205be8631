"""What-if: the same account after trades, orders, deposits and a shock of the market, before and after side by side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import msgspec
import numpy as np

from crossmargin.account import Account, Book
from crossmargin.account.book import check_account
from crossmargin.analysis.trades import Changes, Leg, Shock, changed_account, trade_all
from crossmargin.errors import FailureReason, InputError
from crossmargin.margin.assess import BookReport, assess_resolved
from crossmargin.margin.model import Rulebook
from crossmargin.margin.report import MarginReport
from crossmargin.margin.resolve import resolve
from crossmargin.margin.resolved import Resolved
from crossmargin.margin.states import Moves, moved
from crossmargin.market import Snapshot, asset_root
from crossmargin.units import DAYS_PER_YEAR

__all__ = ["Changes", "MarginalLeg", "Shock", "WhatIf", "what_if"]


class MarginalLeg(msgspec.Struct, frozen=True, kw_only=True):
    """What one added trade alone changes, of the account as it is: signed, the report's reporting asset."""

    instrument: str
    quantity: Decimal
    initial_margin: float
    maintenance_margin: float
    available_margin: float


class WhatIf(msgspec.Struct, frozen=True, kw_only=True):
    """One account before and after. Changes are after - before, signed, in the report's reporting asset.

    `fees` are what the added trades cost, by asset, >= 0. `lines` holds for each line its change under maintenance.
    `marginal` says what each added trade alone would change; together they need not add up: trades offset.
    """

    before: MarginReport
    after: MarginReport
    fees: Mapping[str, Decimal]
    equity: float
    initial_margin: float
    maintenance_margin: float
    available_margin: float
    maintenance_headroom: float
    coverage_ratio: float | None
    lines: Mapping[str, float]
    marginal: tuple[MarginalLeg, ...]


def what_if(
    account: Account,
    snapshot: Snapshot,
    rulebook: Rulebook,
    changes: Changes,
    *,
    max_quote_age_seconds: float | None = 3600.0,
    withdrawable: bool = False,
) -> WhatIf:
    """Return one account before and after trades, orders, deposits and a shock, in that order.

    After the changes the figures are those of an account that really holds these positions and balances. Which position
    a trade lands on: see :func:`~crossmargin.analysis.trades.changed_account`. An isolated position that opens without
    collateral is named in `after.warnings`.

    Parameters
    ----------
    max_quote_age_seconds
        Quotes observed longer before `snapshot.as_of` are refused; None accepts any age.
    withdrawable
        Whether the reports say what could be withdrawn.

    Raises
    ------
    InputError
        The reason why the account, before or after, cannot be assessed.
    """
    check_account(account)
    _check_names(changes.shock, snapshot)
    after, fees, unbacked = trade_all(account, snapshot, changes)
    single = (Changes(add=(leg,), fee_rate=changes.fee_rate) for leg in changes.add)
    candidates = [changed_account(account, snapshot, one)[0] for one in single]
    names = [msgspec.structs.replace(one, id=f"{i}") for i, one in enumerate((account, after, *candidates))]
    resolved = resolve(Book.from_accounts(names), snapshot, rulebook, max_quote_age_seconds=max_quote_age_seconds)
    resolved = _renamed(resolved, account.id)
    book = assess_resolved(resolved, rulebook)
    old = book.report(0, withdrawable=withdrawable)
    new = _shocked(book, snapshot, changes.shock).report(1, withdrawable=withdrawable)
    new = msgspec.structs.replace(new, warnings=(*new.warnings, *map(_unbacked, unbacked)))
    return _compared(old, new, fees, _marginal(book, changes.add))


def _unbacked(instrument: str) -> str:
    return f"{instrument} opens as an isolated position, and a trade moves no collateral to it: give it some of its own"


def _check_names(shock: Shock, snapshot: Snapshot) -> None:
    """Refuse a shock of a name that moves nothing: the figures would stand there unshocked, without a word."""
    assets = {snapshot.reporting_asset, *snapshot.assets}
    roots = {asset_root(listing.underlying, snapshot.assets) for listing in snapshot.listings.values()}
    vols = shock.vol if isinstance(shock.vol, Mapping) else {}
    for field, names, known in (
        ("prices", shock.prices, assets | roots),
        ("peg", shock.peg, assets),
        ("vol", vols, roots),
    ):
        for name in names:
            if field != "peg" and (root := asset_root(name, snapshot.assets)) != name:
                message = f"shock.{field} moves {name}, which moves with {root}: shock {root}, or {name} in shock.peg"
                raise InputError(FailureReason.UNKNOWN_ASSET, message)
            if name not in known:
                message = f"shock.{field} moves {name!r}, which the snapshot does not know: correct the name"
                raise InputError(FailureReason.UNKNOWN_ASSET, message)


def _renamed(resolved: Resolved, name: str) -> Resolved:
    """Return the book with every account under its own name again, refusals too."""
    failures = {i: replace(failure, account=name) for i, failure in resolved.failures.items()}
    return replace(resolved, account_ids=(name,) * len(resolved.account_ids), failures=failures)


def _shocked(book: BookReport, snapshot: Snapshot, shock: Shock) -> BookReport:
    """Return the book in the shocked market."""
    if shock == Shock():
        return book
    moves = shock_moves(shock)
    shocked = moved(book.resolved, moves, discount=book.rulebook.discount)
    try:
        later = replace(shocked, as_of=snapshot.as_of + timedelta(days=shock.time_days))
    except OverflowError:
        message = f"time_days leads beyond the last date that there is, found {shock.time_days}"
        raise InputError(FailureReason.INVALID_QUANTITY, message) from None
    return assess_resolved(later, book.rulebook)


def shock_moves(shock: Shock) -> Moves:
    """Return a shock as factors on the market; refuses one that would make a price or a vol negative."""
    by_name = isinstance(shock.vol, Mapping)
    vols = {name: _factor(name, move) for name, move in shock.vol.items()} if isinstance(shock.vol, Mapping) else {}
    vol = 1.0 if isinstance(shock.vol, Mapping) else _factor("vol", shock.vol)
    if not (np.isfinite(shock.time_days) and shock.time_days >= 0):
        message = f"a time shock moves forward: time_days must be at least 0, found {shock.time_days}"
        raise InputError(FailureReason.INVALID_QUANTITY, message)
    for name, value in (("rate", shock.rate), ("funding", shock.funding)):
        if not np.isfinite(value):
            message = f"a shock of {name} must be a number, found {value}"
            raise InputError(FailureReason.INVALID_QUANTITY, message)
    return Moves(
        prices={name: _factor(name, move) for name, move in shock.prices.items()},
        pegs={name: _factor(name, move) for name, move in shock.peg.items()},
        vols=vols if by_name else {},
        vol=vol,
        years=shock.time_days / DAYS_PER_YEAR,
        rate=shock.rate,
        funding=shock.funding,
    )


def _factor(name: str, move: float) -> float:
    if not (np.isfinite(move) and move > -1.0):
        message = f"a relative shock of {name} must be a number above -1 (-100 %), found {move}"
        raise InputError(FailureReason.INVALID_PRICE, message)
    return 1.0 + move


def _marginal(book: BookReport, legs: tuple[Leg, ...]) -> tuple[MarginalLeg, ...]:
    """Return what each leg alone changes; a leg that cannot be held alone has no row."""
    initial, maintenance = book.account_sum(book.unit_initial), book.account_sum(book.unit_maintenance)
    available = book.account_sum(book.unit_adjusted_initial) - initial
    return tuple(
        MarginalLeg(
            instrument=leg[0],
            quantity=leg[1],
            initial_margin=float(initial[i] - initial[0]),
            maintenance_margin=float(maintenance[i] - maintenance[0]),
            available_margin=float(available[i] - available[0]),
        )
        for i, leg in enumerate(legs, start=2)
        if i not in book.failures
    )


def _compared(
    before: MarginReport, after: MarginReport, fees: Mapping[str, Decimal], marginal: tuple[MarginalLeg, ...]
) -> WhatIf:
    names = ("equity", "initial_margin", "maintenance_margin", "available_margin", "maintenance_headroom")
    ratios = (before.coverage_ratio, after.coverage_ratio)
    lines = {name: _line(after, name) - _line(before, name) for name in dict.fromkeys((*before.lines, *after.lines))}
    return WhatIf(
        before=before,
        after=after,
        fees=fees,
        coverage_ratio=ratios[1] - ratios[0] if all(np.isfinite(ratios)) else None,
        lines=lines,
        marginal=marginal,
        **{name: getattr(after, name) - getattr(before, name) for name in names},
    )


def _line(report: MarginReport, name: str) -> float:
    return report.lines[name].maintenance if name in report.lines else 0.0
