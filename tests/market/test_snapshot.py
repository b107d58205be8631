"""Quotes: the least trusted feed, wrappers and pegs."""

from __future__ import annotations

import pytest

from crossmargin.errors import FailureReason, InputError
from crossmargin.market import AssetQuote, Confidence, asset_root, check_quote
from tests.strategies.books import market, perpetual


def test_the_least_trusted_feed_counts() -> None:
    assert Confidence().least() == 1
    for feed in ("spot", "forward", "vol", "rate", "perpetual", "own"):
        assert Confidence(**{feed: 0.25}).least() == 0.25
    assert Confidence(spot=0.5, vol=0.4).least() == 0.4
    assert perpetual("BTC", "USDC", confidence=0.3).least_confidence() == 0.3
    assert perpetual("BTC", "USDC", confidence=Confidence(rate=0.2)).least_confidence() == 0.2


def test_every_quote_of_the_market_passes() -> None:
    for listing in market().listings.values():
        check_quote(listing)


def test_the_root_of_an_asset_goes_through_wrappers_only() -> None:
    assets = {
        "ETH": AssetQuote(price=1.0),
        "STETH": AssetQuote(price=1.0, wraps="ETH"),
        "WSTETH": AssetQuote(price=1.2, wraps="STETH"),
        "USDC": AssetQuote(price=1.0, pegged_to="USD"),
        "XDOGE": AssetQuote(price=1.0, wraps="DOGE"),
    }
    roots = {name: asset_root(name, assets) for name in (*assets, "SOL")}
    assert roots == {"ETH": "ETH", "STETH": "ETH", "WSTETH": "ETH", "USDC": "USDC", "XDOGE": "DOGE", "SOL": "SOL"}


def test_a_chain_of_wrappers_ends() -> None:
    chain = {f"A{i}": AssetQuote(price=1.0, wraps=f"A{i + 1}") for i in range(7)}
    assert asset_root("A0", chain) == "A7"
    loop = {"A": AssetQuote(price=1.0, wraps="A")}
    with pytest.raises(InputError, match="asset A: its chain of wrappers") as refused:
        asset_root("A", loop)
    assert refused.value.reason == FailureReason.UNKNOWN_ASSET
