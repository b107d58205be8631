"""Published cases: reading a directory of them, and writing each as accounts, a snapshot and a rulebook."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from crossmargin.analysis.conformance import Case, Fields, families_of
from crossmargin.errors import FailureReason, InputError
from crossmargin.sources.interchange import encode_accounts, encode_snapshot
from crossmargin.sources.load import read_bytes
from crossmargin.sources.messages import as_text, refuse_syntax
from crossmargin.sources.rulebooks import load_rulebook


def load_cases(directory: str | Path) -> dict[str, Any]:
    """Return the decoded JSON documents of a directory by file name, in the order of names.

    Raises
    ------
    InputError
        MALFORMED_INPUT where the directory holds none, or with file, line and column where one is no JSON.
    """
    place = Path(directory)
    files = sorted(path for path in place.glob("*.json") if path.is_file())
    if not files:
        message = "expected a directory with case files (*.json); there is none in it"
        raise InputError(FailureReason.MALFORMED_INPUT, message, path=str(place))
    return {path.name: decode_case_file(read_bytes(path), path.name) for path in files}


def decode_case_file(content: bytes, name: str) -> Any:  # noqa: ANN401 - whatever JSON holds
    """Return one decoded document; what is no JSON is refused by file, line and column.

    NaN and infinity, which some writers put where a number is missing, are left to the case that holds them.
    """
    text = as_text(content, name)
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            refuse_syntax(error, text, name)


@dataclass(frozen=True, slots=True)
class InterchangeCase:
    """One published case in the interchange: what `assess` needs and nothing else. `posed` holds the figures."""

    accounts: bytes
    snapshot: bytes
    rulebook: Mapping[str, Any]
    posed: Case


def to_interchange(case: Case) -> InterchangeCase:
    """Return a case as the bytes of accounts.json and snapshot.json and the rulebook's document."""
    return InterchangeCase(
        encode_accounts([case.account]), encode_snapshot(case.snapshot), case.rulebook.document, case
    )


def interchange_cases(document: object) -> Iterator[InterchangeCase]:
    """Yield every case of a decoded document in the interchange; none where its format is not known.

    Raises
    ------
    InputError
        For a case of the wrong shape.
    """
    fields = Fields(document, "")
    for family in families_of(document):
        for index in family.indices(fields):
            yield to_interchange(family.pose(fields, index, load_rulebook))
