"""Reported beside computed: nothing is overwritten, absent is not zero, and suggestions are only that."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import pytest
from msgspec.structs import replace

from crossmargin.account import Account, Book
from crossmargin.analysis.explanation import Contribution
from crossmargin.analysis.reconcile import ReconciliationRow, reconcile
from crossmargin.liquidation import LiquidationPrice, liquidation_prices
from crossmargin.margin import MarginReport, assess, resolve
from tests.strategies.books import LATEST, perpetual, position, rules, snapshot_of

REFERENCE = rules(next(spec for spec in LATEST if spec.startswith("reference@")))
BTC = perpetual("BTC", "USDC", quote_asset="USDC")
MARKET = snapshot_of([BTC])
HELD = replace(position(BTC, 2.0, 59_000.0), accrued_funding=Decimal("12.5"))
ACCOUNT = Account(id="a", balances={"USDC": Decimal(60_000), "ETH": Decimal(3)}, positions=(HELD,))
REPORT: MarginReport = assess(ACCOUNT, MARKET, REFERENCE, withdrawable=False)


def rows_of(
    reported: Mapping[str, Any] | None,
    liquidation: tuple[LiquidationPrice, ...] = (),
    contributions: tuple[Contribution, ...] = (),
) -> dict[tuple[str, str | None], ReconciliationRow]:
    found = reconcile(replace(ACCOUNT, reported=reported), REPORT, liquidation, contributions)
    return {(row.name, row.pool or row.instrument): row for row in found}


def test_nothing_reported_is_nothing_to_reconcile() -> None:
    assert rows_of(None) == {}
    assert rows_of({}) == {}


def test_absent_is_none_and_zero_is_zero() -> None:
    rows = rows_of({"equity": "70000.5", "initial_margin": 0, "maintenance_margin": None})
    equity = rows["equity", None]
    assert (equity.reported, equity.computed) == (70_000.5, REPORT.equity)
    assert equity.residual == pytest.approx(70_000.5 - REPORT.equity)
    assert equity.residual is not None
    assert equity.relative == pytest.approx(equity.residual / max(70_000.5, REPORT.equity))
    assert rows["initial_margin", None].reported == 0.0
    assert rows["initial_margin", None].residual == -REPORT.initial_margin
    for name in ("maintenance_margin", "available_margin"):
        row = rows[name, None]
        assert (row.reported, row.residual, row.relative, row.suggestions) == (None, None, None, ())
        assert row.computed == getattr(REPORT, name)


def test_what_is_no_number_is_not_reported() -> None:
    rows = rows_of({"equity": "a lot", "initial_margin": True})
    assert rows["equity", None].reported is None
    assert rows["initial_margin", None].reported is None


def test_a_match_suggests_nothing() -> None:
    assert rows_of({"equity": REPORT.equity})["equity", None].suggestions == ()


@pytest.mark.parametrize("what", ["haircut of ETH", "accrued funding", "balance of ETH"])
def test_a_residual_that_is_a_known_amount_is_named(what: str) -> None:
    eth = next(row for row in REPORT.pools[0].collateral if row.asset == "ETH")
    amount = {
        "haircut of ETH": eth.value - eth.adjusted_value_maintenance,
        "accrued funding": 12.5,
        "balance of ETH": eth.value,
    }[what]
    row = rows_of({"equity": REPORT.equity - amount})["equity", None]
    assert any(what in text for text in row.suggestions), row.suggestions
    assert all(text.startswith("may be ") for text in row.suggestions)
    assert any("left out" in text for text in row.suggestions)


def test_a_ratio_that_venues_often_stand_in_is_named() -> None:
    row = rows_of({"maintenance_margin": 0.8 * REPORT.maintenance_margin})["maintenance_margin", None]
    assert any("0.8 x computed" in text for text in row.suggestions)


def test_pools_and_positions() -> None:
    prices = liquidation_prices(resolve(Book.from_accounts([ACCOUNT]), MARKET, REFERENCE), REFERENCE, 0)
    below = prices[0].marks[BTC.symbol][0] if prices[0].underlying == "BTC" else None
    share = Contribution(
        pool="cross", name=BTC.symbol, quantity=2.0, initial_margin=10.0, maintenance_margin=8.0,
        adjusted_equity_initial=0.0, adjusted_equity_maintenance=0.0, method="euler",
    )  # fmt: skip
    given = {
        "pools": {"cross": {"equity": 5}, "elsewhere": {"equity": 7}},
        "positions": [{"instrument": BTC.symbol, "maintenance_margin": 9, "liquidation_price": 50_000}, {"odd": 1}],
    }
    rows = rows_of(given, liquidation=prices, contributions=(share,))
    assert rows["equity", "cross"].computed == REPORT.pools[0].equity
    assert (rows["equity", "elsewhere"].reported, rows["equity", "elsewhere"].computed) == (7.0, None)
    assert rows["maintenance_margin", BTC.symbol].residual == 1.0
    assert rows["liquidation_price", BTC.symbol].computed == below
    assert below is not None
    bare = rows_of(given)
    assert bare["maintenance_margin", BTC.symbol].computed is None
    assert bare["liquidation_price", BTC.symbol].reported == 50_000.0
