"""What must hold after every record, whatever was asked: for simulations, and for whoever doubts a journal.

Checks read the state and the record alone. `Watch` also counts what has passed, since bounds on the house grow with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from crossmargin.clearing.checks import rounded, settled_in
from crossmargin.clearing.events import Indexed, Posted
from crossmargin.clearing.indexes import LEND, PER_UNIT, interest_kept
from crossmargin.clearing.ledger import DUE, FUNDING, INTEREST, ROUND, total

if TYPE_CHECKING:
    from crossmargin.clearing.events import Record
    from crossmargin.clearing.ledger import Balances
    from crossmargin.clearing.state import State


class BrokenError(AssertionError):
    """An invariant does not hold: a mistake of the program."""


def sums(balances: Balances) -> dict[str, int]:
    """Return what each asset's balances sum to over all owners and purses, where that is not 0."""
    found: dict[str, int] = {}
    for held in balances.values():
        for (_, asset), amount in held.items():
            found[asset] = found.get(asset, 0) + amount
    return {asset: amount for asset, amount in found.items() if amount}


def house_money(state: State, owner: str) -> dict[str, int]:
    """Return by asset what a settling house owner holds with its due, in 10^-12 units."""
    kept: dict[str, int] = {}
    for (purse, asset), amount in state.balances.get(owner, {}).items():
        money = settled_in(asset, state.configuration.terms) if purse == DUE else asset
        kept[money] = kept.get(money, 0) + (amount if purse == DUE else amount * PER_UNIT)
    return kept


@dataclass(slots=True)
class Watch:
    """Sees every record once, in order, with the state after it, and raises `BrokenError` where an invariant breaks."""

    number: int = 0
    as_of: datetime | None = None
    sources: dict[str, int] = field(default_factory=dict)
    indices: Mapping[str, int] = field(default_factory=dict)
    touches: dict[str, int] = field(default_factory=lambda: dict.fromkeys((FUNDING, INTEREST, ROUND), 0))

    def see(self, record: Record, state: State) -> None:
        """Check one record and the state after it."""
        self._order(record, state)
        event = record.event
        if isinstance(event, Posted):
            self._posted(event)
        if not isinstance(event, Indexed) and state.indices != self.indices:
            raise BrokenError(f"record {record.number}: an index moved without an event of its own")
        if isinstance(event, Indexed):
            self._interest(event, state)
        self.indices = dict(state.indices)
        wrong = sums(state.balances)
        if wrong:
            raise BrokenError(f"record {record.number}: balances do not sum to 0: {wrong}")
        self._house(record, state)

    def _order(self, record: Record, state: State) -> None:
        """Number, time and source of a record follow those before it; the state stands at the record."""
        before = self.sources.get(record.source, 0)
        if record.number != self.number + 1 or state.number != record.number:
            raise BrokenError(f"record {record.number} after {self.number}, state at {state.number}")
        if record.sequence not in {before, before + 1} or state.sources[record.source] != record.sequence:
            raise BrokenError(f"record {record.number}: command {record.sequence} of {record.source} after {before}")
        if self.as_of is not None and record.as_of < self.as_of:
            raise BrokenError(f"record {record.number}: time ran back from {self.as_of} to {record.as_of}")
        self.number, self.as_of = record.number, record.as_of
        self.sources[record.source] = record.sequence

    def _interest(self, event: Indexed, state: State) -> None:
        for name in event.indices:
            kept = interest_kept(name.removeprefix(LEND), state.balances, state.indices) if name.startswith(LEND) else 0
            if kept < 0:
                raise BrokenError(f"{name}: deposits are paid {-kept} (10^-12 units) that no debt owes")

    def _posted(self, event: Posted) -> None:
        wrong = total(event.rows)
        if wrong:
            raise BrokenError(f"a posting ({event.cause}) does not sum to 0: {wrong}")
        payments = rounded(event.rows)
        for owner in {row[0] for row in event.rows} & self.touches.keys():
            self.touches[owner] += payments

    def _house(self, record: Record, state: State) -> None:
        for owner, touches in self.touches.items():
            for asset, kept in house_money(state, owner).items():
                if not 0 <= kept <= touches * PER_UNIT:
                    what = f"{owner} stands at {kept} (10^-12 units of {asset}) after {touches} touches"
                    raise BrokenError(f"record {record.number}: {what}")
