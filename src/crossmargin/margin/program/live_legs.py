"""The legs of many pools that change one at a time: found, read and written where they stand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from crossmargin.margin.program.book import inputs_of, stated
from crossmargin.margin.program.compact import PLACE_MASK, PLACE_SHIFT, LegArrays
from crossmargin.margin.program.nodes import COLUMNS
from crossmargin.margin.program.slots import Slots, ranges
from crossmargin.margin.trade import Holding, Terms, trade

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.int64]

__all__ = ["LiveLegs", "fill", "gathered", "number_of"]


def number_of(name: str) -> int:
    """Return the number of a leg's column."""
    return COLUMNS.index(name)


_QUANTITY: Final = number_of("quantity")
_COST: Final = number_of("cost")
_ACCRUED: Final = number_of("accrued")
_LEVERAGE: Final = number_of("leverage")
_BIDS: Final = number_of("bids")
_ASKS: Final = number_of("asks")


class LiveLegs:
    """Legs and what stands beside them, in slots by pool.

    A leg's numbers go in and out as a dictionary by column number (see `number_of`); absent is 0, of leverage none.

    Parameters
    ----------
    by_side
        Whether the long and the short leg of one row are kept apart, the short first.
    """

    def __init__(self, arrays: LegArrays, *, by_side: bool) -> None:
        self.by_side = by_side
        self.legs = Slots({"row": arrays.row, "quantity": arrays.quantity}, arrays.start, arrays.count)
        beside: dict[str, npt.NDArray[Any]] = {"extra_leg": arrays.extra_leg, "extra_value": arrays.extra_value}
        self.extras = Slots(beside, arrays.extra_start, arrays.extra_count)

    @property
    def generation(self) -> int:
        """What grows whenever the arrays are replaced."""
        return self.legs.generation + self.extras.generation

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return self.legs.nbytes + self.extras.nbytes

    def buffers(self) -> dict[str, npt.NDArray[Any]]:
        """Return the arrays that the engine reads, by its names."""
        starts = {"start": self.legs.start, "count": self.legs.count}
        beside = {"extra_start": self.extras.start, "extra_count": self.extras.count}
        return {**self.legs.columns, **starts, **self.extras.columns, **beside}

    def add_pools(self, count: int) -> None:
        """Add pools without legs."""
        self.legs.add_owners(count)
        self.extras.add_owners(count)

    def held(self, pool: int) -> int:
        """Return how many legs a pool has."""
        return int(self.legs.count[pool])

    def rows(self, pool: int) -> npt.NDArray[Any]:
        """Return the rows of a pool's legs, ascending."""
        return self.legs.columns["row"][self.legs.of(pool)]

    def find(self, pool: int, row: int, side: int = 0) -> tuple[int, bool]:
        """Return a leg's place in its pool, and whether it stands there or only belongs there."""
        rows = self.rows(pool)
        key = rows.dtype.type(row)
        first = int(rows.searchsorted(key))
        if not (self.by_side and side):
            return first, first < rows.shape[0] and bool(rows[first] == key)
        last = int(rows.searchsorted(key, "right"))
        for place in range(first, last):
            if self.side(pool, place) == side:
                return place, True
        return (first if side < 0 else last), False

    def side(self, pool: int, place: int) -> int:
        """Return on which side of 0 a leg is, by its quantity, else by its orders."""
        numbers = self.read(pool, place)
        amount = numbers[_QUANTITY] or numbers.get(_BIDS, 0.0) + numbers.get(_ASKS, 0.0)
        return (amount > 0) - (amount < 0)

    def read(self, pool: int, place: int) -> dict[int, float]:
        """Return a leg's numbers."""
        at = int(self.legs.start[pool]) + place
        numbers = {_QUANTITY: float(self.legs.columns["quantity"][at])}
        span, low, high = self._beside(pool, place)
        packed = self.extras.columns["extra_leg"][span][low:high].tolist()
        values = self.extras.columns["extra_value"][span][low:high].tolist()
        numbers.update((code >> PLACE_SHIFT, value) for code, value in zip(packed, values, strict=True))
        return numbers

    def at(self, pool: int, row: int, side: int = 0) -> dict[int, float]:
        """Return the numbers of the leg of a row, nothing where there is none."""
        place, stands = self.find(pool, row, side)
        return self.read(pool, place) if stands else {_QUANTITY: 0.0}

    def put(self, pool: int, row: int, side: int, numbers: Mapping[int, float], *, keep: bool = False) -> None:
        """Write the numbers of the leg of a row; a leg of nothing goes, unless it is to be kept."""
        place, stands = self.find(pool, row, side)
        beside = {
            column: value
            for column, value in sorted(numbers.items())
            if column != _QUANTITY and (value == value if column == _LEVERAGE else value != 0)  # noqa: PLR0124 (is no NaN)
        }
        quantity = numbers.get(_QUANTITY, 0.0)
        stays = keep or quantity != 0 or bool(beside.keys() - {_LEVERAGE})
        if not stays:
            beside = {}
        if stands:
            self._put_beside(pool, place, beside)
        if stays and stands:
            self.legs.columns["quantity"][int(self.legs.start[pool]) + place] = quantity
        elif stays:
            self.legs.splice(pool, place, place, {"row": [row], "quantity": [quantity]})
            self._shift(pool, place, 1)
            self._put_beside(pool, place, beside)
        elif stands:
            self.legs.splice(pool, place, place + 1, {"row": [], "quantity": []})
            self._shift(pool, place, -1)

    def _put_beside(self, pool: int, place: int, beside: Mapping[int, float]) -> None:
        _, low, high = self._beside(pool, place)
        if beside or high > low:
            packed = [place | (column << PLACE_SHIFT) for column in beside]
            self.extras.splice(pool, low, high, {"extra_leg": packed, "extra_value": list(beside.values())})

    def _beside(self, pool: int, place: int) -> tuple[slice, int, int]:
        """Return where a pool's extras stand, and which of them are a leg's."""
        span = self.extras.of(pool)
        if span.start == span.stop:
            return span, 0, 0
        places = self.extras.columns["extra_leg"][span] & np.uint32(PLACE_MASK)
        return span, int(places.searchsorted(np.uint32(place))), int(places.searchsorted(np.uint32(place + 1)))

    def _shift(self, pool: int, place: int, by: int) -> None:
        """Renumber the legs of extras from a place on, one up or down."""
        packed = self.extras.columns["extra_leg"][self.extras.of(pool)]
        later = (packed & np.uint32(PLACE_MASK)) >= place
        if by > 0:
            packed[later] += np.uint32(1)
        else:
            packed[later] -= np.uint32(1)


def fill(
    legs: LiveLegs, pool: int, row: int, wallet_row: int, terms: Terms, amount: float, price: float, *, keep: bool
) -> None:
    """Apply a trade to a pool: to the legs of a row, and to the wallet that pays; `keep` it where nothing is left."""
    sides = ((-1, 1) if amount > 0 else (1, -1)) if legs.by_side else (0,)
    before = [legs.at(pool, row, side) for side in sides]
    held = [Holding(n[_QUANTITY], n.get(_COST, 0.0), n.get(_ACCRUED, 0.0)) for n in before]
    funding, paid = trade(terms, held[0], held[-1], amount, price)
    for side, numbers, after in zip(sides, before, held, strict=True):
        changed = numbers | {_QUANTITY: after.quantity, _COST: after.cost, _ACCRUED: after.accrued}
        if not numbers[_QUANTITY] * after.quantity > 0:  # what is closed, or turned around, takes its leverage with it
            changed.pop(_LEVERAGE, None)
        legs.put(pool, row, side, changed)
    wallet = legs.at(pool, wallet_row)
    legs.put(pool, wallet_row, 0, wallet | {_QUANTITY: wallet[_QUANTITY] + funding + paid}, keep=keep)


def gathered(legs: LiveLegs, pools: Ints, pool_class: npt.NDArray[np.uint8], inputs: Floats) -> LegArrays:
    """Return copies of some pools' legs without gaps, in the order asked; the last two are of all pools."""
    count, extra_count = legs.legs.count[pools], legs.extras.count[pools]
    at, beside = ranges(legs.legs.start[pools], count), ranges(legs.extras.start[pools], extra_count)
    ends = np.cumsum(count, dtype=np.int64), np.cumsum(extra_count, dtype=np.int64)
    return LegArrays(
        row=legs.legs.columns["row"][at],
        quantity=legs.legs.columns["quantity"][at],
        start=(ends[0] - count).astype(np.uint32),
        count=count,
        extra_start=(ends[1] - extra_count).astype(np.uint32),
        extra_count=extra_count,
        extra_leg=legs.extras.columns["extra_leg"][beside],
        extra_value=legs.extras.columns["extra_value"][beside],
        pool_class=pool_class[pools],
        inputs=stated(inputs_of(inputs, pools)),
    )
