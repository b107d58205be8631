"""Recorded lives sent through a clearing house: every payment and trade a command, every liquidation a look.

The venue judged these commands when they were made, so nothing is asked of a margin engine again. Trades stand against
`book`, the market as the record does not name it; what a liquidation takes goes to `vault`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from math import inf
from typing import TYPE_CHECKING, Any, Final

from crossmargin.analysis.takeovers import Stood, TakenLeg, Takeover
from crossmargin.clearing import commands as c
from crossmargin.clearing.configuration import Holder, Section, digest_of, document_of
from crossmargin.clearing.contracts import Asset, Contract
from crossmargin.clearing.events import Refused
from crossmargin.clearing.ledger import BOOK, HELD, VAULT
from crossmargin.clearing.rules import Figures, Rules
from crossmargin.clearing.scales import to_units
from crossmargin.errors import InputError
from crossmargin.instruments import Instrument, InstrumentKind
from crossmargin.sources.recorded import Entry, Liquidated, Paid, Traded

if TYPE_CHECKING:
    from crossmargin.clearing.house import House
    from crossmargin.clearing.ledger import Holdings
    from crossmargin.clearing.state import State

__all__ = ["AS_RECORDED", "MONEY", "SOURCE", "Scales", "commands_of", "replayed", "scales_of"]

SOURCE: Final = "recorded"
MONEY: Final = "USD"
_AN_HOUR: Final = 3600


def _judged_already(_state: State, holdings: Mapping[str, Holdings], /) -> dict[str, tuple[Figures, ...]]:
    return {owner: (Figures(owner, inf, inf, inf, inf, triggered=False),) for owner in holdings}


AS_RECORDED: Final = Rules(_judged_already, "as recorded")
"""Rules under which everything recorded passes: the venue let it pass."""


@dataclass(frozen=True, slots=True)
class Scales:
    """Decimal digits that hold every recorded number, and every trade's money, without rounding.

    Parameters
    ----------
    money
        Of the settlement asset: as many as a payment has, and as quantity and price of any coin have together.
    quantity, price
        By coin.
    """

    money: int
    quantity: Mapping[str, int]
    price: Mapping[str, int]


def scales_of(entries: Iterable[Entry]) -> Scales:
    """Return the scales that hold what is recorded exactly."""
    paid, quantity, price = 0, defaultdict[str, int](int), defaultdict[str, int](int)
    for entry in entries:
        if isinstance(entry, Paid):
            paid = max(paid, _digits(entry.amount))
        elif isinstance(entry, Traded):
            quantity[entry.instrument] = max(quantity[entry.instrument], _digits(entry.quantity))
            price[entry.instrument] = max(price[entry.instrument], _digits(entry.price))
    return Scales(max([paid, *(quantity[coin] + price[coin] for coin in price)]), dict(quantity), dict(price))


def _digits(number: Decimal) -> int:
    exponent = number.normalize().as_tuple().exponent
    assert isinstance(exponent, int)  # finite
    return max(0, -exponent)


def commands_of(entries: Iterable[Entry], scales: Scales) -> Iterator[tuple[Entry | None, c.Command | None]]:
    """Yield what is sent, in order, each command with the entry that it is of: first the configuration, of none.

    A liquidation has no command: its trades are recorded as trades, here against the vault.
    """
    listed = list(entries)
    if not listed:
        return
    taken = {(entry.account, entry.as_of) for entry in listed if isinstance(entry, Liquidated)}
    sequence = 0
    for section, content in _sections(listed, scales):
        document = document_of(section, content)
        sequence += 1
        named = _named(sequence, listed[0].as_of)
        yield None, c.Configure(**named, section=section, document=document, digest=digest_of(document))
    for entry in listed:
        sequence += not isinstance(entry, Liquidated)
        named = _named(sequence, entry.as_of)
        match entry:
            case Paid(amount=amount):
                kind = c.Deposit if amount > 0 else c.Withdraw
                units = to_units(str(abs(amount)), scales.money)
                yield entry, kind(**named, owner=entry.account, asset=MONEY, amount=units)
            case Traded():
                other = VAULT if (entry.account, entry.as_of) in taken else BOOK
                yield entry, _trade(entry, other, scales, named)
            case Liquidated():
                yield entry, None


def _named(sequence: int, as_of: datetime) -> dict[str, Any]:
    return {"source": SOURCE, "sequence": sequence, "as_of": as_of}


def _sections(entries: list[Entry], scales: Scales) -> Iterator[tuple[Section, object]]:
    yield Section.ASSETS, {MONEY: Asset(digits=scales.money)}
    yield Section.INSTRUMENTS, {
        coin: Contract(
            instrument=Instrument(
                symbol=coin, kind=InstrumentKind.PERPETUAL, underlying=coin, quote_asset=MONEY, settlement_asset=MONEY
            ),
            quantity_digits=scales.quantity[coin],
            price_digits=scales.price[coin],
        )
        for coin in sorted(scales.price)
    }
    yield Section.ACCOUNTS, {account: Holder() for account in sorted({entry.account for entry in entries})}


def _trade(entry: Traded, other: str, scales: Scales, named: dict[str, Any]) -> c.Trade:
    sides = (entry.account, other) if entry.quantity > 0 else (other, entry.account)
    return c.Trade(
        **named,
        buyer=sides[0],
        seller=sides[1],
        instrument=entry.instrument,
        quantity=to_units(str(abs(entry.quantity)), scales.quantity[entry.instrument]),
        price=to_units(str(entry.price), scales.price[entry.instrument]),
    )


@dataclass(slots=True)
class _Life:
    """What an account's balances do not say: how long it held how much, what it traded, what the record left out.

    `legs` are the trades of its last second, with what was held before each.
    """

    seen: datetime
    prices: dict[str, Fraction] = field(default_factory=dict)
    legs: list[TakenLeg] = field(default_factory=list)
    hours: Fraction = Fraction(0)
    traded: Fraction = Fraction(0)
    paid: bool = False
    untold: bool = False
    isolated: bool = False
    left_before: Fraction = Fraction(0)
    hours_before: Fraction = Fraction(0)


def replayed(entries: Iterable[Entry], house: House) -> Iterator[Stood]:
    """Send everything recorded to an empty house, and yield how each liquidated account stands right after it.

    Raises
    ------
    InputError
        With the reason of the house where it does not take something: the record contradicts itself.
    """
    listed = list(entries)
    scales, lives = scales_of(listed), dict[str, _Life]()
    for entry, command in commands_of(listed, scales):
        if entry is None or isinstance(entry, Liquidated):
            if command is not None:
                _send(command, house)
            if entry is not None:
                yield _stood(entry, lives.setdefault(entry.account, _Life(entry.as_of)), house.state, scales)
            continue
        assert command is not None
        life = lives.setdefault(entry.account, _Life(entry.as_of))
        _before(entry, life, house.state, scales)
        _send(command, house)
        if isinstance(command, c.Trade) and VAULT not in {command.buyer, command.seller}:
            life.untold |= not life.paid or _value(entry.account, life, house.state, scales) < 0


def _send(command: c.Command, house: House) -> None:
    answer = house.handle(command)
    if answer.not_taken is not None:
        raise InputError(answer.not_taken.reason, f"command {command.sequence}: {answer.not_taken.message}")
    event = answer.records[0].event if answer.records else None
    if isinstance(event, Refused):
        message = f"command {command.sequence}: expected {event.expected}, found {event.found}"
        raise InputError(event.reason, message)


def _before(entry: Paid | Traded, life: _Life, state: State, scales: Scales) -> None:
    """Bring an account's life up to an entry that is about to be sent."""
    held = _held(entry.account, state, scales)
    now = sum((abs(quantity) * life.prices[coin] for coin, quantity in held.items()), Fraction(0))
    life.hours += now * Fraction((entry.as_of - life.seen).total_seconds()) / _AN_HOUR
    if entry.as_of != life.seen:
        life.legs.clear()
    life.seen = entry.as_of
    if isinstance(entry, Paid):
        life.paid |= entry.amount > 0
        return
    price = Fraction(entry.price)
    life.legs.append(TakenLeg(entry.instrument, held.get(entry.instrument, Fraction(0)), price))
    life.prices[entry.instrument] = price
    life.traded += abs(Fraction(entry.quantity)) * price


def _held(account: str, state: State, scales: Scales) -> dict[str, Fraction]:
    holdings = state.balances.get(account, {})
    return {coin: Fraction(held, 10 ** scales.quantity[coin]) for (purse, coin), held in holdings.items() if purse == HELD}


def _money(account: str, state: State, scales: Scales) -> Fraction:
    """Return the wallet and what was received for positions, together."""
    holdings = state.balances.get(account, {})
    return Fraction(sum(units for (_, asset), units in holdings.items() if asset == MONEY), 10**scales.money)


def _value(account: str, life: _Life, state: State, scales: Scales) -> Fraction:
    """Return what an account is worth at its own last prices."""
    held = _held(account, state, scales)
    return _money(account, state, scales) + sum((q * life.prices[coin] for coin, q in held.items()), Fraction(0))


def _stood(entry: Liquidated, life: _Life, state: State, scales: Scales) -> Stood:
    """Return how an account stands after a liquidation, and let its next life begin."""
    life.isolated |= not entry.cross
    takeover = Takeover(
        account=entry.account,
        as_of=entry.as_of,
        notional=Fraction(entry.notional),
        account_value=Fraction(entry.account_value),
        cross=entry.cross,
        legs=tuple(life.legs) if life.seen == entry.as_of else (),
    )
    left = _value(entry.account, life, state, scales)
    stood = Stood(
        takeover=takeover,
        flat=not _held(entry.account, state, scales),
        left=left,
        left_before=life.left_before,
        hours=life.hours,
        hours_before=life.hours_before,
        traded=life.traded,
        untold=life.untold,
        isolated=life.isolated,
    )
    life.left_before, life.hours_before = left, life.hours
    return stood
