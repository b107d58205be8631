"""Instruments and assets as contract columns: plain quotes at once, the others one by one, names as codes."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from crossmargin.errors import InputError
from crossmargin.margin.plain_quotes import read_plain
from crossmargin.margin.quotes import root_or_itself
from crossmargin.margin.resolved import Names
from crossmargin.scenarios import Contracts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    import numpy.typing as npt

    from crossmargin.margin.plain_quotes import PlainQuotes
    from crossmargin.margin.quotes import QuoteReader, QuoteRow
    from crossmargin.margin.terms import ContractTerms
    from crossmargin.market import Snapshot

    Ints = npt.NDArray[np.int64]

__all__ = ["Reading", "contract_columns", "read_contracts"]

_FEW: Final = 16  # so many instruments are read one by one as quickly
_FLAGS: Final = frozenset({"inverse", "quanto", "call", "coin_settled", "linked"})
_INTEGERS: Final = frozenset({"kind", "expiry"})
_OWNERS: Final = ("settle_asset", "quote_asset", "own_asset")
_COLUMNS: Final = tuple(f.name for f in fields(Contracts) if f.name not in {"symbol", "bucket", *_OWNERS})


@dataclass(frozen=True, slots=True)
class Reading:
    """Instruments, then assets, as they were read: `plain` at once, `rows` by place one by one, `refused` by place."""

    terms: ContractTerms
    assets: tuple[str, ...]
    plain: PlainQuotes | None
    rows: dict[int, QuoteRow]
    refused: dict[int, InputError]

    def kept(self) -> Ints:
        """Return the places that have columns, ascending."""
        kept = np.zeros(len(self.terms) + len(self.assets), dtype=bool)
        if self.plain is not None:
            kept[: len(self.terms)] = self.plain.plain
        kept[list(self.rows)] = True
        return np.flatnonzero(kept)


def read_contracts(
    terms: ContractTerms, assets: Iterable[str], reader: QuoteReader, *, one_by_one: bool = False
) -> Reading:
    """Return what the snapshot says of instruments and assets.

    Parameters
    ----------
    one_by_one
        Whether no instrument is read in columns of float64: for exact numbers.
    """
    reading = Reading(terms, tuple(assets), None, {}, {})
    places: Sequence[int] = range(len(terms))
    if not one_by_one and len(terms) > _FEW:
        plain = read_plain(terms, reader)
        reading = Reading(terms, reading.assets, plain, {}, {})
        places = np.flatnonzero(~plain.plain).tolist()
    symbols = tuple(terms)
    for place in places:
        _read(place, symbols[place], reader.instrument, reading)
    for place, asset in enumerate(reading.assets, start=len(terms)):
        _read(place, asset, reader.asset, reading)
    return reading


def _read(place: int, name: str, read: Callable[[str], QuoteRow], reading: Reading) -> None:
    try:
        reading.rows[place] = read(name)
    except InputError as error:
        reading.refused[place] = error


def contract_columns(
    reading: Reading, snapshot: Snapshot, numbers: np.dtype[Any], classes: tuple[str, ...]
) -> tuple[Names, Contracts]:
    """Return the columns [kept] of what was read and not refused, and the tables of names they point into."""
    kept = reading.kept()
    symbols = (*reading.terms, *reading.assets)
    whole = len(kept) == len(symbols)
    arrays = _arrays(reading, numbers)
    table, owners = _owners(reading)
    if not whole:
        arrays = {name: column[kept] for name, column in arrays.items()}
        owners, symbols = owners[kept], tuple(symbols[place] for place in kept.tolist())
    codes, used = _by_appearance(owners.ravel(), len(table))
    owners = codes[owners]
    assets = tuple(table[place] for place in used.tolist())
    roots = tuple(root_or_itself(name, snapshot) for name in assets)
    own = owners[:, _OWNERS.index("own_asset")]
    bucket, buckets = _buckets(own, roots)
    named = dict(zip(_OWNERS, np.ascontiguousarray(owners.T), strict=True))
    contracts = Contracts(symbol=np.arange(len(symbols), dtype=np.int64), bucket=bucket, **named, **arrays)
    return Names(symbols, buckets, assets, classes, roots), contracts


def _arrays(reading: Reading, numbers: np.dtype[Any]) -> dict[str, Any]:
    """Return the columns of all places by name; refused ones hold anything."""
    instruments, rows = len(reading.terms), list(reading.rows.values())
    places = np.fromiter(reading.rows, np.int64, len(rows))
    arrays = {}
    for name in _COLUMNS:
        dtype: Any = bool if name in _FLAGS else np.int64 if name in _INTEGERS else numbers
        column = arrays[name] = np.zeros(instruments + len(reading.assets), dtype=dtype)
        if reading.plain is not None:
            column[:instruments] = reading.plain.columns[name]
        column[places] = np.asarray([getattr(row, name) for row in rows], dtype=dtype)
    return arrays


def _owners(reading: Reading) -> tuple[list[str], Ints]:
    """Return a table of asset names, and of each place the settlement, quote and own asset by it [places, 3]."""
    terms = reading.terms
    table = {name: place for place, name in enumerate(terms.assets)}
    codes = np.zeros((len(terms) + len(reading.assets), len(_OWNERS)), dtype=np.int64)
    codes[: len(terms)] = np.stack([getattr(terms, owner) for owner in _OWNERS], axis=1)
    for place, row in reading.rows.items():
        codes[place] = [table.setdefault(getattr(row, owner), len(table)) for owner in _OWNERS]
    return list(table), codes


def _by_appearance(codes: Ints, count: int) -> tuple[Ints, Ints]:
    """Return a new number for each old one, in the order in which they first appear, and the old ones in that order."""
    first = np.full(count, codes.shape[0], dtype=np.int64)
    first[codes[::-1]] = np.arange(codes.shape[0])[::-1]
    used = np.argsort(first, kind="stable")[: int((first < codes.shape[0]).sum())]
    renumbered = np.full(count, -1, dtype=np.int64)
    renumbered[used] = np.arange(used.shape[0])
    return renumbered, used


def _buckets(own: Ints, roots: tuple[str, ...]) -> tuple[Ints, tuple[str, ...]]:
    """Return each contract's bucket, the root of its own asset, and the buckets' names as they first appear."""
    names = list(dict.fromkeys(roots))
    of_asset = np.asarray([names.index(root) for root in roots], dtype=np.int64)
    renumbered, used = _by_appearance(of_asset[own], len(names))
    return renumbered[of_asset[own]], tuple(names[place] for place in used.tolist())
