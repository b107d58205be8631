"""Finding rulebooks: shipped ones by name and date, or a file of one's own."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

from crossmargin.errors import FailureReason, RulebookError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from importlib.resources.abc import Traversable

    from crossmargin.margin.model import Rulebook

_FILE_NAME: Final = re.compile(r"(?P<name>[a-z0-9][a-z0-9-]*)@(?P<date>\d{4}-\d{2}-\d{2})\.toml")
_DEEPEST_EXTENDS: Final = 8  # a chain of amendments longer than this is a mistake or a loop


@dataclass(frozen=True, slots=True, order=True)
class ShippedRulebook:
    """One dated document that the package ships; `spec` is how to ask for exactly this one."""

    name: str
    effective_from: date

    @property
    def spec(self) -> str:
        """``NAME@DATE``."""
        return f"{self.name}@{self.effective_from}"


def list_rulebooks() -> tuple[ShippedRulebook, ...]:
    """Return the shipped rulebooks by name, then by date."""
    return tuple(sorted(_shipped()))


def _shipped() -> dict[ShippedRulebook, Traversable]:
    found = {}
    for entry in files("crossmargin.rulebooks").iterdir():
        match = _FILE_NAME.fullmatch(entry.name)
        if match:
            found[ShippedRulebook(match["name"], date.fromisoformat(match["date"]))] = entry
    return found


def load_rulebook(spec: str, as_of: date | None = None) -> Rulebook:
    """Return a rulebook.

    Parameters
    ----------
    spec
        ``NAME`` (the one in force on `as_of`), ``NAME@DATE`` (in force on that date), or ``FILE.toml``.
    as_of
        The day whose rules are wanted; None takes the latest. A date in `spec` or a file goes before it.

    Raises
    ------
    RulebookError
        UNKNOWN_RULEBOOK with near misses, NOT_EFFECTIVE with the first date, INVALID_RULEBOOK by the parser.
    """
    return _load(spec, as_of, ())


def _load(spec: str, as_of: date | None, asked_by: tuple[str, ...]) -> Rulebook:
    from crossmargin.margin.locate import locate
    from crossmargin.margin.parser import parse_rulebook
    from crossmargin.sources.keyed_tables import inlined
    from crossmargin.sources.kinds import InstalledKinds

    if spec in asked_by or len(asked_by) > _DEEPEST_EXTENDS:
        raise RulebookError(f"`extends` runs in a circle: {' -> '.join((*asked_by, spec))}", path=asked_by[0])
    text, path, folder = _read(spec, as_of)
    lines = locate(text) if "file" in text else {}

    def inline(document: Mapping[str, Any]) -> dict[str, Any]:
        return inlined(document, folder or files("crossmargin.rulebooks"), path, lines)

    bases = _bases((*asked_by, spec), path, folder)
    return parse_rulebook(text, path, bases, extra_kinds=InstalledKinds(), inline=inline)


def _bases(asked_by: tuple[str, ...], path: str, folder: Path | None) -> Callable[[str], Mapping[str, Any]]:
    """Return the reader of `extends`: files beside the extending file first, then the shipped ones."""

    def read(base: str) -> Mapping[str, Any]:
        beside = folder / f"{base.removesuffix('.toml')}.toml" if folder else None
        spec = str(beside) if beside and beside.is_file() else base
        found = _load(spec, None, asked_by)
        dated = f"{found.name}@{found.effective_from}"
        if dated != base:
            # The latest one before a date may change as dates are added; what stands on a base must not.
            raise RulebookError(f"`extends` must name one document, found {base!r}; write {dated!r}", path=path)
        return found.document

    return read


def _read(spec: str, as_of: date | None) -> tuple[str, str, Path | None]:
    if spec.endswith(".toml"):
        return _read_file(Path(spec))
    name, separator, day = spec.partition("@")
    wanted = _parse_date(spec, day) if separator else as_of
    chosen = _choose(name, wanted)
    return _shipped()[chosen].read_text(encoding="utf-8"), f"{chosen.spec}.toml", None


def _read_file(path: Path) -> tuple[str, str, Path]:
    try:
        return path.read_text(encoding="utf-8"), str(path), path.parent
    except UnicodeDecodeError as error:
        raise RulebookError("expected UTF-8 text; save the file as UTF-8", path=str(path)) from error
    except OSError as error:
        raise RulebookError(
            f"this file cannot be read ({error.strerror}); check the path",
            path=str(path),
            reason=FailureReason.UNKNOWN_RULEBOOK,
        ) from error


def _parse_date(spec: str, day: str) -> date:
    try:
        return date.fromisoformat(day)
    except ValueError as error:
        raise RulebookError(
            f"expected NAME@YYYY-MM-DD, found {spec!r}", reason=FailureReason.UNKNOWN_RULEBOOK
        ) from error


def _choose(name: str, wanted: date | None) -> ShippedRulebook:
    dated = [book for book in list_rulebooks() if book.name == name]
    if not dated:
        _refuse_unknown(name)
    in_force = [book for book in dated if wanted is None or book.effective_from <= wanted]
    if not in_force:
        message = f"{name} begins on {dated[0].effective_from}, after {wanted}; ask for {dated[0].spec}"
        raise RulebookError(message, reason=FailureReason.NOT_EFFECTIVE)
    return in_force[-1]


def _refuse_unknown(name: str) -> NoReturn:
    names = sorted({book.name for book in list_rulebooks()})
    near = get_close_matches(name, names, n=3, cutoff=0.5)
    guess = f"did you mean {' or '.join(near)}? " if near else ""
    message = f"there is no rulebook {name!r}; {guess}The shipped ones are {', '.join(names) or 'none'}; "
    raise RulebookError(f"{message}for your own, give a FILE.toml", reason=FailureReason.UNKNOWN_RULEBOOK)
