"""Recorded order books as JSON: what `crossmargin liquidate --depth` reads (docs/interchange.md)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from itertools import pairwise
from math import isfinite
from typing import TYPE_CHECKING

import msgspec

from crossmargin.errors import FailureReason, InputError
from crossmargin.liquidation import Ladder
from crossmargin.sources.interchange import check_schema_version
from crossmargin.sources.load import read_bytes
from crossmargin.sources.messages import as_text

if TYPE_CHECKING:
    from pathlib import Path

    from crossmargin.market import Snapshot

__all__ = ["BookDocument", "DepthDocument", "decode_depth", "load_depth"]


class BookDocument(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One order book: ``[price, contracts]``, best first."""

    bids: tuple[tuple[float, float], ...] = ()
    asks: tuple[tuple[float, float], ...] = ()


class DepthDocument(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A depth.json: order books by instrument at one moment."""

    books: Mapping[str, BookDocument]
    as_of: datetime | None = None
    schema_version: str | None = None
    note: str | None = None


def load_depth(path: Path, snapshot: Snapshot | None = None) -> dict[str, Ladder]:
    """Return the order books of a file; raises as :func:`decode_depth`."""
    return decode_depth(read_bytes(path), path.name, snapshot)


def decode_depth(content: bytes, name: str = "depth.json", snapshot: Snapshot | None = None) -> dict[str, Ladder]:
    """Return order books by instrument.

    Parameters
    ----------
    snapshot
        The market that they are of; None: instruments are not looked up.

    Raises
    ------
    InputError
        What is no such document; a book without levels, or whose levels are not in order, or that is crossed; an
        instrument that the snapshot does not list.
    """
    try:
        document = msgspec.json.decode(as_text(content, name), type=DepthDocument)
    except (msgspec.ValidationError, msgspec.DecodeError) as error:
        message = f'{name}: {error}; a depth document is {{"books": {{SYMBOL: {{"bids": [[price, contracts]]}}}}}}'
        raise InputError(FailureReason.MALFORMED_INPUT, message) from None
    check_schema_version(document.schema_version, name)
    for symbol, book in document.books.items():
        if snapshot is not None and symbol not in snapshot.listings:
            message = f"{name}: the snapshot does not list it; correct the symbol"
            raise InputError(FailureReason.UNKNOWN_INSTRUMENT, message, instrument=symbol)
        _check(symbol, book, name)
    return {symbol: Ladder(book.bids, book.asks) for symbol, book in document.books.items()}


def _check(symbol: str, book: BookDocument, name: str) -> None:
    """Refuse levels that no order book has, and a book of none at all."""
    if not book.bids and not book.asks:
        message = f"{name}: the book has no levels; leave it out, and a stated model takes its place"
        raise InputError(FailureReason.INVALID_PRICE, message, instrument=symbol)
    for side, levels, sign in (("bids", book.bids, -1), ("asks", book.asks, 1)):
        for place, (price, offered) in enumerate(levels):
            if not (isfinite(price) and price > 0 and isfinite(offered) and offered > 0):
                message = f"{name}: {side}[{place}] must be a price and contracts above 0, found [{price}, {offered}]"
                raise InputError(FailureReason.INVALID_PRICE, message, instrument=symbol)
        if any(sign * (after[0] - before[0]) <= 0 for before, after in pairwise(levels)):
            order = "fall" if sign < 0 else "rise"
            message = f"{name}: prices of {side} must {order} from level to level: best first"
            raise InputError(FailureReason.INVALID_PRICE, message, instrument=symbol)
    if book.bids and book.asks and book.bids[0][0] >= book.asks[0][0]:
        message = f"{name}: the best bid {book.bids[0][0]:g} is not below the best ask {book.asks[0][0]:g}"
        raise InputError(FailureReason.INVALID_PRICE, message, instrument=symbol)
