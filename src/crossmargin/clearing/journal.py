"""The journal as a protocol, replay of it, and recovery to its last whole batch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from crossmargin.clearing.quick_replay import fold_batch
from crossmargin.clearing.records import START, Batch, records_of
from crossmargin.clearing.snapshots import SavedState, digest, from_bytes
from crossmargin.clearing.state import State
from crossmargin.errors import FailureReason, InputError

if TYPE_CHECKING:
    from crossmargin.clearing.events import Record


class Journal(Protocol):
    """Where batches are kept, durably and in order. One writer at a time; back ends stand in `sources.journals`."""

    def append(self, batches: Sequence[Batch]) -> None:
        """Keep batches and their sources in one transaction; durable on return. FENCED where another one writes."""

    def batches(self, after: int = 0) -> Iterator[Batch]:
        """Return the batches whose first record's number is above `after`; CORRUPT_JOURNAL where one is unreadable."""

    def sources(self) -> Mapping[str, int]:
        """Return the last command of each source, as the appending transactions wrote it."""

    def save(self, saved: SavedState) -> None:
        """Keep a state beside the records."""

    def saved(self) -> SavedState | None:
        """Return the last state kept; None where there is none."""

    def cut(self, after: int, sources: Mapping[str, int]) -> str:
        """Drop every batch that goes beyond record `after`, and later states; return where the dropped is kept."""

    def close(self) -> None:
        """Let another one write."""


@dataclass(frozen=True, slots=True)
class Replayed:
    """A state made of a journal, and the head of the chain there."""

    state: State
    head: bytes


@dataclass(frozen=True, slots=True)
class Recovery:
    """What a recovery kept and dropped.

    Parameters
    ----------
    dropped
        In words: what was not whole, from which record on; empty where everything was.
    kept_at
        Where the damaged original stands; empty where there is none.
    """

    replayed: Replayed
    dropped: str
    kept_at: str


def replay(journal: Journal, saved: SavedState | None = None) -> Replayed:
    """Return the state that the journal's records make: from nothing, or from a state that was kept.

    Raises
    ------
    InputError
        CORRUPT_JOURNAL at the first batch that is not whole, or a kept state that is not what its digest names.
    """
    replayed = _beginning(saved)
    for batch in journal.batches(replayed.state.number):
        replayed = _with_batch(replayed, batch)
    return replayed


def recover(journal: Journal) -> Recovery:
    """Return the state of the last whole batch; what comes after it is cut off the journal, and named."""
    replayed, problem = Replayed(State(), START), ""
    try:
        for batch in journal.batches():
            replayed = _with_batch(replayed, batch)
    except InputError as error:
        if error.reason != FailureReason.CORRUPT_JOURNAL:
            raise
        problem = f"after record {replayed.state.number}: {error.message}"
    problem = "; ".join(one for one in (problem, source_problem(journal, replayed.state)) if one)
    if not problem:
        return Recovery(replayed, "", "")
    return Recovery(replayed, problem, journal.cut(replayed.state.number, replayed.state.sources))


def source_problem(journal: Journal, state: State) -> str:
    """Return in words what the sources that were written with the batches know of and the records do not hold."""
    try:
        acknowledged = journal.sources()
    except InputError as error:
        return f"sources: {error.message}"
    lost = [
        f"{source} {state.sources.get(source, 0) + 1} to {last}"
        for source, last in sorted(acknowledged.items())
        if last > state.sources.get(source, 0)
    ]
    if lost:
        return f"acknowledged after record {state.number} and lost: {', '.join(lost)}"
    return "" if acknowledged == state.sources else "sources did not fit the records and were written anew"


def answer_of(journal: Journal, source: str, sequence: int) -> tuple[Record, ...]:
    """Return the records that answered a command; empty where none did. Reads the journal from its beginning."""
    for batch in journal.batches():
        records = records_of(batch, batch.previous, batch.first)
        found = tuple(r for r in records if (r.source, r.sequence) == (source, sequence))
        if found:  # the records of one command stand in one batch
            return found
    return ()


def _beginning(saved: SavedState | None) -> Replayed:
    if saved is None:
        return Replayed(State(), START)
    if digest(saved.state) != saved.digest:
        message = f"the state at record {saved.number} is not what its digest names; replay from the beginning"
        raise InputError(FailureReason.CORRUPT_JOURNAL, message, path="snapshot")
    return Replayed(from_bytes(saved.state), saved.head)


def _with_batch(replayed: Replayed, batch: Batch) -> Replayed:
    fold_batch(replayed.state, batch, replayed.head)
    return Replayed(replayed.state, batch.head)
