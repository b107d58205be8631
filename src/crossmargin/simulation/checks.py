"""What must hold after every record of a simulation, of ledger and procedure, and what must hold now and then."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from crossmargin.clearing import State, replay
from crossmargin.clearing.checking import reduces
from crossmargin.clearing.events import Asked, Posted, Refused, Stage, Staged
from crossmargin.clearing.invariants import BrokenError, Watch
from crossmargin.clearing.ledger import HELD, HOUSE, WALLET
from crossmargin.clearing.procedure.remembered import recall
from crossmargin.clearing.snapshots import to_bytes
from crossmargin.clearing.state import fold

if TYPE_CHECKING:
    from crossmargin.clearing import House
    from crossmargin.clearing.events import Record

__all__ = ["Checks"]

_NEAR: Final = 1e-6  # of dollars, between the figures of two assessments


@dataclass(slots=True)
class Checks:
    """Sees every record in order, beside a replica of the state, and raises `BrokenError` where something is wrong.

    Parameters
    ----------
    counts
        How often what happened: kinds of event, stages entered, causes of postings.
    unpaid
        By case and asset what nobody paid.
    hedges
        Causes of the postings that may open positions.
    repayments
        Causes of the postings that repay a debt for collateral.
    """

    hedges: frozenset[str] = frozenset()
    repayments: frozenset[str] = frozenset()

    replica: State = field(default_factory=State)
    watch: Watch = field(default_factory=Watch)
    counts: Counter[str] = field(default_factory=Counter)
    unpaid: dict[str, Mapping[str, str]] = field(default_factory=dict)
    owed: dict[tuple[str, str], int] = field(default_factory=dict)
    paid: dict[tuple[str, str], int] = field(default_factory=dict)

    def see(self, record: Record) -> None:
        """Check one record."""
        self._open(record)
        self._before(record)
        self._shrinks(record)
        fold(self.replica, record)
        self.watch.see(record, self.replica)
        event = record.event
        self.counts[type(event).__name__.lower()] += 1
        if isinstance(event, Staged):
            self._staged(event)
        elif isinstance(event, Posted) and event.case is not None:
            self.counts[event.cause] += 1
        elif isinstance(event, Refused):
            self.counts[f"refused: {event.reason}"] += 1
        elif isinstance(event, Asked) and event.what == "unpaid":
            self.unpaid[event.case] = event.limits

    def _open(self, record: Record) -> None:
        event = record.event
        if isinstance(event, Posted | Asked) and event.case is not None and event.case not in self.replica.cases:
            raise BrokenError(f"record {record.number} names {event.case!r}, and no such case is open")

    def _before(self, record: Record) -> None:
        """Note what a bankrupt pool owes before others pay: rows of the waterfall must come to it."""
        event = record.event
        if not isinstance(event, Posted) or event.case is None or not event.cause.startswith("waterfall: "):
            return
        if event.cause in {"waterfall: adl", "waterfall: taken over", "waterfall: collateral"}:
            return
        owner = self.replica.cases[event.case].pool.partition("#")[0]
        for payee, purse, asset, amount in event.rows:
            if payee == owner and purse == WALLET and amount > 0:
                key = (event.case, asset)
                debt = -self.replica.balances[owner].get((WALLET, asset), 0)
                self.owed.setdefault(key, debt)
                self.paid[key] = self.paid.get(key, 0) + amount
                if amount > debt:
                    raise BrokenError(f"record {record.number}: {amount} of {asset} paid for a debt of {debt}")

    def _shrinks(self, record: Record) -> None:
        """Check that what a case posts brings its own positions, debts and collateral nearer to 0, not past it."""
        event = record.event
        if not isinstance(event, Posted) or event.case not in self.replica.cases or event.cause in self.hedges:
            return
        owner = self.replica.cases[event.case].pool.partition("#")[0]
        held = self.replica.balances.get(owner, {})
        changes: Counter[str] = Counter()
        purse_of = WALLET if event.cause in self.repayments else HELD
        for who, purse, asset, amount in event.rows:
            if who == owner and purse == purse_of:
                changes[asset] += amount
        hedges = self._hedged(event.case) if event.cause == "trade" else set()
        for asset, change in changes.items():
            before = held.get((purse_of, asset), 0)
            if change and asset not in hedges and not reduces(before, change):
                raise BrokenError(f"record {record.number}: {event.cause} moves {before} of {asset} by {change:+}")

    def _hedged(self, case: str | None) -> set[str]:
        """Return the instruments in which a case has asked for a hedge: an answer may open it."""
        orders = recall(self.replica.cases[case or ""].memory, 0.0).orders
        return {order.instrument for order in orders if f"liquidation: {order.step}" in self.hedges}

    def _staged(self, event: Staged) -> None:
        self.counts[f"stage: {event.stage}"] += 1
        headroom = event.cause.get("maintenance_headroom")
        late = " s passed in " in event.cause.get("when", "")
        disposes = event.pool in HOUSE  # of what cases left to it, however it stands itself
        due = headroom is None or float(headroom) < _NEAR or late or disposes
        if event.stage == Stage.LIQUIDATING and not due:
            raise BrokenError(f"{event.pool} is liquidated with headroom {headroom}")
        if event.stage == Stage.CLOSED:
            owner = event.pool.partition("#")[0]
            left = [key for key in self.replica.balances.get(owner, {}) if key[0] == HELD]
            if left and "#" not in event.pool:
                raise BrokenError(f"{event.pool} is closed and still holds {left}")
            self._settled(event)

    def _settled(self, event: Staged) -> None:
        """Check that waterfall and unpaid together are the loss."""
        digits = self.replica.configuration.assets
        unpaid = self.unpaid.get(event.case or "", {})
        for (case, asset), owed in self.owed.items():
            if case == event.case:
                left = int(Decimal(unpaid.get(asset, "0")).scaleb(digits[asset].digits))
                if self.paid[case, asset] + left < owed:
                    raise BrokenError(f"{case}: {owed} of {asset} owed, {self.paid[case, asset]} paid, {left} unpaid")

    def whole(self, house: House) -> None:
        """The costly ones: records make the live state, byte by byte, and so does the journal."""
        live = to_bytes(house.state)
        if to_bytes(self.replica) != live:
            raise BrokenError("the records do not make the live state")
        if to_bytes(replay(house.journal).state) != live:
            raise BrokenError("the journal does not make the live state")
