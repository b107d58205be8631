"""Auctions of shares of an account: bids taken as they come at a moving price, or sealed and cleared at one price."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

from crossmargin.errors import FailureReason, InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Bid", "Cleared", "Fill", "cleared", "taken"]


@dataclass(frozen=True, slots=True)
class Bid:
    """What a bidder asks for.

    Parameters
    ----------
    share
        Of everything that is offered, in (0, 1].
    limit
        The most that it pays for the whole; below 0: the least that it must be paid.
    able
        The largest share whose price and margin it can bear.
    seen
        The number of fills that it had seen when it bid; None: it does not mind what came before.
    """

    bidder: str
    share: Fraction
    limit: Fraction
    able: Fraction = Fraction(1)
    seen: int | None = None


@dataclass(frozen=True, slots=True)
class Fill:
    """What a bidder gets: a share at a price for the whole, or nothing and why."""

    bidder: str
    share: Fraction
    price: Fraction
    refused: str | None = None


@dataclass(frozen=True, slots=True)
class Cleared:
    """What a sealed auction came to: fills in falling order of limit, one price for all, and the share left over."""

    fills: tuple[Fill, ...]
    price: Fraction
    left: Fraction


def taken(bid: Bid, offered: Fraction, price: Fraction, fills: int) -> Fill:
    """Return what one bid gets of an open auction, at its price now.

    Parameters
    ----------
    offered
        The largest share that may be sold now.
    price
        For the whole; below 0 the bidder is paid.
    fills
        How many fills there were: a bid that has not seen them is refused, so that nobody is served another auction
        than the one that it looked at.

    Raises
    ------
    InputError
        INVALID_QUANTITY: a share outside (0, 1].
    """
    _check(bid)
    if bid.seen is not None and bid.seen != fills:
        return Fill(bid.bidder, Fraction(0), price, f"the auction moved on: {fills} fills, {bid.seen} seen")
    if price > bid.limit:
        return Fill(bid.bidder, Fraction(0), price, f"the price {float(price):.15g} is above its limit")
    share = min(bid.share, offered, bid.able)
    return Fill(bid.bidder, max(share, Fraction(0)), price, None if share > 0 else "nothing that it can bear is left")


def cleared(bids: Sequence[Bid], offered: Fraction, reserve: Fraction) -> Cleared:
    """Return how a sealed batch clears: the highest limits first, all at the lowest limit that is taken.

    Ties go by order. Whoever bids below `reserve` gets nothing; with no bid at all the price is the reserve.

    Raises
    ------
    InputError
        INVALID_QUANTITY: a share outside (0, 1], or two bids of one bidder.
    """
    for bid in bids:
        _check(bid)
    if len({bid.bidder for bid in bids}) != len(bids):
        raise InputError(FailureReason.INVALID_QUANTITY, "a sealed auction takes one bid of each bidder")
    left, fills = offered, []
    price = reserve
    for bid in sorted(bids, key=lambda bid: -bid.limit):
        share = min(bid.share, bid.able, left)
        if bid.limit < reserve or share <= 0:
            continue
        fills.append((bid.bidder, share))
        left -= share
        price = bid.limit
    return Cleared(tuple(Fill(bidder, share, price) for bidder, share in fills), price, left)


def _check(bid: Bid) -> None:
    if not 0 < bid.share <= 1:
        message = f"a share lies in (0, 1], {bid.bidder} bids for {bid.share}"
        raise InputError(FailureReason.INVALID_QUANTITY, message)
