"""The compiled option kernels behind NumPy arrays; arguments broadcast, in any layout that NumPy has."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np

from crossmargin.kernels import _native
from crossmargin.kernels.native_engine import as_floats, as_ints

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    from crossmargin.kernels.engine import OptionScenarios

    Floats = npt.NDArray[np.float64]

_DIMENSIONS: Final = 2  # options, scenarios
_GREEKS: Final = 9


def _tables(kernel: Callable[..., None], count: int, arguments: tuple[Floats, ...], most: int) -> Floats:
    """Return `count` tables of answers, each of the arguments' common shape."""
    shape = np.broadcast(*arguments).shape
    if len(shape) == 1:
        try:  # as they come: what the kernel cannot read it refuses, unread
            kernel(*arguments, out := np.empty((count, *shape)), most)
        except (TypeError, ValueError):
            pass
        else:
            return out
    arrays = [as_floats(argument) for argument in arguments]
    rows, columns = shape if len(shape) == _DIMENSIONS and shape[1] > 1 else (1, math.prod(shape))
    if (rows, columns) != shape:
        arrays = [array if array.size in {1, columns} else np.broadcast_to(array, shape) for array in arrays]
        arrays = [array.reshape(1, -1) for array in arrays]
    out = np.empty((count * rows, columns))
    kernel(*arrays, out, most)
    return out.reshape(count, *shape)


def option_values(arguments: tuple[Floats, ...], most: int) -> Floats:
    """Return Black-76 prices of the common shape."""
    return np.asarray(_tables(None, 1, arguments, most)[0])


def option_greeks(arguments: tuple[Floats, ...], most: int) -> Floats:
    """Return the nine Greeks, each of the common shape."""
    return _tables(None, _GREEKS, arguments, most)


def implied_vols(arguments: tuple[Floats, ...], most: int) -> Floats:
    """Return vols and status codes, each of the common shape."""
    return _tables(None, 2, arguments, most)


def revalue(given: OptionScenarios, cells: Floats, today: Floats, most: int, *, discount: bool) -> bool:
    """Fill the options' rows of `cells` and `today`; return whether one was left alone: NaN in `today`."""
    try:  # as above
        return _native.revalue(*given, cells, today, discount, most)
    except (TypeError, ValueError):
        ready = (
            tuple(as_floats(column) for column in given.columns),
            tuple(None if flags is None else np.require(flags, np.bool_, ("C", "A")) for flags in given.flags),
            as_ints(given.contract), as_floats(given.vols), as_ints(given.vol_of),
            tuple(as_floats(move) for move in given.moves), as_floats(given.spot),
        )  # fmt: skip
        return _native.revalue(*ready, cells, today, discount, most)
