"""The state as bytes in canonical order: equal states give equal bytes, on every machine."""

from __future__ import annotations

import hashlib
from datetime import datetime

import msgspec

from crossmargin.clearing.commands import Quote
from crossmargin.clearing.configuration import Configuration, configured
from crossmargin.clearing.heard import Heard
from crossmargin.clearing.records import RECOVER
from crossmargin.clearing.state import Case, PoolStage, State
from crossmargin.errors import FailureReason, InputError


class SavedState(msgspec.Struct, frozen=True):
    """A state at a record of the journal, with the chain's head there and the digest of both."""

    number: int
    head: bytes
    digest: bytes
    state: bytes


class _Written(msgspec.Struct, frozen=True, array_like=True):
    """Balances stand in order of creation, which loss sharing reads; everything else is sorted by name."""

    balances: list[tuple[str, list[tuple[str, str, int]]]]
    marks: list[tuple[str, Quote]]
    indices: list[tuple[str, int, datetime]]
    pools: list[tuple[str, list[tuple[str, PoolStage]]]]
    cases: list[tuple[str, Case]]
    sources: list[tuple[str, int]]
    documents: tuple[tuple[str, str], ...]
    number: int
    as_of: datetime | None
    heard: list[tuple[str, Heard]] = []
    shared: list[tuple[str, str]] = []


def to_bytes(state: State) -> bytes:
    """Return a state in canonical order, as JSON."""
    written = _Written(
        balances=[(owner, [(*key, amount) for key, amount in held.items()]) for owner, held in state.balances.items()],
        marks=sorted(state.marks.items()),
        indices=[(name, state.indices[name], state.indexed_at[name]) for name in sorted(state.indices)],
        pools=[(owner, sorted(units.items())) for owner, units in sorted(state.pools.items())],
        cases=sorted(state.cases.items()),
        sources=sorted(state.sources.items()),
        documents=state.documents,
        number=state.number,
        as_of=state.as_of,
        heard=sorted(state.heard.items()),
        shared=sorted(state.shared.items()),
    )
    return msgspec.json.encode(written, order="sorted")


def from_bytes(content: bytes) -> State:
    """Return the state that `to_bytes` wrote.

    Raises
    ------
    InputError
        CORRUPT_JOURNAL for bytes that are no state.
    """
    try:
        written = msgspec.json.decode(content, type=_Written)
    except ValueError as error:
        raise InputError(FailureReason.CORRUPT_JOURNAL, f"no state: {error}", path="snapshot") from error
    configuration = Configuration()
    for section, document in written.documents:
        configuration = configured(configuration, section, document)
    return State(
        balances={owner: {(p, a): amount for p, a, amount in held} for owner, held in written.balances},
        marks=dict(written.marks),
        indices={name: value for name, value, _ in written.indices},
        indexed_at={name: at for name, _, at in written.indices},
        pools={owner: dict(units) for owner, units in written.pools},
        cases=dict(written.cases),
        sources=dict(written.sources),
        documents=written.documents,
        configuration=configuration,
        number=written.number,
        as_of=written.as_of,
        heard=dict(written.heard),
        shared=dict(written.shared),
    )


def save(state: State, head: bytes) -> SavedState:
    """Return a state to keep beside the journal, whose head stands at the state's last record."""
    content = to_bytes(state)
    return SavedState(state.number, head, digest(head, content), content)


def proven(saved: SavedState) -> State:
    """Return a state that was kept.

    Raises
    ------
    InputError
        CORRUPT_JOURNAL where it, its head or its number is not what was kept.
    """
    state = from_bytes(saved.state) if digest(saved.head, saved.state) == saved.digest else None
    if state is None or state.number != saved.number:
        message = f"the state kept at record {saved.number} is not what its digest names"
        raise InputError(FailureReason.CORRUPT_JOURNAL, f"{message}; {RECOVER}", path="snapshot")
    return state


def digest(head: bytes, content: bytes) -> bytes:
    """Return the hash of a head and a state's bytes: blake2b, 32 bytes."""
    return hashlib.blake2b(head + content, digest_size=32).digest()
