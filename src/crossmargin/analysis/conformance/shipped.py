"""Whether the published cases hold the parameters of the shipped rulebooks that the cases do not state themselves.

A case replaces some parameters of the rulebook by its own; the others are the shipped ones, and a case may notice them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from crossmargin.analysis.conformance.fields import Fields
from crossmargin.analysis.conformance.judge import families_of, judge
from crossmargin.analysis.conformance.sweep import SHARE
from crossmargin.analysis.lint.by_parameter import parameter_groups
from crossmargin.errors import CrossmarginError
from crossmargin.margin import with_values
from crossmargin.margin.locate import dotted

if TYPE_CHECKING:
    from collections.abc import Callable

    from crossmargin.analysis.conformance.case import Family, Rulebooks
    from crossmargin.margin import Rulebook

__all__ = ["Held", "sweep_shipped"]


@dataclass(frozen=True, slots=True)
class Held:
    """One parameter of a shipped rulebook, its numbers one per cent larger: the first case that noticed, or None."""

    rulebook: str
    parameter: str
    case: str | None


@dataclass(frozen=True, slots=True)
class _Place:
    family: Family
    document: Fields
    index: int
    name: str


def sweep_shipped(
    documents: Mapping[str, Any], rulebooks: Rulebooks, wanted: Callable[[str, str], bool] | None = None
) -> list[Held]:
    """Return for each parameter of each rulebook that cases are posed under whether a case notices it.

    Parameters
    ----------
    wanted
        Which parameters, by rulebook (``name@date``) and name; default all.
    """
    out = []
    for spec, places in _by_rulebook(documents, rulebooks).items():
        rulebook = rulebooks(spec)
        for path, group in parameter_groups(rulebook).items():
            parameter = dotted(path)
            if wanted is None or wanted(spec, parameter):
                out.append(Held(spec, parameter, _noticed(spec, rulebook, group, places, rulebooks)))
    return out


def _by_rulebook(documents: Mapping[str, Any], rulebooks: Rulebooks) -> dict[str, list[_Place]]:
    """Return the cases that are posed under each rulebook, by what they ask for."""
    found: dict[str, list[_Place]] = {}
    for document in documents.values():
        fields = Fields(document, "")
        for family in families_of(document):
            names = family.names(fields)
            for index in family.indices(fields):
                for spec in _asked(family, fields, index, rulebooks):
                    found.setdefault(spec, []).append(_Place(family, fields, index, names[index]))
    return found


def _asked(family: Family, document: Fields, index: int, rulebooks: Rulebooks) -> set[str]:
    asked: set[str] = set()

    def recorded(spec: str) -> Rulebook:
        asked.add(spec)
        return rulebooks(spec)

    try:
        family.pose(document, index, recorded)
    except CrossmarginError:
        return set()  # the run itself tells
    return asked


def _noticed(
    spec: str, rulebook: Rulebook, group: Mapping[str, float], places: list[_Place], rulebooks: Rulebooks
) -> str | None:
    try:
        other = with_values(rulebook, {name: value * (1.0 + SHARE) for name, value in group.items()})
    except CrossmarginError as error:
        return f"refused: {error}"

    def changed(wanted: str) -> Rulebook:
        return other if wanted == spec else rulebooks(wanted)

    for place in places:
        if judge(place.family, place.document, place.index, place.name, changed).failures:
            return place.name
    return None
