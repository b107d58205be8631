"""Semantic lint: the engine itself runs a rulebook on generated accounts and proves what must hold of every venue."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from crossmargin.analysis.lint.branches import Branches
from crossmargin.analysis.lint.by_account import account_findings
from crossmargin.analysis.lint.by_line import line_findings
from crossmargin.analysis.lint.by_parameter import parameter_findings
from crossmargin.analysis.lint.by_procedure import procedure_findings
from crossmargin.analysis.lint.documents import ProvenanceRow, document_findings, provenance, unverified_entries
from crossmargin.analysis.lint.finding import Finding, LintRule, declared
from crossmargin.analysis.lint.market import CALM, STRESSED, Mood
from crossmargin.analysis.lint.trial import try_rulebook
from crossmargin.errors import InputError, RulebookError
from crossmargin.margin.locate import line_of, locate, undotted

if TYPE_CHECKING:
    from crossmargin.margin.model import Rulebook

__all__ = ["Finding", "LintRule", "ProvenanceRow", "check_semantics", "lint", "provenance", "unverified_entries"]

_RANK: Final = {"error": 0, "warning": 1, "note": 2}


def lint(rulebook: Rulebook, *, sweep: bool = False) -> tuple[Finding, ...]:
    """Return everything that a rulebook should not say, errors first; the same on every run.

    Some thousand generated accounts are assessed in two markets, one calm and one in which pegs slip and quotes are
    hardly trusted. What the rulebook declares in `known_defects` comes back as a note: see
    :func:`crossmargin.analysis.lint.finding.declared` for how a defect names what it covers.

    Parameters
    ----------
    sweep
        Whether to try every parameter at half and at twice its value, and every amount of the procedure beside the
        least that restores: slower.
    """
    branches = Branches()
    found = [finding for mood in (CALM, STRESSED) for finding in _tried(rulebook, mood, branches)]
    found += [*branches.findings(), *document_findings(rulebook)]
    if sweep:
        found += [*parameter_findings(rulebook), *procedure_findings(rulebook)]
    return tuple(sorted(declared(_first_each(found), rulebook), key=lambda finding: _RANK[finding.severity]))


def check_semantics(rulebook: Rulebook, text: str = "") -> None:
    """Refuse a rulebook in which an error is found; quicker than :func:`lint`, in the calm market only.

    Parameters
    ----------
    text
        The text of its file, for the line in the error.

    Raises
    ------
    RulebookError
        INVALID_RULEBOOK with the rule, the entry, and the file and line where they are known.
    """
    found = declared(_first_each(_tried(rulebook, CALM)), rulebook)
    for finding in found:
        if finding.severity == "error":
            line = line_of(locate(text), undotted(finding.path))
            message = f"{finding.path}: {finding.message} (lint rule {finding.rule})"
            raise RulebookError(message, path=rulebook.path, line=line)


def _tried(rulebook: Rulebook, mood: Mood, branches: Branches | None = None) -> Iterator[Finding]:
    """Yield what one market shows."""
    try:
        trial = try_rulebook(rulebook, mood, quick=branches is None)
    except InputError as error:
        message = f"the generated accounts cannot be assessed: {error.message}"
        yield Finding(rule=LintRule.RESULT_DEFINED, path="rulebook", message=message)
        return
    yield from line_findings(trial)
    yield from account_findings(trial)
    if branches is not None:
        branches.see(trial)


def _first_each(findings: Iterator[Finding] | list[Finding]) -> list[Finding]:
    """Return the first finding of each rule at each entry: one market's figures are enough."""
    kept: dict[tuple[LintRule, str], Finding] = {}
    for finding in findings:
        kept.setdefault((finding.rule, finding.path), finding)
    return list(kept.values())
