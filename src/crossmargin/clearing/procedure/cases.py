"""How a case goes on: one thing at a time, until it has ended, waits, or turns into a loss."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING, Final

from crossmargin.clearing.events import Asked, Event, Posted, Stage, Staged
from crossmargin.clearing.ledger import FUND, HOUSE, VAULT
from crossmargin.clearing.procedure.losses import loss_events
from crossmargin.clearing.procedure.moving import taken_events
from crossmargin.clearing.procedure.orders import followed_events, sent_events
from crossmargin.clearing.procedure.outside import OFFERED
from crossmargin.clearing.procedure.payers import bears
from crossmargin.clearing.procedure.remembered import Remembered, told
from crossmargin.clearing.procedure.rows import least_share
from crossmargin.clearing.procedure.sealed import sealed_events
from crossmargin.clearing.procedure.staging import halted, left_to, triggered
from crossmargin.clearing.procedure.view import View, parted, view_of
from crossmargin.clearing.procedure.windows import remembered, waits_for_window
from crossmargin.liquidation import ended, next_move

if TYPE_CHECKING:
    from crossmargin.clearing.procedure.view import Setting
    from crossmargin.clearing.rules import Assess
    from crossmargin.liquidation import Move
    from crossmargin.margin.procedure import Procedure

__all__ = ["case_events", "offer_of", "procedure_of"]

_AT_ONCE: Final = 100  # moves of a case in one instant; the next command lets it go on
_PATIENCE: Final = 1.0  # seconds at least until a full window is looked at again
_BOUNDED: Final = frozenset({FUND, VAULT})
"""House owners that take over no more than they can bear; a network's loss is told when it has disposed of it."""


def case_events(setting: Setting, name: str, assess: Assess) -> list[Event]:
    """Return the next thing that happens in a case; nothing while it waits."""
    kept = setting.state.cases[name]
    owner, unit = parted(kept.pool)
    if halted(setting.state, owner):
        return []
    if setting.state.pools[owner][unit].stage == Stage.BANKRUPT:
        return loss_events(setting, name, assess)
    view = view_of(setting, owner, unit)
    held = remembered(setting, kept)
    procedure = procedure_of(setting, held)
    if owner in HOUSE:  # it goes on until all is disposed of
        over = all(leg.terms.form == "asset" for leg in view.pool.legs)
    else:
        over = ended(procedure, view.pool, held.case, view.desk(held.case))
    if over:
        return _over(view, name, held)
    if held.orders:
        return followed_events(view, name, held, procedure)
    if held.case.time < held.next_at or sum(done.time == held.case.time for done in held.case.done) >= _AT_ONCE:
        return []
    return _next(view, name, held, procedure, assess)


def procedure_of(setting: Setting, held: Remembered) -> Procedure:
    """Return the document's procedure; where a call's deadline led here, it goes on until the call is cured."""
    procedure = setting.procedure
    band = next((band for band in procedure.bands if band.then == held.band), None)
    if band is None or band.until is None:
        return procedure
    return replace(procedure, liquidation=replace(procedure.liquidation, until=band.until))


def _over(view: View, name: str, held: Remembered) -> list[Event]:
    """Return how a case ends whose `until` holds; of who still meets the trigger it is one of loss, or it waits."""
    if not triggered(view) and not (view.owner in HOUSE and _lost(view)):
        return left_to(view, name, held.case)
    return _bankrupt(view, name, "`until` holds, and the trigger does") if _lost(view) else []


def _lost(view: View) -> bool:
    return float(view.pool.figures["equity"]) < 0


def _bankrupt(view: View, name: str, why: str) -> list[Event]:
    pool, stood = view.name, view.setting.state.pools[view.owner][view.unit]
    cause = {"when": why, "equity": repr(float(view.pool.figures["equity"]))}
    return [Staged(pool, stood.stage, Stage.BANKRUPT, cause, name)]


def _next(view: View, name: str, held: Remembered, procedure: Procedure, assess: Assess) -> list[Event]:
    """Return the next move of the round; where the round is over when the next begins, or that nothing helps."""
    case, desk = held.case, view.desk(held.case)
    while True:
        move, case = next_move(procedure, view.pool, case, desk)
        if move is None:
            return _round_over(view, name, held, procedure)
        found = _made(view, name, replace(held, case=case), move, assess)
        if found is not None:
            return found


def _made(view: View, name: str, held: Remembered, move: Move, assess: Assess) -> list[Event] | None:
    """Return what comes of a move: it is made, asked for outside or waits for bids; None where it cannot be made."""
    outside = view.setting.outside
    if move.step.do == "share":
        move = replace(move, amount=max(move.amount, least_share(view)))
    if move.step.to in OFFERED and outside.taker is None:
        return _offered(view, name, held, move) or sealed_events(view, name, held, move, assess)
    taker = view.owner if move.step.do == "cancel" else outside.owner(move.step.to, None)
    if taker is None:
        return sent_events(view, name, held, move) or None
    found = taken_events(view, name, held, move, taker, outside.keeper)
    rows = [row for event in found if isinstance(event, Posted) for row in event.rows]
    if taker in _BOUNDED and move.step.do == "assume" and not bears(view.setting, taker, rows):
        return None
    return list(found) or None


def offer_of(view: View, held: Remembered, wanted: Fraction) -> Move | None:
    """Return what is offered to a bidder who wants a share, at this moment's price; None where nothing is."""
    procedure = procedure_of(view.setting, held)
    desk = view.desk(held.case, {"wanted": wanted})
    case = held.case
    while True:
        move, case = next_move(procedure, view.pool, case, desk)
        if move is None or move.step.to in OFFERED:
            return move


def _offered(view: View, name: str, held: Remembered, move: Move) -> list[Event]:
    """Return that bids are asked for; nothing where they are already."""
    if held.offer == move.step.name:
        return []
    state = view.setting.state
    stood = state.pools[view.owner][view.unit]
    price = {} if move.price is None else {"price": repr(float(move.price))}
    limits = {"step": move.step.name, "leg": move.about, "amount": repr(float(move.amount)), **price}
    so_far = sorted(held.case.offered | {move.step.name})
    memory = {"offer": move.step.name, "opened": repr(held.case.time), "offered": json.dumps(so_far)}
    asked = Asked(name, state.cases[name].step + 1, "auction" if move.step.do == "share" else "offer", limits, memory)
    if stood.stage == Stage.AUCTION or move.step.do != "share":
        return [asked]
    return [Staged(view.name, stood.stage, Stage.AUCTION, {"step": move.step.name}, name), asked]


def _round_over(view: View, name: str, held: Remembered, procedure: Procedure) -> list[Event]:
    """Return when the next round begins; where nothing moved in this one, that the case is one of loss, or waits."""
    full = not held.moves and waits_for_window(view, held, procedure)
    if not held.moves and not full and _lost(view) and (procedure.liquidation.steps or procedure.waterfall):
        return _bankrupt(view, name, "nothing is left to do")
    if not held.moves and not held.case.position and not held.case.passed:
        return []  # the round is as it began: it is asked again when something changes
    cadence = procedure.liquidation.cadence
    pause = 0.0 if cadence is None else float(view.scope(held.case).parameter(cadence))
    again = held.case.time + (max(pause, _PATIENCE) if full else pause)
    memory = {**told(held.case.at(held.case.time), 0), "next": repr(again)}
    return [Asked(name, view.setting.state.cases[name].step + 1, "wait", {}, memory)]
