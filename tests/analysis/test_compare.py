"""One account under several rulebooks: rows are the rulebooks' own reports in one asset; refusals have reasons."""

from __future__ import annotations

from decimal import Decimal

import pytest

from crossmargin.account import Account, Position
from crossmargin.analysis.capital import required_capital
from crossmargin.analysis.compare import compare
from crossmargin.errors import FailureReason
from crossmargin.margin import assess
from tests.strategies.books import ASSETS, LATEST, market, perpetual, position, rules, snapshot_of

BTC, ETH = (perpetual(base, "USDC", quote_asset="USDC") for base in ("BTC", "ETH"))
MARKET = snapshot_of([BTC, ETH])
ACCOUNT = Account(id="a", balances={"USDC": Decimal(60_000)}, positions=(position(BTC, 2.0), position(ETH, -30.0)))


def test_rows_are_the_reports_in_the_snapshots_asset_least_capital_first() -> None:
    rows = compare(ACCOUNT, MARKET, [rules(spec) for spec in LATEST])
    assert len(rows) == len(LATEST)
    good = [row for row in rows if row.failure is None]
    assert len(good) > 3
    capital = [row.required_capital or 0.0 for row in good]
    assert capital == sorted(capital)
    for row in good:
        rulebook = rules(next(spec for spec in LATEST if spec.startswith(f"{row.rulebook.name}@")))
        report = assess(ACCOUNT, MARKET, rulebook, withdrawable=False)
        rate = 1.0 if report.reporting_asset == "USD" else ASSETS[report.reporting_asset].price
        assert row.reporting_asset == "USD"
        assert row.initial_margin == pytest.approx(report.initial_margin * rate, rel=1e-12)
        assert row.maintenance_headroom == pytest.approx(report.maintenance_headroom * rate, rel=1e-12)
        assert row.required_capital == pytest.approx(required_capital(ACCOUNT, MARKET, rulebook) * rate, rel=1e-9)
        assert row.coverage_ratio == report.coverage_ratio
        if not row.initial_margin:  # weights may stand in the adjusted equity alone
            assert row.largest_term is None
            continue
        assert row.largest_term is not None
        prices = {"USD": 1.0, **{name: quote.price for name, quote in ASSETS.items()}}
        terms = [t.amount * prices[pool.reporting_asset] for pool in report.pools for t in pool.initial_terms]
        assert row.largest_term.amount == pytest.approx(max(terms))


def test_the_nearest_liquidation_price_is_of_one_underlying() -> None:
    (row,) = compare(ACCOUNT, MARKET, [rules(next(s for s in LATEST if s.startswith("hyperliquid")))])
    assert row.nearest_below is not None
    assert row.nearest_below.underlying == "BTC"
    assert row.nearest_above is not None
    assert row.nearest_above.underlying == "ETH"


def test_a_refusal_is_a_row_with_its_reason_and_stands_last() -> None:
    option = next(one for one in market().listings.values() if one.kind == "option" and one.settlement_asset == "USDC")
    account = Account(id="a", balances={"USDC": Decimal(1)}, positions=(position(option, 1.0),))
    specs = [next(s for s in LATEST if s.startswith(name)) for name in ("hyperliquid", "reference")]
    rows = compare(account, market(), [rules(spec) for spec in specs])
    assert [row.failure is None for row in rows] == [True, False]
    assert rows[1].failure is not None
    assert rows[1].failure.reason == FailureReason.OUT_OF_SCOPE
    assert rows[1].required_capital is None
    unknown = Account(id="a", positions=(Position(instrument="NOTHING", quantity=Decimal(1)),))
    assert compare(unknown, market(), []) == ()
