"""What an earlier schema wrote, brought to the present one: a table of functions on raw records, version by version.

One version covers the lines of records and the states kept beside them; a journal states it once. A back end migrates
when it opens a journal, in one transaction: each batch is proven by the chain that it was written in, its lines are
rewritten one for one, and a chain is made of them anew. What stood there is kept in a table of its own; kept states go,
since a replay makes them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final

from crossmargin.clearing.records import JOURNAL_VERSION, START, Batch, check_chain, link
from crossmargin.errors import FailureReason, InputError

__all__ = ["JOURNAL_VERSION", "MIGRATIONS", "Step", "migrated", "steps_from"]

Step = Callable[[list[Any]], list[Any]]
"""One record as it was, a JSON array, to the same record as the next version writes it."""

MIGRATIONS: Final[dict[int, Step | None]] = {1: None}
"""By the version that a step starts from; None where lines stand as they are and tables alone have changed.

Version 1 is the first that was written; since version 2 a batch of one source names it in its own row.
"""


def steps_from(found: int, place: str) -> list[Step]:
    """Return the steps from a version to the present one; none where lines stand as they are.

    Raises
    ------
    InputError
        WRONG_SCHEMA_VERSION for a newer version, and for an older one without a way.
    """
    versions = range(found, JOURNAL_VERSION)
    if found <= JOURNAL_VERSION and all(version in MIGRATIONS for version in versions):
        return [step for version in versions if (step := MIGRATIONS[version]) is not None]
    newer = "it was written by a newer crossmargin: upgrade this one"
    message = f"expected schema version {JOURNAL_VERSION}, found {found}; "
    message += (
        newer if found > JOURNAL_VERSION else "there is no way from there: open it with the version that wrote it"
    )
    raise InputError(FailureReason.WRONG_SCHEMA_VERSION, message, path=place)


def migrated(batches: Iterable[Batch], steps: Sequence[Step], place: str) -> Iterator[Batch]:
    """Yield a journal's batches from its beginning on, rewritten and chained anew.

    Raises
    ------
    InputError
        CORRUPT_JOURNAL where a batch is not whole: recover it with the version that wrote it.
    """
    before, head, number = START, START, 1
    for batch in batches:
        check_chain(batch, before, number)
        records = b"".join(_rewritten(line, steps, place) for line in batch.records.splitlines())
        before, number = batch.head, batch.last + 1
        fresh = link(head, records)
        yield Batch(batch.first, batch.count, records, head, fresh, {})
        head = fresh


def _rewritten(line: bytes, steps: Sequence[Step], place: str) -> bytes:
    try:
        record = json.loads(line)  # whose integers have no limit
        for step in steps:
            record = step(record)
    except (ValueError, TypeError, LookupError) as error:
        message = f"a record of the old schema cannot be read ({error!r}); open it with the version that wrote it"
        raise InputError(FailureReason.CORRUPT_JOURNAL, message, path=place) from error
    return json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
