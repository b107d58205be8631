"""Synthetix v3 perpetuals, slowly: fractions and plain loops over one case, with cases of every shape."""

import random
from fractions import Fraction
from typing import Any

Found = dict[str, Any]


def reward(guards: Found, flagged: Fraction, cost: Fraction, collateral: Fraction) -> Fraction:
    """What a keeper is paid; without collateral only the venue's cap holds."""
    least: Fraction = max(cost + guards["min_reward"], cost * (1 + guards["min_profit_ratio"]), flagged + cost)
    cap: Fraction = guards["max_reward"]
    return min(least, cap, collateral * guards["max_scaling_ratio"] if collateral else cap)


def fill(mark: Fraction, skew: Fraction, traded: Fraction, scale: Fraction) -> Fraction:
    return mark * (1 + (skew / scale + (skew + traded) / scale) / 2)


def margins(market: Found, held: Fraction, price: Fraction) -> tuple[Fraction, Fraction, Fraction]:
    """Initial, maintenance and flag reward of one position."""
    if not held:
        return Fraction(0), Fraction(0), Fraction(0)
    worth, least = abs(held) * price, market.get("min_position_margin", Fraction(0))
    ratio = abs(held) / market["skew_scale"] * market["im_fraction"] + market["min_im_ratio"]
    return worth * ratio + least, worth * ratio * market["mm_scalar"] + least, worth * market["flag_reward_ratio"]


def account(given: Found) -> Found:
    gains, sums = {}, [Fraction(0)] * 3
    for name, position in given["positions"].items():
        market, price = given["markets"][name], given["prices"][name]
        held = position["size"]
        entry = fill(position["mark_at_fill"], position["skew_before_fill"], held, market["skew_scale"])
        gains[name] = held * (price - entry)
        sums = [total + part for total, part in zip(sums, margins(market, held, price), strict=True)]
    left = given["collateral_usd"] + sum(gains.values())
    held_any = any(position["size"] for position in given["positions"].values())
    paid = reward(given["guards"], sums[2], Fraction(0), given["collateral_usd"]) if held_any else Fraction(0)
    return {
        "pnl": gains,
        "available_margin": left,
        "initial_margin_excl_reward": sums[0],
        "maintenance_margin_excl_reward": sums[1],
        "liquidation_reward": paid,
        "withdrawable_margin": left - sums[0] - paid,
        "liquidatable": bool(held_any and left < sums[1] + paid),
    }


def order(given: Found) -> Found:
    traded, prices = given["order"], given["prices"]
    name, delta = traded["market"], traded["size_delta"]
    at = fill(prices[name], traded["skew_before"], delta, given["markets"][name]["skew_scale"])
    left = given["collateral_usd"] + delta * (prices[name] - at)
    parts = [margins(given["markets"][m], held, prices[m]) for m, held in given["positions_after"].items()]
    flagged = sum((part[2] for part in parts), Fraction(0))
    paid = reward(given["guards"], flagged, Fraction(0), given["collateral_usd"])
    needed = sum((part[0] for part in parts), Fraction(0)) + paid
    return {"required_margin": needed, "available_margin_after_fill_pnl": left, "accepted": left >= needed}


# --- cases


def made(kind: str, seed: int) -> Found:
    """One case's `input`."""
    draw = random.Random(f"{kind} {seed}")  # noqa: S311 - cases, not secrets
    names = draw.sample(["BTC", "ETH", "LINK", "OP"], draw.randint(1, 4))
    prices = {name: draw.choice([30_000, 2_000, round(draw.uniform(0.5, 5), 3)]) for name in names}
    given: Found = {
        "collateral_usd": draw.choice([0, 20_000, round(draw.uniform(0, 1e6), 2)]),
        "markets": {name: made_market(draw) for name in names},
        "prices": prices,
        "guards": {
            "min_reward": draw.choice([0, 1, 100]),
            "min_profit_ratio": draw.choice([0, 0.01, 0.3]),
            "max_reward": draw.choice([0, 110, 10_000]),
            "max_scaling_ratio": draw.choice([0, 0.5, 1, 1_000]),
        },
    }
    if kind == "order":
        traded = draw.choice(names)
        delta = draw.choice([3, -3, round(draw.uniform(-20, 20), 3)])
        after = {name: round(draw.uniform(-20, 20), 3) for name in names if draw.random() < 0.4}
        given["order"] = {"market": traded, "size_delta": delta, "skew_before": round(draw.uniform(-20, 20), 3)}
        return given | {"positions_after": {**after, traded: delta}}
    held = [name for name in names if draw.random() < 0.8]
    return given | {"positions": {name: made_position(draw, prices[name]) for name in held}}


def made_market(draw: random.Random) -> Found:
    market = {
        "skew_scale": draw.choice([100, 1_000, 7_500_000.0]),
        "im_fraction": draw.choice([2, 0.02, 0]),
        "min_im_ratio": draw.choice([0.01, 0.035, 0]),
        "mm_scalar": draw.choice([0.5, 0.3, 1]),
        "flag_reward_ratio": draw.choice([0.05, 0.01, 0]),
    }
    return market | ({"min_position_margin": draw.choice([0, 500])} if draw.random() < 0.7 else {})


def made_position(draw: random.Random, price: float) -> Found:
    return {
        "size": draw.choice([0, 1, -1, round(draw.uniform(-50, 50), 3)]),
        "mark_at_fill": price * draw.choice([1, 0.9, 1.3]),
        "skew_before_fill": draw.choice([0, round(draw.uniform(-20, 20), 3)]),
    }
