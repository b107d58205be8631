"""Where scans of one pass stand among its columns, and sums of legs beside them.

What a pass reads is what it costs: lines that never meet share columns, and sums stand in what is left of a vector.
"""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from crossmargin.margin.program.nodes import QUANTITY, Op
from crossmargin.margin.program.pools import WIDTH
from crossmargin.margin.program.template import SIDES

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from crossmargin.margin.program.kinds import Scanned
    from crossmargin.margin.program.pools import LegSums

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
    """Sums of legs that stand beside scans' cells: the coefficients of each [template rows, lanes].

    `unsigned` says which of them take a quantity without its sign.
    """

    coefficients: Floats
    unsigned: list[bool]

    @property
    def lanes(self) -> int:
        """How many lanes there are."""
        return len(self.unsigned)


def lanes_beside(slots: Sequence[Sequence[Op]], level: str, contract: Ints, sums: LegSums) -> Beside | None:
    """Return what sums of legs onto a level take of quantities, to stand beside scans' cells.

    None where scans cannot carry them: they end at another level, wait for something, differ by side, or have long
    rows; there would be many more rows; or a sum takes a short leg in another way than with its sign or without.
    """
    rows, members = contract[::SIDES], [node for slot in slots for node in slot]
    waits = any(isinstance(part, Op) for node in members for part in node.parts)
    if members[0].level != level or members[0].more.shocked is not None or waits:
        return None
    alike = all(np.array_equal(node.more.scale[::SIDES], node.more.scale[SIDES - 1 :: SIDES]) for node in members)
    short = sum(_whole(_cells_of(slot)) for slot in slots) <= _SHORT
    few = rows.shape[0] <= _REPEATED * np.unique(rows).shape[0]
    if not (alike and short and few):
        return None
    taken = sums.coefficients(QUANTITY)
    sold, held = taken[::SIDES], taken[SIDES - 1 :: SIDES]
    signed, unsigned = (np.logical_and.reduce(sold == other, axis=0) for other in (held, -held))
    # each leg adds the very product that it would: a sum that treats the sides in other ways stands by itself
    if taken.shape[1] > WIDTH or not (signed | unsigned).all() or not np.isfinite(taken).all():
        return None
    return Beside(held, (~signed).tolist())


class Layout(NamedTuple):
    """Where scans' cells stand among the columns of a pass, each from a whole vector on.

    Sums of legs stand in the last vector, from the place `first` in it on; -1 where there are none.
    """

    starts: list[int]
    ends: list[int]
    pitch: int
    first: int = -1


def layout_of(slots: Sequence[Sequence[Op]], sums: Beside | None) -> Layout:
    """Return where scans stand; sums of legs fill what one leaves of its last vector, or have a vector of their own."""
    cells = [_cells_of(slot) for slot in slots]
    wide = [_whole(count) for count in cells]
    lanes = WIDTH + 1 if sums is None else sums.lanes
    roomy = (n for n, slot in enumerate(slots) if cells[n] + lanes <= wide[n] and not slot[0].more.bends)
    last = next(roomy, -1)
    order = [n for n in range(len(slots)) if n != last] + ([last] if last >= 0 else [])
    begin = dict(zip(order, accumulate((wide[n] for n in order), initial=0), strict=False))
    starts = [begin[n] for n in range(len(slots))]
    ends = [start + (cells[n] if n == last else wide[n]) for n, start in enumerate(starts)]
    own = sums is not None and last < 0
    first = -1 if sums is None else 0 if own else cells[last] % WIDTH
    return Layout(starts, ends, sum(wide) + WIDTH * own, first)


def _cells_of(slot: Sequence[Op]) -> int:
    return int(slot[0].more.gain.shape[1])


def _whole(columns: int) -> int:
    return -(-columns // WIDTH) * WIDTH
