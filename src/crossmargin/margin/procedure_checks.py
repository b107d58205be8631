"""What a procedure must be besides readable: every name known, every number read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from crossmargin.margin.expression import names
from crossmargin.margin.model import Formula, Keyed, Variants
from crossmargin.margin.reading import suggestion
from crossmargin.margin.vocabulary import CASE_MEASURES, HALT_MEASURES, MEASURES, TRIGGER_MEASURES, WINDOWED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from crossmargin.margin.locate import Path
    from crossmargin.margin.model import Parameter, Rulebook
    from crossmargin.margin.procedure_prices import Prices
    from crossmargin.margin.reading import Reader

__all__ = ["HEADROOM", "START", "base_name", "check_procedure"]

HEADROOM: Final = "_headroom"
START: Final = "_start"
_SIDES: Final = ("debt_", "collateral_")


def base_name(name: str) -> str:
    """The measure behind a name: without ``_start``, and without the side of an exchange."""
    name = name.removesuffix(START)
    for side in _SIDES:
        if name.startswith(side) and name not in CASE_MEASURES:
            return name.removeprefix(side)
    return name


def check_procedure(reader: Reader, rulebook: Rulebook) -> None:
    """Refuse names that mean nothing, lines in a circle and numbers that nothing reads.

    Raises
    ------
    RulebookError
        With the line where it stands and what to do.
    """
    liquidation = rulebook.procedure.liquidation
    for name in (*liquidation.parameters, *liquidation.lines, *liquidation.inputs):
        if any(name in table for table in (MEASURES, TRIGGER_MEASURES, CASE_MEASURES, HALT_MEASURES)):
            message = f"`{name}` is a measure and cannot be redefined: rename it"
            raise reader.error(message, ("liquidation", _home(reader, name), name))
    _check_halts(reader, rulebook)
    known = _known(rulebook) | HALT_MEASURES.keys()
    used: set[str] = set()
    for formula, at in _formulas(rulebook):
        for read in names(formula.tree):
            used |= {read.name, base_name(read.name)}
            if base_name(read.name) not in known and read.name not in known:
                near = suggestion(read.name, known)
                advice = near or "; name it in [liquidation.parameters], or use a measure"
                raise reader.error(f"unknown name `{read.name}`{advice}", at)
            if read.variant is not None and read.variant not in rulebook.requirements:
                near = suggestion(read.variant, rulebook.requirements)
                raise reader.error(f"`.{read.variant}` is no requirement{near}", at)
    _check_circles(reader, rulebook)
    for name in (*liquidation.parameters, *liquidation.inputs):
        at = ("liquidation", _home(reader, name), name)
        # what the file itself states: steps of an amendment need not read all that the amended ones did
        if name not in used and liquidation.steps and at in reader.lines:
            raise reader.error(f"unused: nothing reads `{name}`; use it or delete it", at)


def _check_halts(reader: Reader, rulebook: Rulebook) -> None:
    """A halt is asked for an underlying, not for an account: it reads its own measures and numbers."""
    procedure = rulebook.procedure
    numbers = {*procedure.parameters, *procedure.liquidation.parameters}
    for number, halt in enumerate(procedure.halts):
        at: Path = ("halt", str(number))
        if halt.when.text in {other.when.text for other in procedure.halts[:number]}:
            raise reader.error("this condition stands twice: say all that it stops in one `what`", (*at, "when"))
        read: set[str] = set()
        for formula, place in _of(halt, at, ("when", "until")):
            read |= {name.name for name in names(formula.tree)}
            for name in sorted(read - numbers - HALT_MEASURES.keys()):
                known = [*HALT_MEASURES, *numbers]
                message = f"unknown name `{name}`{suggestion(name, known)}; a halt reads {', '.join(HALT_MEASURES)}"
                raise reader.error(message, place)
        looks_back = read & WINDOWED
        if looks_back and halt.window is None:
            raise reader.error(f"`{min(looks_back)}` looks back over a `window`: state its seconds", at)
        if halt.window is not None and not looks_back:
            raise reader.error("unused: nothing looks back over `window`", (*at, "window"))
        if "twap_gap" in read and not _means(procedure.prices):
            raise reader.error("`twap_gap` needs `twap_window` in [prices]", at)


def _means(prices: Prices | None) -> bool:
    """Whether any price has a mean."""
    if prices is None:
        return False
    tables = (prices.kinds, prices.assets, prices.instruments)
    rules = [prices.default, *(rule for table in tables for rule in table.values())]
    return any(rule.twap_window is not None for rule in rules)


def _home(reader: Reader, name: str) -> str:
    """The table of [liquidation] that states a name."""
    tables = ("parameters", "lines", "inputs")
    return next((table for table in tables if reader.get(("liquidation", table, name)) is not None), name)


def _known(rulebook: Rulebook) -> set[str]:
    """Everything that a formula of the procedure may name."""
    liquidation = rulebook.procedure.liquidation
    own = (liquidation.parameters, liquidation.lines, liquidation.inputs)
    whole = (rulebook.parameters, rulebook.lines, rulebook.requirements, rulebook.inputs)
    measures = (MEASURES, TRIGGER_MEASURES, CASE_MEASURES)
    found = {name for table in (*own, *whole, *measures) for name in table}
    return found | {f"{name}{HEADROOM}" for name in rulebook.requirements}


def _formulas(rulebook: Rulebook) -> Iterator[tuple[Formula, Path]]:
    """Every formula of the procedure with its place."""
    procedure = rulebook.procedure
    liquidation = procedure.liquidation
    at: Path = ("liquidation",)
    yield from _of(liquidation, at, ("trigger", "until", "cadence", "loss"))
    yield from ((line, (*at, "lines", name)) for name, line in liquidation.lines.items())
    for name, parameter in liquidation.parameters.items():
        yield from ((part, (*at, "parameters", name)) for part in _parts(parameter))
    tables: tuple[tuple[str, tuple[object, ...], tuple[str, ...]], ...] = (
        ("bands", procedure.bands, ("when", "until", "deadline")),
        ("waterfall", procedure.waterfall, ("when", "rank", "weight", "cap", "price", "keep")),
        ("halt", procedure.halts, ("when", "until")),
    )
    for section, items, keys in tables:
        for number, item in enumerate(items):
            yield from _of(item, (section, str(number)), keys)
    for number, step in enumerate(liquidation.steps):
        path = (*at, "steps", str(number))
        yield from _of(step, path, ("rank", "when", "amount", "price", "window"))
        yield from ((fee, (*path, "fees", owner)) for owner, fee in step.fees.items())
    yield from _of(procedure.fund, ("fund",), ("target", "inflow", "skin", "assessment"))


def _of(item: object, at: Path, keys: tuple[str, ...]) -> Iterator[tuple[Formula, Path]]:
    for key in keys:
        found = getattr(item, key)
        if isinstance(found, Formula):
            yield found, (*at, key)


def _parts(parameter: Parameter) -> Iterator[Formula]:
    """The formulas inside a parameter."""
    if isinstance(parameter, Formula):
        yield parameter
    elif isinstance(parameter, Variants):
        for part in parameter.by_requirement.values():
            yield from _parts(part)
    elif isinstance(parameter, Keyed):
        for part in (*parameter.entries.values(), *([parameter.default] if parameter.default else [])):
            yield from _parts(part)


def _check_circles(reader: Reader, rulebook: Rulebook) -> None:
    """No line of the procedure reads itself."""
    liquidation = rulebook.procedure.liquidation
    own = {name: {n.name for n in names(line.tree)} for name, line in liquidation.lines.items()}
    for name, parameter in liquidation.parameters.items():
        own[name] = {n.name for part in _parts(parameter) for n in names(part.tree)}
    done: set[str] = set()

    def enter(name: str, ring: tuple[str, ...]) -> None:
        if name in ring:
            told = " -> ".join((*ring[ring.index(name) :], name))
            raise reader.error(f"reads itself: {told}; break the circle", ("liquidation", _home(reader, name), name))
        if name in own and name not in done:
            for read in sorted(own[name]):
                enter(read, (*ring, name))
            done.add(name)

    for name in own:
        enter(name, ())
