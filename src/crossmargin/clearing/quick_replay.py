"""A batch folded without a record made of each plain posting: the same state, byte by byte, as by `fold`.

`records.records_of` and `state.fold_all` say what a batch means. This is the quick way to the same end: the compiled
kernel adds the rows of lines that are written as the journal writes them, and every other line goes through the decoder
and `fold`. Whatever is not whole is refused by `records_of`, before the state is touched.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from crossmargin import kernels
from crossmargin.clearing.records import check_chain, decode, records_of
from crossmargin.clearing.state import fold, fold_all

if TYPE_CHECKING:
    from crossmargin.clearing.events import Record
    from crossmargin.clearing.records import Batch
    from crossmargin.clearing.state import State

__all__ = ["fold_batch"]


def fold_batch(state: State, batch: Batch, previous: bytes) -> None:
    """Bring a state that the caller owns one batch further, in place.

    Raises
    ------
    InputError
        CORRUPT_JOURNAL where the batch is not whole or does not follow; the state is then as it was.
    """
    check_chain(batch, previous, state.number + 1)
    folded = _fold_plain(state, batch, 0, len(batch.records), batch.count)
    if not folded and not _fold_parts(state, batch):
        fold_all(state, records_of(batch, previous, batch.first))


def _fold_plain(state: State, batch: Batch, begin: int, end: int, count: int) -> bool:
    """Fold `count` lines of plain postings; return whether they are that: the state is as it was otherwise."""
    assert isinstance(state.balances, dict)  # a draft is not replayed into
    found = kernels.fold_lines(batch.records, begin, end, state.number + 1, state.balances, state.sources, count)
    if found is None:
        return False
    state.number += count
    state.as_of = msgspec.convert(found, datetime)
    return True


def _fold_parts(state: State, batch: Batch) -> bool:
    """Fold a batch of which some lines are plain; return whether the others are whole: nothing is changed otherwise."""
    places = kernels.scan_lines(batch.records, batch.first)
    others = None if places is None else _others(batch, places)
    if places is None or others is None or batch.records.count(b"\n") != batch.count:
        return False
    at = 0
    for record, (begin, end, number) in zip(others, places, strict=True):
        if begin > at:
            plain = _fold_plain(state, batch, at, begin, number - state.number - 1)
            assert plain
        fold(state, record)
        at = end
    if at < len(batch.records):
        plain = _fold_plain(state, batch, at, len(batch.records), batch.last - state.number)
        assert plain
    return True


def _others(batch: Batch, places: list[tuple[int, int, int]]) -> list[Record] | None:
    """Return the records of the lines at these places; None where one is none, or is not numbered as it stands."""
    try:
        records = [decode(batch.records[begin:end]) for begin, end, _ in places]
    except ValueError:  # msgspec raises those, and Python for what is no Unicode
        return None
    return records if all(r.number == number for r, (_, _, number) in zip(records, places, strict=True)) else None
