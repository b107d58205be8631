"""The engine as a function of what is traded: the aim's slack at many trades at once, and its slopes at one.

What is held is put into the engine's own arrays once; trades change quantities, costs and wallets there. Nothing is
priced or charged here: every figure is the Evaluation's, every slope the derivative of its tree.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import reduce
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from crossmargin.errors import InputError
from crossmargin.liquidation.pools import Pool
from crossmargin.margin.evaluation import Evaluation
from crossmargin.margin.kinds.scan import ScanDetail, leg_rates
from crossmargin.margin.model import INITIAL, MAINTENANCE
from crossmargin.margin.procedure_checks import HEADROOM
from crossmargin.margin.tape import TRACED_FUNCTIONS, Traced, gradients, plain, segment_sum, take
from crossmargin.margin.trigger import coverage

if TYPE_CHECKING:
    import numpy.typing as npt

    from crossmargin.liquidation.plan_aim import Aim
    from crossmargin.liquidation.plan_ways import Ways
    from crossmargin.margin.model import Rulebook
    from crossmargin.margin.resolved import Resolved

    Floats = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.int64]

__all__ = ["Rows", "Surface", "Tangent"]

_SLIVER: Final = 1e-9  # of a position, left where all of it is closed: a slope is that of the side that it comes from


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Scenario rows of one scan: the loss of a row is the largest of ``base + by_way t + by_cost c``, at least 0.

    Parameters
    ----------
    row
        [rows] which row of the scan: what all its scenarios are summed up to.
    base
        [rows, scenarios] losses without any trade, as the tangent has them.
    by_way, by_cost
        [rows, scenarios, ways] what one contract, and one unit of its cost, adds to the loss.
    weight
        [rows] what a unit of the row's loss takes off the slack, <= 0.
    """

    line: tuple[str, str]
    row: Ints
    base: Floats
    by_way: Floats
    by_cost: Floats
    weight: Floats

    def losses(self, trades: Floats, cost: Floats) -> Floats:
        """Return the loss of each row at many points [points, rows], given trades and costs [points, ways]."""
        points, ways = trades.shape
        moved = trades @ self.by_way.reshape(self.base.size, ways).T  # which np.tensordot would copy
        if self.by_cost.any():  # what costs are paid in is mostly no part of a scenario
            moved += cost @ self.by_cost.reshape(self.base.size, ways).T
        return np.asarray((moved.reshape(points, *self.base.shape) + self.base).max(axis=2, initial=0.0))


@dataclass(frozen=True, slots=True, eq=False)
class Tangent:
    """The slack around one point: straight in trades and costs but for the scenario rows, which stand as they are.

    `all_by_way` and `all_by_cost` are its slopes with the rows in: as the worst scenarios are here.
    """

    slack: float
    base: float
    by_way: Floats
    by_cost: Floats
    rows: tuple[Rows, ...]
    all_by_way: Floats
    all_by_cost: Floats

    def at(self, trades: Floats, cost: Floats) -> Floats:
        """Return the slack that it promises elsewhere [points]: never less than the true one, where that is concave."""
        straight = self.base + trades @ self.by_way + cost @ self.by_cost
        return np.asarray(straight + sum(rows.losses(trades, cost) @ rows.weight for rows in self.rows))


class Surface:
    """One account's slack as a function of its trades.

    Trades are contracts >= 0, one number for each way; costs are what they pay against the mark, settlement asset.

    Parameters
    ----------
    names
        The figures that the aim reads.
    known
        An evaluation of the same legs: what no quantity enters is not made twice.
    """

    def __init__(
        self, ways: Ways, rulebook: Rulebook, aim: Aim, names: tuple[str, ...], known: Evaluation | None = None
    ) -> None:
        self.ways = ways
        self.rulebook = rulebook
        self.aim = aim
        self.names = names
        self._known: dict[Any, Any] = {} if known is None else known.lasting
        # what no quantity enters is the same for as many copies
        self._shared: dict[int, dict[Any, Any]] = {1: {} if known is None else dict(known.shared)}

    def slacks(self, trades: Floats, cost: Floats) -> Floats:
        """Return the slack at many points [points], given trades and costs [points, ways]."""
        found = self._figures(self._plain(trades, cost), trades.shape[0])
        each = [self._slack({name: float(found[name][i]) for name in found}) for i in range(len(trades))]
        return np.asarray([one if one == one else -np.inf for one in each])  # noqa: PLR0124 - no figure restores nothing

    def slack(self, trades: Floats, cost: Floats) -> float:
        """Return the slack at one point."""
        return float(self.slacks(trades[None], cost[None])[0])

    def tangent(self, trades: Floats, cost: Floats) -> Tangent:
        """Return the slack around a point; of two ways of one instrument each with the slope of its own side."""
        points, nudge = self.ways.sides(trades, cost, _SLIVER)
        low = points[0]
        wide = self.ways.after(points, np.tile(cost, (len(points), 1)), nudge)
        legs = wide.legs
        tape = Traced(np.concatenate([legs.quantity, legs.accrued]))
        evaluation = self._traced(wide, tape, len(points))
        found = self._figures(evaluation, len(points))
        for failure in evaluation.failures.values():
            raise InputError(failure.reason, failure.message, account=failure.account, instrument=failure.instrument)
        values = {name: float(plain(found[name])[0]) for name in found}
        total, slack = _weighted(found, self.aim.slopes(values)), self._slack(values)
        if not isinstance(total, Traced):
            none = np.zeros(len(self.ways))
            return Tangent(slack, slack, none, none, (), none, none)
        whole, of_rows, rows = self._rows(evaluation, total, tape, len(points))
        self._known = evaluation.lasting
        every, by_leg = (column.reshape(2, len(points), -1) for column in (whole, whole - of_rows))
        by_way, by_cost = self.ways.slopes(by_leg[0], by_leg[1], wide)
        here = tuple(_from_here(one, low, cost) for one in rows)
        straight = slack - float(by_way @ low) - float(by_cost @ cost)
        held = sum(float(one.losses(low[None], cost[None])[0] @ one.weight) for one in here)
        return Tangent(slack, straight - held, by_way, by_cost, here, *self.ways.slopes(every[0], every[1], wide))

    def _plain(self, trades: Floats, cost: Floats) -> Evaluation:
        """Return the engine over one copy of the account for each point."""
        shared = self._shared.setdefault(trades.shape[0], dict(self._known))
        return Evaluation(self.ways.after(trades, cost), self.rulebook, shared=shared)

    def _traced(self, wide: Resolved, tape: Traced, points: int) -> Evaluation:
        """Return the engine with quantities and accrued P&L on a tape."""
        count = wide.legs.quantity.shape[0]
        quantity, accrued = take(tape, np.arange(count)), take(tape, np.arange(count, 2 * count))
        on_tape: Any = {"accrued": accrued}
        return Evaluation(
            replace(wide, legs=replace(wide.legs, **on_tape)),
            self.rulebook,
            quantity,
            TRACED_FUNCTIONS,
            dict(self._shared.get(points, self._known)),
        )

    def _figures(self, evaluation: Evaluation, points: int) -> dict[str, Any]:
        """Return the figures that the aim reads [points], plain or traced."""
        return {name: self._of_pool(_figure(evaluation, name), points) for name in self.names}

    def _of_pool(self, column: Any, points: int) -> Any:  # noqa: ANN401 - plain or traced
        units = self.ways.units
        rows = np.arange(points) * units + self.ways.unit
        if isinstance(column, Traced):
            return Traced(column.value[rows], [(column, lambda adjoint: _spread(adjoint, rows, points * units))])
        return np.broadcast_to(column, points * units)[rows]

    def _slack(self, values: dict[str, float]) -> float:
        return self.aim.slack(Pool(dict(values)))

    def _rows(
        self, evaluation: Evaluation, total: Traced, tape: Traced, points: int
    ) -> tuple[Floats, Floats, list[Rows]]:
        """Return the slack's slopes on the tape, what of them the scans' rows do, and these rows."""
        scans = _scans(evaluation)
        whole, *weights = gradients(total, [tape, *(column for _, _, column in scans)])
        counted = [(scan, weight) for scan, weight in zip(scans, weights, strict=True) if _takes(weight)]
        parts = [(column, lambda _adjoint, w=weight: w) for (_, _, column), weight in counted]
        of_rows = gradients(Traced(np.zeros(1), parts), [tape])[0]
        rows = [self._scan_rows(evaluation, key, detail, weight, points) for (key, detail, _), weight in counted]
        return whole, of_rows, [one for one in rows if one.row.size]

    def _scan_rows(
        self, evaluation: Evaluation, key: tuple[str, str], detail: ScanDetail, weight: Floats, points: int
    ) -> Rows:
        """Return one scan's rows of the last copy that count, their base as it is here."""
        frame = detail.frame
        rate = leg_rates(evaluation, evaluation.lines[key[0]].spec, frame)
        slopes = detail.slopes() * rate[:, None] if detail.slopes is not None else np.zeros((0, 0))
        first = weight.shape[0] // points * (points - 1)
        kept = np.flatnonzero((frame.rows >= first) & (weight[frame.rows] < 0))
        place = np.full(frame.rows.shape[0], -1)
        place[kept] = np.arange(kept.size)
        leg = frame.legs - self.ways.legs * (points - 1)
        mine = (leg >= 0) & (place[frame.row_of] >= 0)
        by_leg = np.zeros((kept.size, slopes.shape[1], self.ways.legs))
        by_leg[place[frame.row_of[mine]], :, leg[mine]] = -slopes[mine]
        by_way, by_cost = self.ways.moved(by_leg)
        rows = frame.rows[kept]
        return Rows(key, rows - first, -detail.pnl[kept], by_way, by_cost, weight[rows] * detail.weight[kept])


def _scans(evaluation: Evaluation) -> list[tuple[tuple[str, str], ScanDetail, Traced]]:
    """Return the scans whose worst row counts, with what they kept and what they came to."""
    found = []
    for (name, requirement), detail in list(evaluation.details.items()):
        if isinstance(detail, ScanDetail) and detail.measure == "worst" and detail.slopes is not None:
            column = evaluation.line(name, requirement)
            if isinstance(column, Traced):
                found.append(((name, requirement), detail, column))
    return found


def _takes(weight: Floats) -> bool:
    """Return whether more of a scan takes off the slack, and never adds to it."""
    return bool(weight.any()) and not bool((weight > 0).any())


def _from_here(rows: Rows, trades: Floats, cost: Floats) -> Rows:
    """Return rows with the base that losses would have without trades, given what they are at these."""
    return replace(rows, base=rows.base - rows.by_way @ trades - rows.by_cost @ cost)


def _spread(adjoint: Floats, rows: Ints, count: int) -> Floats:
    out = np.zeros(count)
    out[rows] = adjoint
    return out


def _weighted(found: dict[str, Any], slopes: dict[str, float]) -> Any:  # noqa: ANN401 - plain or traced
    return reduce(lambda total, name: total + found[name] * slopes[name], found, 0.0)


def _figure(evaluation: Evaluation, name: str) -> Any:  # noqa: ANN401 - plain or traced
    """Return a figure of every pool [units]; the names are those that a procedure reads of a pool."""
    rulebook = evaluation.rulebook
    name = f"{INITIAL}{HEADROOM}" if name == "available_margin" else name
    required = name.removesuffix(HEADROOM)
    if name in _OWN:
        return _OWN[name](evaluation)
    if name in rulebook.requirements:
        return evaluation.requirement(name)
    if required in rulebook.requirements:
        return evaluation.adjusted(required) - evaluation.requirement(required)
    line, _, variant = name.partition(".")
    return evaluation.line_total(line, variant or MAINTENANCE)


def _coverage(evaluation: Evaluation) -> Any:  # noqa: ANN401 - as above
    parts = evaluation.adjusted(MAINTENANCE), evaluation.requirement(MAINTENANCE), evaluation.equity()
    return coverage(*parts, evaluation.functions)


def _gross(evaluation: Evaluation) -> Any:  # noqa: ANN401 - as above
    measures, resolved = evaluation.measures, evaluation.resolved
    held = measures["notional"] * ~np.asarray(measures.word("asset"))
    return segment_sum(held, resolved.legs.unit, len(resolved.units))


_OWN: Final[Mapping[str, Callable[[Evaluation], Any]]] = MappingProxyType(
    {
        "equity": Evaluation.equity,
        "adjusted_equity": lambda evaluation: evaluation.adjusted(MAINTENANCE),
        "coverage_ratio": _coverage,
        "gross": _gross,
    }
)
