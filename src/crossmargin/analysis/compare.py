"""One account under several rulebooks, side by side in one asset."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from crossmargin.account import Account, Book
from crossmargin.analysis.capital import required_capital
from crossmargin.analysis.drivers import Driver, drivers
from crossmargin.errors import Failure, InputError
from crossmargin.liquidation import ALL, LiquidationPrice, liquidation_prices
from crossmargin.margin.assess import assess_resolved
from crossmargin.margin.model import Rulebook
from crossmargin.margin.report import AccountState, MarginReport, PoolReport, RulebookId, Term
from crossmargin.margin.reporting import rulebook_id
from crossmargin.margin.resolve import resolve
from crossmargin.market import Snapshot

__all__ = ["ComparisonRow", "compare"]


class ComparisonRow(msgspec.Struct, frozen=True, kw_only=True):
    """One rulebook's verdict on the account; money in `reporting_asset`, the snapshot's. `failure` instead if refused.

    `required_capital` compares rulebooks; coverage ratios of different rulebooks do not compare. `largest_term` is
    the summand of the initial requirement that weighs most, `nearest_below` and `nearest_above` the liquidation
    prices least far from today's, of one underlying that moves alone. `drivers` are what positions and balances tie up,
    to tell differences by.
    """

    rulebook: RulebookId
    reporting_asset: str | None = None
    state: AccountState | None = None
    required_capital: float | None = None
    equity: float | None = None
    initial_margin: float | None = None
    maintenance_margin: float | None = None
    available_margin: float | None = None
    maintenance_headroom: float | None = None
    coverage_ratio: float | None = None
    worst_scenario: str | None = None
    largest_term: Term | None = None
    nearest_below: LiquidationPrice | None = None
    nearest_above: LiquidationPrice | None = None
    drivers: tuple[Driver, ...] = ()
    failure: Failure | None = None


def compare(
    account: Account,
    snapshot: Snapshot,
    rulebooks: Sequence[Rulebook],
    *,
    max_quote_age_seconds: float | None = 3600.0,
) -> tuple[ComparisonRow, ...]:
    """Return one row for each rulebook, least required capital first, refusals last with their reason."""
    rows = [_row(account, snapshot, rulebook, max_quote_age_seconds) for rulebook in rulebooks]
    return tuple(sorted(rows, key=lambda row: (row.required_capital is None, row.required_capital or 0.0)))


def _row(account: Account, snapshot: Snapshot, rulebook: Rulebook, age: float | None) -> ComparisonRow:
    try:
        resolved = resolve(Book.from_accounts([account]), snapshot, rulebook, max_quote_age_seconds=age)
        report = assess_resolved(resolved, rulebook).report(0)
        prices = liquidation_prices(resolved, rulebook, 0)
        capital = required_capital(account, snapshot, rulebook, max_quote_age_seconds=age)
        parts = drivers(resolved, rulebook)
    except InputError as error:
        return ComparisonRow(rulebook=rulebook_id(rulebook), failure=error.failure())
    rate = asset_rate(report.reporting_asset, snapshot)
    return ComparisonRow(
        rulebook=report.rulebook,
        reporting_asset=snapshot.reporting_asset,
        state=report.state,
        required_capital=capital * rate,
        equity=report.equity * rate,
        initial_margin=report.initial_margin * rate,
        maintenance_margin=report.maintenance_margin * rate,
        available_margin=report.available_margin * rate,
        maintenance_headroom=report.maintenance_headroom * rate,
        coverage_ratio=report.coverage_ratio,
        worst_scenario=report.worst_scenario,
        largest_term=_largest_term(report, snapshot),
        nearest_below=_nearest(prices, above=False),
        nearest_above=_nearest(prices, above=True),
        drivers=tuple(_in(part, rate) for part in parts),
    )


def _in(part: Driver, rate: float) -> Driver:
    return Driver(name=part.name, initial_margin=part.initial_margin * rate, not_credited=part.not_credited * rate)


def asset_rate(asset: str, snapshot: Snapshot) -> float:
    """Return the price of a reporting asset in the snapshot's; the report exists, so it has one."""
    return 1.0 if asset == snapshot.reporting_asset else snapshot.assets[asset].price


def _largest_term(report: MarginReport, snapshot: Snapshot) -> Term | None:
    """Return the largest summand of any pool's initial requirement; its pool is named where there are several."""

    def named(pool: PoolReport, term: Term) -> Term:
        where = f"{pool.pool}: " if len(report.pools) > 1 else ""
        rate = asset_rate(pool.reporting_asset, snapshot)
        return Term(expression=f"{where}{term.expression}", amount=term.amount * rate)

    terms = [named(pool, term) for pool in report.pools for term in pool.initial_terms]
    largest = max(terms, key=lambda term: term.amount, default=None)
    return largest if largest is not None and largest.amount > 0 else None


def _nearest(prices: Sequence[LiquidationPrice], *, above: bool) -> LiquidationPrice | None:
    """Return the row whose flip on one side is least far from its spot; rows of all together are left out."""

    def distance(row: LiquidationPrice) -> float:
        level = row.above if above else row.below
        return float("inf") if level is None else abs(level / row.spot - 1.0)

    alone = [row for row in prices if row.underlying != ALL]
    found = min(alone, key=distance, default=None)
    return found if found is not None and distance(found) < float("inf") else None
