"""A replay reads records in parts, comes to the bytes of a fold of all of them, and refuses what is not whole."""

from __future__ import annotations

import random
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossmargin.clearing import MemoryJournal, State, recover, replay
from crossmargin.clearing import commands as c
from crossmargin.clearing.configuration import Section, digest_of, document_of
from crossmargin.clearing.contracts import Asset
from crossmargin.clearing.events import (
    Asked,
    Configured,
    Event,
    Indexed,
    Posted,
    Priced,
    Record,
    Refused,
    Stage,
    Staged,
)
from crossmargin.clearing.records import START, Batch, encode, link, make_batch, records_of
from crossmargin.clearing.snapshots import to_bytes
from crossmargin.clearing.state import fold_all
from crossmargin.errors import FailureReason, InputError
from tests.clearing.world import World

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

BEGAN = datetime(2026, 1, 30, 23, 59, tzinfo=UTC)
LARGE = (2**63 - 1, -(2**63), 2**64, 10**24, -(10**24), 10**300)
SIZES = (1, 400, 8_192)

names = st.sampled_from(["alice", "bob", "fees", "z\u00fcrich", 'a"b', "],[", "back\\slash", "line\nend"])
words = st.dictionaries(names, names, max_size=2)
integers = st.one_of(st.integers(-2, 2), st.sampled_from(LARGE), st.integers(-(10**40), 10**40))
row = st.tuples(names, st.sampled_from(["wallet", "held"]), st.sampled_from("XY"), integers)
assets = document_of(Section.ASSETS, {"USDC": Asset(digits=6)})
stages = st.sampled_from(Stage)
events: st.SearchStrategy[Event] = st.one_of(
    st.builds(Posted, names, st.none() | names, st.lists(row, max_size=6).map(tuple)),
    st.builds(Posted, names, st.none() | names, st.lists(row, max_size=6).map(tuple)),  # are most of a journal
    st.builds(Priced, st.dictionaries(names, st.builds(c.Quote, price=integers), max_size=2)),
    st.builds(Indexed, st.dictionaries(names, integers, max_size=2)),
    st.builds(Staged, names, stages, stages, words, st.none() | names, st.none() | words, st.none() | st.just(BEGAN)),
    st.builds(Asked, names, st.integers(1, 9), names, words, words),
    st.just(Configured(Section.ASSETS, digest_of(assets), assets)),
    st.builds(Refused, st.sampled_from(FailureReason), names, names),
)


@contextmanager
def parts_of_bytes(size: int) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("crossmargin.clearing.records.PART", size)
        yield


def line(number: int, event: Event, zone: timezone = UTC, source: str = "feed") -> bytes:
    moment = (BEGAN + timedelta(seconds=number * 0.5)).astimezone(zone)
    return encode(Record(number, source, number, moment, "0.1.0", "digest", event))


def journal_of(lines: list[bytes], size_of_batch: int) -> MemoryJournal:
    journal, head = MemoryJournal(), START
    for begin in range(0, len(lines), size_of_batch):
        journal.append([make_batch(head, begin + 1, lines[begin : begin + size_of_batch], {})])
        head = journal.kept[-1].head
    return journal


def folded(lines: Iterable[bytes]) -> State:
    """What a journal means: each line decoded alone, and folded."""
    state = State()
    fold_all(state, [msgspec.json.decode(one, type=Record) for one in lines])
    return state


def possible(told: list[Event]) -> Iterator[Event]:
    """Leave out what asks in a case that is not open: no house writes that."""
    state = State()
    for event in told:
        if not isinstance(event, Asked) or event.case in state.cases:
            fold_all(state, [Record(state.number + 1, "feed", state.number + 1, BEGAN, "", "", event)])
            yield event


@given(
    told=st.lists(events, min_size=1, max_size=40),
    zones=st.lists(st.sampled_from([UTC, UTC, timezone(timedelta(hours=2))]), min_size=40, max_size=40),
    size_of_batch=st.sampled_from([1, 3, 40]),
    size=st.sampled_from(SIZES),
)
def test_a_replay_comes_to_the_same_bytes(
    told: list[Event], zones: list[timezone], size_of_batch: int, size: int
) -> None:
    lines = [line(n + 1, event, zones[n], "ab"[n % 2]) for n, event in enumerate(possible(told))]
    journal, wanted = journal_of(lines, size_of_batch), folded(lines)
    with parts_of_bytes(size):
        found = replay(journal).state
        assert found == wanted == recover(journal).replayed.state
        assert to_bytes(found) == to_bytes(wanted)  # in which balances stand in the order of their creation
        assert [list(held) for held in found.balances.values()] == [list(held) for held in wanted.balances.values()]


@pytest.mark.parametrize("size", SIZES)
def test_a_world_replays_to_the_same_bytes(size: int) -> None:
    world = World(4).run(300)
    with parts_of_bytes(size):
        found = replay(world.desk.house.journal).state
    assert to_bytes(found) == to_bytes(world.desk.house.state) == to_bytes(world.replica)


def some_lines(rng: random.Random, first: int, count: int) -> list[bytes]:
    def event() -> Event:
        rows = [(rng.choice(("alice", "bob")), "wallet", "X", rng.choice((1, -1, *LARGE))) for _ in range(3)]
        return rng.choice((Posted("trade", None, tuple(rows)), Indexed({"BTC-PERP": rng.randint(-9, 9)})))

    return [line(number, event()) for number in range(first, first + count)]


def damaged(rng: random.Random, batch: Batch) -> Batch:
    """Change some bytes as a writer in error would, who makes the chain of what he has written."""
    content = bytearray(batch.records)
    for _ in range(rng.randint(1, 2)):
        place = rng.randrange(len(content))
        match rng.randint(0, 4):
            case 0:
                content[place : place + rng.randint(1, 9)] = b""
            case 1:
                content[place:place] = rng.choice((b"\n", b"0", b",", b"]", b'"', b" ", b"-", b"_", b"\xff"))
            case 2:
                content[place] = rng.randrange(256)
            case 3:
                place = content.rfind(b",", 0, place) + 1
                content[place:place] = rng.choice((b"\n", b" ", b"\r\n"))
            case _:
                content[place:place] = content[max(0, place - 30) : place]
    records = bytes(content)
    count = rng.choice((batch.count, max(1, records.count(b"\n"))))
    return msgspec.structs.replace(batch, records=records, head=link(batch.previous, records), count=count)


def whole(batch: Batch) -> list[bytes] | None:
    """Return the lines of a batch if each of them is a record, numbered in order; else None."""
    *lines, rest = batch.records.split(b"\n")
    try:
        numbers = [msgspec.json.decode(one, type=Record).number for one in lines]
    except ValueError:
        return None
    return lines if not rest and numbers == list(range(batch.first, batch.last + 1)) else None


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("seed", range(150))
def test_what_is_not_whole_is_refused_and_recovery_stands_before_it(seed: int, size: int) -> None:
    rng = random.Random(seed)
    lines = some_lines(rng, 1, 12)
    journal = journal_of(lines, 6)
    journal.kept[-1] = damaged(rng, journal.kept[-1])
    after = whole(journal.kept[-1])
    wanted = to_bytes(folded(lines[:6] if after is None else [*lines[:6], *after]))
    with parts_of_bytes(size):
        if after is None:
            with pytest.raises(InputError) as refusal:
                records_of(journal.kept[-1], journal.kept[0].head, 7)
            with pytest.raises(InputError) as found:
                replay(journal)
            assert found.value.message == refusal.value.message
            assert found.value.reason == FailureReason.CORRUPT_JOURNAL
            assert found.value.message.startswith(f"batch of records 7 to {journal.kept[-1].last}: ")
        else:
            assert to_bytes(replay(journal).state) == wanted
        assert to_bytes(recover(journal).replayed.state) == wanted


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    ("change", "count", "said"),
    [
        (lambda one: [*one[:5], one[5].replace(b"[6,", b"[7,")], 6, "not lines numbered 1 to 6"),
        (lambda one: [*one[:5], one[5].replace(b"[6,", b"[6,\n")], 6, "from record|not lines numbered"),
        (lambda one: [*one[:5], one[5].rstrip()], 6, "not lines numbered 1 to 6"),
        (lambda one: [*one, b"\n"], 6, "not lines numbered 1 to 6"),
        (lambda one: one, 5, "not lines numbered 1 to 5"),
        (lambda one: one, 7, "not lines numbered 1 to 7"),
        (lambda one: [*one[:5], one[5].replace(b'"feed"', b"1")], 6, r"from record \d on: Expected `str`"),
    ],
)
def test_what_is_wrong_is_said(change: Callable[[list[bytes]], list[bytes]], count: int, said: str, size: int) -> None:
    lines = change([line(number, Posted("trade", None, ())) for number in range(1, 7)])
    batch = msgspec.structs.replace(make_batch(START, 1, lines, {}), count=count)
    with parts_of_bytes(size), pytest.raises(InputError, match=said):
        records_of(batch, START, 1)
