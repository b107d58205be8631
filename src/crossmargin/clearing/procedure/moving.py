"""One move made: its rows posted, and the case's memory of it."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

from crossmargin.clearing.checking import posting
from crossmargin.clearing.events import Asked, Event, Posted
from crossmargin.clearing.ledger import HOUSE, after_rows
from crossmargin.clearing.procedure.remembered import Remembered, told
from crossmargin.clearing.procedure.rows import move_rows
from crossmargin.clearing.procedure.windows import added
from crossmargin.clearing.rules import Refusal
from crossmargin.errors import Failure, FailureReason
from crossmargin.liquidation import Done

if TYPE_CHECKING:
    from crossmargin.clearing.ledger import Row
    from crossmargin.clearing.procedure.view import View
    from crossmargin.clearing.rules import Assess
    from crossmargin.liquidation import Move

__all__ = ["check_able", "taken_events"]


def taken_events(view: View, name: str, held: Remembered, move: Move, taker: str, keeper: str) -> list[Event]:
    """Return the events of a move that is made now; none where it is less than one unit."""
    reserved = sum((done.paid_in for done in held.case.done), Fraction(0))
    rows = move_rows(view, move, taker, keeper, reserved)
    if not rows and move.step.do != "cancel":
        return []
    done = _done(move, held.case.time)
    limits = {"leg": move.about, "amount": str(move.amount), "to": taker}
    if move.price is not None:
        limits["price"] = str(move.price)
    state = view.setting.state
    memory = told(held.case, held.moves + bool(rows), done)
    memory |= added(view, name, move)
    asked = Asked(name, state.cases[name].step + 1, move.step.name, limits, memory)
    return [asked, *_posted(view, f"liquidation: {move.step.name}", name, rows)]


def _posted(view: View, cause: str, case: str, rows: list[Row]) -> list[Posted]:
    return [posting(view.setting.state, cause, rows, case=case, fees=None)] if rows else []


def _done(move: Move, time: float) -> Done:
    """Return what the memory keeps of a move."""
    paid = move.amount * (move.price or Fraction(0)) if move.step.do == "share" else Fraction(0)
    return Done(time, move.step.name, move.about, move.step.do, move.amount, max(paid, Fraction(0)))


def check_able(view: View, bidder: str, events: list[Event], assess: Assess) -> None:
    """Refuse a bidder whose initial headroom would lie below 0 with what he takes."""
    state = view.setting.state
    if bidder in HOUSE:
        return
    rows = tuple(row for event in events if isinstance(event, Posted) for row in event.rows)
    report = assess(state, after_rows(state.balances, rows, [bidder]))[bidder]
    if isinstance(report, Failure):
        raise Refusal(report.reason, f"a bidder that can be assessed: {bidder}", report.message)
    for figures in report:
        if figures.initial_headroom < 0:
            what = f"initial headroom of {figures.pool} at or above 0"
            raise Refusal(FailureReason.INSUFFICIENT_MARGIN, what, f"{figures.initial_headroom:.8g}")
