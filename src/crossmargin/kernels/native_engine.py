"""The compiled kernels behind NumPy arrays: what comes in is laid out as they need it, what goes out is made here."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

import numpy as np

from crossmargin.kernels import _native
from crossmargin.kernels.door import aligned

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.int64]
    Index = npt.NDArray[np.int64] | npt.NDArray[np.int32] | npt.NDArray[np.uint16]

LEVELS: Final = tuple(level for level in ("neon", "narrow", "v3", "v4") if _native.use_level(level))
"""The instruction sets that this processor can run, the best last: that one serves."""

if not LEVELS:
    _message = "this processor has none of the instruction sets of the compiled kernels"
    raise ImportError(_message)

_LAYOUT: Final = ("C_CONTIGUOUS", "ALIGNED")
_WIDE: Final = 8  # rows are filled up to whole cache lines
_CELLS: Final = 1 << 18  # of a range
_RANGES: Final = 8  # so many take about a millisecond
_MOST_ROWS: Final = 4096  # of a range
_OFTEN: Final = 16  # a row that is read so often is worth a copy that begins with a cache line


_serving = [LEVELS[-1]]


def use_level(level: str) -> None:
    """Let the kernels of an instruction set serve from now on."""
    if not _native.use_level(level):
        message = f"this processor has no level {level!r}"
        raise ValueError(message)
    _serving[:] = [level]


def name() -> str:
    """Return the kernel's name."""
    return f"native {_serving[0]}"


def as_floats(values: Floats) -> Floats:
    """Return the values as aligned float64 side by side: themselves where they are."""
    flags = values.flags
    ready = flags.c_contiguous and flags.aligned and values.dtype == np.float64
    return values if ready else np.require(values, np.float64, _LAYOUT)


def as_ints(values: Ints) -> Ints:
    """Return the values as aligned int64 side by side: themselves where they are."""
    flags = values.flags
    ready = flags.c_contiguous and flags.aligned and values.dtype == np.int64
    return values if ready else np.require(values, np.int64, _LAYOUT)


def threads() -> int:
    """Return how many threads may run here at once."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run(given: _native.Arguments, rows: int, in_row: int, cells: int, most: int) -> int:
    """Run a kernel over its rows, by threads where it takes about a millisecond; return how many rows are bad.

    Parameters
    ----------
    in_row
        Cells of a row.
    cells
        Those of a range that is worth the taking, and few enough that threads end together.
    """
    chunk = min(max(1, cells // max(1, in_row)), _MOST_ROWS)
    return _native.run(given, rows, chunk, 1 if rows * in_row < _RANGES * cells else most)


def _index(index: Index, rows: int) -> npt.NDArray[np.int32]:
    """Return the numbers of rows as the kernels read them; those that are laid out anew are within the table."""
    if index.dtype.char == "i":
        return np.require(index, np.int32, _LAYOUT)
    # what is below 0 is beyond any table where it is read without its sign
    codes = index if index.dtype.kind == "u" else index.view(f"u{index.itemsize}")
    if (codes >= rows).any():
        leg = int(((index.astype(np.int64) < 0) | (index.astype(np.int64) >= rows)).argmax())
        message = f"index: leg {leg} points outside the table"
        raise IndexError(message)
    return index.astype(np.int32) if index.dtype.char == "l" else np.require(index, np.int32, _LAYOUT)


def _rows(matrix: Floats, legs: int) -> Floats:
    """Return the rows filled up with zeros to whole cache lines, one at least: themselves where they are."""
    contracts, scenarios = matrix.shape
    wide = max(1, -(-scenarios // _WIDE)) * _WIDE
    if wide == scenarios and contracts:
        ready = as_floats(matrix)
        return aligned(ready) if legs > _OFTEN * contracts else ready
    filled = np.zeros((max(1, contracts), wide))
    filled[:contracts, :scenarios] = matrix
    return aligned(filled)


def _groups(
    kernel: str, given: tuple[Floats, Index, Floats, Ints], out: Floats, most: int, tail: tuple[Floats | None, int]
) -> Floats:
    scale, index, matrix, starts = given
    contracts, scenarios = matrix.shape
    table, legs, groups = _rows(matrix, scale.shape[0]), scale.shape[0], starts.shape[0]
    numbers, begins = _index(index, contracts), as_ints(starts)
    if numbers.shape[0] != legs:
        message = f"index: expected {legs} along axis 0, found {numbers.shape[0]}"
        raise ValueError(message)
    arguments = _native.Arguments(kernel, (
        as_floats(scale), numbers, begins, table, out, legs, groups, contracts, scenarios, table.shape[1], *tail,
    ))  # fmt: skip
    if run(arguments, groups, legs * table.shape[1] // max(1, groups), _CELLS, most):
        _refuse(numbers, begins, contracts, out[:, 0] if out.shape[1] == 1 else np.zeros(groups))
    return out


def _refuse(index: npt.NDArray[np.int32], starts: Ints, contracts: int, figures: Floats) -> None:
    """Raise what is wrong with the lowest group of which something is: its bounds, one of its legs, or its figure."""
    legs = index.shape[0]
    ends = np.append(starts[1:], legs)
    apart = (starts < 0) | (ends < starts)
    wrong = apart | (ends > legs)
    sound = int(wrong.argmax()) if wrong.any() else starts.shape[0]
    inside = slice(int(starts[0]), int(ends[sound - 1])) if sound else slice(0)
    outside = np.flatnonzero((index[inside] < 0) | (index[inside] >= contracts)) + inside.start if sound else index[:0]
    strange = np.flatnonzero(np.isnan(figures[:sound]))
    group = int(np.searchsorted(starts[:sound], outside[0], side="right")) - 1 if outside.size else sound
    if strange.size and strange[0] < group:
        message = f"group {strange[0]}: not a number"
        raise ValueError(message)
    if outside.size:
        message = f"index: leg {outside[0]} points outside the table"
        raise IndexError(message)
    if sound < starts.shape[0]:
        message = f"starts: {sound if apart[sound] else sound + 1} is out of order or out of range"
        raise ValueError(message)


def group_rows(scale: Floats, index: Index, matrix: Floats, starts: Ints, most: int) -> Floats:
    """Return the rows of the groups."""
    out = np.empty((starts.shape[0], max(1, -(-matrix.shape[1] // _WIDE)) * _WIDE))
    return _groups("group_rows", (scale, index, matrix, starts), out, most, (None, 1))[:, : matrix.shape[1]]


def group_worst(scale: Floats, index: Index, matrix: Floats, starts: Ints, most: int) -> Floats:
    """Return the worst loss of each group."""
    loss = np.empty((starts.shape[0], 1))
    return _groups("group_worst", (scale, index, matrix, starts), loss, most, (None, 1))[:, 0]


def group_tail(
    scale: Floats, index: Index, matrix: Floats, starts: Ints, depth: int, shares: Floats | None, most: int
) -> Floats:
    """Return the loss of each group in its tail."""
    weights = None if shares is None else as_floats(shares)
    loss = np.empty((starts.shape[0], 1))
    return _groups("group_tail", (scale, index, matrix, starts), loss, most, (weights, depth))[:, 0]
