from contextlib import suppress
from decimal import Decimal
from math import isfinite

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossmargin.cli import changes
from crossmargin.cli.changes import Moves, Trade


@pytest.mark.parametrize(
    ("text", "trade"),
    [
        ("BTC-PERPETUAL:+10", Trade("BTC-PERPETUAL", Decimal(10), None)),
        ("BTCUSDT:-0.5@71000", Trade("BTCUSDT", Decimal("-0.5"), Decimal(71000))),
        ("BTC/USDT:USDT:2@71,000.5", Trade("BTC/USDT:USDT", Decimal(2), Decimal("71000.5"))),
        (" X:.5 ", Trade("X", Decimal("0.5"), None)),
        ("X:1e3", Trade("X", Decimal(1000), None)),
        ("X:-1,234,567.5", Trade("X", Decimal("-1234567.5"), None)),
    ],
)
def test_trades_are_read(text: str, trade: Trade) -> None:
    assert changes.parse_trade(text) == trade


@pytest.mark.parametrize("text", ["", "X", "X:", ":5", "X:abc", "X:5@", "X:5@abc", "X:0", "X:5@0", "X:5@-3", "X:nan",
                                  "X:0,5", "X:1,5", "X:12,34", "X:1000,000", "X:5@0,5", "X:1e400"])  # fmt: skip
def test_a_wrong_trade_is_named_with_the_right_form(text: str) -> None:
    with pytest.raises(click.BadParameter, match="SYMBOL:QUANTITY"):
        changes.parse_trade(text)


@given(st.text(max_size=30))
def test_no_text_makes_the_parsers_fail_otherwise(text: str) -> None:
    with suppress(click.BadParameter):
        assert changes.parse_trade(text).quantity.is_finite()
    with suppress(click.BadParameter):
        assert changes.parse_order(text).price is not None
    with suppress(click.BadParameter):
        assert changes.parse_deposit(text)[1].is_finite()
    with suppress(click.BadParameter):
        assert isfinite(changes.parse_fee(text))
    with suppress(click.BadParameter):
        assert all(move > -1 for move in changes.parse_shock((text,)).prices.values())


def test_an_order_needs_its_limit() -> None:
    assert changes.parse_order("X:-5@70000") == Trade("X", Decimal(-5), Decimal(70000))
    with pytest.raises(click.BadParameter, match="SYMBOL:QUANTITY@LIMIT"):
        changes.parse_order("X:-5")


def test_deposits_of_one_asset_add_up() -> None:
    assert changes.parse_deposits(["USDC:+1000", "BTC:-0.5", "USDC:1"]) == {
        "USDC": Decimal(1001),
        "BTC": Decimal("-0.5"),
    }


def test_a_shock_is_read() -> None:
    found = changes.parse_shock(("BTC=-20%,vol=+30%,time=+1d", "USDT=-0.02, funding=+0.01%"))
    assert found.prices == {"BTC": -0.2, "USDT": -0.02}
    assert found == Moves(found.prices, vol=0.3, time_days=1.0, funding=0.0001)


@pytest.mark.parametrize(("text", "days"), [("6h", 0.25), ("+2w", 14.0), ("1d", 1.0), ("1D", 1.0)])
def test_times_have_units(text: str, days: float) -> None:
    assert changes.parse_shock((f"time={text}",)).time_days == days


@pytest.mark.parametrize(
    "text", ["BTC", "BTC=", "=5%", "BTC=abc", "BTC=5d", "time=5", "time=5%", "BTC=1%,BTC=2%", "BTC=-100%", "vol=-150%d"]
)
def test_a_wrong_shock_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter):
        changes.parse_shock((text,))


@pytest.mark.parametrize(
    ("text", "rate"), [("0.05%", 0.0005), ("5bp", 0.0005), ("5BP", 0.0005), ("0.0005", 0.0005), ("0", 0.0)]
)
def test_fees_are_fractions(text: str, rate: float) -> None:
    assert changes.parse_fee(text) == rate


@pytest.mark.parametrize("text", ["BTC=1e9999999999%", "BTC=1e999999999999999999999999%", "funding=1e400"])
def test_a_move_beyond_all_numbers_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter):
        changes.parse_shock((text,))
    with pytest.raises(click.BadParameter):
        changes.parse_fee(text.partition("=")[2])
