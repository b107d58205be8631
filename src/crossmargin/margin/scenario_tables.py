"""The scenarios of every scan on every row of an account, and how much each row decides."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from crossmargin.margin.model import INITIAL
from crossmargin.margin.report import ScenarioRow, ScenarioTable
from crossmargin.margin.rows import row_name
from crossmargin.margin.tape import TRACED_FUNCTIONS, Traced, gradient

if TYPE_CHECKING:
    from collections.abc import Mapping

    from crossmargin.margin.evaluation import Evaluation
    from crossmargin.margin.kinds.scan import ScanDetail


def scenario_tables(evaluation: Evaluation, account: int) -> dict[int, tuple[ScenarioTable, ...]]:
    """Return the tables of each pool of an account, for the initial requirement."""
    scans = [line for line in evaluation.rulebook.charges.values() if line.kind == "scan"]
    units = np.flatnonzero(evaluation.resolved.units.account == account)
    out: dict[int, list[ScenarioTable]] = {int(unit): [] for unit in units.tolist()}
    counts = _counts(evaluation, account, [line.name for line in scans]) if scans else {}
    for line in scans:
        detail: ScanDetail = evaluation.detail(line.name, INITIAL)
        unit_of = evaluation.unit_of_row(line.level)[detail.frame.rows]
        for row in np.flatnonzero(np.isin(unit_of, units)).tolist():
            full = int(detail.frame.rows[row])
            name = row_name(evaluation.resolved, line.level, full)
            table = _table(line.name, name, detail, row, counts.get((line.name, full), 0.0))
            out[int(unit_of[row])].append(table)
    return {unit: tuple(tables) for unit, tables in out.items()}


def _table(line: str, name: str, detail: ScanDetail, row: int, counts: float) -> ScenarioTable:
    worst, loss = int(detail.worst[row]), float(detail.loss[row])
    pnl = detail.pnl[row] * detail.weight[row]
    return ScenarioTable(
        line=line,
        row=name,
        requirement=INITIAL,
        loss=loss,
        counts=counts,
        worst_scenario=detail.cells.names[worst] if loss > 0 else None,
        scenarios=tuple(
            ScenarioRow(name=scenario, pnl=float(pnl[s]), worst=s == worst and loss > 0)
            for s, scenario in enumerate(detail.cells.names)
        ),
    )


def _counts(evaluation: Evaluation, account: int, names: list[str]) -> Mapping[tuple[str, int], float]:
    """Return the derivative of the initial requirement by each scan's rows: the same lines, traced, one account."""
    one = evaluation.resolved.only(account)
    traced: Any = type(evaluation)(one, evaluation.rulebook, Traced(one.legs.quantity), TRACED_FUNCTIONS)
    required = traced.requirement(INITIAL)
    if not isinstance(required, Traced):
        return {}
    out: dict[tuple[str, int], float] = {}
    for name in names:
        scan = traced.line(name, INITIAL)
        if isinstance(scan, Traced):
            slopes = gradient(required, scan)
            rows = _rows_in_book(evaluation, account, evaluation.rulebook.line(name).level)
            out |= {(name, full): float(slope) for full, slope in zip(rows, slopes.tolist(), strict=True)}
    return out


def _rows_in_book(evaluation: Evaluation, account: int, level: str) -> list[int]:
    """Return, for each row of an account taken alone, its row in the whole book: `only` keeps the order of legs."""
    resolved = evaluation.resolved
    units = np.flatnonzero(resolved.units.account == account)
    if level == "account":
        return [int(unit) for unit in units.tolist()]
    legs = np.flatnonzero(np.isin(resolved.legs.unit, units))
    full = resolved.levels[level].row_of_leg[legs]
    return [int(row) for row in full[np.flatnonzero(np.diff(full, prepend=-1))].tolist()]
