"""Names become arrays, once: contracts, legs in the order of the hot path, pools, and the rows of every level."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from crossmargin.account.book import CROSS_POOL
from crossmargin.errors import Failure, FailureReason, InputError
from crossmargin.kernels import codes_in_use, packed_key
from crossmargin.margin.contract_columns import Reading, contract_columns, read_contracts
from crossmargin.margin.legs import Held, gather, make_legs
from crossmargin.margin.quotes import QuoteGuard, QuoteReader, unlisted
from crossmargin.margin.resolved import Names, Resolved, Units, make_levels
from crossmargin.margin.terms import ContractTerms
from crossmargin.margin.touched import with_touched_assets
from crossmargin.scenarios import ASSET

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    from crossmargin.account import Book
    from crossmargin.margin.model import Rulebook
    from crossmargin.market import Snapshot
    from crossmargin.scenarios import Contracts

    Floats = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.int64]
    Flags = npt.NDArray[np.bool_]

SETTLEMENT = "settlement"
ISOLATED = 1 << 32  # pool keys above this are isolated positions


def resolve(
    book: Book,
    snapshot: Snapshot,
    rulebook: Rulebook,
    *,
    max_quote_age_seconds: float | None = 3600.0,
    before: Resolved | None = None,
) -> Resolved:
    """Return the arrays that the engine reads; accounts that cannot be assessed become failures and hold no legs.

    Parameters
    ----------
    max_quote_age_seconds
        Quotes with an `observed_at` older than this at `snapshot.as_of` are refused; None accepts any age.
    before
        What another book became on this snapshot, under this rulebook and this age: where it has all that this book
        holds and nothing of it was refused or warned of, quotes are not read again.
    """
    book = with_touched_assets(book, snapshot, rulebook)
    reader = QuoteReader(snapshot, QuoteGuard(max_quote_age_seconds), rulebook)
    failures = dict(book.failures)
    known = None if before is None else _read_before(book, before)
    if known is None:
        reading, columns = _read_quotes(book, reader, failures)
        names, contracts = contract_columns(reading, snapshot, book.numbers, book.classes)
    else:
        names, contracts, columns = known
    check_inputs(book, rulebook, failures)
    held = gather(book, contracts, columns, failures, rulebook.opposite_positions)
    keys = pool_keys(contracts, held, rulebook)
    units, unit_keys, unit_of = _units(book, held, keys, names, snapshot, rulebook, failures)
    legs = make_legs(held, unit_of, contracts, rulebook.opposite_positions)
    return Resolved(
        as_of=snapshot.as_of,
        account_ids=book.account_ids,
        reporting_asset=snapshot.reporting_asset if rulebook.reporting == SETTLEMENT else rulebook.reporting,
        names=names,
        contracts=contracts,
        legs=legs,
        units=units,
        levels=make_levels(legs.contract, legs.unit, contracts, len(units)),
        inputs=unit_inputs(book, rulebook, units.account, unit_keys, names.assets),
        failures=failures,
        warnings=_warnings(book, reader.warnings),
        in_settlement=rulebook.reporting == SETTLEMENT,
        calibration=dict(snapshot.calibration),
    )


def _read_before(book: Book, before: Resolved) -> tuple[Names, Contracts, dict[str, int]] | None:
    """Return another book's contracts, and where each stands; None where this one needs quotes of its own."""
    contracts = before.contracts
    if before.failures or before.warnings or contracts.mark.dtype != book.numbers:
        return None
    kinds = zip(before.names.symbols, contracts.kind.tolist(), strict=True)
    columns = {asset_key(name) if kind == ASSET else name: row for row, (name, kind) in enumerate(kinds)}
    used, assets, _ = _held(book)
    if not columns.keys() >= {*used, *map(asset_key, assets)}:
        return None
    return replace(before.names, classes=book.classes), contracts, columns


def _held(book: Book) -> tuple[list[str], list[str], Flags]:
    """Return the instruments and the assets that need a quote, and which balances are not nothing."""
    p, o, b = book.positions, book.orders.margined(), book.balances
    holds = (b.amount != 0) | (b.accrued != 0)  # a balance of nothing needs no price
    used = [book.symbols[i] for i in codes_in_use(np.concatenate([p.symbol, o.symbol])).tolist()]
    return used, [book.assets[i] for i in codes_in_use(b.asset[holds]).tolist()], holds


def _read_quotes(book: Book, reader: QuoteReader, failures: dict[int, Failure]) -> tuple[Reading, dict[str, int]]:
    """Return what was read and where each usable name stands; refuse the accounts that hold unusable ones."""
    p, o, b = book.positions, book.orders.margined(), book.balances
    used, assets, holds = _held(book)
    listings = reader.snapshot.listings
    terms = ContractTerms.of({symbol: listings[symbol] for symbol in used if symbol in listings})
    reading = read_contracts(terms, assets, reader, one_by_one=book.numbers != np.float64)
    keys = (*terms, *map(asset_key, assets))
    refused = {keys[place]: error for place, error in reading.refused.items()}
    refused |= {symbol: unlisted(symbol) for symbol in used if symbol not in listings}
    if refused:
        for account, symbol in zip(p.account.tolist(), p.symbol.tolist(), strict=True):
            _refuse(book, account, refused.get(book.symbols[symbol]), failures)
        for account, symbol in zip(o.account.tolist(), o.symbol.tolist(), strict=True):
            _refuse(book, account, refused.get(book.symbols[symbol]), failures)
        for account, asset in zip(b.account[holds].tolist(), b.asset[holds].tolist(), strict=True):
            _refuse(book, account, refused.get(asset_key(book.assets[asset])), failures)
    return reading, {keys[place]: row for row, place in enumerate(reading.kept().tolist())}


def asset_key(asset: str) -> str:
    """Return the key of a balance's contract."""
    return f"\0{asset}"  # balances share the table with instruments; no symbol holds this character


def _refuse(book: Book, account: int, error: InputError | None, failures: dict[int, Failure]) -> None:
    if error is not None and account not in failures:
        failures[account] = Failure(error.reason, error.message, book.account_ids[account], error.instrument)


def check_inputs(book: Book, rulebook: Rulebook, failures: dict[int, Failure]) -> None:
    """Refuse accounts that state an input which the rulebook does not declare."""
    for name, values in book.inputs.items():
        if name in rulebook.inputs:
            continue
        declared = ", ".join(rulebook.inputs) or "none"
        for account in np.flatnonzero(_stated(values) & (values != 0)).tolist():
            message = f"input {name} is not one that rulebook {rulebook.name} declares ({declared})"
            failures.setdefault(account, Failure(FailureReason.UNKNOWN_PARAMETER, message, book.account_ids[account]))


def pool_keys(contracts: Contracts, held: Held, rulebook: Rulebook) -> Ints:
    """Return each held row's pool key within its account: 0 is the account's shared pool."""
    settle = contracts.settle_asset[held.contract]
    by = rulebook.pool_by
    if by == "settlement_asset":
        keys = settle + 1
    elif by == "group":
        keys = held.pool
    elif by == "position":
        keys = np.where(held.position >= 0, ISOLATED + held.position, 0)
    else:
        keys = np.zeros_like(settle)
    return np.asarray(np.where(held.isolated >= 0, ISOLATED + held.isolated, keys))


def _units(
    book: Book,
    held: Held,
    keys: Ints,
    names: Names,
    snapshot: Snapshot,
    rulebook: Rulebook,
    failures: Mapping[int, Failure],
) -> tuple[Units, Ints, Ints]:
    """Return the pools, their keys, and of each held row which pool it is in; every account that stands has one."""
    account, key, unit_of = number_pools(len(book), held.account, keys, failures)
    reporting = [rulebook.reporting] * len(key)
    if rulebook.reporting == SETTLEMENT:
        reporting = _settlement_assets(unit_of, held, names, len(key), snapshot.reporting_asset)
    table = {name: code for code, name in enumerate(names.assets)}
    reader = QuoteReader(snapshot, QuoteGuard(None), rulebook)
    prices = {name: reader.asset_price(name) for name in set(reporting)}
    units = Units(
        account=account,
        label=tuple(pool_label(k, book, names, rulebook) for k in key.tolist()),
        reporting=np.asarray([table.get(name, -1) for name in reporting], dtype=np.int64),
        numeraire=np.asarray([prices[name] for name in reporting], dtype=book.numbers),
        account_class=book.account_class[account],
        isolated=key >= ISOLATED,
    )
    return units, key, unit_of


def number_pools(accounts: int, owner: Ints, keys: Ints, failures: Mapping[int, Failure]) -> tuple[Ints, Ints, Ints]:
    """Return each pool's account and key, and which pool each held row is in; an account of nothing has one too."""
    bare = np.ones(accounts, dtype=bool)
    bare[owner] = False
    bare[list(failures)] = False
    empty = np.flatnonzero(bare)
    rows = keys.shape[0]
    owner, keys = np.append(owner, empty), np.append(keys, np.zeros_like(empty))
    _, first, unit_of = np.unique(packed_key([owner, keys]), return_index=True, return_inverse=True)
    return owner[first], keys[first], unit_of[:rows].astype(np.int64)


def _settlement_assets(unit_of: Ints, held: Held, names: Names, units: int, otherwise: str) -> list[str]:
    """Return each pool's own settlement asset; a pool that holds nothing takes `otherwise`."""
    code = np.full(units, -1, dtype=np.int64)
    code[unit_of[::-1]] = held.settle_asset[::-1]
    return [names.assets[i] if i >= 0 else otherwise for i in code.tolist()]


def pool_label(key: int, book: Book, names: Names, rulebook: Rulebook) -> str:
    """Return a pool's name within its account."""
    if key >= ISOLATED:
        position = key - ISOLATED
        side = {0: "", 1: " long", -1: " short"}[int(book.positions.side[position])]
        return f"{book.symbols[int(book.positions.symbol[position])]}{side}"
    if rulebook.pool_by == "settlement_asset" and key > 0:
        return names.assets[key - 1]
    if rulebook.pool_by == "group" and book.pools[key] != CROSS_POOL:
        return book.pools[key]
    return "cross"


def unit_inputs(book: Book, rulebook: Rulebook, account: Ints, key: Ints, assets: Sequence[str]) -> dict[str, Floats]:
    """Return each declared input by unit: an account's figure belongs to its first pool, the others hold 0."""
    if not rulebook.inputs:
        return {}
    first = _first_pools(account, key, {"settlement_asset": ("", *assets), "group": book.pools}.get(rulebook.pool_by))
    out = {}
    for name, declared in rulebook.inputs.items():
        values = np.zeros(account.shape[0], dtype=book.numbers)
        given = book.inputs.get(name)
        values[first] = declared.default
        if given is not None:
            own = given[account[first]]
            says = _stated(own)
            values[first[says]] = own[says]
        out[name] = values
    return out


def _stated(values: Floats) -> Flags:
    """Return where a book's input is stated: NaN is not; of an exact column nothing else can be asked."""
    return np.asarray(values == values, dtype=bool)  # noqa: PLR0124


def _first_pools(account: Ints, key: Ints, names: Sequence[str] | None) -> Ints:
    """Return each account's first pool: shared ones by name, then isolated positions' as the account states them.

    Keys say nothing here: a book numbers names as it meets them, so whose pool came first would be up to all accounts.
    """
    rank = key.copy()
    if names is not None:
        place = np.empty(len(names), dtype=np.int64)
        place[sorted(range(len(names)), key=names.__getitem__)] = np.arange(len(names))
        shared = key < ISOLATED
        rank[shared] = place[key[shared]]
    order = np.lexsort([rank, account])
    return np.asarray(order[np.unique(account[order], return_index=True)[1]], dtype=np.int64)


def _warnings(book: Book, by_symbol: Mapping[str, str]) -> dict[int, tuple[str, ...]]:
    if not by_symbol:
        return {}
    found: dict[int, list[str]] = {}
    for account, symbol in zip(book.positions.account.tolist(), book.positions.symbol.tolist(), strict=True):
        message = by_symbol.get(book.symbols[symbol])
        if message and message not in found.setdefault(account, []):
            found[account].append(message)
    return {account: tuple(messages) for account, messages in found.items() if messages}
