"""The compiled kernels behind NumPy arrays: what comes in is laid out as they need it, what goes out is made here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from crossmargin.kernels import _native
from crossmargin.kernels.door import checked_book, checked_desk
from crossmargin.kernels.program_check import checked_program

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.int64]
    Index = npt.NDArray[np.int64] | npt.NDArray[np.int32] | npt.NDArray[np.uint16]

Engine = _native.Engine
OPS = _native.OPS
levels = _native.levels
threads = _native.threads

_NO_SHARES: Final = np.zeros(0)
_LAYOUT: Final = ("C_CONTIGUOUS", "ALIGNED")
_SMALL: Final = ("q", "l", "i", "H")


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
    ready = flags.c_contiguous and flags.aligned and values.dtype.char == "d"
    return values if ready else np.require(values, np.float64, _LAYOUT)


def as_ints(values: Ints) -> Ints:
    """Return the values as aligned int64 side by side: themselves where they are."""
    flags = values.flags
    ready = flags.c_contiguous and flags.aligned and values.dtype.char == "l"
    return values if ready else np.require(values, np.int64, _LAYOUT)


def _index(index: Index) -> Index:
    return index if index.dtype.char in _SMALL and index.flags.carray else as_ints(index.astype(np.int64))


def account_engine(
    book: Mapping[str, Any], program: Mapping[str, Any], desk: Mapping[str, Any] | None
) -> _native.Engine:
    """Return a program ready to run over a book, once all three are checked."""
    of_book = checked_book(book)
    made = checked_program(program, of_book["inputs"].shape[0], OPS)
    units, outputs = of_book["start"].shape[0], made["outputs"].shape[0]
    return Engine(of_book, made, None if desk is None else checked_desk(desk, units, made["classes"], outputs))


def group_rows(scale: Floats, index: Index, matrix: Floats, starts: Ints, most: int) -> Floats:
    """Return the rows of the groups."""
    out = np.empty((starts.shape[0], matrix.shape[1]))
    _native.group_rows(as_floats(scale), _index(index), as_floats(matrix), as_ints(starts), out, most)
    return out


def group_worst(scale: Floats, index: Index, matrix: Floats, starts: Ints, most: int) -> Floats:
    """Return the worst loss of each group."""
    loss = np.empty(starts.shape[0])
    _native.group_worst(as_floats(scale), _index(index), as_floats(matrix), as_ints(starts), loss, most)
    return loss


def group_tail(
    scale: Floats, index: Index, matrix: Floats, starts: Ints, depth: int, shares: Floats | None, most: int
) -> Floats:
    """Return the loss of each group in its tail."""
    loss = np.empty(starts.shape[0])
    weights = _NO_SHARES if shares is None else as_floats(shares)
    arrays = (as_floats(scale), _index(index), as_floats(matrix), as_ints(starts))
    _native.group_tail(*arrays, weights, depth, loss, most)
    return loss
