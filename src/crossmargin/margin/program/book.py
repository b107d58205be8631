"""A book laid out for the engine: the legs of a pool side by side, a number of two or four bytes and a quantity each.

What few legs have (a cost, accrued funding, a leverage, open orders) stands in a list beside them.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from crossmargin.margin.program.ids import Ids
from crossmargin.margin.program.nodes import COLUMNS
from crossmargin.margin.program.slots import ranges

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    from crossmargin.errors import Failure
    from crossmargin.margin.program.universe import Universe

    Floats = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.int64]

__all__ = [
    "EXTRA_COLUMNS",
    "PLACE_MASK",
    "PLACE_SHIFT",
    "SMALL",
    "CompactBook",
    "LegArrays",
    "inputs_of",
    "reports_in",
    "stated",
]

EXTRA_COLUMNS: Final = COLUMNS[1:9]
"""The numbers of a leg that stand in the list beside; the place in `COLUMNS` is the engine's number."""
PLACE_SHIFT: Final = 28
PLACE_MASK: Final = (1 << PLACE_SHIFT) - 1
SMALL: Final = 1 << 16
"""So many rows fit two bytes."""


@dataclass(frozen=True, slots=True)
class LegArrays:
    """Legs and pools as the engine reads them.

    `row` and `quantity` [arena] are legs, those of a pool from `start` on, `count` many, ascending by row. `extra_leg`
    holds the leg's place in its pool and, from bit 28 on, the column's number; `extra_value` its number. `pool_class`
    [pools] points into the universe's pools; `inputs` [inputs, pools], or [inputs, 0] where no pool has any.
    """

    row: npt.NDArray[Any]
    quantity: Floats
    start: npt.NDArray[np.uint32]
    count: npt.NDArray[np.uint32]
    extra_start: npt.NDArray[np.uint32]
    extra_count: npt.NDArray[np.uint32]
    extra_leg: npt.NDArray[np.uint32]
    extra_value: Floats
    pool_class: npt.NDArray[np.uint8]
    inputs: Floats

    def __len__(self) -> int:
        """Return the number of pools."""
        return int(self.start.shape[0])

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        return sum(int(getattr(self, f.name).nbytes) for f in fields(self))

    def buffers(self) -> dict[str, Any]:
        """Return the arrays by name."""
        return {f.name: getattr(self, f.name) for f in fields(self)}

    def inputs_of(self, pools: slice | Ints) -> Floats:
        """Return the inputs of some pools [inputs, pools], zeros where none has any."""
        return inputs_of(self.inputs, pools)

    def part(self, first: int, last: int) -> LegArrays:
        """Return pools [first, last) over the same legs: views, but for the inputs of a rulebook that has several."""
        cut = {name: getattr(self, name)[first:last] for name in _BY_POOL}
        return replace(self, **cut, inputs=np.ascontiguousarray(self.inputs[:, first:last]))

    def of_pools(self, pools: Ints) -> LegArrays:
        """Return some pools over the same legs, of which none is copied."""
        cut = {name: getattr(self, name)[pools] for name in _BY_POOL}
        return replace(self, **cut, inputs=stated(self.inputs_of(pools)))

    def packed(self) -> LegArrays:
        """Return the same pools with no leg and no extra but theirs, those of a pool after those of the one before."""
        start, legs = _alone(self.start, self.count)
        extra_start, extras = _alone(self.extra_start, self.extra_count)
        return replace(
            self,
            start=start,
            extra_start=extra_start,
            row=self.row[legs],
            quantity=self.quantity[legs],
            extra_leg=self.extra_leg[extras],
            extra_value=self.extra_value[extras],
        )


def inputs_of(inputs: Floats, pools: slice | Ints) -> Floats:
    """Return copies of the inputs of some pools [inputs, pools], zeros where no pool has any."""
    if inputs.shape[1]:
        return np.ascontiguousarray(inputs[:, pools])
    return np.zeros((inputs.shape[0], pools.stop - pools.start if isinstance(pools, slice) else len(pools)))


def reports_in(universe: Universe, pool_class: npt.NDArray[np.uint8], asset: str) -> bool:
    """Return whether one of some pools, by their classes, reports in an asset."""
    return any(universe.pools[n].reporting == asset for n in np.unique(pool_class).tolist())


def stated(inputs: Floats) -> Floats:
    """Return inputs as a book holds them: [inputs, 0] where no pool has any."""
    return inputs if inputs.any() else inputs[:, :0].copy()


_BY_POOL: Final = ("start", "count", "extra_start", "extra_count", "pool_class")


def _alone(start: npt.NDArray[np.uint32], count: npt.NDArray[np.uint32]) -> tuple[npt.NDArray[np.uint32], slice | Ints]:
    """Return where runs start once they stand alone, and where they stand now: a slice where they lie so already."""
    held = count.astype(np.int64)
    fresh = (np.cumsum(held) - held).astype(np.uint32)
    first = int(start[0]) if start.size else 0
    together = bool(((start.astype(np.int64) - first == fresh) | (count == 0)).all())
    return fresh, slice(first, first + int(held.sum())) if together else ranges(start, count)


@dataclass(frozen=True, slots=True)
class CompactBook:
    """Many accounts under one rulebook's pools, ready for :func:`assess_book` at any moment's prices.

    `pool_account` [pools] points into `account_ids`, pools of an account side by side; `pool_key` is the pool's
    key within its account and `pool_labels` its name. `failures` are accounts that no price can help: they hold no
    pool.
    """

    account_ids: Ids
    account_class: npt.NDArray[np.uint8]
    pool_account: npt.NDArray[np.int32]
    pool_key: npt.NDArray[np.int64]
    pool_labels: Mapping[int, str]
    universe: Universe
    legs: LegArrays
    failures: Mapping[int, Failure]
    rulebook: str

    def __len__(self) -> int:
        """Return the number of accounts, refused ones included."""
        return len(self.account_ids)

    @property
    def nbytes(self) -> int:
        """Bytes of all that grows with the accounts."""
        own = (self.account_ids, self.account_class, self.pool_account, self.pool_key, self.legs)
        return sum(int(part.nbytes) for part in own)

    def part(self, first: int, last: int) -> CompactBook:
        """Return accounts [first, last) as a book of their own over the same legs, of which none is copied.

        Raises
        ------
        IndexError
            When there are no such accounts.
        """
        if not 0 <= first <= last <= len(self):
            message = f"accounts {first} to {last} of {len(self)}"
            raise IndexError(message)
        low, high = np.searchsorted(self.pool_account, [first, last]).tolist()
        return replace(
            self,
            account_ids=self.account_ids[first:last],
            account_class=self.account_class[first:last],
            pool_account=self.pool_account[low:high] - np.int32(first),
            pool_key=self.pool_key[low:high],
            legs=self.legs.part(low, high),
            failures={n - first: failure for n, failure in self.failures.items() if first <= n < last},
        )

    def of_accounts(self, accounts: Ints) -> CompactBook:
        """Return some accounts, ascending, as a book of their own over the same legs, of which none is copied."""
        low, high = np.searchsorted(self.pool_account, accounts), np.searchsorted(self.pool_account, accounts + 1)
        pools = ranges(low, high - low)
        place = {account: n for n, account in enumerate(accounts.tolist())}
        return replace(
            self,
            account_ids=Ids.of([self.account_ids[account] for account in place]),
            account_class=self.account_class[accounts],
            pool_account=np.repeat(np.arange(accounts.shape[0], dtype=np.int32), high - low),
            pool_key=self.pool_key[pools],
            legs=self.legs.of_pools(pools),
            failures={place[account]: failure for account, failure in self.failures.items() if account in place},
        )

    def repeated_account(self) -> str | None:
        """Return an account id that stands more than once and is not refused, None where there is none."""
        repeated = self.account_ids.repeated().tolist()
        return next((self.account_ids[n] for n in repeated if n not in self.failures), None)

    def reports(self, asset: str) -> bool:
        """Return whether some pool reports in an asset."""
        return reports_in(self.universe, self.legs.pool_class, asset)

    def packed(self) -> CompactBook:
        """Return the same book with no leg but its accounts': what is shipped or written of a part."""
        return replace(self, account_ids=self.account_ids.packed(), legs=self.legs.packed())
