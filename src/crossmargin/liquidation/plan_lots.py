"""From what a program says to whole lots: closes up and never past nothing, hedges to the nearest, then lots back."""

from __future__ import annotations

from fractions import Fraction
from math import ceil
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from crossmargin.liquidation.plan_costs import Costs
    from crossmargin.liquidation.plan_surface import Surface
    from crossmargin.liquidation.plan_ways import Way, Ways

    Floats = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.int64]

__all__ = ["amounts", "costs_of", "dropped", "in_lots", "trades_of"]

_ROUNDING: Final = 1e-6  # of a lot: what a program leaves beside a whole number
_TURNS: Final = 3
_WORTH: Final = 1e-5  # of what all trades cost: less is not worth another look


def in_lots(ways: Ways, trades: Floats) -> Ints:
    """Return whole lots [ways]."""
    found = []
    for way, amount in zip(ways.listed, trades.tolist(), strict=True):
        lots = amount / float(way.lot)
        found.append(round(lots) if way.opens else ceil(lots - _ROUNDING))
    return np.asarray(found, dtype=np.int64)


def amounts(ways: Ways, lots: Ints) -> list[Fraction]:
    """Return contracts by way, exactly, none more than there are."""
    return [_amount(way, count) for way, count in zip(ways.listed, lots.tolist(), strict=True)]


def _amount(way: Way, count: int) -> Fraction:
    return min(count * way.lot, way.most)


def trades_of(ways: Ways, lots: Sequence[Ints]) -> Floats:
    """Return contracts [points, ways]."""
    return np.minimum(np.asarray(lots) * ways.lot, ways.most)


def costs_of(ways: Ways, costs: Costs, trades: Floats) -> Floats:
    """Return what trades cost by way [points, ways], each way's settlement asset."""
    out = np.zeros_like(trades)
    for place, way in enumerate(ways.listed):
        traded = np.flatnonzero(trades[:, place])
        if traded.size:
            out[traded, place] = costs.totals(way.name, way.terms, way.side * trades[traded, place])
    return out


def dropped(surface: Surface, costs: Costs, lots: Ints) -> tuple[Ints, float]:
    """Return lots after those that are not needed were taken back, and the slack then.

    First what saves most per slack that it gives up, as many lots as one lot of each lets hope; what goes too far is
    not taken.

    Parameters
    ----------
    lots
        [ways] with which the slack is at least 0.
    """
    ways, left = surface.ways, 0.0
    for _ in range(_TURNS):
        held = np.flatnonzero(lots > 0)
        points = trades_of(ways, [lots, *(_less(lots, {int(i): 1}) for i in held)])
        cost = costs_of(ways, costs, points)
        slack = surface.slacks(points, cost)
        left = float(slack[0])
        saved, given = (cost[0] - cost[1:]) @ ways.rate, left - slack[1:]
        wanted = (saved > _WORTH * float(cost[0] @ ways.rate)) & (given <= left)
        order = np.flatnonzero(wanted)[np.argsort(-_ratio(saved, given)[wanted], kind="stable")]
        steps = _nested(lots, [(int(held[i]), float(given[i])) for i in order], left)
        if not steps:
            break
        tried = trades_of(ways, steps)
        after = surface.slacks(tried, costs_of(ways, costs, tried))
        good = np.flatnonzero(after >= 0)
        if not good.size:
            break
        lots, left = steps[int(good[-1])], float(after[good[-1]])
    return lots, left


def _ratio(saved: Floats, given: Floats) -> Floats:
    return np.where(given > 0, saved / np.where(given > 0, given, 1.0), np.inf)


def _nested(lots: Ints, order: list[tuple[int, float]], left: float) -> list[Ints]:
    """Return the lots after the first, the first two, ... are taken back, many of each and then a single one."""
    steps, here = [], lots
    for way, given in order:
        count = int(here[way]) if given <= 0 else min(int(left / given), int(here[way]))
        if count > 0:
            left -= max(count * given, 0.0)
            here = _less(here, {way: count})
            steps.append(here)
    return steps


def _less(lots: Ints, counts: dict[int, int]) -> Ints:
    out = lots.copy()
    for way, count in counts.items():
        out[way] -= count
    return out
