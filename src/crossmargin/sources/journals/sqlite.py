"""The journal as one SQLite file: the embedded default.

One row for each batch; WAL with full synchronisation, so that a batch is on disk when `append` returns. A second file,
``PATH-writer``, is locked for as long as the writer lives; an epoch in the journal refuses a writer that another one
has taken over from. Who opens the journal, and who puts a recovered file in its place, takes turns at ``PATH-turn``.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from itertools import pairwise
from pathlib import Path
from typing import Final

from crossmargin.clearing import migrations
from crossmargin.clearing.records import RECOVER, Batch
from crossmargin.clearing.snapshots import SavedState
from crossmargin.errors import InputError
from crossmargin.sources.journals.common import HEAR, HEARD, TOLD, corrupt, fenced, moved, require_alone, typed
from crossmargin.sources.journals.sqlite_files import (
    REPAIR,
    UNMENDED,
    lock_at,
    locked,
    mended,
    place_of,
    prepare,
    reading,
    set_aside,
    turn_at,
    unused,
)

_TABLES: Final = """
create table journal (
    schema_version integer not null, epoch integer not null, sources_at integer not null default 0
);
create table batches (
    first integer primary key, count integer not null, epoch integer not null, source text, sequence integer,
    previous blob not null, head blob not null, records blob not null
);
create table sources (source text primary key, sequence integer not null) without rowid;
create table states (number integer primary key, head blob not null, digest blob not null, state blob not null);
create view records as
    select json_extract(value, '$[0]') as number, json_extract(value, '$[1]') as source,
        json_extract(value, '$[2]') as sequence, json_extract(value, '$[3]') as as_of,
        json_extract(value, '$[4]') as engine, json_extract(value, '$[5]') as rulebook,
        json_extract(value, '$[6][0]') as event, json_extract(value, '$[6]') as content
    from batches, json_each('[' || replace(rtrim(cast(records as text), char(10)), char(10), ',') || ']');
"""
_COLUMNS: Final = "insert into batches (first, count, epoch, previous, head, records, source, sequence)"
_INSERT: Final = f"{_COLUMNS} values (?, ?, ?, ?, ?, ?, null, null)"
_KEEP: Final = f"{_COLUMNS} select ?, ?, ?, ?, ?, ?, ?, ? from journal where epoch = ?"  # noqa: S608 - of constants
_OLDER: Final = (  # what the first tables lacked
    "alter table batches add column source text",
    "alter table batches add column sequence integer",
    "alter table journal add column sources_at integer not null default 0",
)
_SELECT: Final = "select first, count, previous, head, records from batches where first > ? order by first limit ?"
_UPSERT: Final = "insert into sources values (?, ?) on conflict (source) do update set sequence = excluded.sequence"
_READ_AT_ONCE: Final = 64  # batches
_PAGE: Final = 2_048  # bytes, of a new file: a record alone fills few pages, a batch stays quick
_LONG: Final = 800 * _PAGE  # bytes of the log: then it is moved into the file
_PREPARED: Final = 1_125 * _PAGE  # bytes that the log's file has from the beginning: as many as it comes to


class SqliteJournal:
    """A journal in one file; see :class:`crossmargin.clearing.Journal`.

    Parameters
    ----------
    path
        The file; made where it is absent.
    take_over
        Write even where another writer lives; that one is refused from then on.
    repair
        Give a file that was cut short its length back, and cut a damaged log off where the damage begins, so that
        `recover` can read what is left and say what is not; both are kept beside it as they were found. The writer
        before must have ended.

    Raises
    ------
    InputError
        FENCED where another writer lives, WRONG_SCHEMA_VERSION for a journal of another version that cannot be
        migrated, CORRUPT_JOURNAL for a file that SQLite cannot read at all, or whose log is damaged.
    """

    def __init__(self, path: str | Path, *, take_over: bool = False, repair: bool = False) -> None:
        self.path, self._log = Path(path).resolve(), 0  # by one name, whatever links lead there
        self._lock = lock_at(self.path)
        try:
            alone = locked(self._lock)
            if repair:  # nobody may write a log while it is cut
                require_alone(str(self.path), locked=alone, advice="stop it before a repair")
            require_alone(str(self.path), locked=alone or take_over)
            with turn_at(self.path):
                self._mended = mended(self.path, repair=repair)
                self._db = self._open(UNMENDED if repair else REPAIR)
            self._into_file()  # what who ended without closing has left
        except BaseException:
            self._lock.close()
            raise

    def append(self, batches: Sequence[Batch]) -> None:
        """Keep batches and their sources in one transaction; durable on return."""
        if len(batches) == 1 and len(batches[0].sources) == 1:
            self._append_one(batches[0])
            self._written(_PAGE + len(batches[0].records))
        else:
            self._append_all(batches)
            self._written(sum(_PAGE + len(batch.records) for batch in batches))
        self._require_place()

    def _append_one(self, batch: Batch) -> None:
        """Keep a batch by one statement, which asks for the epoch too: a transaction of several costs as much again."""
        locked(self._lock)
        ((source, sequence),) = batch.sources.items()
        mine = self._epoch
        row = (batch.first, batch.count, mine, batch.previous, batch.head, batch.records, source, sequence, mine)
        try:
            kept = self._db.execute(_KEEP, row).rowcount
        except sqlite3.DatabaseError:
            with self._read():
                raise
        if not kept:
            self._check_epoch()
            raise corrupt("a batch was not kept", str(self.path))

    def _append_all(self, batches: Sequence[Batch]) -> None:
        sources = {name: last for batch in batches for name, last in batch.sources.items()}
        with self._read(), _transaction(self._db):
            self._check_epoch()
            self._db.executemany(_INSERT, [_row(batch, self._epoch) for batch in batches])
            self._db.executemany(_UPSERT, list(sources.items()))

    def _written(self, length: int) -> None:
        """Count what is written to the log; a long one is moved into the file."""
        self._log += length
        if self._log > _LONG:
            self._into_file()

    def _into_file(self) -> None:
        """Move the log into the file, whose table of sources hears before of those that the rows name."""
        self._log = 0
        self._hear()
        with suppress(sqlite3.DatabaseError):
            self._db.execute("pragma wal_checkpoint(passive)")

    def _hear(self) -> None:
        # the records are durable: what fails is tried again
        with suppress(sqlite3.DatabaseError, InputError), _transaction(self._db):
            self._check_epoch()
            for statement in HEAR:
                self._db.execute(statement)

    def batches(self, after: int = 0) -> Iterator[Batch]:
        """Return the batches whose first record's number is above `after`."""
        return _batches(self._db, self.path, after)

    def sources(self) -> Mapping[str, int]:
        """Return the last command of each source."""
        with suppress(sqlite3.DatabaseError):
            return self._sources(HEARD)
        with self._read():  # rows that cannot be read name nobody
            return self._sources(TOLD)

    def _sources(self, query: str) -> Mapping[str, int]:
        rows = self._db.execute(query).fetchall()
        return dict(typed(rows, list[tuple[str, int]], str(self.path)))

    def save(self, saved: SavedState) -> None:
        """Keep a state beside the records; the one before the last is dropped."""
        with self._read(), _transaction(self._db):
            self._check_epoch()
            row = (saved.number, saved.head, saved.digest, saved.state)
            self._db.execute("insert or replace into states values (?, ?, ?, ?)", row)
            self._db.execute(
                "delete from states where number not in (select number from states order by 1 desc limit 2)"
            )
        self._written(len(saved.state))

    def saved(self, before: int | None = None) -> SavedState | None:
        """Return the last state kept, or the last one before a record."""
        query = "select * from states where ?1 is null or number < ?1 order by number desc limit 1"
        with self._read():
            row = self._db.execute(query, (before,)).fetchone()
        return None if row is None else SavedState(*typed(row, tuple[int, bytes, bytes, bytes], str(self.path)))

    def cut(self, after: int, sources: Mapping[str, int], states: Sequence[SavedState] = ()) -> str:
        """Drop what goes beyond record `after`: what is whole is copied into a new file, the old one is kept aside."""
        with turn_at(self.path):  # nobody takes over meanwhile
            with self._read():
                self._check_epoch()
            kept_at = unused(self.path)
            with suppress(sqlite3.DatabaseError):
                self._db.execute("pragma wal_checkpoint(truncate)")
            fresh = self._copied(after, sources, states)
            self._db.close()
            set_aside(self.path, kept_at)
            for ending in ("-wal", "-shm"):
                Path(f"{self.path}{ending}").unlink(missing_ok=True)  # it belongs to the old one
            fresh.replace(self.path)
            self._db = self._open()
        self._mended = ""
        return str(kept_at)

    def _copied(self, after: int, sources: Mapping[str, int], states: Sequence[SavedState]) -> Path:
        """Return a new file with what can be read up to record `after`, and with these states."""
        fresh = self.path.with_name(self.path.name + "-recovered")
        for ending in ("", "-wal", "-shm"):
            Path(f"{fresh}{ending}").unlink(missing_ok=True)
        target = _connect(fresh)
        target.executescript(_TABLES)
        with _transaction(target):
            target.execute("insert into journal values (?, ?, ?)", (migrations.JOURNAL_VERSION, self._epoch, after))
            for batch in self._readable([0, *sorted(saved.number for saved in states)], after):
                target.execute(_INSERT, _row(batch, self._epoch))
            target.executemany("insert into sources values (?, ?)", sorted(sources.items()))
            rows = [(saved.number, saved.head, saved.digest, saved.state) for saved in states]
            target.executemany("insert into states values (?, ?, ?, ?)", rows)
        target.execute("pragma wal_checkpoint(truncate)")
        target.close()
        return fresh

    def _readable(self, beginnings: Sequence[int], after: int) -> Iterator[Batch]:
        """Return the batches up to record `after`; behind one that cannot be read, those from the next beginning on."""
        for begin, end in pairwise([*beginnings, after]):
            with suppress(InputError):
                for batch in self.batches(begin):
                    if batch.last > end:
                        break
                    yield batch

    def mended(self) -> str:
        """Return in words what a repair at opening has dropped."""
        return self._mended

    def close(self) -> None:
        """Let another one write."""
        self._hear()
        self._db.close()  # moves the log into the file
        self._lock.close()

    def _open(self, advice: str = RECOVER) -> sqlite3.Connection:
        with reading(self.path, advice):
            db = _connect(self.path)
            try:
                with _transaction(db):
                    self._epoch = _next_epoch(db, self.path)
                with _transaction(db):  # nobody else writes meanwhile
                    prepare(Path(f"{self.path}-wal"), _PREPARED)
                self._place = place_of(self.path)
            except BaseException:
                db.close()
                raise
        return db

    def _check_epoch(self) -> None:
        locked(self._lock)  # whom it was taken over from may be gone by now
        self._require_place()
        row = self._db.execute("select epoch from journal").fetchone()
        if row != (self._epoch,):
            raise fenced(str(self.path), self._epoch, row[0] if row else 0)

    def _require_place(self) -> None:
        """Refuse a writer whose file was moved or replaced: what it keeps there nobody finds."""
        if place_of(self.path) != self._place:
            raise moved(str(self.path))

    def _read(self) -> AbstractContextManager[None]:
        return reading(self.path)


def _connect(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5.0)
    db.execute(f"pragma page_size = {_PAGE}")
    db.execute("pragma journal_mode = wal")
    db.execute("pragma wal_autocheckpoint = 0")
    db.execute("pragma synchronous = full")
    db.execute("pragma temp_store = memory")
    return db


def _next_epoch(db: sqlite3.Connection, path: Path) -> int:
    """Return the number of a new writer, the tables made where there are none."""
    if not db.execute("select count(*) from sqlite_master where name = 'journal'").fetchone()[0]:
        for statement in _TABLES.split(";\n"):
            db.execute(statement)
        db.execute("insert into journal values (?, 0, 0)", (migrations.JOURNAL_VERSION,))
    if not db.execute("select count(*) from pragma_table_info('journal') where name = 'sources_at'").fetchone()[0]:
        for statement in _OLDER:
            db.execute(statement)
    row = db.execute("select schema_version, epoch from journal").fetchone()
    version, epoch = typed(row, tuple[int, int], str(path))
    if version != migrations.JOURNAL_VERSION:
        _migrate(db, path, version)
    db.execute("update journal set epoch = epoch + 1")
    return epoch + 1


def _migrate(db: sqlite3.Connection, path: Path, version: int) -> None:
    """Rewrite the batches as the present schema writes them; those that were there stay in a table of their own."""
    steps = migrations.steps_from(version, str(path))
    db.execute("update journal set schema_version = ?", (migrations.JOURNAL_VERSION,))
    if not steps:
        return
    db.execute(f"create table batches_v{version} as select * from batches")  # noqa: S608 - an integer
    for batch in migrations.migrated(_batches(db, path, 0), steps, str(path)):
        row = (batch.records, batch.previous, batch.head, batch.first)
        db.execute("update batches set records = ?, previous = ?, head = ? where first = ?", row)
    db.execute("delete from states")


def _batches(db: sqlite3.Connection, path: Path, after: int) -> Iterator[Batch]:
    while True:
        try:
            rows = db.execute(_SELECT, (after, _READ_AT_ONCE)).fetchall()
        except sqlite3.DatabaseError:  # the first of them may be whole
            with reading(path):
                rows = db.execute(_SELECT, (after, 1)).fetchall()
        if not rows:
            return
        for row in rows:
            first, count, previous, head, records = typed(row, tuple[int, int, bytes, bytes, bytes], str(path))
            yield Batch(first, count, records, previous, head, {})
            after = first


def _row(batch: Batch, epoch: int) -> tuple[int, int, int, bytes, bytes, bytes]:
    return batch.first, batch.count, epoch, batch.previous, batch.head, batch.records


@contextmanager
def _transaction(db: sqlite3.Connection) -> Iterator[None]:
    db.execute("begin immediate")
    try:
        yield
    except BaseException:
        if db.in_transaction:  # a full disk has ended it already
            db.execute("rollback")
        raise
    db.execute("commit")
