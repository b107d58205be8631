"""The ledger: one table of integers for money and contracts, changed by postings whose rows sum to 0 per asset.

A row is `(owner, purse, asset, amount)`. Owners are accounts, pools of accounts (`account/pool`) and the house; all are
equal. A position is two balances: `held`, contracts, and `basis:SYMBOL`, money received for them (negative for a linear
long) in the settlement asset.
Balances keep the order in which they were created, which some rules of loss sharing read.
"""

from __future__ import annotations

from collections.abc import ItemsView, Iterable, Iterator, Mapping, MutableMapping
from typing import Final, TypeAlias

Row: TypeAlias = tuple[str, str, str, int]
Rows: TypeAlias = tuple[Row, ...]
Holdings: TypeAlias = dict[tuple[str, str], int]
Balances: TypeAlias = MutableMapping[str, Holdings]

WALLET: Final = "wallet"
HELD: Final = "held"
RESERVED: Final = "reserved"
DUE: Final = "due"

BOOK: Final = "book"  # the outside, for venues that are not ours
FUND: Final = "fund"
FEES: Final = "fees"
TREASURY: Final = "treasury"
FUNDING: Final = "funding"
INTEREST: Final = "interest"
ROUND: Final = "round"
WORLD: Final = "world"  # deposits come from it
NETWORK: Final = "network"
VAULT: Final = "vault"
HOUSE: Final = frozenset({BOOK, FUND, FEES, TREASURY, FUNDING, INTEREST, ROUND, WORLD, NETWORK, VAULT})
CLOSED_TO_COMMANDS: Final = frozenset({FEES, FUNDING, INTEREST, ROUND, WORLD})  # postings alone reach them

MOST_ROWS: Final = 1_000_000  # rows of one posting


class Layer(MutableMapping[str, Holdings]):
    """Balances over others that stay as they are: a draft of a house costs what it moves, not what the house holds.

    An owner's holdings are copied once they are written to; nobody leaves a table of balances.
    """

    __slots__ = ("_below", "_own")

    def __init__(self, below: Mapping[str, Holdings]) -> None:
        self._below = below
        self._own: dict[str, Holdings] = {}

    def written(self, owner: str) -> None:
        """Copy an owner's holdings, which are to be written to; nothing where they are our own, or none."""
        if owner not in self._own and owner in self._below:
            self._own[owner] = dict(self._below[owner])

    def whole(self) -> dict[str, Holdings]:
        """Return all of them in one table, in the order in which they were created."""
        below = self._below.whole() if isinstance(self._below, Layer) else self._below
        return {**below, **self._own}

    def __getitem__(self, owner: str) -> Holdings:
        own = self._own.get(owner)
        return self._below[owner] if own is None else own

    def __setitem__(self, owner: str, holdings: Holdings) -> None:
        self._own[owner] = holdings

    def __delitem__(self, owner: str) -> None:
        raise NotImplementedError(f"{owner} does not leave the table")

    def __contains__(self, owner: object) -> bool:
        return owner in self._own or owner in self._below

    def __iter__(self) -> Iterator[str]:
        return iter(self.whole())

    def __len__(self) -> int:
        return len(self.whole())

    def items(self) -> ItemsView[str, Holdings]:
        """Return owners and what they hold, in the order in which they were created."""
        return self.whole().items()


class UnbalancedError(AssertionError):
    """A posting that would make money or contracts from nothing: a mistake of the program, never of its input."""


def total(rows: Iterable[Row]) -> dict[str, int]:
    """Return the sum of rows by asset, without the assets whose sum is 0."""
    sums: dict[str, int] = {}
    for _, _, asset, amount in rows:
        sums[asset] = sums.get(asset, 0) + amount
    return {asset: amount for asset, amount in sums.items() if amount}


def add(balances: Balances, rows: Iterable[Row]) -> None:
    """Add rows to balances, in place; a balance of 0 leaves the table."""
    for owner, purse, asset, amount in rows:
        holdings = balances.get(owner)
        if holdings is None:
            holdings = balances[owner] = {}
        key = (purse, asset)
        after = holdings.get(key, 0) + amount
        if after:
            holdings[key] = after
        else:
            holdings.pop(key, None)


def after_rows(balances: Mapping[str, Holdings], rows: Rows, owners: Iterable[str]) -> dict[str, Holdings]:
    """Return what these owners would hold after the rows; `balances` stays as it is."""
    chosen = {owner: dict(balances.get(owner, {})) for owner in owners}
    for owner, purse, asset, amount in rows:
        holdings = chosen.get(owner)
        if holdings is not None:
            key = (purse, asset)
            after = holdings.get(key, 0) + amount
            if after:
                holdings[key] = after
            else:
                holdings.pop(key, None)
    return chosen


def gathered(rows: Iterable[Row]) -> Rows:
    """Return the rows with those of one balance added up, in order of first appearance, zeros left out."""
    sums: dict[tuple[str, str, str], int] = {}
    for owner, purse, asset, amount in rows:
        key = (owner, purse, asset)
        sums[key] = sums.get(key, 0) + amount
    return tuple([(*key, amount) for key, amount in sums.items() if amount])


def moved(source: str, target: str, purse: str, asset: str, amount: int) -> Rows:
    """Return the two rows that take an amount from one owner's purse to another's."""
    return (source, purse, asset, -amount), (target, purse, asset, amount)
