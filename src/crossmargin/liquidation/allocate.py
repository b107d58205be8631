"""Who pays how much of a loss: pure, in integers, exact. Every unit is paid by someone or stands as `unpaid`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Literal, TypeAlias

from crossmargin.errors import FailureReason, InputError

__all__ = ["Allocation", "Payer", "Share", "allocate", "parted", "water_filled"]

Rule: TypeAlias = Literal["queue", "pro_rata", "water_fill"]


@dataclass(frozen=True, slots=True)
class Payer:
    """Who may be asked. `cap` and `weight` are integers >= 0 in the loss's unit; `cap` None: without limit.

    Parameters
    ----------
    rank
        In a queue the largest pays first; ties by listed order.
    weight
        Its share of a pro rata; in `water_fill` its notional.
    equity
        In `water_fill` what its notional is measured against; at or below 0 it takes no part.
    """

    name: str
    cap: int | None = None
    weight: int = 1
    rank: Fraction = Fraction(0)
    equity: int = 0


@dataclass(frozen=True, slots=True)
class Share:
    """What one payer pays, an integer >= 0."""

    name: str
    paid: int


@dataclass(frozen=True, slots=True)
class Allocation:
    """Who pays what, in listed order, and what nobody pays: together the loss."""

    shares: tuple[Share, ...]
    unpaid: int

    @property
    def paid(self) -> int:
        """What is paid altogether."""
        return sum(share.paid for share in self.shares)


def allocate(
    loss: int,
    payers: Sequence[Payer],
    rule: Rule,
    *,
    rounding: Literal["loss", "payment"] = "loss",
    remainder: Literal["largest", "last"] = "largest",
) -> Allocation:
    """Return who pays what of a loss: together the least of the loss and of all that may be asked.

    Parameters
    ----------
    rounding
        Of a pro rata: `loss` floors what each loses; `payment` floors what each still receives of its weight, as a
        venue does that pays winners out of what it collected.
    remainder
        Who bears (or, by `payment`, receives) the units that rounding leaves: those with the largest fraction, ties by
        order, or the last with a weight.

    Raises
    ------
    InputError
        INVALID_QUANTITY: a loss, cap or weight below 0, or two payers of one name.
    """
    _check(loss, payers)
    if rule == "queue":
        paid = _queued(loss, payers)
    elif rule == "water_fill":
        paid = water_filled(loss, payers)
    elif rounding == "payment":
        paid = _paid_out(loss, payers, remainder)
    else:
        paid = _pro_rata(loss, payers, remainder)
    shares = tuple(Share(payer.name, amount) for payer, amount in zip(payers, paid, strict=True))
    return Allocation(shares, loss - sum(paid))


def _check(loss: int, payers: Sequence[Payer]) -> None:
    figures = [loss, *(payer.weight for payer in payers), *(payer.cap or 0 for payer in payers)]
    if any(figure < 0 for figure in figures):
        message = f"a loss, its caps and weights are integers at or above 0, found {min(figures)}"
        raise InputError(FailureReason.INVALID_QUANTITY, message)
    names = [payer.name for payer in payers]
    if len(set(names)) != len(names):
        raise InputError(FailureReason.INVALID_QUANTITY, f"each payer stands once, found {names}")


def _most(payer: Payer, loss: int) -> int:
    return loss if payer.cap is None else min(payer.cap, loss)


def _queued(loss: int, payers: Sequence[Payer]) -> list[int]:
    """By rank, then order, each up to its cap."""
    paid = [0] * len(payers)
    left = loss
    for number in sorted(range(len(payers)), key=lambda i: -payers[i].rank):
        paid[number] = min(_most(payers[number], loss), left)
        left -= paid[number]
    return paid


def _pro_rata(loss: int, payers: Sequence[Payer], remainder: str) -> list[int]:
    """By weight; who would pay more than its cap pays the cap, and the rest is shared again. At most n rounds."""
    paid = [0] * len(payers)
    left, open_ = loss, [i for i, payer in enumerate(payers) if payer.weight > 0]
    for _ in range(len(payers)):
        total = sum(payers[i].weight for i in open_)
        full = [i for i in open_ if left * payers[i].weight > _most(payers[i], loss) * total]
        if not full:
            break
        for i in full:
            paid[i] = _most(payers[i], loss)
            left -= paid[i]
        done = set(full)
        open_ = [i for i in open_ if i not in done]
    for i, amount in zip(open_, _shared(left, [payers[i].weight for i in open_], remainder), strict=True):
        paid[i] = amount
    return _within_caps(loss, payers, paid)


def _shared(total: int, weights: Sequence[int], remainder: str) -> list[int]:
    """Floors of total x weight / weights, and the units left over by the remainder's rule; nothing to no weights."""
    if not weights:
        return []
    whole = sum(weights)
    found = [total * weight // whole for weight in weights]
    left = total - sum(found)
    if remainder == "last":
        found[-1] += left
        return found
    order = sorted(range(len(weights)), key=lambda i: -(total * weights[i] % whole))
    for i in order[:left]:
        found[i] += 1
    return found


def _within_caps(loss: int, payers: Sequence[Payer], paid: list[int]) -> list[int]:
    """Give what a remainder put above a cap to the first that still has room."""
    over = 0
    for i, payer in enumerate(payers):
        extra = max(paid[i] - _most(payer, loss), 0)
        paid[i] -= extra
        over += extra
    for i, payer in enumerate(payers):
        more = min(over, _most(payer, loss) - paid[i]) if payer.weight > 0 else 0
        paid[i] += more
        over -= more
    return paid


def _paid_out(loss: int, payers: Sequence[Payer], remainder: str) -> list[int]:
    """Floor what each still receives of its weight when all weights together lose the loss; nobody receives more."""
    weights = [payer.weight for payer in payers]
    collected = max(sum(weights) - loss, 0)
    winners = [i for i, weight in enumerate(weights) if weight > 0]
    still = [0] * len(payers)
    for i, amount in zip(winners, _shared(collected, [weights[i] for i in winners], remainder), strict=True):
        still[i] = amount
    over = 0
    for i in reversed(range(len(payers))):  # what a remainder put above a weight goes to the one before
        still[i], over = min(still[i] + over, weights[i]), max(still[i] + over - weights[i], 0)
    bounded = [replace(payer, cap=_most(payer, payer.weight)) for payer in payers]
    return _within_caps(loss, bounded, [weight - kept for weight, kept in zip(weights, still, strict=True)])


def water_filled(total: int, payers: Sequence[Payer]) -> list[int]:
    """Return how much of its notional (`weight`) each gives up so that no leverage stays above a common level.

    The level L solves sum max(0, notional - L equity) = total, exactly, by sorting leverages: O(n log n). Only payers
    with equity above 0 take part; a cap of its own bounds each.
    """
    part = [i for i, payer in enumerate(payers) if payer.equity > 0 and payer.weight > 0]
    goal = min(total, sum(payers[i].weight for i in part))
    part.sort(key=lambda i: -Fraction(payers[i].weight, payers[i].equity))
    notional = equity = 0
    level = Fraction(0)
    for place, i in enumerate(part):
        notional += payers[i].weight
        equity += payers[i].equity
        level = Fraction(notional - goal, equity)
        after = payers[part[place + 1]] if place + 1 < len(part) else None
        if after is None or level >= Fraction(after.weight, after.equity):
            break
    exact = {i: max(Fraction(payers[i].weight) - level * payers[i].equity, Fraction(0)) for i in part}
    paid = [0] * len(payers)
    for i, amount in exact.items():
        paid[i] = int(amount)
    left = goal - sum(paid)
    for i in sorted(exact, key=lambda i: -(exact[i] - int(exact[i])))[:left]:
        paid[i] += 1
    return _within_own_caps(payers, paid)


def _within_own_caps(payers: Sequence[Payer], paid: list[int]) -> list[int]:
    """Cut what exceeds a cap; those with room left take it in falling order of leverage."""
    caps = [payer.weight if payer.cap is None else min(payer.cap, payer.weight) for payer in payers]
    over = sum(max(amount - cap, 0) for amount, cap in zip(paid, caps, strict=True))
    paid = [min(amount, cap) for amount, cap in zip(paid, caps, strict=True)]
    part = [i for i, payer in enumerate(payers) if payer.equity > 0]
    for i in sorted(part, key=lambda i: -Fraction(payers[i].weight - paid[i], payers[i].equity)):
        more = min(over, caps[i] - paid[i])
        paid[i] += more
        over -= more
    return paid


def parted(money: int, contracts: Sequence[int]) -> list[int]:
    """Return what each of several counterparties pays for its contracts when together they pay `money`, signed.

    The price is made anew from what is left after each, so that no unit is lost: the last takes the remainder.
    An auto-deleveraging at the bankruptcy price parts the account's whole basis and wallet so.

    Raises
    ------
    InputError
        INVALID_QUANTITY: a number of contracts below 0, or money for none.
    """
    left, whole = money, sum(contracts)
    if any(part < 0 for part in contracts) or (money and not whole):
        message = f"contracts are at or above 0 and some of them pay, found {list(contracts)} for {money}"
        raise InputError(FailureReason.INVALID_QUANTITY, message)
    found = []
    for part in contracts:
        paid = left * part // whole if whole else 0
        found.append(paid)
        left -= paid
        whole -= part
    return found
