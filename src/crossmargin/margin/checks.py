"""What a rulebook must be besides readable: every name known, every line used, every sum of one dimension."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Final

from crossmargin.margin.dimensions import MONEY, QUANTITY, RATIO, USD, Dimension
from crossmargin.margin.inference import COLUMNS, Inference, Scope
from crossmargin.margin.locate import Path
from crossmargin.margin.model import (
    Block,
    Either,
    Formula,
    Keyed,
    Line,
    Pairing,
    Parameter,
    Rulebook,
    Scan,
    Slopes,
    Tiers,
    Variants,
    WorstSide,
)
from crossmargin.margin.procedure_checks import check_procedure
from crossmargin.margin.reading import Reader, suggestion
from crossmargin.margin.vocabulary import AXES, COARSER, MEASURES, SHOCK_COLUMNS, TRIGGER_MEASURES

__all__ = ["check", "line_dimension"]

_AXIS_COLUMNS: Final[Mapping[str, str]] = MappingProxyType(dict.fromkeys(AXES, "ratio"))
_SHOCK_COLUMNS: Final[Mapping[str, str]] = MappingProxyType({name: COLUMNS[name] for name in SHOCK_COLUMNS})
_VALUE_COLUMNS: Final[Mapping[str, str]] = MappingProxyType(
    {name: dimension for name, dimension in COLUMNS.items() if name not in {"value", "equity"}}
)
_TRIGGER_COLUMNS: Final[Mapping[str, str]] = MappingProxyType(
    {**COLUMNS, **{name: measure.dimension for name, measure in TRIGGER_MEASURES.items()}}
)
_LINE_DIMENSIONS: Final = (MONEY, RATIO, QUANTITY, USD, MONEY / QUANTITY)


def check(reader: Reader, rulebook: Rulebook) -> None:
    """Refuse what can be read but cannot mean anything.

    Raises
    ------
    RulebookError
        With the line where it stands and what to do.
    """
    _check_names(reader, rulebook)
    inference = Inference(reader, rulebook, _line)
    for requirement in rulebook.requirements:
        inference.requirement(requirement)
        scope = Scope(requirement)
        at = ("equity", "adjusted")
        inference.expect(inference.parameter(rulebook.adjusted, at, scope), at, MONEY)
        for line in rulebook.lines.values():
            if reader.flag((line.section, line.name, "reported_only")):
                inference.line(line, (line.section, line.name), requirement)
    _check_trigger(inference, rulebook)
    check_procedure(reader, rulebook)
    _check_valuation(inference, rulebook)
    _check_used(reader, rulebook, inference.used)


def line_dimension(rulebook: Rulebook, line: Line, requirement: str) -> Dimension:
    """The dimension of a line of a rulebook that has been checked."""
    inference = Inference(Reader(rulebook.document, rulebook.path), rulebook, _line)
    return inference.line(line, (line.section, line.name), requirement)


def _check_names(reader: Reader, rulebook: Rulebook) -> None:
    """A name means one thing."""
    homes: dict[str, str] = {}
    sections: tuple[tuple[str, Mapping[str, object]], ...] = (
        ("parameters", rulebook.parameters),
        ("values", rulebook.values),
        ("charges", rulebook.charges),
        ("requirement", rulebook.requirements),
        ("inputs", rulebook.inputs),
    )
    for section, entries in sections:
        for name in entries:
            at = (section, name)
            measured = name in MEASURES or name in TRIGGER_MEASURES
            if measured and section != "parameters":
                raise reader.error(f"`{name}` is a measure and cannot be redefined: rename it", at)
            if name in homes:
                message = f"`{name}` stands in [{homes[name]}] and in [{section}]"
                raise reader.error(f"{message}: rename one", at)
            homes[name] = section


def _check_trigger(inference: Inference, rulebook: Rulebook) -> None:
    """The trigger and the bands' conditions compare like with like."""
    own = rulebook.procedure.liquidation.parameters
    scope = Scope("maintenance", ("liquidation",), own, columns=_TRIGGER_COLUMNS)
    inference.formula(rulebook.procedure.liquidation.trigger, ("liquidation", "trigger"), scope)
    for number, band in enumerate(rulebook.procedure.bands):
        if band.below is None:
            inference.formula(band.when, ("bands", str(number), "when"), scope)


def _check_valuation(inference: Inference, rulebook: Rulebook) -> None:
    """What a leg is worth is money."""
    for kind, formula in rulebook.valuation.items():
        at = ("valuation", "value", kind)
        scope = Scope("maintenance", level="leg", columns=_VALUE_COLUMNS, lines=False)
        inference.expect(inference.formula(formula, at, scope), at, MONEY)


def _line(inference: Inference, line: Line, scope: Scope) -> Dimension:
    """The dimension of a line: of its formula, or of what its kind makes."""
    at: Path = (line.section, line.name)
    spec = line.spec
    if isinstance(spec, Formula):
        found = inference.formula(spec, (*at, "is"), scope)
    elif isinstance(spec, Variants):
        held = inference.variant(spec, (*at, "is"), scope.variant)
        assert isinstance(held, Formula)
        found = inference.formula(held, (*at, "is", scope.variant), scope)
    else:
        found = _kind(inference, line, spec, scope)
    inference.expect(found, at, *_LINE_DIMENSIONS)
    return found


def _kind(inference: Inference, line: Line, spec: object, scope: Scope) -> Dimension:
    """The dimension that a kind makes of the legs."""
    at: Path = (line.section, line.name)
    if isinstance(spec, Scan):
        return _scan(inference, spec, at, scope)
    if isinstance(spec, Pairing):
        return _pairing(inference, spec, at, scope)
    if isinstance(spec, Either):
        there = replace(scope, level="asset")
        inference.expect(inference.parameter(spec.balance, (*at, "balance"), there), (*at, "balance"), MONEY)
        for key in ("asset_worth", "liability_worth", "asset_price", "liability_price"):
            ratio = getattr(spec, key)
            if ratio is not None:
                inference.expect(inference.parameter(ratio, (*at, key), there), (*at, key), RATIO)
    if isinstance(spec, WorstSide):
        lines = inference.rulebook.lines
        if spec.line not in lines:
            near = suggestion(spec.line, lines)
            raise inference.reader.error(f"no line {spec.line!r}{near}", (*at, "line"))
        return inference.line(lines[spec.line], (*at, "line"), scope.variant)
    return MONEY


def _pairing(inference: Inference, spec: Pairing, at: Path, scope: Scope) -> Dimension:
    """Matched units, or what they stand for, times their rate."""
    if spec.exposure in MEASURES:
        units = inference.unit(MEASURES[spec.exposure].dimension, at)
    else:
        units = _amount_line(inference, spec.exposure, spec.between, (*at, "exposure"), scope)
    if spec.worth is not None:
        units = units * _amount_line(inference, spec.worth, "bucket", (*at, "worth"), scope)
    if spec.between == "bucket":
        scope = replace(scope, level="account")
    found = units
    for number, pair in enumerate(spec.pairs):
        path = (*at, "pairs", str(number), "rate")
        found = units * inference.parameter(pair.rate, path, scope, table=_is_table(pair.rate))
    return found


def _amount_line(inference: Inference, name: str, between: str, at: Path, scope: Scope) -> Dimension:
    """The dimension of a line whose rows are matched: it is no coarser than what it is matched by."""
    lines = inference.rulebook.lines
    if name not in lines:
        near = suggestion(name, [*lines, *MEASURES])
        raise inference.reader.error(f"no measure or line {name!r}{near}", at)
    level = lines[name].level
    if between not in {"expiry", "bucket"} or not (level == between or between in COARSER[level]):
        message = f"`{name}` is by {level}, and what is matched is netted by {between}"
        raise inference.reader.error(f"{message}: a line is matched by expiry or bucket, and is no coarser", at)
    return inference.line(lines[name], at, scope.variant)


def _is_table(parameter: Parameter) -> bool:
    if isinstance(parameter, Variants):
        return any(isinstance(part, Tiers) for part in parameter.by_requirement.values())
    return isinstance(parameter, Tiers)


def _scan(inference: Inference, spec: Scan, at: Path, scope: Scope) -> Dimension:
    """Losses of the legs under scenarios: money; or units of the underlying."""
    for key, parameter in (("confidence", spec.confidence), ("weight", spec.weight)):
        if parameter is not None:
            inference.expect(inference.parameter(parameter, (*at, key), scope), (*at, key), RATIO)
    for key, table in (("close_out", spec.close_out), ("fold", spec.fold)):
        _slopes(inference, table, (*at, key), scope)
    inference.used.add(("scenarios", spec.scenarios))
    for number, block in enumerate(inference.rulebook.scenarios[spec.scenarios]):
        _block(inference, block, ("scenarios", spec.scenarios, str(number)), scope.variant)
    return MONEY if spec.exposure == "pnl" else QUANTITY


def _slopes(inference: Inference, table: Mapping[str, Slopes], at: Path, scope: Scope) -> None:
    """Slopes are plain numbers, the cap and the deductible of what they fold."""
    for level, slopes in table.items():
        there = replace(scope, level=level)
        for key, wanted in (("gain", RATIO), ("loss", RATIO), ("gain_cap", MONEY), ("deductible", MONEY)):
            parameter: Parameter | None = getattr(slopes, key)
            path = (*at, level, key)
            if parameter is not None:
                inference.expect(inference.parameter(parameter, path, there), path, wanted)


def _block(inference: Inference, block: Block, at: Path, variant: str) -> None:
    """Scale and weight are plain numbers; shocked vols are vols. None of them differs between requirements."""
    axes = Scope(variant, columns=_AXIS_COLUMNS, lines=False)
    for key, parameter in (("scale", block.scale), ("weight", block.weight)):
        if parameter is not None and not isinstance(parameter, tuple):
            inference.expect(inference.parameter(parameter, (*at, key), axes), (*at, key), RATIO)
            _same_for_all(inference, parameter, (*at, key))
    _slopes(inference, block.fold, (*at, "fold"), Scope(variant, lines=False))
    shocks = inference.rulebook.shocks
    scope = Scope(variant, ("shocks",), shocks.parameters, "leg", _SHOCK_COLUMNS, lines=False)
    for vol in block.vol:
        if vol != "same":
            path = ("shocks", "vol", vol)
            inference.expect(inference.parameter(shocks.vol[vol], path, scope), path, RATIO)
            _same_for_all(inference, shocks.vol[vol], path)


def _same_for_all(inference: Inference, parameter: Parameter, at: Path) -> None:
    """Refuse a number of a scenario that differs between requirements, for they share the scenarios."""
    rulebook = inference.rulebook
    if isinstance(parameter, Variants) or (isinstance(parameter, Formula) and any(n.variant for n in parameter.reads)):
        message = "scenarios are shared by all requirements: a number here cannot vary by requirement"
        raise inference.reader.error(f"{message}; name one for all of them", at)
    parts: tuple[Parameter, ...] = parameter.listed if isinstance(parameter, Keyed) else ()
    if isinstance(parameter, Formula):
        tables = (rulebook.shocks.parameters, rulebook.parameters)
        parts = tuple(table[name.name] for name in parameter.reads for table in tables if name.name in table)
    for part in parts:
        _same_for_all(inference, part, at)


def _check_used(reader: Reader, rulebook: Rulebook, used: set[Path]) -> None:
    """Refuse what nothing reads."""
    for line in rulebook.lines.values():
        at: Path = (line.section, line.name)
        if at not in used:
            advice = "read it in a requirement, in equity or in a line, say reported_only = true, or delete it"
            raise reader.error(f"unused line: {advice}", at)
    for at in _stated(rulebook):
        beside = (*at[:-1], "where", at[-1])
        if at not in used and beside not in used:
            place = at if reader.get(at) is not None else beside
            raise reader.error(f"unused: nothing reads `{at[-1]}`; use it or delete it", place)
    words = {word for line in rulebook.lines.values() for entry in line.of for word in entry}
    for tag in rulebook.tags:
        if tag not in words:
            raise reader.error("unused: no line's `of` has this word; use it or delete it", ("tags", tag))


def _stated(rulebook: Rulebook) -> list[Path]:
    """Everything that must be read by something."""
    lines = rulebook.lines.values()
    own: list[Path] = [(line.section, line.name, key) for line in lines for key in line.parameters]
    return [
        *own,
        *(("parameters", key) for key in rulebook.parameters),
        *(("scenarios", key) for key in rulebook.scenarios),
        *(("shocks", "vol", key) for key in rulebook.shocks.vol),
        *(("shocks", key) for key in rulebook.shocks.parameters),
        *(("inputs", key) for key in rulebook.inputs),
    ]
