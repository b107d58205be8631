"""A universe that moves on: contracts listed anew, those that nobody holds any more gone, and legs renumbered."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from crossmargin.errors import FailureReason, InputError
from crossmargin.instruments import InstrumentKind
from crossmargin.margin.program.compact import PLACE_MASK, PLACE_SHIFT, SMALL, LegArrays
from crossmargin.margin.program.template import make_rows
from crossmargin.margin.program.universe import PoolClass, make_universe, price
from crossmargin.margin.resolve import asset_key
from crossmargin.scenarios import Contracts

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import numpy.typing as npt

    from crossmargin.margin.model import Rulebook
    from crossmargin.margin.program.book import CompactBook
    from crossmargin.margin.program.program import Market
    from crossmargin.margin.program.universe import Priced, Universe
    from crossmargin.market import Listing, Snapshot

    Ints = npt.NDArray[np.int64]
    Flags = npt.NDArray[np.bool_]

__all__ = [
    "Growth",
    "bucket_bits",
    "changed_contracts",
    "check_layout",
    "check_restated",
    "grown",
    "in_order",
    "listed_anew",
    "renumbered",
    "same_tables",
]


class Growth(NamedTuple):
    """What of a former universe became what of the next: contracts, classes and rows, -1 for what is gone."""

    universe: Universe
    contract: Ints
    pool_class: Ints
    row: Ints


_FIXED: Final = ("kind", "contract", "settlement_asset")
_FIXED_OF_SPOT: Final = (*_FIXED, "underlying", "quote_asset")


def listed_anew(
    universe: Universe, snapshot: Snapshot, rulebook: Rulebook, restated: Mapping[str, Listing]
) -> tuple[dict[str, Listing], list[str]]:
    """Return the instruments that the rulebook margins and the assets that a snapshot has and a universe lacks.

    Those that the snapshot lists on other terms (`restated`) are among the instruments.
    """
    listings = dict(restated) | {
        symbol: listing
        for symbol, listing in snapshot.listings.items()
        if symbol not in universe.listings and listing.kind in rulebook.scope and listing.contract in rulebook.contracts
    }
    settled = (listing.settlement_asset for listing in listings.values())
    wanted = dict.fromkeys((*snapshot.assets, *settled, snapshot.reporting_asset))
    known = set(universe.assets)
    return listings, [name for name in wanted if name not in known]


def check_restated(universe: Universe, priced: Priced, held: Ints) -> None:
    """Refuse terms by which what is held would be of another pool, or its cost of another unit.

    Parameters
    ----------
    held
        Rows that some leg stands on: what nobody holds may be listed on any terms.

    Raises
    ------
    InputError
        INVALID_INSTRUMENT, with what was and what is.
    """
    keys = list(universe.place)
    kept = {keys[contract] for contract in np.unique(universe.rows.contract[held]).tolist()}
    for symbol, listing in priced.restated.items():
        before = universe.listings[symbol]
        for name in _FIXED_OF_SPOT if before.kind == InstrumentKind.SPOT else _FIXED:
            was, found = getattr(before, name), getattr(listing, name)
            if was != found and symbol in kept:
                message = (
                    f"its {name} was {was} and is {found} now, while accounts hold it: list that as another symbol"
                )
                raise InputError(FailureReason.INVALID_INSTRUMENT, message, instrument=symbol)


def check_layout(book: CompactBook, market: Market) -> None:
    """Refuse a market in which what a book holds has become another contract: see :func:`check_restated`."""
    if market.priced.restated:
        check_restated(book.universe, market.priced, np.unique(book.legs.row))


def in_order(universe: Universe, c: Contracts) -> bool:
    """Return whether the rows still stand as these columns would order them."""
    rows = make_rows(universe.rows.contract, universe.rows.pool_class, c)
    return np.array_equal(rows.contract, universe.rows.contract) and np.array_equal(
        rows.pool_class, universe.rows.pool_class
    )


def grown(
    universe: Universe,
    snapshot: Snapshot,
    rulebook: Rulebook,
    *,
    listings: Mapping[str, Listing],
    assets: Iterable[str] = (),
    account_classes: Sequence[str] = (),
    held: Ints,
    also: Iterable[tuple[str, PoolClass]] = (),
) -> Growth:
    """Return the universe with further instruments, assets and classes, without instruments that are gone.

    Parameters
    ----------
    held
        Rows that some leg stands on: these stay, whatever the snapshot lists.
    also
        Contracts by key (as in `universe.place`) that are to stand in classes of pools beside their own.
    """
    rows, keys = universe.rows, list(universe.place)
    kept = {keys[contract] for contract in np.unique(rows.contract[held]).tolist()}
    stays = {s: one for s, one in universe.listings.items() if s in kept or s in snapshot.listings}
    wanted = stays | dict(listings)
    names = tuple(dict.fromkeys((*universe.assets, *assets)))
    classes = tuple(dict.fromkeys((*universe.account_classes, *account_classes)))
    priced = price(wanted, names, classes, snapshot, rulebook, None)
    place = {name: n for n, name in enumerate((*wanted, *map(asset_key, names)))}
    contract = np.asarray([place.get(key, -1) for key in keys], dtype=np.int64)
    pairs = [(place[keys[rows.contract[row]]], universe.pools[rows.pool_class[row]]) for row in held.tolist()]
    pairs += [(place[key], pool) for key, pool in also]
    pairs += [(0, pool) for pool in universe.pools]
    isolated = any(pool.isolated for pool in universe.pools)
    after = make_universe(wanted, names, classes, priced, rulebook, isolated=isolated, held=pairs)
    number = {pool: n for n, pool in enumerate(after.pools)}
    pool_class = np.asarray([number[pool] for pool in universe.pools], dtype=np.int64)
    at = row_table(after)[pool_class[rows.pool_class], contract[rows.contract]]
    return Growth(after, contract, pool_class, np.where(contract[rows.contract] < 0, -1, at))


def row_table(universe: Universe) -> npt.NDArray[np.int32]:
    """Return each contract's row in each class of pools [classes, contracts], -1 where it has none."""
    table = np.full((len(universe.pools), universe.contract_count), -1, dtype=np.int32)
    table[universe.rows.pool_class, universe.rows.contract] = np.arange(len(universe.rows))
    return table


def bucket_bits(market: Market) -> npt.NDArray[np.unsignedinteger[Any]]:
    """Return a bit for each contract's bucket, in no more bytes than there are buckets to tell apart, at most eight."""
    buckets = len(market.priced.names.buckets)
    bits = next((n for n in (8, 16, 32) if buckets <= n), 64)
    kind = np.dtype(f"u{bits // 8}").type
    return np.asarray(kind(1) << (market.priced.contracts.bucket % bits).astype(kind))


def renumbered(arrays: LegArrays, row: Ints, pool_class: Ints, rows: int) -> LegArrays:
    """Return legs without gaps with their rows and classes renumbered, ascending by row again."""
    fresh = row[arrays.row.astype(np.int64)]
    unit = np.repeat(np.arange(len(arrays)), arrays.count.astype(np.int64))
    order = np.argsort(unit * rows + fresh, kind="stable")
    place = np.empty_like(order)
    place[order] = np.arange(order.shape[0])
    owner = np.repeat(np.arange(len(arrays)), arrays.extra_count.astype(np.int64))
    first = arrays.start.astype(np.int64)[owner]
    moved = place[first + (arrays.extra_leg & np.uint32(PLACE_MASK))] - first
    column = arrays.extra_leg >> np.uint32(PLACE_SHIFT)
    rank = np.lexsort([column, moved, owner])
    return LegArrays(
        row=fresh[order].astype(np.uint16 if rows <= SMALL else np.int32),
        quantity=arrays.quantity[order],
        start=arrays.start,
        count=arrays.count,
        extra_start=arrays.extra_start,
        extra_count=arrays.extra_count,
        extra_leg=(moved.astype(np.uint32) | (column << np.uint32(PLACE_SHIFT)))[rank],
        extra_value=arrays.extra_value[rank],
        pool_class=pool_class[arrays.pool_class].astype(np.uint8),
        inputs=arrays.inputs,
    )


# --- what changed from one market to the next


def same_tables(before: Market, after: Market) -> bool:
    """Return whether what no contract's own columns say is the same: tables of names, calibration, reporting asset."""
    first, second = before.priced.names, after.priced.names
    return (
        (first.buckets, first.assets, first.roots) == (second.buckets, second.assets, second.roots)
        and before.reporting_asset == after.reporting_asset
        and before.calibration.keys() == after.calibration.keys()
        and all(before.calibration[key] is value for key, value in after.calibration.items())
    )


def changed_contracts(before: Market, after: Market, contract: Ints) -> Flags:
    """Return of each contract of the market after whether it differs from before; what is new does not count.

    Parameters
    ----------
    contract
        [contracts before] each one's number after, -1 where it is gone.
    """
    old = np.flatnonzero(contract >= 0)
    new = contract[old]
    first, second = before.priced.contracts, after.priced.contracts
    differs = np.zeros(old.shape[0], dtype=bool)
    for field in fields(Contracts):
        if field.name != "symbol":
            differs |= _differ(getattr(first, field.name)[old], getattr(second, field.name)[new])
    found = np.zeros(len(second), dtype=bool)
    found[new] = differs
    refused = {int(contract[n]): failure for n, failure in before.priced.refused.items() if contract[n] >= 0}
    for n in refused.keys() | after.priced.refused.keys():
        found[n] |= refused.get(n) != after.priced.refused.get(n)
    return found


def _differ(a: npt.NDArray[np.generic], b: npt.NDArray[np.generic]) -> Flags:
    if a.dtype == np.float64:  # bit by bit: what is no number is the same as before
        return np.asarray(a.view(np.int64) != b.view(np.int64))
    return np.asarray(a != b)
