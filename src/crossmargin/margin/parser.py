"""A rulebook from its text: read, merged along `extends`, checked. Pure: it opens no file."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, Literal, TypeAlias, cast

from crossmargin.errors import RulebookError
from crossmargin.margin import sections
from crossmargin.margin.checks import check
from crossmargin.margin.lines import Kinds, read_lines
from crossmargin.margin.locate import dotted, locate, undotted
from crossmargin.margin.merge import digest, entry, merged, replaced
from crossmargin.margin.model import Rulebook
from crossmargin.margin.parameters import parameters
from crossmargin.margin.procedure_sections import read_procedure
from crossmargin.margin.provenance import check_provenance, check_remarks, numbers_of
from crossmargin.margin.reading import Reader, suggestion

__all__ = ["Bases", "Inline", "merge_document", "numbers", "parse_document", "parse_rulebook", "with_values"]

PoolBy: TypeAlias = Literal["account", "settlement_asset", "position", "group"]
Opposite: TypeAlias = Literal["net", "gross", "larger"]
Bases: TypeAlias = Callable[[str], Mapping[str, Any]]
"""The merged document of ``name@date``."""

Inline: TypeAlias = Callable[[Mapping[str, Any]], dict[str, Any]]
"""What puts the tables that a stated document keeps in files of their own in their places."""

_NO_KINDS: Final[Kinds] = MappingProxyType({})
_POOLS: Final = ("account", "settlement_asset", "position", "group")
_OPPOSITE: Final = ("net", "gross", "larger")


def parse_rulebook(
    text: str,
    path: str | None = None,
    bases: Bases | None = None,
    *,
    inline: Inline | None = None,
    extra_kinds: Kinds = _NO_KINDS,
) -> Rulebook:
    """The rulebook that a TOML text states.

    Parameters
    ----------
    path
        The file's name, for errors.
    bases
        What gives the merged document of the rulebook that this one extends.
    inline
        What reads in the files that keyed tables name; without it such a table is refused.
    extra_kinds
        Kinds from outside, by name.

    Raises
    ------
    RulebookError
        With file, line and what to do.
    """
    stated = _toml(text, path)
    if inline is not None:
        stated = inline(stated)
    reader = Reader(stated, path, locate(text))
    document = merge_document(reader, bases)
    return _read(Reader(document, path, reader.lines), extra_kinds)


def parse_document(document: Mapping[str, Any], path: str | None = None, *, extra_kinds: Kinds = _NO_KINDS) -> Rulebook:
    """The rulebook of a merged document; errors name the entry, as there is no line.

    Raises
    ------
    RulebookError
        As :func:`parse_rulebook`.
    """
    return _read(Reader(document, path), extra_kinds)


def numbers(rulebook: Rulebook) -> dict[str, float]:
    """Every number of the venue in the merged document by dotted path, ready for :func:`with_values`."""
    return {dotted(path): value for path, value in numbers_of(rulebook.document).items()}


def with_values(
    rulebook: Rulebook,
    values: Mapping[str, Any],
    source: str = "changed values",
    *,
    extra_kinds: Kinds = _NO_KINDS,
) -> Rulebook:
    """The rulebook with entries of its document replaced, read and checked anew.

    Parameters
    ----------
    values
        New entries by dotted path, as :func:`numbers` names them.
    source
        What stands in place of the file in errors.

    Raises
    ------
    RulebookError
        A path that the document does not have, or values that make no rulebook.
    """
    document: Any = rulebook.document
    for key, value in values.items():
        path = undotted(key)
        try:
            entry(document, path)
        except KeyError:
            near = suggestion(key, numbers(rulebook))
            raise RulebookError(f"no entry {key!r} in {rulebook.name}{near}", path=source) from None
        document = replaced(document, path, value)
    return parse_document(document, source, extra_kinds=extra_kinds or rulebook.kinds)


def _toml(text: str, path: str | None) -> dict[str, Any]:
    """The text as tables."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = re.search(r"line (\d+)", str(error))
        line = int(found[1]) if found else text.count("\n") + 1
        raise RulebookError(f"not TOML: {error}; correct the text there", path=path, line=line) from None
    except (ValueError, RecursionError) as error:
        raise RulebookError(f"not TOML that can be read: {error}; simplify it", path=path) from None


def merge_document(reader: Reader, bases: Bases | None) -> dict[str, Any]:
    """The stated document on top of the one that it extends.

    Raises
    ------
    RulebookError
        The extended rulebook is not at hand.
    """
    stated = dict(reader.document)
    head = dict(reader.table(("rulebook",), required=True))
    base = head.pop("extends", None)
    stated["rulebook"] = head
    if base is None:
        return stated
    at = ("rulebook", "extends")
    name = reader.text(at)
    if bases is None or "@" not in name:
        raise reader.error(f'{name!r} cannot be found: name a rulebook and a date, "name@2024-04-01"', at)
    try:
        extended = bases(name)
    except RulebookError as error:
        raise reader.error(f"{name!r}: {error}", at) from error
    return merged(extended, stated)


def _read(reader: Reader, extra: Kinds) -> Rulebook:
    """The rulebook of a merged document, checked."""
    reader.closed((), (*sections.SECTIONS, "source", "sources", "unverified"))
    reader.closed(("rulebook",), ("name", "effective_from", "title", "reporting", "scope", "contracts", "extends"))
    check_remarks(reader)
    rulebook = _build(reader, extra)
    check_provenance(reader)
    check(reader, rulebook)
    return rulebook


def _build(reader: Reader, extra: Kinds) -> Rulebook:
    """The rulebook of a merged document, section by section."""
    name = reader.text(("rulebook", "name"))
    reader.closed(("pools",), ("by", "opposite_positions"))
    pools = reader.choice(("pools", "by"), _POOLS, "account")
    opposite = reader.choice(("pools", "opposite_positions"), _OPPOSITE, "net")
    return Rulebook(
        name=name,
        effective_from=sections.effective_from(reader),
        title=reader.text(("rulebook", "title"), name),
        reporting=reader.text(("rulebook", "reporting")),
        scope=sections.scope(reader),
        contracts=sections.contracts(reader),
        sources=sections.sources(reader),
        parameters=parameters(reader, ("parameters",)),
        valuation=sections.valuation(reader),
        discount=reader.flag(("valuation", "discount")),
        shocks=sections.shocks(reader),
        scenarios=sections.scenarios(reader),
        values=read_lines(reader, "values", extra),
        charges=read_lines(reader, "charges", extra),
        adjusted=sections.adjusted(reader),
        requirements=sections.requirements(reader),
        pool_by=cast("PoolBy", pools),
        opposite_positions=cast("Opposite", opposite),
        tags=sections.tags(reader),
        inputs=sections.inputs(reader),
        procedure=read_procedure(reader, name),
        known_defects=sections.known_defects(reader),
        document=reader.document,
        digest=digest(reader.document),
        path=reader.path,
        kinds=extra,
    )
