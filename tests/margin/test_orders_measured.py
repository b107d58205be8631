"""What formulas read of open orders, of slow prices, and of a venue's totals."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import msgspec
import pytest

from crossmargin.account import Account, MarginMode, Order, Position
from crossmargin.errors import FailureReason, InputError
from crossmargin.instruments import ContractKind, InstrumentKind
from crossmargin.margin import assess
from crossmargin.market import AssetQuote, Listing, Snapshot
from tests.margin.rules import made

AS_OF = datetime(2026, 3, 1, tzinfo=UTC)
LINEAR = Listing(
    symbol="ETH-PERP",
    kind=InstrumentKind.PERPETUAL,
    underlying="ETH",
    quote_asset="USD",
    settlement_asset="USD",
    multiplier=0.1,
    mark_price=2000.0,
    index_price=2000.0,
    volume=5e4,
    stable_price=1900.0,
    twap=2100.0,
    max_price=9000.0,
)
INVERSE = Listing(
    symbol="BTC-INVERSE",
    kind=InstrumentKind.PERPETUAL,
    underlying="BTC",
    quote_asset="USD",
    settlement_asset="BTC",
    contract=ContractKind.INVERSE,
    multiplier=100.0,
    mark_price=50_000.0,
    index_price=50_000.0,
)
ASSETS = {
    "ETH": AssetQuote(price=2000.0, deposits=1e6, borrows=2.5e5, stable_price=1800.0, twap=2200.0),
    "BTC": AssetQuote(price=50_000.0),
}
SNAPSHOT = Snapshot(
    as_of=AS_OF, reporting_asset="USD", assets=ASSETS, listings={one.symbol: one for one in (LINEAR, INVERSE)}
)


def order(instrument: str, quantity: str, price: str) -> Order:
    return Order(instrument=instrument, quantity=Decimal(quantity), limit_price=Decimal(price))


ORDERS = (
    order("ETH-PERP", "30", "1950"),
    order("ETH-PERP", "10", "1900"),
    order("ETH-PERP", "-20", "2100"),
    order("BTC-INVERSE", "500", "40000"),
)


def charged(
    formula: str,
    of: str,
    *,
    positions: tuple[Position, ...] = (),
    balances: dict[str, str] | None = None,
    reporting: str = "USD",
) -> float:
    """The charge of one formula on a desk with four orders."""
    rules = made(f'[charges.charge]\nof = "{of}"\nis = "{formula}"', reporting=reporting)
    held = {asset: Decimal(amount) for asset, amount in (balances or {"USD": "1000"}).items()}
    account = Account(id="a", balances=held, positions=positions, orders=ORDERS)
    return assess(account, SNAPSHOT, rules, withdrawable=False).initial_margin


@pytest.mark.parametrize(
    ("formula", "of", "expected"),
    [
        ("bids", "linear", 4.0),  # contracts of 0.1 ETH
        ("asks", "linear", 2.0),
        ("bid_value", "linear", 3 * 1950 + 1900),
        ("ask_value", "linear", 2 * 2100),
        ("order_count", "linear", 3),
        ("order_count", "perpetual", 4),
        ("bid_value", "inverse", 500 * 100.0),  # quote units, whatever the limit
        ("bids", "inverse", 500 * 100.0 / 50_000),
        ("ask_value", "inverse", 0.0),
        ("asks * entry_price", "linear", 2.0 * 2000),  # an order that is not filled yet would fill at the mark
    ],
)
def test_orders_are_read_before_they_fill(formula: str, of: str, expected: float) -> None:
    one = {"bids": "money/quantity", "asks": "money/quantity", "order_count": "money"}.get(formula)
    priced = f'is = "({formula}) * one"\none = 1\nunit = {{ one = "{one}" }}' if one else f'is = "{formula}"'
    account = Account(id="a", balances={"USD": Decimal(1000)}, orders=ORDERS)
    rules = made(f'[charges.charge]\nof = "{of}"\n{priced}')
    found = assess(account, SNAPSHOT, rules, withdrawable=False)
    assert found.initial_margin == pytest.approx(expected, rel=1e-12)


def test_an_inverse_order_is_worth_its_coins_at_the_limit_in_the_coins_own_pool() -> None:
    rules = made('[charges.charge]\nof = "inverse"\nis = "bid_value"', reporting="BTC")
    account = Account(id="a", balances={"BTC": Decimal(1)}, orders=ORDERS[3:])
    found = assess(account, SNAPSHOT, rules, withdrawable=False)
    assert found.initial_margin == pytest.approx(500 * 100.0 / 40_000, rel=1e-12)


@pytest.mark.parametrize(
    ("formula", "of", "expected"),
    [
        ("long * price * stable_ratio", "coin", 3 * 1800.0),
        ("long * price * twap_ratio", "coin", 3 * 2200.0),
        ("long * price * borrows / deposits", "coin", 3 * 2000 * 0.25),
        ("long * price * stable_ratio", "linear", 1900.0),
        ("long * price * twap_ratio", "linear", 2100.0),
        ("long * max_price", "linear", 9000.0),
        ("long * price * long / volume", "linear", 2000 / 5e4),
    ],
)
def test_slow_prices_and_totals(formula: str, of: str, expected: float) -> None:
    held = (Position(instrument="ETH-PERP", quantity=Decimal(10), entry_price=Decimal(2000)),)
    found = charged(formula, of, positions=held, balances={"USD": "1000", "ETH": "3"})
    assert found == pytest.approx(expected, rel=1e-12)


def test_isolated_legs_have_a_word() -> None:
    rules = made('[charges.charge]\nof = "isolated perpetual"\nis = "notional"')
    held = (
        Position(instrument="ETH-PERP", quantity=Decimal(10), entry_price=Decimal(2000)),
        Position(
            instrument="BTC-INVERSE",
            quantity=Decimal(50),
            entry_price=Decimal(50_000),
            margin_mode=MarginMode.ISOLATED,
            isolated_collateral={"BTC": Decimal("0.1")},
        ),
    )
    account = Account(id="a", balances={"USD": Decimal(1000)}, positions=held)
    found = assess(account, SNAPSHOT, rules, withdrawable=False)
    assert found.initial_margin == pytest.approx(50 * 100.0, rel=1e-12)


@pytest.mark.parametrize("field", ["deposits", "borrows", "twap", "stable_price"])
def test_a_total_or_slow_price_below_zero_is_refused(field: str) -> None:
    quotes = {**ASSETS, "ETH": msgspec.structs.replace(ASSETS["ETH"], **{field: -1.0})}
    market = Snapshot(as_of=AS_OF, reporting_asset="USD", assets=quotes, listings={})
    account = Account(id="a", balances={"ETH": Decimal(1)})
    with pytest.raises(InputError, match=field) as found:
        assess(account, market, made('[charges.charge]\nis = "0 * value"'), withdrawable=False)
    assert found.value.reason == FailureReason.INVALID_PRICE
