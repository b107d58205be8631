"""Rows that belong to many owners, each owner's side by side, with room to grow.

An owner whose room is used up moves to the end with half as much again; the hole stays until all is laid out anew,
which happens when the end is reached. So adding a row costs the rows of its owner, and a share of one copy of all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    Ints = npt.NDArray[np.int64]

__all__ = ["Slots", "ranges"]

_ROOM: Final = 8  # every so many rows of an owner have one free place
_END: Final = 16  # and so many of all rows one at the end, for owners that move
_LEAST: Final = 256


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

    def insert(self, owner: int, place: int, values: Mapping[str, Any]) -> int:
        """Put a row at a place among its owner's, 0 the first; return where it stands."""
        if self.count[owner] == self._room[owner]:
            self._move(owner)
        at, last = int(self.start[owner]) + place, int(self.start[owner]) + int(self.count[owner])
        for name, column in self.columns.items():
            column[at + 1 : last + 1] = column[at:last]
            column[at] = values[name]
        self.count[owner] += 1
        return at

    def remove(self, owner: int, place: int) -> None:
        """Take a row away from its owner's."""
        at, last = int(self.start[owner]) + place, int(self.start[owner]) + int(self.count[owner])
        for column in self.columns.values():
            column[at : last - 1] = column[at + 1 : last]
        self.count[owner] -= 1

    def add_owners(self, count: int) -> None:
        """Add owners without rows."""
        nothing = np.zeros(count, dtype=np.uint32)
        self.start, self.count = np.append(self.start, nothing), np.append(self.count, nothing)
        self._room = np.append(self._room, nothing)
        self.generation += 1

    def _move(self, owner: int) -> None:
        wanted = int(self.count[owner]) + int(self.count[owner]) // 2 + 2
        if self._end + wanted > self._size():
            self.lay_out()
            if self.count[owner] < self._room[owner]:
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
        length = self._end + wanted + self._size() // _END + _LEAST
        self.columns = {name: np.append(c, np.zeros(length - c.shape[0], c.dtype)) for name, c in self.columns.items()}
        self.generation += 1

    def lay_out(self) -> None:
        """Lay all rows out anew, owner by owner, each with its share of free places."""
        held = self.count.astype(np.int64)
        room = held + -(-held // _ROOM)
        start = np.cumsum(room) - room
        self._end = int(room.sum())
        length = self._end + self._end // _END + _LEAST
        old, new = ranges(self.start, self.count), ranges(start, self.count)
        for name, column in self.columns.items():
            fresh = np.zeros(length, dtype=column.dtype)
            fresh[new] = column[old]
            self.columns[name] = fresh
        self.start, self._room = start.astype(np.uint32), room.astype(np.uint32)
        self.generation += 1
