"""An engine with room for some pools, whose legs are written anew for each question."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from crossmargin import kernels
from crossmargin.clearing.pool_legs import SIDES, numbers_beside
from crossmargin.margin.program.book import SMALL

if TYPE_CHECKING:
    from crossmargin.clearing.ground import Ground
    from crossmargin.clearing.pool_legs import Numbers

_LEAST: Final = 64  # pools, legs and numbers beside them that there is room for


@dataclass(frozen=True, slots=True)
class PoolColumns:
    """A pool as the engine reads it: its legs ascending by row, what few legs have in a list beside.

    Parameters
    ----------
    keys
        What the legs are known by, ``row * SIDES + side + 1``.
    extra_at
        By leg, where its part of the list beside begins; and where the last one's ends.
    """

    keys: list[int]
    row: array[int]
    quantity: array[float]
    extra_leg: array[int]
    extra_value: array[float]
    extra_at: list[int]


def laid_out(legs: dict[int, Numbers], rows: int) -> PoolColumns:
    """Return a pool's legs in columns, for a program of so many rows."""
    keys = sorted(legs)
    extra_leg, extra_value, extra_at = [], [], [0]
    for place, key in enumerate(keys):
        for code, value in _beside(legs[key]):
            extra_leg.append(place | code)
            extra_value.append(value)
        extra_at.append(len(extra_leg))
    return PoolColumns(
        keys,
        array("H" if rows <= SMALL else "i", [key // SIDES for key in keys]),
        array("d", [legs[key][0] for key in keys]),
        array("I", extra_leg),
        array("d", extra_value),
        extra_at,
    )


def lay(columns: PoolColumns, key: int, numbers: Numbers | None) -> None:
    """Write one leg into a pool's columns, or take it out (None); they then are those of :func:`laid_out`."""
    place = bisect_left(columns.keys, key)
    stood = place < len(columns.keys) and columns.keys[place] == key
    came = 0
    if not stood:
        if numbers is None:
            return
        came = 1
        columns.keys.insert(place, key)
        columns.row.insert(place, key // SIDES)
        columns.quantity.insert(place, numbers[0])
        columns.extra_at.insert(place + 1, columns.extra_at[place])
    elif numbers is None:
        came = -1
        for column in (columns.keys, columns.row, columns.quantity):
            del column[place]
    else:
        columns.quantity[place] = numbers[0]
    _lay_beside(columns, place, came, numbers)


def _lay_beside(columns: PoolColumns, place: int, came: int, numbers: Numbers | None) -> None:
    """Write what a leg has beside its quantity; `came` is 1 for a leg that is new, -1 for one that is gone."""
    at, end = columns.extra_at[place], columns.extra_at[place + 1]
    beside = [] if numbers is None else _beside(numbers)
    if not came and len(beside) == end - at:  # as ever: other numbers in the same places
        for where, (code, value) in enumerate(beside, at):
            columns.extra_leg[where], columns.extra_value[where] = place | code, value
        return
    if beside or at < end:
        columns.extra_leg[at:end] = array("I", [place | code for code, _ in beside])
        columns.extra_value[at:end] = array("d", [value for _, value in beside])
    if came < 0:
        del columns.extra_at[place + 1]
    more = len(beside) - (end - at)
    if more:
        columns.extra_at[place + 1 :] = [start + more for start in columns.extra_at[place + 1 :]]
    if came:
        behind = at + len(beside)
        columns.extra_leg[behind:] = array("I", [leg + came for leg in columns.extra_leg[behind:]])


def _beside(numbers: Numbers) -> list[tuple[int, float]]:
    """Return a leg's numbers beside its quantity that are not 0, with their codes."""
    if len(numbers) == 1:
        return []
    return [(code, numbers[column]) for column, code in numbers_beside(numbers) if numbers[column]]


class PoolEngine:
    """A program over buffers of its own; they grow, and their content lasts for one run."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._room = dict.fromkeys(("pools", "legs", "extras"), 0)
        self._outputs = ground.program.outputs

    def run(self, pools: list[PoolColumns], classes: list[int]) -> list[list[float]]:
        """Return each pool's outputs, in the order of the program's, then how many of its legs are refused."""
        self._make_room(len(pools), sum([len(one.row) for one in pools]), sum([len(one.extra_leg) for one in pools]))
        row, quantity, extra_leg, extra_value, start, count, extra_start, extra_count, pool_class = self._views
        leg = extra = 0
        for pool, one in enumerate(pools):
            legs, beside = len(one.row), len(one.extra_leg)
            start[pool], count[pool], extra_start[pool], extra_count[pool] = leg, legs, extra, beside
            pool_class[pool] = classes[pool]
            row[leg : leg + legs] = one.row
            quantity[leg : leg + legs] = one.quantity
            extra_leg[extra : extra + beside] = one.extra_leg
            extra_value[extra : extra + beside] = one.extra_value
            leg, extra = leg + legs, extra + beside
        self._engine.run(self._units[: len(pools)], self._out, kernels.threads_in_use())
        found: list[list[float]] = self._read[: len(pools)].tolist()
        return found

    def _make_room(self, pools: int, legs: int, extras: int) -> None:
        known = self._room
        if pools <= known["pools"] and legs <= known["legs"] and extras <= known["extras"]:
            return
        wanted = {"pools": pools, "legs": legs, "extras": extras}
        room = self._room = {name: max(_LEAST, 2 * want, known[name]) for name, want in wanted.items()}
        types = _TYPES | {"row": np.uint16 if self._ground.rows <= SMALL else np.int32}
        buffers: dict[str, Any] = {name: np.zeros(room[_KINDS[name]], dtype=kind) for name, kind in types.items()}
        self._views = [memoryview(buffers[name]) for name in _KINDS]
        buffers["inputs"] = np.repeat(np.asarray(self._ground.inputs, dtype=np.float64)[:, None], room["pools"], 1)
        self._units = np.arange(room["pools"])
        outputs = self._outputs + (not self._ground.program.may_refuse)
        out = np.zeros((outputs, room["pools"]))  # the last stays 0 where nothing may be refused
        self._out, self._read = out[: self._outputs], out.T
        self._engine = kernels.account_engine(buffers, self._ground.program.arrays)


_KINDS: Final = {
    "row": "legs", "quantity": "legs", "extra_leg": "extras", "extra_value": "extras",
    **dict.fromkeys(("start", "count", "extra_start", "extra_count", "pool_class"), "pools"),
}  # fmt: skip
_TYPES: Final[dict[str, Any]] = {
    "quantity": np.float64, "extra_leg": np.uint32, "extra_value": np.float64, "pool_class": np.uint8,
    **dict.fromkeys(("start", "count", "extra_start", "extra_count"), np.uint32),
}  # fmt: skip
