"""The compiled kernels behind NumPy arrays: what comes in is laid out as they need it, what goes out is made here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from crossmargin.kernels import _native
from crossmargin.kernels.door import aligned, checked_book, checked_desk
from crossmargin.kernels.operations import OPS
from crossmargin.kernels.program_check import checked_program
from crossmargin.kernels.unit_faults import refuse_units

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.int64]
    Index = npt.NDArray[np.int64] | npt.NDArray[np.int32] | npt.NDArray[np.uint16]

levels = _native.levels
threads = _native.threads
scan_lines = _native.scan_lines
fold_lines = _native.fold_lines

_NO_SHARES: Final = np.zeros(0)
_LAYOUT: Final = ("C_CONTIGUOUS", "ALIGNED")
_WIDE: Final = 8  # rows are filled up to whole cache lines
_ROWS, _WORST, _TAIL = range(3)
_OFTEN: Final = 16  # a row that is read so often is worth a copy that begins with a cache line


_serving = [levels()[-1]]


def use_level(level: str) -> None:
    """Let the kernels of an instruction set serve from now on."""
    _native.use_level(level)
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


class Engine:
    """A program ready to run over a book, and the desk that checks read: all three are checked once."""

    __slots__ = ("_book", "_native", "_program", "check", "checks")

    def __init__(
        self, book: Mapping[str, Any], program: Mapping[str, Any], desk: Mapping[str, Any] | None = None
    ) -> None:
        self._book = checked_book(book)
        self._program = checked_program(program, self._book["inputs"].shape[0], OPS)
        units, outputs = self._book["start"].shape[0], self._program["outputs"].shape[0]
        checked = None if desk is None else checked_desk(desk, units, self._program["classes"], outputs)
        self._native = _native.Engine(self._book, self._program, checked)
        self.check = self._native.check
        self.checks = self._native.checks

    def run(self, units: Ints | None, out: Floats, threads: int) -> None:
        """Fill `out` [outputs, units] for the units listed, or for all of the book.

        Raises
        ------
        ValueError, IndexError
            When a unit is outside the book, or is not as the engine reads it.
        """
        if self._native.run(units, out, threads):
            refuse_units(self._book, self._program["rows"], self._program["classes"], units)


account_engine = Engine


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
    """Return the rows filled up with zeros to whole cache lines: themselves where they are."""
    contracts, scenarios = matrix.shape
    wide = -(-scenarios // _WIDE) * _WIDE
    if wide == scenarios:
        ready = as_floats(matrix)
        return aligned(ready) if legs > _OFTEN * contracts else ready
    filled = np.zeros((contracts, wide))
    filled[:, :scenarios] = matrix
    return aligned(filled)


def _groups(
    given: tuple[Floats, Index, Floats, Ints], out: Floats, measure: int, most: int, shares: Floats, depth: int
) -> None:
    scale, index, matrix, starts = given
    contracts, scenarios = matrix.shape
    table, numbers = _rows(matrix, scale.shape[0]), _index(index, contracts)
    _native.groups(as_floats(scale), numbers, table, as_ints(starts), shares, depth, measure, scenarios, out, most)


def group_rows(scale: Floats, index: Index, matrix: Floats, starts: Ints, most: int) -> Floats:
    """Return the rows of the groups."""
    out = np.empty((starts.shape[0], -(-matrix.shape[1] // _WIDE) * _WIDE))
    _groups((scale, index, matrix, starts), out, _ROWS, most, _NO_SHARES, 1)
    return out[:, : matrix.shape[1]]


def group_worst(scale: Floats, index: Index, matrix: Floats, starts: Ints, most: int) -> Floats:
    """Return the worst loss of each group."""
    loss = np.empty((starts.shape[0], 1))
    _groups((scale, index, matrix, starts), loss, _WORST, most, _NO_SHARES, 1)
    return loss[:, 0]


def group_tail(
    scale: Floats, index: Index, matrix: Floats, starts: Ints, depth: int, shares: Floats | None, most: int
) -> Floats:
    """Return the loss of each group in its tail."""
    weights = _NO_SHARES if shares is None else as_floats(shares)
    loss = np.empty((starts.shape[0], 1))
    _groups((scale, index, matrix, starts), loss, _TAIL, most, weights, depth)
    return loss[:, 0]
