"""Whether the published cases hold every parameter: each is changed by one per cent, and some case must fail.

A parameter that no case notices is listed, not hidden: such a number rests on its source alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from crossmargin.analysis.conformance.case import Steps
from crossmargin.analysis.conformance.fields import Fields
from crossmargin.analysis.conformance.judge import compare, families_of
from crossmargin.errors import CrossmarginError, InputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from crossmargin.analysis.conformance.case import Case, Family, Outcome, Rulebooks
    from crossmargin.margin import Rulebook
    from crossmargin.margin.report import ScenarioTable

SHARE: Final = 0.01
_SAME: Final = 1e-12


@dataclass(frozen=True, slots=True)
class Moved:
    """One parameter changed by one per cent: the first case that noticed, which of its figures, and which lines.

    Parameters
    ----------
    case
        None where no case noticed.
    lines
        Lines of the rulebook whose amounts changed; a refusal of the changed number is told here too.
    tried
        How many cases state the parameter.
    """

    family: str
    kind: str
    parameter: str
    case: str | None
    figures: tuple[str, ...]
    lines: tuple[str, ...]
    tried: int


@dataclass(frozen=True, slots=True)
class _Place:
    """One case of one document, and where the parameter stands there."""

    document: Mapping[str, Any]
    index: int
    steps: Steps


def sweep(
    documents: Mapping[str, Any], rulebooks: Rulebooks, wanted: Callable[[str, str], bool] | None = None
) -> list[Moved]:
    """Return for each parameter of each family whether one per cent of it is noticed.

    Parameters
    ----------
    wanted
        Which parameters, by family and name; default all.
    """
    out = []
    for family, places in _places(documents).items():
        posed = _Posed(family, rulebooks)
        for parameter, stated in places.items():
            if wanted is None or wanted(family.family, parameter):
                out.append(_moved(posed, parameter, stated))
    return out


class _Posed:
    """One family's cases, each posed once as it stands."""

    def __init__(self, family: Family, rulebooks: Rulebooks) -> None:
        self.family = family
        self.rulebooks = rulebooks
        self._kept: dict[tuple[int, int], Case] = {}

    def case(self, place: _Place) -> Case:
        key = (id(place.document), place.index)  # documents live as long as the sweep
        if key not in self._kept:
            self._kept[key] = self.pose(place.document, place.index)
        return self._kept[key]

    def pose(self, document: Mapping[str, Any], index: int) -> Case:
        return self.family.pose(Fields(document, ""), index, self.rulebooks)


def _places(documents: Mapping[str, Any]) -> dict[Family, dict[str, list[_Place]]]:
    out: dict[Family, dict[str, list[_Place]]] = {}
    for document in documents.values():
        fields = Fields(document, "")
        for family in families_of(document):
            for index in family.indices(fields):
                for parameter, steps in _parameters(family, fields, index):
                    place = _Place(document, index, steps)
                    out.setdefault(family, {}).setdefault(parameter, []).append(place)
    return out


def _parameters(family: Family, document: Fields, index: int) -> Iterable[tuple[str, Steps]]:
    try:
        return family.parameters(document, index).items()
    except InputError:
        return ()  # a case of another shape fails in the run itself


def _moved(posed: _Posed, parameter: str, places: list[_Place]) -> Moved:
    family, kind = posed.family.family, posed.family.kind
    for place in places:
        case = posed.case(place)
        try:
            other = posed.pose(changed(place.document, place.steps), place.index)
            outcome = _under(other.rulebook, case).assess()
        except CrossmarginError as error:
            return Moved(family, kind, parameter, case.name, ("case",), (str(error),), len(places))
        failures = compare(case, outcome).failures
        if failures:
            names = tuple(failure.figure for failure in failures)
            lines = lines_between(case.assess(), outcome)
            return Moved(family, kind, parameter, case.name, names, lines, len(places))
    return Moved(family, kind, parameter, None, (), (), len(places))


def _under(rulebook: Rulebook, case: Case) -> Case:
    """Return a case with another rulebook: the account, the market and what is expected stay as they are."""
    return replace(case, rulebook=rulebook)


def lines_between(before: Outcome, after: Outcome) -> tuple[str, ...]:
    """Return the lines whose amounts or scenarios differ; the requirement where its own formula alone changed."""
    first, second = before.report.lines, after.report.lines
    scenarios = {line for (line, row), table in before.tables.items() if _table_differs(table, after.tables[line, row])}
    out = [
        name
        for name, line in first.items()
        if name in scenarios
        or _differ(line.initial, second[name].initial)
        or _differ(line.maintenance, second[name].maintenance)
    ]
    return tuple(out) or ("requirement",)


def _table_differs(before: ScenarioTable, after: ScenarioTable) -> bool:
    pairs = zip(before.scenarios, after.scenarios, strict=True)
    return any(_differ(first.pnl, second.pnl) for first, second in pairs)


def _differ(first: float, second: float) -> bool:
    return abs(first - second) > _SAME * max(1.0, abs(first))


def changed(document: Mapping[str, Any], steps: Steps) -> Mapping[str, Any]:
    """Return the document with one number one per cent larger; 0 becomes one hundredth."""
    found: Mapping[str, Any] = _changed(document, steps)
    return found


def _more(value: Any) -> Any:  # noqa: ANN401 - a number, or its decimal text
    if isinstance(value, str):
        stated = Decimal(value)
        return str(stated * Decimal(str(1.0 + SHARE)) if stated else SHARE)
    return value * (1.0 + SHARE) if value else SHARE


def _changed(value: Any, steps: Steps) -> Any:  # noqa: ANN401 - whatever JSON holds
    if not steps:
        return _more(value)
    first, rest = steps[0], steps[1:]
    if isinstance(first, int):
        return [_changed(item, rest) if index == first else item for index, item in enumerate(value)]
    return {**value, first: _changed(value[first], rest)}
