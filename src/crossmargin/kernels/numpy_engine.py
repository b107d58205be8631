"""Grouped sums in NumPy: the oracle, and the engine where nothing faster is built."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.int64]

_CELLS = 1 << 20  # cells gathered at a time: 8 MiB, so that a block stays in cache


def kernel_name() -> str:
    """Return the name of the kernel in use."""
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


def group_rows(scale: Floats, index: Ints, matrix: Floats, starts: Ints) -> Floats:
    """Return sum over a group's legs of scale * matrix[index], [groups, scenarios].

    Parameters
    ----------
    scale
        [legs] multiplier of each leg's row (quantity, converted).
    index
        [legs] row of `matrix` that each leg reads.
    matrix
        [contracts, scenarios], rows contiguous.
    starts
        [groups] first leg of each group, ascending; groups are contiguous and none is empty.
    """
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
