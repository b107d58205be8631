"""The files of a compact book's folder: a new book comes beside the old one, and meta.json says which of them it is.

The tables of a book bear its token in their names, so that nothing is ever written over: who has mapped the old ones
keeps them, and one step, meta.json put in place, makes the new ones the book. Whenever a writer is stopped, the folder
holds the old book whole or the new one whole; what it left behind goes when the next one is done.
"""

from __future__ import annotations

import os
import re
import sys
from contextlib import contextmanager, suppress
from secrets import token_hex
from typing import TYPE_CHECKING, Annotated, Final, Literal, TypeAlias

import msgspec

if sys.platform != "win32":
    import fcntl

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from typing import BinaryIO

__all__ = ["META", "Tables", "Token", "new_book", "new_token", "path_of", "put", "put_meta"]

META: Final = "meta.json"
Tables: TypeAlias = Literal["arrow", "parquet"]
Token: TypeAlias = Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{16}\Z")]
_BYTES: Final = 8  # of a token: no two books meet in one
_OURS: Final = re.compile(r"(?:accounts|pools|legs|extras|rows|meta)\.([0-9a-f]{16})\.(?:arrow|parquet|json)")


class _Named(msgspec.Struct):
    token: Token


def path_of(place: Path, name: str, token: str, tables: str) -> Path:
    """Return where a table of a book stands."""
    return place / f"{name}.{token}.{tables}"


def new_token() -> str:
    """Return a token that no other book has."""
    return token_hex(_BYTES)


@contextmanager
def new_book(place: Path, token: str) -> Iterator[None]:
    """Let the book of a token come into a folder; afterwards no files stay but those of the book that it then holds.

    Writers of one folder wait for one another, where the system has locks: what one is writing is no leftover.
    """
    with _turn(place):
        try:
            yield
        finally:
            _drop_others(place, token)


@contextmanager
def _turn(place: Path) -> Iterator[None]:
    if sys.platform == "win32":
        yield
        return
    folder = os.open(place, os.O_RDONLY)
    try:
        with suppress(OSError):  # a disk of the network may have no locks
            fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)  # and with it the lock, as when the process dies


def put(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Write a file under a name that none has yet, and see it to the disk."""
    with path.open("xb") as file:
        write(file)
        file.flush()
        os.fsync(file.fileno())


def put_meta(place: Path, token: str, content: bytes) -> None:
    """Make the tables of a token, which are all there, the folder's book: in one step, for readers and for a crash."""
    fresh = place / f"meta.{token}.json"
    put(fresh, lambda file: file.write(content))
    _flush(place)  # the names of the tables are on the disk before anything points at them
    fresh.replace(place / META)
    _flush(place)


def _flush(place: Path) -> None:
    with suppress(OSError):  # not every system opens folders
        folder = os.open(place, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _drop_others(place: Path, token: str) -> None:
    """Remove the files of all books but the one that meta.json names now; where it names none, those of one token."""
    named = _named(place)
    for path in place.iterdir():
        found = _OURS.fullmatch(path.name)
        if found and (found[1] == token if named is None else found[1] != named):
            with suppress(OSError):  # some systems keep what is mapped: the next writer removes it
                path.unlink()


def _named(place: Path) -> str | None:
    with suppress(OSError, msgspec.DecodeError):
        return msgspec.json.decode((place / META).read_bytes(), type=_Named).token
    return None
