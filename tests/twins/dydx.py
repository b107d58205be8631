"""dYdX v4's integers, slowly: requirements in quote quantums, with cases of every shape."""

import random
from fractions import Fraction
from math import floor
from typing import Any

Found = dict[str, Any]
WHOLE = 10**6  # parts per million
LARGE = 2**53  # integers beyond are texts


def ramped(given: Found, interest: int) -> int:
    """The initial rate: it rises with open interest between its two caps, cut to one part per million."""
    rate, lower, upper = (int(given[key]) for key in ("initial_margin_ppm", "oi_lower_cap", "oi_upper_cap"))
    if upper == 0 or interest <= lower:
        return rate
    return WHOLE if interest >= upper else rate + (WHOLE - rate) * (interest - lower) // (upper - lower)


def share(worth: int, rate: int) -> int:
    return -(-worth * rate // WHOLE)


def margin_requirement(given: Found) -> Found:
    scale = Fraction(10) ** (given["atomic_resolution"] + given["exponent"] + 6) * int(given["price"])
    worth, interest = (floor(abs(int(given[key])) * scale) for key in ("base_quantums", "open_interest_base_quantums"))
    base = share(worth, given["initial_margin_ppm"])
    return {"imr": share(worth, ramped(given, interest)), "mmr": share(base, given["maintenance_fraction_ppm"])}


def oi_scaled_imf_ppm(given: Found) -> Found:
    return {"imf_ppm": ramped(given, int(given["open_interest_quote"]))}


def initial_margin_quote(given: Found) -> Found:
    return {"imr": share(int(given["quote_quantums"]), ramped(given, int(given["open_interest_quote"])))}


def written(number: int) -> int | str:
    return str(number) if abs(number) > LARGE else number


def made(kind: str, seed: int) -> Found:
    """One case's `input`."""
    draw = random.Random(f"{kind} {seed}")  # noqa: S311 - cases, not secrets
    lower = draw.choice([0, 10**12, draw.randint(0, 10**13)])
    upper = lower + draw.randint(1, 10**13) if draw.random() < 0.7 else 0
    tier = {
        "initial_margin_ppm": draw.choice([WHOLE, 200_000, 100, 0, draw.randint(1, WHOLE)]),
        "oi_lower_cap": written(lower if upper else 0),
        "oi_upper_cap": written(upper),
    }
    if kind != "margin_requirement":
        interest = draw.choice([0, lower, upper, (lower + upper) // 2, draw.randint(0, 10**13)])
        worth = draw.choice([0, 1, draw.randint(1, 10 ** draw.randint(2, 18))])
        more = {"quote_quantums": written(worth)} if kind == "initial_margin_quote" else {}
        return {**tier, **more, "open_interest_quote": written(interest)}
    return tier | {
        "base_quantums": written(
            draw.choice([-1, 1]) * draw.choice([0, 1, draw.randint(1, 10 ** draw.randint(1, 18))])
        ),
        "atomic_resolution": draw.choice([-10, -9, -6, 0, 4]),
        "price": written(draw.choice([0, 55_550, draw.randint(1, 10 ** draw.randint(2, 14))])),
        "exponent": draw.choice([-9, -5, -1, 0, 2]),
        "maintenance_fraction_ppm": draw.choice([WHOLE, 500_000, 0, draw.randint(1, WHOLE)]),
        "open_interest_base_quantums": written(draw.choice([0, 10**12, draw.randint(0, 10 ** draw.randint(2, 16))])),
    }
