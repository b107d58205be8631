"""Events that follow one another within one decision: each sees the balances that those before it left."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crossmargin.clearing.checking import posting
from crossmargin.clearing.events import Event, Record
from crossmargin.clearing.state import Draft, State

if TYPE_CHECKING:
    from collections.abc import Iterable

    from crossmargin.clearing.ledger import Row

__all__ = ["Chain"]


class Chain:
    """A state, the events that are added to it, and the state after them; the state given stays as it is."""

    def __init__(self, state: State) -> None:
        self._draft = Draft(state)
        self.events: list[Event] = []

    @property
    def state(self) -> State:
        """The state after every event so far. It is changed in place by the next one."""
        return self._draft.state

    def add(self, events: Iterable[Event]) -> None:
        """Add events in order."""
        for event in events:
            state = self._draft.state
            assert state.as_of is not None
            self._draft.fold(Record(state.number + 1, "", 0, state.as_of, "", "", event))
            self.events.append(event)

    def post(self, cause: str, case: str, rows: list[Row]) -> None:
        """Add a posting, with the interest that its rows settle; nothing for no rows."""
        if rows:
            self.add([posting(self.state, cause, rows, case=case, fees=None)])
