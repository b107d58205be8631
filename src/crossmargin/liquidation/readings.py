"""Numbers that are read off an assessment: measures and lines of a leg, of the pool, of a pool that holds nothing."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

import numpy as np

from crossmargin.liquidation.pools import Figures
from crossmargin.margin.expression import Name
from crossmargin.margin.model import MAINTENANCE
from crossmargin.margin.procedure_checks import HEADROOM

if TYPE_CHECKING:
    from crossmargin.liquidation.formulas import Amount
    from crossmargin.margin.assess import BookReport
    from crossmargin.margin.evaluation import Evaluation
    from crossmargin.margin.model import Rulebook

__all__ = ["balances", "figures_of_nothing", "line_names", "line_on", "line_total", "measured"]


def line_names(rulebook: Rulebook) -> list[tuple[str, str, str]]:
    """Return how lines are called, with their requirement: by their name (maintenance), and by ``name.requirement``."""
    plain = [(name, name, MAINTENANCE) for name in rulebook.lines]
    return [*plain, *((f"{name}.{one}", name, one) for name in rulebook.lines for one in rulebook.requirements)]


def figures_of_nothing(rulebook: Rulebook) -> Figures:
    """Return the figures of a pool that nothing is left in."""
    found: dict[str, Amount] = dict.fromkeys(("equity", "adjusted_equity", "gross", "available_margin"), 0.0)
    found["coverage_ratio"] = inf
    for name in rulebook.requirements:
        found |= {name: 0.0, f"{name}{HEADROOM}": 0.0}
    return Figures({**dict.fromkeys(rulebook.lines, 0.0), **found})


def balances(report: BookReport) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    """Return which legs are balances."""
    return np.asarray(report.evaluation.measures.word("asset"))


def measured(evaluation: Evaluation, name: str, row: int) -> Amount:
    """Return a measure of a leg."""
    if name != "value":
        return float(evaluation.measures[name][row])
    column = evaluation.name(Name(name), evaluation.frame("leg", ()), MAINTENANCE, {})
    return float(column[row])


def line_on(evaluation: Evaluation, name: str, requirement: str, row: int) -> Amount:
    """Return a line on the row that a leg stands in."""
    level = evaluation.lines[name].level
    if level != "leg":
        row = int(evaluation.resolved.levels[level].row_of_leg[row])
    return float(evaluation.line(name, requirement)[row])


def line_total(evaluation: Evaluation, name: str, requirement: str, unit: int) -> Amount:
    """Return a line summed over a pool."""
    return float(evaluation.line_total(name, requirement)[unit])
