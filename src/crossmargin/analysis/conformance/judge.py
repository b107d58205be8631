"""Cases judged: each is posed, assessed, and its figures compared; what cannot be posed is a failure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import isfinite
from typing import TYPE_CHECKING, Any

from crossmargin.analysis.conformance.families import FAMILIES, PROCEDURES, protocol_of
from crossmargin.analysis.conformance.fields import Fields
from crossmargin.errors import CrossmarginError

if TYPE_CHECKING:
    from crossmargin.analysis.conformance.case import Amount, Case, Family, Figure, ProcedureFamily, Rulebooks, Run

NOT_YET = "not yet"
REPRODUCED = "reproduced"
DIFFERS = "differs"


@dataclass(frozen=True, slots=True)
class CaseFailure:
    """One figure that was not met. `computed` and `residual` are None where the case could not be assessed."""

    case: str
    figure: str
    expected: float | str
    computed: float | str | None
    residual: float | None
    tolerance: float | None


@dataclass(frozen=True, slots=True)
class FamilyResult:
    """What of one kind of one family was reproduced; `worst_residual` is None where nothing was compared."""

    family: str
    kind: str
    reproduced: int
    total: int
    status: str
    worst_residual: float | None
    failures: tuple[CaseFailure, ...]


@dataclass(frozen=True, slots=True)
class ConformanceReport:
    """Every family that the documents hold, known ones first."""

    families: tuple[FamilyResult, ...]

    def document(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {"families": [_document(family) for family in self.families]}


def _document(result: FamilyResult) -> dict[str, Any]:
    out: dict[str, Any] = {name: getattr(result, name) for name in FamilyResult.__slots__ if name != "failures"}
    out["failures"] = [{name: getattr(row, name) for name in CaseFailure.__slots__} for row in result.failures]
    return out


@dataclass(frozen=True, slots=True)
class Verdict:
    """One case's largest residual (None: nothing was compared) and the figures that were not met."""

    residual: float | None
    failures: tuple[CaseFailure, ...]


def run_conformance(documents: Mapping[str, object], rulebooks: Rulebooks) -> ConformanceReport:
    """Return what `assess` reproduces of decoded case documents.

    Parameters
    ----------
    documents
        Decoded JSON by the document's name; what is in no known format is listed, not failed.
    rulebooks
        What gives a shipped rulebook by ``name@date``.
    """
    verdicts: dict[tuple[str, str], list[Verdict]] = {}
    waiting: dict[tuple[str, str], int] = {}
    for name, document in documents.items():
        known: tuple[Family | ProcedureFamily, ...] = (*families_of(document), *procedures_of(document))
        for family in known:
            verdicts.setdefault((family.family, family.kind), []).extend(_judged(family, document, rulebooks))
        for key, count in kinds_left(name, document, known).items():
            waiting[key] = waiting.get(key, 0) + count
    posed = [_result(family, kind, found) for (family, kind), found in sorted(verdicts.items())]
    left = [FamilyResult(*key, 0, count, NOT_YET, None, ()) for key, count in sorted(waiting.items())]
    return ConformanceReport((*posed, *left))


def families_of(document: object) -> tuple[Family, ...]:
    """Return the families whose formats a document holds, from its content."""
    if not isinstance(document, Mapping):
        return ()
    return tuple(family for family in FAMILIES if family.recognises(document))


def procedures_of(document: object) -> tuple[ProcedureFamily, ...]:
    """Return the kinds of liquidation, auction and settlement cases that a document holds."""
    if not isinstance(document, Mapping):
        return ()
    return tuple(family for family in PROCEDURES if family.recognises(document))


def kinds_left(name: str, document: object, known: tuple[Family | ProcedureFamily, ...]) -> dict[tuple[str, str], int]:
    """Return the kinds of a document's cases that no family poses, with how many cases each has."""
    if any(family.takes is None for family in known):
        return {}
    family = known[0].family if known else name.rsplit("/", 1)[-1].removesuffix(".json").removeprefix("venue_")
    cases = document.get("cases") if isinstance(document, Mapping) else None
    if not isinstance(cases, list):
        return {(family, "document"): 1}
    counts: dict[tuple[str, str], int] = {}
    for case in cases:
        stated = case if isinstance(case, Mapping) else {}
        if any(one.takes is not None and one.takes(stated) for one in known):
            continue
        kind = stated.get("kind")
        key = (protocol_of(kind, family), kind if isinstance(kind, str) else "case")
        counts[key] = counts.get(key, 0) + 1
    return counts


def _judged(family: Family | ProcedureFamily, document: object, rulebooks: Rulebooks) -> list[Verdict]:
    try:
        fields = Fields(document, "")
        names, indices = family.names(fields), family.indices(fields)
    except CrossmarginError as error:
        return [_unusable(family.family, error)]
    return [judge(family, fields, index, names[index], rulebooks) for index in indices]


def judge(family: Family | ProcedureFamily, document: Fields, index: int, name: str, rulebooks: Rulebooks) -> Verdict:
    """Return the verdict on one case of a document."""
    try:
        case = family.pose(document, index, rulebooks)
        return compare(case, case.assess())
    except (CrossmarginError, ArithmeticError) as error:  # a number so large or so small that nothing follows from it
        return _unusable(name, error)


def compare(case: Case | Run, outcome: Any) -> Verdict:  # noqa: ANN401 - what the family's own figures read
    """Return the verdict on what the engine made of a case."""
    judged = [(figure, figure.read(outcome)) for figure in case.figures]
    residuals = [figure.residual(computed) for figure, computed in judged]
    failures = [
        _failure(case.name, figure, computed, residual)
        for (figure, computed), residual in zip(judged, residuals, strict=True)
        if not residual <= figure.tolerance  # NaN is no match
    ]
    finite = [float(residual) for residual in residuals if isfinite(residual)]
    return Verdict(max(finite, default=None), tuple(failures))


def _failure(case: str, figure: Figure, computed: Amount, residual: Amount) -> CaseFailure:
    shown = float(residual) if isfinite(residual) else None
    return CaseFailure(case, figure.name, _shown(figure.expected), _shown(computed), shown, figure.tolerance)


def _shown(amount: Amount) -> float | str:
    """Return a number for JSON; what it has no number for (a fraction, infinity) as text."""
    return str(amount) if isinstance(amount, Fraction) or not isfinite(amount) else amount


def _unusable(case: str, error: Exception) -> Verdict:
    told = str(error) if isinstance(error, CrossmarginError) else f"its numbers have no result: {error!r}"
    return Verdict(None, (CaseFailure(case, "case", "a case that can be assessed", told, None, None),))


def _result(family: str, kind: str, verdicts: list[Verdict]) -> FamilyResult:
    reproduced = sum(not verdict.failures for verdict in verdicts)
    residuals = [verdict.residual for verdict in verdicts if verdict.residual is not None]
    failures = tuple(failure for verdict in verdicts for failure in verdict.failures)
    status = DIFFERS if failures else REPRODUCED
    return FamilyResult(family, kind, reproduced, len(verdicts), status, max(residuals, default=None), failures)
