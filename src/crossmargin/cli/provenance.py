"""What a rulebook's numbers rest on: each with its source, and which lines stand on unverified ones."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from crossmargin.margin.model import Constant, Formula, Keyed, Tiers, Variants

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from crossmargin.margin.model import Line, Parameter, Provenance, Rulebook

_NAME = re.compile(r"[A-Za-z_]\w*")


@dataclass(frozen=True, slots=True)
class SourcedNumber:
    """One number of a rulebook: where it stands, its value in words, and its source."""

    place: str
    value: str
    provenance: Provenance | None


def numbers_of(name: str, parameter: Parameter) -> Iterator[SourcedNumber]:
    """Yield the numbers that one parameter holds, through tables and variants."""
    if isinstance(parameter, Constant):
        yield SourcedNumber(name, f"{parameter.value:,.10g}", parameter.provenance)
    elif isinstance(parameter, Tiers):
        rows = zip(parameter.upto, parameter.rate, strict=True)
        text = ", ".join(f"to {upto:,.10g}: {rate:.10g}" for upto, rate in rows)
        yield SourcedNumber(name, text, parameter.provenance)
    elif isinstance(parameter, Variants):
        for variant, entry in parameter.by_requirement.items():
            yield from numbers_of(f"{name}.{variant}", entry)
    elif isinstance(parameter, Keyed):
        for key, entry in parameter.entries.items():
            yield from numbers_of(f"{name}[{key}]", entry)
        if parameter.default is not None:
            yield from numbers_of(f"{name}[default]", parameter.default)


def rulebook_numbers(rules: Rulebook) -> Iterator[SourcedNumber]:
    """Yield every number of a rulebook that has a name, in the document's order."""
    groups: list[tuple[str, Mapping[str, Parameter]]] = [
        ("", rules.parameters),
        ("shocks.", rules.shocks.parameters),
        *((f"{name}.", line.parameters) for name, line in rules.lines.items()),
        ("liquidation.", rules.liquidation.parameters),
    ]
    for prefix, parameters in groups:
        for name, parameter in parameters.items():
            yield from numbers_of(f"{prefix}{name}", parameter)


def unverified_lines(rules: Rulebook) -> frozenset[str]:
    """Return the lines that read, directly or through a parameter, a number that no public source confirms."""
    shaky = {name for name, parameter in rules.parameters.items() if _is_unverified(name, parameter)}
    shocks = any(_is_unverified(name, parameter) for name, parameter in rules.shocks.parameters.items())
    return frozenset(name for name, line in rules.lines.items() if _stands_on(line, shaky, shocks=shocks))


def _stands_on(line: Line, shaky: set[str], *, shocks: bool) -> bool:
    own = any(_is_unverified(name, parameter) for name, parameter in line.parameters.items())
    texts = [text for parameter in (line.spec, *line.parameters.values()) for text in _texts(parameter)]
    read = {word for text in texts for word in _NAME.findall(text)}
    return own or bool(read & shaky) or (shocks and line.kind == "scan")


def _is_unverified(name: str, parameter: Parameter) -> bool:
    return any(number.provenance is not None and number.provenance.unverified for number in numbers_of(name, parameter))


def _texts(parameter: object) -> Iterator[str]:
    """Yield the expressions within a parameter or a kind."""
    if isinstance(parameter, Formula):
        yield parameter.text
    elif isinstance(parameter, Variants):
        for entry in parameter.by_requirement.values():
            yield from _texts(entry)
    elif isinstance(parameter, Keyed):
        yield from (text for entry in parameter.entries.values() for text in _texts(entry))
        yield from _texts(parameter.default)
