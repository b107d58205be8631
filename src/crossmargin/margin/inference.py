"""One walk over everything that a rulebook reads: names, cycles, levels, variants, literals and dimensions.

The walk starts from what is asked (requirements, adjusted equity, trigger) and follows names; what it never
reaches is unused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Final

from crossmargin.margin.deduction import deduce
from crossmargin.margin.dimensions import (
    MONEY,
    Dimension,
    DimensionError,
    combined,
    read_dimension,
)
from crossmargin.margin.expression import Name, Number, names, walk
from crossmargin.margin.locate import Path, dotted
from crossmargin.margin.model import Constant, Formula, Keyed, Line, Parameter, Rulebook, Tiers, Variants
from crossmargin.margin.provenance import unit
from crossmargin.margin.reading import Reader, suggestion
from crossmargin.margin.vocabulary import COARSER, MEASURES

__all__ = ["COLUMNS", "Inference", "Scope"]

COLUMNS: Final[Mapping[str, str]] = MappingProxyType({name: m.dimension for name, m in MEASURES.items()})
_PLAIN_LITERALS: Final = (0.0, 1.0)
_LITERALS_ALLOWED: Final = frozenset({"requirement", "liquidation", "bands"})


@dataclass(frozen=True, slots=True)
class Scope:
    """Where a formula stands: what it may read, at which level, for which requirement.

    Parameters
    ----------
    own_at, own
        The table's own parameters and where they stand.
    columns
        Measures, axes or shock columns with their dimensions.
    lines
        Whether lines, requirements and inputs can be read.
    additive
        Whether what is read ends up in a sum.
    """

    variant: str
    own_at: Path = ()
    own: Mapping[str, Parameter] = field(default_factory=dict)
    level: str = "account"
    columns: Mapping[str, str] = field(default_factory=lambda: COLUMNS)
    lines: bool = True
    additive: bool = True


class Inference:
    """The walk, and what it has reached."""

    def __init__(self, reader: Reader, rulebook: Rulebook, spec: Callable[[Inference, Line, Scope], Dimension]) -> None:
        self.reader = reader
        self.rulebook = rulebook
        self.spec = spec
        self.used: set[Path] = set()
        self._known: dict[tuple[Any, ...], Dimension] = {}
        self._open: list[tuple[Any, ...]] = []

    def formula(self, formula: Formula, at: Path, scope: Scope) -> Dimension:
        """The dimension of a formula that stands at a path."""
        self._check_literals(formula, at)

        def read(name: Name, additive: bool, table: bool) -> Dimension:  # noqa: FBT001 - a callback
            return self.name(name, at, replace(scope, additive=scope.additive and additive), table=table)

        try:
            return deduce(formula.tree, read)
        except DimensionError as error:
            advice = 'multiply or divide by a price, or give a number its unit: unit = { name = "USD" }'
            raise self.reader.error(f"{error}: {advice}", at) from None

    def _check_literals(self, formula: Formula, at: Path) -> None:
        """Every number has a name, so that it has a source and can be swept."""
        constant = not names(formula.tree) and at[-1] not in {"is", "adjusted"}
        if constant or at[:1] in {(section,) for section in _LITERALS_ALLOWED}:
            return
        for part in walk(formula.tree):
            if isinstance(part, Number) and part.value not in _PLAIN_LITERALS:
                message = f"name every number: {part.value:g} in {formula.text!r} has no source"
                raise self.reader.error(f"{message}; make it a parameter beside the formula", at)

    def name(self, name: Name, at: Path, scope: Scope, *, table: bool = False) -> Dimension:
        """The dimension of a name that a formula at a path reads."""
        if name.variant is not None:
            if name.variant not in self.rulebook.requirements:
                near = suggestion(name.variant, self.rulebook.requirements)
                raise self.reader.error(f"`.{name.variant}` is no requirement{near}", at)
            scope = replace(scope, variant=name.variant)
        if name.name in scope.own:
            return self.parameter(scope.own[name.name], self._own(scope, name.name), scope, table=table)
        if name.name in self.rulebook.parameters:
            shared = replace(scope, own_at=(), own={})
            path = self._own(replace(shared, own_at=("parameters",)), name.name)
            return self.parameter(self.rulebook.parameters[name.name], path, shared, table=table)
        if table:
            raise self.reader.error(f"`{name.name}` is no tier table; {_TABLE_ADVICE}", at)
        return self._column(name.name, at, scope)

    def _own(self, scope: Scope, name: str) -> Path:
        """Where a table's own parameter stands: in it, or in its `where`."""
        here = (*scope.own_at, name)
        return here if self.reader.get(here) is not None else (*scope.own_at, "where", name)

    def _column(self, name: str, at: Path, scope: Scope) -> Dimension:
        """The dimension of a line, a requirement, an input or a measure."""
        if scope.lines and name in self.rulebook.lines:
            line = self.rulebook.line(name)
            found = self.line(line, at, scope.variant)
            self._check_level(name, line.level, found, at, scope)
            return found
        if scope.lines and name in self.rulebook.requirements:
            found = self.requirement(name)
            self._check_level(name, "account", found, at, scope)
            return found
        if scope.lines and name in self.rulebook.inputs:
            self.used.add(("inputs", name))
            found = self.unit(self.rulebook.inputs[name].unit, ("inputs", name))
            self._check_level(name, "account", found, at, scope)
            return found
        if name not in scope.columns:
            raise self.reader.error(self._unknown(name, scope), at)
        found = self.unit(scope.columns[name], at)
        level = MEASURES[name].level if name in MEASURES else scope.level
        self._check_level(name, "account" if level == "account" else scope.level, found, at, scope)
        return found

    def _unknown(self, name: str, scope: Scope) -> str:
        """What to say of a name that means nothing here."""
        rulebook = self.rulebook
        known = [*scope.own, *rulebook.parameters, *scope.columns]
        if scope.lines:
            known += [*rulebook.lines, *rulebook.requirements, *rulebook.inputs]
        elsewhere = {**rulebook.lines, **rulebook.requirements, **rulebook.inputs, **COLUMNS}
        if name in elsewhere:
            return f"`{name}` cannot be read here; there are {', '.join(known)}"
        near = suggestion(name, known)
        return f"unknown name `{name}`{near or '; name it in a parameter, or use a measure'}"

    def _check_level(self, name: str, level: str, dimension: Dimension, at: Path, scope: Scope) -> None:
        """Money of a coarser level would count once per row; levels that cross cannot be read at all."""
        if level == scope.level or scope.level in COARSER[level]:
            return
        if level not in COARSER[scope.level]:
            message = f"`{name}` is by {level}, which {scope.level} rows cut across"
            raise self.reader.error(f"{message}: read it at account level", at)
        if scope.additive and dimension == MONEY:
            message = f"`{name}` is money of the {level}, added once for each {scope.level}"
            raise self.reader.error(f"{message}: multiply by it, or add it at {level} level", at)

    def parameter(self, parameter: Parameter, at: Path, scope: Scope, *, table: bool = False) -> Dimension:
        """The dimension of a parameter, or of what its tier table holds."""
        self.used.add(at)
        key = (at, scope.variant, scope.level, scope.additive, id(scope.columns), table)
        return self._once(key, at, lambda: self._parameter(parameter, at, scope, table=table))

    def _parameter(self, parameter: Parameter, at: Path, scope: Scope, *, table: bool) -> Dimension:
        if isinstance(parameter, Variants):
            held = self.variant(parameter, at, scope.variant)
            return self._parameter(held, (*at, scope.variant), scope, table=table)
        if isinstance(parameter, Keyed):
            parts = {**parameter.entries}
            if parameter.default is not None:
                parts["default"] = parameter.default
            found = [self._parameter(part, (*at, key), scope, table=table) for key, part in parts.items()]
            try:
                return combined("keys", *found)
            except DimensionError as error:
                raise self.reader.error(f"{error}: give all entries one unit", at) from None
        if isinstance(parameter, Tiers) != table:
            what = "no tier table" if table else "a tier table"
            raise self.reader.error(f"`{dotted(at)}` is {what}; {_TABLE_ADVICE}", at)
        if isinstance(parameter, Formula):
            return self.formula(parameter, at, scope)
        return self.unit(self._unit_of(parameter, at), at)

    def _unit_of(self, parameter: Constant | Tiers, at: Path) -> str:
        """The unit that the document gives a number, or ratio."""
        stated = parameter.unit if isinstance(parameter, Constant) else unit(self.reader, at)
        return stated or "ratio"

    def variant(self, parameter: Variants, at: Path, requirement: str) -> Constant | Tiers | Formula | Keyed:
        """The parameter for one requirement."""
        if requirement not in parameter.by_requirement:
            stated = ", ".join(parameter.by_requirement)
            message = f"no figure for `{requirement}`, which reads it; there are {stated}"
            raise self.reader.error(f"{message}: add one", at)
        return parameter.by_requirement[requirement]

    def line(self, line: Line, at: Path, variant: str) -> Dimension:
        """The dimension of a line, for one requirement."""
        path = (line.section, line.name)
        self.used.add(path)
        scope = Scope(variant, path, line.parameters, line.level)
        return self._once((path, variant), at, lambda: self.spec(self, line, scope))

    def requirement(self, name: str) -> Dimension:
        """The dimension of a requirement: money."""
        at = ("requirement", name)
        found = self.parameter(self.rulebook.requirements[name], at, Scope(name))
        self.expect(found, at, MONEY)
        return found

    def unit(self, text: str, at: Path) -> Dimension:
        """The dimension of a unit."""
        try:
            return read_dimension(text, self.rulebook.reporting)
        except DimensionError as error:
            raise self.reader.error(str(error), at) from None

    def expect(self, found: Dimension, at: Path, *wanted: Dimension) -> None:
        """Refuse a result of another dimension."""
        if not found.zero and found not in wanted:
            needed = " or ".join(str(one) for one in wanted)
            message = f"comes out as {found}, and {needed} is needed"
            raise self.reader.error(f"{message}: multiply or divide by what is missing", at)

    def _once(self, key: tuple[Any, ...], at: Path, compute: Callable[[], Dimension]) -> Dimension:
        """What is known of a key, or computed now; refuses to enter a key that is being walked."""
        if key in self._open:
            ring = [*(dotted(part[0]) for part in self._open[self._open.index(key) :]), dotted(key[0])]
            raise self.reader.error(f"reads itself: {' -> '.join(ring)}; break the circle", at)
        if key not in self._known:
            self._open.append(key)
            self._known[key] = compute()
            self._open.pop()
        return self._known[key]


_TABLE_ADVICE: Final = "tables are read by `marginal`, `step` or `ramp`, and only there"
