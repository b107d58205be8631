"""The ledger's holdings of one owner as the little book that procedures are tried on: exact, nothing derived."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

from crossmargin.clearing.indexes import owed
from crossmargin.clearing.ledger import DUE, HELD, HOUSE, WALLET
from crossmargin.clearing.procedure.trades import wallet_of
from crossmargin.liquidation import Entry, Holdings, Row
from crossmargin.liquidation.holdings import BASIS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from crossmargin.clearing.state import State

__all__ = ["book_of"]

_WORLD = "world"


def book_of(state: State, owner: str) -> Holdings:
    """Return what an owner holds: contracts with their basis, wallets with the interest and funding that ran up."""
    rows = (
        Row(entry._replace(owner=one), sign * amount)
        for entry, amount in _entries(state, owner)
        for one, sign in ((owner, 1), (_WORLD, -1))
    )
    return Holdings().posted(rows)


def _entries(state: State, owner: str) -> Iterator[tuple[Entry, Fraction]]:
    standing, holdings = state.configuration, state.balances.get(owner, {})
    by_basis = {terms.basis: terms for terms in standing.terms.values()}
    for (purse, asset), amount in holdings.items():
        if purse == WALLET:
            yield Entry(owner, WALLET, asset), _decimal(wallet_of(state, owner, asset), standing.assets[asset].digits)
        elif purse == HELD:
            terms = standing.terms[asset]
            yield Entry(owner, HELD, asset, asset), _decimal(amount, terms.contract.quantity_digits)
            yield from _funding(state, owner, asset)  # a position from before the first funding has no due
        elif purse in by_basis:
            symbol = by_basis[purse].symbol
            yield Entry(owner, BASIS, asset, symbol), _decimal(amount, standing.assets[asset].digits)
        elif purse == DUE and asset in standing.terms and (HELD, asset) not in holdings:
            yield from _funding(state, owner, asset)


def _funding(state: State, owner: str, symbol: str) -> Iterator[tuple[Entry, Fraction]]:
    """Yield the funding of an instrument that ran up since the last touch."""
    if owner in HOUSE:
        return
    holdings, settlement = state.balances[owner], state.configuration.terms[symbol].settlement
    pays = owed(holdings.get((HELD, symbol), 0), state.indices.get(symbol, 0), holdings.get((DUE, symbol), 0))
    yield Entry(owner, WALLET, settlement), -_decimal(pays, state.configuration.assets[settlement].digits)


def _decimal(units: int, digits: int) -> Fraction:
    return Fraction(units, 10**digits)
