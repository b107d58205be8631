"""The compiled option kernels behind NumPy arrays; arguments broadcast, in any layout that NumPy has."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from crossmargin.kernels import _native
from crossmargin.kernels.native_engine import as_floats, as_ints

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    from crossmargin.kernels.engine import OptionScenarios

    Floats = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.int64]
    Kernel = Callable[[tuple[Any, ...], int, int, int], int]

_DIMENSIONS: Final = 2  # options, scenarios
_GREEKS: Final = 9
_LEAST_COLUMNS: Final = 16  # two of the widest vectors
_ONE_ROW: Final = (0,) * 6  # from row to row
_LEAST_SCENARIOS, _MOST_SCENARIOS, _MOST_STATES = 8, 256, 16  # native/table.h
_TODAY: Final = (-1, 0.0, 0.0)


def _tables(kernel: Kernel, count: int, arguments: tuple[Floats, ...], most: int) -> Floats:
    """Return `count` tables of answers, each of the arguments' common shape."""
    shape = np.broadcast(*arguments).shape
    if len(shape) == 1:
        rows, columns, down = 1, shape[0], _ONE_ROW
    elif len(shape) == _DIMENSIONS and shape[1] >= _LEAST_COLUMNS:
        rows, columns = shape
        down = tuple(one.shape[-1] if one.ndim == _DIMENSIONS and one.shape[0] > 1 else 0 for one in arguments)
    else:
        rows, columns, down = 1, math.prod(shape), _ONE_ROW
        arguments = tuple(one if one.size == 1 else np.broadcast_to(one, shape).ravel() for one in arguments)
    wide = columns
    if columns < _LEAST_COLUMNS:
        wide = _LEAST_COLUMNS
        arguments = tuple(one if one.size == 1 else np.resize(one, wide) for one in arguments)
    along = [one.size > 1 and one.shape[-1] > 1 for one in arguments]
    out = np.empty((count, rows, wide))
    try:  # as they come: what does not lie as the kernel reads it is refused, unread
        kernel((*arguments, *down, *along, out, rows, wide), rows, wide, most)
    except (TypeError, ValueError):
        ready = [as_floats(argument) for argument in arguments]
        kernel((*ready, *down, *along, out, rows, wide), rows, wide, most)
    return out.reshape(count, *shape) if wide == columns else out[:, 0, :columns].reshape(count, *shape)


def option_values(arguments: tuple[Floats, ...], most: int) -> Floats:
    """Return Black-76 prices of the common shape."""
    return np.asarray(_tables(_native.option_values, 1, arguments, most)[0])


def option_greeks(arguments: tuple[Floats, ...], most: int) -> Floats:
    """Return the nine Greeks, each of the common shape."""
    return _tables(_native.option_greeks, _GREEKS, arguments, most)


def implied_vols(arguments: tuple[Floats, ...], most: int) -> Floats:
    """Return vols and status codes, each of the common shape."""
    return _tables(_native.implied_vols, 2, arguments, most)


def revalue(given: OptionScenarios, cells: Floats, today: Floats, most: int, *, discount: bool) -> bool:
    """Fill the options' rows of `cells` and `today`; return whether one was left alone: NaN in `today`.

    Raises
    ------
    IndexError
        When a contract or a vol is none of those given.
    ValueError
        When an extent is not what the others make it.
    """
    scenarios = cells.shape[2]
    if scenarios < _LEAST_SCENARIOS:  # more of them, in which nothing moves
        wide = np.empty((2, cells.shape[1], _LEAST_SCENARIOS))
        left = revalue(_widened(given, _LEAST_SCENARIOS - scenarios), wide, today, most, discount=discount)
        cells[:, given.contract] = wide[:, given.contract, :scenarios]
        return left
    try:  # as above
        return _revalue(given, cells, today, most, discount=discount)
    except (TypeError, ValueError):
        ready = given._replace(
            columns=tuple(as_floats(column) for column in given.columns),
            flags=tuple(None if flags is None else np.require(flags, np.bool_, ("C", "A")) for flags in given.flags),
            contract=as_ints(given.contract), vols=as_floats(given.vols), vol_of=as_ints(given.vol_of),
            moves=tuple(as_floats(move) for move in given.moves), spot=as_floats(given.spot),
        )  # fmt: skip
        return _revalue(ready, cells, today, most, discount=discount)


def _widened(given: OptionScenarios, more: int) -> OptionScenarios:
    spot = np.concatenate([given.spot, np.zeros((*given.spot.shape[:-1], more))], axis=-1)
    moves = tuple(np.append(move, np.zeros(more)) for move in given.moves)
    return given._replace(vol_of=np.append(given.vol_of, np.full(more, _TODAY[0])), moves=moves, spot=spot)


def _revalue(given: OptionScenarios, cells: Floats, today: Floats, most: int, *, discount: bool) -> bool:
    _check_extents(given, cells, today)
    (options, names), (contracts, scenarios) = given.vols.shape, cells.shape[1:]
    rate, basis, time, peg = given.moves
    spot = given.spot[0] if given.spot.strides[:-1] == (0,) else given.spot
    none = np.zeros(contracts, dtype=np.bool_)
    flags = (none if flag is None else flag for flag in given.flags)
    arrays = (*given.columns, *flags, given.contract, given.vols, spot, basis, peg)
    extents = contracts, options, names, scenarios, scenarios if spot.ndim == _DIMENSIONS else 0
    left = 0
    for first, last, *states in _windows(given.vol_of.tobytes(), time.tobytes(), rate.tobytes(), names):
        plain = first, last, len(states[1]), discount, not basis.any()
        left += _native.revalue((*arrays, *states, cells, today, *extents, *plain), options, last - first, most)
    return left > 0


@lru_cache(maxsize=64)
def _windows(vol_of: bytes, time: bytes, rate: bytes, names: int) -> tuple[tuple[int, int, Ints, Ints, Floats, Floats], ...]:
    """Return scenarios that share few states: first and last, the state of each, and the states' vols, times and rates."""
    keys = list(zip(*(np.frombuffer(vol_of, np.int64).tolist(), *(np.frombuffer(x).tolist() for x in (time, rate))), strict=True))
    windows, last = [], 0
    while last < len(keys):
        first = min(last, len(keys) - _LEAST_SCENARIOS)  # the last may begin among those before
        states, found = {_TODAY: 0}, []
        for key in keys[first : first + _MOST_SCENARIOS]:
            if key not in states and len(states) == _MOST_STATES:
                break
            found.append(states.setdefault(key, len(states)))
        last = first + len(found)
        windows.append((first, last, np.array(found), *map(np.array, zip(*states, strict=True))))
    return tuple(windows)


def _check_extents(given: OptionScenarios, cells: Floats, today: Floats) -> None:
    """Refuse what would have a kernel read or write outside an array."""
    (options, names), (_, contracts, scenarios) = given.vols.shape, cells.shape
    spot = given.spot.shape if given.spot.ndim == _DIMENSIONS else (contracts, *given.spot.shape)
    groups = (
        ("contracts", (contracts,), (*given.columns, *(flag for flag in given.flags if flag is not None), today)),
        ("scenarios", (scenarios,), (*given.moves, given.vol_of)),
    )
    for name, shape, arrays in groups:
        if any(array.shape != shape for array in arrays):
            message = f"expected {shape[0]} {name}, found {[array.shape for array in arrays]}"
            raise ValueError(message)
    if spot != (contracts, scenarios) or cells.shape[0] != 2 or given.contract.shape != (options,):
        message = f"spot, cells, contract: expected {contracts} contracts, {scenarios} scenarios and {options} options"
        raise ValueError(message)
    for name, places, end in (("contract", given.contract, contracts), ("vol_of", given.vol_of, names)):
        if places.size and not (places.min() >= _TODAY[0] * (name == "vol_of") and places.max() < end):
            place = int(((places < 0) | (places >= end)).argmax())
            message = f"{name}: {place} points outside the table"
            raise IndexError(message)
