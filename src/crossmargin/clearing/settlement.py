"""Rows of deposits, transfers, expiry and the settlement of P&L."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from crossmargin.clearing.contracts import payoff, worth
from crossmargin.clearing.indexes import funding_rows
from crossmargin.clearing.ledger import DUE, HELD, ROUND, WALLET, after_rows

if TYPE_CHECKING:
    from crossmargin.clearing.contracts import Terms
    from crossmargin.clearing.ledger import Holdings, Row


def settle_rows(terms: Terms, owner: str, holdings: Holdings, price: int) -> list[Row]:
    """Return the rows that pay the unrealised P&L of one position at `price` into the wallet, rounded down.

    Nothing leaves the account: the basis becomes what the position is worth at `price`, with the other sign.
    """
    held, basis = holdings.get((HELD, terms.symbol), 0), holdings.get((terms.basis, terms.settlement), 0)
    gain = int(worth(terms, held, price) // 1) + basis
    if not gain:
        return []
    return [(owner, WALLET, terms.settlement, gain), (owner, terms.basis, terms.settlement, -gain)]


def expiry_rows(terms: Terms, holders: Mapping[str, Holdings], price: int, indices: Mapping[str, int]) -> list[Row]:
    """Return the rows that end a contract: funding settled, payoffs paid, positions, basis and dues gone.

    Parameters
    ----------
    holders
        Everybody who holds the contract, or has a basis or a due of it; their `held` sums to 0.

    Each payoff is rounded down against its account; `round` receives the rest, less than a unit for each of them.
    """
    funding = [row for owner, holdings in holders.items() for row in funding_rows(terms, owner, holdings, indices)]
    touched = after_rows(holders, tuple(funding), holders)
    rows, rest = funding, 0
    for owner, holdings in touched.items():
        held, basis = holdings.get((HELD, terms.symbol), 0), holdings.get((terms.basis, terms.settlement), 0)
        paid = int(payoff(terms, held, price) // 1)
        due = holdings.get((DUE, terms.symbol), 0)
        rows += [
            (owner, HELD, terms.symbol, -held),
            (owner, DUE, terms.symbol, -due),
            (owner, terms.basis, terms.settlement, -basis),
            (owner, WALLET, terms.settlement, paid + basis),
        ]
        rest -= paid
    return [row for row in [*rows, (ROUND, WALLET, terms.settlement, rest)] if row[3]]


def holders_of(terms: Terms, balances: Mapping[str, Holdings]) -> dict[str, Holdings]:
    """Return everybody who holds a contract, or has a basis of it, in order of creation."""
    keys = {(HELD, terms.symbol), (terms.basis, terms.settlement)}
    return {owner: held for owner, held in balances.items() if not keys.isdisjoint(held)}
