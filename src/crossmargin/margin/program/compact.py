"""A book laid out for the engine: the legs of a pool side by side, a number of two or four bytes and a quantity each.

What few legs have (a cost, accrued funding, a leverage, open orders) stands in a list beside them.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from crossmargin.errors import Failure, FailureReason
from crossmargin.margin.legs import gather, make_legs
from crossmargin.margin.program.nodes import COLUMNS
from crossmargin.margin.program.universe import PoolClass, Universe, make_universe, price
from crossmargin.margin.resolve import (
    ISOLATED,
    SETTLEMENT,
    asset_key,
    check_inputs,
    number_pools,
    pool_keys,
    pool_label,
    unit_inputs,
)
from crossmargin.margin.touched import with_touched_assets
from crossmargin.scenarios import OPTION

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import numpy.typing as npt

    from crossmargin.account import Book
    from crossmargin.margin.legs import Held
    from crossmargin.margin.model import Rulebook
    from crossmargin.margin.program.universe import Priced
    from crossmargin.margin.resolved import Legs
    from crossmargin.market import Listing, Snapshot

    Floats = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.int64]

__all__ = ["EXTRA_COLUMNS", "PLACE_MASK", "PLACE_SHIFT", "SMALL", "CompactBook", "LegArrays", "compact"]

EXTRA_COLUMNS: Final = COLUMNS[1:9]
"""The numbers of a leg that stand in the list beside; the place in `COLUMNS` is the engine's number."""
PLACE_SHIFT: Final = 28
PLACE_MASK: Final = (1 << PLACE_SHIFT) - 1
SMALL: Final = 1 << 16
"""So many rows fit two bytes."""


@dataclass(frozen=True, slots=True)
class LegArrays:
    """Legs and pools as the engine reads them.

    `row` and `quantity` [arena] are legs, those of a pool from `start` on, `count` many, ascending by row. `extra_leg`
    holds the leg's place in its pool and, from bit 28 on, the column's number; `extra_value` its number. `pool_class`
    [pools] points into the universe's pools; `inputs` [inputs, pools].
    """

    row: npt.NDArray[Any]
    quantity: Floats
    start: npt.NDArray[np.uint32]
    count: npt.NDArray[np.uint32]
    extra_start: npt.NDArray[np.uint32]
    extra_count: npt.NDArray[np.uint32]
    extra_leg: npt.NDArray[np.uint32]
    extra_value: Floats
    pool_class: npt.NDArray[np.uint8]
    inputs: Floats

    def __len__(self) -> int:
        """Return the number of pools."""
        return int(self.start.shape[0])

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        return sum(int(getattr(self, f.name).nbytes) for f in fields(self))

    def buffers(self) -> dict[str, Any]:
        """Return the arrays by name."""
        return {f.name: getattr(self, f.name) for f in fields(self)}


@dataclass(frozen=True, slots=True)
class CompactBook:
    """Many accounts under one rulebook's pools, ready for :func:`assess_book` at any moment's prices.

    `pool_account` [pools] points into `account_ids`, pools of an account side by side; `pool_key` is the pool's
    key within its account and `pool_labels` its name. `failures` are accounts that no price can help: they hold no
    pool.
    """

    account_ids: tuple[str, ...]
    account_class: npt.NDArray[np.uint8]
    pool_account: npt.NDArray[np.int32]
    pool_key: npt.NDArray[np.int64]
    pool_labels: Mapping[int, str]
    universe: Universe
    legs: LegArrays
    failures: Mapping[int, Failure]
    rulebook: str

    def __len__(self) -> int:
        """Return the number of accounts, refused ones included."""
        return len(self.account_ids)


def compact(
    book: Book, snapshot: Snapshot, rulebook: Rulebook, *, max_quote_age_seconds: float | None = 3600.0
) -> CompactBook:
    """Return the book laid out for one rulebook. The snapshot says which instruments there are and their terms."""
    book = with_touched_assets(book, snapshot, rulebook)
    failures = dict(book.failures)
    check_inputs(book, rulebook, failures)
    _refuse_unknown(book, snapshot, failures)
    listings, assets = _contracts_of(book, snapshot, rulebook)
    priced = price(listings, assets, book.classes, snapshot, rulebook, max_quote_age_seconds)
    place = {name: n for n, name in enumerate((*listings, *map(asset_key, assets)))}
    held = gather(book, priced.contracts, place, failures, rulebook.opposite_positions)
    keys = pool_keys(priced.contracts, held, rulebook)
    account, key, pool_of = number_pools(len(book), held.account, keys, failures)
    reporting = _reporting(held, pool_of, account.shape[0], rulebook, priced, snapshot)
    legs = make_legs(held, pool_of, priced.contracts, rulebook.opposite_positions)
    classes = _Classes(reporting, book.account_class[account], key >= ISOLATED)
    universe = make_universe(
        listings, assets, book.classes, priced, rulebook,
        isolated=bool((key >= ISOLATED).any()), held=classes.of_legs(legs),
    )  # fmt: skip
    arrays = _arrays(legs, account.shape[0], classes.numbered(universe), universe, priced, rulebook)
    inputs = list(unit_inputs(book, rulebook, account).values())
    arrays = replace(arrays, inputs=np.asarray(inputs, dtype=np.float64).reshape(len(inputs), account.shape[0]))
    return CompactBook(
        account_ids=book.account_ids,
        account_class=book.account_class.astype(np.uint8),
        pool_account=account.astype(np.int32),
        pool_key=key,
        pool_labels={k: pool_label(k, book, priced.names, rulebook) for k in np.unique(key).tolist()},
        universe=universe,
        legs=arrays,
        failures=failures,
        rulebook=rulebook.digest,
    )


def _refuse_unknown(book: Book, snapshot: Snapshot, failures: dict[int, Failure]) -> None:
    """Refuse accounts that hold what the snapshot does not list: nothing is known of it."""
    unknown = np.asarray([symbol not in snapshot.listings for symbol in book.symbols], dtype=bool)
    if not unknown.any():
        return
    message = "the snapshot does not list it; add it to snapshot.instruments or check the symbol"
    for rows in (book.positions, book.orders):
        for i in np.flatnonzero(unknown[rows.symbol]).tolist():
            account, symbol = int(rows.account[i]), book.symbols[int(rows.symbol[i])]
            failure = Failure(FailureReason.UNKNOWN_INSTRUMENT, message, book.account_ids[account], symbol)
            failures.setdefault(account, failure)


def _contracts_of(book: Book, snapshot: Snapshot, rulebook: Rulebook) -> tuple[dict[str, Listing], tuple[str, ...]]:
    """Return all instruments that the rulebook margins or the book holds, and all assets of either."""
    used = {symbol for symbol in book.symbols if symbol in snapshot.listings}
    listings = {
        symbol: listing
        for symbol, listing in snapshot.listings.items()
        if symbol in used or (listing.kind in rulebook.scope and listing.contract in rulebook.contracts)
    }
    settled = (listing.settlement_asset for listing in listings.values())
    assets = dict.fromkeys((*book.assets, *settled, *snapshot.assets, snapshot.reporting_asset))
    return listings, tuple(assets)


def _reporting(
    held: Held, pool_of: Ints, pools: int, rulebook: Rulebook, priced: Priced, snapshot: Snapshot
) -> list[str]:
    """Return each pool's reporting asset."""
    if rulebook.reporting != SETTLEMENT:
        return [rulebook.reporting] * pools
    code = np.full(pools, -1, dtype=np.int64)
    code[pool_of[::-1]] = held.settle_asset[::-1]
    names = (*priced.names.assets, snapshot.reporting_asset)  # -1: a pool that holds nothing
    return [names[i] for i in code.tolist()]


class _Classes:
    """The class of each pool, before the universe numbers them."""

    def __init__(self, reporting: list[str], account_class: Ints, isolated: npt.NDArray[np.bool_]) -> None:
        names = {name: n for n, name in enumerate(dict.fromkeys(reporting))}
        code = np.asarray([names[name] for name in reporting], dtype=np.int64)
        key = (code * (int(account_class.max(initial=0)) + 1) + account_class) * 2 + isolated
        _, first, self.of_pool = np.unique(key, return_index=True, return_inverse=True)
        self.classes = [PoolClass(reporting[i], int(account_class[i]), bool(isolated[i])) for i in first.tolist()]

    def of_legs(self, legs: Legs) -> Iterable[tuple[int, PoolClass]]:
        """Yield the pairs of contract and class that are held."""
        count = int(legs.contract.max(initial=0)) + 1
        for key in np.unique(self.of_pool[legs.unit] * count + legs.contract).tolist():
            yield key % count, self.classes[key // count]
        for pool in self.classes:  # a pool that holds nothing has a class too
            yield 0, pool

    def numbered(self, universe: Universe) -> Ints:
        """Return each pool's class by the universe's number."""
        number = {pool: n for n, pool in enumerate(universe.pools)}
        return np.asarray([number[pool] for pool in self.classes], dtype=np.int64)[self.of_pool]


def _arrays(
    legs: Legs, pools: int, pool_class: Ints, universe: Universe, priced: Priced, rulebook: Rulebook
) -> LegArrays:
    rows = universe.rows
    row_of = np.full((len(universe.pools), universe.contract_count), -1, dtype=np.int64)
    row_of[rows.pool_class, rows.contract] = np.arange(len(rows))
    row = row_of[pool_class[legs.unit], legs.contract]
    order = np.argsort(legs.unit * len(rows) + row, kind="stable")
    count = np.bincount(legs.unit, minlength=pools)
    start = np.cumsum(count) - count
    unit = legs.unit[order]
    place = np.arange(order.shape[0]) - start[unit]
    extra = _extras(legs, order, place, unit, priced, rulebook)
    extra_count = np.bincount(extra[0], minlength=pools)
    return LegArrays(
        row=row[order].astype(np.uint16 if len(rows) <= SMALL else np.int32),
        quantity=legs.quantity[order],
        start=start.astype(np.uint32),
        count=count.astype(np.uint32),
        extra_start=(np.cumsum(extra_count) - extra_count).astype(np.uint32),
        extra_count=extra_count.astype(np.uint32),
        extra_leg=extra[1].astype(np.uint32),
        extra_value=extra[2],
        pool_class=pool_class.astype(np.uint8),
        inputs=np.zeros((0, pools)),
    )


def _extras(
    legs: Legs, order: Ints, place: Ints, unit: Ints, priced: Priced, rulebook: Rulebook
) -> tuple[Ints, Ints, Floats]:
    """Return the pool, the packed leg and column, and the value of what stands beside the legs, by pool and leg."""
    found: list[tuple[Ints, Ints, Floats]] = []
    kept = _reads_entries(rulebook)
    for name in EXTRA_COLUMNS:
        values = getattr(legs, name)[order]
        stated = ~np.isnan(values) if name == "leverage" else values != 0
        if name == "cost" and not kept:
            stated &= priced.contracts.kind[legs.contract[order]] != OPTION
        at = np.flatnonzero(stated)
        found.append((unit[at], place[at] | (COLUMNS.index(name) << PLACE_SHIFT), values[at]))
    owner, packed, values = (np.concatenate(parts) for parts in zip(*found, strict=True))
    rank = np.lexsort([packed >> PLACE_SHIFT, packed & PLACE_MASK, owner])
    return owner[rank], packed[rank], values[rank]


def _reads_entries(rulebook: Rulebook) -> bool:
    """Return whether the document names the entry price, as far as its text goes: only then is an option's kept."""
    return "entry_price" in str(rulebook.document)
