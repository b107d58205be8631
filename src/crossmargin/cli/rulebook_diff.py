"""What stands differently in two rulebook documents, entry by entry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


@dataclass(frozen=True, slots=True)
class Difference:
    """One entry; None where the document does not have it."""

    place: str
    before: str | None
    after: str | None


def differences(first: Mapping[str, Any], second: Mapping[str, Any]) -> tuple[Difference, ...]:
    """Return what the second document says otherwise, in its own order, then what it dropped."""
    before, after = dict(_entries(first)), dict(_entries(second))
    places = [*after, *(place for place in before if place not in after)]
    rows = (Difference(place, before.get(place), after.get(place)) for place in places)
    return tuple(row for row in rows if row.before != row.after)


def _entries(node: Any, place: str = "") -> Iterator[tuple[str, str]]:  # noqa: ANN401  # a TOML value
    """Yield each entry of a document with its place; a list of plain values is one entry."""
    if hasattr(node, "items"):
        for key, value in node.items():
            yield from _entries(value, f"{place}.{key}" if place else str(key))
    elif isinstance(node, list | tuple) and any(hasattr(item, "items") for item in node):
        for i, item in enumerate(node):
            yield from _entries(item, f"{place}[{i}]")
    else:
        yield place, _words(node)


def _words(value: Any) -> str:  # noqa: ANN401  # a TOML value
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_words(item) for item in value) + "]"
    return str(value)
