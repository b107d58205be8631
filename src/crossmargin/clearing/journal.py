"""The journal as a protocol, replay of it, and recovery to the last record that it still leads to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from crossmargin.clearing.records import RECOVER, START, Batch, parts_of, records_of
from crossmargin.clearing.snapshots import SavedState, proven
from crossmargin.clearing.state import State, fold_all
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

    def saved(self, before: int | None = None) -> SavedState | None:
        """Return the last state kept, or the last one before a record; None where there is none."""

    def cut(self, after: int, sources: Mapping[str, int], states: Sequence[SavedState] = ()) -> str:
        """Drop every batch that goes beyond record `after`, and the kept states but for those given.

        Return where the dropped is kept. FENCED where another one writes.
        """

    def mended(self) -> str:
        """Return in words what a repair at opening has dropped, until it is cut; empty where there was none."""

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
        Where the damaged original stands; empty where nothing was taken off the journal.
    """

    replayed: Replayed
    dropped: str
    kept_at: str


@dataclass(frozen=True, slots=True)
class _Reached:
    """How far a replay comes from where it begins, and what ends it."""

    begun: SavedState | None
    replayed: Replayed
    problem: str

    @property
    def number(self) -> int:
        return self.replayed.state.number


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
    """Return the state of the last record that the journal leads to; what does not fit is cut off, and named.

    It is replayed from nothing and from the states that were kept. Where one of those leads further, the records before
    it are damaged, stay where they are, and are named each time: only what comes after the last record is cut.
    """
    states, lost = _kept_states(journal)
    reached = [_reached(journal, begun) for begun in (None, *states)]
    best = max(reached, key=lambda one: one.number)  # from nothing, if that is as far
    good = [one.begun for one in reached if one.begun is not None and one.number == best.number]
    lost += [f"the state kept at record {one.number} does not fit the records" for one in states[:1] if one not in good]
    lost += [best.problem, source_problem(journal, best.replayed.state), journal.mended()]
    gap = "" if best.begun is None else _gap(reached[0], best.begun)
    dropped = "; ".join(one for one in (gap, *lost) if one)
    kept_at = journal.cut(best.number, best.replayed.state.sources, good) if any(lost) else ""
    return Recovery(best.replayed, dropped, kept_at)


def _kept_states(journal: Journal) -> tuple[list[SavedState], list[str]]:
    """Return the kept states that are proven, the last one first, and in words what is damaged of them."""
    states: list[SavedState] = []
    damaged: list[str] = []
    before = None
    try:
        while (saved := journal.saved(before)) is not None:
            before = saved.number
            try:
                proven(saved)
            except InputError as error:
                damaged.append(_said(error))
            else:
                states.append(saved)
    except InputError as error:
        damaged.append(f"kept states: {_said(error)}")
    return states, damaged


def _reached(journal: Journal, begun: SavedState | None) -> _Reached:
    replayed = _beginning(begun)
    whole = replayed.state.number
    try:
        for batch in journal.batches(whole):
            replayed = _with_batch(replayed, batch)
            whole = replayed.state.number
    except InputError as error:  # the state may have heard half of a batch: once more, as far as they are whole
        problem = f"after record {whole}: {_said(error)}"
    else:
        return _Reached(begun, replayed, "")
    replayed = _beginning(begun)
    batches = journal.batches(replayed.state.number)
    while replayed.state.number < whole:  # and what comes next is not asked for
        replayed = _with_batch(replayed, next(batches))
    return _Reached(begun, replayed, problem)


def _gap(nothing: _Reached, begun: SavedState) -> str:
    found = nothing.problem or f"after record {nothing.number}: there are no more"
    return f"records up to {begun.number} can no longer be replayed from the beginning, their state is kept ({found})"


def _said(error: InputError) -> str:
    """Return what is damaged, without the advice to recover it; raise what is no damage."""
    if error.reason != FailureReason.CORRUPT_JOURNAL:
        raise error
    return error.message.removesuffix(f"; {RECOVER}")


def source_problem(journal: Journal, state: State) -> str:
    """Return in words what the sources that were written with the batches know of and the records do not hold."""
    try:
        acknowledged = journal.sources()
    except InputError as error:
        return f"sources: {_said(error)}"
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
    return Replayed(State(), START) if saved is None else Replayed(proven(saved), saved.head)


def _with_batch(replayed: Replayed, batch: Batch) -> Replayed:
    """Bring the state a batch further, in place; if the batch is not whole, the state may have heard half of it."""
    for records in parts_of(batch, replayed.head, replayed.state.number + 1):
        fold_all(replayed.state, records)
    return Replayed(replayed.state, batch.head)
