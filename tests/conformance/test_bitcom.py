"""What bit.com's help centre works out: a short put, and collateral after its haircuts."""

from __future__ import annotations

from decimal import Decimal

import pytest

from crossmargin.account import Account, Position
from crossmargin.instruments import InstrumentKind, OptionType
from crossmargin.margin import MarginReport, assess
from crossmargin.market import AssetQuote, Listing, Snapshot
from tests.conformance.made import LOADED
from tests.strategies.books import AS_OF

PUT = Listing(
    symbol="ETH-USDT-17NOV23-1850-P",
    kind=InstrumentKind.OPTION,
    underlying="ETH",
    quote_asset="USDT",
    settlement_asset="USDT",
    expiry=AS_OF.replace(year=2027),
    strike=1_850.0,
    option_type=OptionType.PUT,
    mark_price=2.4,
    index_price=2_098.0,
    forward_price=2_098.0,
    mark_iv=0.6,
)


def assessed(account: Account, **prices: float) -> MarginReport:
    assets = {"USD": AssetQuote(price=1.0), **{asset: AssetQuote(price=price) for asset, price in prices.items()}}
    snapshot = Snapshot(as_of=AS_OF, reporting_asset="USD", assets=assets, listings={PUT.symbol: PUT})
    return assess(account, snapshot, LOADED("bitcom-unified"))


def test_fifty_short_puts() -> None:
    """The page rounds one option's maintenance, 159.75; its initial is 212.2."""
    short = Position(instrument=PUT.symbol, quantity=Decimal(-50))
    report = assessed(Account(id="a", positions=(short,)), USDT=1.0, ETH=2_098.0)
    assert report.initial_margin == pytest.approx(10_610, rel=1e-12)
    assert report.maintenance_margin == pytest.approx(7_987.5, rel=1e-12)


def test_collateral_after_haircuts() -> None:
    balances = {"BTC": Decimal("3.136088934"), "USDT": Decimal("347974.9709"), "PEPE": Decimal(100_000)}
    report = assessed(Account(id="a", balances=balances), BTC=37_496.76318, USDT=1.000296667, PEPE=0.000001109749128)
    assert report.pools[0].adjusted_equity_maintenance == pytest.approx(462_971.4456, abs=5e-4)


def test_what_is_sold_short_is_charged_by_coin() -> None:
    balances = {"ETH": Decimal(-10), "USDT": Decimal(50_000)}
    report = assessed(Account(id="a", balances=balances), ETH=2_000.0, USDT=1.0)
    assert report.initial_margin == pytest.approx(0.15 * 20_000, rel=1e-12)
    assert report.maintenance_margin == pytest.approx(0.085 * 20_000, rel=1e-12)
    assert report.pools[0].adjusted_equity_maintenance == pytest.approx(50_000 * 0.999 - 20_000, rel=1e-12)
