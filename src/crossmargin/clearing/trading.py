"""Rows of a trade: opening, closing and flipping at average cost, premiums, spot. Trading needs no rounding account.

The money of a trade is one integer for both sides. Average cost rounds inside one account: what a closed part frees of
the basis is rounded down, so profit comes later and loss earlier, never to anybody else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from crossmargin.clearing.contracts import Payment
from crossmargin.clearing.ledger import FEES, HELD, WALLET

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


def side_rows(terms: Terms, owner: str, holdings: Holdings, quantity: int, money: int, fee: int) -> list[Row]:
    """Return one side's rows of a trade: `quantity` signed contracts received, `money` signed money received."""
    settlement = terms.settlement
    if terms.payment is Payment.MARGINED:
        held, basis = holdings.get((HELD, terms.symbol), 0), holdings.get((terms.basis, settlement), 0)
        gain = realised(held, basis, quantity, money)
        rows = [(owner, HELD, terms.symbol, quantity), (owner, terms.basis, settlement, money - gain)]
    elif terms.payment is Payment.PREMIUM:
        gain, rows = money, [(owner, HELD, terms.symbol, quantity)]
    else:
        gain, rows = money, [(owner, WALLET, terms.spot_asset, quantity * terms.spot_scale)]
    if gain != fee:
        rows.append((owner, WALLET, settlement, gain - fee))
    return rows


def trade_rows(
    terms: Terms, buyer: tuple[str, Holdings, int], seller: tuple[str, Holdings, int], quantity: int, money: int
) -> list[Row]:
    """Return the rows of a trade of `quantity` > 0 for `money` >= 0, as `trade_money` gives it.

    Parameters
    ----------
    buyer, seller
        Who, what he holds before, and his fee in the settlement asset.
    """
    received = money if terms.inverse else -money  # an inverse long receives coin: its price is coin per quote
    rows = side_rows(terms, buyer[0], buyer[1], quantity, received, buyer[2])
    rows += side_rows(terms, seller[0], seller[1], -quantity, -received, seller[2])
    fees = buyer[2] + seller[2]
    if fees:
        rows.append((FEES, WALLET, terms.settlement, fees))
    return rows


def handover_money(terms: Terms, holdings: Holdings, quantity: int) -> int:
    """Return the money at which an owner's contracts change hands without profit: their part of the basis.

    Parameters
    ----------
    holdings
        What the owner holds, whose position is taken over.
    quantity
        Signed contracts he gives away, of the position's own sign and at most all of it.
    """
    held, basis = holdings[HELD, terms.symbol], holdings.get((terms.basis, terms.settlement), 0)
    assert 0 < quantity * held <= held * held
    return -(basis * abs(quantity) // abs(held))


def handover_rows(terms: Terms, source: str, given: Holdings, target: str, taken: Holdings, quantity: int) -> list[Row]:
    """Return the rows that hand contracts with their part of the basis to another owner; funding settled before.

    The source realises nothing. A target with an opposite position closes at the source's average cost.
    """
    money = handover_money(terms, given, quantity)
    rows = side_rows(terms, source, given, -quantity, money, 0)
    return rows + side_rows(terms, target, taken, quantity, -money, 0)
