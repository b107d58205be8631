"""What the journals in SQL share: how sources are kept, and what is refused, in the same words whatever keeps them.

A batch of one source names it in its own row, so that its commit writes one row and no more; several write the table
`sources` in their transaction. The table hears of the sources that the rows name when a journal is opened and closed,
and now and then between: up to record `journal.sources_at`. What has lost its end since still knows whom it had heard.
"""

from __future__ import annotations

from typing import Final, TypeVar

import msgspec

from crossmargin.clearing.records import RECOVER
from crossmargin.errors import FailureReason, InputError

T = TypeVar("T")

HEARD: Final = """
select source, max(sequence) from (
    select source, sequence from sources union all select source, sequence from batches
    where first > (select sources_at from journal) and source is not null
) as heard where true group by source order by source
"""
TOLD: Final = "select source, sequence from sources order by source"
HEAR: Final = (
    f"insert into sources {HEARD} on conflict (source) do update set sequence = excluded.sequence",
    "update journal set sources_at = (select coalesce(max(first), 0) from batches)",
)


def fenced(path: str, mine: int, other: int) -> InputError:
    """Return the refusal of a writer that another one has taken over from."""
    message = f"this is writer {mine}, and writer {other} has taken over; stop this one"
    return InputError(FailureReason.FENCED, message, path=path)


def moved(path: str) -> InputError:
    """Return the refusal of a writer whose journal does not stand where it was opened."""
    message = "the journal that this writer opened is not there any more, or another stands in its place; stop this one"
    return InputError(FailureReason.FENCED, message, path=path)


def require_alone(path: str, *, locked: bool, advice: str = "stop it, or take over from it") -> None:
    """Refuse a second writer."""
    if not locked:
        raise InputError(FailureReason.FENCED, f"another writer lives; {advice}", path=path)


def corrupt(message: str, path: str, advice: str = RECOVER) -> InputError:
    """Return the refusal of a journal that cannot be read, and what to do."""
    return InputError(FailureReason.CORRUPT_JOURNAL, f"{message}; {advice}", path=path)


def typed(row: object, kind: type[T], path: str) -> T:
    """Return what was read, if it has the types that were written."""
    try:
        return msgspec.convert(row, kind)
    except msgspec.ValidationError as error:
        raise corrupt(f"a row is damaged ({error})", path) from error
