"""The compiled option kernels behind NumPy arrays; arguments broadcast, in any layout that NumPy has."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np

from crossmargin.kernels import _native
from crossmargin.kernels.native_engine import as_floats, as_ints, run

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    from crossmargin.kernels.engine import OptionScenarios

    Floats = npt.NDArray[np.float64]

_DIMENSIONS: Final = 2  # options, scenarios
_GREEKS: Final = 9


def _tables(kernel: str, count: int, arguments: tuple[Floats, ...], most: int) -> Floats:
    """Return `count` tables of answers, each of the arguments' common shape."""
    shape = np.broadcast(*arguments).shape
    arrays = [as_floats(argument) for argument in arguments]
    rows, columns = shape if len(shape) == _DIMENSIONS and shape[1] > 1 else (1, math.prod(shape))
    if (rows, columns) != shape:
        arrays = [array if array.size in {1, columns} else np.broadcast_to(array, shape) for array in arrays]
        arrays = [as_floats(array.reshape(1, -1)) for array in arrays]
    out = np.empty((count * rows, columns))
    items = [item for array in arrays for item in _grid(array)]
    run(_native.Arguments(kernel, (*items, out, rows, columns)), rows, columns, 1 << 15, most)
    return out.reshape(count, *shape)


def _grid(array):
    down, along = (1,) * (_DIMENSIONS - array.ndim) + array.shape
    return array, 0 if down == 1 else 8 * along, 0 if along == 1 else 8


def option_values(arguments: tuple[Floats, ...], most: int) -> Floats:
    """Return Black-76 prices of the common shape."""
    return np.asarray(_tables('option_values', 1, arguments, most)[0])


def option_greeks(arguments: tuple[Floats, ...], most: int) -> Floats:
    """Return the nine Greeks, each of the common shape."""
    return _tables('option_greeks', _GREEKS, arguments, most)


def implied_vols(arguments: tuple[Floats, ...], most: int) -> Floats:
    """Return vols and status codes, each of the common shape."""
    return _tables('implied_vols', 2, arguments, most)


def revalue(given: OptionScenarios, cells: Floats, today: Floats, most: int, *, discount: bool) -> bool:
    """Fill the options' rows of `cells` and `today`; return whether one was left alone: NaN in `today`."""
    columns = [as_floats(column) for column in given.columns]
    flags = [None if flags is None else np.require(flags, np.bool_, ("C", "A")) for flags in given.flags]
    spot=as_floats(given.spot)
    contract,volof=as_ints(given.contract),as_ints(given.vol_of)
    vols=as_floats(given.vols)
    scen=volof.shape[0]
    down=0 if spot.ndim==1 or spot.shape[0]==1 else 8*scen
    run(_native.Arguments("revalue",(*columns,*flags,*[as_floats(m) for m in given.moves],vols,volof,contract,spot,down,cells[0],cells[1],today,contract.shape[0],vols.shape[1],scen,int(discount))),contract.shape[0],scen,1<<15,most)
    return bool(np.isnan(today[contract]).any())
