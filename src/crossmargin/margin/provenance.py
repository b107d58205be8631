"""Which source covers a number, and in which unit it is: said by table, once, beside the numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from crossmargin.margin.locate import Path
from crossmargin.margin.merge import constant_value, leaves
from crossmargin.margin.model import Provenance
from crossmargin.margin.reading import Reader, is_line, suggestion

__all__ = ["check_provenance", "check_remarks", "numbers_of", "provenance", "unit"]

# An exception beside a table names what stands in the table, or one step below it in these.
_TRANSPARENT = ("where", "vol")


def provenance(reader: Reader, at: Path) -> Provenance | None:
    """What covers the number at a path: the nearest source around it, and whether it is unverified.

    None when neither a source nor `unverified` covers it.
    """
    source: str | None = None
    unverified = False
    for table, inside in _around(reader, at):
        unverified = unverified or bool(inside & _listed(table))
        if source is None:
            named = next((table["sources"][key] for key in inside if key in table.get("sources", {})), None)
            source = named if named is not None else table.get("source")
    if source is None and not unverified:
        return None
    return Provenance(source or "", unverified)


def unit(reader: Reader, at: Path) -> str | None:
    """The unit that the nearest `unit` table around a path gives the number there."""
    for table, inside in _around(reader, at):
        for key in inside:
            units = table.get("unit")
            if isinstance(units, Mapping) and not is_line(units) and key in units:
                return str(units[key])
    return None


def _around(reader: Reader, at: Path) -> Iterator[tuple[Mapping[str, Any], frozenset[str]]]:
    """Tables around a path, the nearest first, each with the names by which it may call what is there."""
    for count in range(len(at) - 1, -1, -1):
        table = reader.get(at[:count]) if count else reader.document
        if isinstance(table, Mapping):
            below = at[count:]
            skips = len(below) > 1 and below[0] in _TRANSPARENT
            yield table, frozenset(below[:2] if skips else below[:1])


def _listed(table: Mapping[str, Any]) -> frozenset[str]:
    found = table.get("unverified", ())
    return frozenset([found] if isinstance(found, str) else found)


def numbers_of(document: Mapping[str, Any]) -> dict[Path, float]:
    """Every number of the document that is the venue's, by path."""
    found = ((path, constant_value(path, value)) for path, value in leaves(document))
    return {path: value for path, value in found if value is not None}


def check_provenance(reader: Reader) -> None:
    """Refuse a number that no source covers.

    Raises
    ------
    RulebookError
        With the line of the number.
    """
    for path in numbers_of(reader.document):
        if path[0] in {"requirement", "equity", "valuation"}:
            continue  # these hold formulas only
        if provenance(reader, path) is None:
            advice = 'put `source = "..."` in a table around it, or name it in `unverified = [...]`'
            raise reader.error(f"no source covers this number; {advice}", path)


def check_remarks(reader: Reader) -> None:
    """Refuse remarks that cite no known source, or name what does not stand beside them.

    Raises
    ------
    RulebookError
        With the line of the remark.
    """
    _check_remarks(reader, (), reader.document)


def _check_remarks(reader: Reader, at: Path, value: object) -> None:
    """Walk the tables."""
    if isinstance(value, list):
        for number, item in enumerate(value):
            _check_remarks(reader, (*at, str(number)), item)
    if not isinstance(value, Mapping) or at[:1] in {("sources",), ("known_defects",)}:
        return
    here = set(value).union(*(value[key] for key in _TRANSPARENT if isinstance(value.get(key), Mapping)))
    if value.get("source") is not None:
        reader.text((*at, "source"))
    _check_named(reader, at, value, here)
    for key in _cited(value):
        if key not in reader.table(("sources",)):
            known = reader.table(("sources",))
            raise reader.error(f"unknown source {key!r}{suggestion(key, known)}; add it to [sources]", at)
    for key, part in value.items():
        if key not in {"sources", "unit"} or is_line(part) or not at:
            _check_remarks(reader, (*at, key), part)


def _check_named(reader: Reader, at: Path, table: Mapping[str, Any], here: set[str]) -> None:
    """What `unverified`, `stepwise`, `sources` and `unit` name must stand in the table."""
    for remark in ("unverified", "stepwise", "sources", "unit"):
        if remark not in table or (remark == "sources" and not at) or is_line(table[remark]):
            continue
        named = reader.words((*at, remark)) if remark in {"unverified", "stepwise"} else reader.get((*at, remark))
        if isinstance(named, str):
            continue  # the unit of an input
        if not isinstance(named, tuple | Mapping):
            raise reader.error('a table is needed here, as in { name = "..." }', (*at, remark))
        for key in named:
            if key not in here:
                message = f"names `{key}`, which does not stand beside it{suggestion(key, here)}"
                raise reader.error(message, (*at, remark))


def _cited(table: Mapping[str, Any]) -> list[str]:
    """Sources that a table cites."""
    cited = [table["source"]] if isinstance(table.get("source"), str) else []
    sources = table.get("sources")
    if isinstance(sources, Mapping):
        cited.extend(str(key) for key in sources.values() if not isinstance(key, Mapping))
    return cited
