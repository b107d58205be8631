"""SPAN written the slow, obvious way: one contract, one scenario, one spread at a time, in plain Python."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import log, sqrt
from typing import TYPE_CHECKING

from tests.twins.kinds import Scenario, gain, normal_cdf, option_value

if TYPE_CHECKING:
    from crossmargin.market import Listing

THIRDS = (0, 1, -1, 2, -2, 3, -3)
WEIGHTS = (0.27, 0.217, 0.217, 0.111, 0.111, 0.037, 0.037)
DAY = 1 / 365


def risk_array(listing: Listing, years: float | None, price_range: float, vol_range: float) -> list[float]:
    """Sixteen gains of one long contract, in its settlement asset at today's price of it."""
    rows = []
    for third in THIRDS:
        for vol in (1 + vol_range, 1 - vol_range):
            scenario = Scenario(spot=third * price_range / 3, time=DAY, vol=vol.__mul__)
            rows.append(worth_gained(listing, years, scenario))
    for side in (1, -1):
        scenario = Scenario(spot=side * 2 * price_range, time=DAY)
        rows.append(0.35 * worth_gained(listing, years, scenario))
    return rows


def worth_gained(listing: Listing, years: float | None, scenario: Scenario) -> float:
    """What one contract gains, where the coin that it settles in moves along."""
    coin = 1 + scenario.spot if listing.settlement_asset == listing.underlying else 1.0
    if listing.kind != "option":
        return gain(listing, years, scenario) * coin
    assert years is not None
    return option_value(listing, years, scenario) * coin - option_value(listing, years, Scenario())


def composite_delta(listing: Listing, years: float | None, price_range: float) -> float:
    """The weighted average of one contract's delta over seven prices, a day ahead, in units of the underlying."""
    assert listing.mark_price is not None
    if listing.kind != "option":
        return listing.multiplier / (listing.mark_price if listing.contract == "inverse" else 1.0)
    assert years is not None
    assert listing.forward_price is not None
    assert listing.strike is not None
    assert listing.mark_iv is not None
    total = 0.0
    for third, weight in zip(THIRDS, WEIGHTS, strict=True):
        forward = listing.forward_price * (1 + third * price_range / 3)
        deviation = listing.mark_iv * sqrt(max(years - DAY, 0.0))
        d1 = log(forward / listing.strike) / deviation + deviation / 2
        total += weight * (normal_cdf(d1) if listing.option_type == "call" else normal_cdf(d1) - 1)
    return listing.multiplier * total


def tier_spreads(
    deltas: Sequence[tuple[float, float]],
    tiers: Sequence[tuple[str, float]],
    pairs: Sequence[tuple[str, str, float]],
) -> float:
    """Charge spreads among (days, delta) of expiries: tiers by their last day, pairs of tiers with a rate in order."""
    long = {name: 0.0 for name, _ in tiers}
    short = dict(long)
    for days, delta in deltas:
        tier = next(name for name, last in tiers if days <= last)
        side = long if delta > 0 else short
        side[tier] += abs(delta)
    total = 0.0
    for first, second, rate in pairs:
        for here, there in ((long, short),) if first == second else ((long, short), (short, long)):
            spreads = min(here[first], there[second])
            here[first] -= spreads
            there[second] -= spreads
            total += rate * spreads
    return total


def inter_credits(
    deltas: Mapping[str, float],
    price_risk: Mapping[str, float],
    pairs: Sequence[tuple[str, str, float, float]],
) -> dict[str, float]:
    """The credit of each commodity: pairs of (first, second, units of second per first, share) in order."""
    left, credit = dict(deltas), dict.fromkeys(deltas, 0.0)
    for first, second, ratio, share in pairs:
        a, b = left.get(first, 0.0), left.get(second, 0.0)
        if a * b >= 0:
            continue
        spreads = min(abs(a), abs(b) / ratio)
        for name, units in ((first, spreads), (second, spreads * ratio)):
            credit[name] += units * price_risk[name] * share
            left[name] -= units if left[name] > 0 else -units
    return credit


def _supplied(listing: Listing, years: float | None) -> bool:
    """Whether a clearing house would have an array of it: a usable quote, and more than the day ahead to live."""
    if not listing.mark_price or listing.mark_price <= 0:
        return False
    if listing.kind != "option":
        return True
    quote = (listing.mark_iv, listing.forward_price, listing.strike)
    return all(value is not None and value > 0 for value in quote) and years is not None and years > DAY


def arrays_of(
    listings: Sequence[tuple[Listing, float | None]], price_range: Mapping[str, float], vol_range: float
) -> dict[str, dict[str, list[float]]]:
    """What a clearing house supplies, by instrument: risk arrays and composite deltas. Ranges by underlying."""
    known = [(one, years) for one, years in listings if one.kind != "spot" and one.underlying in price_range]
    derivatives = [(one, years) for one, years in known if _supplied(one, years)]
    return {
        "risk_arrays": {
            one.symbol: risk_array(one, years, price_range[one.underlying], vol_range) for one, years in derivatives
        },
        "composite_deltas": {
            one.symbol: [composite_delta(one, years, price_range[one.underlying])] for one, years in derivatives
        },
    }
