"""Which lines of a rulebook stand on numbers that no public source confirms."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from crossmargin.margin.model import Formula, Keyed, Scan, Variants
from crossmargin.margin.provenance import numbers_of, provenance
from crossmargin.margin.reading import Reader

if TYPE_CHECKING:
    from collections.abc import Iterator

    from crossmargin.margin.model import Line, Rulebook

_NAME = re.compile(r"[A-Za-z_]\w*")
_SECTIONS = frozenset({"charges", "values", "parameters", "scenarios", "shocks"})


def unverified_lines(rules: Rulebook) -> frozenset[str]:
    """Return the lines that read, directly or through a parameter or a scenario, an unverified number."""
    shaky = _shaky(rules)
    return frozenset(name for name, line in rules.lines.items() if _stands_on(line, shaky))


def _shaky(rules: Rulebook) -> set[tuple[str, ...]]:
    """Return the entries, such as ("parameters", NAME), that hold an unverified number (lint would load far more)."""
    reader = Reader(rules.document, rules.path)
    found: set[tuple[str, ...]] = set()
    for path in numbers_of(rules.document):
        said = provenance(reader, path) if path[0] in _SECTIONS else None
        if said is not None and said.unverified:
            found.add(path[:2])
    return found


def _stands_on(line: Line, shaky: set[tuple[str, ...]]) -> bool:
    texts = [text for parameter in (line.spec, *line.parameters.values()) for text in _texts(parameter)]
    read: set[tuple[str, ...]] = {("parameters", word) for text in texts for word in _NAME.findall(text)}
    if isinstance(line.spec, Scan):
        read |= {("scenarios", line.spec.scenarios), *(entry for entry in shaky if entry[0] == "shocks")}
    return not shaky.isdisjoint({(line.section, line.name), *read})


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
