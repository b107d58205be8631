"""The linear program of a plan: least cost so that every tangent of the slack reaches its target."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from crossmargin.liquidation.plan_solver import Problem

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from crossmargin.liquidation.plan_costs import Segments
    from crossmargin.liquidation.plan_surface import Rows, Tangent

    Floats = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.int64]

__all__ = ["Program", "Solved", "least_cost", "least_shortfall"]

_TINY_COST: Final = 1e-6  # of a shortfall's weight: of plans that are equally short the cheaper
_SAME: Final = 1e-9
_MORE: Final = 1.5  # times the dearest relief that is needed: what is offered to the solver at first
_LEAST: Final = 1e-12  # of money: what a shortfall is at least counted in


@dataclass(frozen=True, slots=True, eq=False)
class Program:
    """What a plan is chosen among.

    Parameters
    ----------
    segments
        The convex cost of each way.
    rate
        [ways] reporting money per unit of each way's settlement asset.
    tangents
        The slack as far as it is known.
    """

    segments: Sequence[Segments]
    rate: Floats
    tangents: Sequence[Tangent]

    @property
    def way(self) -> Ints:
        """[segments] the way of each."""
        return np.repeat(np.arange(len(self.segments)), [one.width.size for one in self.segments])


@dataclass(frozen=True, slots=True, eq=False)
class Solved:
    """Trades and their costs by way [ways], and what all cost together, reporting money."""

    trades: Floats
    cost: Floats
    total: float


def least_cost(program: Program, target: float, time_limit: float | None = None) -> Solved | None:
    """Return the cheapest trades with which every tangent reaches the target; None: there are none.

    Raises
    ------
    UnsolvedError
        The time, in seconds, was not enough, or the solver failed.
    """
    return _solved(program, target, time_limit, elastic=False)


def least_shortfall(program: Program, target: float, time_limit: float | None = None) -> Solved | None:
    """Return the trades that leave least missing to the target, of those the cheapest; raises as above."""
    return _solved(program, target, time_limit, elastic=True)


def _solved(program: Program, target: float, time_limit: float | None, *, elastic: bool) -> Solved | None:
    """Return the solution over (segments, losses of scan rows, what is missing).

    Segments are counted in their whole width, money in what is missing before any trade: a solver's tolerances are
    absolute, and no tangent need stand where nothing is traded.
    """
    way, each = program.way, np.concatenate([one.each for one in program.segments])
    width = np.concatenate([one.width for one in program.segments])
    nothing = np.zeros((1, len(program.segments)))
    stands = min(min(one.slack, float(one.at(nothing, nothing)[0])) for one in program.tangents)
    unit = max(target - stands, _LEAST)
    matrix, bound, losses = _constraints(program, way, each, target)
    matrix[:, : way.size] *= width / unit
    price = each * width * program.rate[way]
    price = price / (np.abs(price).max(initial=0.0) or 1.0)
    objective = np.concatenate([price * (_TINY_COST if elastic else 1.0), np.zeros(losses), [1.0]])
    upper = np.concatenate([width > 0, np.full(losses, np.inf), [np.inf if elastic else 0.0]])
    rows, at_once = bound / unit, _likely(program, way, each, width, target)
    problem, some = Problem(objective, matrix, rows, upper), np.append(at_once, np.ones(losses + 1, dtype=bool))
    found = None if elastic else problem.solved(some, time_limit)
    if found is None or not problem.is_best(found, some):
        found = problem.solved(np.ones(objective.size, dtype=bool), time_limit)
    if found is None:
        return None
    used = np.clip(found.x[: way.size], 0.0, 1.0) * width
    ways = len(program.segments)
    trades, cost = (np.bincount(way, column, ways).astype(np.float64) for column in (used, used * each))
    return Solved(trades, cost, float(cost @ program.rate))


def _likely(program: Program, way: Ints, each: Floats, width: Floats, target: float) -> npt.NDArray[np.bool_]:
    """Return the segments that free most per cost, more than is needed: the solver's time goes with their number."""
    tangent = program.tangents[-1]
    freed = (tangent.all_by_way[way] + tangent.all_by_cost[way] * each) * width
    paid = each * width * program.rate[way]
    ratio = np.where(freed > 0, paid / np.where(freed > 0, freed, 1.0), np.inf)
    order = np.argsort(ratio, kind="stable")
    last = int(np.searchsorted(np.cumsum(np.maximum(freed[order], 0.0)), target - tangent.slack))
    return np.asarray(ratio <= _MORE * ratio[order[min(last, order.size - 1)]])


def _constraints(program: Program, way: Ints, each: Floats, target: float) -> tuple[Floats, Floats, int]:
    """Return A x <= b in contracts and money, and how many losses there are."""
    keys = ((rows.line, row) for tangent in program.tangents for rows in tangent.rows for row in rows.row.tolist())
    places = {key: place for place, key in enumerate(dict.fromkeys(keys))}
    blocks: list[Floats] = []
    bounds: list[Floats] = []
    seen: list[Rows] = []
    for tangent in program.tangents:
        slack = np.zeros(way.size + len(places) + 1)
        slack[: way.size] = tangent.by_way[way] + tangent.by_cost[way] * each
        slack[-1] = 1.0
        for rows in tangent.rows:
            here = np.asarray([way.size + places[rows.line, row] for row in rows.row.tolist()])
            slack[here] += rows.weight
            if any(_same(rows, other) for other in seen):
                continue
            seen.append(rows)
            block = np.zeros((rows.base.size, slack.size))
            block[:, : way.size] = _on_segments(rows, way, each)
            block[np.arange(rows.base.size), np.repeat(here, rows.base.shape[1])] = -1.0
            blocks.append(block)
            bounds.append(-rows.base.ravel())
        blocks.append(-slack[None])
        bounds.append(np.asarray([tangent.base - target]))
    return np.concatenate(blocks), np.concatenate(bounds), len(places)


def _same(one: Rows, other: Rows) -> bool:
    """Return whether two tangents have the same losses in these rows: where gains and losses simply add up."""
    if one.line != other.line or not np.array_equal(one.row, other.row):
        return False
    pairs = ((one.base, other.base), (one.by_way, other.by_way), (one.by_cost, other.by_cost))
    return all(bool(np.allclose(a, b, rtol=_SAME, atol=_SAME * np.abs(a).max(initial=0.0))) for a, b in pairs)


def _on_segments(rows: Rows, way: Ints, each: Floats) -> Floats:
    """Return what each segment adds to each loss [rows * scenarios, segments]."""
    return (rows.by_way[..., way] + rows.by_cost[..., way] * each).reshape(-1, way.size)
