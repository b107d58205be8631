"""The `scan` kind: P&L rows of the legs, sloped and folded on the way up, then one measure of each row.

The order is part of the grammar: scale the moves, weight the rows, close out and fold at each level from the finest
up, then measure, then the line's own weight.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from crossmargin.errors import FailureReason
from crossmargin.kernels import group_rows
from crossmargin.margin.kinds.kind import Kind
from crossmargin.margin.kinds.measures_of_row import loss_of_rows, scenario_shares
from crossmargin.margin.model import Scan
from crossmargin.margin.shocks import Cells, scenario_cells
from crossmargin.margin.tape import Traced, plain, scatter, take
from crossmargin.scenarios import ASSET

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    import numpy.typing as npt

    from crossmargin.margin.evaluation import Evaluation
    from crossmargin.margin.frames import Frame
    from crossmargin.margin.model import Line, Parameter, Rulebook, Slopes

    Floats = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.int64]

_ORDER = ("expiry", "bucket", "account")


@dataclass(frozen=True, slots=True)
class ScanDetail:
    """What a scan keeps: its scenarios, the P&L of each row after weights and folds, and the worst of each."""

    cells: Cells
    frame: Frame
    pnl: Floats
    loss: Floats
    worst: Ints
    weight: Floats
    measure: str
    confidence: float | None
    slopes: Callable[[], Floats] | None = None  # of a traced scan: d P&L of a leg's row by its scale [legs, scenarios]


@dataclass(frozen=True, slots=True)
class _Stage:
    """One level on the way up: its frame, rows before the fold, and the fold's slope at each cell."""

    frame: Frame
    slope: Floats | None
    close_out: Floats | None


def _compute(evaluation: Evaluation, line: Line, requirement: str, key: tuple[str, str]) -> Any:  # noqa: ANN401 - plain or traced
    spec: Scan = line.spec
    cells = scan_cells(evaluation, spec)
    frame = evaluation.frame(line.level, line.of, charged=line.section == "charges")
    refuse_lacking(evaluation, cells, frame)
    scale = take(evaluation.quantity, frame.legs) * leg_rates(evaluation, spec, frame)
    climb = _Climb(evaluation, line, requirement, cells, traced=isinstance(scale, Traced))
    pnl = climb.rows(plain(scale), frame)
    confidence = scan_number(evaluation, spec.confidence, frame, requirement, line)
    loss, worst = loss_of_rows(pnl, spec.measure, confidence)
    weight = np.ones(frame.rows.shape[0])
    if spec.weight is not None:
        weight = weight * plain(evaluation.parameter(spec.weight, frame, requirement, line.parameters))
    detail = ScanDetail(cells, frame, pnl, loss * weight, worst, weight, spec.measure, confidence)
    evaluation.details[key] = detail
    result: Any = loss * weight
    if isinstance(scale, Traced):
        evaluation.details[key] = replace(detail, slopes=partial(climb.row_slopes, frame))
        shares = scenario_shares(pnl, spec.measure, confidence, loss) * weight[:, None]
        slopes = climb.leg_slopes(-shares, frame)
        result = Traced(result, [(scale, lambda adjoint: adjoint[frame.row_of] * slopes)])
    return scatter(result, frame.rows, evaluation.row_count(line.level))


def scan_cells(evaluation: Evaluation, spec: Scan) -> Cells:
    """Return the scan's scenarios on the contracts; all stated sets are repriced in one pass, supplied ones alone."""
    shared, exposure = evaluation.shared, spec.exposure
    key = ("cells", spec.scenarios, exposure)
    if key not in shared:
        stated = dict.fromkeys(_stated_sets(evaluation, exposure))
        names = list(stated) if spec.scenarios in stated else [spec.scenarios]
        found = scenario_cells(evaluation.resolved, evaluation.rulebook, names, deltas=exposure == "delta")
        shared.update({("cells", name, exposure): cells for name, cells in found.items()})
    cells: Cells = shared[key]
    return cells


def _stated_sets(evaluation: Evaluation, exposure: str) -> Iterator[str]:
    """Yield the sets that the rulebook's scans read, but for supplied ones: these may be missing until one is asked."""
    sets = evaluation.rulebook.scenarios
    scans = [line.spec for line in evaluation.lines.values() if isinstance(line.spec, Scan)]
    for name in (scan.scenarios for scan in scans if scan.exposure == exposure):
        if all(block.supplied is None for block in sets[name]):
            yield name


def refuse_lacking(evaluation: Evaluation, cells: Cells, frame: Frame) -> None:
    """Refuse accounts that hold a contract of which what should be supplied is not."""
    if not cells.lacking:
        return
    contract = evaluation.resolved.legs.contract
    for leg in frame.legs[np.isin(contract[frame.legs], list(cells.lacking))]:
        message = cells.lacking[int(contract[leg])]
        evaluation.refuse_legs(leg.reshape(1), FailureReason.MISSING_CALIBRATION, message)


def leg_rates(evaluation: Evaluation, spec: Scan, frame: Frame) -> Floats:
    """Return what turns a contract's gain, or its delta, into the pool's reporting asset, [legs of the frame]."""
    if spec.exposure != "pnl":
        return units_at_risk(evaluation, frame.legs)
    if evaluation.resolved.in_settlement:
        return np.asarray(evaluation.measures["settle_rate"][frame.legs])
    return 1.0 / np.asarray(evaluation.measures["numeraire"])[frame.legs]


def units_at_risk(evaluation: Evaluation, legs: Ints) -> Floats:
    """Return 1 for each of the legs, but 0 for balances in the pool's reporting asset: it bears no risk in itself."""
    measures = evaluation.measures
    own = measures.of_contract("settle_asset") == measures.of_unit(evaluation.resolved.units.reporting)
    return np.where((measures.of_contract("kind") == ASSET) & own, 0.0, 1.0)[legs]


def scan_number(
    evaluation: Evaluation, parameter: Parameter | None, frame: Frame, requirement: str, line: Line
) -> float | None:
    """Return a parameter of a scan that is one number for all rows."""
    if parameter is None:
        return None
    value = np.asarray(evaluation.parameter(parameter, frame, requirement, line.parameters))
    return float(value.reshape(-1)[0]) if value.size else None


def climb_levels(line: Line, cells: Cells) -> list[str]:
    """Return the levels at which something happens, finest first, the line's own last."""
    folded = {*line.spec.fold, *line.spec.close_out}
    for _, block in cells.blocks:
        folded |= set(block.fold)
    below = _ORDER[: _ORDER.index(line.level)]
    return [level for level in below if level in folded] + [line.level]


class _Climb:
    """Takes leg rows up to the line's level, level by level, and remembers the slopes it met."""

    def __init__(self, evaluation: Evaluation, line: Line, requirement: str, cells: Cells, *, traced: bool) -> None:
        self.traced = traced
        self.evaluation = evaluation
        self.line = line
        self.spec: Scan = line.spec
        self.requirement = requirement
        self.cells = cells
        self.stages: list[_Stage] = []

    def rows(self, scale: Floats, top: Frame) -> Floats:
        """Return the P&L rows [rows of the line, scenarios]."""
        pnl: Floats | None = None
        before: Frame | None = None
        for level in climb_levels(self.line, self.cells):
            frame = top if level == self.line.level else self._frame(level)
            if pnl is None or before is None:
                pnl = self._grouped(scale, frame, self.cells.valuation.gain)
            else:
                pnl = self._summed(pnl, before, frame)
            close_out = None
            if level in self.spec.close_out:
                shocked = self._grouped(scale, frame, self.cells.valuation.shocked)
                close_out = self._value_slope(self.spec.close_out[level], frame, shocked)
                pnl = pnl + (close_out - 1.0) * shocked
            pnl, slope = self._folded(level, frame, pnl)
            self.stages.append(_Stage(frame, slope, close_out))
            before = frame
        assert pnl is not None
        return pnl

    def _frame(self, level: str) -> Frame:
        return self.evaluation.frame(level, self.line.of, charged=self.line.section == "charges")

    def _grouped(self, scale: Floats, frame: Frame, matrix: Floats) -> Floats:
        """Return legs times matrix summed by the frame's rows."""
        contract = self.evaluation.resolved.legs.contract[frame.legs]
        make = partial(_order, frame.row_of, apart=frame.level == "account")  # the only level whose legs lie apart
        order, starts = self.evaluation.same("scan order", frame.key, make=make)
        if order is not None:
            scale, contract = scale[order], contract[order]
        return group_rows(scale, contract, matrix, starts)

    def _summed(self, pnl: Floats, fine: Frame, coarse: Frame) -> Floats:
        """Return finer rows summed by the coarser frame's."""
        make = partial(_row_order, fine, coarse)
        order, starts = self.evaluation.same("row order", fine.key, coarse.key, make=make)
        return group_rows(np.ones(order.shape[0]), order, pnl, starts)

    def _value_slope(self, slopes: Slopes, frame: Frame, shocked: Floats) -> Floats:
        gain, loss = (self._column(p, frame) for p in (slopes.gain, slopes.loss))
        return np.where(shocked > 0, gain, np.where(shocked < 0, loss, 1.0))

    def _folded(self, level: str, frame: Frame, pnl: Floats) -> tuple[Floats, Floats | None]:
        folds: list[tuple[slice, Slopes]] = []
        if level in self.spec.fold:
            folds.append((slice(None), self.spec.fold[level]))
        folds += [(where, block.fold[level]) for where, block in self.cells.blocks if level in block.fold]
        if not folds:
            return pnl, None
        if len(folds) == 1 and folds[0][0] == slice(None):
            slope = self._fold_slope(folds[0][1], frame, pnl) if self.traced else None
            return self._fold(folds[0][1], frame, pnl), slope
        pnl = pnl.copy()
        slope = np.ones_like(pnl) if self.traced else None
        for where, slopes in folds:
            if slope is not None:
                slope[:, where] *= self._fold_slope(slopes, frame, pnl[:, where])
            pnl[:, where] = self._fold(slopes, frame, pnl[:, where])
        return pnl, slope

    def _fold(self, slopes: Slopes, frame: Frame, x: Floats) -> Floats:
        """Return min(gain max(x, 0), gain_cap) + min(loss min(x, 0) + deductible, 0)."""
        gain, loss = self._column(slopes.gain, frame), self._column(slopes.loss, frame)
        up, down = gain * np.maximum(x, 0.0), loss * np.minimum(x, 0.0)
        if slopes.gain_cap is not None:
            up = np.minimum(up, self._column(slopes.gain_cap, frame))
        if slopes.deductible is not None:
            down = np.minimum(down + self._column(slopes.deductible, frame), 0.0)
        return np.asarray(up + down)

    def _fold_slope(self, slopes: Slopes, frame: Frame, x: Floats) -> Floats:
        """Return the derivative of :meth:`_fold` by x."""
        gain, loss = self._column(slopes.gain, frame), self._column(slopes.loss, frame)
        up, down = np.where(x > 0, gain, 0.0), np.where(x < 0, loss, 0.0)
        if slopes.gain_cap is not None:
            up = np.where(gain * x > self._column(slopes.gain_cap, frame), 0.0, up)
        if slopes.deductible is not None:
            down = np.where(loss * x + self._column(slopes.deductible, frame) >= 0, 0.0, down)
        return np.asarray(up + down)

    def _column(self, parameter: Parameter, frame: Frame) -> Floats:
        """Return a parameter beside the rows' scenarios: one number, or a number for each row [rows, 1]."""
        value = np.asarray(plain(self.evaluation.parameter(parameter, frame, self.requirement, self.line.parameters)))
        return value if value.ndim == 0 else value[:, None]

    def leg_slopes(self, by_pnl: Floats, top: Frame) -> Floats:
        """Return the derivative of each row's result by each leg's scale [legs], given it by the row's P&L."""
        by_gain, by_shocked = self._by_leg(by_pnl, top)
        values, contract = self.cells.valuation, self._contract(top)
        sloped: Floats = np.einsum("ls,ls->l", by_gain, values.gain[contract])
        return sloped if by_shocked is None else sloped + np.einsum("ls,ls->l", by_shocked, values.shocked[contract])

    def row_slopes(self, top: Frame) -> Floats:
        """Return the derivative of each leg's row's P&L by the leg's scale, scenario by scenario [legs, scenarios]."""
        values, contract = self.cells.valuation, self._contract(top)
        by_gain, by_shocked = self._by_leg(np.ones((top.rows.shape[0], values.gain.shape[1])), top)
        sloped = by_gain * values.gain[contract]
        return sloped if by_shocked is None else sloped + by_shocked * values.shocked[contract]

    def _by_leg(self, by_pnl: Floats, top: Frame) -> tuple[Floats, Floats | None]:
        """Return what each leg's gain and its shocked value count for [legs, scenarios], given what its row does."""
        slope: Floats = by_pnl
        frame = top
        for stage in reversed(self.stages):
            if stage.frame is not frame:
                slope = slope[_parent(stage.frame, frame)]
                frame = stage.frame
            if stage.slope is not None:
                slope = slope * stage.slope
            # close-outs stand at the finest stage: below it there are only legs
            if stage.close_out is not None:
                return slope[frame.row_of], (slope * (stage.close_out - 1.0))[frame.row_of]
        return slope[frame.row_of], None

    def _contract(self, frame: Frame) -> Ints:
        return self.evaluation.resolved.legs.contract[frame.legs]


def _parent(fine: Frame, coarse: Frame) -> Ints:
    """Return the coarse row of each fine row; both frames hold the same legs."""
    first = np.zeros(fine.rows.shape[0], dtype=np.int64)
    first[fine.row_of[::-1]] = coarse.row_of[::-1]
    return first


def _order(row_of: Ints, *, apart: bool) -> tuple[Ints | None, Ints]:
    """Return the order in which a row's legs lie side by side (None: they do), and where each row starts."""
    order = np.argsort(row_of, kind="stable") if apart else None
    side_by_side = row_of if order is None else row_of[order]
    fresh = np.ones(side_by_side.shape[0], dtype=bool)
    fresh[1:] = side_by_side[1:] != side_by_side[:-1]
    return order, fresh.nonzero()[0]


def _row_order(fine: Frame, coarse: Frame) -> tuple[Ints | None, Ints]:
    return _order(_parent(fine, coarse), apart=True)


def _parameters(rulebook: Rulebook, line: Line) -> Iterable[Parameter]:
    spec: Scan = line.spec
    yield from (p for p in (spec.confidence, spec.weight) if p is not None)
    folds = [*spec.fold.values(), *spec.close_out.values()]
    for block in rulebook.scenarios[spec.scenarios]:
        folds += list(block.fold.values())
    for slopes in folds:
        yield from (p for p in (slopes.gain, slopes.loss, slopes.gain_cap, slopes.deductible) if p is not None)


SCAN = Kind(_compute, _parameters)
