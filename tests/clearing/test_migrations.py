"""A journal of another schema version is migrated by the table, or refused; nothing of it is lost."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any

import pytest

from crossmargin.clearing import House, Journal, migrations, recover, replay
from crossmargin.clearing import commands as c
from crossmargin.clearing.events import Stage
from crossmargin.clearing.records import JOURNAL_VERSION, START, link
from crossmargin.errors import FailureReason as R
from crossmargin.errors import InputError
from crossmargin.sources.journals.sqlite import SqliteJournal
from tests.clearing import venue
from tests.clearing.conftest import open_journal

if TYPE_CHECKING:
    from pathlib import Path

ROW = "first, count, epoch, previous, head, records"
HEAD = '"2026-01-01T00:00:01Z","0.1.0","digest"'
VERSION_1 = [
    [
        f'[1,"desk",1,{HEAD},["configured","assets","x","{{\\"USD\\":{{\\"digits\\":6}}}}"]]',
        f'[2,"desk",2,{HEAD},["posted","deposit",null,[["world","wallet","USD",-7],["alice","wallet","USD",7]]]]',
        f'[3,"desk",3,{HEAD},["priced",{{"USD":{{"price":100000000}}}}]]',
        f'[4,"desk",4,{HEAD},["indexed",{{"BTC-PERP":1000000000000000000000000}}]]',
    ],
    [
        f'[5,"desk",5,{HEAD},["refused","halted","a","b"]]',
        f'[6,"feed",1,{HEAD},["staged","alice","healthy","called",{{"equity":"-1"}},"case",null,"2026-01-02T00:00:00Z"]]',
        f'[7,"feed",1,{HEAD},["asked","case",1,"order",{{"quantity":"1"}},{{"round":"1"}}]]',
    ],
]


def chained(batches: list[list[str]]) -> list[tuple[int, int, int, bytes, bytes, bytes]]:
    """Rows of the table `batches`."""
    rows, previous, first = [], START, 1
    for lines in batches:
        records = "".join(line + "\n" for line in lines).encode()
        rows.append((first, len(lines), 1, previous, link(previous, records), records))
        previous, first = rows[-1][4], first + len(lines)
    return rows


class Place:
    """A journal's tables of a back end, written by hand."""

    def __init__(self, kind: str, place: str) -> None:
        self.kind, self.place = kind, place
        self.open().close()  # the tables of version 1

    def open(self) -> Journal:
        return open_journal(self.kind, self.place)

    def run(self, statement: str, *rows: Any) -> list[Any]:  # noqa: ANN401 - what SQL takes
        if self.kind == "sqlite":
            db = sqlite3.connect(self.place)
            cursor: Any = db.executemany(statement, rows) if rows else db.execute(statement)
        else:
            import psycopg  # noqa: PLC0415 - absent where the server is

            conninfo, schema = self.place.split("|")
            db = psycopg.connect(conninfo, options=f"-c search_path={schema}")  # type: ignore[assignment]
            cursor = db.cursor()
            cursor.executemany(statement.replace("?", "%s"), rows) if rows else cursor.execute(statement)
        found = cursor.fetchall() if statement.startswith("select") else []
        db.commit()
        db.close()
        return [tuple(bytes(x) if isinstance(x, memoryview) else x for x in row) for row in found]

    def fill(self, version: int, batches: list[list[str]], sources: dict[str, int]) -> None:
        self.run(f"insert into batches ({ROW}) values (?, ?, ?, ?, ?, ?)", *chained(batches))  # noqa: S608 - a constant
        self.run("insert into sources values (?, ?)", *sources.items())
        self.run(f"update journal set schema_version = {version}")  # noqa: S608 - an integer


def rows(place: Place, table: str) -> list[Any]:
    return place.run(f"select {ROW} from {table} order by first")  # noqa: S608 - constants


@pytest.fixture
def place(backend: tuple[str, str]) -> Place:
    return Place(*backend)


def test_what_version_1_wrote_is_read(place: Place) -> None:
    place.fill(1, VERSION_1, {"desk": 5, "feed": 1})
    journal = place.open()
    state = House(journal, venue.RICH).state
    assert state.balances == {"world": {("wallet", "USD"): -7}, "alice": {("wallet", "USD"): 7}}
    assert state.marks == {"USD": c.Quote(price=10**8)}
    assert state.indices == {"BTC-PERP": 10**24}
    assert state.pools["alice"][""].stage is Stage.CALLED
    assert state.cases["case"].memory == {"round": "1"}
    assert state.sources == {"desk": 5, "feed": 1}
    assert (state.number, state.configuration.assets["USD"].digits) == (7, 6)
    journal.close()


def older(line: str) -> str:
    """A line as a made-up version 0 wrote it: without the engine, and postings named otherwise."""
    return line.replace('"0.1.0",', "").replace('["posted"', '["moved"')


def to_version_1(record: list[Any]) -> list[Any]:
    *head, rulebook, event = record
    return [*head, "0.1.0", rulebook, ["posted", *event[1:]] if event[0] == "moved" else event]


def test_an_older_journal_is_migrated_and_kept_beside(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(migrations.MIGRATIONS, 0, to_version_1)
    old = [[older(line) for line in lines] for lines in VERSION_1]
    place.fill(0, old, {"desk": 5, "feed": 1})
    place.run("insert into states values (?, ?, ?, ?)", (7, b"head", b"digest", b"of an older schema"))
    journal = place.open()
    house = House(journal, venue.RICH)
    assert house.state.number == 7
    assert house.state.indices == {"BTC-PERP": 10**24}
    assert house.handle(c.Tick(source="desk", sequence=6, as_of=venue.START.replace(day=3))).records
    journal.close()
    assert place.run("select schema_version from journal") == [(JOURNAL_VERSION,)]
    assert rows(place, "batches_v0") == chained(old)
    assert [row[1:] for row in place.run("select first, records from batches order by first")[:2]] == [
        (row[5],) for row in chained(VERSION_1)
    ]
    again = place.open()  # and once is enough
    assert replay(again).state.number == 8
    again.close()


def test_several_versions_are_passed_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    passed: list[int] = []

    def step(version: int) -> migrations.Step:
        def passing(record: list[Any]) -> list[Any]:
            passed.append(version)
            return record

        return passing

    monkeypatch.setattr(migrations, "JOURNAL_VERSION", 4)
    for version in (1, 2, 3):
        monkeypatch.setitem(migrations.MIGRATIONS, version, step(version))
    for one in migrations.steps_from(2, "here"):
        one([])
    assert passed == [2, 3]
    assert migrations.steps_from(4, "here") == []


@pytest.mark.parametrize(
    ("version", "told"), [(3, "written by a newer crossmargin"), (0, "there is no way from there")]
)
def test_a_version_without_a_way_is_refused_and_nothing_is_changed(place: Place, version: int, told: str) -> None:
    place.fill(version, VERSION_1, {"desk": 5, "feed": 1})
    with pytest.raises(InputError, match=f"expected schema version 2, found {version}; .*{told}") as refused:
        place.open()
    assert refused.value.reason == R.WRONG_SCHEMA_VERSION
    assert place.run("select schema_version from journal") == [(version,)]
    assert rows(place, "batches") == chained(VERSION_1)


@pytest.mark.parametrize("damage", ["chain", "line"])
def test_a_damaged_older_journal_is_not_migrated(place: Place, damage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(migrations.MIGRATIONS, 0, to_version_1)
    old = [[older(line) for line in lines] for lines in VERSION_1]
    if damage == "line":
        old[1][1] = "[6]"
    place.fill(0, old, {"desk": 5, "feed": 1})
    if damage == "chain":
        place.run("update batches set first = 50 where first = 5")
    with pytest.raises(InputError) as refused:
        place.open()
    assert refused.value.reason == R.CORRUPT_JOURNAL
    assert place.run("select schema_version from journal") == [(0,)]


def test_a_file_that_is_opened_by_two_versions_stays_with_the_newer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "journal.db"
    with monkeypatch.context() as newer:
        newer.setattr(migrations, "JOURNAL_VERSION", 3)
        SqliteJournal(path).close()
    with pytest.raises(InputError, match="expected schema version 2, found 3"):
        SqliteJournal(path)


def test_what_was_kept_before_rows_named_their_source_is_read_and_goes_on(place: Place) -> None:
    place.run("alter table batches drop column source")
    place.run("alter table batches drop column sequence")
    place.run("alter table journal drop column sources_at")
    place.fill(1, VERSION_1, {"desk": 5, "feed": 1})
    journal = place.open()
    house = House(journal, venue.RICH)
    assert (house.state.number, journal.sources()) == (7, {"desk": 5, "feed": 1})
    house.handle(c.Tick(source="desk", sequence=6, as_of=venue.START.replace(day=3)))
    assert journal.sources() == {"desk": 6, "feed": 1}
    journal.close()
    assert place.run("select schema_version from journal") == [(2,)]
    assert rows(place, "batches")[:2] == chained(VERSION_1)  # lines and chain stand as they were
    again = place.open()
    assert (replay(again).state.number, again.sources()) == (8, {"desk": 6, "feed": 1})
    again.close()


def test_what_was_recovered_before_rows_named_their_source_is_recovered_again(place: Place) -> None:
    if place.kind == "postgres":
        place.run("create table damaged (like batches)")
        place.run("alter table damaged drop column source")
        place.run("alter table damaged drop column sequence")
    place.run("alter table batches drop column source")
    place.run("alter table batches drop column sequence")
    place.run("alter table journal drop column sources_at")
    place.fill(1, VERSION_1, {"desk": 5, "feed": 1})
    place.run("update batches set previous = head where first = 5")
    journal = place.open()
    recovery = recover(journal)
    assert recovery.replayed.state.number == 4
    assert "lost: desk 5 to 5, feed 1 to 1" in recovery.dropped
    assert recover(journal).dropped == ""
    journal.close()
