"""One durable record after another, beside what the disk and the server do at most.

A disk drifts by more than the contenders differ, within seconds. So all take turns in short slices, a few tens of
records each; a slice is compared with the floor's slices just before and after it, and the middle of those ratios is
reported with their quartiles. `of all time` compares the sums, stalls and checkpoints included. Where the two slices of
the floor differ by more than a factor of `STEADY`, the disk changed meanwhile, and the turn is left out; how many were
is told.
"""

from __future__ import annotations

import os
import statistics
import time
from typing import TYPE_CHECKING, Any

import psycopg

from benchmarks.clearing_parts import Feed, chained, house, plenty, shown
from crossmargin.clearing import MemoryJournal, Rules
from crossmargin.clearing.records import START, encode

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import ExitStack
    from pathlib import Path

    from crossmargin.clearing import Journal
    from crossmargin.clearing.records import Batch

    Keep = Callable[[Any], object]  # one record, durable on return
    Times = list[float]  # seconds of each record of a slice
    Turn = tuple[Times, Times, Times]  # the floor's, the contender's, the floor's
    Contender = tuple[Callable[[list[bytes]], list[Any]], Keep]  # makes ready what is kept, keeps one of it

SLICE = 50  # records
STEADY = 1.5
FLOOR = "append + fdatasync, one record"
IN_PLACE = "  the same into a file that was written before"
ROW = "PostgreSQL itself: one row by a prepared insert"
THERE_AND_BACK = "PostgreSQL itself: there and back (select 1)"
_PREPARED = 16 << 20  # bytes of the file that is written again


def single_syncs(
    stack: ExitStack, place: Path, journals: Mapping[str, Journal], postgres: str | None, slices: int
) -> None:
    """Time every contender by turns; print what each does beside the floor, and beside the server's own insert."""
    lines = _lines(SLICE)
    contenders: dict[str, Contender] = {
        FLOOR: (list, _appending(stack, place)),
        IN_PLACE: (list, _in_place(stack, place)),
    }
    if postgres:
        contenders |= _server(stack, postgres)
    for name, journal in journals.items():
        contenders[f"{name}, one record a transaction"] = (_Journal(journal).ready, journal.append)
    pairs = [(name, FLOOR) for name in contenders if name != FLOOR]
    pairs += [(name, ROW) for name in contenders if ROW in contenders and name.startswith("PostgreSQL,")]
    took = _by_turns(contenders, pairs, lines, slices)
    _rates(FLOOR, [turn[0] for pair in pairs if pair[1] == FLOOR for turn in took[pair]], "")
    for name in contenders:
        shares = [_share(took[pair], pair[1]) for pair in pairs if pair[0] == name and name != THERE_AND_BACK]
        if name != FLOOR:
            _rates(name, [turn[1] for turn in took[name, FLOOR]], "; ".join(shares))


def _rates(name: str, slices: list[Times], beside: str) -> None:
    shown(name, [1.0 / statistics.median(one) for one in slices], "records/s", beside)


def _by_turns(
    contenders: Mapping[str, Contender], pairs: list[tuple[str, str]], lines: list[bytes], slices: int
) -> dict[tuple[str, str], list[Turn]]:
    """Return what each record took, by contender and its floor, turn by turn."""
    took: dict[tuple[str, str], list[Turn]] = {pair: [] for pair in pairs}
    for turn in range(slices + 1):
        for name, floor in pairs:
            before, own, after = (_slice(contenders[one], lines) for one in (floor, name, floor))
            if turn:  # statements are prepared in the first
                took[name, floor].append((before, own, after))
    return took


def _slice(contender: Contender, lines: list[bytes]) -> Times:
    make_ready, keep = contender
    times = []
    for one in make_ready(lines):
        begun = time.perf_counter()
        keep(one)
        times.append(time.perf_counter() - begun)
    return times


def _share(turns: list[Turn], floor: str) -> str:
    steady = [turn for turn in turns if _steady(turn)]
    of = "the floor" if floor == FLOOR else "the server's own insert"
    left_out = f"{len(turns) - len(steady)} of {len(turns)} turns left out"
    if len(steady) < 2:
        return f"no share of {of}: {left_out}"
    middles = [tuple(map(statistics.median, turn)) for turn in steady]
    low, middle, high = statistics.quantiles([(before + after) / 2 / own for before, own, after in middles], n=4)
    whole = sum(sum(before) + sum(after) for before, _, after in steady) / 2 / sum(sum(own) for _, own, _ in steady)
    return f"{middle:.0%} of {of} (quartiles {low:.0%} .. {high:.0%}; {whole:.0%} of all time; {left_out})"


def _steady(turn: Turn) -> bool:
    before, after = statistics.median(turn[0]), statistics.median(turn[2])
    return max(before, after) <= STEADY * min(before, after)


def _lines(count: int) -> list[bytes]:
    feed = Feed(1)
    made = house(MemoryJournal(), feed, Rules(plenty, "rich"))
    return [encode(record) for one in made.handle_all([feed.trade() for _ in range(count)]) for record in one.records]


def _appending(stack: ExitStack, place: Path) -> Keep:
    """As plain as it gets: no transaction, no index, nothing to read it by. The file grows."""
    file = stack.enter_context((place / "floor").open("ab", buffering=0))
    sync = getattr(os, "fdatasync", os.fsync)

    def keep(line: bytes) -> None:
        file.write(line)
        sync(file.fileno())

    return keep


def _in_place(stack: ExitStack, place: Path) -> Keep:
    """Into a file of its full length, as a write-ahead log that is written again: its size is not to be kept too."""
    file = stack.enter_context((place / "again").open("w+b", buffering=0))
    sync = getattr(os, "fdatasync", os.fsync)
    file.write(bytes(_PREPARED))
    os.fsync(file.fileno())
    file.seek(0)

    def keep(line: bytes) -> None:
        if file.tell() + len(line) > _PREPARED:
            file.seek(0)
        file.write(line)
        sync(file.fileno())

    return keep


def _server(stack: ExitStack, conninfo: str) -> dict[str, Contender]:
    """What the server asks for by itself: the way there and back, and a commit of one row with a key."""
    db = stack.enter_context(psycopg.connect(conninfo, autocommit=True))
    db.execute("set synchronous_commit = on")
    db.execute("drop table if exists bench_rows")
    db.execute("create table bench_rows (number bigint generated always as identity primary key, records bytea)")
    cursor, insert = db.cursor(binary=True), "insert into bench_rows (records) values (%s)"
    return {
        THERE_AND_BACK: (list, lambda _: cursor.execute("select 1", prepare=True)),
        ROW: (list, lambda line: cursor.execute(insert, (line,), prepare=True)),
    }


class _Journal:
    """Batches of one record, made before the clock runs."""

    def __init__(self, journal: Journal) -> None:
        self.journal, self.head, self.number = journal, START, 1

    def ready(self, lines: list[bytes]) -> list[list[Batch]]:
        batches = chained(lines, self.head, self.number, 1)
        self.head, self.number = batches[-1].head, self.number + len(batches)
        return [[batch] for batch in batches]
