"""Vega: made cases worked by hand for each kind, and the published ones."""

import json
from math import ceil, exp, floor, sqrt
from pathlib import Path
from statistics import NormalDist
from typing import Any

import pytest

from crossmargin.analysis.conformance import vega, vega_risk
from crossmargin.analysis.conformance.fields import Fields
from crossmargin.analysis.conformance.judge import Verdict, judge
from tests.conformance.made import LOADED

FAMILIES = (*vega.FAMILIES, *vega_risk.FAMILIES)
KINDS = {family.kind: family for family in FAMILIES}
PUBLISHED = "vega_margin_settlement.json"
NORMAL = NormalDist()


def verdict(kind: str, given: dict[str, Any], expected: dict[str, Any], **case: float) -> Verdict:
    whole = {"id": "made", "kind": kind, "input": given, "expected": expected, **case}
    return judge(KINDS[kind], Fields({"cases": [whole]}, ""), 0, "made", LOADED)


def misses(found: Verdict) -> list[str]:
    return [failure.figure for failure in found.failures]


def tails(aversion: float, mean: float, deviation: float) -> tuple[float, float]:
    """Means of the lower and of the upper tail of a lognormal."""
    level = NORMAL.inv_cdf(aversion)
    scale = exp(mean + deviation * deviation / 2) / aversion
    return scale * NORMAL.cdf(level - deviation), scale * NORMAL.cdf(level + deviation)


# --- levels


@pytest.mark.parametrize(
    ("position", "bids", "asks"),
    [(7, 0, 0), (-7, 0, 0), (7, 3, 20), (-7, 30, 1), (-7, 4, 0), (0, 5, 0), (0, 0, 5), (0, 0, 0), (7, 0, 5)],
)
def test_levels_are_rounded_maintenance_and_its_shares(position: int, bids: int, asks: int) -> None:
    mark, linear, quadratic, rf_long, rf_short = 12_345.0, 0.013, 0.001, 0.171, 0.113

    def side(held: float, orders: float, factor: float) -> float:
        return held * mark * (linear + quadratic * held) + (held + orders) * factor * mark

    long = side(max(position, 0), bids, rf_long) if position + bids > 0 else 0.0
    short = side(max(-position, 0), asks, rf_short) if position - asks < 0 else 0.0
    whole = ceil(max(long, short))
    given: dict[str, Any] = {"position": position, "buy_orders": bids, "sell_orders": asks, "mark_price": mark}
    given |= {"linear_slippage": linear, "quadratic_slippage": quadratic}
    given |= {"risk_factor_long": rf_long, "risk_factor_short": rf_short}
    given["scaling"] = {"search": 1.17, "initial": 1.333333, "release": 1.9}
    shares = {"search": 117_000, "initial": 133_333, "release": 190_000}  # of 100,000: five decimals count
    levels = {level: whole * share // 100_000 for level, share in shares.items()}
    expected = {"maintenance": whole, **levels}
    assert verdict("cross_margin_levels", given, expected) == Verdict(0.0, ())
    assert misses(verdict("cross_margin_levels", given, {"maintenance": whole + 1})) == ["maintenance"]


def test_levels_from_a_risk_model() -> None:
    model = {"risk_aversion": 0.001, "tau": 0.02, "mu": 0.3, "r": 0.1, "sigma": 0.8}
    low, high = tails(0.001, (0.3 - 0.32) * 0.02, 0.8 * sqrt(0.02))
    for position, factor in ((9, 1 - low), (-9, high - 1)):
        given = {"position": position, "mark_price": 5_000, "linear_slippage": 0.01, "lognormal_risk_model": model}
        expected = {"maintenance": ceil(9 * 5_000 * (0.01 + factor))}
        assert verdict("cross_margin_levels", given, expected) == Verdict(0.0, ())


@pytest.mark.parametrize(("inside", "outside"), [(1_000.0, 1_010.0), (1_010.0, 1_000.0), (1_000.0, 1_000.5)])
def test_a_perpetual_may_owe_its_funding(inside: float, outside: float) -> None:
    interest = (1 + 0.003 * 0.08) * outside - inside
    payment = inside - outside + min(0.0005 * outside, max(-0.0005 * outside, interest))
    given = {"internal_twap": inside, "external_twap": outside, "delta_t_years": 0.003, "interest_rate": 0.08}
    given |= {"clamp_lower": -0.0005, "clamp_upper": 0.0005, "margin_funding_factor": 0.7, "mark_price": 1_005}
    given |= {"risk_factor": 0.1, "linear_slippage": 0.05, "position_long": 2, "position_short": -3}
    expected = {
        "funding_payment": payment,
        "funding_rate": payment / outside,
        "mm_long": 2 * 1_005 * 0.15 + max(0, 0.7 * 2 * payment),
        "mm_short": 3 * 1_005 * 0.15 + max(0, -0.7 * 3 * payment),
    }
    assert misses(verdict("perp_funding_margin", given, expected)) == []


@pytest.mark.parametrize(("size", "factor"), [(3, 0.3), (-3, 0.3), (7, 0.9), (1, 1)])
def test_isolated_margin_is_a_share_of_the_entry(size: int, factor: float) -> None:
    given = {"size": size, "price": 15_501, "margin_factor": factor}
    expected = {"margin": floor(round(abs(size) * 15_501 * factor, 6))}
    assert verdict("isolated_margin", given, expected) == Verdict(0.0, ())


@pytest.mark.parametrize(
    ("position", "price", "buys", "sells", "margin"),
    [
        (5, 50, [], [], 250),
        (-5, 30, [], [], 350),
        (5, 18, [[30, 16]], [[5, 20]], 90 + 480),
        (-5, 18, [], [[5, 17]], 410 + 415),
        (-10, 30, [[15, 18], [30, 16]], [[5, 20]], 700 + 45 * 16),  # the mean bid of 16.67 counts as 16
        (0, 0, [[10, 30]], [], 300),
        (0, 0, [], [[2, 99]], 2),
        (0, 0, [], [], 0),
        (5, 0, [], [], 0),
    ],
)
def test_a_capped_future_is_collateralised(
    position: int, price: int, buys: list[list[int]], sells: list[list[int]], margin: int
) -> None:
    given: dict[str, Any] = {"max_price": 100, "position": position, "entry_or_last_mtm_price": price}
    given |= {"buy_orders": buys, "sell_orders": sells}
    assert verdict("fully_collateralised_capped_future", given, {"margin": margin}) == Verdict(0.0, ())


# --- the risk model


@pytest.mark.parametrize(("mean", "deviation", "tail"), [(-0.2, 0.3, 0.05), (0.5, 1.5, 0.001)])
def test_tails_of_a_lognormal(mean: float, deviation: float, tail: float) -> None:
    low, high = tails(tail, mean, deviation)
    level = deviation * NORMAL.inv_cdf(tail)
    expected = {"var_long": -exp(mean + level), "es_long": -low, "var_short": exp(mean - level), "es_short": high}
    given = {"mu": mean, "sigma": deviation, "lambda": tail}
    assert misses(verdict("lognormal_var_es", given, expected, tolerance=1e-8)) == []
    wrong = {**expected, "var_long": expected["var_long"] * 1.00001}
    assert misses(verdict("lognormal_var_es", given, wrong, tolerance=1e-8)) == ["var_long"]


def test_risk_factors_and_what_a_market_asks_for() -> None:
    low, high = tails(0.01, (0.1 - 0.5) * 0.05, sqrt(0.05))
    model = {"lambda": 0.01, "tau": 0.05, "mu": 0.1, "sigma": 1.0}
    assert misses(verdict("es_risk_factors", model, {"rf_long": 1 - low, "rf_short": high - 1})) == []
    years = 7_200 / 31_557_600
    reach = NORMAL.inv_cdf(0.975) * sqrt(years)
    expected = {
        "target_stake": floor(40 * (high - 1) * 5_000 * 0.3),
        "rf_short": high - 1,
        "price_bound_min": ceil(5_000 * exp((0.1 - 0.5) * years - reach)),
        "price_bound_max": floor(5_000 * exp((0.1 - 0.5) * years + reach)),
    }
    given = {**model, "mark_price": 5_000, "open_interest": 40, "target_stake_scaling": 0.3}
    given |= {"horizon_s": 7_200, "probability": 0.95}
    assert misses(verdict("es_risk_factor_target_stake", given, expected)) == []


@pytest.mark.parametrize(
    ("position", "linear", "quadratic", "funding"),
    [(40, 0.0, 0.0, 0.0), (-40, 0.02, 0.0001, 0.0), (3, 0.1, 0.0, 25.0), (-3, 0.0, 0.0, -25.0), (3, 0.0, 0.0, -25.0)],
)
def test_a_party_with_its_margin_is_closed_at_its_mark(
    position: float, linear: float, quadratic: float, funding: float
) -> None:
    given: dict[str, Any] = {
        "mark_price": 321.0,
        "position": position,
        "linear_slippage": linear,
        "quadratic_slippage": quadratic,
    }
    given |= {"risk_factor_long": 0.12, "risk_factor_short": 0.15, "funding_per_unit": funding}
    given["collateral"] = "equal to maintenance margin at mark"
    assert misses(verdict("liquidation_price_property", given, {"liquidation_price": 321.0})) == []
    assert misses(verdict("liquidation_price_property", given, {"liquidation_price": 321.01})) == ["liquidation_price"]


def test_where_a_party_with_more_is_closed() -> None:
    """Collateral + quantity x (p - mark) = quantity x p x (slippage + factor)."""
    given = {"mark_price": 100.0, "position": 10.0, "linear_slippage": 0.05, "quadratic_slippage": 0.0}
    given |= {"risk_factor_long": 0.1, "risk_factor_short": 0.2, "funding_per_unit": 0, "collateral": 400.0}
    expected = {"liquidation_price": (1_000 - 400) / (10 * (1 - 0.15))}
    assert misses(verdict("liquidation_price_property", given, expected)) == []


@pytest.mark.parametrize(
    ("kind", "given", "place"),
    [
        ("cross_margin_levels", {"mark_price": 10}, "position"),
        ("cross_margin_levels", {"mark_price": 10, "position": 1, "buy_orders": [[1]]}, "buy_orders"),
        ("cross_margin_levels", {"mark_price": 10, "position": 1, "buy_orders": -1}, "buy_orders"),
        ("isolated_margin", {"size": 1, "price": 10, "margin_factor": 0}, "margin_factor"),
        ("lognormal_var_es", {"mu": 0, "sigma": "wide", "lambda": 0.1}, "sigma"),
    ],
)
def test_what_makes_no_sense_is_told_with_its_place(kind: str, given: dict[str, Any], place: str) -> None:
    expected = {"maintenance": 1, "margin": 1, "var_long": 1}
    (failure,) = verdict(kind, given, expected).failures
    assert place in str(failure.computed)


@pytest.mark.shared
@pytest.mark.parametrize("kind", KINDS)
def test_published_cases_reproduce(shared: Path, kind: str) -> None:
    path = shared / "cases" / PUBLISHED
    if not path.is_file():
        pytest.skip(f"published cases absent: no file {path}")
    document, family = Fields(json.loads(path.read_text(encoding="utf-8")), ""), KINDS[kind]
    assert family.recognises(document.value)
    indices = family.indices(document)
    assert indices
    for index in indices:
        assert judge(family, document, index, family.names(document)[index], LOADED).failures == ()
