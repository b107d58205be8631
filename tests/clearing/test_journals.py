"""What every journal back end must hold, on a real file and a real server."""

from __future__ import annotations

import random
import shutil
import sqlite3
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest

from crossmargin.clearing import House, MemoryJournal, State, recover, replay
from crossmargin.clearing import commands as c
from crossmargin.clearing.records import START, Batch, make_batch, records_of
from crossmargin.clearing.snapshots import from_bytes, save, to_bytes
from crossmargin.clearing.state import fold, fold_all
from crossmargin.errors import FailureReason as R
from crossmargin.errors import InputError
from crossmargin.sources.journals import postgres, sqlite
from crossmargin.sources.journals.pipeline import Pipeline
from crossmargin.sources.journals.sqlite import SqliteJournal
from tests.clearing import venue
from tests.clearing.venue import Desk, open_house

if TYPE_CHECKING:
    from tests.clearing.conftest import Opened


def busy(desk: Desk, commands: int = 20, seed: int = 1) -> Desk:
    """Trades, deposits and funding, in batches of one to four."""
    rng = random.Random(seed)
    while commands > 0:
        batch: list[c.Command] = []
        for _ in range(rng.randint(1, 4)):
            commands -= 1
            batch.append(command(desk, rng))
        desk.send_all(batch)
    return desk


def command(desk: Desk, rng: random.Random) -> c.Command:
    owners = rng.sample(("alice", "alice/hedge", "bob", "carol"), 2)
    match rng.randint(0, 9):
        case 0:
            return c.Accrue(**desk.named(), index="BTC-PERP", rate=f"{rng.randint(-9, 9)}e-5", mark=600_000)
        case 1 | 2:
            return c.Deposit(**desk.named(), owner=owners[0], asset="USDC", amount=rng.randint(1, 10**9))
        case _:
            symbol, quantity, price = (
                rng.choice(("BTC-PERP", "BTC-USD")),
                rng.randint(1, 999),
                rng.randint(590_000, 610_000),
            )
            buyer, seller = owners
            return c.Trade(
                **desk.named(), buyer=buyer, seller=seller, instrument=symbol, quantity=quantity, price=price
            )


def test_what_was_appended_comes_back_and_replays_to_the_same_bytes(opened: Opened) -> None:
    desk = busy(open_house(journal=opened()))
    replayed = replay(desk.house.journal)
    assert to_bytes(replayed.state) == to_bytes(desk.house.state)
    assert replayed.head == desk.house.head
    assert desk.house.journal.sources() == desk.house.state.sources


def test_every_prefix_replays_to_the_state_that_was_live_there(opened: Opened) -> None:
    desk = open_house(journal=opened())
    live = {}
    for seed in range(8):
        busy(desk, 3, seed)
        live[desk.house.state.number] = to_bytes(desk.house.state)
    prefix, head = State(), START
    for batch in desk.house.journal.batches():
        for record in records_of(batch, head, prefix.number + 1):
            fold(prefix, record)
        head = batch.head
        if prefix.number in live:
            assert to_bytes(prefix) == live.pop(prefix.number)
    assert not live


def test_a_replay_from_a_kept_state_gives_the_bytes_of_one_from_nothing(opened: Opened) -> None:
    desk = busy(open_house(journal=opened()))
    assert desk.house.journal.saved() is None
    for seed in (2, 3, 4):
        desk.house.save()
        busy(desk, 10, seed)
    saved = desk.house.journal.saved()
    assert saved is not None
    assert saved.number < desk.house.state.number
    assert to_bytes(from_bytes(saved.state)) == saved.state
    whole, part = replay(desk.house.journal), replay(desk.house.journal, saved)
    assert to_bytes(whole.state) == to_bytes(part.state) == to_bytes(desk.house.state)
    assert whole.head == part.head
    assert to_bytes(House(desk.house.journal, venue.RICH).state) == to_bytes(whole.state)


def test_a_kept_state_that_was_changed_is_refused(opened: Opened) -> None:
    desk = busy(open_house(journal=opened()))
    saved = save(desk.house.state, desk.house.head)
    changed = msgspec.structs.replace(saved, state=saved.state.replace(b"alice", b"alicf"))
    with pytest.raises(InputError) as refused:
        replay(desk.house.journal, changed)
    assert refused.value.reason == R.CORRUPT_JOURNAL


@pytest.mark.parametrize("heard_after", [1, 10**9])
def test_each_source_is_known_however_its_batches_were_kept(
    opened: Opened, heard_after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "_LONG", heard_after)
    monkeypatch.setattr(postgres, "_HEAR_AFTER", heard_after)
    journal = opened()
    desk = busy(open_house(journal=journal))
    for number in range(1, 8):
        desk.house.handle(c.Tick(source=f"feed{number % 3}", sequence=(number + 2) // 3, as_of=desk.as_of))
    known = {"desk": desk.sequence, "feed0": 2, "feed1": 3, "feed2": 2}
    assert journal.sources() == known
    taken = opened(take_over=True)
    assert taken.sources() == known
    busy(Desk(House(taken, venue.RICH)), 9, seed=3)
    later = taken.sources()
    assert later["desk"] > known["desk"]
    taken.close()
    journal.close()
    assert opened().sources() == later


def test_a_closed_journal_goes_on_where_it_stood(opened: Opened) -> None:
    first = busy(open_house(journal=opened()))
    first.house.journal.close()
    second = busy(Desk(House(opened(), venue.RICH)), seed=2)
    other = busy(busy(open_house()), seed=2)
    assert to_bytes(second.house.state) == to_bytes(other.house.state)


def test_a_second_writer_is_refused_while_the_first_lives(opened: Opened) -> None:
    first = opened()
    with pytest.raises(InputError, match="another writer lives") as refused:
        opened()
    assert refused.value.reason == R.FENCED
    first.close()
    opened()


def test_a_writer_that_was_taken_over_from_is_fenced(opened: Opened) -> None:
    desk = busy(open_house(journal=opened()))
    number = desk.house.state.number
    second = Desk(House(opened(take_over=True), venue.RICH))
    with pytest.raises(InputError) as refused:
        desk.send(c.Tick)
    assert refused.value.reason == R.FENCED
    with pytest.raises(InputError, match="writer"):
        desk.house.save()
    second.send(c.Tick)
    assert second.house.state.number == number + 1
    desk.house.journal.close()
    second.send(c.Tick)  # takes the lock that is now free
    with pytest.raises(InputError, match="another writer lives"):
        opened()


def test_recovery_of_a_whole_journal_drops_nothing(opened: Opened) -> None:
    desk = busy(open_house(journal=opened()))
    recovery = recover(desk.house.journal)
    assert (recovery.dropped, recovery.kept_at) == ("", "")
    assert to_bytes(recovery.replayed.state) == to_bytes(desk.house.state)


def test_recovery_cuts_at_the_first_batch_that_is_not_whole_and_says_so(opened: Opened) -> None:
    desk = busy(open_house(journal=opened()), 12)
    journal, good = desk.house.journal, desk.house.state.number
    kept = to_bytes(desk.house.state)
    lines = [b'[1,"x",1]\n', b"{}\n"]
    false = make_batch(desk.house.head, good + 1, lines, {"desk": desk.sequence + 2})
    journal.append([msgspec.structs.replace(false, head=bytes(32))])
    recovery = recover(journal)
    assert f"after record {good}" in recovery.dropped
    assert f"lost: desk {desk.sequence + 1} to {desk.sequence + 2}" in recovery.dropped
    assert recovery.kept_at
    assert to_bytes(recovery.replayed.state) == kept
    assert journal.sources() == recovery.replayed.state.sources
    again = busy(Desk(House(journal, venue.RICH)), 5)
    assert recover(again.house.journal).dropped == ""


def test_a_lost_tail_is_known_from_the_sources(opened: Opened) -> None:
    desk = busy(open_house(journal=opened()), 12)
    kept = desk.house.state.number
    before = desk.house.journal.sources()
    busy(desk, 3)
    told = dict(desk.house.journal.sources())
    desk.house.journal.cut(kept, told)  # as if the last batches had vanished
    with pytest.raises(InputError, match="recover the journal"):
        House(desk.house.journal, venue.RICH)
    recovery = recover(desk.house.journal)
    assert recovery.dropped == f"acknowledged after record {kept} and lost: desk {before['desk'] + 1} to {told['desk']}"


@pytest.mark.parametrize("damage", ["doubled", "lost", "swapped", "changed"])
def test_the_chain_sees(damage: str) -> None:
    desk = busy(open_house())
    journal = MemoryJournal()
    batches = list(desk.house.journal.batches())
    middle = batches[len(batches) // 2]
    place = batches.index(middle)
    changed = msgspec.structs.replace(middle, records=middle.records.replace(b"desk", b"disk"))
    journal.kept = {
        "doubled": [*batches[: place + 1], *batches[place:]],
        "lost": [*batches[:place], *batches[place + 1 :]],
        "swapped": [*batches[:place], batches[place + 1], middle, *batches[place + 2 :]],
        "changed": [*batches[:place], changed, *batches[place + 1 :]],
    }[damage]
    with pytest.raises(InputError) as refused:
        replay(journal)
    assert refused.value.reason == R.CORRUPT_JOURNAL


# --- a writer with a thread of its own


def test_a_pipeline_gives_the_answers_that_the_house_gives(opened: Opened) -> None:
    desk = open_house(journal=opened())
    other = open_house()
    pipeline = Pipeline(desk.house, depth=3)
    rng, twin = random.Random(5), random.Random(5)
    futures = [pipeline.put([command(desk, rng) for _ in range(7)]) for _ in range(40)]
    answers = [answer for future in futures for answer in future.result(timeout=60)]
    pipeline.close()
    assert answers == other.house.handle_all([command(other, twin) for _ in range(280)])
    assert to_bytes(replay(desk.house.journal).state) == to_bytes(other.house.state)


def test_a_repetition_waits_until_what_it_repeats_is_durable() -> None:
    class Slow(MemoryJournal):
        gate = threading.Event()

        def append(self, batches: object, /) -> None:
            assert self.gate.wait(10)
            super().append(batches)  # type: ignore[arg-type]

    tick = c.Tick(source="a", sequence=1, as_of=venue.START)
    pipeline = Pipeline(House(Slow(), venue.RICH))
    first, again = pipeline.put([tick]), pipeline.put([tick])
    assert not again.done()
    Slow.gate.set()
    assert again.result(timeout=10)[0].duplicate
    assert first.done()
    pipeline.close()


def test_a_pipeline_whose_journal_fails_tells_everybody_and_stops() -> None:
    class Full(MemoryJournal):
        gate = threading.Event()

        def append(self, batches: object, /) -> None:
            self.gate.wait(10)
            raise OSError(f"no space left for {batches}")

    house = House(Full(), venue.RICH)
    pipeline = Pipeline(house, linger=0.001)
    futures = [pipeline.put([c.Tick(source="a", sequence=n, as_of=venue.START)]) for n in (1, 2, 3)]
    Full.gate.set()
    for future in futures:
        with pytest.raises(OSError, match="no space"):
            future.result(timeout=10)
    pipeline.close()
    assert house.stopped


# --- files that are damaged


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[int, bytes]]:
    """A journal file of some pages, all checkpointed into it, and the states after its batches."""
    path = tmp_path_factory.mktemp("filled") / "journal.db"
    journal = SqliteJournal(path)
    desk = open_house(journal=journal)
    states = {0: to_bytes(State())}
    for seed in range(60):
        busy(desk, 5, seed)
    replayed = State()
    for batch in journal.batches():
        fold_all(replayed, records_of(batch, batch.previous, batch.first))
        states[replayed.number] = to_bytes(replayed)
    journal.close()
    assert not path.with_name("journal.db-wal").exists()
    return path, states


def damaged(path: Path, copy: Path, seed: int) -> str:
    """Copy a file and damage the copy: cut it, or write over some bytes anywhere."""
    shutil.copy(path, copy)
    rng = random.Random(seed)
    content = bytearray(copy.read_bytes())
    place = rng.randrange(len(content))
    if seed % 2:
        del content[place:]
    else:
        content[place : place + 40] = rng.randbytes(40)
    copy.write_bytes(content)
    return f"{'cut' if seed % 2 else 'written over'} at {place} of {len(content)}"


@pytest.mark.parametrize("seed", range(40))
def test_a_damaged_file_gives_its_whole_beginning_or_a_refusal(
    seed: int, filled: tuple[Path, dict[int, bytes]], tmp_path: Path
) -> None:
    path, states = filled
    copy = tmp_path / "journal.db"
    how = damaged(path, copy, seed)
    try:
        journal = SqliteJournal(copy, repair=True)
        recovery = recover(journal)
    except InputError as error:
        if error.reason not in {R.CORRUPT_JOURNAL, R.WRONG_SCHEMA_VERSION}:
            raise
        return
    number = recovery.replayed.state.number
    assert to_bytes(recovery.replayed.state) == states[number], how
    if number < max(states):
        assert f"record {number}" in recovery.dropped, how
        assert Path(recovery.kept_at).exists()
    busy(Desk(House(journal, venue.RICH, recovery.replayed)) if number >= 4 else open_house(journal=journal), 3)
    assert recover(journal).dropped == ""
    journal.close()


def test_records_can_be_read_by_others(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    desk = busy(open_house(journal=SqliteJournal(path)))
    desk.house.journal.close()
    other = sqlite3.connect(path)
    counted = other.execute("select count(*), max(number), count(distinct source) from records").fetchone()
    assert counted == (desk.house.state.number, desk.house.state.number, 1)
    assert other.execute("select event from records where number = 1").fetchone() == ("configured",)
    other.close()


def test_a_batch_says_where_it_ends() -> None:
    assert Batch(5, 3, b"", START, START, {}).last == 7


def test_a_full_disk_stops_the_house_and_loses_nothing(tmp_path: Path) -> None:
    journal = SqliteJournal(tmp_path / "journal.db")
    desk = busy(open_house(journal=journal))
    kept = desk.house.state.number
    pages = journal._db.execute("pragma page_count").fetchone()[0]
    journal._db.execute(f"pragma max_page_count = {pages + 1}")
    with pytest.raises(sqlite3.OperationalError, match="full"):
        busy(desk, 2_000)
    assert desk.house.stopped
    last = max(batch.last for batch in journal.batches())
    journal.close()
    again = Desk(House(SqliteJournal(tmp_path / "journal.db"), venue.RICH))
    assert again.house.state.number == last >= kept
    busy(again, 3)
    assert recover(again.house.journal).dropped == ""
    again.house.journal.close()
