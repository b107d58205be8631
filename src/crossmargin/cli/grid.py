"""A scenario table as a grid of spot moves and vol moves, where its names say that it is one."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from crossmargin.margin.report import ScenarioRow, ScenarioTable

_NAME = re.compile(r"spot (?P<spot>[+-]?\d+(?:\.\d+)?(?:e[+-]?\d+)?) (?P<unit>%|x own range), vol (?P<vol>[\w.]+)")
DARK, LIGHT = "#1b1b1b", "#ffffff"
_VOL_ORDER = {"down": 0, "same": 1, "up": 2}


@dataclass(frozen=True, slots=True)
class Grid:
    """Scenarios by (vol, spot move); `rest` are those off the grid (other axes).

    Spot moves are in percent, or - `own_range` - in multiples of each asset's own range.
    """

    spots: tuple[float, ...]
    vols: tuple[str, ...]
    cells: Mapping[tuple[str, float], ScenarioRow]
    rest: tuple[ScenarioRow, ...]
    own_range: bool = False

    def label(self, spot: float) -> str:
        """Return a spot move in words short enough for a column's head."""
        return f"{spot:+g}{'x' if self.own_range else '%'}" if spot else "0"

    @property
    def corner(self) -> str:
        """What rows and columns are."""
        return "vol \\ range" if self.own_range else "vol \\ spot"


def read_grid(table: ScenarioTable) -> Grid | None:
    """Return the grid of a table; None where fewer than half of its scenarios lie on one."""
    cells: dict[tuple[str, float], ScenarioRow] = {}
    rest: list[ScenarioRow] = []
    units: set[str] = set()
    block = 1
    for row in table.scenarios:
        found = _NAME.fullmatch(row.name)
        if found is None:
            rest.append(row)
            continue
        spot = float(found["spot"])
        if (_vol_row(found["vol"], block), spot) in cells:  # the set's next block, with another weight
            block += 1
        cells[_vol_row(found["vol"], block), spot] = row
        units |= {found["unit"]} if spot else set()
    spots = tuple(sorted({spot for _, spot in cells}))
    vols = tuple(sorted({vol for vol, _ in cells}, key=_vol_order))
    sparse = len(cells) * 2 < len(table.scenarios)
    if len(spots) < 3 or sparse or len(units) > 1:  # noqa: PLR2004  # two columns make no picture
        return None
    return Grid(spots, vols, cells, tuple(rest), own_range=units == {"x own range"})


def _vol_row(vol: str, block: int) -> str:
    return vol if block == 1 else f"{vol} ({block})"


def _vol_order(vol: str) -> tuple[str, int, str]:
    """Return the key that puts the first block on top, and in it vol up above vol down."""
    name, _, block = vol.partition(" ")
    return block, -_VOL_ORDER.get(name, 1), name


def scale_of(table: ScenarioTable) -> float:
    """Return the largest P&L of a table without its sign; 1 for a table of zeros."""
    return max((abs(row.pnl) for row in table.scenarios), default=0.0) or 1.0


def heat(pnl: float, scale: float) -> tuple[int, int, int]:
    """Return a colour: red for a loss, green for a gain, pale near zero. Its strength grows with the root."""
    strength = min(1.0, abs(pnl) / scale) ** 0.6
    end = (196, 52, 44) if pnl < 0 else (22, 134, 96)
    pale = (243, 241, 236)
    red, green, blue = (round(a + (b - a) * strength) for a, b in zip(pale, end, strict=True))
    return red, green, blue


def ink(colour: tuple[int, int, int]) -> str:
    """Return black or white, whichever reads better on `colour` (relative luminance)."""
    red, green, blue = colour
    return DARK if 0.299 * red + 0.587 * green + 0.114 * blue > 140 else LIGHT  # noqa: PLR2004
