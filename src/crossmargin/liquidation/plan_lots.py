"""From what a program says to whole lots: closes up and never past nothing, hedges to the nearest, then lots back."""

from __future__ import annotations

from fractions import Fraction
from math import ceil
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt

    from crossmargin.liquidation.plan_costs import Tariff
    from crossmargin.liquidation.plan_ways import Way, Ways

    Floats = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.int64]
    Promise = Callable[[Floats, Floats], Floats]

__all__ = ["amount_of", "dropped", "in_lots", "swapped", "trades_of"]

_ROUNDING: Final = 1e-6  # of a lot: what a program leaves beside a whole number
_TURNS: Final = 4  # more found 0.05 % of a plan's cost at most, on 180 accounts
_CHEAPER: Final = 1e-5  # of the cost: less is not worth another turn
_AT_ONCE: Final = 32  # swaps that are looked at together, the cheapest first


def in_lots(ways: Ways, trades: Floats) -> Ints:
    """Return whole lots [ways]."""
    found = []
    for way, amount in zip(ways.listed, trades.tolist(), strict=True):
        lots = amount / float(way.least)
        found.append(round(lots) if way.opens else ceil(lots - _ROUNDING))
    return np.asarray(found, dtype=np.int64)


def amount_of(way: Way, count: int) -> Fraction:
    """Return the contracts of so many lots, exactly, none more than there are."""
    return min(count * way.least, way.most)


def trades_of(ways: Ways, lots: Sequence[Ints] | Ints) -> Floats:
    """Return contracts [points, ways]."""
    return np.minimum(np.asarray(lots) * ways.least, ways.most)


def dropped(promise: Promise, ways: Ways, tariff: Tariff, lots: Ints) -> Ints:
    """Return lots after those that are not needed were taken back.

    First what saves most per slack that it gives up, as many lots as one lot of each lets hope; what goes too far is
    not taken.

    Parameters
    ----------
    promise
        The slack above its target [points], given trades and costs [points, ways].
    lots
        [ways] with which that is at least 0.
    """
    for _ in range(_TURNS):
        held = np.flatnonzero(lots > 0)
        points = trades_of(ways, [lots, *(_less(lots, {int(i): 1}) for i in held)])
        cost = tariff.paid(points)
        slack = promise(points, cost)
        saved, given = (cost[0] - cost[1:]) @ ways.rate, slack[0] - slack[1:]
        wanted = (saved > 0) & (given <= slack[0])
        order = np.flatnonzero(wanted)[np.argsort(-_ratio(saved, given)[wanted], kind="stable")]
        steps = _nested(lots, [(int(held[i]), float(given[i])) for i in order], float(slack[0]))
        if not steps:
            break
        tried = trades_of(ways, steps)
        good = np.flatnonzero(promise(tried, tariff.paid(tried)) >= 0)
        if not good.size:
            break
        lots = steps[int(good[-1])]
    return lots


def swapped(promise: Promise, ways: Ways, tariff: Tariff, lots: Ints) -> Ints:
    """Return lots after dear ones were replaced: one lot of a way, or all, for as many of another as make it good.

    A program wants a part of a lot and is rounded up; what is whole may be cheaper elsewhere. Arguments as
    :func:`dropped` has them.
    """
    for _ in range(_TURNS):
        held = np.flatnonzero(lots > 0).tolist()
        starts = [_less(lots, {i: count}) for i in held for count in {1, int(lots[i])}]
        better = _better(promise, ways, tariff, lots, np.asarray(starts)) if starts else None
        if better is None:
            break
        lots = better
    return lots


def _better(promise: Promise, ways: Ways, tariff: Tariff, lots: Ints, starts: Ints) -> Ints | None:
    """Return the cheapest lots that are cheaper than these and still reach the target; None: none are.

    Each start [starts, ways] is tried with as many more lots of one way as its next one lets hope make good, or one
    more. A way costs what it does whatever else is traded, so that a start is priced once and a way only where it
    changes.
    """
    begun, rate = trades_of(ways, starts), ways.rate
    before = tariff.paid(begun)
    missing = -promise(begun, before)
    gain, total = _one_more(promise, ways, tariff, lots)
    able = gain > 0
    room = np.ceil(ways.most / ways.least)
    fewest = np.ceil(np.maximum(missing, 0.0)[:, None] / np.where(able, gain, np.inf))
    more = np.minimum(fewest, room + 1).astype(np.int64)[:, None, :] + np.asarray([[0], [1]])
    filled = starts[:, None, :] + more  # [starts, 2, ways]
    amount = trades_of(ways, filled)
    after = tariff.paid(amount.reshape(-1, len(ways))).reshape(filled.shape)
    cost = (before @ rate)[:, None, None] + (after - before[:, None, :]) * rate
    fits = able & (room > lots) & (filled <= room) & (cost < total * (1 - _CHEAPER))
    start, count, way = np.nonzero(fits)
    for rank in np.array_split(np.argsort(cost[fits], kind="stable"), max(start.size // _AT_ONCE, 1)):
        changed, at = np.arange(rank.size), (start[rank], count[rank], way[rank])
        points, costs = begun[start[rank]], before[start[rank]]
        points[changed, way[rank]], costs[changed, way[rank]] = amount[at], after[at]
        good = np.flatnonzero(promise(points, costs) >= 0) if rank.size else rank
        if good.size:
            best = rank[int(good[0])]
            found = starts[start[best]].copy()
            found[way[best]] = filled[start[best], count[best], way[best]]
            return np.asarray(found)
    return None


def _one_more(promise: Promise, ways: Ways, tariff: Tariff, lots: Ints) -> tuple[Floats, float]:
    """Return by how much one lot more of each way raises the slack [ways], and what the lots cost as they are."""
    trades = trades_of(ways, [lots, lots + 1])
    cost, more = tariff.paid(trades), np.eye(len(ways) + 1, len(ways), -1)  # nothing, and then one way after another
    slack = promise(*(np.where(more, column[1], column[0]) for column in (trades, cost)))
    return slack[1:] - slack[0], float(cost[0] @ ways.rate)


def _ratio(saved: Floats, given: Floats) -> Floats:
    return np.where(given > 0, saved / np.where(given > 0, given, 1.0), np.inf)


def _nested(lots: Ints, order: list[tuple[int, float]], left: float) -> list[Ints]:
    """Return the lots after one of the first is taken back, then as many as there is slack for, then of the next."""
    steps, here = [], lots
    for way, given in order:
        count = int(here[way]) if given <= 0 else min(int(left / given), int(here[way]))
        for part in {1: 1, count: count - 1}.values() if count > 1 else [count]:
            if part > 0:
                here = _less(here, {way: part})
                steps.append(here)
        left -= max(count * given, 0.0)
    return steps


def _less(lots: Ints, counts: dict[int, int]) -> Ints:
    out = lots.copy()
    for way, count in counts.items():
        out[way] -= count
    return out
