"""The files of a journal of SQLite: the writer's lock, a log of full length, what damage leaves, and its repair."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from crossmargin.clearing.records import RECOVER
from crossmargin.errors import FailureReason, InputError
from crossmargin.sources.journals.common import corrupt
from crossmargin.sources.journals.sqlite_log import Damage, damage_of

REPAIR: Final = "open it with SqliteJournal(path, repair=True), then call crossmargin.clearing.recover(journal)"
UNMENDED: Final = "that is beyond repair=True: put a copy of the file in its place"
_PATIENCE: Final = 5.0  # seconds that one waits for his turn
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


@contextmanager
def turn_at(path: Path) -> Iterator[None]:
    """Hold what a writer holds while it opens a journal or puts another file in its place: one after the other."""
    turn = sqlite3.connect(path.with_name(path.name + "-turn"), isolation_level=None, timeout=_PATIENCE)
    try:
        turn.execute("begin exclusive")
    except sqlite3.OperationalError as error:
        turn.close()
        if error.sqlite_errorcode != sqlite3.SQLITE_BUSY:
            raise
        message = "another writer opens or recovers the journal; open it again when that is done"
        raise InputError(FailureReason.FENCED, message, path=str(path)) from error
    try:
        yield
    finally:
        turn.close()


def place_of(path: Path) -> tuple[int, int] | None:
    """Return what names the file at a path, whatever it is called; None where there is none."""
    with suppress(FileNotFoundError):
        found = path.stat()
        return found.st_dev, found.st_ino
    return None


def mended(path: Path, *, repair: bool) -> str:
    """Return in words what a repair of the file and its log has dropped; it is kept beside them as it was.

    Raises
    ------
    InputError
        CORRUPT_JOURNAL where the log is damaged and is not to be repaired: SQLite would drop its end unasked.
    """
    log = Path(f"{path}-wal")
    damage = damage_of(log)
    if damage is not None and not repair:
        raise corrupt(str(damage), str(path), REPAIR)
    missing = _missing(path) if repair else 0
    if damage is None and not missing:
        return ""
    kept_at = unused(path)
    set_aside(path, kept_at)
    if damage is not None:
        _truncate(log, damage.whole)  # what stays behind the end would look damaged for ever
    if missing:
        _truncate(path, path.stat().st_size + missing)
    short = f"the file is {missing} bytes shorter than its header says" if missing else ""
    return f"{'; '.join(one for one in (short, _told(damage)) if one)}; kept as it was at {kept_at}"


def _told(damage: Damage | None) -> str:
    return "" if damage is None else str(damage)


def set_aside(path: Path, kept_at: Path) -> None:
    """Copy a file and its log; not moved, since at every moment a journal stands at the path."""
    for ending in ("", "-wal"):
        with suppress(FileNotFoundError):
            shutil.copyfile(f"{path}{ending}", f"{kept_at}{ending}")


def _missing(path: Path) -> int:
    """Return how many bytes a file lacks of the pages that its header counts; SQLite reads nothing of such a one."""
    if not path.exists():
        return 0
    with path.open("rb") as file:
        header = file.read(32)
    page = int.from_bytes(header[16:18]) if header[16:18] != b"\0\1" else 65_536
    wanted = page * int.from_bytes(header[28:32])
    believed = len(header) == 32 and wanted <= _LONGEST  # noqa: PLR2004 - that far the header reaches
    return max(wanted - path.stat().st_size, 0) if believed else 0


def _truncate(path: Path, length: int) -> None:
    with path.open("r+b") as file:
        file.truncate(length)
        os.fsync(file.fileno())


def unused(path: Path) -> Path:
    """Return the first name beside a journal that no damaged one stands under."""
    number = 1
    while path.with_name(f"{path.name}-damaged-{number}").exists():
        number += 1
    return path.with_name(f"{path.name}-damaged-{number}")


@contextmanager
def reading(path: Path, advice: str = RECOVER) -> Iterator[None]:
    """Turn what SQLite cannot read into a refusal that says so; a full or failing disk stays what it is."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT)
        if code & 0xFF in _NOT_DAMAGE and code != sqlite3.SQLITE_IOERR_SHORT_READ:
            raise
        raise corrupt(f"SQLite: {error}", str(path), advice) from error


_NOT_DAMAGE: Final = {
    sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_PERM,
}  # fmt: skip
