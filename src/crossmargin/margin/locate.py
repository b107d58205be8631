"""Where a key stands in a TOML text: the line of a dotted path.

The text has been read by `tomllib` before, so that the scanner only has to find keys, never to judge.
A key inside an inline table or an array stands at the line of the key that holds it.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Path", "dotted", "line_of", "locate", "undotted"]

Path: TypeAlias = tuple[str, ...]

_PART: Final = r"""(?:"(?:[^"\\]|\\.)*"|'[^']*'|[\w-]+)"""
_DOTTED: Final = rf"{_PART}(?:[ \t]*\.[ \t]*{_PART})*"
_HEADER: Final = re.compile(rf"\[(\[?)[ \t]*({_DOTTED})[ \t]*\]")
_KEY: Final = re.compile(rf"({_DOTTED})[ \t]*=")
# What a value is made of, as far as its end matters; strings first, so that their brackets do not count.
_PIECE: Final = re.compile(
    r"""
    \"{3}(?:[^\\]|\\.)*?\"{3} | '{3}.*?'{3} | "(?:[^"\\\n]|\\.)*" | '[^'\n]*'
    | \#[^\n]* | \n | .
    """,
    re.DOTALL | re.VERBOSE,
)


def dotted(path: Path) -> str:
    """The path as one text: ``charges.scan.where.add_long``; parts that hold a dot or nothing are quoted."""
    return ".".join(part if re.fullmatch(r"[^.\"]+", part) else f'"{part}"' for part in path)


def undotted(text: str) -> Path:
    """The path that `dotted` wrote."""
    return tuple(part.strip('"') for part in re.findall(r'"[^"]*"|[^.]+', text))


def _parts(text: str) -> Path:
    """The parts of a TOML key; quoted parts without their quotes."""
    return tuple(part[1:-1] if part[0] in "\"'" else part for part in re.findall(_PART, text))


def locate(text: str) -> dict[Path, int]:
    """Line of every key and table header, counted from 1, by path; items of arrays of tables by number."""
    lines: dict[Path, int] = {}
    table: Path = ()
    arrays: Counter[Path] = Counter()
    position = counted = 0
    line = 1
    while position < len(text):
        line += text.count("\n", counted, position)
        counted = position
        if header := _HEADER.match(text, position):
            table = _parts(header[2])
            if header[1]:
                lines.setdefault(table, line)
                arrays[table] += 1
                table = (*table, str(arrays[table] - 1))
            _record(lines, (), table, line)
            position = header.end()
        elif key := _KEY.match(text, position):
            _record(lines, table, _parts(key[1]), line)
            position = _value_end(text, key.end())
        elif text[position] == "#":
            position = _value_end(text, position)
        else:
            position += 1
    return lines


def _record(lines: dict[Path, int], table: Path, parts: Path, line: int) -> None:
    """Note a key and the tables that its dots open."""
    for count in range(1, len(parts) + 1):
        lines.setdefault((*table, *parts[:count]), line)


def _value_end(text: str, position: int) -> int:
    """Where the value that starts at a position ends: at the line's end, outside all brackets."""
    depth = 0
    for piece in _PIECE.finditer(text, position):
        part = piece[0]
        depth += (part in "[{") - (part in "]}")
        if part == "\n" and depth <= 0:
            return piece.end()
    return len(text)


def line_of(lines: Mapping[Path, int], path: Path) -> int | None:
    """Line of a path, or of the nearest table around it that the text states; None when it states none."""
    for count in range(len(path), 0, -1):
        if path[:count] in lines:
            return lines[path[:count]]
    return None
