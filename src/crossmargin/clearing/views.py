"""What a journal says of liquidations and margin calls: views over records, made without state, engine or rulebook.

Who closed what at which price, who paid what of a loss, and what running margin calls costs. A view reads each record
once, in order.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Final

from crossmargin.clearing.events import LOCKED, Asked, Posted, Record, Refused, Stage, Staged
from crossmargin.clearing.ledger import FEES, WALLET, Row, Rows

__all__ = ["Call", "CaseStep", "CaseView", "Payments", "calls", "cases", "costs", "paid"]

_LIQUIDATION: Final = "liquidation: "
_WATERFALL: Final = "waterfall: "
_POSITIONS: Final = frozenset({"adl", "taken over", "settled"})
_SALE: Final = ", sale"
_CURED: Final = "cured"
_BASIS: Final = "basis:"  # and a symbol: where a debt of closed contracts stands

Amounts = dict[str, int]
"""By asset, in units."""


@dataclass(frozen=True, slots=True)
class CaseStep:
    """One thing that a case did: when, by which step or layer, as told, and the rows that it moved.

    Parameters
    ----------
    limits
        Leg, amount and price as the case told them; empty for a layer of the waterfall.
    """

    number: int
    at: datetime
    what: str
    limits: Mapping[str, str]
    rows: Rows


@dataclass(slots=True)
class CaseView:
    """One case: its pool, why and when it began, its steps, how it ended (None: it runs)."""

    pool: str
    began: datetime
    cause: Mapping[str, str]
    steps: list[CaseStep] = field(default_factory=list)
    ended: datetime | None = None
    ending: Stage | None = None
    unpaid: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Payments:
    """Who paid what of one case's loss, in units: by layer, owner and asset; the loss itself; what nobody paid."""

    layers: dict[str, dict[str, Amounts]] = field(default_factory=dict)
    loss: Amounts = field(default_factory=dict)
    unpaid: Amounts = field(default_factory=dict)


@dataclass(slots=True)
class Call:
    """One margin call: what it asked for, how it ended, and what it took.

    Parameters
    ----------
    ending
        `cured`, `deadline passed`, `reduce only`, `liquidated`, or empty while it stands.
    answers
        What the account did meanwhile that was carried out, by the postings' causes, with how often.
    commands, refused
        Commands that moved the account meanwhile, and commands of the same sources that were refused.
    fees
        What the account paid to `fees` meanwhile, by asset, in units.
    """

    pool: str
    at: datetime
    cure: Mapping[str, str]
    deadline: datetime | None
    ending: str = ""
    ended: datetime | None = None
    answers: dict[str, int] = field(default_factory=dict)
    commands: int = 0
    refused: int = 0
    fees: Amounts = field(default_factory=dict)

    @property
    def seconds(self) -> float | None:
        """Seconds from the call to its end; None while it stands."""
        return None if self.ended is None else (self.ended - self.at).total_seconds()

    @property
    def cured_by(self) -> Mapping[str, int]:
        """The answers that cured it; none of a call that stands or that ended otherwise."""
        return self.answers if self.ending == _CURED else {}


def cases(records: Iterable[Record]) -> dict[str, CaseView]:
    """Return every case with its steps, in order."""
    found: dict[str, CaseView] = {}
    told: dict[str, Asked] = {}
    for record in records:
        event = record.event
        if isinstance(event, Staged) and event.case is not None:
            if event.case not in found:
                found[event.case] = CaseView(event.pool, record.as_of, event.cause)
            if event.stage not in LOCKED or event.stage == Stage.CLOSED:
                _ended(found[event.case], record.as_of, event)
        elif isinstance(event, Asked):
            told[event.case] = event
            if event.what == "unpaid" and event.case in found:
                found[event.case].unpaid = event.limits
        elif isinstance(event, Posted) and event.case in found:
            found[event.case].steps.append(_step(record, event, told.get(event.case)))
    return found


def _ended(view: CaseView, at: datetime, event: Staged) -> None:
    view.ended, view.ending = at, event.stage


def _step(record: Record, event: Posted, told: Asked | None) -> CaseStep:
    what = event.cause.removeprefix(_LIQUIDATION)
    limits = told.limits if told is not None and told.what == what else {}
    return CaseStep(record.number, record.as_of, what, limits, event.rows)


def paid(records: Iterable[Record], digits: Mapping[str, int]) -> dict[str, Payments]:
    """Return who paid what of each loss: the layers and what is unpaid are the loss, or this raises.

    A loss is what the account owed when its collateral was gone. What others gave up as their positions were closed is
    in their trades, at the price that the posting shows, and no payment.

    Parameters
    ----------
    digits
        Of each asset's amounts, as configured: what is unpaid is told as decimal strings.

    Raises
    ------
    AssertionError
        A journal in which payments and rest are not the loss: a mistake of the program.
    """
    found: dict[str, Payments] = {}
    owed: dict[str, Amounts] = {}
    wallets: dict[tuple[str, str], int] = {}
    pools: dict[str, str] = {}
    for record in records:
        event = record.event
        if isinstance(event, Staged) and event.case is not None:
            pools[event.case] = event.pool.partition("#")[0]
            if event.stage == Stage.CLOSED and event.case in found:
                _check(event.case, found[event.case])
        elif isinstance(event, Posted):
            _layer(event, found, owed, wallets, pools)
            for owner, purse, asset, amount in event.rows:
                if purse == WALLET:
                    wallets[owner, asset] = wallets.get((owner, asset), 0) + amount
        elif isinstance(event, Asked) and event.what in {"loss", "unpaid"}:
            _told(event, found.setdefault(event.case, Payments()), digits)
    return found


def _told(event: Asked, payments: Payments, digits: Mapping[str, int]) -> None:
    """Add the loss of closed contracts with what of it is unpaid, or what is unpaid of the debts in the wallet."""
    if event.what == "loss":
        asset = event.limits["asset"]
        for table, key in ((payments.loss, "loss"), (payments.unpaid, "unpaid")):
            table[asset] = table.get(asset, 0) + int(event.limits[key])
        return
    for asset, text in event.limits.items():
        rest = int(Decimal(text).scaleb(digits[asset]))
        payments.unpaid[asset] = payments.unpaid.get(asset, 0) + rest
        payments.loss.setdefault(asset, rest)


def _layer(
    event: Posted,
    found: dict[str, Payments],
    owed: dict[str, Amounts],
    wallets: Mapping[tuple[str, str], int],
    pools: Mapping[str, str],
) -> None:
    """Add one layer's payment; the loss is what stood owed before the first of an asset."""
    word = event.cause.removeprefix(_WATERFALL)
    no_layer = word == event.cause or word in _POSITIONS or word == "collateral" or word.endswith(_SALE)
    if event.case is None or no_layer or word == "deficit":
        return
    payments, bankrupt = found.setdefault(event.case, Payments()), pools[event.case]
    settled = [row for row in event.rows if row[0] == bankrupt and row[1].startswith(_BASIS)]
    if settled:  # a debt that stood with closed contracts: its loss was told
        _taken_over(event, payments.layers.setdefault(word, {}), settled[0])
        return
    due = owed.setdefault(event.case, {})
    for owner, purse, asset, amount in event.rows:
        if purse != WALLET:
            continue
        if owner == bankrupt and asset not in due:
            due[asset] = -wallets.get((owner, asset), 0)
            payments.loss[asset] = payments.loss.get(asset, 0) + due[asset]
        elif amount < 0 and owner != bankrupt:
            by_owner = payments.layers.setdefault(word, {}).setdefault(owner, {})
            by_owner[asset] = by_owner.get(asset, 0) - amount


def _taken_over(event: Posted, layer: dict[str, Amounts], row: Row) -> None:
    """Add who paid for a debt that was taken over: who gave money for it, else who took it."""
    givers = [one[0] for one in event.rows if one[3] < 0 and one[1] == WALLET]
    takers = [one[0] for one in event.rows if one[3] < 0 and one[1] == row[1]]
    by_owner = layer.setdefault((givers or takers)[0], {})
    by_owner[row[2]] = by_owner.get(row[2], 0) + row[3]


def _check(case: str, payments: Payments) -> None:
    for asset, loss in payments.loss.items():
        parts = [by.get(asset, 0) for owners in payments.layers.values() for by in owners.values()]
        together = sum(parts) + payments.unpaid.get(asset, 0)
        assert together == loss, f"{case}: {asset} {together} paid and unpaid, and the loss is {loss}"


def calls(records: Iterable[Record]) -> list[Call]:
    """Return every margin call in order: a stage `called` is one, until the pool leaves it."""
    made: list[Call] = []
    open_: dict[str, Call] = {}
    seen: set[tuple[str, str, int]] = set()
    for record in records:
        event = record.event
        if isinstance(event, Staged):
            _staged(record, event, made, open_)
        elif isinstance(event, Posted) and event.rows:
            for pool, call in open_.items():
                owner = pool.partition("#")[0]
                if event.case is None and any(row[0] == owner for row in event.rows):
                    _counted(call, owner, event, new=(pool, record.source, record.sequence) not in seen)
                    seen.add((pool, record.source, record.sequence))
        elif isinstance(event, Refused):
            for call in open_.values():
                call.refused += 1
    return made


def _staged(record: Record, event: Staged, made: list[Call], open_: dict[str, Call]) -> None:
    standing = open_.get(event.pool)
    if standing is not None and event.stage != Stage.CALLED:
        del open_[event.pool]
        standing.ended = record.as_of
        late = "passed in" in event.cause.get("when", "")
        worse = "liquidated" if event.stage in LOCKED else "reduce only" if event.stage == Stage.REDUCE_ONLY else ""
        standing.ending = "deadline passed" if late else worse or _CURED
    if event.stage == Stage.CALLED and standing is None:
        call = Call(event.pool, record.as_of, event.cure or {}, event.deadline)
        made.append(call)
        open_[event.pool] = call


def _counted(call: Call, owner: str, event: Posted, *, new: bool) -> None:
    call.answers[event.cause] = call.answers.get(event.cause, 0) + 1
    call.commands += new
    for receiver, purse, asset, amount in event.rows:
        mine = any(row[0] == owner and row[2] == asset for row in event.rows)
        if receiver == FEES and purse == WALLET and mine:
            call.fees[asset] = call.fees.get(asset, 0) + amount


def costs(made: Iterable[Call]) -> dict[str, object]:
    """Return what running calls came to: how many and how they ended, seconds to a cure, commands, refusals, fees."""
    listed = list(made)
    endings: dict[str, int] = {}
    fees: Amounts = {}
    for call in listed:
        endings[call.ending or "standing"] = endings.get(call.ending or "standing", 0) + 1
        for asset, amount in call.fees.items():
            fees[asset] = fees.get(asset, 0) + amount
    seconds = sorted(call.seconds for call in listed if call.seconds is not None and call.ending == _CURED)
    return {
        "calls": len(listed),
        "endings": endings,
        "median seconds to cure": seconds[len(seconds) // 2] if seconds else None,
        "commands": sum(call.commands for call in listed),
        "refused": sum(call.refused for call in listed),
        "fees": fees,
    }
