"""A disk that fills up or loses the end of a file: nothing acknowledged is lost, or it is said what is."""

from __future__ import annotations

import os
import random
import resource
import shutil
import sqlite3
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from crossmargin.clearing import House, State, recover, replay
from crossmargin.clearing import commands as c
from crossmargin.clearing.records import records_of
from crossmargin.clearing.snapshots import SavedState, to_bytes
from crossmargin.clearing.state import fold
from crossmargin.errors import FailureReason as R
from crossmargin.errors import InputError
from crossmargin.sources.journals.sqlite import SqliteJournal
from tests.clearing import venue
from tests.clearing.test_journals import busy, command
from tests.clearing.venue import Desk, open_house

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def no_larger_file(size: int) -> Iterator[None]:
    """No file of this process may grow beyond `size` bytes within the block."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def until_it_fails(desk: Desk, seed: int) -> int:
    """Send batches until the disk fails; the last command that was acknowledged."""
    rng = random.Random(seed)
    acknowledged = desk.house.state.sources["desk"]
    for _ in range(3_000):
        try:
            desk.send_all([command(desk, rng) for _ in range(rng.randint(1, 30))])
        except sqlite3.OperationalError:
            assert desk.house.stopped
            return acknowledged
        acknowledged = desk.sequence
    pytest.fail("the disk never filled up")


def check(path: Path, acknowledged: int) -> None:
    """All that was acknowledged is there, and the journal goes on."""
    journal = SqliteJournal(path)
    recovery = recover(journal)
    assert recovery.dropped == ""
    assert recovery.replayed.state.sources["desk"] >= acknowledged
    busy(Desk(House(journal, venue.RICH, recovery.replayed)), 3)
    journal.close()


@pytest.mark.parametrize("seed", range(12))
def test_a_file_that_may_not_grow_loses_nothing_acknowledged(seed: int, tmp_path: Path) -> None:
    journal = SqliteJournal(tmp_path / "journal.db")
    desk = open_house(journal=journal)
    room = 70_000 + 12_345 * seed + random.Random(seed).randrange(4_096)  # at any place within a page
    with no_larger_file(room):
        acknowledged = until_it_fails(desk, seed)
    journal.close()
    check(tmp_path / "journal.db", acknowledged)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of half a megabyte."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(place)]
    if os.geteuid() or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("no file system may be mounted here")
    yield place
    subprocess.run(["umount", str(place)], check=True)  # noqa: S607 - found as mount is


@pytest.mark.parametrize("seed", range(3))
def test_a_full_disk_loses_nothing_acknowledged(seed: int, small_disk: Path, tmp_path: Path) -> None:
    journal = SqliteJournal(small_disk / "journal.db")
    acknowledged = until_it_fails(open_house(journal=journal), seed)
    journal.close()
    for one in small_disk.iterdir():
        shutil.copy(one, tmp_path / one.name)
    check(tmp_path / "journal.db", acknowledged)


# --- files that lose their end


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[int, bytes], bytes]:
    """A journal file with half of its batches still in the write-ahead log; the states after each batch."""
    home = tmp_path_factory.mktemp("written")
    journal = SqliteJournal(home / "journal.db")
    desk = open_house(journal=journal)
    for seed in range(30):
        busy(desk, 5, seed)
    journal._db.execute("pragma wal_checkpoint(truncate)")
    for seed in range(30, 45):
        busy(desk, 5, seed)
    states, state = {0: to_bytes(State())}, State()
    for batch in journal.batches():
        for record in records_of(batch, batch.previous, batch.first):
            fold(state, record)
        states[state.number] = to_bytes(state)
    kept = tmp_path_factory.mktemp("kept")
    for ending in ("", "-wal"):
        shutil.copy(home / f"journal.db{ending}", kept / f"journal.db{ending}")
    journal.close()
    return kept / "journal.db", states, to_bytes(state)


def cut_at(path: Path, ending: str, size: int, place: Path) -> Path:
    for one in ("", "-wal"):
        shutil.copy(f"{path}{one}", place / f"journal.db{one}")
    with Path(f"{place / 'journal.db'}{ending}").open("r+b") as file:
        file.truncate(size)
    return place / "journal.db"


def is_whole_beginning(copy: Path, states: dict[int, bytes]) -> int:
    """Recover a damaged copy; the record that its beginning ends at, -1 where it is refused."""
    try:
        journal = SqliteJournal(copy, repair=True)
        recovery = recover(journal)
    except InputError as error:
        if error.reason not in {R.CORRUPT_JOURNAL, R.WRONG_SCHEMA_VERSION}:
            raise
        return -1
    number = recovery.replayed.state.number
    assert to_bytes(recovery.replayed.state) == states[number]
    assert recover(journal).dropped == ""
    journal.close()
    return number if not recovery.dropped else -2 - number


def written_of(path: Path) -> int:
    """The bytes of a file up to its last that is not zero: a log is longer than what stands in it."""
    return len(path.read_bytes().rstrip(b"\0"))


def cuts(size: int, count: int) -> list[int]:
    """Some places of a file, the ends of pages and what is beside them among them."""
    rng = random.Random(5)
    pages = [page * 4_096 + beside for page in range(1, size // 4_096) for beside in (-1, 0, 1)]
    return sorted({*rng.sample(range(size), min(count, size)), *rng.sample(pages, min(count // 2, len(pages)))})


def test_a_log_that_is_cut_anywhere_gives_a_whole_beginning(
    written: tuple[Path, dict[int, bytes], bytes], tmp_path: Path
) -> None:
    path, states, _ = written
    size = written_of(Path(f"{path}-wal"))
    found = [is_whole_beginning(cut_at(path, "-wal", place, tmp_path), states) for place in [*cuts(size, 30), size]]
    assert found == sorted(found)  # the more is left, the further
    assert found[-1] == max(states)


def test_a_file_that_is_cut_anywhere_gives_a_whole_beginning_or_a_refusal(
    written: tuple[Path, dict[int, bytes], bytes], tmp_path: Path
) -> None:
    path, states, _ = written
    for place in cuts(path.stat().st_size, 30):
        is_whole_beginning(cut_at(path, "", place, tmp_path), states)
        for one in tmp_path.glob("journal.db*"):
            one.unlink()


@pytest.mark.parametrize(("commands", "states"), [(400, 0), (5, 9)])
def test_a_log_does_not_grow_for_ever(tmp_path: Path, commands: int, states: int) -> None:
    """Whoever ends without closing leaves a log, and a large state goes through it."""
    path, most = tmp_path / "journal.db", 0
    for turn in range(12):
        journal = SqliteJournal(path, take_over=True)  # the one before is not closed
        desk = open_house(journal=journal) if turn == 0 else Desk(House(journal, venue.RICH, replay(journal)))
        for _ in range(commands):
            desk.send(c.Tick)
        for number in range(states):
            journal.save(SavedState(desk.house.state.number + number, b"head", b"digest", bytes(10**6)))
        most = max(most, path.with_name("journal.db-wal").stat().st_size)
        assert replay(journal).state.sources["desk"] == desk.sequence
        journal._lock.close()  # as if its process were gone; its log stays
    assert most < 8 * 10**6


def test_a_log_has_its_length_from_the_beginning_where_there_is_room(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    journal = SqliteJournal(path)
    log = path.with_name("journal.db-wal")
    begun = log.stat().st_size
    desk = open_house(journal=journal)
    for _ in range(1_500):
        desk.send(c.Tick)
    assert log.stat().st_size == begun > 2 * 10**6
    journal.close()
    with no_larger_file(100_000):
        narrow = SqliteJournal(tmp_path / "narrow.db")
        assert (tmp_path / "narrow.db-wal").stat().st_size < 100_000
        open_house(journal=narrow)
    narrow.close()


def test_a_file_without_its_log_still_names_what_its_end_held(tmp_path: Path) -> None:
    journal = SqliteJournal(tmp_path / "journal.db")
    desk = open_house(journal=journal)
    alone = tmp_path / "alone.db"
    while not alone.exists():
        desk.send(c.Tick)
        if journal._log == 0:  # moved into the file just now
            shutil.copy(tmp_path / "journal.db", alone)
    sent = desk.sequence
    journal.close()
    db = sqlite3.connect(alone)
    assert db.execute("select max(first), max(sequence) from batches").fetchone() == (desk.house.state.number, sent)
    assert db.execute("select * from sources").fetchall() == [("desk", sent)]
    db.execute("delete from batches where first > 500")
    db.commit()
    db.close()
    copy = SqliteJournal(alone)
    kept = replay(copy).state.sources["desk"]
    assert recover(copy).dropped == f"acknowledged after record 500 and lost: desk {kept + 1} to {sent}"
    assert copy.sources() == {"desk": kept}
    copy.close()


@pytest.mark.nightly
def test_a_file_that_is_cut_at_very_many_places(written: tuple[Path, dict[int, bytes], bytes], tmp_path: Path) -> None:
    path, states, _ = written
    for ending in ("", "-wal"):
        for place in cuts(written_of(Path(f"{path}{ending}")), 4_000):
            is_whole_beginning(cut_at(path, ending, place, tmp_path), states)
            for one in tmp_path.glob("journal.db*"):
                one.unlink()
