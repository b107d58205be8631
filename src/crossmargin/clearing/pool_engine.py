"""An engine with room for some pools, whose legs are written anew for each question."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from crossmargin import kernels
from crossmargin.clearing.pool_legs import SIDES, numbers_beside
from crossmargin.margin.program.book import SMALL

if TYPE_CHECKING:
    from crossmargin.clearing.ground import Ground
    from crossmargin.clearing.pool_legs import Numbers

_LEAST: Final = 64  # pools, legs and numbers beside them that there is room for


@dataclass(slots=True)
class PoolColumns:
    """Pools as the engine reads them: their legs side by side, what few legs have in a list beside."""

    row: list[int] = field(default_factory=list)
    quantity: list[float] = field(default_factory=list)
    start: list[int] = field(default_factory=list)
    count: list[int] = field(default_factory=list)
    extra_leg: list[int] = field(default_factory=list)
    extra_value: list[float] = field(default_factory=list)
    extra_start: list[int] = field(default_factory=list)
    extra_count: list[int] = field(default_factory=list)
    pool_class: list[int] = field(default_factory=list)

    def add(self, legs: dict[int, Numbers], pool_class: int) -> None:
        """Add a pool, its legs ascending by row."""
        extra_leg, extra_value = self.extra_leg, self.extra_value
        extras = len(extra_leg)
        keys = sorted(legs)
        self.start.append(len(self.row))
        self.row += [key // SIDES for key in keys]
        self.quantity += [legs[key][0] for key in keys]
        for place, key in enumerate(keys):
            numbers = legs[key]
            if len(numbers) > 1:
                for column, code in numbers_beside(numbers):
                    if numbers[column]:
                        extra_leg.append(place | code)
                        extra_value.append(numbers[column])
        self.count.append(len(keys))
        self.extra_start.append(extras)
        self.extra_count.append(len(extra_leg) - extras)
        self.pool_class.append(pool_class)


class PoolEngine:
    """A program over buffers of its own; they grow, and their content lasts for one run."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._room = dict.fromkeys(("pools", "legs", "extras"), 0)
        self._buffers: dict[str, Any] = {}

    def run(self, columns: PoolColumns) -> list[list[float]]:
        """Return each pool's outputs, in the order of the program's, then how many of its legs are refused."""
        wanted = {"pools": len(columns.count), "legs": len(columns.row), "extras": len(columns.extra_leg)}
        if any(wanted[name] > room for name, room in self._room.items()):
            self._make_room(wanted)
        pools, b = wanted["pools"], self._buffers
        for name, kind in _KINDS.items():
            b[name][: wanted[kind]] = getattr(columns, name)
        outputs = self._ground.program.outputs
        self._engine.run(self._units[:pools], self._out[:outputs], kernels.threads_in_use())
        found: list[list[float]] = self._out[:, :pools].T.tolist()
        return found

    def _make_room(self, wanted: dict[str, int]) -> None:
        room = {name: max(_LEAST, 2 * count, self._room[name]) for name, count in wanted.items()}
        types = _TYPES | {"row": np.uint16 if self._ground.rows <= SMALL else np.int32}
        self._buffers = {name: np.zeros(room[_KINDS[name]], dtype=kind) for name, kind in types.items()}
        self._buffers["inputs"] = np.repeat(
            np.asarray(self._ground.inputs, dtype=np.float64)[:, None], room["pools"], 1
        )
        self._units = np.arange(room["pools"])
        program = self._ground.program
        self._out = np.zeros((program.outputs + (not program.may_refuse), room["pools"]))
        self._engine = kernels.account_engine(self._buffers, self._ground.program.arrays)
        self._room = room


_KINDS: Final = {
    "row": "legs", "quantity": "legs", "extra_leg": "extras", "extra_value": "extras",
    **dict.fromkeys(("start", "count", "extra_start", "extra_count", "pool_class"), "pools"),
}  # fmt: skip
_TYPES: Final[dict[str, Any]] = {
    "quantity": np.float64, "extra_leg": np.uint32, "extra_value": np.float64, "pool_class": np.uint8,
    **dict.fromkeys(("start", "count", "extra_start", "extra_count"), np.uint32),
}  # fmt: skip
