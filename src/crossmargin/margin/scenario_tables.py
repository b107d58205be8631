"""The scenarios of every scan on every row of an account, and how much each row decides."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from crossmargin.margin.model import INITIAL
from crossmargin.margin.report import ScenarioRow, ScenarioTable
from crossmargin.margin.rows import row_name
from crossmargin.margin.tape import TRACED_FUNCTIONS, Traced, gradient

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    from crossmargin.margin.evaluation import Evaluation
    from crossmargin.margin.kinds.scan import ScanDetail

    Floats = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.int64]


def scenario_tables(evaluation: Evaluation, account: int) -> dict[int, tuple[ScenarioTable, ...]]:
    """Return the tables of each pool of an account, for the initial requirement of what is held."""
    scans = [line for line in evaluation.rulebook.charges.values() if line.kind == "scan"]
    units = np.flatnonzero(evaluation.resolved.units.account == account)
    out: dict[int, list[ScenarioTable]] = {int(unit): [] for unit in units.tolist()}
    for line in scans:
        detail: ScanDetail = evaluation.detail(line.name, INITIAL)
        counts = _counts(evaluation)[line.name]
        order, unit_of = _by_unit(evaluation, line.level, detail)
        for unit, tables in out.items():
            first, last = np.searchsorted(unit_of, [unit, unit + 1])
            for row in order[first:last].tolist():
                full = int(detail.frame.rows[row])
                name = row_name(evaluation.resolved, line.level, full)
                tables.append(_table(line.name, name, detail, row, float(counts[full])))
    return {unit: tuple(found) for unit, found in out.items()}


def _by_unit(evaluation: Evaluation, level: str, detail: ScanDetail) -> tuple[Ints, Ints]:
    """Return a scan's rows in the order of their units, and those units: a book's rows are not searched per account."""
    key = ("rows by unit", str(detail.frame.key))
    if key not in evaluation.details:
        unit_of = evaluation.unit_of_row(level)[detail.frame.rows]
        order = np.argsort(unit_of, kind="stable")
        evaluation.details[key] = order, unit_of[order]
    found: tuple[Ints, Ints] = evaluation.details[key]
    return found


def _table(line: str, name: str, detail: ScanDetail, row: int, counts: float) -> ScenarioTable:
    worst, loss, names = int(detail.worst[row]), float(detail.loss[row]), detail.cells.names
    pnl = detail.pnl[row] * detail.weight[row]
    return ScenarioTable(
        line=line,
        row=name,
        requirement=INITIAL,
        loss=loss,
        counts=counts,
        worst_scenario=names[worst] if loss > 0 else None,
        scenarios=tuple(
            ScenarioRow(name=scenario, pnl=float(pnl[s]), worst=s == worst and loss > 0)
            for s, scenario in enumerate(names)
        ),
    )


def _counts(evaluation: Evaluation) -> Mapping[str, Floats]:
    """Return the derivative of the initial requirement by each row of each scan, for the whole book at once.

    The same lines, traced, without open orders: what orders add stands in lines of its own.
    """
    key = ("counts", INITIAL)
    if key not in evaluation.details:
        legs = evaluation.resolved.legs
        none = np.zeros_like(legs.bids)
        held = replace(
            evaluation.resolved, legs=replace(legs, bids=none, asks=none, bid_cost=none, ask_cost=none, orders=none)
        )
        traced: Any = type(evaluation)(
            held, evaluation.rulebook, Traced(legs.quantity), TRACED_FUNCTIONS, evaluation.shared
        )
        required = traced.requirement(INITIAL)
        scans = [line for line in evaluation.rulebook.charges.values() if line.kind == "scan"]
        evaluation.details[key] = {
            line.name: _slopes(required, traced.line(line.name, INITIAL), evaluation.row_count(line.level))
            for line in scans
        }
    found: Mapping[str, Floats] = evaluation.details[key]
    return found


def _slopes(required: Any, scan: Any, rows: int) -> Floats:  # noqa: ANN401 - traced where any quantity enters
    if isinstance(required, Traced) and isinstance(scan, Traced):
        return gradient(required, scan)
    return np.zeros(rows)
