"""What the numbers mean: explanation, what-if, comparison, reconciliation."""

from crossmargin.analysis.capital import required_capital
from crossmargin.analysis.compare import ComparisonRow, compare
from crossmargin.analysis.conformance import ConformanceReport, run_conformance
from crossmargin.analysis.explain import explain
from crossmargin.analysis.explanation import Explanation
from crossmargin.analysis.reconcile import ReconciliationRow, reconcile
from crossmargin.analysis.whatif import Changes, Shock, WhatIf, what_if

__all__ = [
    "Changes",
    "ComparisonRow",
    "ConformanceReport",
    "Explanation",
    "ReconciliationRow",
    "Shock",
    "WhatIf",
    "compare",
    "explain",
    "reconcile",
    "required_capital",
    "run_conformance",
    "what_if",
]
