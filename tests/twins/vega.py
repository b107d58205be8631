"""Vega's margin levels, slowly: fractions over one case, with cases of every shape."""

import random
from fractions import Fraction
from math import ceil, floor
from typing import Any

Found = dict[str, Any]
Orders = list[list[int]]


def maintenance(given: Found, position: Fraction) -> Fraction:
    """The worse of all bids and all asks; a side that the orders do not reach needs nothing."""
    mark = given["mark_price"]
    worst = Fraction(0)
    for sign, orders, factor in ((1, "buy_orders", "risk_factor_long"), (-1, "sell_orders", "risk_factor_short")):
        held, added = sign * position, given.get(orders, Fraction(0))
        if held + added > 0:
            held = max(held, Fraction(0))
            slippage = given["linear_slippage"] + given.get("quadratic_slippage", Fraction(0)) * held
            rate = given.get(factor, given.get("risk_factor", Fraction(0)))
            worst = max(worst, mark * (held * slippage + (held + added) * rate))
    return worst


def cross_margin_levels(given: Found) -> Found:
    whole = ceil(maintenance(given, given["position"]))
    return {"maintenance": whole, **{level: floor(whole * factor) for level, factor in given["scaling"].items()}}


def perp_funding_margin(given: Found) -> Found:
    inside, outside = given["internal_twap"], given["external_twap"]
    owed = (1 + given["delta_t_years"] * given["interest_rate"]) * outside - inside
    paid = inside - outside
    paid += min(given["clamp_upper"] * outside, max(given["clamp_lower"] * outside, owed))

    def margin(position: Fraction) -> Fraction:
        funding: Fraction = given["margin_funding_factor"] * paid * position
        return maintenance(given, position) + max(Fraction(0), funding)

    return {
        "funding_payment": paid,
        "funding_rate": paid / outside,
        "mm_long": margin(given["position_long"]),
        "mm_short": margin(given["position_short"]),
    }


def fully_collateralised_capped_future(given: Found) -> Found:
    position, price, most = given["position"], given["entry_or_last_mtm_price"], given["max_price"]
    held = position * price if position > 0 else -position * (most - price)

    def mean(orders: Orders) -> int:
        return floor(Fraction(sum(n * at for n, at in orders)) / sum(n for n, _ in orders))

    bids, asks = given["buy_orders"], given["sell_orders"]
    bought = sum(n for n, _ in bids) * mean(bids) if bids else 0
    sold = sum(n for n, _ in asks) * (most - mean(asks)) if asks else 0
    return {"margin": held + max(bought, sold)}


def isolated_margin(given: Found) -> Found:
    return {"margin": floor(abs(given["size"]) * given["price"] * given["margin_factor"])}


# --- cases


def made(kind: str, seed: int) -> Found:
    """One case's `input`."""
    draw = random.Random(f"{kind} {seed}")  # noqa: S311 - cases, not secrets
    return MADE[kind](draw)


def made_levels(draw: random.Random) -> Found:
    given: Found = {
        "position": draw.choice([0, draw.randint(-100, 100)]),
        "buy_orders": draw.choice([0, draw.randint(0, 60)]),
        "sell_orders": draw.choice([0, draw.randint(0, 60)]),
        "mark_price": draw.choice([50, 15_800, draw.randint(1, 10**8)]),
        "linear_slippage": draw.choice([0, 0.000125, 0.25, 1.0]),
        "quadratic_slippage": draw.choice([0, 0.001]),
        "scaling": {"search": draw.choice([1.1, 3.2]), "initial": draw.choice([1.2, 4]), "release": 5},
        "risk_factor_long": draw.choice([0.2, round(draw.uniform(0, 3), 3)]),
        "risk_factor_short": draw.choice([0.1, round(draw.uniform(0, 3), 3)]),
    }
    for key in ("buy_orders", "quadratic_slippage"):
        if draw.random() < 0.2:
            del given[key]
    return given


def made_funding(draw: random.Random) -> Found:
    return {
        "internal_twap": round(draw.uniform(1_500, 1_700), 2),
        "external_twap": round(draw.uniform(1_500, 1_700), 2),
        "delta_t_years": draw.choice([0.002, 0.1]),
        "interest_rate": draw.choice([0.05, -0.05, 0]),
        "clamp_lower": draw.choice([0, -0.5, -0.001]),
        "clamp_upper": draw.choice([0, 0.9, 0.001]),
        "margin_funding_factor": draw.choice([0, 0.5, 1]),
        "mark_price": draw.choice([1_590, round(draw.uniform(1_000, 2_000), 2)]),
        "risk_factor": draw.choice([0.1, 0.5]),
        "linear_slippage": draw.choice([0, 0.25]),
        "position_long": draw.choice([1, 12]),
        "position_short": draw.choice([-1, -7]),
    }


def made_capped(draw: random.Random) -> Found:
    most, position = draw.choice([100, 1_000]), draw.choice([0, draw.randint(-20, 20)])

    def orders() -> Orders:
        return [[draw.randint(1, 30), draw.randint(1, most - 1)] for _ in range(draw.randint(0, 4))]

    return {
        "max_price": most,
        "position": position,
        "entry_or_last_mtm_price": draw.randint(1, most - 1) if position else 0,
        "buy_orders": orders(),
        "sell_orders": orders(),
    }


def made_isolated(draw: random.Random) -> Found:
    factor = draw.choice([0.9, 0.3, 0.123])
    return {"size": draw.randint(1, 50), "price": draw.randint(1, 10**6), "margin_factor": factor}


MADE = {
    "cross_margin_levels": made_levels,
    "perp_funding_margin": made_funding,
    "fully_collateralised_capped_future": made_capped,
    "isolated_margin": made_isolated,
}
