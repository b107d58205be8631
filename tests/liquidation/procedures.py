"""A small venue for tests: a perpetual and cash, a rulebook with a procedure of one's own, an explicit pool."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING

from crossmargin.account import Account, Position
from crossmargin.instruments import InstrumentKind
from crossmargin.liquidation.assessed import Engine
from crossmargin.liquidation.holdings import Holdings
from crossmargin.margin import parse_rulebook
from crossmargin.market import AssetQuote, Listing, Snapshot

if TYPE_CHECKING:
    from collections.abc import Mapping

    from crossmargin.margin import Rulebook

PLAIN = """\
rulebook = { name = "plain", effective_from = 2026-01-01, reporting = "USD", scope = ["perpetual", "option", "asset"] }
[sources]
S1 = { title = "made for a test", status = "exact" }
[charges.positions]
source = "S1"
of = "perpetual"
is = "rate * notional"
rate = { maintenance = 0.05, initial = 0.10 }
[charges.debts]
of = "debt"
is = "short * price"
[values.holdings]
of = ["long asset", "perpetual"]
is = "value"
[equity]
adjusted = "holdings"
[requirement]
maintenance = "positions + debts"
initial = "positions + debts"
"""

CLOSE = """
[liquidation]
trigger = "adjusted_equity < maintenance"
until = "maintenance_headroom >= 0"
cadence = 5
source = "S1"
[[liquidation.steps]]
name = "cancel"
do = "cancel"
[[liquidation.steps]]
name = "close"
do = "close"
rank = "relief"
"""


def rules(procedure: str = CLOSE) -> Rulebook:
    """The plain rulebook with a procedure."""
    return parse_rulebook(PLAIN + procedure, "plain.toml")


def market(prices: Mapping[str, float] | None = None) -> Snapshot:
    """Perpetuals by underlying at their prices, settled in dollars."""
    listed = {"BTC": 100.0, "ETH": 10.0, **(prices or {})}
    listings = {
        f"{name}-PERP": Listing(
            symbol=f"{name}-PERP",
            kind=InstrumentKind.PERPETUAL,
            underlying=name,
            quote_asset="USD",
            settlement_asset="USD",
            mark_price=price,
            index_price=price,
        )
        for name, price in listed.items()
    }
    assets = {name: AssetQuote(price=price) for name, price in listed.items()}
    as_of = datetime(2026, 1, 1, tzinfo=UTC)
    return Snapshot(as_of=as_of, reporting_asset="USD", assets=assets, listings=listings)


def account(dollars: str, **positions: tuple[str, str]) -> Account:
    """An account with dollars and positions: quantity and entry price by underlying."""
    held = tuple(
        Position(instrument=f"{name}-PERP", quantity=Decimal(quantity), entry_price=Decimal(entry))
        for name, (quantity, entry) in positions.items()
    )
    return Account(id="trader", balances={"USD": Decimal(dollars)}, positions=held)


def engine(rulebook: Rulebook, held: Account, prices: Mapping[str, float] | None = None, lot: str = "0.1") -> Engine:
    """What assesses an account at some prices."""
    snapshot = market(prices)
    lots = dict.fromkeys(snapshot.listings, Fraction(lot))
    return Engine(held, lambda _elapsed: snapshot, rulebook, lots=lots)


def conserved(holdings: Holdings) -> bool:
    """Whether every asset sums to 0 over all owners."""
    return all(holdings.total(asset) == 0 for asset in {entry.asset for entry in holdings.balances})
