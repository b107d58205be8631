"""Sealed batches: bids that were collected in a window, cleared together at one price."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING

from crossmargin.clearing.events import Asked, Event
from crossmargin.clearing.procedure.chain import Chain
from crossmargin.clearing.procedure.moving import check_able, taken_events
from crossmargin.clearing.procedure.remembered import Remembered, recall
from crossmargin.clearing.rules import Refusal
from crossmargin.liquidation import Bid, cleared
from crossmargin.liquidation.formulas import as_fraction

if TYPE_CHECKING:
    from collections.abc import Mapping

    from crossmargin.clearing.procedure.view import View
    from crossmargin.clearing.rules import Assess
    from crossmargin.liquidation import Cleared, Move

__all__ = ["sealed_events"]


def sealed_events(view: View, name: str, held: Remembered, move: Move, assess: Assess) -> list[Event]:
    """Return how a batch of sealed bids clears once its window is over: the highest first, all at the lowest taken.

    Who cannot bear what it bid for is passed over, and the batch cleared without it. Nothing before the window is over,
    or without a bid; afterwards another window begins.
    """
    if move.step.window is None or not held.bids:
        return []
    window = float(view.scope(held.case).parameter(move.step.window))
    if held.case.time - held.case.opened < window:
        return []
    bids = [Bid(bidder, Fraction(share), Fraction(limit)) for bidder, share, limit in held.bids]
    reserve = move.price if move.price is not None else Fraction(0)
    unable: dict[str, str] = {}
    while True:
        batch = cleared([bid for bid in bids if bid.bidder not in unable], as_fraction(move.amount), reserve)
        found = _delivered(view, name, held, move, batch, assess)
        if isinstance(found, list):
            break
        unable |= found
    return [_told(view, name, held, batch, unable), *found]


def _told(view: View, name: str, held: Remembered, batch: Cleared, unable: Mapping[str, str]) -> Asked:
    """Return the record of the clearing: its price, who was passed over, and that every bid is gone."""
    gone = {f"bid {bidder}": "" for bidder, _, _ in held.bids} | {"opened": repr(held.case.time)}
    limits = {"price": repr(float(batch.price)), **{f"unable {bidder}": why for bidder, why in unable.items()}}
    return Asked(name, view.setting.state.cases[name].step + 1, "cleared", limits, gone)


def _delivered(
    view: View, name: str, held: Remembered, move: Move, batch: Cleared, assess: Assess
) -> list[Event] | dict[str, str]:
    """Return the events of all fills, or the first bidder that cannot bear his and why.

    A bid's share is of the account as it stood: of what is left after those before it, it is a larger one.
    """
    chain, left = Chain(view.setting.state), Fraction(1)
    chain.add([Asked(name, chain.state.cases[name].step + 1, "cleared", {}, {})])  # as `_told`, which comes before
    for fill in batch.fills:
        here = replace(view, setting=view.setting.at(chain.state))
        kept = recall(chain.state.cases[name].memory, held.case.time)
        standing = replace(held, case=replace(held.case, done=kept.case.done), moves=kept.moves)
        part = replace(move, amount=fill.share / left, price=batch.price * left)
        events = taken_events(here, name, standing, part, fill.bidder, fill.bidder)
        try:
            check_able(here, fill.bidder, events, assess)
        except Refusal as refusal:
            return {fill.bidder: refusal.found}
        chain.add(events)
        left -= fill.share
    return chain.events[1:]
