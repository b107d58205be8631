"""Rows that belong to many owners, each owner's side by side, with free places strewn between.

Owners lie in their order. One whose room is used up takes the nearest free place: what lies between moves by one. When
none is near, all is laid out anew with free places strewn evenly, and a quarter more where they are wanted. So adding
a row moves the rows of some neighbours and a share of one copy of everything, and three per cent of free places do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    Ints = npt.NDArray[np.int64]

__all__ = ["Slots", "ranges"]

_FREE: Final = 32  # so many rows have one free place
_LEAST: Final = 256
_NEAR, _FAR, _WIDER = 64, 1 << 12, 8  # owners among which a free place is looked for: at first, at most, and the step
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
        self.lay_out()

    def __len__(self) -> int:
        """Return the number of owners."""
        return int(self.start.shape[0])

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        held = (*self.columns.values(), self.start, self.count)
        return sum(int(column.nbytes) for column in held)

    def of(self, owner: int) -> slice:
        """Return where an owner's rows stand."""
        first = int(self.start[owner])
        return slice(first, first + int(self.count[owner]))

    def splice(self, owner: int, first: int, last: int, values: Mapping[str, Sequence[float]]) -> None:
        """Put rows in place of an owner's rows first, ..., last - 1; its later rows move up or down."""
        added, count = len(next(iter(values.values()))), int(self.count[owner])
        after = count - (last - first) + added
        while after - count > int(self._free(owner, owner + 1)[0]) and self._borrow(owner):
            pass
        if after - count > int(self._free(owner, owner + 1)[0]):
            self.lay_out(owner, after - count)
        start = int(self.start[owner])
        for name, column in self.columns.items():
            if added != last - first:
                column[start + first + added : start + after] = column[start + last : start + count]
            column[start + first : start + first + added] = values[name]
        self.count[owner] = after

    def add_owners(self, count: int) -> None:
        """Add owners without rows."""
        end = int(self.start[-1]) + int(self.count[-1]) if len(self) else 0
        self.start = np.append(self.start, np.full(count, end, dtype=np.uint32))
        self.count = np.append(self.count, np.zeros(count, dtype=np.uint32))
        self.generation += 1

    def _free(self, first: int, last: int) -> npt.NDArray[np.uint32]:
        """Return how many free places follow the rows of owners first, ..., last - 1."""
        ends = self.start[first + 1 : last + 1]
        if last == len(self):
            ends = np.append(ends, np.uint32(next(iter(self.columns.values())).shape[0]))
        return ends - self.start[first:last] - self.count[first:last]

    def _borrow(self, owner: int) -> bool:
        """Move what lies between an owner and the nearest free place by one; return whether there is one near."""
        window = _NEAR
        while window <= _FAR:
            first, last = max(0, owner - window), min(owner + 1 + window, len(self))
            after, before = self._free(owner + 1, last), self._free(first, owner)
            if after.any():
                self._shift(owner + 1, owner + 2 + int((after > 0).argmax()), 1)
                return True
            if before.any():
                self._shift(owner - int((before[::-1] > 0).argmax()), owner + 1, -1)
                return True
            window *= _WIDER
        return False

    def _shift(self, first: int, last: int, by: int) -> None:
        """Move the rows of owners first, ..., last - 1 by a place."""
        low, high = int(self.start[first]), int(self.start[last - 1]) + int(self.count[last - 1])
        for column in self.columns.values():
            column[low + by : high + by] = column[low:high]
        self.start[first:last] = self.start[first:last].astype(np.int64) + by

    def lay_out(self, owner: int = 0, places: int = 0) -> None:
        """Lay all rows out anew in the order of owners, free places strewn between, more around one that needs some."""
        held = self.count.astype(np.int64)
        spare = int(held.sum()) // _FREE + _LEAST
        gaps = np.diff(np.arange(len(self) + 1) * spare // max(len(self), 1))
        if places:
            around = slice(max(0, owner - _FAR), owner + _FAR)
            gaps[around] += 1 + held[around] // 4
            gaps[owner] += places + held[owner] // 4
        start = np.cumsum(held + gaps) - held - gaps
        length = int(held.sum() + gaps.sum())
        fresh = {name: np.zeros(length, dtype=column.dtype) for name, column in self.columns.items()}
        for first in range(0, len(self), _AT_A_TIME):
            some = slice(first, first + _AT_A_TIME)
            old, new = ranges(self.start[some], self.count[some]), ranges(start[some], self.count[some])
            for name, column in self.columns.items():
                fresh[name][new] = column[old]
        self.columns = fresh
        self.start = start.astype(np.uint32)
        self.generation += 1
