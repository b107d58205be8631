"""Aave's published liquidations, run through the state machine: who repays what for which collateral is posted."""

from __future__ import annotations

from fractions import Fraction
from math import nextafter
from typing import TYPE_CHECKING, Any

import pytest

from crossmargin import load_rulebook
from crossmargin.analysis.conformance.linear_market import decimal_at
from crossmargin.analysis.conformance.linear_market import snapshot_of as market_with
from crossmargin.clearing import Outside
from crossmargin.clearing.events import Posted
from crossmargin.clearing.ledger import TREASURY, WALLET, Row
from crossmargin.errors import Failure
from crossmargin.margin import with_values
from tests.clearing.posed import DIGITS, Posed, units
from tests.clearing.published import case_at, cases_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from crossmargin.analysis.conformance.fields import Fields
    from crossmargin.clearing.rules import Figures

FILE = "aave_health_liquidation"
OWN = "liquidation.parameters"
V4 = "aave-v4"
V3 = "aave-v3"


def exact(fields: Fields, key: str) -> Fraction:
    return Fraction(decimal_at(fields, key))


def lent_house(
    name: str,
    changes: Mapping[str, Any],
    held: Mapping[str, tuple[Fraction, float]],
    owed: Mapping[str, tuple[Fraction, float]],
    inputs: Mapping[str, float] | None = None,
) -> Posed:
    """A user who lends and owes amounts at prices, by asset, and a liquidator without an end of money."""
    rulebook = with_values(load_rulebook(name), dict(changes), source="a case")
    prices = {asset: price for asset, (_, price) in (*held.items(), *owed.items())}
    outside = Outside(taker="liquidator", inputs=inputs or {})
    posed = Posed(rulebook, market_with([], "USD", prices), outside, ("user", "liquidator"))
    posed.quote()
    rows: list[Row] = [("user", WALLET, asset, units(amount)) for asset, (amount, _) in held.items()]
    rows += [("user", WALLET, asset, -units(amount)) for asset, (amount, _) in owed.items()]
    rows += [("liquidator", WALLET, asset, 10 ** (DIGITS + 9)) for asset in owed]
    posed.open(rows)
    posed.quote()
    return posed


def repayments(posed: Posed) -> list[dict[tuple[str, str], Fraction]]:
    """What each repayment moved, by owner and asset."""
    told = [r.event for r in posed.records if isinstance(r.event, Posted) and r.event.cause == "liquidation: repay"]
    found = []
    for event in told:
        moved: dict[tuple[str, str], Fraction] = {}
        for owner, _, asset, amount in event.rows:
            moved[owner, asset] = moved.get((owner, asset), Fraction(0)) + Fraction(amount, 10**DIGITS)
        found.append(moved)
    return found


def figures_of(posed: Posed) -> Figures:
    report = posed.rules.assess(posed.state, {"user": posed.state.balances["user"]})["user"]
    assert not isinstance(report, Failure)
    (figures,) = report
    return figures


@pytest.mark.parametrize("at", cases_of(FILE, {"v4_bonus"}))
def test_bonus(at: tuple[str, int]) -> None:
    """What is seized for a repayment is worth more by the bonus of that health factor."""
    case = case_at(at)
    given = case.needed("input")
    health = float(exact(given, "health_factor"))
    if health == 1.0:  # 1 - 1e-18: the nearest that a double tells from 1, where the case must not look healthy
        health = nextafter(1.0, 0.0)
    changes = {
        "charges.haircuts.collateral_factor": {"by": "asset", "HELD": 0.5, "default": 0},
        f"{OWN}.hf_for_max_bonus": float(exact(given, "hf_for_max_bonus")),
        f"{OWN}.bonus_factor": float(exact(given, "bonus_factor")),
        f"{OWN}.most_bonus": {"by": "asset", "default": float(exact(given, "max_bonus"))},
        f"{OWN}.liquidation_fee": 0.0,
        f"{OWN}.dust": 0.0,
    }
    # a debt of 1: the collateral that counts is the health factor itself
    posed = lent_house(V4, changes, {"HELD": (2 * Fraction(health), 1.0)}, {"OWED": (Fraction(1), 1.0)})
    first = repayments(posed)[0]
    bonus = -first["user", "HELD"] / first["user", "OWED"]
    assert bonus * 10_000 // 1 == case.needed("expected").number("bonus_bps_floor")


@pytest.mark.parametrize("at", cases_of(FILE, {"v4_debt_to_target"}))
def test_debt_to_target(at: tuple[str, int]) -> None:
    """As much is repaid as brings the health factor to the target."""
    case = case_at(at)
    given = case.needed("input")
    factor, debts = exact(given, "collateral_factor"), exact(given, "total_debt_usd")
    changes = {
        "charges.haircuts.collateral_factor": {"by": "asset", "HELD": float(factor), "default": 0},
        f"{OWN}.target": float(exact(given, "target_hf")),
        f"{OWN}.most_bonus": {"by": "asset", "default": float(exact(given, "bonus"))},
        f"{OWN}.bonus_factor": 1.0,
    }
    price = float(exact(given, "debt_price"))
    held = debts * exact(given, "hf") / factor
    posed = lent_house(V4, changes, {"HELD": (held, 1.0)}, {"OWED": (debts / Fraction(price), price)})
    (only,) = repayments(posed)
    assert only["user", "OWED"] == exact(case.needed("expected"), "debt")
    assert figures_of(posed).coverage_ratio == pytest.approx(float(exact(given, "target_hf")), rel=1e-12)


@pytest.mark.parametrize("at", cases_of(FILE, {"v4_amounts"}))
def test_amounts(at: tuple[str, int]) -> None:
    """A repayment's three amounts, of an account whose other collateral makes up the health factor that is stated."""
    case = case_at(at)
    given, expected = case.needed("input"), case.needed("expected")
    factor, balance = exact(given, "collateral_factor"), exact(given, "collateral_balance")
    debts = exact(given, "total_debt_usd")
    prices = {key: float(exact(given, f"{key}_price")) for key in ("debt", "collateral")}
    other = debts * exact(given, "hf") - balance * Fraction(prices["collateral"]) * factor
    changes = {
        "charges.haircuts.collateral_factor": {"by": "asset", "HELD": float(factor), "OTHER": 1.0, "default": 0},
        f"{OWN}.target": float(exact(given, "target_hf")),
        f"{OWN}.most_bonus": {"by": "asset", "default": float(exact(given, "max_bonus"))},
        f"{OWN}.bonus_factor": float(exact(given, "bonus_factor")),
        f"{OWN}.hf_for_max_bonus": float(exact(given, "hf_for_max_bonus")),
        f"{OWN}.liquidation_fee": float(exact(given, "liquidation_fee")),
        f"{OWN}.dust": float(exact(given, "dust_threshold_usd")),
    }
    posed = lent_house(
        V4,
        changes,
        {"HELD": (balance, prices["collateral"]), "OTHER": (other, 1.0)},
        {"OWED": (exact(given, "debt_balance"), prices["debt"])},
        {"debt_to_cover": float(exact(given, "debt_to_cover"))},
    )
    (only,) = repayments(posed)
    for owner, asset, key, sign in (
        ("user", "OWED", "debt_to_liquidate", 1),
        ("user", "HELD", "collateral_to_liquidate", -1),
        ("liquidator", "HELD", "collateral_to_liquidator", 1),
    ):
        assert float(only[owner, asset]) == pytest.approx(sign * float(exact(expected, key)), rel=1e-12), key
    assert only[TREASURY, "HELD"] == -only["user", "HELD"] - only["liquidator", "HELD"]


@pytest.mark.parametrize("at", cases_of(FILE, {"v4_close_property"}))
def test_close(at: tuple[str, int]) -> None:
    """A repayment brings the health factor to the target."""
    case = case_at(at)
    stated, expected = case.needed("input"), case.needed("expected")
    held, debts = (list(stated.objects(key)) for key in ("collaterals", "debts"))
    seized = held[int(stated.number("seize_index"))]
    factors = {one.text("asset"): float(one.text("collateral_factor")) for one in held}
    changes: dict[str, Any] = {
        "charges.haircuts.collateral_factor": {"by": "asset", "default": 0, **factors},
        f"{OWN}.target": float(stated.text("target_hf")),
        f"{OWN}.most_bonus": {"by": "asset", "default": float(seized.text("bonus"))},
        f"{OWN}.bonus_factor": 1.0,
        f"{OWN}.liquidation_fee": 0.0,
        f"{OWN}.dust": 0.0,
    }
    of_user, owed = (
        {one.text("asset"): (exact(one, "amount"), float(one.text("price"))) for one in listed}
        for listed in (held, debts)
    )
    posed = lent_house(V4, changes, of_user, owed)
    tolerance = max(case.number("tolerance", 0.0), 1e-9)
    assert figures_of(posed).coverage_ratio == pytest.approx(expected.number("hf_after"), abs=tolerance)
    assert seized.text("asset") == min(of_user)  # of two collaterals the machine takes the first by name
    first, debt = repayments(posed)[0], debts[int(stated.number("repay_index"))]
    repaid = float(first["user", debt.text("asset")]) * float(debt.text("price"))
    assert repaid == pytest.approx(case.needed("derived").number("debt_to_repay_usd"), rel=1e-9)
    left = float(posed.state.balances["user"][WALLET, seized.text("asset")]) / 10**DIGITS * float(seized.text("price"))
    assert left == pytest.approx(case.needed("derived").number("collateral_left_usd"), rel=1e-9)


@pytest.mark.parametrize("at", cases_of(FILE, {"v37_close_factor"}))
def test_close_factor_at_a_low_health_factor(at: tuple[str, int]) -> None:
    """All of the debt is repaid at once where the health factor is low."""
    case = case_at(at)
    given = case.needed("input")
    worth, threshold = exact(given, "weth_amount") * exact(given, "weth_price"), exact(given, "lt")
    debt = worth * threshold / exact(given, "target_hf")
    changes = {
        "charges.haircuts.threshold": {"by": "asset", "default": float(threshold)},
        f"{OWN}.bonus": {"by": "asset", "default": float(exact(given, "bonus"))},
        f"{OWN}.protocol_fee": float(exact(given, "protocol_fee")),
        f"{OWN}.hf_of_whole": float(exact(given, "close_factor_hf_threshold")),
        f"{OWN}.small": float(exact(given, "small_position_threshold_usd")),
        f"{OWN}.least_left": float(exact(given, "min_leftover_usd")),
    }
    held = {"WETH": (exact(given, "weth_amount"), float(exact(given, "weth_price")))}
    posed = lent_house(V3, changes, held, {"OWED": (debt, 1.0)})
    (only,) = repayments(posed)
    owed = Fraction(units(debt), 10**DIGITS)
    assert only["user", "OWED"] == exact_factor(case) * owed
    assert (WALLET, "OWED") not in posed.state.balances["user"]


def exact_factor(case: Fields) -> Fraction:
    return Fraction(case.needed("expected").number("close_factor"))


@pytest.mark.parametrize("at", cases_of(FILE, {"v37_close_factor2"}))
def test_close_factor_of_a_small_collateral(at: tuple[str, int]) -> None:
    """Of a small collateral all is seized, for more of the debt than half; a larger one is left half."""
    case = case_at(at)
    given, expected = case.needed("input"), case.needed("expected")
    small = exact(given, "small_position_threshold_usd")
    threshold, bonus = exact(given, "lt"), Fraction(21, 20)

    def repaid(seized: Fraction) -> tuple[Fraction, Fraction]:
        """Return the debt, and what is first repaid of it."""
        other = exact(given, "other_collateral_usd")
        debt = (seized + other) * threshold / exact(given, "hf")
        changes = {
            "charges.haircuts.threshold": {"by": "asset", "default": float(threshold)},
            f"{OWN}.bonus": {"by": "asset", "default": float(bonus)},
            f"{OWN}.hf_of_whole": float(exact(given, "close_factor_hf_threshold")),
            f"{OWN}.small": float(small),
            f"{OWN}.least_left": 0.0,
        }
        held = {"HELD": (seized, 1.0), "OTHER": (other, 1.0)}
        posed = lent_house(V3, changes, held, {"OWED": (debt, 1.0)})
        return debt, repayments(posed)[0]["user", "OWED"]

    seized = exact(given, "seized_collateral_usd")
    debt, paid = repaid(seized)
    assert (debt > small) == expected.flag("debt_gt_threshold")
    # the whole debt is on offer (close factor 1), and the collateral is what ends it
    assert float(paid) == pytest.approx(float(min(exact_factor(case) * debt, seized / bonus)), rel=1e-12)
    assert paid > debt / 2
    debt, paid = repaid(small + 1)
    assert float(paid) == pytest.approx(float(debt / 2), rel=1e-12)
