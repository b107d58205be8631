"""The pools of accounts that come and grow: which account each is of, its key, its class, and the buckets it holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from crossmargin.margin.program.compact import CompactBook

    Floats = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.int64]

__all__ = ["LivePools"]

_NONE: Final = -1
_ROOM: Final = 16  # a share of the pools stands free for new ones
_LEAST: Final = 64


class LivePools:
    """Columns [room] of pools, the first `count` in use; those of an account are linked, in the order of their keys.

    `first` [accounts' room] is an account's first pool or -1, `follow` a pool's next one or -1. `mask` has a bit for
    each bucket held (its number modulo 64); a bit too many does no harm.
    """

    def __init__(self, book: CompactBook) -> None:
        self.count = len(book.legs)
        self.accounts = len(book)
        room = self.count + self.count // _ROOM + _LEAST
        self.account = _padded(book.pool_account.astype(np.int32), room, _NONE)
        self.key = _padded(book.pool_key.astype(np.int64), room)
        self.pool_class = _padded(book.legs.pool_class, room)
        self.inputs = np.zeros((book.legs.inputs.shape[0], room))
        self.inputs[:, : self.count] = book.legs.inputs
        self.mask = np.zeros(room, dtype=np.uint64)
        self.follow = np.full(room, _NONE, dtype=np.int32)
        self.first = np.full(self.accounts + self.accounts // _ROOM + _LEAST, _NONE, dtype=np.int32)
        self.account_class = _padded(book.account_class, self.first.shape[0])
        self._link(book.pool_account)

    @property
    def room(self) -> int:
        """How many pools the columns have room for."""
        return int(self.account.shape[0])

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        columns = (self.account, self.key, self.pool_class, self.inputs, self.mask, self.follow, self.first)
        return sum(int(column.nbytes) for column in columns)

    def _link(self, account: npt.NDArray[Any]) -> None:
        pools = np.arange(self.count, dtype=np.int32)
        again = np.flatnonzero(account[1:] == account[:-1])
        self.follow[again] = pools[again + 1]
        self.first[account[::-1]] = pools[::-1]

    def of(self, account: int) -> Iterator[int]:
        """Yield an account's pools."""
        pool = int(self.first[account])
        while pool >= 0:
            yield pool
            pool = int(self.follow[pool])

    def find(self, account: int, key: int) -> int:
        """Return an account's pool of a key, -1 where there is none."""
        return next((pool for pool in self.of(account) if self.key[pool] == key), _NONE)

    def add_account(self, account_class: int) -> int:
        """Return the number of a new account, which has no pool yet."""
        if self.accounts == self.first.shape[0]:
            room = self.accounts + self.accounts // _ROOM + _LEAST
            self.first = _padded(self.first, room, _NONE)
            self.account_class = _padded(self.account_class, room)
        self.account_class[self.accounts] = account_class
        self.accounts += 1
        return self.accounts - 1

    def open(self, account: int, key: int, pool_class: int) -> int:
        """Return a new pool of an account; the columns must have room for it."""
        pool = self.count
        self.count += 1
        self.account[pool], self.key[pool], self.pool_class[pool] = account, key, pool_class
        before = [one for one in self.of(account) if self.key[one] < key]
        if before:
            self.follow[pool], self.follow[before[-1]] = self.follow[before[-1]], pool
        else:
            self.follow[pool], self.first[account] = self.first[account], pool
        return pool

    def grow(self) -> int:
        """Make room for more pools; return for how many."""
        before, room = self.room, self.room + self.room // _ROOM + _LEAST
        self.account = _padded(self.account, room, _NONE)
        self.follow = _padded(self.follow, room, _NONE)
        self.key, self.mask = _padded(self.key, room), _padded(self.mask, room)
        self.pool_class = _padded(self.pool_class, room)
        self.inputs = np.concatenate([self.inputs, np.zeros((self.inputs.shape[0], room - before))], axis=1)
        return room - before

    def order(self) -> Ints:
        """Return all pools, those of an account side by side and in the order of their keys."""
        account, key = self.account[: self.count], self.key[: self.count]
        ahead = (account[1:] > account[:-1]) | ((account[1:] == account[:-1]) & (key[1:] > key[:-1]))
        if ahead.all():
            return np.arange(self.count)
        return np.lexsort([key, account])


def _padded(column: npt.NDArray[Any], room: int, value: int = 0) -> npt.NDArray[Any]:
    wide = np.full(room, value, dtype=column.dtype)
    wide[: column.shape[0]] = column
    return wide
