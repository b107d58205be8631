"""Shards: ranges of a book's accounts, and where each one's legs come from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from crossmargin.errors import CrossmarginError, FailureReason, InputError
from crossmargin.margin.program.book import CompactBook
from crossmargin.sources.compact_books import read_written, token_of

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["MOST_TRIES", "Progress", "Source", "bounds", "died", "shards_of"]

Progress: TypeAlias = Callable[[int, int], None]
"""Called with how many accounts are done, and of how many, each time a shard is."""
MOST_TRIES: Final = 3


class Source(NamedTuple):
    """Accounts [first, last) of a book, itself or its folder: where a worker that takes over reads them.

    `token` says which of the books that a folder may come to hold: those of another are other accounts.
    """

    book: CompactBook | str
    first: int
    last: int
    token: str | None = None

    def read(self) -> CompactBook:
        """Return the accounts as a book of their own; refused where the folder holds another book by now."""
        if isinstance(self.book, str):
            return read_written(self.book, self.token, self.first, self.last)
        return self.book.part(self.first, self.last)


def bounds(accounts: int, shards: int) -> list[tuple[int, int]]:
    """Return so many ranges of accounts, as even as can be; empty ones where there are more shards than accounts."""
    if shards < 1:
        message = f"at least one shard is needed, found {shards}"
        raise InputError(FailureReason.MALFORMED_INPUT, message)
    return [(accounts * n // shards, accounts * (n + 1) // shards) for n in range(shards)]


def shards_of(book: CompactBook | str | Path, shards: int) -> Sequence[Source]:
    """Return a book cut into so many shards.

    Parameters
    ----------
    book
        A book, of which each worker gets its own accounts, or the folder of one (:func:`write_compact_book`), which
        every worker must be able to read. A book that is written there later is refused: cut that one anew.
    """
    if isinstance(book, CompactBook):
        return [Source(book.part(*ends).packed(), 0, ends[1] - ends[0]) for ends in bounds(len(book), shards)]
    token = token_of(book)
    accounts = len(read_written(book, token, 0, None))
    return [Source(str(Path(book).resolve()), *ends, token) for ends in bounds(accounts, shards)]


def died(first: int, last: int) -> CrossmarginError:
    """Return the error of a shard whose workers die."""
    return CrossmarginError(
        f"accounts {first} to {last}: {MOST_TRIES} workers died one after the other; is there too little memory for "
        "shards of this many accounts? Cut the book into more"
    )
