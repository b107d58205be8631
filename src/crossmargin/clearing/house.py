"""The clearing house: a single writer that takes commands, keeps what happened, and only then answers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import msgspec

from crossmargin._version import __version__
from crossmargin.clearing.configuration import account_of
from crossmargin.clearing.decide import decide, known, record_of
from crossmargin.clearing.events import Record
from crossmargin.clearing.journal import Replayed, replay, source_problem
from crossmargin.clearing.records import RECOVER, encode, last_commands, make_batch
from crossmargin.clearing.snapshots import save
from crossmargin.clearing.state import fold
from crossmargin.errors import CrossmarginError, Failure, FailureReason, InputError

if TYPE_CHECKING:
    from crossmargin.clearing.commands import Command
    from crossmargin.clearing.journal import Journal
    from crossmargin.clearing.records import Batch
    from crossmargin.clearing.rules import Rules
    from crossmargin.clearing.state import State


class StoppedError(CrossmarginError):
    """A house whose state is ahead of its journal: what it decided last is not kept. Open it again from the journal."""


class Answer(msgspec.Struct, frozen=True, gc=False):
    """What became of a command: the records that it led to.

    Parameters
    ----------
    duplicate
        It was answered before and nothing changed; `journal.answer_of` finds that answer.
    not_taken
        Why it could not be taken at all (OUT_OF_ORDER, MALFORMED_INPUT): nothing is recorded, its number is still open.
    """

    source: str
    sequence: int
    records: tuple[Record, ...] = ()
    duplicate: bool = False
    not_taken: Failure | None = None


class House:
    """One state, one journal, one writer.

    Parameters
    ----------
    journal
        Where records are kept.
    rules
        The margin engine and the procedures.
    replayed
        Where the journal stands; None replays it, from the last state kept.

    Raises
    ------
    InputError
        CORRUPT_JOURNAL where the records are not whole, or lack commands that were acknowledged.
    """

    def __init__(self, journal: Journal, rules: Rules, replayed: Replayed | None = None) -> None:
        begun = replayed or replay(journal, journal.saved())
        problem = source_problem(journal, begun.state) or journal.mended()
        if problem:
            raise InputError(FailureReason.CORRUPT_JOURNAL, f"{problem}; {RECOVER}", path="journal")
        self.journal, self.rules = journal, rules
        self.state: State = begun.state
        self.head = begun.head
        self.stopped = False

    def handle(self, command: Command) -> Answer:
        """Return the answer to one command, durable when it returns."""
        return self.handle_all([command])[0]

    def handle_all(self, commands: Iterable[Command]) -> list[Answer]:
        """Return the answers to commands in order, kept as one batch and durable when it returns.

        Raises
        ------
        InputError
            FENCED where another one writes the journal.
        StoppedError
            For every call after one that failed.
        """
        answers, batch = self.fill(commands)
        if batch is not None:
            self.keep([batch])
        return answers

    def fill(self, commands: Iterable[Command]) -> tuple[list[Answer], Batch | None]:
        """Return answers, and the batch that must be kept before they are given: the state is ahead until then.

        For a writer with a thread of its own, which commits one batch while the next is filled.
        """
        if self.stopped:
            raise StoppedError("what was decided last could not be kept; open the house again from its journal")
        try:
            answers = [self._take(command) for command in commands]
            return answers, self._batch([record for answer in answers for record in answer.records])
        except BaseException:  # commands before this one are in the state and in no batch
            self.stopped = True
            raise

    def keep(self, batches: Sequence[Batch]) -> None:
        """Append batches that `fill` returned, in order; a failure stops the house, whose state is then ahead."""
        try:
            self.journal.append(batches)
        except BaseException:
            self.stopped = True
            raise

    def save(self) -> None:
        """Keep the state beside the journal, so that a replay may begin there."""
        self.journal.save(save(self.state, self.head))

    def unassessed(self) -> dict[str, Failure]:
        """Return by owner why a pool cannot be assessed at this moment: nothing follows for it until it can."""
        accounts, balances = self.state.configuration.accounts, self.state.balances
        held = {owner: held for owner, held in balances.items() if account_of(owner) in accounts}
        reports = self.rules.assess(self.state, held)
        return {owner: report for owner, report in reports.items() if isinstance(report, Failure)}

    def _batch(self, records: list[Record]) -> Batch | None:
        if not records:
            return None
        lines = [encode(record) for record in records]
        batch = make_batch(self.head, records[0].number, lines, last_commands(records))
        self.head = batch.head
        return batch

    def _take(self, command: Command) -> Answer:
        if known(self.state, command):
            return Answer(command.source, command.sequence, duplicate=True)
        try:
            events = decide(self.state, command, self.rules)
        except InputError as error:
            return Answer(command.source, command.sequence, not_taken=error.failure())
        records = []
        for event in events:
            record = record_of(self.state, command, event, __version__, self.rules.digest)
            fold(self.state, record)
            records.append(record)
        return Answer(command.source, command.sequence, tuple(records))
