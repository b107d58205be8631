"""The files around a journal of SQLite: the writer's lock, a log of full length, what damage leaves."""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import suppress
from pathlib import Path
from typing import Final

_LONGEST: Final = 1 << 45  # bytes that a damaged header is believed


def prepare(log: Path, length: int) -> None:
    """Give a write-ahead log its full length, in zeros, which SQLite takes for its end.

    A file that grows has to be given blocks, which costs a second synchronisation for every few records. To be called
    while nobody writes to the log.
    """
    with suppress(OSError), log.open("r+b", buffering=0) as file:  # a disk without room goes without
        end = file.seek(0, os.SEEK_END)
        try:
            whole = end >= length or file.write(bytes(length - end)) == length - end
            os.fsync(file.fileno())
        except OSError:
            whole = False
        if not whole:
            file.truncate(end)


def lock_at(path: Path) -> sqlite3.Connection:
    """Return a connection to the file whose lock a writer holds as long as its process lives, on whatever system."""
    return sqlite3.connect(
        path.with_name(path.name + "-writer"), isolation_level=None, timeout=0, check_same_thread=False
    )


def locked(lock: sqlite3.Connection) -> bool:
    """Return whether this writer holds the lock, taking it where nobody does."""
    try:
        if not lock.in_transaction:
            lock.execute("begin exclusive")
    except sqlite3.OperationalError:
        return False
    return True


def lengthened(path: Path) -> None:
    """Fill a file with zeros up to the pages that its header counts; SQLite reads nothing of a shorter one."""
    if not path.exists():
        return
    with path.open("rb") as file:
        header = file.read(32)
    page = int.from_bytes(header[16:18]) if header[16:18] != b"\0\1" else 65_536
    wanted = page * int.from_bytes(header[28:32])
    if len(header) == 32 and path.stat().st_size < wanted <= _LONGEST:  # noqa: PLR2004 - that far the header reaches
        shutil.copyfile(path, unused(path))
        with path.open("r+b") as file:
            file.truncate(wanted)


def unused(path: Path) -> Path:
    """Return the first name beside a journal that no damaged one stands under."""
    number = 1
    while path.with_name(f"{path.name}-damaged-{number}").exists():
        number += 1
    return path.with_name(f"{path.name}-damaged-{number}")
