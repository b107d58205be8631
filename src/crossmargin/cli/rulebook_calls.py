"""What the `rulebooks` commands say of a rulebook, as plain data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from crossmargin.margin.model import Rulebook
    from crossmargin.sources import ShippedRulebook


def sourced_numbers(rules: Rulebook) -> list[dict[str, Any]]:
    """Return every number of a rulebook with its source."""
    from crossmargin.analysis.lint import provenance

    return [
        {"number": row.path, "value": row.value, "source": row.source or None, "unverified": row.unverified}
        for row in provenance(rules)
    ]


def rulebook_entry(shipped: ShippedRulebook, rules: Rulebook | None) -> dict[str, Any]:
    """Return one row of the list of rulebooks."""
    head = {"name": shipped.name, "effective_from": shipped.effective_from, "loads": rules is not None}
    if rules is None:
        return head
    more = {"title": rules.title, "reporting": rules.reporting, "pools_by": rules.pool_by, "digest": rules.digest}
    return {**head, **more, "scope": sorted(rules.scope)}


def lint(rules: Rulebook, *, sweep: bool = False) -> list[dict[str, str]]:
    """Return what a check of a rulebook finds; what stops it from loading was raised before."""
    from crossmargin.analysis.lint import lint as findings_of

    found = findings_of(rules, sweep=sweep)
    return [
        *({"severity": f.severity, "where": f.path, "what": f"{f.message} ({f.rule})"} for f in found),
        *({"severity": "note", "where": d.source, "what": f"known defect: {d.what}"} for d in rules.known_defects),
    ]
