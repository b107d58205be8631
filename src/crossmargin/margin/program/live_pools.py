"""The pools of accounts that come and grow: whose each is, its key, its class, what it holds, and its figures."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from crossmargin.margin.program.book import reports_in
from crossmargin.margin.program.program import OUTPUTS
from crossmargin.margin.resolve import ISOLATED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy.typing as npt

    from crossmargin.margin.program.compact import CompactBook
    from crossmargin.margin.program.universe import Universe

    Floats = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.int64]

__all__ = ["AMOUNTS", "LivePools"]

AMOUNTS: Final = OUTPUTS.index("coverage")
"""So many of the outputs are amounts, the first; the coverage ratio follows from them."""
_STATE: Final = OUTPUTS.index("state")
_NONE: Final = -1
_ROOM: Final = 64  # a share of the pools stands free for new ones
_LEAST: Final = 64
_FILL: Final = {"account": _NONE, "follow": _NONE}
_COLUMNS: Final = ("account", "key", "pool_class", "mask", "follow", "state", "refused")


class LivePools:
    """Columns [room] of pools, the first `count` in use; those of an account are linked, in the order of their keys.

    `first` [accounts' room] is an account's first pool or -1, `follow` a pool's next one or -1. `key` is a pool's key
    in four bytes: see :meth:`full_key`. `mask` has a bit for each bucket held; a bit too many does no harm. `figures`
    [AMOUNTS, room] are the first of `OUTPUTS`; `refused` says that a leg is. `inputs` [inputs, room], or [inputs, 0]
    where no pool has any. Arrays are replaced, never resized, when `generation` grows.
    """

    def __init__(self, book: CompactBook) -> None:
        self.count = len(book.legs)
        self.accounts = len(book)
        self.generation = 0
        self._alone: list[int] = []  # keys of isolated positions, which four bytes do not hold
        self._number: dict[int, int] = {}
        room = self.count + self.count // _ROOM + _LEAST
        self.account = _padded(book.pool_account.astype(np.int32), room, _NONE)
        self.key = _padded(self._coded(book.pool_key), room)
        self.pool_class = _padded(book.legs.pool_class, room)
        self.inputs = _padded(book.legs.inputs, room) if book.legs.inputs.shape[1] else book.legs.inputs
        self.mask: npt.NDArray[Any] = np.zeros(room, dtype=np.uint64)
        self.follow = np.full(room, _NONE, dtype=np.int32)
        self.figures = np.zeros((AMOUNTS, room))
        self.state = np.zeros(room, dtype=np.int8)
        self.refused = np.zeros(room, dtype=np.uint8)
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
        columns = (getattr(self, name) for name in (*_COLUMNS, "figures", "inputs", "first", "account_class"))
        return sum(int(column.nbytes) for column in columns)

    def _link(self, account: npt.NDArray[Any]) -> None:
        pools = np.arange(self.count, dtype=np.int32)
        again = np.flatnonzero(account[1:] == account[:-1])
        self.follow[again] = pools[again + 1]
        self.first[account[::-1]] = pools[::-1]

    # --- keys

    def _coded(self, keys: Ints) -> npt.NDArray[np.int32]:
        """Return keys in four bytes: shared ones as they are, -1, -2, ... for isolated positions'."""
        coded = keys.astype(np.int32)
        alone = np.flatnonzero(keys >= ISOLATED)
        found, number = np.unique(keys[alone], return_inverse=True)
        codes = np.asarray([self._code(key) for key in found.tolist()], dtype=np.int32)
        coded[alone] = codes[number] if alone.size else 0
        return coded

    def _code(self, key: int) -> int:
        if key < ISOLATED:
            return key
        if key not in self._number:
            self._alone.append(key)
            self._number[key] = -len(self._alone)
        return self._number[key]

    def full_key(self, pools: slice | Ints) -> Ints:
        """Return the keys of some pools, as a compact book has them."""
        coded = self.key[pools].astype(np.int64)
        alone = np.asarray([*self._alone, 0], dtype=np.int64)
        return np.where(coded < 0, alone[np.minimum(-1 - coded, alone.shape[0] - 1) * (coded < 0)], coded)

    def reports(self, universe: Universe) -> Callable[[str], bool]:
        """Return what says whether some pool reports in an asset; `universe` is what the classes point into."""
        return partial(reports_in, universe, self.pool_class[: self.count])

    def is_isolated(self, pool: int) -> bool:
        """Return whether a pool is one isolated position's."""
        return bool(self.key[pool] < 0)

    # --- pools

    def of(self, account: int) -> Iterator[int]:
        """Yield an account's pools."""
        pool = int(self.first[account])
        while pool >= 0:
            yield pool
            pool = int(self.follow[pool])

    def find(self, account: int, key: int) -> int:
        """Return an account's pool of a key, -1 where there is none."""
        code = self._code(key)
        return next((pool for pool in self.of(account) if self.key[pool] == code), _NONE)

    def add_account(self, account_class: int) -> int:
        """Return the number of a new account, which has no pool yet."""
        if self.accounts == self.first.shape[0]:
            room = self.accounts + self.accounts // _ROOM + _LEAST
            self.first = _padded(self.first, room, _NONE)
            self.account_class = _padded(self.account_class, room)
            self.generation += 1
        self.account_class[self.accounts] = account_class
        self.accounts += 1
        return self.accounts - 1

    def open(self, account: int, key: int, pool_class: int) -> int:
        """Return a new pool of an account; the columns must have room for it."""
        pool = self.count
        self.count += 1
        self.account[pool], self.key[pool], self.pool_class[pool] = account, self._code(key), pool_class
        held = np.asarray([*self.of(account)], dtype=np.int64)
        before = held[self.full_key(held) < key].tolist()
        if before:
            self.follow[pool], self.follow[before[-1]] = self.follow[before[-1]], pool
        else:
            self.follow[pool], self.first[account] = self.first[account], pool
        return pool

    def grow(self) -> int:
        """Make room for more pools; return for how many."""
        before, room = self.room, self.room + self.room // _ROOM + _LEAST
        for name in _COLUMNS:
            setattr(self, name, _padded(getattr(self, name), room, _FILL.get(name, 0)))
        self.figures = _padded(self.figures, room)
        self.inputs = _padded(self.inputs, room) if self.inputs.shape[1] else self.inputs
        self.generation += 1
        return room - before

    def put_inputs(self, pools: int | list[int], values: Any) -> None:  # noqa: ANN401 - what NumPy puts there
        """Write the inputs of some pools [inputs, pools], or of one [inputs]."""
        if not self.inputs.shape[1]:
            if not np.any(values):
                return
            self.inputs = np.zeros((self.inputs.shape[0], self.room))
            self.generation += 1
        self.inputs[:, pools] = values

    def keep(self, where: int | slice | Ints, out: Floats) -> None:
        """Write what is kept of the outputs [outputs, pools] of some pools."""
        for row, values in zip(self.figures, out[:AMOUNTS], strict=True):  # row by row: a third quicker
            row[where] = values
        self.state[where] = out[_STATE]
        self.refused[where] = out[-1] > 0 if out.shape[0] > len(OUTPUTS) else 0

    def order(self) -> Ints:
        """Return all pools, those of an account side by side and in the order of their keys."""
        account, key = self.account[: self.count], self.full_key(slice(0, self.count))
        ahead = (account[1:] > account[:-1]) | ((account[1:] == account[:-1]) & (key[1:] > key[:-1]))
        if ahead.all():
            return np.arange(self.count)
        return np.lexsort([key, account])


def _padded(column: npt.NDArray[Any], room: int, value: int = 0) -> npt.NDArray[Any]:
    wide = np.full((*column.shape[:-1], room), value, dtype=column.dtype)
    wide[..., : column.shape[-1]] = column
    return wide
