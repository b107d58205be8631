"""The journal on a PostgreSQL server, by psycopg 3 (the extra `postgres`).

One row for each batch, several by COPY; `synchronous_commit` on. An advisory lock, held by the writer's session, keeps
a second writer out; an epoch refuses one that has been taken over from while it still believed in its session. Who
takes over waits for the insert that is under way; one that comes meanwhile waits for him, and finds his epoch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final

from crossmargin.clearing import migrations
from crossmargin.clearing.records import Batch
from crossmargin.clearing.snapshots import SavedState
from crossmargin.errors import InputError
from crossmargin.sources.journals.common import HEAR, HEARD, TOLD, corrupt, fenced, moved, require_alone

_TABLES: Final = """
create table if not exists journal (
    schema_version integer not null, epoch integer not null, sources_at bigint not null default 0
);
create table if not exists batches (
    first bigint primary key, count integer not null, epoch integer not null,
    previous bytea not null, head bytea not null, records bytea not null, source text, sequence bigint
);
create table if not exists sources (source text primary key, sequence bigint not null);
create table if not exists states (
    number bigint primary key, head bytea not null, digest bytea not null, state bytea not null
);
alter table batches alter column records set storage external;
create or replace view records as
    select (line ->> 0)::bigint as number, line ->> 1 as source, (line ->> 2)::bigint as sequence,
        (line ->> 3)::timestamptz as as_of, line ->> 4 as engine, line ->> 5 as rulebook,
        line -> 6 ->> 0 as event, line -> 6 as content
    from batches, lateral (
        select text::jsonb as line
        from unnest(string_to_array(rtrim(convert_from(records, 'UTF8'), E'\\n'), E'\\n')) as text
    ) as lines;
"""
_UPSERT: Final = """
insert into sources values (%s, %s) on conflict (source) do update set sequence = excluded.sequence
"""
_KEEP: Final = """
insert into batches
select %s::bigint, %s::integer, %s::integer, %s::bytea, %s::bytea, %s::bytea, %s::text, %s::bigint
from journal where epoch = %s and tableoid = %s
"""
_LACKS: Final = """
select count(*) from pg_attribute where attrelid = 'journal'::regclass and attname = 'sources_at' and not attisdropped
"""
_OLDER: Final = """
alter table batches add column source text, add column sequence bigint;
alter table if exists damaged add column if not exists source text, add column if not exists sequence bigint;
alter table journal add column sources_at bigint not null default 0;
"""
_COPY: Final = "copy batches (first, count, epoch, previous, head, records) from stdin (format binary)"
_SELECT: Final = "select first, count, previous, head, records from batches where first > %s order by first limit %s"
_MOVE: Final = """
with gone as (delete from batches where first + count - 1 > %s returning *) insert into damaged select * from gone
"""
_MOVE_STATES: Final = """
with gone as (delete from states where number <> all(%s::bigint[]) returning *)
insert into damaged_states select * from gone
"""
_LOCK: Final = 0x6A726E6C  # "jrnl"; with a hash of the schema: one writer for each
_READ_AT_ONCE: Final = 64  # batches
_HEAR_AFTER: Final = 250  # batches


class PostgresJournal:
    """A journal in one schema of a server; see :class:`crossmargin.clearing.Journal`.

    Parameters
    ----------
    conninfo
        How libpq names the server and the database.
    schema
        The schema that holds the tables; made where it is absent.
    take_over
        Write even where another writer lives; that one is refused from then on.

    Raises
    ------
    InputError
        FENCED where another writer lives, WRONG_SCHEMA_VERSION for a journal of another version that cannot
        be migrated.
    """

    def __init__(self, conninfo: str, *, schema: str = "crossmargin", take_over: bool = False) -> None:
        import psycopg
        from psycopg import sql

        self.schema, self.place = schema, f"PostgreSQL schema {schema}"
        self._db = psycopg.connect(conninfo, autocommit=True)
        try:
            self._db.execute("set synchronous_commit = on; set default_transaction_isolation = 'read committed'")
            name = sql.Identifier(schema)
            self._locked = self._lock()
            require_alone(self.place, locked=self._locked or take_over)
            with self._db.transaction():
                self._db.execute(sql.SQL("create schema if not exists {}").format(name))
                self._db.execute(sql.SQL("set search_path = {}").format(name))
                self._epoch = self._next_epoch()
                ((self._table,),) = self._db.execute("select 'journal'::regclass::oid::bigint").fetchall()
            self._cursor = self._db.cursor(binary=True)
            self._hear()
        except BaseException:
            self._db.close()
            raise

    def append(self, batches: Sequence[Batch]) -> None:
        """Keep batches and their sources in one transaction; durable on return."""
        if len(batches) == 1 and len(batches[0].sources) == 1:
            self._append_one(batches[0])
        else:
            self._append_all(batches)
        self._unheard += len(batches)
        if self._unheard > _HEAR_AFTER:
            self._hear()

    def _append_one(self, batch: Batch) -> None:
        """Keep a batch by one statement, which asks for the epoch too: one way to the server and back."""
        self._locked = self._locked or self._lock()
        ((source, sequence),) = batch.sources.items()
        mine = self._epoch
        table = self._table
        row = (batch.first, batch.count, mine, batch.previous, batch.head, batch.records, source, sequence, mine, table)
        with self._reading():
            if not self._cursor.execute(_KEEP, row, prepare=True).rowcount:
                with self._db.transaction():
                    self._check_epoch()
                raise corrupt("a batch was not kept", self.place)

    def _append_all(self, batches: Sequence[Batch]) -> None:
        sources = {name: last for batch in batches for name, last in batch.sources.items()}
        with self._reading(), self._db.transaction():
            self._check_epoch()
            with self._db.cursor() as cursor:
                with cursor.copy(_COPY) as copy:
                    copy.set_types(["int8", "int4", "int4", "bytea", "bytea", "bytea"])
                    for b in batches:
                        copy.write_row((b.first, b.count, self._epoch, b.previous, b.head, b.records))
                cursor.executemany(_UPSERT, list(sources.items()))

    def _hear(self) -> None:
        import psycopg

        self._unheard = 0
        # the records are durable: what fails is tried again
        with suppress(psycopg.Error, InputError), self._db.transaction():
            self._check_epoch()
            for statement in HEAR:
                self._db.execute(statement)

    def batches(self, after: int = 0) -> Iterator[Batch]:
        """Return the batches whose first record's number is above `after`."""
        while True:
            try:
                rows = self._rows(after, _READ_AT_ONCE)
            except InputError:  # the first of them may be whole
                rows = self._rows(after, 1)
            if not rows:
                return
            for first, count, previous, head, records in rows:
                yield Batch(first, count, bytes(records), bytes(previous), bytes(head), {})
                after = first

    def _rows(self, after: int, most: int) -> list[tuple[Any, ...]]:
        with self._reading():
            return self._db.execute(_SELECT, (after, most), binary=True).fetchall()

    def sources(self) -> Mapping[str, int]:
        """Return the last command of each source."""
        import psycopg

        with suppress(psycopg.Error):
            return dict(self._db.execute(HEARD).fetchall())
        with self._reading():  # rows that cannot be read name nobody
            return dict(self._db.execute(TOLD).fetchall())

    def save(self, saved: SavedState) -> None:
        """Keep a state beside the records; the one before the last is dropped."""
        with self._reading(), self._db.transaction():
            self._check_epoch()
            self._db.execute("delete from states where number = %s", (saved.number,))
            row = (saved.number, saved.head, saved.digest, saved.state)
            self._db.execute("insert into states values (%s, %s, %s, %s)", row)
            self._db.execute(
                "delete from states where number < (select max(number) from states where number < %s)", row[:1]
            )

    def saved(self, before: int | None = None) -> SavedState | None:
        """Return the last state kept, or the last one before a record."""
        query = "select * from states where %s::bigint is null or number < %s order by number desc limit 1"
        with self._reading():
            row = self._db.execute(query, (before, before), binary=True).fetchone()
        return None if row is None else SavedState(row[0], *(bytes(one) for one in row[1:]))

    def cut(self, after: int, sources: Mapping[str, int], states: Sequence[SavedState] = ()) -> str:
        """Drop what goes beyond record `after`; rows dropped move to the tables `damaged` and `damaged_states`."""
        with self._reading(), self._db.transaction():
            self._check_epoch()
            self._db.execute("create table if not exists damaged (like batches)")
            self._db.execute("create table if not exists damaged_states (like states)")
            self._db.execute(_MOVE, (after,))
            self._db.execute(_MOVE_STATES, ([saved.number for saved in states],))
            self._db.execute("delete from sources")
            with self._db.cursor() as cursor:
                cursor.executemany(_UPSERT, sorted(sources.items()))
            self._db.execute("update journal set sources_at = %s", (after,))
        return f"{self.place}, tables damaged and damaged_states"

    def mended(self) -> str:
        """Return that nothing was dropped: the server mends its files itself."""
        return ""

    def close(self) -> None:
        """Let another one write: the lock is gone on return, not when the server notices that the session ended."""
        import psycopg

        self._hear()
        with suppress(psycopg.OperationalError):  # a session that is lost holds nothing
            self._db.execute("select pg_advisory_unlock_all()")
        self._db.close()

    def _next_epoch(self) -> int:
        found = self._db.execute("select to_regclass('journal')").fetchone()
        if found == (None,):
            self._db.execute(_TABLES)
            self._db.execute("insert into journal values (%s, 0, 0)", (migrations.JOURNAL_VERSION,))
        self._db.execute("lock table journal in exclusive mode")  # waits for who asks for the epoch
        version, epoch = self._db.execute("select schema_version, epoch from journal").fetchone() or (None, 0)
        if version is None:
            raise corrupt("its table `journal` is empty", self.place)
        self._db.execute("lock table batches in share mode")  # waits for the insert that is under way
        if self._db.execute(_LACKS).fetchone() == (0,):
            self._db.execute(_OLDER)
        if version != migrations.JOURNAL_VERSION:
            self._migrate(int(version))
        self._db.execute("update journal set epoch = epoch + 1")
        return int(epoch) + 1

    def _migrate(self, version: int) -> None:
        """Rewrite the batches as the present schema writes them; those that were there stay in a table of their own."""
        steps = migrations.steps_from(version, self.place)
        self._db.execute("update journal set schema_version = %s", (migrations.JOURNAL_VERSION,))
        if not steps:
            return
        self._db.execute(f"create table batches_v{version:d} as table batches")
        for batch in migrations.migrated(self.batches(), steps, self.place):
            row = (batch.records, batch.previous, batch.head, batch.first)
            self._db.execute("update batches set records = %s, previous = %s, head = %s where first = %s", row)
        self._db.execute("delete from states")

    def _lock(self) -> bool:
        query = "select pg_try_advisory_lock(%s, hashtext(%s))"
        return self._db.execute(query, (_LOCK, self.schema)).fetchone() == (True,)

    def _check_epoch(self) -> None:
        self._locked = self._locked or self._lock()  # whom it was taken over from may be gone by now
        row = self._db.execute("select tableoid::bigint, epoch from journal for share").fetchone()
        if row is None or row[0] != self._table:
            raise moved(self.place)
        if row[1] != self._epoch:
            raise fenced(self.place, self._epoch, row[1])

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """Turn what the server cannot read into a refusal that says so."""
        from psycopg import errors

        try:
            yield
        except (errors.DataCorrupted, errors.IndexCorrupted) as error:
            raise corrupt(f"PostgreSQL: {error}", self.place) from error
