"""Which trades: programs on tangents of the slack, rounded to lots, until the engine agrees."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

import numpy as np

from crossmargin.liquidation.plan_greedy import greedy
from crossmargin.liquidation.plan_lots import costs_of, dropped, in_lots, trades_of
from crossmargin.liquidation.plan_program import Program, Solved, least_cost, least_shortfall

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from crossmargin.liquidation.plan_costs import Costs, Segments
    from crossmargin.liquidation.plan_surface import Surface, Tangent

    Floats = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.int64]

__all__ = ["Choice", "Method", "chosen"]

Method: TypeAlias = Literal["none", "program", "greedy"]
"""How trades were chosen. `none`: nothing has to be traded, or nothing can be."""

_ROUNDS: Final = 6
_AGAIN: Final = 1.5  # of what rounding to lots left short is added to the target
_NEAR: Final = 1e-9  # of the shortfall that is to be made good
_COARSE: Final = 1e-3  # of a plan's cost: what rounding up one way may add before others are tried in its place
_WORTH: Final = 0.01  # of it: a program that reached further by more saw slopes that were not those of the end


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """Lots by way, the slack and the cost with them (reporting money), how they were found, in how many programs.

    `wanted` [ways] are the contracts before they were rounded.
    """

    lots: Ints
    wanted: Floats
    slack: float
    cost: float
    method: Method
    rounds: int

    def better(self, other: Choice | None) -> bool:
        """Return whether this is to be preferred: what restores, of these the cheaper; else what is less short."""
        if other is None or (self.slack >= 0) != (other.slack >= 0):
            return other is None or self.slack >= 0
        return self.cost < other.cost if self.slack >= 0 else self.slack > other.slack


@dataclass(frozen=True, slots=True, eq=False)
class _Known:
    """What the search has seen: tangents that nothing contradicts, and where the next one is taken."""

    tangents: tuple[Tangent, ...]
    trades: Floats
    cost: Floats


def chosen(surface: Surface, costs: Costs, time_limit: float | None = None, target: float = 0.0) -> Choice:
    """Return the cheapest lots found with which the slack is at least `target`, or the least short.

    A convex requirement needs one program where it is made of scenario rows, and a few tangents else. Where it is not
    convex, a tangent that the engine contradicts is dropped: the program then stands on the branch that holds here.

    Raises
    ------
    TimeoutError
        A program took longer than `time_limit`.
    """
    search = _Search(surface, costs, time_limit, target)
    best: Choice | None = None
    for rounds in range(1, _ROUNDS + 1):
        found, onward = search.turn(rounds)
        if found is None:
            break
        improved = found.better(best)
        best = found if improved else best
        if not onward or not (improved or found.slack < 0):
            break
    if best is None:
        return Choice(
            np.zeros(len(surface.ways), dtype=np.int64),
            search.known.trades,
            search.known.tangents[-1].slack,
            0.0,
            "none",
            0,
        )
    return search.finished(best) if best.slack >= 0 else best


class _Search:
    """Programs one after another: what is known grows, or the target is raised by what rounding left short."""

    def __init__(self, surface: Surface, costs: Costs, time_limit: float | None, target: float) -> None:
        ways = surface.ways
        nothing = np.zeros(len(ways))
        self.surface, self.costs, self.time_limit, self.target = surface, costs, time_limit, target
        self.segments = [costs.segments(way.name, way.terms, way.side, float(way.most)) for way in ways.listed]
        self.known = _seen(surface, _Known((), nothing, nothing))
        self.need = max(target - self.known.tangents[-1].slack, 0.0)
        self.raised = target

    def turn(self, rounds: int) -> tuple[Choice | None, bool]:
        """Return the lots of one program, and whether another may find better ones."""
        program = self.program(self.segments)
        solved = least_cost(program, self.raised + _NEAR * self.need, self.time_limit)
        short = solved is None
        solved = solved or least_shortfall(program, self.raised, self.time_limit)
        if solved is None:
            return None, False
        found, exact, cost = self.rounded(solved, rounds)
        if found.slack < 0 <= exact + 2 * _NEAR * self.need and not short:
            self.raised += -_AGAIN * found.slack
            return found, True
        onward = found.slack < 0 or exact > _WORTH * self.need
        if onward:
            self.known = _seen(self.surface, replace(self.known, trades=solved.trades, cost=cost))
        return found, onward

    def program(self, segments: Sequence[Segments]) -> Program:
        """Return the program on all that is known."""
        return Program(segments, self.surface.ways.rate, self.known.tangents)

    def rounded(self, solved: Solved, rounds: int) -> tuple[Choice, float, Floats]:
        """Return a program's trades in lots, the slack of the trades themselves, and what these cost by way."""
        ways = self.surface.ways
        lots = in_lots(ways, solved.trades)
        points = np.stack([solved.trades, trades_of(ways, [lots])[0]])
        cost = costs_of(ways, self.costs, points)
        exact, whole = (self.surface.slacks(points, cost) - self.target).tolist()
        return Choice(lots, solved.trades, whole, float(cost[1] @ ways.rate), "program", rounds), exact, cost[0]

    def finished(self, best: Choice) -> Choice:
        """Return the better of two without the lots that are not needed: the choice, and one with no coarse lot more.

        A lot of which the program wants but a part may cost more than what replaces it elsewhere.
        """
        first = self.trimmed(best)
        other = self.without_coarse(best)
        return first if other is None or not other.better(first) else other

    def without_coarse(self, best: Choice) -> Choice | None:
        """Return lots where no way has more than the whole ones that the program wants; None: that restores nothing."""
        ways = self.surface.ways
        trades = trades_of(ways, [best.lots])
        paid = costs_of(ways, self.costs, trades)[0] * ways.rate
        more = np.where(trades[0] > 0, paid * (1.0 - best.wanted / np.where(trades[0] > 0, trades[0], 1.0)), 0.0)
        coarse = more > _COARSE * best.cost
        if not coarse.any():
            return None
        caps = np.where(coarse, np.floor(best.wanted / ways.lot) * ways.lot, ways.most)
        capped = [one.upto(cap) for one, cap in zip(self.segments, caps.tolist(), strict=True)]
        again = least_cost(self.program(capped), self.raised + _NEAR * self.need, self.time_limit)
        if again is None:
            return None
        found, _, _ = self.rounded(again, best.rounds + 1)
        return self.trimmed(found) if found.slack >= 0 else None

    def trimmed(self, choice: Choice) -> Choice:
        """Return a choice without the lots that it does not need."""
        return _trimmed(self.surface, self.costs, choice)


def _seen(surface: Surface, known: _Known) -> _Known:
    """Return what is known with the tangent here, without those that promised less than there is here."""
    tangent = surface.tangent(known.trades, known.cost)
    room = 1e-6 * max(abs(tangent.slack), abs(known.tangents[0].slack) if known.tangents else 0.0)
    kept = tuple(one for one in known.tangents if one.at(known.trades, known.cost) >= tangent.slack - room)
    return replace(known, tangents=(*kept, tangent))


def _trimmed(surface: Surface, costs: Costs, choice: Choice) -> Choice:
    """Return a choice without the lots that it does not need."""
    lots, slack = dropped(surface, costs, choice.lots)
    cost = costs_of(surface.ways, costs, trades_of(surface.ways, [lots]))
    return replace(choice, lots=lots, slack=slack, cost=float(cost[0] @ surface.ways.rate))


def chosen_greedily(surface: Surface, costs: Costs) -> Choice:
    """Return the lots of the greedy plan."""
    ways = surface.ways
    wanted = greedy(surface, costs)
    lots = in_lots(ways, wanted)
    trades = trades_of(ways, [lots])
    cost = costs_of(ways, costs, trades)
    found = Choice(lots, wanted, surface.slack(trades[0], cost[0]), float(cost[0] @ ways.rate), "greedy", 0)
    return _trimmed(surface, costs, found) if found.slack >= 0 else found
