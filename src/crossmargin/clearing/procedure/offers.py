"""Bids on what a case offers: taken as they come at the price of the moment, or sealed and cleared together."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import TYPE_CHECKING

from crossmargin.clearing.checking import check_owner
from crossmargin.clearing.configuration import account_of
from crossmargin.clearing.events import Asked, Event, Stage
from crossmargin.clearing.ledger import HOUSE
from crossmargin.clearing.procedure.cases import offer_of
from crossmargin.clearing.procedure.moving import check_able, taken_events
from crossmargin.clearing.procedure.remembered import Remembered, now_of
from crossmargin.clearing.procedure.rows import least_share
from crossmargin.clearing.procedure.view import parted, view_of
from crossmargin.clearing.procedure.windows import remembered
from crossmargin.clearing.rules import Refusal
from crossmargin.errors import FailureReason
from crossmargin.liquidation import Bid as Offered
from crossmargin.liquidation.formulas import as_fraction

if TYPE_CHECKING:
    from crossmargin.clearing.commands import Bid
    from crossmargin.clearing.procedure.view import Setting, View
    from crossmargin.clearing.rules import Assess
    from crossmargin.liquidation import Move

__all__ = ["bid_events"]


def bid_events(setting: Setting, command: Bid, assess: Assess) -> list[Event]:
    """Return what a bid does; raises `Refusal` where nothing is offered, or the bidder cannot bear it."""
    kept = setting.state.cases[command.case]
    owner, unit = parted(kept.pool)
    share, limit = _number(command.share, "a share in (0, 1]"), _number(command.limit, "a limit as a decimal")
    _check_bidder(setting, command.bidder, owner)
    if not 0 < share <= 1:
        raise Refusal(FailureReason.INVALID_QUANTITY, "a share in (0, 1]", command.share)
    held = remembered(setting, kept)
    view = view_of(setting, owner, unit)
    move = offer_of(view, held, share)
    if move is None or not held.offer:
        raise Refusal(FailureReason.UNKNOWN_CASE, "a case that takes bids", f"{command.case} offers nothing now")
    if move.step.clearing == "uniform":
        return [_sealed(command, kept.step, now_of(setting, kept))]
    return _bought(view, command.case, held, move, Offered(command.bidder, share, limit), assess)


def _bought(view: View, name: str, held: Remembered, move: Move, bid: Offered, assess: Assess) -> list[Event]:
    """Return the events of a bid that is taken at the price of the moment."""
    price, sells = _price_now(move)
    share = min(bid.share, max(move.amount, least_share(view)))  # of a document's least a lot, where he wants one
    part = replace(move, amount=share if move.step.do == "share" else move.amount * bid.share)
    if (price < bid.limit) if sells else (price > bid.limit):
        expected = f"a bid at or {'below' if sells else 'above'} the price of the moment"
        raise Refusal(
            FailureReason.INVALID_PRICE, expected, f"{float(bid.limit):.15g}, and the price is {float(price):.15g}"
        )
    events = taken_events(view, name, held, part, bid.bidder, bid.bidder)
    if not events:
        raise Refusal(FailureReason.INVALID_QUANTITY, "a share of at least one unit", str(float(bid.share)))
    check_able(view, bid.bidder, events, assess)
    return events


def _price_now(move: Move) -> tuple[Fraction, bool]:
    """Return what an offer costs now, and whether the bidder is the one who sells, who asks for no less than his limit.

    Money for the whole of a share, money per unit of a position, collateral per unit of a debt.
    """
    if move.leg is None:
        return move.price if move.price is not None else Fraction(0), move.sides is not None
    mark = as_fraction(move.leg.figures["price"])
    return move.price if move.price is not None else mark, move.leg.figures["quantity"] < 0


def _check_bidder(setting: Setting, bidder: str, owner: str) -> None:
    check_owner(setting.state, bidder)
    if account_of(bidder) == account_of(owner):
        raise Refusal(FailureReason.UNKNOWN_ACCOUNT, "another bidder than the account itself, in any pool", bidder)
    if bidder in HOUSE:
        return
    for stood in setting.state.pools.get(bidder, {}).values():
        if stood.stage not in {Stage.HEALTHY, Stage.WARNED}:
            raise Refusal(FailureReason.NOT_HEALTHY, "a healthy bidder", stood.stage)


def _sealed(command: Bid, step: int, elapsed: float) -> Asked:
    """Return that a sealed bid is kept until the window closes; a later one of the same bidder replaces it."""
    memory = {f"bid {command.bidder}": json.dumps([command.bidder, command.share, command.limit])}
    return Asked(command.case, step, "bid", {"bidder": command.bidder, "at": repr(elapsed)}, memory)


def _number(text: str, expected: str) -> Fraction:
    try:
        number = Decimal(text if len(text) <= 40 else "NaN")  # noqa: PLR2004
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite() or abs(number.adjusted()) > 40:  # noqa: PLR2004
        raise Refusal(FailureReason.INVALID_QUANTITY, expected, text[:40])
    return Fraction(number)
