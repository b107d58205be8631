"""Synthetix v3: made cases worked by hand (fills, fees, guards, windows, discounts), and the published ones."""

import json
from pathlib import Path
from typing import Any

import pytest

from crossmargin.analysis.conformance.fields import Fields
from crossmargin.analysis.conformance.judge import Verdict, judge
from crossmargin.analysis.conformance.synthetix import FAMILIES
from tests.conformance.made import LOADED

KINDS = {family.kind: family for family in FAMILIES}
PUBLISHED = "synthetix_v3_perps.json"
MARKET = {"skew_scale": 1000, "im_fraction": 2, "min_im_ratio": 0.02, "mm_scalar": 0.4, "flag_reward_ratio": 0.001}
GUARDS = {"min_reward": 5, "min_profit_ratio": 0.5, "max_reward": 60, "max_scaling_ratio": 0.1}


def verdict(kind: str, given: dict[str, Any], expected: dict[str, Any]) -> Verdict:
    case = {"id": "made", "kind": kind, "input": given, "expected": expected}
    return judge(KINDS[kind], Fields({"cases": [case]}, ""), 0, "made", LOADED)


def misses(found: Verdict) -> list[str]:
    return [failure.figure for failure in found.failures]


def account(size: float = -20.0, price: float = 2_100.0, **changes: object) -> dict[str, Any]:
    """Short 20 at a mark of 2,000 in a market already 50 long: filled at 2,000 x (1 + (50 + 30) / 2 / 1000)."""
    position = {"size": size, "mark_at_fill": 2_000, "skew_before_fill": 50}
    return {
        "collateral_usd": 10_000,
        "markets": {"ETH": {**MARKET, "min_position_margin": 30}},
        "positions": {"ETH": position},
        "prices": {"ETH": price},
        "guards": GUARDS,
        **changes,
    }


def test_an_account_is_worked_by_hand() -> None:
    gain = -20 * (2_100 - 2_000 * 1.04)
    ratio = 20 / 1000 * 2 + 0.02
    reward = max(5, 42_000 * 0.001)
    expected = {
        "pnl": {"ETH": gain},
        "available_margin": 10_000 + gain,
        "initial_margin_excl_reward": 42_000 * ratio + 30,
        "maintenance_margin_excl_reward": 42_000 * ratio * 0.4 + 30,
        "liquidation_reward": reward,
        "withdrawable_margin": 10_000 + gain - 42_000 * ratio - 30 - reward,
        "liquidatable": False,
    }
    assert misses(verdict("account_req", account(), expected)) == []
    wrong = {**expected, "liquidatable": True, "pnl": {"ETH": gain + 1e-4}}
    assert misses(verdict("account_req", account(), wrong)) == ["liquidatable", "pnl.ETH"]


@pytest.mark.parametrize(("left", "closed"), [(1e-6, False), (-1e-6, True)])
def test_the_reward_stands_in_the_trigger(left: float, closed: bool) -> None:
    gain = -20 * (2_100 - 2_080)
    needed = 42_000 * 0.06 * 0.4 + 30 + 42
    given = account(collateral_usd=needed - gain + left)
    assert misses(verdict("account", given, {"liquidatable": closed})) == []


def test_without_a_position_nothing_is_liquidated() -> None:
    given = account(positions={}, collateral_usd=0)
    assert misses(verdict("account", given, {"liquidatable": False, "available_margin": 0})) == []


@pytest.mark.parametrize(
    ("delta", "skew", "taken"),
    [(10.0, 50.0, 10.0), (-10.0, 50.0, 0.0), (-80.0, 50.0, 30.0), (5.0, 0.0, 5.0), (-20.0, -4.0, 20.0)],
)
def test_an_order_fills_at_the_mean_premium_and_pays_fees(delta: float, skew: float, taken: float) -> None:
    fill = 2_000 * (1 + (skew + delta / 2) / 1000)
    fees = (0.001 * taken + 0.0002 * (abs(delta) - taken)) * fill
    after = 3 + delta
    margin = abs(after) * 2_000 * (abs(after) / 1000 * 2 + 0.02)
    reward = min(max(5, abs(after) * 2.0), 60, 0.1 * 9_000)
    given = {
        "collateral_usd": 9_000,
        "markets": {"ETH": {**MARKET, "maker_fee": 0.0002, "taker_fee": 0.001}},
        "positions_after": {"ETH": after},
        "order": {"market": "ETH", "size_delta": delta, "skew_before": skew},
        "prices": {"ETH": 2_000},
        "guards": GUARDS,
    }
    left = 9_000 - delta * (fill - 2_000)
    required = margin + reward + fees
    expected = {"required_margin": required, "available_margin_after_fill_pnl": left, "accepted": left >= required}
    assert misses(verdict("order", given, expected)) == []


@pytest.mark.parametrize(
    ("cost", "backing", "reward"),
    [
        (0, 10_000, 42.0),  # the flag reward
        (200, 10_000, 60.0),  # most reward
        (0, 100, 10.0),  # a share of the collateral
        (0, 0, 42.0),  # no collateral: only most reward caps
        (1, 10_000, 43.0),
    ],
)
def test_the_reward_is_kept_within_guards(cost: float, backing: float, reward: float) -> None:
    given = {"position_notionals": [30_000, 12_000], "flag_reward_ratios": [0.001, 0.001], "guards": GUARDS}
    given |= {"cost_of_execution": cost, "collateral_usd": backing}
    assert misses(verdict("keeper", given, {"reward": reward})) == []


@pytest.mark.parametrize(("size", "windows"), [(15.0, 1), (15.1, 2), (-40.0, 3)])
def test_further_windows_pay_again(size: float, windows: int) -> None:
    market = {**MARKET, "maker_fee": 0.0002, "taker_fee": 0.0008, "multiplier": 1.5, "window_seconds": 10}
    given = account(size, 2_000.0, markets={"ETH": market}, guards={**GUARDS, "max_reward": 1000})
    reward = max(5, abs(size) * 2.0) + (windows - 1) * 5
    assert misses(verdict("account_req", given, {"liquidation_reward": reward})) == []


@pytest.mark.parametrize(
    ("cost", "flag", "collateral", "reward"),
    [
        (("3333", "5555"), "0", 10**22, 8888 * 1005 // 1000),
        (("3333", "5555"), "50000000000000000", 10**22, 5 * 10**18 + 8888),
        (("0", "0"), "0", 10**22, 1),
        (("0", "0"), "50000000000000000", 10**19 + 7, (10**19 + 7) // 200),  # a share of the collateral, cut to a wei
    ],
)
def test_rewards_are_exact_to_the_wei(cost: tuple[str, str], flag: str, collateral: int, reward: int) -> None:
    given: dict[str, Any] = {
        "notional_at_liquidation": str(10**20),
        "flag_reward_ratio": flag,
        "collateral_usd": str(collateral),
    }
    given |= {"flag_cost": cost[0], "liquidate_cost": cost[1]}
    guards = {"min_reward": "1", "min_profit_ratio": "5000000000000000", "max_reward": str(10**19)}
    given["guards"] = {**guards, "max_scaling_ratio": "5000000000000000"}
    assert verdict("keeper_wei", given, {"reward": str(reward)}) == Verdict(0.0, ())
    assert misses(verdict("keeper_wei", given, {"reward": str(reward + 1)})) == ["reward"]


def test_collateral_is_discounted_within_its_limits() -> None:
    coin = {"price": 10.0, "skew_scale": 100, "discount_scalar": 2.0, "lower_limit": 0.03, "upper_limit": 0.2}
    amounts = {"A": (1.0, 0.03), "B": (5.0, 0.1), "C": (50.0, 0.2)}
    coins = [{"asset": name, "amount": amount, **coin} for name, (amount, _) in amounts.items()]
    coins.append({"asset": "D", "amount": 7.0, **coin, "skew_scale": 0})
    worth = sum(10 * amount * (1 - cut) for amount, cut in amounts.values()) + 70
    expected = {"discounts": [cut for _, cut in amounts.values()] + [0.0], "available_margin": worth}
    assert misses(verdict("discount", {"collaterals": coins}, expected)) == []


@pytest.mark.parametrize(
    ("wrong", "place"),
    [
        ({"prices": {}}, "cases[0].input.prices"),
        ({"positions": {"ETH": {"size": "many"}}}, "positions.ETH.size"),
        ({"markets": {"ETH": {"skew_scale": True}}}, "markets.ETH.skew_scale"),
        ({"guards": {"min_reward": "x"}}, "guards.min_reward"),
    ],
)
def test_what_makes_no_sense_is_told_with_its_place(wrong: dict[str, Any], place: str) -> None:
    (failure,) = verdict("account", account(**wrong), {"available_margin": 0}).failures
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
