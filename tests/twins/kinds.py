"""The kinds of the grammar written the slow, obvious way: plain Python over one account, one number at a time."""

from __future__ import annotations

from dataclasses import dataclass
from math import erf, log, sqrt
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from crossmargin.market import Listing


def normal_cdf(x: float) -> float:
    """The standard normal distribution."""
    return 0.5 * (1.0 + erf(x / sqrt(2.0)))


def black(forward: float, strike: float, vol: float, years: float, *, call: bool) -> float:
    """Black-76, undiscounted, in the quote asset."""
    sign = 1.0 if call else -1.0
    deviation = vol * sqrt(years)
    if deviation <= 0:
        return max(sign * (forward - strike), 0.0)
    d1 = log(forward / strike) / deviation + 0.5 * deviation
    return sign * (forward * normal_cdf(sign * d1) - strike * normal_cdf(sign * (d1 - deviation)))


@dataclass(frozen=True)
class Scenario:
    """One joint move; `vol` maps today's vol to the shocked one."""

    spot: float = 0.0
    basis: float = 0.0
    time: float = 0.0
    weight: float = 1.0
    vol: Callable[[float], float] = lambda iv: iv


def option_value(listing: Listing, years: float, scenario: Scenario) -> float:
    """What one contract is worth in its settlement asset."""
    assert listing.forward_price is not None
    assert listing.strike is not None
    assert listing.mark_iv is not None
    forward = listing.forward_price * (1 + scenario.spot) * (1 + scenario.basis * years)
    left = max(years - scenario.time, 0.0)
    value = black(forward, listing.strike, scenario.vol(listing.mark_iv), left, call=listing.option_type == "call")
    return listing.multiplier * (value / forward if listing.contract == "inverse" else value)


def gain(listing: Listing, years: float | None, scenario: Scenario) -> float:
    """What one contract gains in its settlement asset."""
    if listing.kind == "option":
        assert years is not None
        return option_value(listing, years, scenario) - option_value(listing, years, Scenario())
    assert listing.mark_price is not None
    dated = years if listing.kind == "future" and years is not None else 0.0
    shocked = listing.mark_price * (1 + scenario.spot) * (1 + scenario.basis * dated)
    if listing.contract == "inverse":
        return listing.multiplier * (1 / listing.mark_price - 1 / shocked)
    return listing.multiplier * (shocked - listing.mark_price)


def fold(x: float, *, up: float = 1.0, down: float = 1.0, cap: float | None = None, deductible: float = 0.0) -> float:
    """Two slopes and a kink: gains times `up` up to `cap`, losses times `down` less a deductible."""
    gains, losses = up * max(x, 0.0), down * min(x, 0.0)
    if cap is not None:
        gains = min(gains, cap)
    return gains + min(losses + deductible, 0.0)


def worst(row: Sequence[float]) -> float:
    """The largest loss, never below 0."""
    return max(0.0, *(-x for x in row))


def value_at_risk(row: Sequence[float], confidence: float) -> float:
    """The smallest loss that at least `confidence` of the scenarios do not exceed."""
    losses = sorted(-x for x in row)
    enough = confidence * len(losses) - 1e-9
    for loss in losses:
        if sum(other <= loss for other in losses) >= enough:
            return max(0.0, loss)
    raise AssertionError(confidence)


def expected_shortfall(row: Sequence[float], confidence: float) -> float:
    """The mean of the worst (1 - confidence) of the probability, a scenario counted in part where the tail ends."""
    left = tail = (1 - confidence) * len(row)
    total = 0.0
    for loss in sorted((-x for x in row), reverse=True):
        part = min(1.0, left)
        total += part * loss
        left -= part
        if left <= 0:
            break
    return max(0.0, total / tail)


def worst_payoff(legs: Sequence[tuple[float, float, bool]], steps: int = 500) -> float:
    """The largest loss at expiry of (quantity, strike, call) legs: prices from 0 to the last strike, in small steps."""
    top = max(strike for _, strike, _ in legs)
    prices = [top * i / steps for i in range(steps + 1)] + [strike for _, strike, _ in legs]
    payoffs = [sum(q * max(0.0, price - k if call else k - price) for q, k, call in legs) for price in prices]
    return max(0.0, -min(payoffs))


def progressive(tiers: Sequence[tuple[float, float]], amount: float) -> float:
    """Each part of an amount at its own tier's rate."""
    total, lower = 0.0, 0.0
    for upto, rate in tiers:
        total += max(0.0, min(amount, upto) - lower) * rate
        lower = upto
    return total


def paired(
    amounts: Mapping[str, float], pairs: Sequence[tuple[str, str, float, Sequence[tuple[float, float]]]]
) -> float:
    """Opposite amounts matched in listed order: (first, second, units of second per first, tiers)."""
    left = dict(amounts)
    total = 0.0
    for first, second, ratio, tiers in pairs:
        a, b = left.get(first, 0.0), left.get(second, 0.0)
        if a * b >= 0:
            continue
        matched = min(abs(a), abs(b) / ratio)
        left[first] = a - matched if a > 0 else a + matched
        left[second] = b - matched * ratio if b > 0 else b + matched * ratio
        total += progressive(tiers, matched)
    return total
