"""Liquidation prices and profiles: the rulebook's own trigger, the whole account, along named paths."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from crossmargin.liquidation.brackets import (
    HIGHEST,
    LOWEST,
    MANY_PATHS,
    Bracket,
    Scan,
    close_in,
    find_brackets,
    scan_paths,
)
from crossmargin.liquidation.paths import ALL, Path, paths_of
from crossmargin.liquidation.prices import LiquidationPrice, Profile, ProfilePoint
from crossmargin.liquidation.probe import BANKRUPTCY, FLIPPED, SAFE, TRIGGER, Levels, Probe, alone
from crossmargin.margin.states import Moves, moved
from crossmargin.scenarios import ASSET, OPTION

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    from crossmargin.margin.model import Rulebook
    from crossmargin.margin.resolved import Resolved

_PROFILE = 81  # points
_PROFILE_OF_MANY = 27


def liquidation_prices(
    resolved: Resolved, rulebook: Rulebook, account: int = 0, *, betas: Mapping[str, float] | None = None
) -> tuple[LiquidationPrice, ...]:
    """Return where each pool's trigger flips, for each underlying alone and for all together.

    All positions and all shared collateral count at every level: the account is assessed there by the engine itself.
    Implied vols, rates and the prices of other assets stay; option marks follow the model. An account of more than
    24 underlyings is scanned in steps of a quarter: two flips within one step, without a strike there, may be missed.

    Parameters
    ----------
    betas
        How many log moves an underlying makes for one of the path on which all move together; 1 where not named.

    Raises
    ------
    InputError
        The account's refusal, if it was refused.
    """
    mine = alone(resolved, account)
    paths = paths_of(mine, betas)
    if not paths:
        return ()
    probe = Probe(mine, rulebook, paths)
    scans = scan_paths(probe)
    brackets = close_in(probe, find_brackets(scans))
    return tuple(
        _price(mine, unit, path, scans[i], [b for b in brackets if (b.path, b.unit) == (i, unit)])
        for unit in range(len(mine.units))
        for i, path in chosen_paths(paths, [_moves(scan, unit) for scan in scans])
    )


def _moves(scan: Scan, unit: int) -> bool:
    """Return whether a path is anything to a unit."""
    distance = scan.distance[:, unit]
    return bool(np.any(distance != distance[:1]))


def chosen_paths(paths: Sequence[Path], moves: Sequence[bool]) -> list[tuple[int, Path]]:
    """Return the paths that move a unit; all together only where that is more than one of them alone."""
    found = [(i, path) for i, path in enumerate(paths) if moves[i]]
    return found if len(found) > 2 else [(i, path) for i, path in found if path.underlying != ALL]  # noqa: PLR2004


def _price(mine: Resolved, unit: int, path: Path, scan: Scan, brackets: list[Bracket]) -> LiquidationPrice:
    today = int(np.flatnonzero(scan.multiple == 1.0)[0])
    state = int(scan.state[today, unit, TRIGGER])
    flips = [_flip(bracket) for bracket in brackets if bracket.criterion == TRIGGER]
    broke = [_flip(bracket) for bracket in brackets if bracket.criterion == BANKRUPTCY]
    below, above = _nearest(flips)
    levels = {"below": below, "above": above}
    levels |= dict(zip(("bankruptcy_below", "bankruptcy_above"), _nearest(broke), strict=True))
    return LiquidationPrice(
        pool=mine.units.label[unit],
        underlying=path.underlying,
        path=path.text,
        spot=path.spot,
        already_liquidatable=state == FLIPPED,
        safe_regions=tuple((low * path.spot, high * path.spot) for low, high in _regions(scan, unit, brackets)),
        marks={} if path.underlying == ALL else _marks(mine, unit, path, below, above),
        **{name: None if level is None else level * path.spot for name, level in levels.items()},
    )


def _flip(bracket: Bracket) -> float:
    """Return the end at which the criterion holds."""
    return bracket.high if bracket.state_low == SAFE else bracket.low


def _nearest(levels: list[float]) -> tuple[float | None, float | None]:
    below = [level for level in levels if level <= 1.0]
    above = [level for level in levels if level > 1.0]
    return max(below, default=None), min(above, default=None)


def _regions(scan: Scan, unit: int, brackets: list[Bracket]) -> list[tuple[float, float]]:
    """Return the intervals of multiples in which the trigger does not hold."""
    flips = sorted((_flip(b), b.state_low) for b in brackets if b.criterion == TRIGGER)
    start = LOWEST if scan.state[0, unit, TRIGGER] == SAFE else None
    regions = []
    for level, state_low in flips:
        if state_low == SAFE and start is not None:
            regions.append((start, level))
            start = None
        elif state_low != SAFE:
            start = level
    return [*regions, (start, HIGHEST)] if start is not None else regions


def _marks(
    mine: Resolved, unit: int, path: Path, below: float | None, above: float | None
) -> dict[str, tuple[float | None, float | None]]:
    """Return the marks of the unit's instruments of one underlying at both flips."""
    c, names = mine.contracts, mine.names
    held = np.unique(mine.legs.contract[(mine.legs.unit == unit)])
    of_path = c.bucket[held] == names.buckets.index(path.underlying)
    rows = held[of_path & (c.kind[held] != OPTION) & (c.kind[held] != ASSET)].tolist()
    sides = []
    for level in (below, above):
        there = None if level is None else moved(mine, Moves(prices={path.underlying: level})).contracts.mark
        sides.append({row: None if there is None else float(there[row]) for row in rows})
    return {names.symbols[int(c.symbol[row])]: (sides[0][row], sides[1][row]) for row in rows}


def profiles(
    resolved: Resolved, rulebook: Rulebook, account: int = 0, *, betas: Mapping[str, float] | None = None
) -> tuple[Profile, ...]:
    """Return coverage against price, both sides, along every path of every pool that the path touches."""
    mine = alone(resolved, account)
    paths = paths_of(mine, betas)
    if not paths:
        return ()
    # evenly spaced in logs over what happens in practice; 1 is among them
    points = _PROFILE if len(paths) <= MANY_PATHS else _PROFILE_OF_MANY
    multiple = np.unique(np.append(np.geomspace(0.2, 3.0, points - 1), 1.0))
    which = np.repeat(np.arange(len(paths)), multiple.size)
    levels = Probe(mine, rulebook, paths).at(which, np.tile(multiple, len(paths)))
    return tuple(
        Profile(
            pool=mine.units.label[unit],
            underlying=path.underlying,
            path=path.text,
            points=tuple(_point(levels, i * multiple.size + j, unit, x) for j, x in enumerate(multiple.tolist())),
        )
        for unit in range(len(mine.units))
        for i, path in chosen_paths(paths, [_varies(levels, which == i, unit) for i in range(len(paths))])
    )


def _varies(levels: Levels, rows: npt.NDArray[np.bool_], unit: int) -> bool:
    return any(bool(np.ptp(column[rows, unit]) > 0) for column in (levels.adjusted, levels.maintenance))


def _point(levels: Levels, row: int, unit: int, multiple: float) -> ProfilePoint:
    return ProfilePoint(
        multiple=multiple,
        adjusted_equity=float(levels.adjusted[row, unit]),
        maintenance_margin=float(levels.maintenance[row, unit]),
        coverage_ratio=float(levels.coverage[row, unit]),
        liquidatable=bool(levels.state[row, unit, TRIGGER] == FLIPPED),
    )
