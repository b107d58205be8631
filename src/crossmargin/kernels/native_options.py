"""The compiled option kernels behind NumPy arrays; arguments broadcast, in any layout that NumPy has."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from crossmargin.kernels import _native
from crossmargin.kernels.native_engine import as_floats, as_ints, run

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from crossmargin.kernels.engine import OptionScenarios

    Flags = npt.NDArray[np.bool_]
    Floats = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.int64]

_DIMENSIONS: Final = 2  # options, scenarios
_CELLS: Final = 1 << 15  # of a range
_GREEKS: Final = 9
_LEAST_COLUMNS: Final = 16  # two of the widest vectors
_ONE_ROW: Final = (0,) * 6  # from row to row
_LEAST_SCENARIOS, _MOST_SCENARIOS, _MOST_STATES = 8, 256, 16  # native/arguments.h
_FLOATS, _INTS = np.dtype(np.float64), np.dtype(np.int64)
_PROBE: Final = 12 * 8  # registers of the widest vectors
_TODAY: Final = (-1, 0.0, 0.0)


def _tables(kernel: str, count: int, arguments: Sequence[Floats], most: int) -> Floats:
    """Return `count` tables of answers, each of the arguments' common shape."""
    shape = np.broadcast(*arguments).shape
    if len(shape) == _DIMENSIONS and shape[1] >= _LEAST_COLUMNS:
        steps = [(1, 1, *one.shape)[-2:] for one in arguments]
        places = *(along * (down > 1) for down, along in steps), *(along > 1 for _, along in steps)
        return _answers(kernel, arguments, places, np.empty((count, *shape)), most)
    columns = math.prod(shape)
    if len(shape) != 1:
        arguments = [one if one.size == 1 else np.broadcast_to(one, shape).ravel() for one in arguments]
    if columns < _LEAST_COLUMNS:
        arguments = [one if one.size == 1 else np.resize(one, _LEAST_COLUMNS) for one in arguments]
    places = *_ONE_ROW, *[one.size > 1 for one in arguments]
    out = _answers(kernel, arguments, places, np.empty((count, max(columns, _LEAST_COLUMNS))), most)
    if columns < _LEAST_COLUMNS:
        out = out[:, :columns]
    return out if len(shape) == 1 else out.reshape(count, *shape)


def _answers(kernel: str, arguments: Sequence[Floats], places: tuple[int, ...], out: Floats, most: int) -> Floats:
    """Fill and return tables [count, rows, columns] or [count, columns]."""
    columns = out.shape[-1]
    rows = out.shape[1] if out.ndim > _DIMENSIONS else 1
    try:  # as they come: what does not lie as the kernel reads it is refused, unread
        given = _native.Arguments(kernel, (*arguments, *places, out, rows, columns))
    except (TypeError, ValueError):
        ready = [as_floats(argument) for argument in arguments]
        given = _native.Arguments(kernel, (*ready, *places, out, rows, columns))
    run(given, rows, columns, _CELLS, most)
    return out


def option_values(arguments: tuple[Floats, ...], most: int) -> Floats:
    """Return Black-76 prices of the common shape."""
    return _tables("option_values", 1, arguments, most)[0, ...]


def option_greeks(arguments: tuple[Floats, ...], most: int) -> Floats:
    """Return the nine Greeks, each of the common shape."""
    return _tables("option_greeks", _GREEKS, arguments, most)


def implied_vols(arguments: tuple[Floats, ...], most: int) -> Floats:
    """Return vols and status codes, each of the common shape."""
    return _tables("implied_vols", 2, arguments, most)


def probe(which: str, values: Floats, rounds: int) -> None:
    """Let a core do what it can at most: "reads" of all values in each round, or as many "multiply_adds"."""
    if values.size < 2:  # noqa: PLR2004  # what is multiplied by and added
        message = "values: expected two or more"
        raise ValueError(message)
    _native.run(_native.Arguments(which, (values, np.empty(_PROBE), values.size)), rounds, rounds, 1)


def revalue(given: OptionScenarios, cells: Floats, today: Floats, most: int, *, discount: bool) -> bool:
    """Fill the options' rows of `cells` and `today`; return whether one was left alone: NaN in `today`.

    Raises
    ------
    IndexError
        When a contract or a vol is none of those given.
    ValueError
        When an extent is not what the others make it.
    """
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


def _revalue(given: OptionScenarios, cells: Floats, today: Floats, most: int, *, discount: bool) -> bool:
    contracts, scenarios = cells.shape[1:]
    flags = [_none_of(contracts) if flag is None else flag for flag in given.flags]
    _check_extents(given, flags, cells, today)
    rate, basis, time, peg = given.moves
    names = given.vols.shape[1]
    if not (given.vol_of.dtype == _INTS and time.dtype == rate.dtype == basis.dtype == _FLOATS):
        raise TypeError  # windows know them by their bytes
    moving: Sequence[Any] = given.vol_of, time, rate, basis
    windows = _windows(names, b"".join(moving))
    repeated = contracts > 0 and given.spot.strides[:-1] == (0,)
    along, filled = (given.spot[0] if repeated else given.spot, basis, peg), cells
    if scenarios < _LEAST_SCENARIOS:  # more of them, in which nothing moves
        along, filled = (_widened(along[0]), _widened(basis), _widened(peg)), np.zeros((2, contracts, _LEAST_SCENARIOS))
    arrays = (*given.columns, *flags, given.contract, given.vols, *along)
    options, columns = given.contract.shape[0], filled.shape[2]
    extents = contracts, options, names, columns, columns if along[0].ndim == _DIMENSIONS else 0
    ready = [
        _native.Arguments("revalue", (*arrays, *states, filled, today, *extents, *window, discount))
        for states, window in windows
    ]
    _check_places("contract", given.contract, contracts)  # integers, or they would not be ready
    left = 0
    for one, (_, window) in zip(ready, windows, strict=True):
        left += run(one, options, window[1] - window[0], _CELLS, most)
    if filled is not cells:
        cells[:, given.contract] = filled[:, given.contract, :scenarios]
    return left > 0


@lru_cache(maxsize=16)
def _none_of(contracts: int) -> Flags:
    return np.zeros(contracts, dtype=np.bool_)


def _widened(moves: Floats) -> Floats:
    return np.concatenate([moves, np.zeros((*moves.shape[:-1], _LEAST_SCENARIOS - moves.shape[-1]))], axis=-1)


@lru_cache(maxsize=64)
def _windows(names: int, moves: bytes) -> list[tuple[tuple[npt.NDArray[Any], ...], tuple[int, ...]]]:
    """Return scenarios that share few states, by their vols, times, rates and moves of the basis.

    Of each run of them: each one's state and the states' vols, times and rates; then its first and last, how many
    states, and whether the basis stays.
    """
    numbers, time, rate, basis = np.frombuffer(moves).reshape(4, -1)
    vol_of = numbers.view(np.int64)
    _check_places("vol_of", vol_of, names)
    keys = list(zip(vol_of.tolist(), time.tolist(), rate.tolist(), strict=True))
    keys += [_TODAY] * (_LEAST_SCENARIOS - len(keys))
    found: list[tuple[tuple[npt.NDArray[Any], ...], tuple[int, ...]]] = []
    last = 0
    while last < len(keys):
        first = min(last, len(keys) - _LEAST_SCENARIOS)  # the last may begin among those before
        states, mine = {_TODAY: 0}, []
        for key in keys[first : first + _MOST_SCENARIOS]:
            if key not in states and len(states) == _MOST_STATES:
                break
            mine.append(states.setdefault(key, len(states)))
        last = first + len(mine)
        columns = tuple(np.array(part) for part in (mine, *zip(*states, strict=True)))
        found.append((columns, (first, last, len(states), not basis.any())))
    return found


def _check_extents(given: OptionScenarios, flags: list[Flags], cells: Floats, today: Floats) -> None:
    """Refuse what would have a kernel read or write outside an array."""
    contracts, scenarios = cells.shape[1:]
    of_contracts = {array.size for array in (*given.columns, *flags, today)}
    along = {array.size for array in (*given.moves, given.vol_of)}
    counts = len(given.columns), len(flags), len(given.moves), len(cells), given.vols.ndim
    found = counts, of_contracts, along, given.contract.shape
    wanted = (7, 4, 4, 2, _DIMENSIONS), {contracts}, {scenarios}, given.vols.shape[:1]
    if found != wanted or given.spot.shape not in {(contracts, scenarios), (scenarios,)}:
        _refuse_extents(given, flags, today, contracts, scenarios)


def _refuse_extents(given: OptionScenarios, flags: list[Flags], today: Floats, contracts: int, scenarios: int) -> None:
    options = given.contract.size
    for name, arrays, wanted in (
        ("columns", given.columns, [(contracts,)] * 7), ("flags", flags, [(contracts,)] * 4),
        ("moves", given.moves, [(scenarios,)] * 4), ("vol_of", [given.vol_of], [(scenarios,)]),
        ("today", [today], [(contracts,)]), ("contract", [given.contract], [(options,)]),
        ("vols", [given.vols], [(options, *given.vols.shape[1:2])]), ("spot", [given.spot], [(contracts, scenarios)]),
    ):  # fmt: skip
        found = [array.shape for array in arrays]
        if found != wanted:
            message = f"{name}: expected {wanted} along their axes, found {found}"
            raise ValueError(message)
    message = f"cells: expected [2, {contracts}, {scenarios}]"
    raise ValueError(message)


def _check_places(name: str, places: Ints, end: int) -> None:
    if places.size and not (places[places.argmin()] >= 0 and places[places.argmax()] < end):  # quicker than min and max
        message = f"{name}: {int(((places < 0) | (places >= end)).argmax())} points outside the table"
        raise IndexError(message)
