"""What is looked at when a compact book is read: files that were changed, or are not what wrote them, are refused.

What the engine would find only at a tick is found here, where file and account can be named.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from crossmargin.errors import FailureReason, InputError
from crossmargin.margin.program.book import EXTRA_COLUMNS, PLACE_MASK, PLACE_SHIFT
from crossmargin.margin.program.nodes import COLUMNS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from types import ModuleType

    import numpy.typing as npt

    from crossmargin.margin.program.book import CompactBook

    Counts = npt.NDArray[np.uint32]
    Flags = npt.NDArray[np.bool_]

__all__ = ["check_ids", "check_places", "check_pools"]


def check_places(book: CompactBook, place: Path) -> None:
    """Refuse a book whose numbers of accounts, classes, names or contracts point nowhere."""
    universe, account = book.universe, book.pool_account
    rows = universe.rows
    _within(account, len(book), "accounts", place)
    _within(book.account_class, len(universe.account_classes), "account classes", place)
    _within(book.legs.pool_class, len(universe.pools), "classes of pools", place)
    _within(rows.contract, universe.contract_count, "contracts", place)
    _within(rows.pool_class, len(universe.pools), "classes of pools", place)
    key = rows.pool_class.astype(np.int64) * universe.contract_count + rows.contract
    if (np.diff(rows.pool_class) < 0).any() or np.unique(key).shape != key.shape:  # prices say more: `check_layout`
        _refuse("template rows must stand in the order of classes, each contract once in a class", place)
    names = np.fromiter(book.pool_labels, np.int64, len(book.pool_labels))
    if not np.isin(np.unique(book.pool_key), names).all() or (np.diff(account) < 0).any():
        _refuse("pools must stand in the order of accounts, each with a name of meta.json", place)


def check_ids(book: CompactBook, first: int, pa: ModuleType, path: str) -> None:
    """Refuse ids that end where none can, are no UTF-8, or stand twice and not as refused.

    Parameters
    ----------
    book
        The accounts that are read, of which number `first` of the file is the first.
    path
        The file of ids.
    """
    ids = book.account_ids
    text = pa.LargeStringArray.from_buffers(len(ids), pa.py_buffer(ids.ends), pa.py_buffer(ids.text))
    try:
        text.validate(full=True)
    except pa.ArrowInvalid as error:
        _refuse(f"of the ids from account {first} on: {error}", path)
    repeated = book.repeated_account()
    if repeated is not None:
        message = "this account id stands more than once; write the book anew"
        raise InputError(FailureReason.DUPLICATE_ACCOUNT, message, account=repeated, path=path)


def check_pools(book: CompactBook, path: Mapping[str, str]) -> None:
    """Refuse pools whose legs or extras lie outside their table, in another's, out of order or point nowhere.

    Parameters
    ----------
    path
        The files of the tables, by name.
    """
    legs, template = book.legs, len(book.universe.rows)
    row = legs.row[_together(legs.start, legs.count, legs.row.shape[0], "legs", path)]
    _within(row, template, "template rows", path["legs"])
    _refuse_first(book, _falls(row, legs.count), legs.count, "legs in ascending order of rows", path["legs"])
    code = legs.extra_leg[_together(legs.extra_start, legs.extra_count, legs.extra_leg.shape[0], "extras", path)]
    place, column = code & PLACE_MASK, code >> PLACE_SHIFT
    known = (column >= COLUMNS.index(EXTRA_COLUMNS[0])) & (column <= COLUMNS.index(EXTRA_COLUMNS[-1]))
    wrong = ~known | (place >= np.repeat(legs.count, legs.extra_count)) | _falls(place, legs.extra_count)
    _refuse_first(book, wrong, legs.extra_count, "extras in the order of its legs, of their columns", path["extras"])


def _together(start: Counts, count: Counts, held: int, what: str, path: Mapping[str, str]) -> slice:
    """Return where the runs of all pools stand, which must lie within their table and one after the other."""
    first, number = start.astype(np.int64), count.astype(np.int64)
    _within(first + number, held + 1, what, path["pools"])
    some = np.flatnonzero(count)
    ends = first[some] + number[some]
    if (first[some][1:] != ends[:-1]).any():
        _refuse(f"the {what} of pools must stand one after the other", path["pools"])
    return slice(int(first[some[0]]), int(ends[-1])) if some.size else slice(0, 0)


def _falls(values: npt.NDArray[Any], count: Counts) -> Flags:
    """Return which of the values of all pools are less than the one before; where a pool begins they may be."""
    falls = np.zeros(values.shape[0], dtype=bool)
    np.less(values[1:], values[:-1], out=falls[1:])
    falls[(np.cumsum(count, dtype=np.int64) - count)[count > 0]] = False
    return falls


def _refuse_first(book: CompactBook, wrong: Flags, count: Counts, expected: str, path: str) -> None:
    """Refuse the book for the first pool of which something is wrong."""
    if wrong.any():
        pool = int(np.searchsorted(np.cumsum(count, dtype=np.int64), int(wrong.argmax()), side="right"))
        _refuse(f"expected {expected}", path, book.account_ids[int(book.pool_account[pool])])


def _within(places: npt.NDArray[Any], count: int, what: str, path: Path | str) -> None:
    if places.size and (int(places.min()) < 0 or int(places.max()) >= count):
        _refuse(f"a number points outside the book's {count} {what}", path)


def _refuse(message: str, path: Path | str, account: str | None = None) -> NoReturn:
    message = f"{message}; write the book anew"
    raise InputError(FailureReason.MALFORMED_INPUT, message, account=account, path=str(path))
