"""Portfolio margin with borrowing: the documented examples, and the rule's caps and debts from plain formulas."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from crossmargin.account import Account, MarginMode, Position
from crossmargin.analysis.conformance import hyperliquid_portfolio
from crossmargin.analysis.conformance.fields import Fields
from crossmargin.analysis.conformance.judge import Verdict, judge
from crossmargin.instruments import InstrumentKind
from crossmargin.margin import AccountState, MarginReport, assess
from crossmargin.market import AssetQuote, Listing, Snapshot
from tests.conformance.made import LOADED
from tests.strategies.books import AS_OF

if TYPE_CHECKING:
    from pathlib import Path

SPEC = hyperliquid_portfolio.RULEBOOK
MADE: dict[str, Any] = {
    "borrow": {"balance": 300, "price": 25, "ltv": 0.4, "expected": 3_000},
    "rate": {
        "formula": "APY = 0.03 + 2 * max(0, u - 0.7)",
        "points": {"0.5": 0.03, "0.7": 0.03, "0.95": 0.03 + 2 * 0.25},
    },
    "ratio_fixture": {
        "min_borrow_offset": 30,
        "cross_mm": 400,
        "borrowed": 1_000,
        "oracle": 2,
        "balance": 5_000,
        "borrow_cap": 4_000,
        "supply_cap": 3_000,
        "ltv": 0.6,
        "expected_req": 30 + 400 + 1_000 * 2,
        "expected_liq_value": 5_000 + min(4_000, 3_000 * 2 * (0.5 + 0.5 * 0.6)),
    },
}


def verdicts(document: dict[str, Any]) -> list[Verdict]:
    fields, family = Fields(document, ""), hyperliquid_portfolio.FAMILY
    return [judge(family, fields, i, name, LOADED) for i, name in enumerate(family.names(fields))]


def test_examples_of_our_own_reproduce() -> None:
    assert hyperliquid_portfolio.recognises(MADE)
    found = verdicts(MADE)
    assert [one.failures for one in found] == [()] * 5
    assert max(one.residual or 0.0 for one in found) < 1e-12


@pytest.mark.parametrize("part", ["borrow", "rate", "ratio_fixture"])
def test_a_document_may_hold_any_of_the_three(part: str) -> None:
    found = verdicts({part: MADE[part]})
    assert found
    assert all(one.failures == () for one in found)


@pytest.mark.parametrize(
    ("part", "key"),
    [("borrow", "ltv"), ("ratio_fixture", "min_borrow_offset"), ("ratio_fixture", "borrow_cap")],
)
def test_one_per_cent_of_a_parameter_is_noticed(part: str, key: str) -> None:
    fields = Fields(MADE, "")
    index = 0 if part == "borrow" else 4
    assert (part, key) in hyperliquid_portfolio.parameters(fields, index).values()
    moved = copy.deepcopy(MADE)
    moved[part][key] *= 1.01
    stated = hyperliquid_portfolio.pose(fields, index, LOADED)
    other = hyperliquid_portfolio.pose(Fields(moved, ""), index, LOADED)
    outcome = replace(stated, rulebook=other.rulebook).assess()
    assert any(figure.residual(figure.read(outcome)) > figure.tolerance for figure in stated.figures)


@pytest.mark.parametrize(
    ("part", "entries"),
    [
        ("borrow", {"price": 0}),
        ("borrow", {"ltv": "half"}),
        ("rate", {"formula": "as published"}),
        ("rate", {"points": {"most": 1.0}}),
        ("ratio_fixture", {"balance": -1}),
        ("ratio_fixture", {"oracle": -1}),
    ],
)
def test_what_makes_no_sense_is_told(part: str, entries: dict[str, Any]) -> None:
    document = {part: {**MADE[part], **entries}}
    failures = [failure for one in verdicts(document) for failure in one.failures]
    assert failures
    assert all(failure.figure == "case" and "expected" in str(failure.computed) for failure in failures)


@pytest.mark.shared
def test_the_published_examples_reproduce(shared: Path) -> None:
    document = json.loads((shared / "cases" / "venue_hyperliquid_pm.json").read_text(encoding="utf-8"))
    found = verdicts(document)
    assert [one.failures for one in found] == [()] * 5
    stated = LOADED(SPEC).document["charges"]
    assert stated["offset"]["min_borrow_offset"] == document["ratio_fixture"]["min_borrow_offset"]
    assert stated["backed"]["ltv"]["HYPE"] == document["borrow"]["ltv"]


# --- the rule


BTC, HYPE = 60_000.0, 40.0


def market(utilisation: float | None = None) -> Snapshot:
    totals: dict[str, Any] = {} if utilisation is None else {"deposits": 1_000.0, "borrows": 1_000.0 * utilisation}
    perpetual = Listing(
        symbol="BTC", kind=InstrumentKind.PERPETUAL, underlying="BTC", quote_asset="USDC", settlement_asset="USDC",
        mark_price=BTC, index_price=BTC,
    )  # fmt: skip
    assets = {
        "USDC": AssetQuote(price=1.0, **totals),
        "BTC": AssetQuote(price=BTC),
        "HYPE": AssetQuote(price=HYPE),
        "PURR": AssetQuote(price=0.1),
    }
    return Snapshot(as_of=AS_OF, reporting_asset="USD", assets=assets, listings={"BTC": perpetual})


def assessed(position: Position | None = None, snapshot: Snapshot | None = None, **balances: int) -> MarginReport:
    held = {asset: Decimal(amount) for asset, amount in balances.items()}
    account = Account(id="a", balances=held, positions=(position,) if position else ())
    return assess(account, snapshot or market(), LOADED(SPEC), withdrawable=False)


def perpetual(quantity: int, entry: int = int(BTC), **changes: Any) -> Position:  # noqa: ANN401 - fields of a position
    return Position(instrument="BTC", quantity=Decimal(quantity), entry_price=Decimal(entry), **changes)


def test_caps_hold_for_each_coin_and_for_all_together() -> None:
    one = assessed(HYPE=60_000)
    assert one.adjusted_equity_initial == pytest.approx(50_000 * HYPE * 0.5)
    both = assessed(HYPE=60_000, BTC=30, PURR=1_000_000)
    assert both.adjusted_equity_initial == pytest.approx(1_000_000)
    assert both.adjusted_equity_maintenance == pytest.approx(1_000_000)
    assert both.maintenance_margin == 0


def test_losses_of_perpetuals_are_borrowed_and_profits_repay() -> None:
    losing = assessed(perpetual(-1, entry=50_000), BTC=1)  # 10,000 lost, the coin gained: nothing is liquidated
    positions = 0.0125 * BTC
    assert losing.maintenance_margin == pytest.approx(10_000 + positions + 20)
    assert losing.adjusted_equity_maintenance == pytest.approx(0.75 * BTC)
    gaining = assessed(perpetual(-1, entry=70_000), BTC=1)
    assert gaining.maintenance_margin == pytest.approx(positions + 20)
    assert gaining.adjusted_equity_maintenance == pytest.approx(10_000 + 0.75 * BTC)


@pytest.mark.parametrize(("owed", "state"), [(28_400, AccountState.HEALTHY), (28_600, AccountState.LIQUIDATABLE)])
def test_liquidation_begins_above_95_per_cent_of_the_ratio(owed: int, state: AccountState) -> None:
    report = assessed(HYPE=1_000, USDC=-owed)
    assert report.coverage_ratio == pytest.approx(0.75 * 40_000 / (owed + 20))
    assert (report.state == AccountState.LIQUIDATABLE) == (state == AccountState.LIQUIDATABLE)
    assert ((owed + 20) / 30_000 > 0.95) == (state == AccountState.LIQUIDATABLE)


@pytest.mark.parametrize(("utilisation", "rate"), [(None, 0.05), (0.8, 0.05), (0.9, 0.525), (1.0, 1.0)])
def test_a_years_interest_is_reported_and_required_by_nothing(utilisation: float | None, rate: float) -> None:
    report = assessed(snapshot=market(utilisation), HYPE=1_000, USDC=-100)
    assert report.lines["yearly_interest"].initial == pytest.approx(100 * rate)
    assert report.maintenance_margin == pytest.approx(120)


def test_an_isolated_position_backs_and_is_backed_by_nothing_else() -> None:
    alone = perpetual(1, margin_mode=MarginMode.ISOLATED, isolated_collateral={"USDC": Decimal(5_000)})
    for spec in (SPEC, "hyperliquid-cross@2026-02-04"):
        account = Account(id="a", balances={"USDC": Decimal(100)}, positions=(alone,))
        pools = {pool.pool: pool for pool in assess(account, market(), LOADED(spec), withdrawable=False).pools}
        assert pools["BTC"].equity == pytest.approx(5_000)
        assert pools["BTC"].maintenance_margin == pytest.approx(0.0125 * BTC + (20 if spec == SPEC else 0))
        assert pools["cross"].maintenance_margin == 0
