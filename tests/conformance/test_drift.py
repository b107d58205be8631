"""Drift v2's cases: published ones, figures of its own tests, and made ones against the chain's integers."""

from __future__ import annotations

import copy
from functools import cache
from math import isqrt
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from crossmargin.analysis.conformance.drift import FAMILIES
from crossmargin.analysis.conformance.fields import Fields
from crossmargin.analysis.conformance.judge import judge
from crossmargin.sources import load_rulebook
from crossmargin.sources.cases import load_cases

if TYPE_CHECKING:
    from pathlib import Path

    from crossmargin.analysis.conformance.judge import Verdict

LOADED = cache(load_rulebook)
BY_KIND = {family.kind: family for family in FAMILIES}
TYPES = ("Initial", "Maintenance", "Fill")


def verdict(kind: str, stated: dict[str, Any], expected: dict[str, Any]) -> Verdict:
    document = Fields({"cases": [{"id": "made", "kind": kind, "input": stated, "expected": expected}]}, "")
    return judge(BY_KIND[kind], document, 0, "made", LOADED)


# --- weights and ratios, in the chain's integers


def root_of(size: int) -> int:
    """The root of base units of 1e-9, in units of 1e-5."""
    return isqrt(size * 10 + 1)


def premium(weight: int, imf: int, size: int) -> int:
    return weight - weight // 5 + root_of(size) * imf // 10**7


def asset_weight(weight: int, imf: int, size: int) -> int:
    return min(weight, 1_100_000 * 10_000 // (1_000_000 + root_of(size) * imf // 100_000)) if imf else weight


def spot_weight(stated: dict[str, Any]) -> int:
    size = stated["size_native"] * 10**9 // 10 ** stated["decimals"]
    initial, maintenance = stated["initial_weight"], stated["maintenance_weight"]
    weight = {"Initial": initial, "Maintenance": maintenance, "Fill": (initial + maintenance) // 2}[stated["type"]]
    if stated["side"] == "asset":
        return asset_weight(weight, stated["imf_factor"], size)
    return max(int(weight), premium(weight, stated["imf_factor"], size))


def perpetual_ratio(stated: dict[str, Any]) -> int:
    def of(pair: tuple[int, int]) -> int:
        return {"Initial": pair[0], "Maintenance": pair[1], "Fill": sum(pair) // 2}[stated["type"]]

    imf, size = stated["imf_factor"], stated["size_base_1e9"]
    plain, high = of((stated["initial"], stated["maintenance"])), of((stated["hlm_initial"], stated["hlm_maintenance"]))
    enabled = stated["hlm_initial"] > 0 and stated["hlm_maintenance"] > 0
    if not (stated["high_leverage_user"] and enabled):
        return max(plain, premium(plain, imf, size))
    if stated["type"] == "Maintenance":
        return max(high, premium(high, imf, size))
    sized = premium(plain, imf, size) if imf else plain
    if sized >= plain:
        return sized if sized > plain else high
    room = max(0, 10**6 - (plain - sized) * 10**6 // (plain // 5))
    return high + max(plain - high, 1) * room // 10**6


@pytest.mark.parametrize("side", ["asset", "liability"])
def test_made_spot_weights_reproduce_to_the_integer(side: str) -> None:
    rng = np.random.default_rng(5)
    for number in range(36):
        stated = {
            "side": side,
            "size_native": int(10 ** rng.uniform(0, 15)),
            "decimals": int(rng.choice([5, 6, 8, 9])),
            "imf_factor": int(rng.choice([0, 10, 550, 3_000, 105_000])),
            "initial_weight": int(rng.integers(0, 10_000)) + 10_000 * (side == "liability"),
            "maintenance_weight": int(rng.integers(0, 10_000)) + 10_000 * (side == "liability"),
            "type": TYPES[number % 3],
        }
        assert verdict("spot_weight", stated, {"weight": spot_weight(stated)}).failures == (), stated


@pytest.mark.parametrize("deposits", [0, 19_999.99, 20_000, 60_000, 7_777_777])
@pytest.mark.parametrize("price", [0.37, 25])
def test_made_scaled_weights_reproduce_to_the_integer(deposits: float, price: float) -> None:
    stated = {
        "initial_weight": 8_765,
        "deposits_tokens": deposits,
        "oracle_price": price,
        "scale_start_quote": 500_000,
    }
    value = round(deposits * price * 10**6)
    weight = 8_765 if value < 500_000 * 10**6 else 8_765 * 500_000 * 10**6 // value
    assert verdict("deposit_cap_scaled_weight", stated, {"weight": weight}).failures == ()


def made_ratio(rng: np.random.Generator, number: int) -> dict[str, Any]:
    high = [int(part) for part in np.sort(rng.integers(20, 200, 2))] if number % 4 else [0, 0]
    plain = [int(part) for part in np.sort(rng.integers(200, 2_500, 2))]
    return {
        "size_base_1e9": int(10 ** rng.uniform(0, 17)),
        "type": TYPES[number % 3],
        "high_leverage_user": bool(number % 2),
        "initial": plain[1],
        "maintenance": plain[0],
        "hlm_initial": high[1],
        "hlm_maintenance": high[0],
        "imf_factor": int(rng.choice([0, 50, 1_000, 3_000])),
    }


def test_made_perpetual_ratios_reproduce_to_the_integer() -> None:
    rng = np.random.default_rng(6)
    for number in range(48):
        stated = made_ratio(rng, number)
        assert verdict("perp_margin_ratio", stated, {"ratio": perpetual_ratio(stated)}).failures == (), stated


# sizes in whole units, and the ratios that the venue's own tests state (new_hlm_imf_size)
@pytest.mark.parametrize(
    ("size", "kind", "high", "ratio"),
    [
        (1_000_000, "Initial", False, 1_300),
        (1, "Initial", True, 100),
        (10, "Initial", True, 104),
        (3_000, "Maintenance", True, 67),
        (300_000, "Maintenance", True, 313),
    ],
)
def test_the_high_leverage_figures_of_the_venue(size: int, kind: str, high: bool, ratio: int) -> None:
    stated = {
        "size_base_1e9": size * 10**9,
        "type": kind,
        "high_leverage_user": high,
        "initial": 1_000,
        "maintenance": 500,
        "hlm_initial": 100,
        "hlm_maintenance": 50,
        "imf_factor": 50,
    }
    assert perpetual_ratio(stated) == ratio
    assert verdict("perp_margin_ratio", stated, {"ratio": ratio}).failures == ()


def test_no_position_has_the_ratio_of_the_least_one() -> None:
    stated = {"size_base_1e9": "0", "type": "Fill", "initial": 1_000, "maintenance": 500, "imf_factor": 50}
    assert verdict("perp_margin_ratio", stated, {"ratio": 750}).failures == ()


# --- accounts, in dollars


def strict_prices(token: dict[str, Any], stated: dict[str, Any]) -> tuple[float, float]:
    both = (token["price"], token["twap5"] if stated["strict"] else token["price"])
    return min(both), max(both)


def by_type(stated: dict[str, Any], initial: float, maintenance: float, ticks: float = 1e-4) -> float:
    middle = (initial + maintenance) / 2
    return {"Initial": initial, "Maintenance": maintenance, "Fill": int(middle / ticks + 1e-9) * ticks}[stated["type"]]


def spot(stated: dict[str, Any], token: dict[str, Any], own: float) -> tuple[float, float]:
    """A token's requirement and collateral with the worse side of its orders filled."""
    low, high = strict_prices(token, stated)
    buffer = stated.get("margin_buffer", 0.0)
    worth = token["balance"] * (low if token["balance"] > 0 else high)
    asset = by_type(stated, token["initial_asset"], token["maintenance_asset"])
    liability = by_type(stated, token["initial_liability"], token["maintenance_liability"])
    sides = []
    for orders in (-token.get("open_asks", 0), token.get("open_bids", 0)):
        paid = -orders * high
        after = worth - paid
        sides.append((after * (asset if after > 0 else liability) + paid, after, paid))
    _, after, paid = min(sides, key=lambda side: side[0])
    weight = min(asset, max(0.0, 1 - own)) if after > 0 else max(liability, 1 + own)
    if not own:
        weight = asset if after > 0 else liability
    required = max(-after, 0) * (weight + buffer) + max(-paid, 0) * (1 + buffer)
    return required + 0.01 * token.get("open_orders", 0), max(after, 0) * weight + max(paid, 0)


def perp(stated: dict[str, Any], one: dict[str, Any], own: float) -> tuple[float, float]:
    low, high = strict_prices(stated["quote"], stated)
    buffer = stated.get("margin_buffer", 0.0)
    owed = max(
        abs(base) * (1 - one["price"] if one.get("prediction") and base < 0 else one["price"])
        for base in (one["base"] + one.get("open_bids", 0), one["base"] - one.get("open_asks", 0))
    )
    ratio = max(own, by_type(stated, one["ratio_initial"], one["ratio_maintenance"]))
    pnl = one["base"] * one["price"] + one["entry_quote"]
    name = "maintenance" if stated["type"] == "Maintenance" else "initial"
    gain = pnl * low * one[f"upnl_weight_{name}"] if pnl > 0 else pnl * high * (1 + buffer)
    gain = min(gain, 100.0) if stated["type"] == "Initial" else gain
    return owed * high * (ratio + buffer) + 0.01 * one.get("open_orders", 0), gain


def account(stated: dict[str, Any]) -> dict[str, float]:
    own = stated.get("user_max_margin_ratio", 0.0) if stated["type"] == "Initial" else 0.0
    required, collateral = spot(stated, stated["quote"], 0.0)
    alone = [0.0, 0.0]
    for token in stated["spot"].values():
        one, other = spot(stated, token, own)
        required, collateral = required + one, collateral + other
    for one in stated["perps"]:
        margin, gain = perp(stated, one, own)
        if "isolated_deposit" in one:
            alone[0] += margin
            alone[1] += gain + one["isolated_deposit"] * strict_prices(stated["quote"], stated)[0]
        else:
            required, collateral = required + margin, collateral + gain
    return {
        "margin_requirement": required,
        "total_collateral": collateral,
        "isolated_margin_requirement": alone[0],
        "isolated_total_collateral": alone[1],
    }


def made_spot(rng: np.random.Generator, price: float) -> dict[str, Any]:
    cut = float(rng.choice([0.1, 0.2, 0.5]))
    bids, asks = (float(rng.choice([0, rng.uniform(1, 20)])) for _ in range(2))
    return {
        "balance": float(rng.choice([0.0, rng.normal(0, 100)])),
        "price": price,
        "twap5": price * float(rng.choice([1.0, 0.95, 1.04])),
        "open_bids": bids,
        "open_asks": asks,
        "open_orders": int(bids > 0) + int(asks > 0) + int(rng.choice([0, 1])),
        "initial_asset": 1 - 2 * cut if cut < 0.5 else 0.0,
        "maintenance_asset": 1 - cut,
        "initial_liability": 1 + 2 * cut,
        "maintenance_liability": 1 + cut,
    }


def made_perp(rng: np.random.Generator) -> dict[str, Any]:
    prediction = rng.random() < 0.3
    base = float(rng.choice([0.0, rng.normal(0, 300)]))
    one = {
        "base": base,
        "price": float(rng.uniform(0.1, 0.9)) if prediction else float(rng.uniform(1, 200)),
        "entry_quote": float(rng.choice([0.0, rng.normal(0, 5_000)])),
        "ratio_initial": 0.1,
        "ratio_maintenance": 0.05,
        "upnl_weight_initial": float(rng.choice([0.0, 0.5, 1.0])),
        "upnl_weight_maintenance": 1.0,
        "prediction": prediction,
    }
    if base and rng.random() < 0.3:
        return one | {"isolated_deposit": float(rng.uniform(0, 100))}
    bids, asks = (float(rng.choice([0, rng.uniform(1, 400)])) for _ in range(2))
    return one | {"open_bids": bids, "open_asks": asks, "open_orders": int(rng.integers(0, 4))}


def made_account(seed: int) -> dict[str, Any]:
    rng = np.random.default_rng([7, seed])
    quote = {
        "balance": float(rng.choice([0.0, rng.normal(3_000, 6_000)])),
        "price": float(rng.choice([1.0, 0.99, 1.01])),
        "twap5": float(rng.choice([1.0, 0.98, 1.02])),
        **dict.fromkeys(("initial_asset", "maintenance_asset", "initial_liability", "maintenance_liability"), 1.0),
    }
    stated: dict[str, Any] = {
        "type": TYPES[seed % 3],
        "strict": bool(rng.random() < 0.5),
        "quote": quote,
        "spot": {name: made_spot(rng, price) for name, price in (("SOL", 100.0), ("USD", 3.0))[: rng.integers(0, 3)]},
        "perps": [made_perp(rng) for _ in range(int(rng.integers(0, 4)))],
    }
    if rng.random() < 0.3:
        stated["user_max_margin_ratio"] = float(rng.choice([0.2, 0.5, 2.0]))
    if rng.random() < 0.3:
        stated["margin_buffer"] = 0.1
    return stated


@pytest.mark.parametrize("seed", range(48))
def test_made_accounts_reproduce(seed: int) -> None:
    stated = made_account(seed)
    assert verdict("account_margin", stated, account(stated)).failures == ()


def test_a_wrong_figure_or_parameter_is_told() -> None:
    noticed = 0
    for seed in range(5):
        stated = made_account(seed)
        expected = account(stated)
        wrong = {name: figure + 1e-6 * max(1.0, abs(figure)) for name, figure in expected.items()}
        assert {failure.figure for failure in verdict("account_margin", stated, wrong).failures} == expected.keys()
        document = {"cases": [{"id": "made", "kind": "account_margin", "input": stated, "expected": expected}]}
        family = BY_KIND["account_margin"]
        for *steps, last in family.parameters(Fields(document, ""), 0).values():
            changed: Any = copy.deepcopy(document)
            place = changed
            for step in steps:
                place = place[step]
            place[last] *= 1.01
            noticed += bool(judge(family, Fields(changed, ""), 0, "made", LOADED).failures)
    assert noticed > 10


@pytest.mark.parametrize(
    ("kind", "stated", "told"),
    [
        ("spot_weight", {"side": "both", "size_native": 1}, "asset or liability"),
        ("spot_weight", {"side": "asset", "size_native": 1, "decimals": -1e300}, "a number of decimals"),
        ("perp_margin_ratio", {"size_base_1e9": "much", "initial": 1, "maintenance": 1, "imf_factor": 0}, "a number"),
        (
            "perp_margin_ratio",
            {"size_base_1e9": 1, "initial": 1, "maintenance": 1, "imf_factor": 0, "type": "x"},
            "Fill",
        ),
        ("account_margin", {"quote": {"price": 0}, "spot": {}, "perps": []}, "above 0"),
        ("deposit_cap_scaled_weight", {"deposits_tokens": 1, "scale_start_quote": 1}, "initial_weight"),
    ],
)
def test_what_makes_no_sense_is_refused(kind: str, stated: dict[str, Any], told: str) -> None:
    (failure,) = verdict(kind, stated, {"weight": 1, "ratio": 1}).failures
    assert failure.figure == "case"
    assert told in str(failure.computed)


@pytest.mark.shared
def test_published_requirements_reproduce(shared: Path) -> None:
    directory = shared / "cases"
    if not directory.is_dir():
        pytest.skip(f"published cases absent: no directory {directory}")
    seen = dict.fromkeys(BY_KIND, 0)
    for document in load_cases(directory).values():
        for family in FAMILIES:
            if family.recognises(document):
                fields = Fields(document, "")
                for index in family.indices(fields):
                    found = judge(family, fields, index, family.names(fields)[index], LOADED)
                    assert found.failures == ()
                    seen[family.kind] += 1
    assert all(seen.values())
