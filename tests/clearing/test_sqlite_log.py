"""Damage in SQLite's log is told, and an end that was never finished is not taken for it."""

from __future__ import annotations

import random
import shutil
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossmargin.clearing import House, recover
from crossmargin.clearing import commands as c
from crossmargin.errors import FailureReason as R
from crossmargin.errors import InputError
from crossmargin.sources.journals import sqlite_log
from crossmargin.sources.journals.sqlite import SqliteJournal
from crossmargin.sources.journals.sqlite_log import damage_of
from tests.clearing import venue
from tests.clearing.test_journals import busy
from tests.clearing.venue import open_house

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PAGE = 2_048
FRAME = 24 + PAGE

words = st.integers(0, 2**32 - 1)


def slow_sum(covered: bytes, s: int, t: int, order: str = "little") -> tuple[int, int]:
    """The checksum as sqlite.org/fileformat2.html states it."""
    found = [int.from_bytes(covered[at : at + 4], order) for at in range(0, len(covered), 4)]  # type: ignore[arg-type]
    for x, y in zip(found[::2], found[1::2], strict=True):
        s = (s + x + t) % 2**32
        t = (t + y + s) % 2**32
    return s, t


def frames_of(log: bytes | bytearray) -> list[bytes | bytearray]:
    """The frames of the log's present use."""
    found = [log[at : at + FRAME] for at in range(32, len(log) - FRAME + 1, FRAME)]
    return [one for one in found if one[8:16] == log[16:24]]


def ends_of(log: bytes | bytearray) -> list[int]:
    """The frames that end a transaction."""
    return [number for number, frame in enumerate(frames_of(log)) if any(frame[4:8])]


def frames_that_sqlite_reads(path: Path) -> int:
    db = sqlite3.connect(path, isolation_level=None)
    try:
        return int(db.execute("pragma wal_checkpoint(passive)").fetchone()[1])
    finally:
        db.close()


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A journal whose writer was killed: 60 transactions in the second use of its log, frames of the first behind."""
    home = tmp_path_factory.mktemp("log")
    journal = SqliteJournal(home / "journal.db")
    desk = busy(open_house(journal=journal), 400)
    journal._into_file()
    first = (home / "journal.db-wal").read_bytes()
    desk.house.save()
    for _ in range(60):
        desk.send(c.Tick)
    kept = tmp_path_factory.mktemp("killed")
    for ending in ("", "-wal"):
        shutil.copy(home / f"journal.db{ending}", kept / f"journal.db{ending}")
    journal.close()
    log = (kept / "journal.db-wal").read_bytes()
    assert log[16:24] != first[16:24]
    assert len(frames_of(log)) > 60
    assert log[32 + len(frames_of(log)) * FRAME :].rstrip(b"\0") > b""
    return kept / "journal.db"


@pytest.fixture
def changed(written: Path, tmp_path: Path) -> Callable[[bytes], Path]:
    """What makes a copy of the journal with another log."""

    def copy(log: bytes) -> Path:
        shutil.copy(written, tmp_path / "journal.db")
        (tmp_path / "journal.db-wal").write_bytes(log)
        return tmp_path / "journal.db"

    return copy


def log_of(path: Path) -> Path:
    return path.with_name(path.name + "-wal")


@given(covered=st.lists(words, min_size=2, max_size=40).filter(lambda x: len(x) % 2 == 0), s=words, t=words)
def test_a_checksum_is_the_one_that_the_format_states(covered: list[int], s: int, t: int) -> None:
    array = np.array([covered], dtype=np.uint32)
    found = sqlite_log._sums(array) + sqlite_log._carried(np.array([[s, t]], dtype=np.uint32), len(covered))
    assert tuple(found[0]) == slow_sum(b"".join(word.to_bytes(4, "little") for word in covered), s, t)


def test_a_log_that_its_writer_left_is_whole(written: Path) -> None:
    assert damage_of(log_of(written)) is None
    assert damage_of(log_of(written).with_name("none")) is None


def flips(log: bytes) -> Iterator[tuple[int, int]]:
    """Bits in front of the last transaction: any in the headers and at random in pages."""
    rng = random.Random(4)
    ends = ends_of(log)
    last = ends[-2]  # the last frame that was certainly acknowledged
    places = [
        *range(32),
        *(32 + frame * FRAME + at for frame in (0, 7, ends[9], ends[9] + 1, last) for at in range(24)),
    ]
    places += [rng.randrange(32, 32 + (last + 1) * FRAME) for _ in range(300)]
    for place in places:
        yield from ((place, bit) for bit in (range(8) if place < 32 or place in places[32:152] else [rng.randrange(8)]))


def test_any_flipped_bit_in_front_of_the_last_transaction_is_told(
    written: Path, changed: Callable[[bytes], Path]
) -> None:
    log = log_of(written).read_bytes()
    ends = ends_of(log)
    for place, bit in flips(log):
        bad = bytearray(log)
        bad[place] ^= 1 << bit
        path = changed(bytes(bad))
        damage = damage_of(log_of(path))
        frame = 0 if place < 32 else (place - 32) // FRAME + 1
        assert damage is not None, (place, bit)
        assert damage.frame == frame, (place, bit)
        if frame:
            assert damage.frames == len(frames_of(log))
            behind = sum(end >= frame - 1 for end in ends)  # the damaged frame may look like one more
            assert behind <= damage.commits <= behind + 1, (place, bit)
            assert damage.whole == 32 + FRAME * (max((end for end in ends if end < frame - 1), default=-1) + 1)


@pytest.mark.parametrize("seed", range(12))
def test_what_is_told_as_whole_is_what_sqlite_reads(seed: int, written: Path, changed: Callable[[bytes], Path]) -> None:
    log = bytearray(log_of(written).read_bytes())
    rng = random.Random(seed)
    place = rng.randrange(32, 32 + ends_of(log)[-2] * FRAME)
    log[place : place + rng.choice((1, 40, 5_000))] = b""
    log[place:place] = rng.randbytes(log_of(written).stat().st_size - len(log))
    path = changed(bytes(log))
    damage = damage_of(log_of(path))
    if damage is not None:
        assert frames_that_sqlite_reads(path) == (damage.whole - 32) // FRAME


@pytest.mark.parametrize("sector", [512, 4_096])
def test_a_last_transaction_of_which_any_sectors_are_missing_is_no_damage(sector: int, written: Path) -> None:
    log = log_of(written).read_bytes()
    rng = random.Random(sector)
    ends = ends_of(log)
    begin, end = 32 + (ends[-2] + 1) * FRAME, 32 + (ends[-1] + 1) * FRAME
    sectors = [range(at, min(at + sector, end)) for at in range(begin // sector * sector, end, sector)]
    for _ in range(60):
        bad = bytearray(log)
        for places in sectors:
            if rng.random() < 0.5:
                for at in places:
                    if at >= begin:
                        bad[at] = rng.choice((0, log[at - 50 * FRAME]))
        assert told(bad) is None


def told(log: bytes | bytearray) -> sqlite_log.Damage | None:
    class Read:
        """A file of these bytes."""

        def exists(self) -> bool:
            return True

        def read_bytes(self) -> bytes:
            return bytes(log)

    return damage_of(Read())  # type: ignore[arg-type]


def test_a_log_that_ends_anywhere_is_no_damage(written: Path) -> None:
    log = log_of(written).read_bytes()
    rng = random.Random(2)
    for size in [*range(60), *(rng.randrange(len(log)) for _ in range(60))]:
        assert told(log[:size]) is None
        assert told(log[:size] + bytes(len(log) - size)) is None


def test_what_a_transaction_that_was_given_up_left_behind_is_no_damage(tmp_path: Path) -> None:
    """Also where its own end stands there, as after a power cut, and the next writer's end was not finished."""
    db = sqlite3.connect(tmp_path / "x.db", isolation_level=None)
    for pragma in (f"page_size = {PAGE}", "journal_mode = wal", "wal_autocheckpoint = 0", "cache_size = 5"):
        db.execute(f"pragma {pragma}")
    db.execute("create table t (a integer primary key, b blob)")
    for turn in range(6):
        db.execute("begin")
        for _ in range(30):  # more than the cache holds
            db.execute("insert into t (b) values (?)", (random.Random(turn).randbytes(1_500),))
        db.execute("rollback" if turn % 2 else "commit")
        db.execute("insert into t (b) values (?)", (bytes(100),))
        log = log_of(tmp_path / "x.db").read_bytes()
        assert told(log) is None
        ends = ends_of(log)
        torn = bytearray(log)
        torn[32 + ends[-1] * FRAME + 500] ^= 1
        assert (told(torn) is None) == (turn % 2 == 1 or ends[-1] == len(frames_of(log)) - 1)
    db.close()


def test_a_log_of_the_other_byte_order_is_read_alike(tmp_path: Path, written: Path) -> None:
    log = log_of(written).read_bytes()
    head = (0x377F0683).to_bytes(4) + log[4:24]
    s, t = slow_sum(head, 0, 0, "big")
    other = head + s.to_bytes(4) + t.to_bytes(4)
    for frame in frames_of(log)[:20]:
        s, t = slow_sum(bytes(frame[:8] + frame[24:]), s, t, "big")
        other += frame[:16] + s.to_bytes(4) + t.to_bytes(4) + frame[24:]
    shutil.copy(written, tmp_path / "journal.db")
    log_of(tmp_path / "journal.db").write_bytes(other)
    last = [end for end in ends_of(log) if end < 20][-1]
    assert told(other) is None
    bad = bytearray(other)
    bad[5_000] ^= 1
    damage = told(bad)
    assert damage is not None
    assert damage.frame == 3
    assert frames_that_sqlite_reads(tmp_path / "journal.db") == last + 1


def test_a_log_that_is_written_while_it_is_read_is_no_damage(written: Path) -> None:
    """Its beginning is read, then a writer goes on, then its end is read."""
    log = log_of(written).read_bytes()
    ends = ends_of(log)
    early, late = 32 + (ends[-9] + 1) * FRAME, 32 + (ends[-3] + 1) * FRAME
    mixed = log[:early] + bytes(late - early) + log[late:]
    readings = [mixed, log, log]

    class Written:
        def exists(self) -> bool:
            return True

        def read_bytes(self) -> bytes:
            return readings.pop(0)

    assert told(mixed) is not None
    assert damage_of(Written()) is None  # type: ignore[arg-type]


# --- what a journal makes of it


def test_a_journal_with_a_damaged_log_is_refused_and_told_what_to_do(
    written: Path, changed: Callable[[bytes], Path]
) -> None:
    log = bytearray(log_of(written).read_bytes())
    log[32 + 20 * FRAME + 700] ^= 4
    path = changed(bytes(log))
    for _ in range(2):  # and left as it is
        with pytest.raises(InputError) as refused:
            SqliteJournal(path)
        assert refused.value.reason == R.CORRUPT_JOURNAL
        assert f"damaged at frame 21 of {len(frames_of(log))}: " in refused.value.message
        assert "open it with SqliteJournal(path, repair=True), then call crossmargin.clearing.recover(journal)" in str(
            refused.value
        )
        assert log_of(path).read_bytes() == log


@pytest.mark.parametrize("place", [20, 32 + 20 * FRAME + 700])
def test_a_repair_keeps_the_damaged_log_and_says_what_it_dropped(
    place: int, written: Path, changed: Callable[[bytes], Path]
) -> None:
    log = bytearray(log_of(written).read_bytes())
    log[place] ^= 4
    path = changed(bytes(log))
    journal = SqliteJournal(path, repair=True)
    aside = path.with_name("journal.db-damaged-1")
    assert log_of(aside).read_bytes() == log
    assert aside.read_bytes() == written.read_bytes()
    with pytest.raises(InputError, match=r"its log is damaged .* call crossmargin\.clearing\.recover"):
        House(journal, venue.RICH)
    recovery = recover(journal)
    assert "its log is damaged" in recovery.dropped
    assert str(aside) in recovery.dropped
    assert recovery.kept_at.endswith("damaged-2")
    assert recover(journal).dropped == ""
    number = House(journal, venue.RICH).state.number
    assert number == recovery.replayed.state.number
    journal.close()
    again = SqliteJournal(path)
    assert House(again, venue.RICH).state.number == number
    again.close()


def test_a_repair_waits_for_the_end_of_a_writer_that_lives(tmp_path: Path) -> None:
    first = SqliteJournal(tmp_path / "journal.db")
    with pytest.raises(InputError, match="stop it before a repair") as refused:
        SqliteJournal(tmp_path / "journal.db", take_over=True, repair=True)
    assert refused.value.reason == R.FENCED
    first.close()


def test_a_file_that_was_cut_short_is_told_how_to_be_read(written: Path, tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    shutil.copy(written, path)
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.truncate(size - 3 * PAGE)
    with pytest.raises(
        InputError, match=r"SqliteJournal\(path, repair=True\), then call crossmargin\.clearing\.recover"
    ):
        SqliteJournal(path)
    journal = SqliteJournal(path, repair=True)
    recovery = recover(journal)
    assert f"{3 * PAGE} bytes shorter" in recovery.dropped
    assert House(journal, venue.RICH).state.number == recovery.replayed.state.number
    journal.close()
    path.write_bytes(b"no journal" * 500)
    with pytest.raises(InputError, match="beyond repair=True"):
        SqliteJournal(path, repair=True)
