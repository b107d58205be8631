"""Positions from one owner to another as rows, and what a wallet holds with what has run up on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crossmargin.clearing.contracts import Payment, Terms, trade_money
from crossmargin.clearing.indexes import bearing, due_of_trade, funding_rows, owed
from crossmargin.clearing.ledger import DUE, HELD, HOUSE, WALLET, moved
from crossmargin.clearing.trading import handover_rows, trade_rows

if TYPE_CHECKING:
    from fractions import Fraction

    from crossmargin.clearing.ledger import Row
    from crossmargin.clearing.state import State

__all__ = ["handed", "traded", "traded_for", "wallet_of"]


def traded(
    state: State, terms: Terms, owner: str, other: str, quantity: int, price: int | Fraction, *, realise: bool = True
) -> list[Row]:
    """Return the rows by which an owner receives `quantity` signed contracts from another, funding settled before.

    Parameters
    ----------
    price
        In ticks; what is paid for all is rounded up, once, for the side that pays.
    realise
        Whether the profit of what is closed goes to the wallet; else it stays with the position.
    """
    return traded_for(state, terms, owner, other, quantity, trade_money(terms, abs(quantity), price), realise=realise)


def traded_for(
    state: State, terms: Terms, owner: str, other: str, quantity: int, money: int, *, realise: bool = True
) -> list[Row]:
    """Return the rows of `traded` for `money` >= 0 units altogether."""
    rows: list[Row] = []
    for one, sign in ((owner, 1), (other, -1)):
        rows += funding_rows(terms, one, state.balances.get(one, {}), state.indices)
        rows += due_of_trade(terms, one, sign * quantity, state.indices)
    buyer, seller = (owner, other) if quantity > 0 else (other, owner)
    if not realise and terms.payment is Payment.MARGINED:
        return rows + _kept(terms, buyer, seller, abs(quantity), money)
    sides = ((one, state.balances.get(one, {}), 0) for one in (buyer, seller))
    return rows + trade_rows(terms, next(sides), next(sides), abs(quantity), money)


def _kept(terms: Terms, buyer: str, seller: str, quantity: int, money: int) -> list[Row]:
    """Return the rows of a trade whose profit stays in the basis."""
    received = money if terms.inverse else -money
    return [
        *moved(seller, buyer, HELD, terms.symbol, quantity),
        *moved(seller, buyer, terms.basis, terms.settlement, received),
    ]


def wallet_of(state: State, owner: str, asset: str) -> int:
    """Return an owner's balance of an asset with the interest that a posting on it would settle."""
    holdings = state.balances.get(owner, {})
    wallet = holdings.get((WALLET, asset), 0)
    if owner in HOUSE:
        return wallet
    ran_up = ((name, bears) for name, bears in bearing(asset, wallet) if name in state.indices)
    return wallet - sum(owed(bears, state.indices[name], holdings.get((DUE, name), 0)) for name, bears in ran_up)


def handed(state: State, terms: Terms, owner: str, other: str, quantity: int) -> list[Row]:
    """Return the rows that hand signed contracts with their basis to another owner, funding settled before."""
    rows: list[Row] = []
    for one, sign in ((owner, -1), (other, 1)):
        rows += funding_rows(terms, one, state.balances.get(one, {}), state.indices)
        rows += due_of_trade(terms, one, sign * quantity, state.indices)
    given, taken = (state.balances.get(one, {}) for one in (owner, other))
    return rows + handover_rows(terms, owner, given, other, taken, quantity)
