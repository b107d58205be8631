"""Parameters: a number, a formula, tiers, a keyed table, or one of these for each requirement."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import pairwise
from typing import TypeAlias

from crossmargin.margin.locate import Path
from crossmargin.margin.model import LEVELS, Constant, Formula, Keyed, Parameter, Slopes, Tiers, Variants
from crossmargin.margin.provenance import provenance, unit
from crossmargin.margin.reading import PROVENANCE, Reader, suggestion
from crossmargin.margin.vocabulary import KEYS

__all__ = ["optional", "parameter", "parameters", "slopes", "variants"]

Plain: TypeAlias = Constant | Tiers | Formula
_PAIR = 2


def parameter(reader: Reader, at: Path) -> Parameter:
    """The parameter at a path.

    Raises
    ------
    RulebookError
        It is none of the five forms.
    """
    found = reader.get(at)
    if not isinstance(found, Mapping):
        return _plain(reader, at)
    if "by" in found:
        return _keyed(reader, at)
    if set(found) - PROVENANCE <= _requirements(reader):
        return variants(reader, at)
    word = next(key for key in found if key not in _requirements(reader) | PROVENANCE)
    near = suggestion(word, [*_requirements(reader), "by"])
    advice = "a table of figures is keyed (by = ...) or names requirements"
    raise reader.error(f"`{word}` is neither a requirement nor `by`{near}: {advice}", at)


def optional(reader: Reader, at: Path) -> Parameter | None:
    """The parameter at a path, or None."""
    return None if reader.get(at) is None else parameter(reader, at)


def parameters(reader: Reader, at: Path, *, besides: frozenset[str] = frozenset()) -> dict[str, Parameter]:
    """The parameters of a table and of its `where`, by name, without what the table's own grammar takes."""
    found: dict[str, Parameter] = {}
    for table in (at, (*at, "where")):
        for key in reader.table(table):
            path = (*table, key)
            if key in besides | PROVENANCE or path == (*at, "where"):
                continue
            if key in found:
                raise reader.error(f"`{key}` stands in the table and in its `where`: keep one", path)
            found[reader.identifier(path)] = parameter(reader, path)
    return found


def variants(reader: Reader, at: Path) -> Variants:
    """One parameter for each requirement."""
    stated = [key for key in reader.table(at) if key not in PROVENANCE]
    if not stated:
        raise reader.error("an empty table says nothing: give a figure for each requirement", at)
    return Variants({key: _variant(reader, (*at, key)) for key in stated})


def _variant(reader: Reader, at: Path) -> Constant | Tiers | Formula | Keyed:
    found = reader.get(at)
    return _keyed(reader, at) if isinstance(found, Mapping) else _plain(reader, at)


def _requirements(reader: Reader) -> set[str]:
    return set(reader.table(("requirement",))) - PROVENANCE


def _plain(reader: Reader, at: Path) -> Plain:
    """A number, a formula or tiers."""
    found = reader.get(at)
    if isinstance(found, str):
        return reader.formula(at)
    if isinstance(found, list):
        return _tiers(reader, at)
    return Constant(reader.number(at), provenance(reader, at), unit(reader, at))


def _keyed(reader: Reader, at: Path) -> Keyed:
    """A table looked up by each row's own key."""
    table = reader.table(at)
    if "by" not in table:
        raise reader.error('a table of figures says what it is looked up by: `by = "bucket"`', at)
    if "file" in table:
        raise reader.error("the file's table was not read in: load the rulebook from its own folder", at)
    by = reader.choice((*at, "by"), KEYS)
    stated = [key for key in table if key not in PROVENANCE | {"by", "default"}]
    default = _plain(reader, (*at, "default")) if "default" in table else None
    if default is None and not stated:
        raise reader.error("a keyed table without an entry refuses every row: add entries or `default`", at)
    return Keyed(by, {key: _plain(reader, (*at, key)) for key in stated}, default)


def _tiers(reader: Reader, at: Path) -> Tiers:
    """Pairs of bound and rate: ascending, the last bound infinite."""
    found = reader.get(at)
    if not found or not all(isinstance(pair, list) and len(pair) == _PAIR for pair in found):
        raise reader.error('tiers are pairs of bound and rate: [[50_000, 0.004], ["inf", 0.005]]', at)
    last = len(found) - 1
    bounds = [_bound(reader, (*at, str(number), "0"), last=number == last) for number in range(len(found))]
    for lower, upper in pairwise(bounds):
        if not lower < upper:
            advice = "sort the tiers, each bound once"
            raise reader.error(f"tiers overlap: bound {upper:g} follows {lower:g}; {advice}", at)
    rates = tuple(reader.number((*at, str(number), "1")) for number in range(len(found)))
    return Tiers(tuple(bounds), rates, provenance(reader, (*at, "0", "1")))


def _bound(reader: Reader, at: Path, *, last: bool) -> float:
    """One bound; infinite at the end and only there."""
    infinite = reader.get(at) in ("inf", math.inf)
    if last and not infinite:
        raise reader.error('the last tier must reach to infinity: write "inf" as its bound', at[:-2])
    if infinite and not last:
        raise reader.error('only the last tier reaches to "inf": the tiers after it would never hold', at[:-2])
    return math.inf if infinite else reader.number(at)


def slopes(reader: Reader, at: Path) -> dict[str, Slopes]:
    """Folds or close-outs by level."""
    found: dict[str, Slopes] = {}
    for level in reader.table(at):
        path = (*at, level)
        if level not in LEVELS:
            raise reader.error(f"unknown level{suggestion(level, LEVELS)}", path)
        reader.closed(path, ("gain", "loss", "gain_cap", "deductible"))
        found[level] = Slopes(
            optional(reader, (*path, "gain")) or Constant(1.0),
            optional(reader, (*path, "loss")) or Constant(1.0),
            optional(reader, (*path, "gain_cap")),
            optional(reader, (*path, "deductible")),
        )
    return found
