"""What every pool would be worth at every scenario of its rulebook: whole worths, before any measure or fold.

The rows are those that the rulebook's scans are made of, with the weights that it gives extreme moves. A line of the
rulebook scans some legs; here all that a market moves goes with a scenario: every contract, and coins that have any.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from crossmargin.kernels import group_rows
from crossmargin.margin.kinds.scan import scan_cells
from crossmargin.scenarios import ASSET

if TYPE_CHECKING:
    from collections.abc import Collection

    import numpy.typing as npt

    from crossmargin.margin.assess import BookReport
    from crossmargin.margin.evaluation import Evaluation
    from crossmargin.margin.model import Scan
    from crossmargin.margin.shocks import Cells

    Floats = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.int64]

__all__ = ["Stressed", "stressed"]


@dataclass(frozen=True, slots=True)
class Stressed:
    """Equity of pools at scenarios: `worth` [pools, scenarios] in the snapshot's reporting asset, by `names`.

    `lacking` are the contracts' symbols that a scenario set needs rows or moves of, and has none.
    """

    names: tuple[str, ...]
    worth: Floats
    lacking: tuple[str, ...]


def stressed(report: BookReport, underlyings: Collection[str]) -> Stressed:
    """Return the equity of each pool of a report at each scenario of each set that the rulebook scans.

    Open orders do not count. Rulebooks without scans have no scenarios.

    Parameters
    ----------
    underlyings
        What derivatives are listed on: balances in them move, other balances stand.
    """
    evaluation = report.evaluation
    units = report.resolved.units
    names: list[str] = []
    worths, lacking = [np.zeros((len(units), 0))], set()
    legs = _moving(evaluation, underlyings)
    for label, spec in _sets(evaluation).items():
        cells = scan_cells(evaluation, spec)
        names += [f"{label}: {name}" for name in cells.names]
        worths.append((report.unit_equity[:, None] + _gains(evaluation, cells, legs)) * units.numeraire[:, None])
        lacking |= _lacking(evaluation, cells, legs)
    return Stressed(tuple(names), np.concatenate(worths, axis=1), tuple(sorted(lacking)))


def _sets(evaluation: Evaluation) -> dict[str, Scan]:
    scans = (line.spec for line in evaluation.lines.values() if line.kind == "scan")
    return {spec.scenarios: spec for spec in scans if spec.exposure == "pnl"}


def _moving(evaluation: Evaluation, underlyings: Collection[str]) -> Ints:
    """Return the legs that go with the market, by unit."""
    resolved = evaluation.resolved
    listed = np.asarray([name in underlyings for name in resolved.names.buckets], dtype=bool)
    contracts = resolved.contracts
    moves = (contracts.kind != ASSET) | listed[contracts.bucket]
    legs = np.flatnonzero(moves[resolved.legs.contract])
    return np.asarray(legs[np.argsort(resolved.legs.unit[legs], kind="stable")])


def _gains(evaluation: Evaluation, cells: Cells, legs: Ints) -> Floats:
    """Return what each pool gains [pools, scenarios], in its own reporting asset."""
    resolved, measures = evaluation.resolved, evaluation.measures
    rate = measures["settle_rate"] if resolved.in_settlement else 1.0 / np.asarray(measures["numeraire"])
    unit = resolved.legs.unit[legs]
    starts = np.flatnonzero(np.diff(unit, prepend=-1))
    scale = np.asarray(resolved.legs.quantity * rate)[legs]
    gains = np.zeros((len(resolved.units), len(cells)))
    gains[unit[starts]] = group_rows(scale, resolved.legs.contract[legs], cells.valuation.gain, starts)
    return gains


def _lacking(evaluation: Evaluation, cells: Cells, legs: Ints) -> set[str]:
    resolved = evaluation.resolved
    lacking = cells.lacking.keys() & set(resolved.legs.contract[legs].tolist())
    return {resolved.names.symbols[int(resolved.contracts.symbol[contract])] for contract in lacking}
