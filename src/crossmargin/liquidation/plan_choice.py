"""Which trades: programs on tangents of the slack, rounded to lots, until the engine agrees."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

import numpy as np

from crossmargin.liquidation.plan_costs import Tariff
from crossmargin.liquidation.plan_greedy import greedy
from crossmargin.liquidation.plan_lots import dropped, in_lots, swapped, trades_of
from crossmargin.liquidation.plan_program import Program, Solved, least_cost, least_shortfall

if TYPE_CHECKING:
    import numpy.typing as npt

    from crossmargin.liquidation.plan_costs import Costs
    from crossmargin.liquidation.plan_lots import Promise
    from crossmargin.liquidation.plan_surface import Surface, Tangent

    Floats = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.int64]

__all__ = ["Choice", "Method", "chosen"]

Method: TypeAlias = Literal["none", "program", "greedy"]
"""How trades were chosen. `none`: nothing has to be traded, or nothing can be."""

_ROUNDS: Final = 6
_AGAIN: Final = 1.5  # of what rounding to lots left short is added to the target
_NEAR: Final = 1e-9  # of the shortfall that is to be made good
_HEARD: Final = 2e-7  # of it: to raise the target by less is within HiGHS's tolerance, and changes no answer
_CONTRADICTS: Final = 1e-6  # of the largest slack seen: rounding, and the hair's breadth at which slopes are taken
_NOTHING: Final = 1e-12  # of a slack: what a trade counts as costing at least
_FINE: Final = 2e-3  # of a plan's cost: what chords may add before they are made shorter
_UNUSED: Final = 3  # parts of a cost that are looked at again of a way that was not wanted
_WORTH: Final = 0.01  # of the shortfall: what more than was promised lets another tangent find something cheaper


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """Lots by way, and what they do.

    Parameters
    ----------
    slack
        Above the target.
    cost
        [ways] by way, each in its settlement asset; `total` in reporting money.
    order, relief, alone
        Ways in their order, first what frees most per unit of cost; and by how much each raises the slack in that
        order, and alone.
    method, rounds
        How they were found, in how many programs.
    """

    lots: Ints
    slack: float
    cost: Floats
    total: float
    order: tuple[int, ...]
    relief: tuple[float, ...]
    alone: tuple[float, ...]
    method: Method
    rounds: int

    def better(self, other: Choice | None) -> bool:
        """Return whether this is to be preferred: what restores, of these the cheaper; else what is less short."""
        if other is None or (self.slack >= 0) != (other.slack >= 0):
            return other is None or self.slack >= 0
        return self.total < other.total if self.slack >= 0 else self.slack > other.slack


def chosen(surface: Surface, costs: Costs, time_limit: float | None = None, target: float = 0.0) -> Choice:
    """Return the cheapest lots found with which the slack is at least `target`, or the least short.

    A convex requirement needs one program where it is made of scenario rows, and a few tangents else. Where it is not
    convex, a tangent that the engine contradicts is dropped: the program then stands on the branch that holds here.

    Raises
    ------
    UnsolvedError
        A program took longer than `time_limit`, or the solver failed.
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
    return best or weighed(surface, search.tariff, np.zeros(len(surface.ways), dtype=np.int64), "none", 0, target)


def weighed(
    surface: Surface,
    tariff: Tariff,
    lots: Ints,
    method: Method,
    rounds: int,
    target: float,
    promise: Promise | None = None,
) -> Choice:
    """Return lots with what the engine says of them: each way alone, and one after another.

    Parameters
    ----------
    promise
        What is thought of each alone, which gives the order; None: the engine is asked for that first.
    """
    ways, used = surface.ways, np.flatnonzero(lots > 0)
    single = np.zeros((used.size + 1, len(ways)), dtype=np.int64)
    single[np.arange(1, used.size + 1), used] = lots[used]
    points = trades_of(ways, list(single))
    cost = tariff.paid(points)
    thought = (promise or surface.slacks)(points, cost)
    price = np.maximum(cost[1:] @ ways.rate, _NOTHING * np.abs(thought).max())
    rank = np.argsort(-(thought[1:] - thought[0]) / price, kind="stable")
    after = np.cumsum(single[1:][rank], axis=0)
    points = np.concatenate([points, trades_of(ways, list(after))]) if used.size else points
    cost = tariff.paid(points)
    slack = surface.slacks(points, cost) - target
    gained = np.diff(np.append(slack[0], slack[used.size + 1 :]))
    total = float(cost[-1] @ ways.rate)
    alone = (slack[1 : used.size + 1] - slack[0])[rank]
    order = tuple(used[rank].tolist())
    found = tuple(gained.tolist()), tuple(alone.tolist())
    return Choice(lots, float(slack[-1]), cost[-1], total, order, *found, method, rounds)


class _Search:
    """Programs one after another: more tangents are known, or the target is raised by what rounding left short."""

    def __init__(self, surface: Surface, costs: Costs, time_limit: float | None, target: float) -> None:
        ways = surface.ways
        self.surface, self.costs, self.time_limit, self.target = surface, costs, time_limit, target
        self.tariff = Tariff.of(costs, ((way.name, way.terms, way.side) for way in ways.listed))
        self.segments = self.tariff.segments(ways.most)
        self.tangents: list[Tangent] = []
        self.see(np.zeros((1, len(ways))))
        self.need = max(target - self.tangents[0].slack, 0.0)
        self.raised = target + _NEAR * self.need

    def turn(self, rounds: int) -> tuple[Choice | None, bool]:
        """Return the lots of one program with the slack that the engine finds, and whether another may find better."""
        program = Program(self.segments, self.surface.ways.rate, self.tangents)
        solved = self.solved(program)
        short = solved is None
        solved = solved or least_shortfall(program, self.raised, self.time_limit)
        if solved is None:
            return None, False
        lots = self.whole(solved)
        trades, cost = self.paid(lots)
        promised = float(self.promise(trades, cost)[0])
        found = weighed(self.surface, self.tariff, lots, "program", rounds, self.target, self.promise)
        if promised < 0 and not short:
            self.raised += max(-_AGAIN * promised, _HEARD * self.need)
            return found, True
        onward = found.slack < 0 or found.slack - promised > _WORTH * self.need
        if onward:
            self.see(trades)
        return found, onward

    def solved(self, program: Program) -> Solved | None:
        """Return the cheapest trades that reach the target, chords made short where they end; None: there are none."""
        first = least_cost(program, self.raised, self.time_limit)
        if first is None:
            return None
        true = float(self.tariff.paid(first.trades[None])[0] @ program.rate)
        if first.total - true <= _FINE * abs(true):
            return first
        wanted = zip(self.surface.ways.listed, first.trades.tolist(), program.segments, strict=True)
        finer = [
            self.costs.segments(way.name, way.terms, way.side, float(way.most), around=amount)
            if amount > 0
            else coarse.first(_UNUSED)
            for way, amount, coarse in wanted
        ]
        return least_cost(replace(program, segments=finer), self.raised, self.time_limit) or first

    def see(self, trades: Floats) -> None:
        """Take another tangent, without those that promised less than there is."""
        cost = self.tariff.paid(trades)
        tangent = self.surface.tangent(trades[0], cost[0])
        room = _CONTRADICTS * max(abs(one.slack) for one in (tangent, *self.tangents))
        kept = (one for one in self.tangents if float(one.at(trades, cost)[0]) >= tangent.slack - room)
        self.tangents = [*kept, tangent]

    def promise(self, trades: Floats, cost: Floats) -> Floats:
        """Return the slack above the target that all tangents promise [points]."""
        return np.asarray(np.min([one.at(trades, cost) for one in self.tangents], axis=0)) - self.target

    def paid(self, lots: Ints) -> tuple[Floats, Floats]:
        """Return trades and what they cost, as one point."""
        trades = trades_of(self.surface.ways, [lots])
        return trades, self.tariff.paid(trades)

    def whole(self, solved: Solved) -> Ints:
        """Return a program's trades in lots, without those that the tangents do not need."""
        ways = self.surface.ways
        lots = in_lots(ways, solved.trades)
        if float(self.promise(*self.paid(lots))[0]) < 0:
            return lots
        lots = dropped(self.promise, ways, self.tariff, lots)
        other = swapped(self.promise, ways, self.tariff, lots)
        return lots if other is lots else dropped(self.promise, ways, self.tariff, other)


def chosen_greedily(surface: Surface, costs: Costs, target: float = 0.0) -> Choice:
    """Return the lots of the greedy plan for a slack of at least `target`."""
    ways = surface.ways
    tariff = Tariff.of(costs, ((way.name, way.terms, way.side) for way in ways.listed))
    lots = in_lots(ways, greedy(surface, tariff, target))

    def above(trades: Floats, cost: Floats) -> Floats:
        return surface.slacks(trades, cost) - target

    trades = trades_of(ways, [lots])
    if float(above(trades, tariff.paid(trades))[0]) >= 0:
        lots = dropped(above, ways, tariff, lots)
    return weighed(surface, tariff, lots, "greedy", 0, target)
