"""One durable record after another, beside what the disk and the server do at most.

A disk drifts by more than the contenders differ, within minutes. So all take turns in short slices, a few tens of
records each, in an order that moves; a slice is compared with the floor's slice of the same turn, and the middle of
those ratios is reported with their quartiles. `of all time` compares the sums, stalls and checkpoints included.
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
    Contender = tuple[Callable[[list[bytes]], list[Any]], Keep]  # makes ready what is kept, keeps one of it

SLICE = 50  # records
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
    took = _by_turns(contenders, lines, slices)
    for name, times in took.items():
        beside = "" if name in {FLOOR, THERE_AND_BACK} else _share(times, took[FLOOR], "the floor")
        if ROW in took and name.startswith("PostgreSQL,"):
            beside += "; " + _share(times, took[ROW], "its own insert")
        shown(name, [1.0 / statistics.median(one) for one in times], "records/s", beside)


def _by_turns(contenders: Mapping[str, Contender], lines: list[bytes], slices: int) -> dict[str, list[list[float]]]:
    """Return the seconds of each record, by contender and slice."""
    took: dict[str, list[list[float]]] = {name: [] for name in contenders}
    names = list(contenders)
    for turn in range(slices + 1):
        first = turn % len(names)
        for name in (*names[first:], *names[:first]):
            times = _slice(contenders[name], lines)
            if turn:  # statements are prepared in the first
                took[name].append(times)
    return took


def _slice(contender: Contender, lines: list[bytes]) -> list[float]:
    make_ready, keep = contender
    times = []
    for one in make_ready(lines):
        begun = time.perf_counter()
        keep(one)
        times.append(time.perf_counter() - begun)
    return times


def _share(times: list[list[float]], floor: list[list[float]], of: str) -> str:
    ratios = [statistics.median(b) / statistics.median(a) for a, b in zip(times, floor, strict=True)]
    low, middle, high = statistics.quantiles(ratios, n=4)
    whole = sum(map(sum, floor)) / sum(map(sum, times))
    return f"{middle:.0%} of {of} (quartiles {low:.0%} .. {high:.0%}; {whole:.0%} of all time)"


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
