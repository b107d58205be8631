"""What is wrong with the units that the compiled engine left: looked for once more, unit by unit, and said."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

__all__ = ["refuse_units"]

_POSITION: Final = (1 << 28) - 1
_COST, _ORDERS = 1, 8


def refuse_units(book: Mapping[str, Any], rows: int, classes: int, units: npt.NDArray[np.int64]) -> None:
    """Raise what is wrong with the first of these units that is not as the engine reads it.

    Raises
    ------
    ValueError, IndexError
        Always: a book in which nothing is found was rewritten since.
    """
    count = book["start"].shape[0]
    for unit in units.tolist():
        error, what = _wrong(book, rows, classes, unit) if 0 <= unit < count else (IndexError, " is outside the book")
        if error is not None:
            message = f"unit {unit}{what}"
            raise error(message)
    message = "the book was rewritten while it was read"
    raise ValueError(message)


def _wrong(book: Mapping[str, Any], rows: int, classes: int, unit: int) -> tuple[type[Exception] | None, str]:
    first, extra = int(book["start"][unit]), int(book["extra_start"][unit])
    count, extras = int(book["count"][unit]), int(book["extra_count"][unit])
    if first + count > book["row"].shape[0] or count > _POSITION or extra + extras > book["extra_leg"].shape[0]:
        return IndexError, ": its legs or extras are outside the arena"
    row = book["row"][first : first + count].astype(np.int64)
    if ((row < 0) | (row >= rows)).any():
        return IndexError, ": a leg's row is outside the template"
    if (np.diff(row) < 0).any():
        return ValueError, ": expected legs in ascending order of rows"
    code = book["extra_leg"][extra : extra + extras]
    leg, column = (code & _POSITION).astype(np.int64), code >> 28
    if (leg >= count).any() or (np.diff(leg) < 0).any() or ((column < _COST) | (column > _ORDERS)).any():
        return IndexError, ": expected extras in the order of its legs, of columns 1 to 8"
    if book["pool_class"][unit] >= classes:
        return IndexError, ": its pool_class is not below class_count"
    return None, ""
