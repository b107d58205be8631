"""Scenario axes: the product of moves, each scenario with a name that a person can read."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Axes:
    """Scenarios in columns, each array [scenarios].

    `spot` a fraction (before any scale), `rate` absolute, `basis` relative at one year, `time` in years, `peg`
    relative; `vol` names of shocked vols.
    """

    spot: Floats
    vol: tuple[str, ...]
    rate: Floats
    basis: Floats
    time: Floats
    peg: Floats

    def __len__(self) -> int:
        """Return the number of scenarios."""
        return len(self.vol)


def axes_product(
    spot: Sequence[float],
    vol: Sequence[str],
    rate: Sequence[float],
    basis: Sequence[float],
    time: Sequence[float],
    peg: Sequence[float],
) -> Axes:
    """Return every combination, the first axis slowest."""
    rows = list(product(spot, vol, rate, basis, time, peg))
    columns = list(zip(*rows, strict=True))
    numbers = [np.asarray(columns[i], dtype=np.float64) for i in (0, 2, 3, 4, 5)]
    return Axes(numbers[0], tuple(columns[1]), *numbers[1:])


def concatenate_axes(blocks: Sequence[Axes]) -> Axes:
    """Return the scenarios of all blocks, in order."""
    if len(blocks) == 1:
        return blocks[0]
    vol = tuple(name for block in blocks for name in block.vol)
    numbers = ("spot", "rate", "basis", "time", "peg")
    joined = {name: np.concatenate([getattr(block, name) for block in blocks]) for name in numbers}
    return Axes(vol=vol, **joined)


def scenario_name(spot: float | None, vol: str, rate: float, basis: float, time: float, peg: float) -> str:
    """Return a scenario's name, for example ``spot -16 %, vol up``. `spot` None: each row moves by its own scale."""
    parts = ["spot own move" if spot is None else f"spot {_percent(spot)}", f"vol {vol}"]
    parts += [f"rate {rate * 1e4:+g} bp"] * (rate != 0)
    parts += [f"basis {_percent(basis)}"] * (basis != 0)
    parts += [f"time {time * 365:+g} d"] * (time != 0)
    parts += [f"peg {_percent(peg)}"] * (peg != 0)
    return ", ".join(parts)


def _percent(value: float) -> str:
    return "0 %" if value == 0 else f"{value * 100:+.4g} %"
