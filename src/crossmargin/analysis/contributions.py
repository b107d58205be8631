"""What each position and balance adds to each requirement: derivatives of the tree that was assessed.

Proportional requirements by Euler: quantity times derivative sums to the requirement. Others by the ray average: the
integral of the derivative along the pool scaled from 0 to 1 sums to what the requirement gains on the way. What no
position moves, and what rounding adds, stands in a row of its own: nothing else is the total minus the rest.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np

from crossmargin.analysis.explanation import Contribution
from crossmargin.analysis.ray import Ray
from crossmargin.margin.rows import leg_name

if TYPE_CHECKING:
    import numpy.typing as npt

    from crossmargin.margin.model import Rulebook
    from crossmargin.margin.resolved import Resolved

    Floats = npt.NDArray[np.float64]

EULER: Final = "euler"
RAY_AVERAGE: Final = "ray_average"
CONSTANT: Final = "constant"
JUMP: Final = "jump"

_CLOSE: Final = 1e-10  # of the figures: how closely contributions must sum
_NARROW: Final = 1e-11  # an interval of the ray in which a figure still jumps
_ROUNDS: Final = 120
_MOST: Final = 4096  # intervals in all: a limit for formulas that jump everywhere
# Gauss-Legendre with three points: exact up to degree five
_NODES: Final = 0.5 + 0.5 * np.sqrt(0.6) * np.asarray([-1.0, 0.0, 1.0])
_WEIGHTS: Final = np.asarray([5.0, 8.0, 5.0]) / 18.0


@dataclass(slots=True)
class _Sums:
    """What the ray has given so far: by leg [figures, legs], and jumps that no leg's derivative sees."""

    by_leg: Floats
    jump: Floats


@dataclass(frozen=True, slots=True)
class _Interval:
    """A part of the ray with the figures and their derivatives [figures, units] at both ends."""

    low: float
    high: float
    at_low: Floats
    at_high: Floats
    slope_low: Floats
    slope_high: Floats
    halve: bool = field(default=False)


def contributions(resolved: Resolved, rulebook: Rulebook) -> tuple[Contribution, ...]:
    """Return what each leg adds to requirements and adjusted equities, pool by pool, in each pool's reporting asset."""
    if not resolved.legs.contract.size:
        return ()
    ray = Ray(resolved, rulebook)
    at, slopes = ray.at(np.asarray([0.0, 1.0]))
    euler = slopes[1]
    gained = at[1] - at[0]
    by_unit = _by_unit(resolved, euler)
    scale = np.maximum(np.abs(at[1]), np.abs(at[0]))
    homogeneous = np.all((np.abs(by_unit - gained) <= _CLOSE * scale) & (np.abs(at[0]) <= _CLOSE * scale), axis=0)
    sums = _Sums(euler, np.zeros_like(gained))
    rounding = ray.rounding()
    if not homogeneous.all():
        along = _integrated(ray, at, _by_unit(resolved, slopes), scale)
        legs = homogeneous[resolved.legs.unit]
        # what rounding leaves of an interval around a kink is no jump
        jump = np.where(homogeneous | (np.abs(along.jump) <= _CLOSE * scale), 0.0, along.jump)
        sums = _Sums(np.where(legs, euler, along.by_leg), jump)
    sums.jump += np.where(np.abs(rounding) <= _CLOSE * scale, 0.0, rounding)
    return tuple(
        row
        for unit in range(len(resolved.units))
        for row in _rows(resolved, unit, sums, at[0], EULER if homogeneous[unit] else RAY_AVERAGE)
    )


def _rows(resolved: Resolved, unit: int, sums: _Sums, empty: Floats, method: str) -> list[Contribution]:
    legs = resolved.legs
    pool = resolved.units.label[unit]
    found = [
        _row(pool, leg_name(resolved, leg), float(legs.quantity[leg]), sums.by_leg[:, leg], method)
        for leg in np.flatnonzero(legs.unit == unit).tolist()
    ]
    for name, column, kind in (("constant", empty, CONSTANT), ("jumps", sums.jump, JUMP)):
        if column[:, unit].any():
            found.append(_row(pool, name, 0.0, column[:, unit], kind))
    return found


def _row(pool: str, name: str, quantity: float, column: Floats, method: str) -> Contribution:
    initial, maintenance, adjusted_initial, adjusted_maintenance = (float(x) for x in column)
    return Contribution(
        pool=pool, name=name, quantity=quantity, initial_margin=initial, maintenance_margin=maintenance,
        adjusted_equity_initial=adjusted_initial, adjusted_equity_maintenance=adjusted_maintenance, method=method,
    )  # fmt: skip


def _by_unit(resolved: Resolved, by_leg: Floats) -> Floats:
    """Return figures by leg [..., legs] summed by pool [..., units]."""
    out = np.zeros((*by_leg.shape[:-1], len(resolved.units)))
    np.add.at(np.moveaxis(out, -1, 0), resolved.legs.unit, np.moveaxis(by_leg, -1, 0))
    return out


def _integrated(ray: Ray, at: Floats, ends: Floats, scale: Floats) -> _Sums:
    """Return the integral of each leg's derivative over the ray, as closely as the figures are known.

    An interval is done when its quadrature sums to what the figures gained over it. Else it is split: where the
    tangents of both ends meet (the kink, where pieces are straight), or in the middle.
    """
    resolved = ray.resolved
    sums = _Sums(np.zeros((at.shape[1], resolved.legs.contract.size)), np.zeros_like(at[0]))
    waiting = [_Interval(0.0, 1.0, at[0], at[1], ends[0], ends[1])]
    seen = 0
    for _ in range(_ROUNDS):
        if not waiting:
            break
        seen += len(waiting)
        low, high = (np.asarray([getattr(one, end) for one in waiting]) for end in ("low", "high"))
        nodes = (low[:, None] + (high - low)[:, None] * _NODES).ravel()
        slopes = ray.at(nodes).slopes.reshape(len(waiting), _NODES.size, at.shape[1], -1)
        parts = np.einsum("inql,n,i->iql", slopes, _WEIGHTS, high - low)
        totals = _by_unit(resolved, parts)
        rest = []
        for one, part, total in zip(waiting, parts, totals, strict=True):
            gained = one.at_high - one.at_low
            wrong = np.abs(total - gained) > _CLOSE * scale * max(one.high - one.low, 1e-4)
            if not wrong.any():
                sums.by_leg += part
            elif one.high - one.low <= _NARROW or seen > _MOST:
                _jump(ray, one, part, gained - total, sums)
            else:
                rest.append(one)
        waiting = _split(ray, rest)
    for one in waiting:
        sums.jump += one.at_high - one.at_low
    return sums


def _split(ray: Ray, intervals: list[_Interval]) -> list[_Interval]:
    if not intervals:
        return []
    cuts = np.asarray([_cut(one) for one in intervals])
    values, by_leg = ray.at(cuts)
    slopes = _by_unit(ray.resolved, by_leg)
    found = []
    for one, cut, value, slope in zip(intervals, cuts.tolist(), values, slopes, strict=True):
        found.append(_Interval(one.low, cut, one.at_low, value, one.slope_low, slope, not one.halve))
        found.append(_Interval(cut, one.high, value, one.at_high, slope, one.slope_high, not one.halve))
    return found


def _cut(one: _Interval) -> float:
    """Return where to split: the largest kink that the tangents at both ends point at, every other time the middle."""
    width = one.high - one.low
    middle = one.low + 0.5 * width
    if one.halve:
        return middle
    bend = one.slope_low - one.slope_high
    missing = one.at_high - one.at_low - width * one.slope_high
    place = np.unravel_index(int(np.argmax(np.abs(bend))), bend.shape)
    if not bend[place]:
        return middle
    share = missing[place] / (bend[place] * width)
    return float(one.low + share * width) if _NARROW < share * width < width - _NARROW else middle


def _jump(ray: Ray, one: _Interval, part: Floats, jump: Floats, sums: _Sums) -> None:
    """Share a jump of a step table among the legs that move what the table reads; what no leg moves stands alone."""
    sums.by_leg += part
    steep = ray.at(np.asarray([0.5 * (one.low + one.high)]), across_jumps=True).slopes[0]
    total = _by_unit(ray.resolved, steep)
    unit = ray.resolved.legs.unit
    crossed = np.abs(total) * 1e-6 > np.maximum(np.abs(one.slope_low), np.abs(one.slope_high))
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = np.where(crossed[:, unit], steep / total[:, unit], 0.0)
    sums.by_leg += shares * jump[:, unit]
    sums.jump += np.where(crossed, 0.0, jump)
