"""Rows of a trade: opening, closing and flipping at average cost, premiums, spot. Trading needs no rounding account.

The money of a trade is one integer for both sides. Average cost rounds inside one account: what a closed part frees of
the basis is rounded down, so profit comes later and loss earlier, never to anybody else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from crossmargin.clearing.contracts import Payment
from crossmargin.clearing.ledger import HELD, WALLET

if TYPE_CHECKING:
    from crossmargin.clearing.contracts import Terms
    from crossmargin.clearing.ledger import Holdings, Row


def realised(held: int, basis: int, quantity: int, money: int) -> int:
    """Return what a trade realises: money that leaves the basis for the wallet, rounded down; + is profit.

    Parameters
    ----------
    held, basis
        The position before, contracts and money received for them.
    quantity, money
        The trade, signed: contracts received, money received.
    """
    if held == 0 or (held > 0) == (quantity > 0):
        return 0
    closed = min(abs(quantity), abs(held))
    received = money if closed == abs(quantity) else money * closed // abs(quantity)
    return received + basis * closed // abs(held)


def side_rows(terms: Terms, owner: str, holdings: Holdings, quantity: int, money: int) -> list[Row]:
    """Return one side's rows of a trade: `quantity` signed contracts received, `money` signed money received."""
    if terms.payment == Payment.SPOT:
        return [
            (owner, WALLET, terms.spot_asset, quantity * terms.spot_scale),
            (owner, WALLET, terms.settlement, money),
        ]
    rows = [(owner, HELD, terms.symbol, quantity)]
    if terms.payment == Payment.PREMIUM:
        return [*rows, (owner, WALLET, terms.settlement, money)]
    held, basis = holdings.get((HELD, terms.symbol), 0), holdings.get((terms.basis, terms.settlement), 0)
    gain = realised(held, basis, quantity, money)
    rows.append((owner, terms.basis, terms.settlement, money - gain))
    if gain:
        rows.append((owner, WALLET, terms.settlement, gain))
    return rows


def trade_rows(
    terms: Terms, buyer: str, bought: Holdings, seller: str, sold: Holdings, quantity: int, money: int
) -> list[Row]:
    """Return both sides' rows of a trade of `quantity` > 0 for `money` >= 0, as `trade_money` gives it.

    Parameters
    ----------
    bought, sold
        What buyer and seller hold before.
    """
    received = money if terms.inverse else -money  # an inverse long receives coin: its price is coin per quote
    rows = side_rows(terms, buyer, bought, quantity, received)
    return rows + side_rows(terms, seller, sold, -quantity, -received)
