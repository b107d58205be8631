"""From one level to another: finer rows sum, coarser rows repeat; and the two aggregations that are not sums."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from crossmargin.margin.tape import plain, segment_sum, take

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy.typing as npt

    from crossmargin.margin.resolved import Resolved

    Ints = npt.NDArray[np.int64]

CHAIN = ("strike", "expiry", "bucket", "account")


def on_level(resolved: Resolved, column: Any, level: str, to: str) -> Any:  # noqa: ANN401 - plain or traced
    """Return a column of one level on all rows of another: finer rows sum, coarser rows repeat."""
    if level == to:
        return column
    levels = resolved.levels
    if level == "leg":
        return segment_sum(column, levels[to].row_of_leg, len(levels[to]))
    if to == "leg":
        return take(column, levels[level].row_of_leg)
    finer = level == "asset" or (to != "asset" and CHAIN.index(level) < CHAIN.index(to))
    if finer:
        return segment_sum(column, levels[to].row_of_leg[levels[level].first_leg], len(levels[to]))
    return take(column, levels[level].row_of_leg[levels[to].first_leg])


def alike(column: Any, other: Any) -> Any:  # noqa: ANN401 - columns of numbers; flags
    """Return where two columns hold one number, up to rounding, or none; exact numbers do not round."""
    if column.dtype.hasobject:
        return (column == other) | ((column != column) & (other != other))  # noqa: PLR0124 - NaN
    return np.isclose(column, other, rtol=1e-9, atol=0.0, equal_nan=True)


def correlated_root(
    column: Any,  # noqa: ANN401 - plain or traced
    row_of: Ints,
    rows: int,
    rho: Any,  # noqa: ANN401 - a number or a column
    functions: Mapping[str, Callable[..., Any]],
) -> Any:  # noqa: ANN401 - plain or traced
    """Return sqrt(sum_ij rho_ij x_i x_j) by row, with one correlation rho between any two: `root(x, rho)`."""
    squares, total = segment_sum(column * column, row_of, rows), segment_sum(column, row_of, rows)
    return functions["sqrt"](functions["max"](squares * (1.0 - rho) + total * total * rho, 0.0))


def largest(column: Any, row_of: Ints, rows: int) -> Any:  # noqa: ANN401 - plain or traced
    """Return the largest of each row's finer values: `largest(x)`. The first of equals counts."""
    values = plain(column)
    values = np.where(values != values, np.inf, values)  # noqa: PLR0124 - NaN: the row stays undefined
    best = np.full(rows, -np.inf, dtype=values.dtype)
    np.maximum.at(best, row_of, values)
    winner = np.zeros(rows, dtype=np.int64)
    hits = np.flatnonzero(values == best[row_of])
    winner[row_of[hits[::-1]]] = hits[::-1]
    return take(column, winner)
