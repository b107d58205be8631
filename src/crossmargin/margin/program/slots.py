"""Rows that belong to many owners, each owner's side by side, with room to grow.

An owner whose room is used up moves to the end with half as much again; the hole stays until all is laid out anew,
which happens when the end is reached. So adding a row costs its owner's rows, and a share of one copy of everything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    Ints = npt.NDArray[np.int64]

__all__ = ["Slots", "ranges"]

_ROOM: Final = 8  # every so many rows of an owner have one free place
_END: Final = 16  # and so many of all rows and owners one at the end, for owners that move
_LEAST: Final = 256
_AT_A_TIME: Final = 1 << 16  # owners laid out together: some megabytes of places


def ranges(start: npt.NDArray[Any], count: npt.NDArray[Any]) -> Ints:
    """Return the places start, start + 1, ... of each of several runs, one after the other."""
    count = count.astype(np.int64)
    before = np.cumsum(count) - count
    return np.asarray(np.arange(int(count.sum())) + np.repeat(start.astype(np.int64) - before, count))


class Slots:
    """Columns of rows by owner.

    `columns` are arrays [arena]; `start`, `count` [owners] say where an owner's rows stand. All of them are replaced,
    never resized, when `generation` grows: who holds one asks then for the new one.
    """

    def __init__(
        self, columns: Mapping[str, npt.NDArray[Any]], start: npt.NDArray[Any], count: npt.NDArray[Any]
    ) -> None:
        self.columns = dict(columns)
        self.start = start.astype(np.uint32)
        self.count = count.astype(np.uint32)
        self.generation = 0
        self._room = self.count.copy()
        self._end = int((self.start.astype(np.int64) + self.count).max(initial=0))
        self.lay_out()

    def __len__(self) -> int:
        """Return the number of owners."""
        return int(self.start.shape[0])

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        held = (*self.columns.values(), self.start, self.count, self._room)
        return sum(int(column.nbytes) for column in held)

    def of(self, owner: int) -> slice:
        """Return where an owner's rows stand."""
        first = int(self.start[owner])
        return slice(first, first + int(self.count[owner]))

    def splice(self, owner: int, first: int, last: int, values: Mapping[str, Sequence[float]]) -> None:
        """Put rows in place of an owner's rows first, ..., last - 1; its later rows move up or down."""
        added, count = len(next(iter(values.values()))), int(self.count[owner])
        after = count - (last - first) + added
        if after > self._room[owner]:
            self._move(owner, after)
        start = int(self.start[owner])
        for name, column in self.columns.items():
            if added != last - first:
                column[start + first + added : start + after] = column[start + last : start + count]
            column[start + first : start + first + added] = values[name]
        self.count[owner] = after

    def add_owners(self, count: int) -> None:
        """Add owners without rows."""
        nothing = np.zeros(count, dtype=np.uint32)
        self.start, self.count = np.append(self.start, nothing), np.append(self.count, nothing)
        self._room = np.append(self._room, nothing)
        self.generation += 1

    def _move(self, owner: int, after: int) -> None:
        wanted = after + after // 2 + 1
        if self._end + wanted > self._size():
            self.lay_out()
            if after <= self._room[owner]:
                return
            if self._end + wanted > self._size():
                self._grow(wanted)
        held, end = self.of(owner), self._end
        for column in self.columns.values():
            column[end : end + held.stop - held.start] = column[held]
        self.start[owner], self._room[owner] = end, wanted
        self._end += wanted

    def _size(self) -> int:
        return int(next(iter(self.columns.values())).shape[0])

    def _grow(self, wanted: int) -> None:
        length = self._end + wanted + self._spare()
        self.columns = {name: np.append(c, np.zeros(length - c.shape[0], c.dtype)) for name, c in self.columns.items()}
        self.generation += 1

    def _spare(self) -> int:
        return (self._end + len(self)) // _END + _LEAST

    def lay_out(self) -> None:
        """Lay all rows out anew, owner by owner, each with its share of free places."""
        held = self.count.astype(np.int64)
        room = held + -(-held // _ROOM)
        start = np.cumsum(room) - room
        self._end = int(room.sum())
        length = self._end + self._spare()
        fresh = {name: np.zeros(length, dtype=column.dtype) for name, column in self.columns.items()}
        for first in range(0, len(self), _AT_A_TIME):
            some = slice(first, first + _AT_A_TIME)
            old, new = ranges(self.start[some], self.count[some]), ranges(start[some], self.count[some])
            for name, column in self.columns.items():
                fresh[name][new] = column[old]
        self.columns = fresh
        self.start, self._room = start.astype(np.uint32), room.astype(np.uint32)
        self.generation += 1
