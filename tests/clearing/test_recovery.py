"""What recovery and fencing must hold on every back end: kept states that are damaged, or all that is left."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from crossmargin.clearing import House, recover, replay
from crossmargin.clearing import commands as c
from crossmargin.clearing.records import make_batch
from crossmargin.clearing.snapshots import to_bytes
from crossmargin.errors import FailureReason as R
from crossmargin.errors import InputError
from crossmargin.sources.journals import sqlite_files
from crossmargin.sources.journals.sqlite import SqliteJournal
from tests.clearing import venue
from tests.clearing.test_journals import busy
from tests.clearing.venue import Desk, open_house

if TYPE_CHECKING:
    from tests.clearing.conftest import Opened

Backend = tuple[str, str]


def run(backend: Backend, *statements: str) -> None:
    """Change a journal behind its back."""
    kind, place = backend
    if kind == "sqlite":
        db = sqlite3.connect(place)
        for statement in statements:
            assert db.execute(statement).rowcount != 0
        db.commit()
        db.close()
        return
    import psycopg  # noqa: PLC0415 - absent where the server is

    conninfo, schema = place.split("|")
    with psycopg.connect(conninfo, options=f"-c search_path={schema}") as server:
        for statement in statements:
            assert server.execute(statement.encode()).rowcount != 0


def with_states(opened: Opened, *after: int) -> tuple[list[int], bytes]:
    """Write a journal of some batches, a state kept after as many commands as told, and close it."""
    desk = open_house(journal=opened())
    numbers = []
    for seed, commands in enumerate(after):
        busy(desk, commands, seed)
        desk.house.save()
        numbers.append(desk.house.state.number)
    for _ in range(3):
        desk.send(c.Tick)
    desk.house.journal.close()
    return [*numbers, desk.house.state.number], to_bytes(desk.house.state)


def test_records_damaged_in_front_of_a_kept_state_cost_nothing_behind_it(opened: Opened, backend: Backend) -> None:
    (kept, last), whole = with_states(opened, 12)
    run(backend, "update batches set head = previous where first = 2")
    journal = opened()
    assert House(journal, venue.RICH).state.number == last
    for _ in range(2):  # it stays so, and is said each time
        recovery = recover(journal)
        assert to_bytes(recovery.replayed.state) == whole
        assert recovery.kept_at == ""
        assert recovery.dropped.startswith(f"records up to {kept} can no longer be replayed from the beginning")
        assert "after record 1: batch of records 2 to 2" in recovery.dropped
        assert "call crossmargin" not in recovery.dropped
    desk = Desk(House(journal, venue.RICH))
    desk.send(c.Tick)
    assert recover(journal).replayed.state.number == last + 1
    with pytest.raises(InputError, match="batch of records 2 to 2"):
        replay(journal)


def test_a_cut_keeps_the_state_that_it_goes_on_from(opened: Opened, backend: Backend) -> None:
    (kept, last), _ = with_states(opened, 12)
    bad = f"update batches set head = previous where first = {last - 1}"  # noqa: S608 - a number
    run(backend, "update batches set head = previous where first = 2", bad)
    journal = opened()
    with pytest.raises(InputError, match=r"call crossmargin\.clearing\.recover"):
        House(journal, venue.RICH)
    recovery = recover(journal)
    assert recovery.replayed.state.number == last - 2 >= kept
    assert f"records up to {kept}" in recovery.dropped
    assert f"after record {last - 2}" in recovery.dropped
    assert recovery.kept_at
    journal.close()
    again = opened()
    assert House(again, venue.RICH).state.number == last - 2
    assert [batch.first for batch in again.batches()][-1] == last - 2
    assert recover(again).kept_at == ""


def test_a_kept_state_stands_in_for_records_that_are_gone(opened: Opened, backend: Backend) -> None:
    (kept, last), _ = with_states(opened, 12)
    run(backend, "delete from batches where first > 2")
    run(backend, "update sources set sequence = 1")
    journal = opened()
    recovery = recover(journal)
    assert recovery.replayed.state.number == kept < last
    assert "there are no more" in recovery.dropped
    desk = Desk(House(journal, venue.RICH))
    desk.send(c.Tick)
    assert recover(journal).replayed.state.number == kept + 1


@pytest.mark.parametrize("change", ["digest = head", "head = digest", "number = number + 1"])
def test_a_damaged_kept_state_is_dropped_and_said(opened: Opened, backend: Backend, change: str) -> None:
    (_, second, last), whole = with_states(opened, 12, 8)
    run(backend, f"update states set {change} where number = {second}")  # noqa: S608 - of constants
    journal = opened()
    with pytest.raises(InputError, match=r"is not what its digest names; .* call crossmargin\.clearing\.recover"):
        House(journal, venue.RICH)
    recovery = recover(journal)
    assert to_bytes(recovery.replayed.state) == whole
    assert "is not what its digest names" in recovery.dropped
    assert recovery.kept_at
    assert House(journal, venue.RICH).state.number == last
    assert recover(journal).dropped == ""


def test_the_state_before_a_damaged_one_is_gone_on_from(opened: Opened, backend: Backend) -> None:
    (first, second, last), whole = with_states(opened, 12, 8)
    run(backend, "update batches set head = previous where first = 2")
    run(backend, f"update states set state = head where number = {second}")  # noqa: S608 - a number
    journal = opened()
    recovery = recover(journal)
    assert to_bytes(recovery.replayed.state) == whole
    assert f"state kept at record {second}" in recovery.dropped
    assert f"records up to {first} " in recovery.dropped
    assert House(journal, venue.RICH).state.number == last


def test_a_row_of_kept_states_that_cannot_be_read_is_dropped(tmp_path: Path) -> None:
    backend = ("sqlite", str(tmp_path / "journal.db"))
    (_, last), whole = with_states(lambda **_: SqliteJournal(backend[1]), 12)
    run(backend, "update states set head = 5")
    journal = SqliteJournal(backend[1])
    recovery = recover(journal)
    assert recovery.dropped.startswith("kept states: a row is damaged")
    assert to_bytes(recovery.replayed.state) == whole
    assert House(journal, venue.RICH).state.number == last
    journal.close()


# --- fencing


def test_a_writer_that_was_taken_over_from_cuts_nothing(opened: Opened) -> None:
    first = opened()
    desk = busy(open_house(journal=first))
    second = Desk(House(opened(take_over=True), venue.RICH))
    second.send(c.Tick)
    with pytest.raises(InputError) as refused:
        first.cut(3, {})
    assert refused.value.reason == R.FENCED
    second.send(c.Tick)
    assert replay(second.house.journal).state.number == desk.house.state.number + 2


def test_a_writer_that_was_taken_over_from_recovers_nothing_once_the_other_has(opened: Opened) -> None:
    first = opened()
    desk = busy(open_house(journal=first))
    false = make_batch(desk.house.head, desk.house.state.number + 1, [b"{}\n"], {"desk": desk.sequence + 1})
    first.append([false])
    second = opened(take_over=True)
    assert recover(second).dropped
    other = Desk(House(second, venue.RICH))
    other.send(c.Tick)
    with pytest.raises(InputError) as refused:
        first.cut(3, {})
    assert refused.value.reason == R.FENCED
    with pytest.raises(InputError) as refused:
        first.append([false])
    assert refused.value.reason == R.FENCED
    other.send(c.Tick)
    assert recover(second).dropped == ""
    assert replay(second).state.number == desk.house.state.number + 2


@pytest.mark.parametrize("several", [False, True])
def test_a_writer_whose_journal_was_replaced_is_refused(opened: Opened, backend: Backend, several: bool) -> None:
    desk = busy(open_house(journal=opened()))
    kind, place = backend
    if kind == "sqlite":
        for one in Path(place).parent.glob("journal.db*"):
            one.rename(one.with_name(f"moved-{one.name}"))
    else:
        schema = place.split("|")[1]
        run(backend, f"alter schema {schema} rename to {schema}_moved")
    other = open_house(journal=opened(take_over=True))  # another journal, whose first writer has the same epoch
    number = other.house.state.number
    with pytest.raises(InputError, match="stop this one") as refused:
        desk.send_all(
            [c.Tick(**desk.named()), c.Tick(source="feed", sequence=1, as_of=desk.as_of)][: 2 if several else 1]
        )
    assert refused.value.reason == R.FENCED
    with pytest.raises(InputError):
        desk.house.save()
    other.send(c.Tick)
    assert recover(other.house.journal).dropped == ""
    assert other.house.state.number == number + 1


def test_a_file_that_is_gone_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    desk = open_house(journal=SqliteJournal(path))
    path.unlink()
    with pytest.raises(InputError, match="not there any more"):
        desk.send(c.Tick)
    desk.house.journal.close()


def test_a_second_writer_through_a_link_is_refused(tmp_path: Path) -> None:
    path, link = tmp_path / "journal.db", tmp_path / "link.db"
    link.symlink_to(path)
    first = SqliteJournal(path)
    with pytest.raises(InputError, match="another writer lives"):
        SqliteJournal(link)
    first.close()
    desk = busy(open_house(journal=SqliteJournal(link)))
    desk.house.journal.cut(3, {})
    assert link.is_symlink()
    assert max(batch.last for batch in desk.house.journal.batches()) == 3
    desk.house.journal.close()


def test_who_takes_over_waits_until_a_file_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = SqliteJournal(tmp_path / "journal.db")
    busy(open_house(journal=journal))
    copied = journal._copied
    seen: list[R] = []

    def disturbed(*given: object) -> Path:
        with pytest.raises(InputError, match="opens or recovers") as refused:
            SqliteJournal(tmp_path / "journal.db", take_over=True)
        seen.append(refused.value.reason)
        return copied(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(journal, "_copied", disturbed)
    monkeypatch.setattr(sqlite_files, "_PATIENCE", 0.05)
    journal.cut(3, {})
    assert seen == [R.FENCED]
    journal.close()
