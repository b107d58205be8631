"""Conformance: published cases of venues and protocols, reproduced through `assess` itself."""

from crossmargin.analysis.conformance.case import Case, Family, Outcome
from crossmargin.analysis.conformance.fields import Fields
from crossmargin.analysis.conformance.judge import (
    CaseFailure,
    ConformanceReport,
    FamilyResult,
    families_of,
    run_conformance,
)
from crossmargin.analysis.conformance.sweep import Moved, sweep

__all__ = [
    "Case",
    "CaseFailure",
    "ConformanceReport",
    "Family",
    "FamilyResult",
    "Fields",
    "Moved",
    "Outcome",
    "families_of",
    "run_conformance",
    "sweep",
]
