"""A book cut into ranges of accounts, so that what is made of one range is small beside the book."""

from __future__ import annotations

from dataclasses import fields, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from crossmargin.account import Book

__all__ = ["split"]

_ROWS: Final = 1 << 21  # of positions, balances and orders in a piece: some 200 MB of columns while it is laid out


def split(book: Book, rows: int = _ROWS) -> Iterator[Book]:
    """Yield the book in ranges of accounts of about so many rows; in one where its rows are not in account order."""
    tables = (book.positions, book.balances, book.orders)
    held = sum(table.account.shape[0] for table in tables)
    if held <= rows or not all((np.diff(table.account) >= 0).all() for table in tables):
        yield book
        return
    pieces = -(-held // rows)
    bounds = np.linspace(0, len(book), pieces + 1).astype(np.int64).tolist()
    for first, last in pairwise(bounds):
        if last > first:
            yield _range(book, first, last)


def _range(book: Book, first: int, last: int) -> Book:
    p, b, o = (_rows(table, first, last) for table in (book.positions, book.balances, book.orders))
    before = int(np.searchsorted(book.positions.account, first))
    return replace(
        book,
        account_ids=book.account_ids[first:last],
        account_class=book.account_class[first:last],
        positions=p,
        balances=replace(b, position=np.where(b.position >= 0, b.position - before, b.position)),
        orders=o,
        inputs={name: values[first:last] for name, values in book.inputs.items()},
        failures={n - first: failure for n, failure in book.failures.items() if first <= n < last},
    )


def _rows(table: Any, first: int, last: int) -> Any:  # noqa: ANN401 - the columns of one table
    low, high = np.searchsorted(table.account, [first, last]).tolist()
    columns = {f.name: getattr(table, f.name)[low:high] for f in fields(table)}
    return replace(table, **(columns | {"account": columns["account"] - first}))
