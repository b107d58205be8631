"""Documents as data: merged along `extends`, counted, hashed, and with single entries replaced."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from datetime import date, datetime, time
from typing import Any, Final

from crossmargin.margin.expression import ExpressionError, Number, evaluate, names, parse_expression, walk
from crossmargin.margin.locate import Path

__all__ = ["NOT_NUMBERS", "canonical", "constant_value", "digest", "entry", "finite", "leaves", "merged", "replaced"]

NOT_NUMBERS: Final = frozenset({"rulebook", "sources", "tags", "pools", "inputs", "known_defects"})
"""Sections that hold no parameter of the venue."""

_TEXTS: Final = frozenset({"note", "source", "sources", "unverified", "unit", "by", "of", "kind", "level"})


def merged(base: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    """The base with what the change states: tables merge, everything else is replaced.

    A line's `is` is replaced as a whole, and so is a table looked up by another key than before. A line that
    turns from a formula into a kind, or back, loses the other.
    """
    result = dict(base)
    for gone, stated in (("kind", "is"), ("is", "kind")):
        if stated in change and gone not in change:
            result.pop(gone, None)
    for key, new in change.items():
        old = result.get(key)
        if isinstance(old, Mapping) and isinstance(new, Mapping) and not _whole(key, old, new):
            result[key] = merged(old, new)
        else:
            result[key] = new
    return result


def _whole(key: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Whether a table is replaced, not merged."""
    return key == "is" or ("by" in new and new["by"] != old.get("by"))


def canonical(document: Mapping[str, Any]) -> str:
    """The document as JSON with sorted keys; 50e3 and 50_000 are the same number."""
    return json.dumps(_plain(document), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _plain(value: Any) -> Any:  # noqa: ANN401 - whatever TOML holds
    if isinstance(value, Mapping):
        return {str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    if isinstance(value, date | datetime | time):
        return value.isoformat()
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


def digest(document: Mapping[str, Any]) -> str:
    """SHA-256 of the canonical JSON, as 64 hexadecimal digits."""
    return hashlib.sha256(canonical(document).encode()).hexdigest()


def leaves(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:  # noqa: ANN401 - whatever TOML holds
    """Every entry that is neither a table nor a list, with its path; items of lists by number."""
    if isinstance(value, Mapping):
        for key, part in value.items():
            yield from leaves(part, (*path, str(key)))
    elif isinstance(value, list | tuple):
        for number, part in enumerate(value):
            yield from leaves(part, (*path, str(number)))
    else:
        yield path, value


def constant_value(path: Path, value: Any) -> float | None:  # noqa: ANN401 - whatever TOML holds
    """The number that an entry states, also as a text that names nothing (``"1 / 3"``); None for the rest."""
    if path[0] in NOT_NUMBERS or isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return finite(value)
    if not isinstance(value, str) or not any(mark.isdigit() for mark in value) or _TEXTS & set(path):
        return None
    try:
        tree = parse_expression(value)
    except ExpressionError:
        return None
    if names(tree) or not any(isinstance(part, Number) for part in walk(tree)):
        return None
    return float(evaluate(tree, lambda name: name))


def finite(value: float) -> float | None:
    """The number as float64, or None when it is not finite there."""
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def entry(document: Mapping[str, Any], path: Path) -> Any:  # noqa: ANN401 - whatever TOML holds
    """The entry at a path.

    Raises
    ------
    KeyError
        There is none.
    """
    found: Any = document
    for part in path:
        if isinstance(found, Mapping) and part in found:
            found = found[part]
        elif isinstance(found, list | tuple) and part.isdigit() and int(part) < len(found):
            found = found[int(part)]
        else:
            raise KeyError(part)
    return found


def replaced(value: Any, path: Path, new: Any) -> Any:  # noqa: ANN401 - whatever TOML holds
    """A copy with the entry at a path replaced; what is not on the way is shared."""
    if not path:
        return new
    head, rest = path[0], path[1:]
    if isinstance(value, Mapping):
        return {**value, head: replaced(value.get(head, {}), rest, new)}
    items = list(value)
    items[int(head)] = replaced(items[int(head)], rest, new)
    return items
