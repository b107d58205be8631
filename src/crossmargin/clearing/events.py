"""What happened: seven events, and the record that carries one in the journal.

Events are JSON arrays: the tag, then the fields in order. What is not here (who paid what, auto-deleveraging, steps)
is a view over `Posted.cause`, `Posted.case` and `Staged`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import TypeAlias

import msgspec

from crossmargin.clearing.commands import Quote
from crossmargin.clearing.heard import Heard
from crossmargin.clearing.ledger import Rows
from crossmargin.errors import FailureReason


class Stage(StrEnum):
    """Where a pool stands. A rulebook's bands say which stages there are; any may be skipped."""

    HEALTHY = "healthy"
    WARNED = "warned"
    CALLED = "called"
    REDUCE_ONLY = "reduce_only"
    LIQUIDATING = "liquidating"
    TAKEN_OVER = "taken_over"
    AUCTION = "auction"
    BANKRUPT = "bankrupt"
    CLOSED = "closed"


SHARED = "shared "
"""How the names of memory begin that all cases have together."""

LOCKED: frozenset[Stage] = frozenset({Stage.LIQUIDATING, Stage.TAKEN_OVER, Stage.AUCTION, Stage.BANKRUPT, Stage.CLOSED})
"""Stages in which only a case's own steps trade."""


class Posted(msgspec.Struct, frozen=True, array_like=True, tag="posted", gc=False):
    """Rows that sum to 0 per asset were added. An accepted command that moves nothing posts no rows."""

    cause: str
    case: str | None
    rows: Rows


class Priced(msgspec.Struct, frozen=True, array_like=True, tag="priced"):
    """Quotes passed the guards and stand now, by asset or instrument; `memory` is what guards remember from here on."""

    quotes: Mapping[str, Quote]
    memory: Mapping[str, Heard] = {}


class Indexed(msgspec.Struct, frozen=True, array_like=True, tag="indexed"):
    """Cumulative indices stand now where this says."""

    indices: Mapping[str, int]


class Staged(msgspec.Struct, frozen=True, array_like=True, tag="staged"):
    """A pool moved from one stage to another.

    Parameters
    ----------
    cause
        The trigger and the figures that it read, as decimal strings.
    case
        The case that this opens, or belongs to.
    cure
        What would cure it, per asset, as decimal strings; `deadline` by when.
    """

    pool: str
    before: Stage
    stage: Stage
    cause: Mapping[str, str]
    case: str | None = None
    cure: Mapping[str, str] | None = None
    deadline: datetime | None = None


class Asked(msgspec.Struct, frozen=True, array_like=True, tag="asked"):
    """A case asks for something outside: an order, an auction, a request. Answered by a command that names the case.

    `memory` is what the case remembers from here on beside what it did before, by name, as text; what begins with
    `SHARED` all cases remember, also when this one is over.
    """

    case: str
    step: int
    what: str
    limits: Mapping[str, str]
    memory: Mapping[str, str]


class Configured(msgspec.Struct, frozen=True, array_like=True, tag="configured"):
    """A configuration document stands from here on."""

    section: str
    digest: str
    document: str


class Refused(msgspec.Struct, frozen=True, array_like=True, tag="refused"):
    """A command was refused: why, what was expected, what was found."""

    reason: FailureReason
    expected: str
    found: str


Event: TypeAlias = Posted | Priced | Indexed | Staged | Asked | Configured | Refused


class Record(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One event with its place: number in the journal (from 1), command, time, engine and rulebook that decided."""

    number: int
    source: str
    sequence: int
    as_of: datetime
    engine: str
    rulebook: str
    event: Event
