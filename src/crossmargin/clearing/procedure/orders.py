"""Market orders that are asked for outside: what is sent, what answers may fill, what became of them."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING, Final

from crossmargin.clearing.contracts import Terms, trade_money, worth
from crossmargin.clearing.events import Asked, Event, Posted
from crossmargin.clearing.ledger import HELD
from crossmargin.clearing.procedure.chain import Chain
from crossmargin.clearing.procedure.remembered import Order, Remembered, recall, told, written
from crossmargin.clearing.procedure.rows import contracts_of, fee_rows, hedge_for, parts_of
from crossmargin.clearing.procedure.view import one_of, parted, view_of
from crossmargin.clearing.procedure.windows import added, remembered
from crossmargin.clearing.rules import Refusal
from crossmargin.errors import FailureReason, InputError
from crossmargin.liquidation import Done, Move
from crossmargin.liquidation.formulas import as_fraction
from crossmargin.liquidation.moves import buckets, fees_of
from crossmargin.liquidation.postings import quoted, reported

if TYPE_CHECKING:
    from crossmargin.clearing.commands import Trade
    from crossmargin.clearing.procedure.view import Setting, View
    from crossmargin.clearing.state import State
    from crossmargin.liquidation import Leg
    from crossmargin.margin.procedure import Procedure, Step

__all__ = ["answered_events", "check_answer", "followed_events", "sent_events"]

_PATIENCE: Final = 1.0  # seconds at least that an order is waited for
_HAIR: Final = Fraction(1, 10**14)  # of a limit: what a double cannot tell


def sent_events(view: View, name: str, held: Remembered, move: Move) -> list[Event]:
    """Return that orders are asked for outside: signed contracts of each instrument, at the market or a limit.

    None of them for what cannot be traded, or is less than a lot. The case goes on when all are filled, or a cadence is
    over.
    """
    wanted = _wanted(view, move)
    step = view.setting.state.cases[name].step
    orders = [Order(move.step.name, symbol, quantity, 0, limit.get("limit")) for symbol, quantity, limit in wanted]
    memory = {**told(held.case, held.moves), "orders": written(orders), "sent": repr(held.case.time)}
    return [
        Asked(
            name,
            step + number,
            "order",
            {"step": move.step.name, "instrument": symbol, "quantity": str(quantity)} | limit,
            memory,
        )
        for number, (symbol, quantity, limit) in enumerate(wanted, start=1)
    ]


def _wanted(view: View, move: Move) -> list[tuple[str, int, dict[str, str]]]:
    """Return what a move trades at the market: instrument, signed contracts, and its limit where it has a price."""
    if move.step.do == "hedge":
        hedge = hedge_for(view, move)
        return [] if hedge is None else [(*hedge, {})]
    if move.step.do not in {"close", "assume"} or (move.leg is not None and move.leg.terms.form == "asset"):
        return []
    found = []
    for leg, amount in parts_of(view, move):
        quantity = contracts_of(view, leg, amount)
        if quantity:
            found.append((leg.keys["instrument"], quantity, _limit(leg, move)))
    return found


def _limit(leg: Leg, move: Move) -> dict[str, str]:
    return {} if move.price is None else {"limit": repr(float(quoted(leg, move.price)))}


def check_answer(state: State, command: Trade, hedges: frozenset[str]) -> None:
    """Refuse a trade in the name of a case that is no answer to what the case asked for.

    What has been held since may be less than what the order was for, or turned: no answer but a hedge's goes past 0.
    A fee would be a worse price than the one stated, and nothing else judges it: the account's headroom is not asked.
    """
    assert command.case is not None
    kept = state.cases[command.case]
    owner, _ = parted(kept.pool)
    quantity = command.quantity if command.buyer == owner else -command.quantity
    order = next((one for one in recall(kept.memory, 0.0).orders if one.instrument == command.instrument), None)
    left = 0 if order is None else order.wanted - order.filled
    if order is not None and order.step not in hedges:
        held = state.balances.get(owner, {}).get((HELD, order.instrument), 0)
        left = 0 if held * left >= 0 else min(left, -held, key=abs)
    if quantity * left <= 0 or abs(quantity) > abs(left):
        expected = f"an order of {command.case} for {command.instrument}, {left:+} contracts"
        raise Refusal(FailureReason.INVALID_QUANTITY, expected, f"{quantity:+}")
    fee = command.buyer_fee if quantity > 0 else command.seller_fee
    if fee > 0:
        expected = f"no fee of {owner} beside what the document charges for a fill"
        raise Refusal(FailureReason.INVALID_PRICE, expected, str(fee))
    if order is not None and order.limit is not None:
        _check_limit(state.configuration.terms[order.instrument], quantity, command.price, Fraction(order.limit))


def _check_limit(terms: Terms, quantity: int, price: int, limit: Fraction) -> None:
    """Refuse a price that is worse for the account than the limit of its order, which was told as a double."""
    found, hair = Fraction(price, 10**terms.contract.price_digits), abs(limit) * _HAIR
    if found + hair < limit if quantity < 0 else found - hair > limit:
        expected = f"at {'least' if quantity < 0 else 'most'} {float(limit):.15g} for {terms.symbol}"
        raise Refusal(FailureReason.INVALID_PRICE, expected, f"{float(found):.15g}")


def answered_events(setting: Setting, command: Trade, posted: Posted) -> list[Event]:
    """Return what a trade has filled of a case's order, and the posting of the step's fees for it.

    What it moves of a market's window counts from now on: the case may be over with it.
    """
    assert command.case is not None
    kept = setting.state.cases[command.case]
    quantity = command.quantity if command.buyer == parted(kept.pool)[0] else -command.quantity
    held = remembered(setting, kept)
    orders = [
        one._replace(filled=one.filled + quantity) if one.instrument == command.instrument else one
        for one in held.orders
    ]
    order = next(one for one in held.orders if one.instrument == command.instrument)
    step = _step_of(setting, order)
    if step is None:
        raise InputError(
            FailureReason.UNDEFINED_RESULT, f"the document that is now in force has no step {order.step!r}"
        )
    memory = {"orders": written(orders)}
    charged: list[Event] = []
    if step.fees or step.window_of == "market":
        view, terms = view_of(setting, *parted(kept.pool)), setting.state.configuration.terms[command.instrument]
        traded, leg, each = _charged_leg(view, step, terms)
        amount = Fraction(command.quantity, 10**terms.contract.quantity_digits) * each
        price = reported(traded, _got(terms, command) / 10**terms.contract.price_digits)
        move = Move(step, leg, amount, price, {})
        memory |= added(view, command.case, move)
        charged = _charged_events(view, held, command.case, move, posted)
    told_by = {"instrument": command.instrument, "quantity": str(quantity)}
    return [Asked(command.case, kept.step, "fill", told_by, memory), *charged]


def _charged_events(view: View, held: Remembered, name: str, move: Move, posted: Posted) -> list[Event]:
    """Return the posting of a step's fees for what a trade fills of its order, as the account stood before the trade.

    They are computed on fractions: what is counted in whole units is not moved by what a double cannot tell.
    """
    scope = replace(view.scope(held.case), leg=move.leg, step=move.step.name, exactly=True)
    charged = replace(move, fees=fees_of(scope, move.step, move.amount, move.price))
    chain = Chain(view.setting.state)
    chain.add([posted])
    rows = fee_rows(view, charged, view.owner, view.setting.outside.keeper)
    chain.post(f"liquidation: {move.step.name}, fees", name, rows)
    return chain.events[1:]


def _charged_leg(view: View, step: Step, terms: Terms) -> tuple[Leg, Leg, Fraction]:
    """Return the leg that was traded, the one that the step is about, and what it counts of that for each contract.

    A hedge is about an underlying and counts delta; what hedges it need not be held.
    """
    if step.do != "hedge":
        leg = view.pool.leg(terms.symbol)
        assert leg is not None, "no answer goes past what is held"
        return leg, leg, Fraction(1)
    bucket, hedge = terms.contract.instrument.underlying, one_of(view.setting, terms.symbol)
    about = next((one for one in buckets(view.pool) if one.name == bucket), None)
    if about is None:
        raise InputError(FailureReason.UNDEFINED_RESULT, f"nothing of {bucket} is left to hedge: no fee is known")
    return hedge, about, abs(as_fraction(hedge.figures["delta"]))


def _got(terms: Terms, command: Trade) -> Fraction:
    """Return the price of a trade in ticks, as the whole units of money that changed hands make it."""
    exact = abs(worth(terms, command.quantity, command.price))
    money = trade_money(terms, command.quantity, command.price)
    if not exact or not money:
        return Fraction(command.price)
    return command.price * (exact / money if terms.inverse else money / exact)


def followed_events(view: View, name: str, held: Remembered, procedure: Procedure) -> list[Event]:
    """Return what became of the orders that are out: filled, ended in part, or nothing while they are waited for."""
    whole = all(order.wanted == order.filled for order in held.orders)
    cadence = procedure.liquidation.cadence
    patience = 0.0 if cadence is None else float(view.scope(held.case).parameter(cadence))
    if not whole and held.case.time < held.sent + max(patience, _PATIENCE):
        return []
    steps = [(order, _step_of(view.setting, order)) for order in held.orders if order.filled]
    made = [_done(view, held.case.time, order, step) for order, step in steps if step is not None]
    memory = {**told(held.case, held.moves + len(made), *made), "orders": "[]"}
    limits = {order.instrument: str(order.filled) for order in held.orders}
    return [Asked(name, view.setting.state.cases[name].step + 1, "filled" if whole else "ended", limits, memory)]


def _step_of(setting: Setting, order: Order) -> Step | None:
    """Return the step that asked for an order; None where another document is in force since, which has it no more."""
    return next((one for one in setting.procedure.liquidation.steps if one.name == order.step), None)


def _done(view: View, time: float, order: Order, step: Step) -> Done:
    """Return what the memory keeps of an order, as of a move that is taken at once: of a hedge underlying and delta."""
    terms = view.setting.state.configuration.terms[order.instrument]
    amount = Fraction(abs(order.filled), 10**terms.contract.quantity_digits)
    if step.do != "hedge":
        return Done(time, step.name, order.instrument, step.do, amount)
    each = abs(as_fraction(one_of(view.setting, order.instrument).figures["delta"]))
    return Done(time, step.name, terms.contract.instrument.underlying, step.do, amount * each)
