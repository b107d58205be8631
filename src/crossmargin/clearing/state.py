"""The state, and how a record changes it: a fold that looks at nothing but its arguments and decides nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final

import msgspec

from crossmargin.clearing.commands import Quote
from crossmargin.clearing.configuration import REPLACED, UNIT_MARK, Configuration, configured
from crossmargin.clearing.events import (
    LOCKED,
    SHARED,
    Asked,
    Configured,
    Indexed,
    Posted,
    Priced,
    Record,
    Refused,
    Stage,
    Staged,
)
from crossmargin.clearing.heard import Heard
from crossmargin.clearing.ledger import Balances, Layer, add


class PoolStage(msgspec.Struct, frozen=True):
    """Where a pool stands, since when, in which case, and until when it may be cured."""

    stage: Stage
    since: datetime
    case: str | None = None
    deadline: datetime | None = None


class Case(msgspec.Struct, frozen=True):
    """One liquidation or auction that runs: its pool, its step, when it began, what it remembers."""

    pool: str
    step: int
    started: datetime
    memory: Mapping[str, str]


@dataclass(slots=True)
class State:
    """Everything that is remembered. Only `fold` changes one in place; whoever calls it owns it.

    Parameters
    ----------
    balances
        By owner, in order of creation.
    indexed_at
        When each index last moved.
    pools
        By owner and unit, the pools that do not stand healthy, or have stood otherwise.
    sources
        The last command of each source that was answered.
    documents
        Configuration documents in order, from which `configuration` is made.
    number
        The last record.
    heard
        What price guards remember, by asset or instrument.
    shared
        What cases remember together, as text by name; it outlives them.
    """

    balances: Balances = field(default_factory=dict)
    marks: dict[str, Quote] = field(default_factory=dict)
    indices: dict[str, int] = field(default_factory=dict)
    indexed_at: dict[str, datetime] = field(default_factory=dict)
    pools: dict[str, dict[str, PoolStage]] = field(default_factory=dict)
    cases: dict[str, Case] = field(default_factory=dict)
    sources: dict[str, int] = field(default_factory=dict)
    documents: tuple[tuple[str, str], ...] = ()
    configuration: Configuration = field(default_factory=Configuration)
    number: int = 0
    as_of: datetime | None = None
    heard: dict[str, Heard] = field(default_factory=dict)
    shared: dict[str, str] = field(default_factory=dict)


def at(state: State, as_of: datetime) -> State:
    """Return the same state at a later time; it shares everything, so neither may be folded further."""
    return State(
        state.balances, state.marks, state.indices, state.indexed_at, state.pools, state.cases, state.sources,
        state.documents, state.configuration, state.number, as_of, state.heard, state.shared,
    )  # fmt: skip


def with_prices(state: State, priced: Priced) -> State:
    """Return the same state with prices that have passed the guards; it shares the rest, as `at` does."""
    after = replace(state)
    _priced(after, priced)
    return after


def evolve(state: State, record: Record) -> State:
    """Return the state after a record; the one given stays as it is."""
    after = Draft(state)
    after.fold(record)
    return replace(after.state, balances=dict(after.state.balances.items()))


class Draft:
    """A state that is folded further while the one it began as stays as it is."""

    def __init__(self, state: State) -> None:
        self._balances = Layer(state.balances)
        self.state = replace(
            state,
            balances=self._balances,
            indices=dict(state.indices),
            indexed_at=dict(state.indexed_at),
            pools=dict(state.pools),
            cases=dict(state.cases),
            sources=dict(state.sources),
            shared=dict(state.shared),
        )

    def fold(self, record: Record) -> None:
        """Bring the draft one record further."""
        if isinstance(record.event, Posted):
            for owner in {row[0] for row in record.event.rows}:
                self._balances.written(owner)
        fold(self.state, record)


def fold(state: State, record: Record) -> None:
    """Bring a state that the caller owns one record further, in place."""
    fold_all(state, (record,))


def fold_all(state: State, records: Iterable[Record]) -> None:
    """Bring a state that the caller owns further by records in order, in place; what each says anew is written once."""
    number, as_of, sources = state.number, state.as_of, state.sources
    for record in records:
        number += 1
        assert record.number == number, f"record {record.number} cannot follow record {number - 1}"
        event, as_of = record.event, record.as_of
        if type(event) is Posted:
            add(state.balances, event.rows)
        else:
            _FOLDS[type(event)](state, event, as_of)
        sources[record.source] = record.sequence
    state.number, state.as_of = number, as_of


def _priced(state: State, event: Priced, _: datetime | None = None) -> None:
    state.marks = {**state.marks, **event.quotes}  # a new one, so that who keeps the old can see the change
    if event.memory:
        state.heard = {**state.heard, **event.memory}


def _indexed(state: State, event: Indexed, as_of: datetime) -> None:
    state.indices.update(event.indices)
    state.indexed_at.update(dict.fromkeys(event.indices, as_of))


def _staged(state: State, event: Staged, as_of: datetime) -> None:
    owner, _, unit = event.pool.partition(UNIT_MARK)
    stood = PoolStage(event.stage, as_of, event.case, event.deadline)
    state.pools[owner] = {**state.pools.get(owner, {}), unit: stood}
    left = event.before in LOCKED and event.stage not in LOCKED
    if event.case is not None and (left or event.stage in {Stage.HEALTHY, Stage.CLOSED}):
        state.cases.pop(event.case, None)
    elif event.case is not None and event.case not in state.cases:
        state.cases[event.case] = Case(event.pool, 0, as_of, {})


def _asked(state: State, event: Asked, _: datetime) -> None:
    case = state.cases[event.case]
    own = {name: text for name, text in event.memory.items() if not name.startswith(SHARED)}
    state.shared.update({name: text for name, text in event.memory.items() if name.startswith(SHARED)})
    memory = {**case.memory, **own}
    state.cases[event.case] = msgspec.structs.replace(case, step=event.step, memory=memory)


def _configured(state: State, event: Configured, _: datetime) -> None:
    state.configuration = configured(state.configuration, event.section, event.document)
    state.documents = (*_standing(state.documents, event.section), (event.section, event.document))


def _standing(documents: tuple[tuple[str, str], ...], section: str) -> tuple[tuple[str, str], ...]:
    """Return the documents that stand beside a new one: those of some sections replace the last."""
    replaced = section in REPLACED
    return tuple(one for one in documents if not (replaced and one[0] == section))


def _refused(state: State, event: Refused, _: datetime) -> None:
    """Nothing but the source's row."""


_FOLDS: Final[Mapping[type, Any]] = {
    Priced: _priced,
    Indexed: _indexed,
    Staged: _staged,
    Asked: _asked,
    Configured: _configured,
    Refused: _refused,
}
