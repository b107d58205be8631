"""The published grid row by row, and the rule's other parts from plain formulas."""

from __future__ import annotations

import copy
import json
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from crossmargin.account import Account, Position
from crossmargin.analysis.conformance import paradex
from crossmargin.analysis.conformance.fields import Fields
from crossmargin.analysis.conformance.judge import Verdict, judge
from crossmargin.instruments import InstrumentKind, OptionType
from crossmargin.margin import MarginReport, assess
from crossmargin.market import AssetQuote, Listing, Snapshot
from crossmargin.pricing import greeks, price
from tests.conformance.made import LOADED
from tests.strategies.books import AS_OF

if TYPE_CHECKING:
    from pathlib import Path

SPEC = paradex.RULEBOOK
MADE: dict[str, Any] = {
    "min_delta": "made",
    "scenarios": [[0.2, 0.5, 1], [0.2, -0.3, 1], [-0.75, 0.5, 0.25], [0, -0.3, 1], [2, 0, 0.1], [-0.1, 0.6, 0.5]],
}


def verdicts(document: dict[str, Any]) -> list[Verdict]:
    fields = Fields(document, "")
    return [judge(paradex.FAMILY, fields, i, name, LOADED) for i, name in enumerate(paradex.names(fields))]


def test_rows_of_our_own_reproduce() -> None:
    assert paradex.recognises(MADE)
    found = verdicts(MADE)
    assert [one.failures for one in found] == [()] * len(MADE["scenarios"])
    assert max(one.residual or 0.0 for one in found) < 1e-9


@pytest.mark.parametrize(("row", "column"), [(0, 0), (0, 1), (1, 1), (2, 0), (2, 2), (3, 1), (4, 0), (4, 2), (5, 1)])
def test_one_per_cent_of_a_parameter_is_noticed(row: int, column: int) -> None:
    moved = copy.deepcopy(MADE)
    moved["scenarios"][row][column] *= 1.01
    stated, other = (paradex.pose(Fields(document, ""), row, LOADED) for document in (MADE, moved))
    outcome = type(stated)(
        stated.name, stated.account, stated.snapshot, other.rulebook, stated.figures, other.changes
    ).assess()
    assert any(figure.residual(figure.read(outcome)) > figure.tolerance for figure in stated.figures)
    assert len(paradex.parameters(Fields(MADE, ""), row)) == sum(bool(number) for number in MADE["scenarios"][row])


@pytest.mark.parametrize(
    "row", [[0.1, 0.2], "x", [0.1, "up", 1], [-1, 0.4, 1], [0.1, -1, 1], [0.1, 0.4, -1], [10**400, 0.4, 1]]
)
def test_a_row_of_the_wrong_shape_is_told(row: object) -> None:
    for verdict in verdicts({"min_delta": "made", "scenarios": [row, [0.1, 0.4, 1]]}):
        (failure,) = verdict.failures
        assert "scenarios[0]" in str(failure.computed)


@pytest.mark.shared
def test_the_published_grid_reproduces_and_is_the_shipped_one(shared: Path) -> None:
    document = json.loads((shared / "cases" / "venue_paradex_scan.json").read_text(encoding="utf-8"))
    found = verdicts(document)
    assert len(found) == 24
    assert [one.failures for one in found] == [()] * 24
    shipped = assess(held(perpetual=1), market(), LOADED(SPEC)).pools[0].scenario_tables[0]
    rows = sorted((round(row.pnl / INDEX, 9), row.name.endswith("up")) for row in shipped.scenarios)
    assert rows == sorted((round(spot * weight, 9) + 0.0, vol > 0) for spot, vol, weight in document["scenarios"])
    assert {abs(vol) for _, vol, _ in document["scenarios"]} == {0.40, 0.22}


# --- the rule


VOL, YEARS, INDEX, FEE = 0.6, 30 / 365, 70_000.0, 0.0003


def strike_of_delta(delta: float) -> float:
    low, high = INDEX, 4 * INDEX
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (
            (middle, high) if float(greeks(INDEX, middle, VOL, YEARS, call=True).delta) > delta else (low, middle)
        )
    return low


def market(funding: float = 0.0, days: int = 30, strike: float | None = None) -> Snapshot:
    common: dict[str, Any] = {"underlying": "BTC", "quote_asset": "USDC", "settlement_asset": "USDC"}
    perpetual = Listing(
        symbol="PERP",
        kind=InstrumentKind.PERPETUAL,
        mark_price=INDEX,
        index_price=INDEX,
        funding_rate=funding,
        **common,
    )
    call = Listing(
        symbol="CALL", kind=InstrumentKind.OPTION, expiry=AS_OF + timedelta(days=days), option_type=OptionType.CALL,
        strike=strike or strike_of_delta(0.3), mark_price=1_500.0, index_price=INDEX, forward_price=INDEX,
        mark_iv=VOL, **common,
    )  # fmt: skip
    listings = {"PERP": perpetual, "CALL": call}
    assets = {"USDC": AssetQuote(price=1.0), "BTC": AssetQuote(price=INDEX)}
    return Snapshot(as_of=AS_OF, reporting_asset="USD", assets=assets, listings=listings)


def held(perpetual: int = 0, call: int = 0) -> Account:
    both = {"PERP": perpetual, "CALL": call}
    positions = tuple(
        Position(instrument=name, quantity=Decimal(amount), entry_price=Decimal(int(INDEX)))
        for name, amount in both.items()
        if amount
    )
    return Account(id="a", balances={"USDC": Decimal(100_000), "BTC": Decimal(1)}, positions=positions)


def assessed(account: Account, snapshot: Snapshot) -> MarginReport:
    return assess(account, snapshot, LOADED(SPEC), withdrawable=False)


def test_the_pages_example_of_the_least_charge_on_delta() -> None:
    """One perpetual long, five calls of delta 0.3 short, at 70,000: 2 % of 0.5 and 1 % of 1.0 coins."""
    report = assessed(held(perpetual=1, call=-5), market())
    assert report.lines["least_delta"].initial == pytest.approx((0.02 * 0.5 + 0.01 * 1.0) * 70_000, rel=1e-9)
    assert report.lines["portfolio"].initial == report.lines["scan"].initial > report.lines["least_delta"].initial


@pytest.mark.parametrize(("quantity", "rate", "paid"), [(1, 1e-4, 7.0), (1, -1e-4, 0.0), (-1, -1e-4, 7.0)])
def test_provisions_and_half_for_maintenance(quantity: int, rate: float, paid: float) -> None:
    report = assessed(held(perpetual=quantity), market(rate))
    provisions = paid + FEE * INDEX
    assert report.initial_margin == pytest.approx(0.16 * INDEX + provisions)
    assert report.maintenance_margin == pytest.approx(0.5 * 0.16 * INDEX + provisions)
    assert report.equity - report.adjusted_equity_maintenance == pytest.approx(INDEX)  # the coin backs nothing


@pytest.mark.parametrize(("days", "power"), [(15, 0.30), (60, 0.13), (30, 0.13)])
def test_the_vol_law_by_tenor(days: int, power: float) -> None:
    snapshot = market(days=days, strike=INDEX)
    outcome = assess(held(call=1), snapshot, LOADED(SPEC), withdrawable=False)
    (table,) = outcome.pools[0].scenario_tables
    (row,) = [row for row in table.scenarios if row.name == "spot 0 %, vol up"]
    shocked = VOL * (1 + 0.40 * (30 / days) ** power)
    before, after = (float(price(INDEX, INDEX, vol, days / 365, call=True)) for vol in (VOL, shocked))
    assert row.pnl == pytest.approx(after - before, rel=1e-9)
