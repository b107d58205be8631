"""Several compact books as one, and the pieces that one is laid out in."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from crossmargin.account.book import repeated_account
from crossmargin.errors import Failure, FailureReason, InputError
from crossmargin.margin.program.book import PLACE_MASK, SMALL, CompactBook, LegArrays, inputs_of
from crossmargin.margin.program.ids import Ids

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    from crossmargin.margin.program.universe import Universe

    Floats = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.int64]

__all__ = ["Piece", "join_books", "join_pieces", "refuse_repeated"]

_MOST_LEGS: Final = 1 << 32


@dataclass(frozen=True, slots=True)
class Piece:
    """A range of accounts laid out, before the universe numbers its rows; see :class:`CompactBook` and its arrays.

    `cell` [legs] is the place of each leg's class and contract in the table of rows.
    """

    account_ids: Ids
    account_class: npt.NDArray[np.uint8]
    pool_account: npt.NDArray[np.int32]
    pool_key: npt.NDArray[np.int64]
    cell: npt.NDArray[np.int32]
    quantity: Floats
    count: npt.NDArray[np.uint32]
    extra_count: npt.NDArray[np.uint32]
    extra_leg: npt.NDArray[np.uint32]
    extra_value: Floats
    pool_class: npt.NDArray[np.uint8]
    inputs: Floats
    failures: Mapping[int, Failure]


def join_pieces(
    pieces: list[Piece], row_table: Ints, row_count: int, classes_of: npt.NDArray[np.uint8], inputs: int
) -> dict[str, Any]:
    """Return what a compact book of all pieces holds, by name; the list is emptied as it is read.

    Parameters
    ----------
    row_table
        The template row of each class and contract.
    row_count
        How many template rows the universe has.
    classes_of
        The universe's number of each class.
    inputs
        How many inputs the rulebook declares.
    """
    rows = row_table.ravel()
    dtype = np.uint16 if row_count <= SMALL else np.int32
    count = _joined([piece.count for piece in pieces], np.uint32)
    extra_count = _joined([piece.extra_count for piece in pieces], np.uint32)
    legs, extras = _total(count, "legs"), _total(extra_count, "numbers beside legs")
    accounts = np.cumsum([0, *(len(piece.account_ids) for piece in pieces)]).tolist()
    made: dict[str, Any] = {
        "account_ids": Ids.join([piece.account_ids for piece in pieces]),
        "account_class": _joined([piece.account_class for piece in pieces], np.uint8),
        "pool_account": _joined([p.pool_account + np.int32(n) for p, n in _numbered(pieces, accounts)], np.int32),
        "pool_key": _joined([piece.pool_key for piece in pieces], np.int64),
        "failures": {n + at: f for piece, n in _numbered(pieces, accounts) for at, f in piece.failures.items()},
    }
    pool_class = classes_of[_joined([piece.pool_class for piece in pieces], np.int64)]
    given = _inputs(pieces, inputs)
    row, quantity = np.empty(legs, dtype=dtype), np.empty(legs)
    extra_leg, extra_value = np.empty(extras, dtype=np.uint32), np.empty(extras)
    at = beside = 0
    while pieces:
        piece = pieces.pop(0)
        here, there = slice(at, at + piece.cell.shape[0]), slice(beside, beside + piece.extra_leg.shape[0])
        row[here], quantity[here] = rows[piece.cell], piece.quantity
        extra_leg[there], extra_value[there] = piece.extra_leg, piece.extra_value
        at, beside = here.stop, there.stop
    starts = {"start": _starts(count), "extra_start": _starts(extra_count)}
    made["legs"] = LegArrays(
        row=row, quantity=quantity, count=count, extra_count=extra_count, extra_leg=extra_leg,
        extra_value=extra_value, pool_class=pool_class, inputs=given, **starts,
    )  # fmt: skip
    return made


def _inputs(pieces: Sequence[Piece], inputs: int) -> Floats:
    """Return the inputs of all pieces as a book holds them."""
    if not any(piece.inputs.any() for piece in pieces):
        return np.zeros((inputs, 0))
    return np.concatenate([inputs_of(p.inputs, slice(0, p.count.shape[0])) for p in pieces], axis=1)


def _joined(parts: Sequence[npt.NDArray[Any]], dtype: Any, shape: tuple[int, ...] = (0,)) -> npt.NDArray[Any]:  # noqa: ANN401
    """Return arrays end to end along their last axis."""
    return np.concatenate(parts, axis=-1).astype(dtype, copy=False) if parts else np.zeros(shape, dtype=dtype)


def _numbered(parts: Sequence[Any], first: Sequence[int]) -> zip[tuple[Any, int]]:
    return zip(parts, first, strict=False)


def _total(count: npt.NDArray[np.uint32], what: str) -> int:
    """Return a sum of counts that 32 bits can point at."""
    total = int(count.sum(dtype=np.int64))
    if total >= _MOST_LEGS:
        message = f"{total} {what} in one compact book, which numbers at most {_MOST_LEGS}: lay it out in several"
        raise InputError(FailureReason.OUT_OF_SCOPE, message)
    if int(count.max(initial=0)) > PLACE_MASK:
        message = f"an account holds {int(count.max())} {what}; at most {PLACE_MASK} are numbered"
        raise InputError(FailureReason.OUT_OF_SCOPE, message)
    return total


def _starts(count: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint32]:
    return (np.cumsum(count, dtype=np.int64) - count).astype(np.uint32)


def join_books(parts: Sequence[CompactBook]) -> CompactBook:
    """Return the accounts of several books, in order, as one; all must be laid out over one universe.

    Raises
    ------
    InputError
        When there is none, or they differ in rulebook, contracts or the names of their pools. DUPLICATE_ACCOUNT when
        an account id stands twice and not as refused: parts that overlap are a slip of who cut them, not of the
        accounts, so that the join is refused and not, as by :func:`compact_books`, the accounts.
    """
    if not parts:
        message = "no book to join: at least one says which contracts there are"
        raise InputError(FailureReason.MALFORMED_INPUT, message)
    first = parts[0]
    labels: dict[int, str] = {}
    for part in parts:
        labels = {**part.pool_labels, **labels}
    for n, part in enumerate(parts):
        agree = part.rulebook == first.rulebook and _same(part.universe, first.universe)
        if not agree or any(labels[key] != name for key, name in part.pool_labels.items()):
            message = f"book {n} has other contracts, pools or another rulebook than book 0: lay out all together"
            raise InputError(FailureReason.MALFORMED_INPUT, message)
    rows = len(first.universe.rows)
    table, classes = np.arange(rows), np.arange(len(first.universe.pools), dtype=np.uint8)
    inputs = first.legs.inputs.shape[0]
    made = join_pieces([_piece(part) for part in parts], table, rows, classes, inputs)
    book = CompactBook(**made, pool_labels=labels, universe=first.universe, rulebook=first.rulebook)
    repeated = book.repeated_account()
    if repeated is not None:
        message = "this account stands more than once in the books to join: cut them so that each has its own"
        raise InputError(FailureReason.DUPLICATE_ACCOUNT, message, account=repeated)
    return book


def refuse_repeated(book: CompactBook) -> CompactBook:
    """Return a book in which accounts whose id stands more than once are refused, all of them, and hold no pool."""
    places = book.account_ids.repeated()
    if not places.size:
        return book
    keep = np.flatnonzero(~np.isin(book.pool_account, places))
    refused = {n: repeated_account(book.account_ids[n]).failure() for n in places.tolist()}
    return replace(
        book,
        pool_account=book.pool_account[keep],
        pool_key=book.pool_key[keep],
        legs=book.legs.of_pools(keep).packed(),
        failures=dict(sorted({**book.failures, **refused}.items())),
    )


def _same(a: Universe, b: Universe) -> bool:
    """Whether two universes number the same things alike; what contracts are worth does not count."""
    return a is b or (
        tuple(a.listings) == tuple(b.listings)
        and (a.assets, a.account_classes, a.pools) == (b.assets, b.account_classes, b.pools)
        and np.array_equal(a.rows.contract, b.rows.contract)
        and np.array_equal(a.rows.pool_class, b.rows.pool_class)
    )


def _piece(book: CompactBook) -> Piece:
    legs = book.legs.packed()
    return Piece(
        account_ids=book.account_ids, account_class=book.account_class, pool_account=book.pool_account,
        pool_key=book.pool_key, cell=legs.row.astype(np.int32), quantity=legs.quantity, count=legs.count,
        extra_count=legs.extra_count, extra_leg=legs.extra_leg, extra_value=legs.extra_value,
        pool_class=legs.pool_class, inputs=legs.inputs, failures=book.failures,
    )  # fmt: skip
