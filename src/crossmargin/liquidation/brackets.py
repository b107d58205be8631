"""Flips of a state along a path: found on a grid, then closed in on, many brackets in one evaluation a round."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from crossmargin.liquidation.probe import UNDEFINED

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from crossmargin.liquidation.probe import Levels, Probe

    Floats = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.int64]

LOWEST, HIGHEST = 0.05, 10.0
TOLERANCE = 1e-12
_ROUNDS = 40  # thirds alone would close any bracket in fewer
_GRID = np.unique(np.append(np.geomspace(LOWEST, HIGHEST, 97), [1.0, *np.linspace(0.9, 1.1, 21)]))
# The work of a scan grows with paths x legs: an account of two hundred coins is scanned in bigger steps.
_COARSE_GRID = np.unique(np.append(np.geomspace(LOWEST, HIGHEST, 25), [0.95, 1.0, 1.05]))
MANY_PATHS = 24
_AROUND_KINK = (1 - 2e-3, 1.0, 1 + 2e-3)
_MOST_KINKS = 40
_INSERTED = np.linspace(0, 1, 10)[1:-1]
# where the next trials stand: around the estimate, at these shares of the bracket's width, and at its thirds
_OFFSETS = np.asarray([0.0, *(sign * 10.0**-k for k in (2, 4, 6, 9) for sign in (-1, 1))])


@dataclass(frozen=True, slots=True)
class Bracket:
    """Two neighbouring levels between which one criterion of one unit flips."""

    path: int
    unit: int
    criterion: int
    low: float
    high: float
    at_low: float
    at_high: float
    state_low: int

    @property
    def is_open(self) -> bool:
        """Whether the two ends are still apart."""
        return self.high - self.low > TOLERANCE * self.low


@dataclass(frozen=True, slots=True)
class Scan:
    """One path on its grid: `multiple` ascending, and the levels there."""

    multiple: Floats
    state: Ints
    distance: Floats


def grid_of(kinks: Sequence[float], *, coarse: bool = False) -> Floats:
    """Return the multiples at which a path is scanned: a log grid, finer near 1, and around the kinks nearest to 1."""
    near = sorted(kinks, key=lambda kink: abs(np.log(kink)))[:_MOST_KINKS]
    extra = np.asarray([kink * x for kink in near for x in _AROUND_KINK])
    return np.unique(np.concatenate([_COARSE_GRID if coarse else _GRID, extra[(extra > LOWEST) & (extra < HIGHEST)]]))


def scan_paths(probe: Probe) -> list[Scan]:
    """Return every path on its grid, and on more levels where a state may flip twice between two of the grid."""
    coarse = len(probe.paths) > MANY_PATHS
    grids = [grid_of(path.kinks, coarse=coarse) for path in probe.paths]
    scans = _evaluate(probe, grids)
    closer = [_suspects(scan) for scan in scans]
    if not any(extra.size for extra in closer):
        return scans
    return [_merged(*pair) for pair in zip(scans, _evaluate(probe, closer), strict=True)]


def _evaluate(probe: Probe, grids: list[Floats]) -> list[Scan]:
    which = np.concatenate([np.full(grid.size, i, dtype=np.int64) for i, grid in enumerate(grids)])
    levels: Levels = probe.at(which, np.concatenate(grids))
    bounds = np.cumsum([grid.size for grid in grids])[:-1]
    parts = zip(grids, np.split(levels.state, bounds), np.split(levels.distance, bounds), strict=True)
    return [Scan(*part) for part in parts]


def _merged(first: Scan, second: Scan) -> Scan:
    multiple = np.concatenate([first.multiple, second.multiple])
    order = np.argsort(multiple, kind="stable")
    state, distance = (np.concatenate([getattr(s, n) for s in (first, second)]) for n in ("state", "distance"))
    return Scan(multiple[order], state[order], distance[order])


def _suspects(scan: Scan) -> Floats:
    """Return levels beside an extremum that comes near to 0 without crossing it on the grid."""
    d, s = scan.distance, scan.state
    sign = np.where(s[1:-1] == 1, 1.0, -1.0)
    with np.errstate(invalid="ignore"):
        left, mid, right = d[:-2] * sign, d[1:-1] * sign, d[2:] * sign
        turns = (mid <= left) & (mid <= right) & (s[:-2] == s[1:-1]) & (s[2:] == s[1:-1])
        near = mid < np.maximum(left, right) - mid  # within reach of a parabola through the three
    found = np.flatnonzero((turns & near & (s[1:-1] != UNDEFINED)).any(axis=(1, 2))) + 1
    x = scan.multiple
    return np.unique([x[i + j] + (x[i + j + 1] - x[i + j]) * _INSERTED for i in found for j in (-1, 0)])


def find_brackets(scans: list[Scan]) -> list[Bracket]:
    """Return every pair of neighbouring levels with different states."""
    out = []
    for path, scan in enumerate(scans):
        s, x, d = scan.state, scan.multiple, scan.distance
        flips = (s[1:] != s[:-1]) & (s[1:] != UNDEFINED) & (s[:-1] != UNDEFINED)
        for i, unit, criterion in np.argwhere(flips).tolist():
            at = (slice(None), unit, criterion)
            ends = (float(d[at][i]), float(d[at][i + 1]))
            out.append(Bracket(path, unit, criterion, float(x[i]), float(x[i + 1]), *ends, int(s[at][i])))
    return out


def close_in(probe: Probe, brackets: list[Bracket]) -> list[Bracket]:
    """Return the same brackets with their ends together, within 1e-12 of the price."""
    for _ in range(_ROUNDS):
        wide = [i for i, bracket in enumerate(brackets) if bracket.is_open]
        if not wide:
            break
        trials = [_trials(brackets[i]) for i in wide]
        which = np.concatenate([np.full(t.size, brackets[i].path) for i, t in zip(wide, trials, strict=True)])
        levels = probe.at(which, np.concatenate(trials))
        bounds = np.cumsum([t.size for t in trials])[:-1]
        parts = zip(wide, trials, np.split(levels.state, bounds), np.split(levels.distance, bounds), strict=True)
        for i, points, state, distance in parts:
            at = (slice(None), brackets[i].unit, brackets[i].criterion)
            brackets[i] = _narrowed(brackets[i], points, state[at], distance[at])
    return brackets


def _trials(bracket: Bracket) -> Floats:
    """Return where to look next, strictly inside: the thirds, and ever closer around where a line would cross 0."""
    low, width = bracket.low, bracket.high - bracket.low
    points = [low + width / 3, low + 2 * width / 3]
    drop = bracket.at_low - bracket.at_high
    if np.isfinite(drop) and drop != 0 and bracket.at_low * bracket.at_high <= 0:
        points.extend((low + width * (bracket.at_low / drop + _OFFSETS)).tolist())
    inside = np.unique(points)
    inside = inside[(inside > low) & (inside < bracket.high)]
    return inside if inside.size else np.asarray([low + width / 2])


def _narrowed(bracket: Bracket, points: Floats, state: Ints, distance: Floats) -> Bracket:
    """Return the narrower bracket; of several flips inside, the one nearest to today's price."""
    known = state != UNDEFINED
    x = np.concatenate([[bracket.low], points[known], [bracket.high]])
    s = np.concatenate([[bracket.state_low], state[known], [1 - bracket.state_low]])
    d = np.concatenate([[bracket.at_low], distance[known], [bracket.at_high]])
    flips = np.flatnonzero(s[1:] != s[:-1])
    i = int(flips[np.argmin(np.abs(np.log(x[flips])))])
    if x[i] == bracket.low and x[i + 1] == bracket.high:  # no float between the ends, or nothing defined there
        return replace(bracket, high=bracket.low * (1 + TOLERANCE / 2))
    return replace(
        bracket, low=float(x[i]), high=float(x[i + 1]), at_low=float(d[i]), at_high=float(d[i + 1]), state_low=int(s[i])
    )
