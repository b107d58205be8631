"""Keyed tables that stand in a CSV file beside the rulebook: read in before the rulebook is parsed.

``brackets = { by = "instrument", file = "brackets@2026-01-20.csv" }`` names a file with the header ``key,value`` (a
number for each key) or ``key,upto,rate`` (tiers for each key, the last bound ``inf``). Entries that the table states
itself stand beside those of the file; a key in both is an error.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, NoReturn

from crossmargin.errors import RulebookError
from crossmargin.margin.locate import dotted, line_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from importlib.resources.abc import Traversable
    from pathlib import Path

    from crossmargin.margin.locate import Path as Entry

_NUMBERS: Final = ("key", "value")
_TIERS: Final = ("key", "upto", "rate")
_PLAIN_NAME: Final = re.compile(r"\w[\w.@-]*\.csv")
_LONGEST_FILE: Final = 16_000_000  # characters; a table of every symbol of every venue is far below


def inlined(
    document: Mapping[str, Any], folder: Path | Traversable, path: str, lines: Mapping[Entry, int]
) -> dict[str, Any]:
    """Return the document with the files of its keyed tables read in.

    Parameters
    ----------
    folder
        Where the rulebook lies; files are looked for only there.
    path, lines
        The rulebook's file and the lines of its keys, for errors.

    Raises
    ------
    RulebookError
        With the file and line of what cannot be used.
    """
    return {key: _inlined(part, (key,), _Beside(folder, path, lines)) for key, part in document.items()}


def _inlined(value: Any, at: Entry, beside: _Beside) -> Any:  # noqa: ANN401 - whatever TOML holds
    if isinstance(value, list):
        return [_inlined(part, (*at, str(number)), beside) for number, part in enumerate(value)]
    if not isinstance(value, Mapping):
        return value
    if not ("by" in value and "file" in value):
        return {key: _inlined(part, (*at, key), beside) for key, part in value.items()}
    entries = beside.entries(value["file"], at)
    rest = {key: part for key, part in value.items() if key != "file"}
    for key in rest:
        if key in entries:
            beside.refuse(f"`{key}` stands in the table and in {value['file']}: keep one", at)
    return {**rest, **entries}


class _Beside:
    """Reads the files beside one rulebook."""

    def __init__(self, folder: Path | Traversable, path: str, lines: Mapping[Entry, int]) -> None:
        self.folder = folder
        self.path = path
        self.lines = lines

    def refuse(self, message: str, at: Entry) -> NoReturn:
        """Raise an error at an entry of the rulebook."""
        raise RulebookError(f"{dotted(at)}: {message}", path=self.path, line=line_of(self.lines, at))

    def entries(self, name: object, at: Entry) -> dict[str, Any]:
        """Return the entries of the file that the table at `at` names."""
        if not isinstance(name, str) or not _PLAIN_NAME.fullmatch(name):
            self.refuse('`file` is the plain name of a CSV file beside the rulebook, as in "brackets.csv"', at)
        file = self.folder / name
        try:
            text = file.read_text(encoding="utf-8-sig")
        except UnicodeDecodeError:
            self.refuse(f"{name} is not UTF-8 text; save it as UTF-8", at)
        except OSError as error:
            self.refuse(f"{name} cannot be read ({error.strerror}); put it beside the rulebook", at)
        if len(text) > _LONGEST_FILE:
            self.refuse(f"{name} is longer than {_LONGEST_FILE:,} characters; is it the right file?", at)
        return _table(text, str(file))


def _table(text: str, path: str) -> dict[str, Any]:
    """Return the entries of a file."""
    rows = csv.reader(text.splitlines(), strict=True)
    try:
        header = tuple(cell.strip() for cell in next(rows, []))
        if header not in {_NUMBERS, _TIERS}:
            found = ",".join(header) or "nothing"
            _refuse(path, 1, f"the first line is `key,value` or `key,upto,rate`, found {found!r}")
        numbered = ((rows.line_num, [cell.strip() for cell in row]) for row in rows if row)
        entries = _numbers(numbered, path) if header == _NUMBERS else _tiers(numbered, path)
    except csv.Error as error:
        _refuse(path, rows.line_num, f"not CSV: {error}; correct the quotes there")
    if not entries:
        _refuse(path, 1, "the table has no entry; add rows")
    return entries


def _numbers(rows: Iterable[tuple[int, list[str]]], path: str) -> dict[str, Any]:
    entries: dict[str, Any] = {}
    for line, row in rows:
        key, value = _cells(row, _NUMBERS, path, line)
        if key in entries:
            _refuse(path, line, f"key {key!r} stands twice; delete one")
        entries[key] = _number(value, path, line)
    return entries


def _tiers(rows: Iterable[tuple[int, list[str]]], path: str) -> dict[str, Any]:
    """Return tiers by key; that they rise and end at infinity is for the parser to check."""
    entries: dict[str, Any] = {}
    last = ""
    for line, row in rows:
        key, upto, rate = _cells(row, _TIERS, path, line)
        if key != last and key in entries:
            _refuse(path, line, f"the tiers of key {key!r} lie apart; put its lines together")
        last = key
        bound = "inf" if upto.lower() == "inf" else _number(upto, path, line)
        entries.setdefault(key, []).append([bound, _number(rate, path, line)])
    return entries


def _cells(row: list[str], header: tuple[str, ...], path: str, line: int) -> list[str]:
    if len(row) != len(header) or not row[0]:
        _refuse(path, line, f"expected {','.join(header)}, found {','.join(row)!r}")
    if row[0] in {"by", "file", "source", "sources", "unverified", "unit", "note"}:
        _refuse(path, line, f"{row[0]!r} cannot be a key: it says something about the table")
    return row


def _number(text: str, path: str, line: int) -> float:
    try:
        number = float(text)
    except ValueError:
        _refuse(path, line, f"a number is needed, found {text!r}")
    if not -float("inf") < number < float("inf"):
        _refuse(path, line, f"a finite number is needed, found {text!r}")
    return number


def _refuse(path: str, line: int, message: str) -> NoReturn:
    raise RulebookError(message, path=path, line=line)
