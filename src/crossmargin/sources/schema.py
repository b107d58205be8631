"""JSON Schemas of the interchange, generated from the types that read and write it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final, TypeAlias

import msgspec

from crossmargin.account import Account
from crossmargin.errors import Failure, FailureReason, InputError
from crossmargin.margin.report import MarginReport, RulebookId
from crossmargin.sources.interchange import SnapshotDocument
from crossmargin.units import SCHEMA_VERSION

_Json: TypeAlias = dict[str, Any]

_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_DECIMAL_PATTERN: Final = r"^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?$"
# A decimal is a string for exactness; a plain number is accepted too. The pattern shuts out "" and "NaN".
_DECIMAL: Final[_Json] = {
    "anyOf": [{"type": "string", "format": "decimal", "pattern": _DECIMAL_PATTERN}, {"type": "number"}]
}
_MOMENT: Final[_Json] = {"type": "string", "format": "date-time"}
_MOMENTS: Final = frozenset({"as_of", "being_liquidated_since", "expiry", "observed_at"})


class _AccountsDocument(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Accounts: what is held, exact decimals, no prices."""

    accounts: tuple[Account, ...]
    schema_version: str | None = None
    note: str | None = None


class _BookDocument(msgspec.Struct, kw_only=True):
    """Many accounts under one rulebook: the report of each, and what was refused."""

    schema_version: str
    engine_version: str
    rulebook: RulebookId
    as_of: datetime
    accounts: tuple[MarginReport, ...]
    failures: tuple[Failure, ...]


_DOCUMENTS: Final[Mapping[str, Any]] = {
    "accounts": _AccountsDocument,
    "snapshot": SnapshotDocument,
    "report": MarginReport,
    "book": _BookDocument,
}
SCHEMA_NAMES: Final = tuple(_DOCUMENTS)


def schema(name: str) -> _Json:
    """Return the JSON Schema (2020-12) of ``accounts``, ``snapshot``, ``report`` or ``book``.

    Its ``$id`` carries the version of the format. Raises :class:`InputError` for another name.
    """
    if name not in _DOCUMENTS:
        message = f"there is no schema {name!r}; the schemas are {', '.join(SCHEMA_NAMES)}"
        raise InputError(FailureReason.MALFORMED_INPUT, message)
    (top,), definitions = msgspec.json.schema_components([_DOCUMENTS[name]], ref_template="#/$defs/{name}")
    document = definitions.pop(top["$ref"].rpartition("/")[2])
    return {
        "$schema": _DIALECT,
        "$id": f"urn:crossmargin:{name}:{SCHEMA_VERSION}",
        "x-schema-version": SCHEMA_VERSION,
        **_refined(document),
        "title": name,
        "$defs": {key: _refined(definition) for key, definition in sorted(definitions.items())},
    }


def _refined(node: Any) -> Any:  # noqa: ANN401 (any JSON)
    """Return a schema with the rules that the types alone do not say."""
    if isinstance(node, list):
        return [_refined(item) for item in node]
    if not isinstance(node, dict):
        return node
    if node.get("format") == "decimal":
        return {**_DECIMAL, **{key: value for key, value in node.items() if key == "default"}}
    refined = {key: _refined(value) for key, value in node.items() if key != "description"}
    if "description" in node:
        refined["description"] = " ".join(node["description"].split("\n\n")[0].split())
    return _with_properties(refined)


def _with_properties(node: _Json) -> _Json:
    members = node.get("properties")
    if not isinstance(members, dict):
        return node
    rules: Mapping[str, Callable[[_Json], _Json]] = {
        **dict.fromkeys(_MOMENTS, _moment),
        # An account that needs no margin has an infinite ratio, which JSON writes as null.
        "coverage_ratio": _nullable,
    }
    return {**node, "properties": {key: rules.get(key, _same)(value) for key, value in members.items()}}


def _same(member: _Json) -> _Json:
    return member


def _moment(member: _Json) -> _Json:
    choices = member.get("anyOf")
    return {**member, "anyOf": [_MOMENT, {"type": "null"}]} if choices else {**member, **_MOMENT}


def _nullable(member: _Json) -> _Json:
    return member if "anyOf" in member else {"anyOf": [member, {"type": "null"}]}
