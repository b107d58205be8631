"""Who pays how much of a loss: exact integers that always add up, with what nobody pays as a figure of its own.

Source: the rules that venues publish for socialised losses and auto-deleveraging. Weights are exact (integers or
fractions), amounts are units of an asset, or contracts at their scale.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal, TypeAlias

Remainder: TypeAlias = Literal["last", "largest"]
Weight: TypeAlias = int | Fraction


@dataclass(frozen=True, slots=True)
class Allocation:
    """What each payer pays, in the order given, >= 0, and what is left `unpaid`: they add up to the loss."""

    amounts: tuple[int, ...]
    unpaid: int


def pro_rata(
    loss: int, weights: Sequence[Weight], caps: Sequence[int] | None = None, *, remainder: Remainder = "last"
) -> Allocation:
    """Return a loss shared by weight, nobody beyond his cap.

    Parameters
    ----------
    loss
        >= 0.
    weights, caps
        [payers], >= 0; no caps: nobody has one. Who has no weight pays nothing.
    remainder
        Who takes the units that rounding down leaves: the last payer with weight, or those with the largest fractions,
        earlier ones first. A payer at his cap passes them on to the one before.
    """
    _check(loss, weights, caps)
    most = [loss] * len(weights) if caps is None else list(caps)
    amounts = [0] * len(weights)
    active = [k for k, weight in enumerate(weights) if weight > 0]
    left = loss
    total = sum((Fraction(weights[k]) for k in active), Fraction(0))
    while full := [k for k in active if left * weights[k] > most[k] * total]:  # each round freezes a payer
        for k in full:
            amounts[k] = most[k]
            left -= most[k]
        active = [k for k in active if k not in set(full)]
        total = sum((Fraction(weights[k]) for k in active), Fraction(0))
    exact = [(k, left * Fraction(weights[k]) / total) for k in active]
    for k, share in exact:
        amounts[k] = share.numerator // share.denominator
    _give_rest(amounts, most, exact, remainder)
    return Allocation(tuple(amounts), loss - sum(amounts))


def _give_rest(amounts: list[int], most: list[int], exact: list[tuple[int, Fraction]], remainder: Remainder) -> None:
    """Add the units that rounding down has left over, in place."""
    rest = int(sum(share for _, share in exact)) - sum(amounts[k] for k, _ in exact)
    if remainder == "last":
        for k, _ in reversed(exact):
            more = min(rest, most[k] - amounts[k])
            amounts[k] += more
            rest -= more
    else:
        for k, _ in sorted(exact, key=lambda pair: -(pair[1] % 1))[:rest]:
            amounts[k] += 1


def queue(loss: int, ranks: Sequence[Weight], caps: Sequence[int]) -> Allocation:
    """Return a loss paid by rank, largest first, equals in the order given, each up to his cap.

    Parameters
    ----------
    ranks, caps
        [payers]; caps >= 0.
    """
    _check(loss, (), caps)
    amounts = [0] * len(caps)
    left = loss
    for k in sorted(range(len(caps)), key=lambda k: -Fraction(ranks[k])):
        amounts[k] = min(left, caps[k])
        left -= amounts[k]
    return Allocation(tuple(amounts), left)


def water_fill(total: int, quantities: Sequence[int], equities: Sequence[Weight]) -> Allocation:
    """Return how much of each position is closed so that the highest leverages come down to one level.

    Closed is ``max(0, quantity - level * equity)`` with the level at which the sum is `total`, rounded down; the units
    left over go to the largest fractions, earlier ones first.

    Parameters
    ----------
    total
        What must be closed, >= 0.
    quantities, equities
        [payers], >= 0, in one unit each. Who has no equity above 0 takes no part.
    """
    _check(total, (), quantities)
    taking = [k for k, equity in enumerate(equities) if equity > 0]
    whole = min(total, sum(quantities[k] for k in taking))
    level = _level(whole, [(quantities[k], Fraction(equities[k])) for k in taking])
    exact = [(k, max(Fraction(0), quantities[k] - level * equities[k])) for k in taking]
    amounts = [0] * len(quantities)
    for k, share in exact:
        amounts[k] = share.numerator // share.denominator
    _give_rest(amounts, list(quantities), exact, "largest")
    return Allocation(tuple(amounts), total - sum(amounts))


def _level(total: int, positions: list[tuple[int, Fraction]]) -> Fraction:
    """Return the leverage that is left when `total` is closed from the top: sum of max(0, n - level * e) = total."""
    ordered = sorted(positions, key=lambda one: -one[0] / one[1])
    quantity, equity = Fraction(0), Fraction(0)
    for place, (n, e) in enumerate(ordered):
        quantity, equity = quantity + n, equity + e
        level = (quantity - total) / equity
        below = ordered[place + 1][0] / ordered[place + 1][1] if place + 1 < len(ordered) else Fraction(0)
        if level >= below:
            return level
    return Fraction(0)


def _check(loss: int, weights: Sequence[Weight], caps: Sequence[int] | None) -> None:
    assert loss >= 0, "a loss is not negative"
    assert all(weight >= 0 for weight in weights), "weights are not negative"
    assert caps is None or all(cap >= 0 for cap in caps), "caps are not negative"
