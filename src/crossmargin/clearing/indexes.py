"""Funding and interest by cumulative index: exact integers, settled when an account is touched.

An index says what one unit of quantity has owed since the beginning, in 10^-12 units of money. `due` keeps what an
account's quantity had owed at its last touch. One formula serves payers and receivers, so it cannot drift:
the account receives ``-ceil((quantity * index - due) / 10^12)``; the other leg is the house's, and what it holds, with
its own `due`, stays within [0, one unit for each touch).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import TYPE_CHECKING, Final

from crossmargin.clearing.contracts import worth
from crossmargin.clearing.ledger import DUE, FUNDING, HELD, HOUSE, INTEREST, WALLET, WORLD

if TYPE_CHECKING:
    from crossmargin.clearing.contracts import Terms
    from crossmargin.clearing.ledger import Holdings, Row

PER_UNIT: Final = 10**12
BORROW: Final = "borrow:"
LEND: Final = "lend:"


def owed(quantity: int, index: int, due: int) -> int:
    """Return what an account owes since its last touch, in units of money: rounded up; negative is to be received."""
    return -((due - quantity * index) // PER_UNIT)


def funding_step(terms: Terms, rate: Fraction, mark: int) -> int:
    """Return how far one funding payment moves the index: a long of one unit pays `rate` times its value at `mark`."""
    value = abs(worth(terms, 1, mark))
    return int(rate * value * PER_UNIT // 1)


def interest_step(rate: Fraction) -> int:
    """Return how far interest of `rate` (a fraction of the balance) moves an index."""
    return int(rate * PER_UNIT // 1)


def touch(owner: str, index_name: str, asset: str, quantity: int, index: int, due: int, house: str) -> list[Row]:
    """Return the rows that settle what `owner` owes by one index, against the house; none where nothing ran up."""
    ran_up = quantity * index - due
    if not ran_up:
        return []
    pays = owed(quantity, index, due)
    rows = [(owner, DUE, index_name, ran_up), (house, DUE, index_name, -ran_up)]
    return [*rows, (owner, WALLET, asset, -pays), (house, WALLET, asset, pays)] if pays else rows


def funding_rows(terms: Terms, owner: str, holdings: Holdings, indices: Mapping[str, int]) -> list[Row]:
    """Return the rows that settle an owner's funding of one instrument."""
    index = indices.get(terms.symbol, 0)
    held, due = holdings.get((HELD, terms.symbol), 0), holdings.get((DUE, terms.symbol), 0)
    return touch(owner, terms.symbol, terms.settlement, held, index, due, FUNDING)


def due_of_trade(terms: Terms, owner: str, quantity: int, indices: Mapping[str, int]) -> list[Row]:
    """Return the row that lets funding on a traded quantity begin with today's index."""
    index = indices.get(terms.symbol, 0)
    return [(owner, DUE, terms.symbol, quantity * index)] if index else []


def interest_rows(rows: Iterable[Row], balances: Mapping[str, Holdings], indices: Mapping[str, int]) -> list[Row]:
    """Return the rows that settle interest on every wallet that `rows` change, before the change.

    Debts owe by the index ``borrow:ASSET``, deposits receive by ``lend:ASSET``. The changed balance then begins with
    today's index; the other leg of that is `world`, where wallets come from. House owners bear no interest.
    """
    changes: dict[tuple[str, str], int] = {}
    for owner, purse, asset, amount in rows:
        if purse == WALLET and owner not in HOUSE and (BORROW + asset in indices or LEND + asset in indices):
            changes[owner, asset] = changes.get((owner, asset), 0) + amount
    out: list[Row] = []
    for (owner, asset), change in changes.items():
        holdings = balances.get(owner, {})
        before = holdings.get((WALLET, asset), 0)
        settled = [
            touch(owner, name, asset, quantity, indices.get(name, 0), holdings.get((DUE, name), 0), INTEREST)
            for name, quantity in bearing(asset, before)
        ]
        out += [row for part in settled for row in part]
        paid = sum(row[3] for part in settled for row in part if row[:2] == (owner, WALLET))
        for (name, old), (_, new) in zip(bearing(asset, before), bearing(asset, before + change + paid), strict=True):
            begins = (new - old) * indices.get(name, 0)
            out += [(owner, DUE, name, begins), (WORLD, DUE, name, -begins)] if begins else []
    return out


def interest_kept(asset: str, balances: Mapping[str, Holdings], indices: Mapping[str, int]) -> int:
    """Return what is kept of an asset's interest, in 10^-12 units: paid and owed by debts, less what deposits get.

    Below 0 depositors would be paid from nothing.
    """
    kept = balances.get(INTEREST, {}).get((WALLET, asset), 0) * PER_UNIT
    for owner, holdings in balances.items():
        if owner not in HOUSE:
            for name, quantity in bearing(asset, holdings.get((WALLET, asset), 0)):
                kept += quantity * indices.get(name, 0) - holdings.get((DUE, name), 0)
    return kept


def bearing(asset: str, wallet: int) -> tuple[tuple[str, int], tuple[str, int]]:
    """Return both interest indices of an asset with the quantity that bears each: debts owe, deposits receive."""
    return (BORROW + asset, max(-wallet, 0)), (LEND + asset, min(-wallet, 0))
