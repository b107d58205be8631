"""Where scans of one pass stand among its columns, and sums of legs beside them.

What a pass reads is what it costs: lines that never meet share columns, and sums stand in what is left of a vector.
"""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from crossmargin.margin.program.nodes import Op
from crossmargin.margin.program.pools import WIDTH
from crossmargin.margin.program.template import SIDES

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from crossmargin.margin.program.kinds import Scanned

    Floats = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.int64]

__all__ = ["Beside", "Layout", "lanes_beside", "layout_of", "scan_slots"]

_REPEATED: Final = 1.25  # of contracts: so many rows are still read as quickly
_SHORT: Final = 224  # columns: with sums beside them a row still stays in registers


def scan_slots(members: Sequence[Op]) -> list[tuple[Op, ...]]:
    """Return which scans of a pass share their columns: where one has legs in a row of their level no other has.

    What is measured there is the worst loss of whichever has them.
    """
    slots: list[list[Op]] = []
    for node in members:
        plain = node.more.tail.measure == "worst" and not node.more.bends and node.more.weight is None
        mates = (slot for slot in slots if plain and _apart(node, slot))
        slot = next(mates, None)
        if slot is None:
            slots.append([node])
        else:
            slot.append(node)
    return [tuple(slot) for slot in slots]


def _apart(node: Op, slot: Sequence[Op]) -> bool:
    first: Scanned = slot[0].more
    plain = first.tail.measure == "worst" and not first.bends and first.weight is None
    same = first.gain.shape == node.more.gain.shape
    return plain and same and not any((node.more.inside & other.more.inside).any() for other in slot)


class Beside(NamedTuple):
    """Coefficients of sums of legs [template rows, lanes]: what each takes of a quantity, and of it unsigned."""

    signed: Floats
    unsigned: Floats

    @property
    def lanes(self) -> int:
        """How many sums there are."""
        return int(self.signed.shape[1])

    @property
    def apart(self) -> bool:
        """Whether the side of a leg matters."""
        return bool(self.unsigned.any())


def lanes_beside(slots: Sequence[Sequence[Op]], level: str, contract: Ints, sums: Floats | None) -> Beside | None:
    """Return the coefficients of sums of legs onto a level [template legs, lanes] to stand beside scans' cells.

    None where there are none, or scans cannot carry them: they end at another level, wait for something, differ by
    side, or have long rows; or there would be many more rows.
    """
    if sums is None:
        return None
    rows, members = contract[::SIDES], [node for slot in slots for node in slot]
    waits = any(isinstance(part, Op) for node in members for part in node.parts)
    if members[0].level != level or members[0].more.shocked is not None or waits:
        return None
    alike = all(np.array_equal(node.more.scale[::SIDES], node.more.scale[SIDES - 1 :: SIDES]) for node in members)
    short = sums.shape[1] <= WIDTH and sum(_whole(_cells_of(slot)) for slot in slots) <= _SHORT
    few = rows.shape[0] <= _REPEATED * np.unique(rows).shape[0]
    if not (alike and short and few and np.isfinite(sums).all()):
        return None
    # q a + |q| b is exact where one of both is 0, or both are half of the same
    half, other = sums[::SIDES] / 2, sums[SIDES - 1 :: SIDES] / 2
    return Beside(other + half, other - half)


class Layout(NamedTuple):
    """Where scans' cells stand among the columns of a pass, each from a whole vector on, and sums of legs beside them.

    `lanes` are the vectors of signed coefficients, `first` the place of the first in them, and `apart` the column where
    the unsigned ones begin, or -1.
    """

    starts: list[int]
    ends: list[int]
    pitch: int
    lanes: tuple[int, int] = (0, 0)
    first: int = 0
    apart: int = -1


def layout_of(slots: Sequence[Sequence[Op]], sums: Beside | None) -> Layout:
    """Return where scans stand, and sums of legs in what is left of a vector, so that little more is read."""
    cells = [_cells_of(slot) for slot in slots]
    starts = list(accumulate((_whole(count) for count in cells), initial=0))
    pitch = starts.pop()
    ends = [*starts[1:], pitch]
    if sums is None:
        return Layout(starts, ends, pitch)
    first = pitch
    for n, (node, *_) in enumerate(slots):
        if starts[n] + cells[n] + sums.lanes <= ends[n] and not node.more.bends:
            first = ends[n] = starts[n] + cells[n]
            break
    begin, end = first // WIDTH * WIDTH, _whole(first + sums.lanes)
    apart = max(pitch, end) if sums.apart else -1
    wide = apart + end - begin if sums.apart else max(pitch, end)
    return Layout(starts, ends, wide, (begin, end), first - begin, apart)


def _cells_of(slot: Sequence[Op]) -> int:
    return int(slot[0].more.gain.shape[1])


def _whole(columns: int) -> int:
    return -(-columns // WIDTH) * WIDTH
