"""Assets that an account touches without a balance: what its contracts settle in, both assets of spot.

Rulebooks that look at balances asset by asset (a line of balances at level `asset`, an `either`) need a row for each.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np

from crossmargin.account.book import BalanceColumns
from crossmargin.instruments import InstrumentKind
from crossmargin.kernels import packed_key

if TYPE_CHECKING:
    import numpy.typing as npt

    from crossmargin.account import Book
    from crossmargin.margin.model import Rulebook
    from crossmargin.market import Snapshot

    Ints = npt.NDArray[np.int64]

NOTHING: Final = 5e-324
"""The least amount above 0 marks a balance of nothing in a book; its leg holds 0."""


def looks_at_balances(rulebook: Rulebook) -> bool:
    """Return whether a rulebook needs a row for every asset touched."""
    facts = rulebook.facts
    if facts.balances is None:
        facts.balances = any(
            line.kind == "either" or (line.level == "asset" and any("asset" in words for words in line.of))
            for line in rulebook.lines.values()
        )
    return facts.balances


def touched_assets(book: Book, snapshot: Snapshot, rulebook: Rulebook) -> tuple[str, ...]:
    """Return the book's assets and those that any of its instruments touches, where the rulebook looks at assets."""
    table = {name: code for code, name in enumerate(book.assets)}
    if rulebook.pool_by == "account" and looks_at_balances(rulebook):
        _asset_codes(book, snapshot, table)
    return tuple(table)


def with_touched_assets(book: Book, snapshot: Snapshot, rulebook: Rulebook) -> Book:
    """Return the book with a balance of nothing for each asset touched, where the rulebook looks at assets."""
    if rulebook.pool_by != "account" or not looks_at_balances(rulebook):
        return book
    table = {name: code for code, name in enumerate(book.assets)}
    settles, quotes, bases = _asset_codes(book, snapshot, table)
    p, o, b = book.positions, book.orders.margined(), book.balances
    alone = np.where(p.isolated, np.arange(p.symbol.shape[0]), -1)
    held = (b.amount != 0) | (b.accrued != 0)
    account, asset, position = [b.account[held]], [b.asset[held]], [b.position[held]]
    for codes in (settles, quotes, bases):
        account += [p.account, o.account]
        asset += [codes[p.symbol], codes[o.symbol]]
        position += [alone, np.full(o.symbol.shape[0], -1, dtype=np.int64)]
    columns = np.concatenate(account), np.concatenate(asset), np.concatenate(position)
    fresh = _fresh(*columns, int(np.count_nonzero(held)))
    if not fresh.size:
        return book
    owner, code, backed = (column[fresh] for column in columns)
    added = (owner, code, np.full(fresh.size, NOTHING), np.zeros(fresh.size), backed)
    kept = (b.account, b.asset, b.amount, b.accrued, b.position)
    balances = BalanceColumns(*(np.concatenate(pair) for pair in zip(kept, added, strict=True)))
    return replace(book, assets=tuple(table), balances=balances)


def _asset_codes(book: Book, snapshot: Snapshot, table: dict[str, int]) -> tuple[Ints, Ints, Ints]:
    """Return the assets of each symbol: settled in; of spot, quoted in and traded; -1 for none."""
    codes = np.full((3, len(book.symbols)), -1, dtype=np.int64)
    for row, symbol in enumerate(book.symbols):
        listing = snapshot.listings.get(symbol)
        if listing is None:  # refused where quotes are read
            continue
        names = [listing.settlement_asset]
        if listing.kind == InstrumentKind.SPOT:
            names += [listing.quote_asset, listing.underlying]
        for place, name in enumerate(names):
            codes[place, row] = table.setdefault(name, len(table))
    return codes[0], codes[1], codes[2]


def _fresh(account: Ints, asset: Ints, position: Ints, held: int) -> Ints:
    """Return the first row of each (account, asset, position) that is not among the first `held` rows."""
    _, first = np.unique(packed_key([account, asset + 1, position + 1]), return_index=True)
    return np.asarray(first[(first >= held) & (asset[first] >= 0)], dtype=np.int64)
