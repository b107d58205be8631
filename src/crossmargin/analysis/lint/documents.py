"""What a rulebook's document says of its numbers: each with its source, sources that nothing cites, unverified ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from crossmargin.analysis.lint.finding import Finding, LintRule
from crossmargin.margin.locate import dotted
from crossmargin.margin.provenance import numbers_of
from crossmargin.margin.provenance import provenance as provenance_of
from crossmargin.margin.reading import Reader

if TYPE_CHECKING:
    from collections.abc import Iterator

    from crossmargin.margin.locate import Path
    from crossmargin.margin.model import Rulebook

_FORMULA_SECTIONS = frozenset({"requirement", "equity", "valuation"})
_NAMED_DEPTH = {"charges": 3, "values": 3, "liquidation": 3}  # charges.LINE.PARAMETER; parameters.NAME


class ProvenanceRow(msgspec.Struct, frozen=True, kw_only=True):
    """One number: its dotted entry, its value, the source that covers it ("" for none), whether nothing confirms it."""

    path: str
    value: float
    source: str
    unverified: bool


def provenance(rulebook: Rulebook) -> tuple[ProvenanceRow, ...]:
    """Return every number of the merged document with what it rests on, in the document's order."""
    reader = Reader(rulebook.document, rulebook.path)
    rows = []
    for path, value in numbers_of(rulebook.document).items():
        if path[0] in _FORMULA_SECTIONS:
            continue
        found = provenance_of(reader, path)
        source, unverified = (found.source, found.unverified) if found else ("", True)
        rows.append(ProvenanceRow(path=dotted(path), value=value, source=source, unverified=unverified))
    return tuple(rows)


def document_findings(rulebook: Rulebook) -> Iterator[Finding]:
    """Yield sources that nothing cites, values without a reason, and which numbers no public source confirms."""
    stated = rulebook.document.get("valuation", {})
    if "value" in stated and not stated.get("note"):
        message = 'it sets its own value of a leg; say in `note = "..."` what the venue divides by what, and why'
        yield Finding(rule=LintRule.VALUATION_EXPLAINED, path="valuation", message=message)
    cited = set(_cited(rulebook.document))
    for key in rulebook.sources:
        if key not in cited:
            message = f"nothing cites source {key}; name it beside the numbers that it covers, or delete it"
            path = dotted(("sources", key))
            yield Finding(rule=LintRule.SOURCE_USED, path=path, message=message, severity="warning")
    for entry, numbers in unverified_entries(rulebook).items():
        told = "its number" if numbers == 1 else f"its {numbers} numbers"
        message = f"no public source confirms {told}; check before relying on it"
        yield Finding(rule=LintRule.VERIFIED, path=dotted(entry), message=message, severity="note")


def unverified_entries(rulebook: Rulebook) -> dict[Path, int]:
    """Return the entries (`charges.LINE.PARAMETER`, `parameters.NAME`) that hold unverified numbers, and how many."""
    reader = Reader(rulebook.document, rulebook.path)
    counted: Counter[Path] = Counter()
    for path in numbers_of(rulebook.document):
        found = None if path[0] in _FORMULA_SECTIONS else provenance_of(reader, path)
        if found is not None and found.unverified:
            named = tuple(part for part in path if part != "where")
            counted[named[: _NAMED_DEPTH.get(path[0], 2)]] += 1
    return dict(counted)


def _cited(value: object, *, top: bool = True) -> Iterator[str]:
    """Yield the sources that a document cites, wherever they stand."""
    if isinstance(value, list | tuple):
        for part in value:
            yield from _cited(part, top=False)
    if not isinstance(value, Mapping):
        return
    table: Mapping[str, Any] = value
    if isinstance(table.get("source"), str):
        yield table["source"]
    exceptions = table.get("sources")
    if not top and isinstance(exceptions, Mapping):
        yield from (key for key in exceptions.values() if isinstance(key, str))
    for key, part in table.items():
        if not (top and key == "sources"):
            yield from _cited(part, top=False)
