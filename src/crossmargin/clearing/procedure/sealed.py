"""Sealed batches: bids that were collected in a window, cleared together at one price."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING

from crossmargin.clearing.events import Asked, Event
from crossmargin.clearing.procedure.moving import check_able, taken_events
from crossmargin.clearing.rules import Refusal
from crossmargin.liquidation import Bid, cleared
from crossmargin.liquidation.formulas import as_fraction

if TYPE_CHECKING:
    from crossmargin.clearing.procedure.remembered import Remembered
    from crossmargin.clearing.procedure.view import View
    from crossmargin.clearing.rules import Assess
    from crossmargin.liquidation import Fill, Move

__all__ = ["sealed_events"]


def sealed_events(view: View, name: str, held: Remembered, move: Move, assess: Assess) -> list[Event]:
    """Return how a batch of sealed bids clears once its window is over: the highest first, all at the lowest taken.

    Who cannot bear what it bid for is passed over. Nothing before the window is over, or without a bid.
    """
    if move.step.window is None or not held.bids:
        return []
    window = float(view.scope(held.case).parameter(move.step.window))
    if held.case.time - held.case.opened < window:
        return []
    reserve = move.price if move.price is not None else Fraction(0)
    batch = [Bid(bidder, Fraction(share), Fraction(limit)) for bidder, share, limit in held.bids]
    found = cleared(batch, as_fraction(move.amount), reserve)
    return _delivered(view, name, held, move, found.fills, found.price, assess)


def _delivered(
    view: View, name: str, held: Remembered, move: Move, fills: tuple[Fill, ...], price: Fraction, assess: Assess
) -> list[Event]:
    """Return the first fill that its bidder can bear, and that its bid is gone; the others follow one by one."""
    for fill in fills:
        bidder = fill.bidder
        events = taken_events(view, name, held, replace(move, amount=fill.share, price=price), bidder, bidder)
        gone = {f"bid {bidder}": ""}
        step = view.setting.state.cases[name].step
        try:
            check_able(view, bidder, events, assess)
        except Refusal as refusal:
            return [Asked(name, step, "bid refused", {"bidder": bidder, "why": refusal.found}, gone)]
        if events:
            first = events[0]
            assert isinstance(first, Asked)
            return [Asked(name, first.step, first.what, first.limits, {**first.memory, **gone}), *events[1:]]
    return []
