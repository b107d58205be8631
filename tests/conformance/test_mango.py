"""Mango v4's health cases: the published ones, and made ones against a second calculation, token by token."""

from __future__ import annotations

import copy
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from crossmargin.analysis.conformance.fields import Fields
from crossmargin.analysis.conformance.judge import judge
from crossmargin.analysis.conformance.mango import FAMILY
from crossmargin.sources import load_rulebook
from crossmargin.sources.cases import load_cases

if TYPE_CHECKING:
    from pathlib import Path

    from crossmargin.analysis.conformance.judge import Verdict

LOADED = cache(load_rulebook)
TYPES = ("init", "maint", "liq_end")


def verdict(case: dict[str, Any]) -> Verdict:
    document = Fields({"cases": [case]}, "")
    return judge(FAMILY, document, 0, "case", LOADED)


# --- a second calculation, in tokens


def weights(token: dict[str, Any], kind: str) -> tuple[float, float]:
    """A token's asset and liability weight; initial ones scaled by what its bank holds and lends."""
    if kind == "maint":
        return token["maint_asset_weight"], token["maint_liab_weight"]
    asset, liability = token["init_asset_weight"], token["init_liab_weight"]
    worst = max(token["price"], token["stable"])
    deposits = (token.get("bank_deposits", 0) + token.get("bank_potential_orders", 0)) * worst
    borrows = token.get("bank_borrows", 0) * worst
    if kind == "init" and deposits > token.get("deposit_scale_start", np.inf):
        asset *= token["deposit_scale_start"] / deposits
    if kind == "init" and borrows > token.get("borrow_scale_start", np.inf):
        liability *= borrows / token["borrow_scale_start"]
    return asset, liability


def prices(quoted: dict[str, Any], kind: str) -> tuple[float, float]:
    """The prices at which something is held, and owed."""
    both = (quoted["price"], quoted["stable"] if kind == "init" else quoted["price"])
    return min(both), max(both)


def unsettled(perp: dict[str, Any], kind: str) -> float:
    """What a perpetual adds to the balance of its settle token."""
    stem = "maint" if kind == "maint" else "init"
    low, high = prices(perp, kind)

    def filled(lots: float, price: float) -> float:
        base = (perp["base_lots"] + lots) * perp["base_lot_size"]
        side, at = ("liab", high) if base < 0 else ("asset", low)
        return float(base * perp[f"{stem}_base_{side}_weight"] * at - lots * perp["base_lot_size"] * price)

    found = float(perp["quote"]) + min(filled(perp["bids_lots"], high), filled(-perp["asks_lots"], low))
    return found * perp[f"{stem}_overall_asset_weight"] if found > 0 else found


def reserves(market: dict[str, Any], tokens: dict[str, Any], kind: str) -> tuple[float, float]:
    """All that a market's orders reserve as base tokens, and as quote tokens."""
    (base_low, base_high), (quote_low, quote_high) = (prices(tokens[market[key]], kind) for key in ("base", "quote"))
    bought, sold = market["reserved_quote"] * quote_low / base_high, market["reserved_base"] * base_low / quote_high
    if "highest_bid" in market:
        bought = min(bought, market["reserved_quote"] / market["highest_bid"])
    if "lowest_ask" in market:
        sold = min(sold, market["reserved_base"] * market["lowest_ask"])
    return market["reserved_base"] + bought, market["reserved_quote"] + sold


def health(case: dict[str, Any]) -> float:
    tokens, kind = case["tokens"], case["health_type"]
    balances = {name: float(token["balance"]) for name, token in tokens.items()}
    for perp in case.get("perps", []):
        balances[perp["settle_token"]] += unsettled(perp, kind)

    def unit_worths(name: str) -> tuple[float, float]:
        (asset, liability), (low, high) = weights(tokens[name], kind), prices(tokens[name], kind)
        return asset * low, liability * high

    total = sum(balance * unit_worths(name)[balance < 0] for name, balance in balances.items())
    stacked = dict(balances)
    markets = case.get("spot_open_orders", [])
    for market in markets:
        for key, amount in zip(("base", "quote"), reserves(market, tokens, kind), strict=True):
            stacked[market[key]] += amount
    for market in markets:
        effects = []
        for key, amount in zip(("base", "quote"), reserves(market, tokens, kind), strict=True):
            held, (asset, liability) = min(max(stacked[market[key]], 0.0), amount), unit_worths(market[key])
            effects.append(held * asset + (amount - held) * liability)
        total += min(effects)
    return float(total)


# --- made cases


def made_token(rng: np.random.Generator, *, caps: bool) -> dict[str, Any]:
    price = float(rng.choice([1.0, 0.04, 25.0, 60_000.0]))
    cuts = np.sort(rng.uniform(0.02, 0.9, 2))
    token = {
        "price": price,
        "stable": price * float(rng.choice([1.0, 0.9, 1.2])),
        "init_asset_weight": 1 - float(cuts[1]),
        "maint_asset_weight": 1 - float(cuts[0]),
        "init_liab_weight": 1 + float(cuts[1]),
        "maint_liab_weight": 1 + float(cuts[0]),
        "balance": float(rng.choice([0.0, rng.normal(0, 1_000) / price])),
    }
    if caps:
        token |= {
            "bank_deposits": float(rng.uniform(1, 3_000)) / price,
            "deposit_scale_start": float(rng.uniform(500, 2_000)),
            "bank_borrows": float(rng.uniform(1, 3_000)) / price,
            "borrow_scale_start": float(rng.uniform(500, 2_000)),
            "bank_potential_orders": float(rng.uniform(0, 500)) / price,
        }
    return token


def made_perp(rng: np.random.Generator, settle: str) -> dict[str, Any]:
    price = float(rng.uniform(0.5, 50))
    lots = rng.integers(-50, 50, 3).tolist()
    return {
        "price": price,
        "stable": price * float(rng.choice([1.0, 0.8, 1.1])),
        "init_base_asset_weight": 0.8,
        "init_base_liab_weight": 1.2,
        "maint_base_asset_weight": 0.9,
        "maint_base_liab_weight": 1.1,
        "init_overall_asset_weight": float(rng.choice([0.0, 0.5, 0.95])),
        "maint_overall_asset_weight": 0.98,
        "settle_token": settle,
        "base_lot_size": int(rng.choice([1, 10])),
        "base_lots": int(rng.choice([0, lots[0]])),
        "quote": float(rng.choice([0.0, rng.normal(0, 500)])),
        "bids_lots": max(lots[1], 0),
        "asks_lots": max(lots[2], 0),
    }


def made_market(rng: np.random.Generator, tokens: dict[str, Any], base: str, quote: str) -> dict[str, Any]:
    price = tokens[base]["price"] / tokens[quote]["price"]
    sides = rng.choice([0, 1], 2).tolist()
    market: dict[str, Any] = {
        "base": base,
        "quote": quote,
        "reserved_base": sides[0] * float(rng.uniform(1, 900)) / tokens[base]["price"],
        "reserved_quote": sides[1] * float(rng.uniform(1, 900)) / tokens[quote]["price"],
    }
    if rng.random() < 0.5:
        market["highest_bid"] = price * float(rng.uniform(0.5, 1.5))
    if rng.random() < 0.5:
        market["lowest_ask"] = price * float(rng.uniform(0.5, 1.5))
    return market


def made_case(seed: int) -> dict[str, Any]:
    rng = np.random.default_rng([11, seed])
    tokens = {name: made_token(rng, caps=rng.random() < 0.5) for name in ("USD", "T2", "T3")}
    pairs = [("T2", "USD"), ("T3", "USD"), ("T3", "T2"), ("T2", "USD")][: int(rng.integers(0, 5))]
    case: dict[str, Any] = {
        "id": f"made {seed}",
        "kind": "health",
        "health_type": TYPES[seed % 3],
        "tokens": tokens,
        "perps": [made_perp(rng, str(rng.choice(list(tokens)))) for _ in range(int(rng.integers(0, 4)))],
        "spot_open_orders": [made_market(rng, tokens, *pair) for pair in pairs],
    }
    return case | {"expected": {"health": health(case)}}


@pytest.mark.parametrize("seed", range(60))
def test_made_cases_reproduce(seed: int) -> None:
    assert verdict(made_case(seed)).failures == ()


def test_made_cases_reach_every_corner() -> None:
    cases = [made_case(seed) for seed in range(150)]
    perps = [perp for case in cases for perp in case["perps"]]
    assert any(not perp["base_lots"] and perp["quote"] for perp in perps)
    assert any(not perp["base_lots"] and perp["bids_lots"] for perp in perps)
    assert any(len({perp["settle_token"] for perp in case["perps"]}) > 1 for case in cases)
    assert any(not case["tokens"][perp["settle_token"]]["balance"] for case in cases for perp in case["perps"])
    markets = [market for case in cases for market in case["spot_open_orders"]]
    assert any(market["reserved_base"] and not market["reserved_quote"] for market in markets)
    assert {case["health_type"] for case in cases if case["expected"]["health"] < 0} == set(TYPES)


def test_a_wrong_figure_or_parameter_is_told() -> None:
    case = made_case(4)
    wrong = copy.deepcopy(case)
    wrong["expected"]["health"] += 1e-6 * max(1.0, abs(case["expected"]["health"]))
    assert [failure.figure for failure in verdict(wrong).failures] == ["health"]
    noticed = 0
    for seed in range(0, 12, 3):
        document = {"cases": [made_case(seed)]}
        for *steps, last in FAMILY.parameters(Fields(document, ""), 0).values():
            changed: Any = copy.deepcopy(document)
            place = changed
            for step in steps:
                place = place[step]
            place[last] *= 1.01
            noticed += bool(verdict(changed["cases"][0]).failures)
    assert noticed > 10


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"health_type": "soon"}, "init or maint"),
        ({"tokens": {}}, "one of the case's tokens"),
        ({"expected": {}}, "health"),
        ({"perps": [{"settle_token": "USD"}]}, "price"),
        ({"spot_open_orders": [{"base": "T9", "quote": "USD"}]}, "one of the case's tokens"),
    ],
)
def test_what_makes_no_sense_is_refused(change: dict[str, Any], told: str) -> None:
    case = next(made_case(seed) for seed in range(20) if made_case(seed)["perps"])
    (failure,) = verdict({**case, **change}).failures
    assert failure.figure == "case"
    assert told in str(failure.computed)


def test_an_extreme_price_of_zero_is_none() -> None:
    case = next(made_case(seed) for seed in range(40) if made_case(seed)["spot_open_orders"])
    for market in case["spot_open_orders"]:
        market.pop("highest_bid", None)
        market.pop("lowest_ask", None)
    case["expected"] = {"health": health(case)}
    for market in case["spot_open_orders"]:
        market |= {"highest_bid": 0, "lowest_ask": 0}
    assert verdict(case).failures == ()


def test_big_integers_may_be_texts() -> None:
    case = next(made_case(seed) for seed in range(20) if made_case(seed)["perps"])
    for token in case["tokens"].values():
        token["balance"] = str(token["balance"])
    assert verdict(case).failures == ()


@pytest.mark.shared
def test_published_health_reproduces(shared: Path) -> None:
    directory = shared / "cases"
    if not directory.is_dir():
        pytest.skip(f"published cases absent: no directory {directory}")
    seen = 0
    for document in load_cases(directory).values():
        if FAMILY.recognises(document):
            fields = Fields(document, "")
            for index in FAMILY.indices(fields):
                assert judge(FAMILY, fields, index, FAMILY.names(fields)[index], LOADED).failures == ()
                assert health(document["cases"][index]) == pytest.approx(document["cases"][index]["expected"]["health"])
                seen += 1
    assert seen > 0
