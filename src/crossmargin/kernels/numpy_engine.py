"""The kernels in NumPy: the oracle, and the engine where nothing faster is built."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from crossmargin.kernels.numpy_options import option_values

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.int64]
    Index = npt.NDArray[np.int64] | npt.NDArray[np.int32] | npt.NDArray[np.uint16]

__all__ = [
    "codes_in_use",
    "group_rows",
    "group_tail",
    "group_worst",
    "name",
    "option_values",
    "packed_key",
    "segment_sum",
]

_CELLS = 1 << 20  # cells gathered at a time: 8 MiB, so that a block stays in cache


def name() -> str:
    """Return the kernel's name."""
    return f"numpy {np.__version__}"


def segment_sum(values: Floats, row_of: Ints, rows: int) -> Floats:
    """Return the sum of `values` [n] by row [rows], added in the order of `values`."""
    try:
        return np.bincount(row_of, weights=values, minlength=rows).astype(np.float64, copy=False)
    except TypeError:  # exact numbers: asking first would cost every small sum a tenth of itself
        total = np.zeros(rows, dtype=object)
        np.add.at(total, row_of, values)
        return total


def packed_key(columns: Sequence[Ints]) -> Ints:
    """Return one integer for each row of several integer columns, in the same order as the rows' tuples.

    Raises
    ------
    OverflowError
        When the columns' ranges do not fit 63 bits together.
    """
    key = np.zeros(columns[0].shape[0], dtype=np.int64)
    room = 1
    for column in columns:
        low, high = (int(column.min()), int(column.max())) if column.size else (0, 0)
        room *= high - low + 1
        if room >= 1 << 63:
            message = "too many distinct keys to number them"
            raise OverflowError(message)
        key = key * (high - low + 1) + (column - low)
    return key


def codes_in_use(codes: Ints) -> Ints:
    """Return which codes (>= 0) occur, ascending. np.unique does the same and loads numpy.ma for it (30 ms)."""
    return np.flatnonzero(np.bincount(codes))


def group_rows(scale: Floats, index: Index, matrix: Floats, starts: Ints) -> Floats:
    """Return sum over a group's legs of scale * matrix[index], [groups, scenarios]."""
    _refuse_outside(scale, index, matrix, starts)
    return _rows(scale, index, matrix, starts)


def _refuse_outside(scale: Floats, index: Index, matrix: Floats, starts: Ints) -> None:
    """Refuse legs outside the matrix and groups outside the legs, in the words of the compiled kernel."""
    legs = scale.shape[0]
    if index.shape[0] != legs:
        message = f"index: expected {legs} along axis 0, found {index.shape[0]}"
        raise ValueError(message)
    wrong = (starts < 0) | (starts > np.append(starts[1:], legs)) | (starts > legs)
    if wrong.any():
        message = f"starts: {int(wrong.argmax())} is out of order or out of range"
        raise ValueError(message)
    outside = (index < 0) | (index >= matrix.shape[0])
    if outside.any():
        message = f"index: leg {int(outside.argmax())} points outside the table"
        raise IndexError(message)


def _rows(scale: Floats, index: Index, matrix: Floats, starts: Ints) -> Floats:
    held = np.diff(starts, append=scale.shape[0]) > 0
    if held.all():
        return _rows_held(scale, index, matrix, starts)
    out = np.zeros((starts.shape[0], matrix.shape[1]))
    out[held] = _rows_held(scale, index, matrix, starts[held])
    return out


def _rows_held(scale: Floats, index: Index, matrix: Floats, starts: Ints) -> Floats:
    """Return the rows of groups of which none is empty."""
    groups, scenarios = starts.shape[0], matrix.shape[1]
    if scale.shape[0] * scenarios <= _CELLS and groups:  # one block, as for a single account
        rows = matrix[index]
        rows *= scale[:, None]
        return np.add.reduceat(rows, starts, axis=0)
    out = np.empty((groups, scenarios))
    bounds = np.append(starts, scale.shape[0])
    step = max(1, _CELLS // max(scenarios, 1))
    first = 0
    while first < groups:
        # at least one group a block, however many legs it has
        last = max(first + 1, int(np.searchsorted(bounds, bounds[first] + step, side="right")) - 1)
        low, high = int(bounds[first]), int(bounds[last])
        rows = matrix[index[low:high]]
        rows *= scale[low:high, None]
        np.add.reduceat(rows, starts[first:last] - low, axis=0, out=out[first:last])
        first = last
    return out


def group_worst(scale: Floats, index: Index, matrix: Floats, starts: Ints) -> Floats:
    """Return the worst loss of each group's row."""
    loss = np.zeros(starts.shape[0])
    for groups, rows in _blocks(scale, index, matrix, starts):
        loss[groups] = np.maximum(0.0, -rows.min(axis=1, initial=0.0))
    return loss


def group_tail(
    scale: Floats, index: Index, matrix: Floats, starts: Ints, depth: int, shares: Floats | None = None
) -> Floats:
    """Return the loss of each group's row in its tail."""
    loss = np.zeros(starts.shape[0])
    for groups, rows in _blocks(scale, index, matrix, starts):
        loss[groups] = np.maximum(0.0, -_tail_of_rows(rows, depth, shares))
    return loss


def _tail_of_rows(rows: Floats, depth: int, shares: Floats | None = None) -> Floats:
    """Return the `depth`-th lowest cell of each row, or the sum of share * cell, lowest cell first."""
    _refuse_strange(rows)
    lowest = np.partition(rows, depth - 1, axis=1)[:, :depth]
    return lowest[:, -1] if shares is None else np.asarray(np.sort(lowest, axis=1) @ shares)


def _blocks(scale: Floats, index: Index, matrix: Floats, starts: Ints) -> Iterator[tuple[slice, Floats]]:
    """Yield the rows of a few groups at a time."""
    _refuse_outside(scale, index, matrix, starts)
    bounds = np.append(starts, scale.shape[0])
    step = max(1, _CELLS // max(matrix.shape[1], 1))
    for first in range(0, starts.shape[0], step):
        last = min(first + step, starts.shape[0])
        legs = slice(int(bounds[first]), int(bounds[last]))
        rows = _rows(scale[legs], index[legs], matrix, starts[first:last] - legs.start)
        _refuse_strange(rows)
        yield slice(first, last), rows


def _refuse_strange(rows: Floats) -> None:
    if np.isnan(rows).any():
        message = f"row {int(np.flatnonzero(np.isnan(rows).any(axis=1))[0])}: not a number"
        raise ValueError(message)
