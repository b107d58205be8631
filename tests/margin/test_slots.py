"""Rows by owner, against a dictionary of lists."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from hypothesis import given, settings
from hypothesis import strategies as st

from crossmargin.margin.program.slots import Slots, ranges


def slots_of(lists: list[list[int]]) -> Slots:
    count = np.asarray([len(rows) for rows in lists], dtype=np.uint32)
    flat = np.asarray([row for rows in lists for row in rows], dtype=np.int32)
    columns: dict[str, npt.NDArray[Any]] = {"row": flat.astype(np.uint16), "half": flat / 2}
    return Slots(columns, np.cumsum(count) - count, count)


def held(slots: Slots) -> list[list[int]]:
    found = []
    for owner in range(len(slots)):
        rows = slots.columns["row"][slots.of(owner)]
        assert np.array_equal(slots.columns["half"][slots.of(owner)], rows / 2)
        found.append(rows.tolist())
    return found


def check_apart(slots: Slots) -> None:
    """No place belongs to two owners."""
    places = ranges(slots.start, slots.count)
    assert np.unique(places).shape == places.shape
    assert not places.size or places.max() < slots.columns["row"].shape[0]


_CHANGE = st.tuples(
    st.integers(0, 99), st.integers(0, 99), st.integers(0, 99), st.lists(st.integers(0, 60_000), max_size=9)
)


@settings(deadline=None)
@given(
    lists=st.lists(st.lists(st.integers(0, 60_000), max_size=6), min_size=1, max_size=6),
    changes=st.lists(_CHANGE, max_size=60),
    others=st.sets(st.integers(0, 59)),
)
def test_slots_hold_what_lists_hold(
    lists: list[list[int]], changes: list[tuple[int, int, int, list[int]]], others: set[int]
) -> None:
    lists = [list(rows) for rows in lists]
    slots = slots_of(lists)
    for step, (owner, first, last, fresh) in enumerate(changes):
        rows = lists[owner % len(lists)]
        low, high = sorted((first % (len(rows) + 1), last % (len(rows) + 1)))
        slots.splice(owner % len(lists), low, high, {"row": fresh, "half": [row / 2 for row in fresh]})
        rows[low:high] = fresh
        if step in others:
            slots.add_owners(2)
            lists += [[], []]
        if step % 7 == 0 and step in others:
            slots.lay_out()
        assert held(slots) == lists
        check_apart(slots)


def test_adding_rows_copies_little() -> None:
    """Rows moved in all, for each row added one by one to any owner: bounded, whatever was there before."""
    rng = np.random.default_rng(1)
    slots = slots_of([[1] * 20 for _ in range(2_000)])
    added, laid_out, before = 20_000, 0, slots.generation
    for owner in rng.integers(0, 2_000, added).tolist():
        slots.splice(owner, 0, 0, {"row": [1], "half": [0.5]})
    laid_out = slots.generation - before
    assert laid_out * 60_000 < 200 * added
    assert slots.nbytes < 4 * int(slots.count.sum()) * 10
