"""Aave v3: its published cases on the health factor, cases of our own, and accounts whose answer is known."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from crossmargin.account import Account
from crossmargin.analysis.conformance.aave import BOUNDARY, FAMILIES, RATIO
from crossmargin.analysis.conformance.case import Family
from crossmargin.analysis.conformance.fields import Fields
from crossmargin.analysis.conformance.judge import Verdict, judge
from crossmargin.analysis.conformance.sweep import changed
from crossmargin.errors import InputError
from crossmargin.margin import AccountState, MarginReport, assess
from crossmargin.market import AssetQuote, Snapshot
from tests.conformance.made import LOADED
from tests.strategies.books import AS_OF

RATIOS, BOUNDARIES = FAMILIES


def ratio(**given: object) -> dict[str, Any]:
    stated: dict[str, object] = {
        "collateral_ltv": "0.7",
        "liquidation_threshold": "0.75",
        "fraction_of_available_borrowed": "0.9",
    }
    stated |= {"debt_price_multiplier": "1.1", **given}
    before = 0.75 / (0.7 * 0.9)
    expected = {"liquidation_threshold_bps": 7500, "hf_before": before, "hf_after": before / 1.1}
    return {"kind": RATIO, "input": stated, "expected": {**expected, "liquidatable_after": False}}


def boundary(**given: object) -> dict[str, Any]:
    stated: dict[str, object] = {
        "ltv": "0.9",
        "liquidation_threshold": "0.93",
        "collateral_usd": "7000",
        "borrowed_usd": "6100",
    }
    stated |= {"debt_price_unit": "0.00000001", **given}
    expected = {"hf_before": "1.067213114754098360"}
    return {
        "kind": BOUNDARY,
        "input": stated,
        "expected": {**expected, "hf_gt_1_at_price_times_hf": True, "hf_lt_1_one_price_unit_above": True},
    }


def made(*cases: dict[str, Any]) -> dict[str, Any]:
    return {"cases": list(cases)}


def verdict(family: Family, document: object, index: int = 0) -> Verdict:
    return judge(family, Fields(document, ""), index, "made", LOADED)


def test_cases_of_our_own_reproduce_each_by_its_kind() -> None:
    document = made({"kind": "v4_bonus", "input": {}}, ratio(), boundary())
    for family, index in ((RATIOS, 1), (BOUNDARIES, 2)):
        assert family.recognises(document)
        assert family.indices(Fields(document, "")) == [index]
        assert verdict(family, document, index).failures == ()
    assert not BOUNDARIES.recognises(made(ratio()))


def test_numbers_may_stand_as_numbers() -> None:
    assert verdict(RATIOS, made(ratio(collateral_ltv=0.7, debt_price_multiplier=1.1))).failures == ()
    assert verdict(BOUNDARIES, made(boundary(debt_price_unit=1e-8, borrowed_usd=6100))).failures == ()


@pytest.mark.parametrize("figure", ["liquidation_threshold_bps", "hf_before", "hf_after", "liquidatable_after"])
def test_a_wrong_figure_of_the_first_kind_is_told(figure: str) -> None:
    case = ratio()
    stated = case["expected"][figure]
    case["expected"][figure] = not stated if isinstance(stated, bool) else stated * (1 + 1e-6)
    assert [failure.figure for failure in verdict(RATIOS, made(case)).failures] == [figure]


@pytest.mark.parametrize("figure", ["hf_gt_1_at_price_times_hf", "hf_lt_1_one_price_unit_above"])
def test_a_wrong_side_of_the_boundary_is_told(figure: str) -> None:
    case = boundary()
    case["expected"][figure] = False
    assert [failure.figure for failure in verdict(BOUNDARIES, made(case)).failures] == [figure]


def test_exactly_one_is_neither_above_nor_below() -> None:
    # 10,000 x 0.9 / 7,500 = 1.2: at that price the health factor is 1 to the last digit
    case = boundary(liquidation_threshold="0.9", ltv="0.8", collateral_usd="10000", borrowed_usd="7500")
    case["expected"] |= {"hf_before": 1.2, "hf_gt_1_at_price_times_hf": False}
    assert verdict(BOUNDARIES, made(case)).failures == ()


def test_the_parameters_are_noticed() -> None:
    document = made(ratio(collateral_ltv=0.7, liquidation_threshold=0.75))
    places = RATIOS.parameters(Fields(document, ""), 0)
    assert set(places) == {"collateral_ltv", "liquidation_threshold"}
    # more may be lent, so that more is owed and less covers it
    assert verdict(RATIOS, dict(changed(document, places["collateral_ltv"]))).failures
    assert verdict(RATIOS, dict(changed(document, places["liquidation_threshold"]))).failures


@pytest.mark.parametrize(
    ("family", "case", "told"),
    [
        (RATIOS, ratio(collateral_ltv="much"), "collateral_ltv"),
        (RATIOS, {"kind": RATIO, "input": {}}, "input"),
        (RATIOS, {**ratio(), "expected": {}}, "expected"),
        (BOUNDARIES, boundary(debt_price_unit="0"), "debt_price_unit"),
        (BOUNDARIES, boundary(borrowed_usd="-1"), "borrowed_usd"),
        (BOUNDARIES, {**boundary(), "expected": {"hf_gt_1_at_price_times_hf": "yes"}}, "hf_gt_1_at_price_times_hf"),
    ],
)
def test_what_makes_no_sense_is_refused(family: Family, case: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError) as refused:
        family.pose(Fields(made(case), ""), 0, LOADED)
    assert told in f"{refused.value.path} {refused.value}"


# --- accounts whose answer is known

PRICES = {"WETH": 2_000.0, "WSTETH": 2_400.0, "WBTC": 60_000.0, "LINK": 15.0, "USDC": 1.0, "USDT": 1.0, "GHO": 1.0}


def report(version: str, category: str | None = None, **balances: float) -> MarginReport:
    held = {asset: Decimal(repr(amount)) for asset, amount in balances.items()}
    quotes = {name: AssetQuote(price=price) for name, price in {**PRICES, "AAVE": 100.0}.items()}
    snapshot = Snapshot(as_of=AS_OF, reporting_asset="USD", assets=quotes, listings={})
    return assess(Account(id="a", class_=category, balances=held), snapshot, LOADED(version))


def test_the_coverage_ratio_is_the_health_factor() -> None:
    found = report("aave-v3@2026-01-27", WETH=2.0, WBTC=0.05, USDC=-4_000.0)
    assert found.coverage_ratio == pytest.approx((4_000 * 0.83 + 3_000 * 0.78) / 4_000, rel=1e-12)
    assert found.available_margin == pytest.approx(4_000 * 0.805 + 3_000 * 0.73 - 4_000, rel=1e-12)
    assert found.state == AccountState.HEALTHY
    nothing_owed = report("aave-v3@2026-01-27", WETH=2.0)
    assert (nothing_owed.maintenance_margin, nothing_owed.coverage_ratio) == (0.0, float("inf"))


def test_between_the_two_thresholds_nothing_may_be_borrowed() -> None:
    found = report("aave-v3@2026-01-27", WETH=1.0, USDC=-1_640.0)
    assert found.state == AccountState.MARGIN_CALL
    assert found.available_margin < 0 < found.maintenance_headroom
    assert report("aave-v3@2026-01-27", WETH=1.0, USDC=-1_661.0).state == AccountState.LIQUIDATABLE


def test_a_category_needs_collateral_and_debts_of_its_own() -> None:
    loop = {"WSTETH": 10.0, "WETH": -11.0}
    assert report("aave-v3@2026-01-27", "ETH_CORRELATED", **loop).coverage_ratio == pytest.approx(0.95 * 24 / 22)
    assert report("aave-v3@2026-01-27", None, **loop).coverage_ratio == pytest.approx(0.81 * 24 / 22)
    # other collateral keeps its own threshold, and one debt from elsewhere ends it for all
    mixed = report("aave-v3@2026-01-27", "ETH_CORRELATED", **loop, LINK=100.0)
    assert mixed.coverage_ratio == pytest.approx((0.95 * 24_000 + 0.71 * 1_500) / 22_000)
    foreign = report("aave-v3@2026-01-27", "ETH_CORRELATED", **loop, USDC=-1.0)
    assert foreign.coverage_ratio == pytest.approx(0.81 * 24_000 / 22_001)


def test_some_collateral_lends_in_its_category_only() -> None:
    position = {"LINK": 1_000.0, "USDT": -5_000.0}
    alone, inside = (
        report("aave-v3@2026-01-27", None, **position),
        report("aave-v3@2026-01-27", "LINK__USDC_USDT", **position),
    )
    assert alone.available_margin == pytest.approx(-5_000)
    assert inside.available_margin == pytest.approx(15_000 * 0.66 - 5_000)
    assert alone.coverage_ratio == inside.coverage_ratio == pytest.approx(15_000 * 0.71 / 5_000)
    gho = report("aave-v3@2026-01-27", "LINK__USDC_USDT", LINK=1_000.0, GHO=-5_000.0)
    assert gho.available_margin == pytest.approx(-5_000)  # a debt that this category does not allow


def test_a_spoke_has_one_factor() -> None:
    found = report("aave-v4@2026-09-18", AAVE=100.0, LINK=100.0, USDC=-5_000.0)
    backed = 10_000 * 0.76 + 1_500 * 0.71
    assert found.coverage_ratio == pytest.approx(backed / 5_000)
    assert found.available_margin == found.maintenance_headroom == pytest.approx(backed - 5_000)
    assert (
        report("aave-v4@2026-09-18", WBTC=1.0, USDC=-1.0).state == AccountState.LIQUIDATABLE
    )  # not listed: backs nothing


@pytest.mark.shared
def test_all_published_cases(shared: Path) -> None:
    place = shared / "cases" / "aave_health_liquidation.json"
    if not place.is_file():
        pytest.skip(f"published cases absent: no file {place}")
    published = json.loads(place.read_text(encoding="utf-8"))
    for family in FAMILIES:
        indices = family.indices(Fields(published, ""))
        assert indices
        assert all(verdict(family, published, index).failures == () for index in indices)
