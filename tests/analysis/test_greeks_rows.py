"""Greeks per underlying: against small moves of the market, in reporting currency and in coin."""

from decimal import Decimal
from math import exp, log, pi, sqrt
from statistics import NormalDist

import msgspec
import pytest

from crossmargin.account import Account, Book, Position
from crossmargin.analysis.explanation import GreeksRow
from crossmargin.analysis.greeks import greeks_rows
from crossmargin.margin import Rulebook, assess_book
from crossmargin.market import Listing, Snapshot
from crossmargin.sources import load_rulebook
from tests.strategies.portfolios import market

MARKET = market()
REFERENCE = load_rulebook("reference")


def rows(positions: dict[str, float], balances: dict[str, float] | None = None, rulebook: Rulebook = REFERENCE,
         listed: Snapshot = MARKET) -> dict[str, GreeksRow]:  # fmt: skip
    held = tuple(
        Position(
            instrument=name, quantity=Decimal(repr(q)), entry_price=Decimal(repr(listed.listings[name].mark_price))
        )
        for name, q in positions.items()
    )
    one = Account(id="a", balances={k: Decimal(repr(v)) for k, v in (balances or {}).items()}, positions=held)
    book = assess_book(Book.from_accounts([one]), listed, rulebook)
    assert not book.failures
    return {row.underlying: row for row in greeks_rows(book.evaluation)}


def hand(one: Listing, years: float) -> dict[str, float]:
    """Black-76 of one unit by the textbook, in the quote asset; delta by the forward."""
    assert one.forward_price
    assert one.strike
    assert one.mark_iv
    forward, strike, vol = one.forward_price, one.strike, one.mark_iv
    d1 = log(forward / strike) / (vol * sqrt(years)) + vol * sqrt(years) / 2
    density = exp(-d1 * d1 / 2) / sqrt(2 * pi)
    normal = NormalDist()
    value = forward * normal.cdf(d1) - strike * normal.cdf(d1 - vol * sqrt(years))
    return {
        "delta": normal.cdf(d1),
        "gamma": density / (forward * vol * sqrt(years)),
        "vega": forward * density * sqrt(years),
        "theta": -forward * density * vol / (2 * sqrt(years)),
        "value": value,
    }


def test_a_linear_option_is_the_textbook() -> None:
    name = "BTC_USDC-50D-100000-C"
    one = MARKET.listings[name]
    unit, rate = hand(one, 50 / 365), 0.9993
    (row,) = rows({name: -3.0}).values()
    assert row.delta == pytest.approx(-3 * unit["delta"])
    assert row.delta_value == pytest.approx(-3 * unit["delta"] * 100_000 * rate)
    assert row.gamma == pytest.approx(-3 * unit["gamma"] * (one.forward_price or 0) * 0.01 * 100_000 * rate)
    assert row.vega == pytest.approx(-3 * unit["vega"] * 0.01 * rate)
    assert row.theta == pytest.approx(-3 * unit["theta"] / 365 * rate)
    assert row.in_coin is None


def test_a_coin_settled_option_counts_at_the_index_and_in_coin() -> None:
    name = "ETH-141D-3200-C"
    one = MARKET.listings[name]
    unit, forward, index = hand(one, 141 / 365), one.forward_price or 0.0, 3_200.0
    row = rows({name: 10.0})["ETH"]
    assert row.vega == pytest.approx(10 * unit["vega"] * 0.01 / forward * index)
    assert row.theta == pytest.approx(10 * unit["theta"] / 365 / forward * index)
    assert row.in_coin is not None
    assert row.in_coin.asset == "ETH"
    assert row.in_coin.vega == pytest.approx(10 * unit["vega"] * 0.01 / forward)
    assert row.in_coin.theta == pytest.approx(10 * unit["theta"] / 365 / forward)
    assert row.in_coin.delta == pytest.approx(10 * (unit["delta"] - unit["value"] / forward))


def test_a_pool_in_coin_reads_in_coin() -> None:
    name = "ETH-141D-3200-C"
    row = rows({name: 10.0}, rulebook=load_rulebook("deribit-portfolio"), listed=market(("coin",)))["ETH"]
    assert row.in_coin is not None
    assert row.vega == pytest.approx(row.in_coin.vega)
    assert row.delta == pytest.approx(row.in_coin.delta)


def test_underlyings_are_apart_and_coins_have_delta() -> None:
    found = rows({"BTC_USDC-PERP": 2.0, "ETH_USDC-PERP": -5.0}, {"BTC": -2.0, "STETH": 1.0, "USD": 1e6})
    assert found.keys() == {"BTC", "ETH"}
    assert found["BTC"].delta == pytest.approx(0.0, abs=1e-9)
    assert found["ETH"].delta == pytest.approx(-5 + 0.985)
    assert (found["ETH"].gamma, found["ETH"].vega) == (0, 0)


def test_gamma_is_what_one_percent_does_to_delta() -> None:
    name = "BTC_USDC-50D-100000-C"
    one = MARKET.listings[name]
    step = 1e-4

    def delta(move: float) -> float:
        moved = {**MARKET.listings, name: Listing(**{
            **{f: getattr(one, f) for f in one.__struct_fields__},
            "forward_price": (one.forward_price or 0.0) * (1 + move),
        })}  # fmt: skip
        there = Snapshot(as_of=MARKET.as_of, reporting_asset="USD", assets=MARKET.assets, listings=moved)
        return rows({name: 1.0}, listed=there)["BTC"].delta

    change = (delta(step) - delta(-step)) / (2 * step) * 0.01
    assert rows({name: 1.0})["BTC"].gamma == pytest.approx(change * 100_000 * 0.9993, rel=1e-6)


@pytest.mark.parametrize("names", [("ETH-141D-3200-C",), ("ETH-PERP",), ("ETH-141D-3200-C", "ETH-PERP")])
def test_gamma_in_coin_is_what_one_percent_does_to_delta_in_coin(names: tuple[str, ...]) -> None:
    listed, step = market(("coin",)), 1e-4
    held = {name: 10.0 * (1 + i) for i, name in enumerate(names)}
    assert set(held) <= set(listed.listings)
    rulebook = load_rulebook("deribit-portfolio")

    def delta(move: float) -> float:
        prices = ("mark_price", "index_price", "forward_price")
        moved = {
            name: msgspec.structs.replace(one, **{
                field: price * (1 + move) for field in prices if (price := getattr(one, field)) is not None
            })
            for name, one in listed.listings.items()
        }  # fmt: skip
        assets = {**listed.assets, "ETH": msgspec.structs.replace(listed.assets["ETH"], price=3_200.0 * (1 + move))}
        there = Snapshot(as_of=listed.as_of, reporting_asset="USD", assets=assets, listings=moved)
        return rows(held, rulebook=rulebook, listed=there)["ETH"].delta

    change = (delta(step) - delta(-step)) / (2 * step) * 0.01
    assert change
    assert rows(held, rulebook=rulebook, listed=listed)["ETH"].gamma == pytest.approx(change, rel=1e-6)
