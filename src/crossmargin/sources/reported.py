"""Reading what a venue reported: which reader a file asks for, and several answers put together."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Final

from crossmargin.errors import FailureReason, InputError
from crossmargin.sources.load import read_bytes
from crossmargin.sources.messages import as_text, refuse, refuse_syntax
from crossmargin.sources.reported_ccxt import VENUES, is_ccxt, reported_from_ccxt
from crossmargin.sources.reported_fields import Reported

AUTO: Final = "auto"
CCXT: Final = "ccxt"
REPORTED_SOURCES: Final = (AUTO, CCXT, *sorted(VENUES))
_JOINED: Final = ("lines", "scenarios", "notes")
_MERGED: Final = ("pools", "balances")


def load_reported(paths: Iterable[str | Path], source: str = AUTO, *, instruments: Collection[str] = ()) -> Reported:
    """Return the `reported` block of an account from files of what its venue answered.

    Parameters
    ----------
    paths
        One file for each answer; the first that states a figure is right about it.
    source
        Whose answers they are; `auto` recognises each by what it holds.
    instruments
        Names of the account's positions, for files that name one position in several ways.

    Raises
    ------
    InputError
        For a file that cannot be read or is not known, and for a value of a wrong type, with its file and key.
    """
    files = [Path(path) for path in paths]
    return joined(decode_reported(read_bytes(path), path.name, source, instruments=instruments) for path in files)


def decode_reported(content: bytes, name: str, source: str = AUTO, *, instruments: Collection[str] = ()) -> Reported:
    """Return the `reported` block of one answer."""
    document_text = as_text(content, name)
    try:
        document = json.loads(document_text)
    except (ValueError, RecursionError) as error:
        refuse_syntax(error, document_text, name)
    return read_reported(document, name, source, instruments=instruments)


def read_reported(document: object, name: str, source: str = AUTO, *, instruments: Collection[str] = ()) -> Reported:
    """Return the `reported` block of one decoded answer."""
    chosen = _recognised(document, name) if source == AUTO else source
    if chosen == CCXT:
        return reported_from_ccxt(document, name, instruments)
    if chosen not in VENUES:
        message = f"no reader {chosen!r} of what venues report; there are {', '.join(REPORTED_SOURCES)}"
        raise InputError(FailureReason.MALFORMED_INPUT, message, path=name)
    recognises, read = VENUES[chosen]
    if not recognises(document):
        refuse(f"this is no answer of {chosen} that is known here", name)
    return read(document, name)


def _recognised(document: object, name: str) -> str:
    found = next((venue for venue, (recognises, _) in VENUES.items() if recognises(document)), None)
    if found is None and is_ccxt(document):
        return CCXT
    known = ", ".join(REPORTED_SOURCES[1:])
    return found or refuse(f"this is no answer that is known here (of {known}); --reported-from says whose it is", name)


def joined(blocks: Iterable[Reported]) -> Reported:
    """Return several blocks as one: lists after each other, of everything else what is stated first."""
    whole: Reported = {}
    for block in blocks:
        for key, value in block.items():
            if key in _JOINED:
                whole[key] = [*whole.get(key, []), *(one for one in value if one not in whole.get(key, []))]
            elif key == "positions":
                whole[key] = _positions([*whole.get(key, []), *value])
            elif key in _MERGED and isinstance(value, Mapping):
                whole[key] = {**value, **whole.get(key, {})}
            elif key == "source" and key in whole and whole[key] != value:
                whole[key] = f"{whole[key]}, {value}"
            else:
                whole.setdefault(key, value)
    return whole


def _positions(rows: Iterable[Reported]) -> list[Reported]:
    """Return one row for each instrument and side, of each figure what is stated first."""
    found: dict[tuple[object, object], Reported] = {}
    for row in rows:
        key = (row.get("instrument"), row.get("side"))
        found[key] = {**row, **found.get(key, {})}
    return list(found.values())
