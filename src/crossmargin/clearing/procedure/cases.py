"""How a case goes on: one thing at a time, until it has ended, waits, or turns into a loss."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING

from crossmargin.clearing.events import Asked, Event, Stage, Staged
from crossmargin.clearing.ledger import HELD
from crossmargin.clearing.procedure.losses import loss_events
from crossmargin.clearing.procedure.moving import taken_events
from crossmargin.clearing.procedure.outside import OFFERED
from crossmargin.clearing.procedure.remembered import Remembered, recall, told
from crossmargin.clearing.procedure.rows import contracts_of
from crossmargin.clearing.procedure.sealed import sealed_events
from crossmargin.clearing.procedure.staging import halted, left_to
from crossmargin.clearing.procedure.view import parted, view_of
from crossmargin.liquidation import Done, ended, next_move

if TYPE_CHECKING:
    from crossmargin.clearing.procedure.view import Setting, View
    from crossmargin.clearing.rules import Assess
    from crossmargin.clearing.state import Case
    from crossmargin.liquidation import Move
    from crossmargin.margin.procedure import Procedure

__all__ = ["case_events", "now_of", "offer_of", "procedure_of"]


def case_events(setting: Setting, name: str, assess: Assess) -> list[Event]:
    """Return the next thing that happens in a case; nothing while it waits."""
    kept = setting.state.cases[name]
    owner, unit = parted(kept.pool)
    stood = setting.state.pools[owner][unit]
    if stood.stage == Stage.BANKRUPT:
        return loss_events(setting, name, assess)
    if halted(setting.state, owner):
        return []
    view = view_of(setting, owner, unit)
    held = recall(kept.memory, now_of(setting, kept))
    procedure = procedure_of(setting, held)
    if ended(procedure, view.pool, held.case, view.desk(held.case)):
        return [left_to(setting, view, name)]
    if held.order is not None:
        return _followed(view, name, held, procedure)
    return [] if held.case.time < held.next_at else _next(view, name, held, procedure, assess)


def now_of(setting: Setting, kept: Case) -> float:
    """Return the seconds since a case began."""
    assert setting.state.as_of is not None
    return (setting.state.as_of - kept.started).total_seconds()


def procedure_of(setting: Setting, held: Remembered) -> Procedure:
    """Return the document's procedure; where a call's deadline led here, it goes on until the call is cured."""
    procedure = setting.procedure
    band = next((band for band in procedure.bands if band.then == held.band), None)
    if band is None or band.until is None:
        return procedure
    return replace(procedure, liquidation=replace(procedure.liquidation, until=band.until))


def _next(view: View, name: str, held: Remembered, procedure: Procedure, assess: Assess) -> list[Event]:
    """Return the next move of the round; where the round is over when the next begins, or that nothing helps."""
    case, desk = held.case, view.desk(held.case)
    while True:
        move, case = next_move(procedure, view.pool, case, desk)
        if move is None:
            return _round_over(view, name, replace(held, case=case), procedure)
        if move.step.to in OFFERED and view.setting.outside.taker is None:
            return _offered(view, name, held, move) or sealed_events(view, name, held, move, assess)
        taker = view.owner if move.step.do == "cancel" else view.setting.outside.owner(move.step.to, None)
        if taker is None:
            sent = _sent(view, name, replace(held, case=case), move)
            if sent:
                return sent
            continue
        found = taken_events(view, name, replace(held, case=case), move, taker, view.setting.outside.keeper)
        if found:
            return found


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
    opened = held.case.opened if held.offer else held.case.time
    price = {} if move.price is None else {"price": repr(float(move.price))}
    limits = {"leg": move.about, "amount": repr(float(move.amount)), **price}
    memory = {"offer": move.step.name, "opened": repr(opened)}
    asked = Asked(name, state.cases[name].step + 1, "auction" if move.step.do == "share" else "offer", limits, memory)
    if stood.stage == Stage.AUCTION or move.step.do != "share":
        return [asked]
    pool = state.cases[name].pool
    return [Staged(pool, stood.stage, Stage.AUCTION, {"step": move.step.name}, name), asked]


def _sent(view: View, name: str, held: Remembered, move: Move) -> list[Event]:
    """Return that an order is asked for outside: signed contracts of one instrument, at the market."""
    if move.leg is None or move.step.pairs or move.step.do not in {"close", "assume"}:
        return _sent_legs(view, name, held, move)
    quantity = contracts_of(view, move.leg, move.amount)
    if not quantity:
        return []
    symbol = move.leg.keys["instrument"]
    before = view.setting.state.balances[view.owner].get((HELD, symbol), 0)
    limits = {"instrument": symbol, "quantity": str(quantity)}
    memory = {**told(held.case, held.moves), "order": json.dumps([symbol, quantity, before])}
    return [Asked(name, view.setting.state.cases[name].step + 1, "order", limits, memory)]


def _sent_legs(view: View, name: str, held: Remembered, move: Move) -> list[Event]:
    """Ask for the first leg of a move over several; the others come when the case goes on."""
    if move.step.do not in {"close", "assume"}:
        return []
    bucket = move.leg.keys["bucket"] if move.leg is not None else None
    for leg in view.pool.legs:
        if leg.terms.form != "asset" and bucket in {None, leg.keys["bucket"]} and leg.fits(move.step.of):
            one = replace(move, leg=leg, step=replace(move.step, pairs=False))
            part = move.amount if move.leg is not None else move.amount * Fraction(float(leg.figures["contracts_held"]))
            return _sent(view, name, held, replace(one, amount=part))
    return []


def _followed(view: View, name: str, held: Remembered, procedure: Procedure) -> list[Event]:
    """Return what became of an order that is out: filled, in part at the next round, or still waited for."""
    assert held.order is not None
    symbol, wanted, before = held.order
    state = view.setting.state
    filled = state.balances.get(view.owner, {}).get((HELD, symbol), 0) - before
    whole = abs(filled) >= abs(wanted) and filled * wanted > 0
    if not whole and held.case.time < held.next_at + max(_cadence(view, held, procedure), 1.0):
        return []
    unit = 10 ** state.configuration.terms[symbol].contract.quantity_digits
    step = procedure.liquidation.steps[min(held.case.position, len(procedure.liquidation.steps) - 1)]
    done = Done(held.case.time, step.name, symbol, "close", Fraction(abs(filled), unit))
    memory = {**told(held.case, held.moves + bool(filled), done if filled else None), "order": "null"}
    return [Asked(name, state.cases[name].step + 1, "filled" if whole else "ended", {"filled": str(filled)}, memory)]


def _round_over(view: View, name: str, held: Remembered, procedure: Procedure) -> list[Event]:
    """Return when the next round begins; where nothing moved in this one, that the case is one of loss, or waits."""
    state = view.setting.state
    if not held.moves:
        if float(view.pool.figures["equity"]) < 0:
            pool, stood = state.cases[name].pool, state.pools[view.owner][view.unit]
            cause = {"when": "nothing is left to do", "equity": repr(float(view.pool.figures["equity"]))}
            return [Staged(pool, stood.stage, Stage.BANKRUPT, cause, name)]
        return []
    again = held.case.time + _cadence(view, held, procedure)
    case = held.case.at(held.case.time)
    return [Asked(name, state.cases[name].step + 1, "wait", {}, {**told(case, 0), "next": repr(again)})]


def _cadence(view: View, held: Remembered, procedure: Procedure) -> float:
    cadence = procedure.liquidation.cadence
    return 0.0 if cadence is None else float(view.scope(held.case).parameter(cadence))
