"""A document while it is read: entries by path, and errors that carry file, line and what to do."""

from __future__ import annotations

import difflib
import keyword
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from crossmargin.errors import RulebookError
from crossmargin.margin.expression import ExpressionError, parse_expression
from crossmargin.margin.locate import Path, dotted, line_of
from crossmargin.margin.merge import entry, finite
from crossmargin.margin.model import Formula
from crossmargin.margin.vocabulary import FUNCTIONS

__all__ = ["PROVENANCE", "Reader", "is_line", "suggestion"]

PROVENANCE = frozenset({"source", "sources", "unverified", "unit", "note", "stepwise"})
"""Keys that say something about the numbers beside them, in any table."""


def is_line(value: object) -> bool:
    """Whether an entry of [values] or [charges] is a line, even if it is called `unit`."""
    return isinstance(value, Mapping) and not {"is", "kind"}.isdisjoint(value)


def suggestion(word: str, known: Iterable[str]) -> str:
    """``; did you mean ...`` with the nearest known word, or nothing."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"; did you mean `{close[0]}`?" if close else ""


@dataclass(frozen=True, slots=True)
class Reader:
    """The merged document, its file, and the lines of the keys that the file itself states."""

    document: Mapping[str, Any]
    path: str | None
    lines: Mapping[Path, int] = field(default_factory=dict)

    def error(self, message: str, at: Path = ()) -> RulebookError:
        """The error at a path, with its line."""
        place = f"{dotted(at)}: " if at else ""
        return RulebookError(place + message, path=self.path, line=line_of(self.lines, at))

    def get(self, at: Path) -> Any:  # noqa: ANN401 - whatever TOML holds
        """The entry at a path, or None."""
        try:
            return entry(self.document, at)
        except KeyError:
            return None

    def table(self, at: Path, *, required: bool = False) -> Mapping[str, Any]:
        """The table at a path; empty when absent and not required."""
        found = self.get(at)
        if found is None and not required:
            return {}
        if not isinstance(found, Mapping):
            raise self.error(f"a table is needed here, not {_shown(found)}", at)
        return found

    def tables(self, at: Path) -> list[Path]:
        """Paths of the tables of a list of tables."""
        found = self.get(at)
        if found is None:
            return []
        if not isinstance(found, list) or not all(isinstance(item, Mapping) for item in found):
            raise self.error(f"a list of tables is needed here, not {_shown(found)}", at)
        return [(*at, str(number)) for number in range(len(found))]

    def text(self, at: Path, default: str | None = None) -> str:
        """The text at a path; required when there is no default."""
        found = self.get(at)
        if found is None and default is not None:
            return default
        if not isinstance(found, str) or not found:
            raise self.error(f"a text is needed here, not {_shown(found)}", at)
        return found

    def choice(self, at: Path, options: Iterable[str], default: str | None = None) -> str:
        """One of a closed list of words."""
        found, known = self.text(at, default), list(options)
        if found not in known:
            listed = ", ".join(known)
            raise self.error(f"unknown word {found!r}{suggestion(found, known)}; there are {listed}", at)
        return found

    def flag(self, at: Path) -> bool:
        """True or false; false when absent."""
        found = self.get(at)
        if found is not None and not isinstance(found, bool):
            raise self.error(f"true or false is needed here, not {_shown(found)}", at)
        return bool(found)

    def words(self, at: Path) -> tuple[str, ...]:
        """A list of texts; one text is a list of one; empty when absent."""
        found = self.get(at)
        listed = [found] if isinstance(found, str) else ([] if found is None else found)
        if not isinstance(listed, list) or not all(isinstance(word, str) and word for word in listed):
            raise self.error(f"a text or a list of texts is needed here, not {_shown(found)}", at)
        return tuple(listed)

    def number(self, at: Path, default: float | None = None) -> float:
        """A finite number; required when there is no default."""
        found = self.get(at)
        if found is None and default is not None:
            return default
        number = finite(found) if isinstance(found, int | float) and not isinstance(found, bool) else None
        if number is None:
            raise self.error(f"a finite number is needed here, not {_shown(found)}", at)
        return number

    def closed(self, at: Path, known: Iterable[str]) -> None:
        """Refuse keys that a table of fixed keys does not have."""
        allowed = {*known, *PROVENANCE}
        for key in self.table(at):
            if key not in allowed:
                listed = ", ".join(sorted(allowed - PROVENANCE))
                raise self.error(f"unknown key{suggestion(key, allowed)}; there are {listed}", (*at, key))

    def identifier(self, at: Path) -> str:
        """The last part of a path as a name that formulas can read."""
        name = at[-1]
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name) or keyword.iskeyword(name) or name in FUNCTIONS:
            raise self.error("no name for a formula: use letters, digits and _, and no function's name", at)
        return name

    def formula(self, at: Path, *, comparison: bool = False) -> Formula:
        """The text at a path as a formula."""
        text = self.text(at)
        try:
            return Formula(text, parse_expression(text, comparison=comparison))
        except ExpressionError as error:
            raise self.error(f"{text!r}: {error}", at) from None


def _shown(value: object) -> str:
    """A value in an error: short, and absent values as words."""
    return "nothing" if value is None else repr(value)[:60]
