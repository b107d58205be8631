"""What a move of a procedure moves in the ledger: balanced rows of integers, rounded against the account.

A position goes by the same rows as any trade (`clearing.trading`); funding is settled before it.
"""

from __future__ import annotations

from fractions import Fraction
from math import ceil, floor
from typing import TYPE_CHECKING

from crossmargin.clearing.contracts import Terms, trade_money
from crossmargin.clearing.indexes import due_of_trade, funding_rows
from crossmargin.clearing.ledger import FUND, HELD, RESERVED, WALLET, WORLD, moved
from crossmargin.clearing.procedure.outside import price_of
from crossmargin.clearing.procedure.view import hedge_of
from crossmargin.clearing.trading import handover_rows, trade_rows
from crossmargin.liquidation.formulas import as_fraction
from crossmargin.liquidation.postings import balances_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from crossmargin.clearing.ledger import Row
    from crossmargin.clearing.procedure.view import View
    from crossmargin.clearing.state import State
    from crossmargin.liquidation import Leg, Move

__all__ = ["contracts_of", "handed", "move_rows", "traded"]


def move_rows(view: View, move: Move, taker: str, keeper: str, reserved: Fraction) -> list[Row]:
    """Return the rows of a move, and of its fees; none where its amount is less than one unit.

    Parameters
    ----------
    taker
        Who stands on the other side.
    keeper
        Who receives what the document pays its keeper.
    reserved
        Cash that earlier bidders paid in, which no later one buys.
    """
    rows = _share(view, move, taker, reserved) if move.step.do == "share" else _KINDS[move.step.do](view, move, taker)
    return [*rows, *_fees(view, move, taker, keeper)] if rows else []


def traded(state: State, terms: Terms, owner: str, other: str, quantity: int, price: int | Fraction) -> list[Row]:
    """Return the rows by which an owner receives `quantity` signed contracts from another, funding settled before."""
    rows: list[Row] = []
    for one, sign in ((owner, 1), (other, -1)):
        rows += funding_rows(terms, one, state.balances.get(one, {}), state.indices)
        rows += due_of_trade(terms, one, sign * quantity, state.indices)
    buyer, seller = (owner, other) if quantity > 0 else (other, owner)
    money = trade_money(terms, abs(quantity), price)
    sides = ((one, state.balances.get(one, {}), 0) for one in (buyer, seller))
    return rows + trade_rows(terms, next(sides), next(sides), abs(quantity), money)


def handed(state: State, terms: Terms, owner: str, other: str, quantity: int) -> list[Row]:
    """Return the rows that hand signed contracts with their basis to another owner, funding settled before."""
    rows: list[Row] = []
    for one, sign in ((owner, -1), (other, 1)):
        rows += funding_rows(terms, one, state.balances.get(one, {}), state.indices)
        rows += due_of_trade(terms, one, sign * quantity, state.indices)
    given, taken = (state.balances.get(one, {}) for one in (owner, other))
    return rows + handover_rows(terms, owner, given, other, taken, quantity)


def contracts_of(view: View, leg: Leg, amount: Fraction) -> int:
    """Return the contracts that a move closes of a leg, signed as the account receives them: whole lots, up."""
    held = _held(view, leg)
    terms = view.setting.state.configuration.terms[leg.keys["instrument"]]
    wanted = min(ceil(amount * int(10**terms.contract.quantity_digits)), abs(held))
    return -wanted if held > 0 else wanted


def _held(view: View, leg: Leg) -> int:
    return view.setting.state.balances.get(view.owner, {}).get((HELD, leg.keys["instrument"]), 0)


def _cancel(view: View, _move: Move, _taker: str) -> list[Row]:
    holdings = view.setting.state.balances.get(view.owner, {})
    orders = [(asset, amount) for (purse, asset), amount in holdings.items() if purse == RESERVED]
    return [row for asset, amount in orders for row in moved(view.owner, WORLD, RESERVED, asset, amount)]


def _parts(view: View, move: Move) -> list[tuple[Leg, Fraction]]:
    """Return the legs that a move closes or hands over, with how much of each."""
    if move.leg is None:
        legs = [leg for leg in view.pool.legs if leg.terms.form != "asset" and leg.fits(move.step.of)]
        return [(leg, move.amount * as_fraction(leg.figures["contracts_held"])) for leg in legs]
    if not move.step.pairs:
        return [(move.leg, move.amount)]
    side, bucket = move.leg.figures["quantity"], move.leg.keys["bucket"]
    same = [leg for leg in view.pool.legs if leg.keys["bucket"] == bucket and leg.terms.form != "asset"]
    opposite = next(leg for leg in same if leg.figures["quantity"] * side < 0)
    return [(move.leg, move.amount), (opposite, move.amount)]


def _close(view: View, move: Move, taker: str) -> list[Row]:
    rows: list[Row] = []
    state, slippage = view.setting.state, view.setting.outside.slippage
    for leg, amount in _parts(view, move):
        quantity = contracts_of(view, leg, amount)
        if quantity:
            terms = state.configuration.terms[leg.keys["instrument"]]
            price = price_of(state, terms, leg, quantity, move.price, slippage)
            rows += traded(state, terms, view.owner, taker, quantity, price)
    return rows


def _assume(view: View, move: Move, taker: str) -> list[Row]:
    if move.leg is not None and move.leg.terms.form == "asset":
        return _seized(view, move.leg, move.amount, taker)
    rows: list[Row] = []
    if move.leg is None:
        for leg in balances_of(view.pool, move.step):
            rows += _seized(view, leg, move.amount * as_fraction(leg.figures["contracts_held"]), taker)
    if move.price is not None:
        return rows + _close(view, move, taker)
    state = view.setting.state
    for leg, amount in _parts(view, move):
        quantity = -contracts_of(view, leg, amount)
        if quantity:
            rows += handed(state, state.configuration.terms[leg.keys["instrument"]], view.owner, taker, quantity)
    return rows


def _seized(view: View, leg: Leg, amount: Fraction, taker: str) -> list[Row]:
    """Hand over a balance, or a part of it; a debt as a debt."""
    asset = leg.terms.settles_in
    digits = view.setting.state.configuration.assets[asset].digits
    held = view.setting.state.balances.get(view.owner, {}).get((WALLET, asset), 0)
    part = min(ceil(amount * 10**digits), abs(held))
    return list(moved(view.owner, taker, WALLET, asset, part if held > 0 else -part)) if part else []


def _hedge(view: View, move: Move, taker: str) -> list[Row]:
    """Open the underlying's hedge against its delta, to the nearest lot."""
    assert move.leg is not None
    state = view.setting.state
    symbol = hedge_of(view.setting, move.leg)
    hedge = view.hedges().get(move.leg.name) if symbol else None
    if symbol is None or hedge is None:
        return []
    terms, each = state.configuration.terms[symbol], as_fraction(hedge.figures["delta"])
    contracts = round(move.amount / abs(each) * 10**terms.contract.quantity_digits)
    quantity = -contracts if (move.leg.figures["bucket_delta"] > 0) == (each > 0) else contracts
    if not quantity:
        return []
    price = price_of(state, terms, hedge, quantity, move.price, view.setting.outside.slippage)
    return traded(state, terms, view.owner, taker, quantity, price)


def _share(view: View, move: Move, taker: str, reserved: Fraction) -> list[Row]:
    """Sell the same share of everything but the cash of earlier bidders; below 0 the fund pays the bidder."""
    state, cash = view.setting.state, view.setting.cash
    unit = 10 ** state.configuration.assets[cash].digits
    rows: list[Row] = []
    for (purse, asset), amount in state.balances.get(view.owner, {}).items():
        if purse == WALLET:
            kept = ceil(reserved * unit) if asset == cash else 0
            rows += moved(view.owner, taker, WALLET, asset, ceil((amount - kept) * move.amount))
        elif purse == HELD:
            quantity = ceil(abs(amount) * move.amount) * (1 if amount > 0 else -1)
            if quantity:
                rows += handed(state, state.configuration.terms[asset], view.owner, taker, quantity)
    paid = floor((move.price or Fraction(0)) * move.amount * unit)
    rows += moved(taker, view.owner, WALLET, cash, paid) if paid >= 0 else moved(FUND, taker, WALLET, cash, -paid)
    return [row for row in rows if row[3]]


def _exchange(view: View, move: Move, taker: str) -> list[Row]:
    """Repay a debt for collateral: what is repaid is rounded down, what is given for it up."""
    assert move.sides is not None
    assert move.price is not None
    debt, held = (move.sides[side].terms.settles_in for side in ("debt_", "collateral_"))
    assets, wallet = view.setting.state.configuration.assets, view.setting.state.balances.get(view.owner, {})
    repaid = floor(move.amount * 10 ** assets[debt].digits)
    exact = Fraction(repaid, 10 ** assets[debt].digits) * move.price * 10 ** assets[held].digits
    given = min(ceil(exact), wallet.get((WALLET, held), 0))
    if not repaid or given <= 0:
        return []
    return [*moved(taker, view.owner, WALLET, debt, repaid), *moved(view.owner, taker, WALLET, held, given)]


def _settle(view: View, move: Move, taker: str) -> list[Row]:
    """Move unrealised P&L into the wallet: of each unit of profit `price` is paid out, a loss is paid in full."""
    assert move.leg is not None
    state, asset = view.setting.state, move.leg.terms.settles_in
    basis = state.configuration.terms[move.leg.keys["instrument"]].basis
    gain = floor(move.amount * 10 ** state.configuration.assets[asset].digits)
    gain = gain if move.leg.figures["unsettled_pnl"] > 0 else -gain
    money = floor(gain * (move.price if move.price is not None and gain > 0 else 1))
    return (
        [*moved(view.owner, taker, basis, asset, gain), *moved(taker, view.owner, WALLET, asset, money)] if gain else []
    )


def _fees(view: View, move: Move, taker: str, keeper: str) -> list[Row]:
    """Return fees as rows: of an exchange out of what the other side receives, else out of the account's wallet."""
    payer, asset = view.owner, view.setting.cash
    if move.sides is not None:
        payer, asset = taker, move.sides["collateral_"].terms.settles_in
    elif move.leg is not None:
        asset = move.leg.terms.settles_in
    unit = 10 ** view.setting.state.configuration.assets[asset].digits
    rows: list[Row] = []
    for named, fee in move.fees.items():
        owner = view.setting.outside.owner(named, keeper) or keeper
        rows += moved(payer, owner, WALLET, asset, ceil(fee * unit))
    return [row for row in rows if row[3]]


_KINDS: dict[str, Callable[[View, Move, str], list[Row]]] = {
    "cancel": _cancel,
    "close": _close,
    "assume": _assume,
    "hedge": _hedge,
    "exchange": _exchange,
    "settle": _settle,
}
