"""Books laid out for the engine, a hundred thousand accounts at a time, so that a large one needs little more."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from crossmargin.errors import Failure, FailureReason
from crossmargin.margin.legs import gather, make_legs
from crossmargin.margin.program.book import EXTRA_COLUMNS, PLACE_MASK, PLACE_SHIFT, SMALL, CompactBook, LegArrays
from crossmargin.margin.program.ids import Ids
from crossmargin.margin.program.join import Piece, join_pieces, refuse_repeated
from crossmargin.margin.program.nodes import COLUMNS
from crossmargin.margin.program.split import split
from crossmargin.margin.program.universe import PoolClass, make_universe, price
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
from crossmargin.margin.resolved import expiry_key, strike_key
from crossmargin.margin.terms import ContractTerms
from crossmargin.margin.touched import touched_assets, with_touched_assets
from crossmargin.scenarios import OPTION

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import numpy.typing as npt

    from crossmargin.account import Book
    from crossmargin.margin.legs import Held
    from crossmargin.margin.model import Rulebook
    from crossmargin.margin.program.universe import Priced, Universe
    from crossmargin.margin.resolved import Legs
    from crossmargin.market import Snapshot

    Floats = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.int64]

__all__ = [
    "EXTRA_COLUMNS",
    "PLACE_MASK",
    "PLACE_SHIFT",
    "SMALL",
    "CompactBook",
    "LegArrays",
    "compact",
    "compact_books",
]

_MOST_CLASSES: Final = 256  # numbered by one byte
_NAME_BITS: Final = 20  # of an isolated pool's key: the number of its name; above them its place in its account


def compact(
    book: Book, snapshot: Snapshot, rulebook: Rulebook, *, max_quote_age_seconds: float | None = 3600.0
) -> CompactBook:
    """Return the book laid out for one rulebook. The snapshot says which instruments there are and their terms."""
    used = {symbol for symbol in book.symbols if symbol in snapshot.listings}
    layout = _Layout(_ground(used, touched_assets(book, snapshot, rulebook), snapshot, rulebook, max_quote_age_seconds))
    for piece in split(book):
        layout.add(piece)
    return layout.finish()


def compact_books(
    books: Iterable[Book], snapshot: Snapshot, rulebook: Rulebook, *, max_quote_age_seconds: float | None = 3600.0
) -> CompactBook:
    """Return several books laid out as one, their accounts in order; each is let go before the next one is asked for.

    Unlike :func:`compact` it cannot know beforehand what they hold: every instrument of the snapshot is provided for,
    and an account with an asset that is neither in the snapshot nor settled in is refused.

    Parameters
    ----------
    books
        Their tables of symbols, assets, pools and classes may differ. Where an account id stands more than once, in one
        of them or in several, all accounts of that id are refused (DUPLICATE_ACCOUNT), as they are of one book.
    """
    layout = _Layout(_ground(snapshot.listings, (), snapshot, rulebook, max_quote_age_seconds))
    for book in books:
        for piece in split(book):
            layout.add(piece)
    return layout.finish()


@dataclass(frozen=True, slots=True)
class _Ground:
    """What all pieces share: the contracts, where each name stands among them, and the order of legs in a pool."""

    snapshot: Snapshot
    rulebook: Rulebook
    listings: ContractTerms
    assets: tuple[str, ...]
    priced: Priced
    place: Mapping[str, int]
    rank: Ints


def _ground(
    used: Iterable[str], assets: Iterable[str], snapshot: Snapshot, rulebook: Rulebook, max_age: float | None
) -> _Ground:
    """Return the contracts: all instruments that the rulebook margins or that are used, all assets of either."""
    wanted = set(used)
    listed = {
        symbol: listing
        for symbol, listing in snapshot.listings.items()
        if symbol in wanted or (listing.kind in rulebook.scope and listing.contract in rulebook.contracts)
    }
    listings = ContractTerms.of(listed)
    settled = (listing.settlement_asset for listing in listings.values())
    names = tuple(dict.fromkeys((*assets, *settled, *snapshot.assets, snapshot.reporting_asset)))
    priced = price(listings, names, ("",), snapshot, rulebook, max_age)
    c = priced.contracts
    rank = np.empty(len(c), dtype=np.int64)
    rank[np.lexsort([np.arange(len(c)), strike_key(c), expiry_key(c), c.bucket])] = np.arange(len(c))
    place = {name: n for n, name in enumerate((*listings, *map(asset_key, names)))}
    return _Ground(snapshot, rulebook, listings, names, priced, place, rank)


@dataclass(slots=True)
class _Layout:
    """Pieces laid out so far, and the names that their numbers point into; nothing here survives the joining."""

    ground: _Ground
    pieces: list[Piece] = field(default_factory=list)
    classes: dict[str, int] = field(default_factory=dict)
    pools: dict[PoolClass, int] = field(default_factory=dict)
    groups: dict[str, int] = field(default_factory=dict)
    labels: dict[int, str] = field(default_factory=dict)
    alone: dict[str, int] = field(default_factory=dict)
    held: set[tuple[int, PoolClass]] = field(default_factory=set)
    isolated: bool = False

    def add(self, book: Book) -> None:
        """Lay out one book's accounts after those that are there."""
        ground, rules = self.ground, self.ground.rulebook
        contracts = ground.priced.contracts
        book = with_touched_assets(book, ground.snapshot, rules)
        failures = dict(book.failures)
        check_inputs(book, rules, failures)
        _refuse_unknown(book, ground, failures)
        held = gather(book, contracts, ground.place, failures, rules.opposite_positions)
        keys = pool_keys(contracts, held, rules)
        account, key, pool_of = number_pools(len(book), held.account, keys, failures)
        legs = make_legs(held, pool_of, contracts, rules.opposite_positions)
        codes = np.asarray([self.classes.setdefault(name, len(self.classes)) for name in book.classes], dtype=np.int64)
        pool_class = self._pool_classes(_reporting(held, pool_of, account.shape[0], ground), codes, book, account, key)
        self._note_held(legs, pool_class)
        inputs = list(unit_inputs(book, rules, account, key, ground.priced.names.assets).values())
        self.pieces.append(
            Piece(
                account_ids=Ids.of(book.account_ids),
                account_class=codes[book.account_class].astype(np.uint8),
                pool_account=account.astype(np.int32),
                pool_key=self._keys(book, account, key),
                inputs=np.asarray(inputs, dtype=np.float64).reshape(len(inputs), account.shape[0]),
                failures=failures,
                **_arrays(legs, pool_class, ground),
            )
        )

    def _pool_classes(self, reporting: list[str], codes: Ints, book: Book, account: Ints, key: Ints) -> Ints:
        """Return the class of each pool, numbered as first met."""
        names = {name: n for n, name in enumerate(dict.fromkeys(reporting))}
        named = np.asarray([names[name] for name in reporting], dtype=np.int64)
        code, isolated = codes[book.account_class[account]], key >= ISOLATED
        self.isolated |= bool(isolated.any())
        packed = (named * _MOST_CLASSES + code) * 2 + isolated
        _, first, of_pool = np.unique(packed, return_index=True, return_inverse=True)
        found = [PoolClass(reporting[i], int(code[i]), bool(isolated[i])) for i in first.tolist()]
        number = [self.pools.setdefault(pool, len(self.pools)) for pool in found]
        return np.asarray(number, dtype=np.int64)[of_pool]

    def _note_held(self, legs: Legs, pool_class: Ints) -> None:
        """Note which contracts are held in which class; a pool that holds nothing has a class too."""
        pools, count = list(self.pools), len(self.ground.priced.contracts)
        held = np.unique(pool_class[legs.unit] * count + legs.contract)
        self.held |= {(key % count, pools[key // count]) for key in held.tolist()}
        self.held |= {(0, pools[n]) for n in np.unique(pool_class).tolist()}

    def _keys(self, book: Book, account: Ints, key: Ints) -> Ints:
        """Return each pool's key, of the same meaning in all pieces; note the names of those that are shared."""
        own = key.copy()
        shared, alone = np.flatnonzero(key < ISOLATED), np.flatnonzero(key >= ISOLATED)
        codes = [self.groups.setdefault(name, len(self.groups)) for name in book.pools]
        if self.ground.rulebook.pool_by == "group":
            own[shared] = np.asarray(codes, dtype=np.int64)[key[shared]]
        found, first = np.unique(own[shared], return_index=True)
        self.labels |= {k: self._label(book, key[shared[i]]) for k, i in zip(found.tolist(), first, strict=True)}
        p, at = book.positions, key[alone] - ISOLATED
        _, first, name = np.unique(p.symbol[at] * 3 + p.side[at], return_index=True, return_inverse=True)
        number = [self.alone.setdefault(self._label(book, key[alone[i]]), len(self.alone)) for i in first]
        place = np.arange(alone.shape[0]) - np.searchsorted(account[alone], account[alone])
        own[alone] = ISOLATED + (place << _NAME_BITS) + np.asarray(number, dtype=np.int64)[name]
        return own

    def _label(self, book: Book, key: int) -> str:
        return pool_label(int(key), book, self.ground.priced.names, self.ground.rulebook)

    def _name_alone(self, key: Ints) -> dict[int, str]:
        """Number the names of isolated pools in an order that does not depend on the pieces; return them by key."""
        names = sorted(self.alone)
        place = {name: n for n, name in enumerate(names)}
        fresh = np.asarray([place[name] for name in self.alone], dtype=np.int64)
        at, mask = np.flatnonzero(key >= ISOLATED), (1 << _NAME_BITS) - 1
        key[at] += fresh[key[at] & mask] - (key[at] & mask) if at.size else 0
        return {k: names[k & mask] for k in np.unique(key[at]).tolist()}

    def finish(self) -> CompactBook:
        """Return all pieces as one book."""
        ground = self.ground
        classes = tuple(self.classes) or ("",)
        held = sorted(self.held)
        universe = make_universe(
            ground.listings, ground.assets, classes, ground.priced, ground.rulebook, isolated=self.isolated, held=held
        )
        number = {pool: n for n, pool in enumerate(universe.pools)}
        classes_of = np.asarray([number[pool] for pool in self.pools], dtype=np.uint8)
        inputs = len(ground.rulebook.inputs)
        table, rows = _row_table(universe, classes_of), len(universe.rows)
        joined = join_pieces(self.pieces, table, rows, classes_of, inputs)
        labels = dict(sorted(self.labels.items())) | self._name_alone(joined["pool_key"])
        book = CompactBook(**joined, pool_labels=labels, universe=universe, rulebook=ground.rulebook.digest)
        return refuse_repeated(book)


def _row_table(universe: Universe, classes_of: npt.NDArray[np.uint8]) -> Ints:
    """Return the template row of each contract in each class met [classes met, contracts]; -1 where it cannot stand."""
    rows = universe.rows
    row_of = np.full((len(universe.pools), universe.contract_count), -1, dtype=np.int64)
    row_of[rows.pool_class, rows.contract] = np.arange(len(rows))
    return np.asarray(row_of[classes_of])


def _refuse_unknown(book: Book, ground: _Ground, failures: dict[int, Failure]) -> None:
    """Refuse accounts that hold what the snapshot does not list, or an asset of which nothing is known."""
    listed = np.asarray([symbol in ground.snapshot.listings for symbol in book.symbols], dtype=bool)
    message = "the snapshot does not list it; add it to snapshot.instruments or check the symbol"
    for rows in (book.positions, book.orders.margined()) if not listed.all() else ():
        for i in np.flatnonzero(~listed[rows.symbol]).tolist():
            account, symbol = int(rows.account[i]), book.symbols[int(rows.symbol[i])]
            failure = Failure(FailureReason.UNKNOWN_INSTRUMENT, message, book.account_ids[account], symbol)
            failures.setdefault(account, failure)
    known = np.asarray([asset_key(asset) in ground.place for asset in book.assets], dtype=bool)
    b = book.balances
    for i in np.flatnonzero(~known[b.asset] & ((b.amount != 0) | (b.accrued != 0))).tolist() if not known.all() else ():
        account, asset = int(b.account[i]), book.assets[int(b.asset[i])]
        message = f"asset {asset} has no price in the snapshot; add it to snapshot.assets"
        failures.setdefault(account, Failure(FailureReason.UNKNOWN_ASSET, message, book.account_ids[account]))


def _reporting(held: Held, pool_of: Ints, pools: int, ground: _Ground) -> list[str]:
    """Return each pool's reporting asset."""
    if ground.rulebook.reporting != SETTLEMENT:
        return [ground.rulebook.reporting] * pools
    code = np.full(pools, -1, dtype=np.int64)
    code[pool_of[::-1]] = held.settle_asset[::-1]
    names = (*ground.priced.names.assets, ground.snapshot.reporting_asset)  # -1: a pool that holds nothing
    return [names[i] for i in code.tolist()]


def _arrays(legs: Legs, pool_class: Ints, ground: _Ground) -> dict[str, Any]:
    """Return the legs of each pool in the order of the universe's rows, and what stands beside them."""
    pools, contracts = pool_class.shape[0], len(ground.priced.contracts)
    order = np.argsort(legs.unit * contracts + ground.rank[legs.contract], kind="stable")
    count = np.bincount(legs.unit, minlength=pools)
    unit, contract = legs.unit[order], legs.contract[order]
    place = np.arange(order.shape[0]) - (np.cumsum(count) - count)[unit]
    owner, extra_leg, extra_value = _extras(legs, order, place, unit, ground)
    return {
        "cell": (pool_class[unit] * contracts + contract).astype(np.int32),
        "quantity": legs.quantity[order],
        "count": count.astype(np.uint32),
        "extra_count": np.bincount(owner, minlength=pools).astype(np.uint32),
        "extra_leg": extra_leg.astype(np.uint32),
        "extra_value": extra_value,
        "pool_class": pool_class.astype(np.uint8),
    }


def _extras(legs: Legs, order: Ints, place: Ints, unit: Ints, ground: _Ground) -> tuple[Ints, Ints, Floats]:
    """Return the pool, the packed leg and column, and the value of what stands beside the legs, by pool and leg."""
    found: list[tuple[Ints, Ints, Floats]] = []
    kept = _reads_entries(ground.rulebook)
    for name in EXTRA_COLUMNS:
        values = getattr(legs, name)[order]
        stated = ~np.isnan(values) if name == "leverage" else values != 0
        if name == "cost" and not kept:
            stated &= ground.priced.contracts.kind[legs.contract[order]] != OPTION
        at = np.flatnonzero(stated)
        found.append((unit[at], place[at] | (COLUMNS.index(name) << PLACE_SHIFT), values[at]))
    owner, packed, values = (np.concatenate(parts) for parts in zip(*found, strict=True))
    rank = np.lexsort([packed >> PLACE_SHIFT, packed & PLACE_MASK, owner])
    return owner[rank], packed[rank], values[rank]


def _reads_entries(rulebook: Rulebook) -> bool:
    """Return whether the document names the entry price, as far as its text goes: only then is an option's kept."""
    return "entry_price" in str(rulebook.document)
