"""Recorded lives sent through a clearing house: every payment and trade a command, every liquidation a look.

The venue judged these commands when they were made, so nothing is asked of a margin engine again. Trades stand against
`book`, the market that the record does not name. What a liquidation takes goes to `vault`, and so does the same trade
of the other side where that is recorded too: then nothing stays there.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from math import inf
from typing import TYPE_CHECKING, Any, Final

import msgspec

from crossmargin.analysis.takeovers import Stood, TakenLeg, Takeover
from crossmargin.clearing import commands as c
from crossmargin.clearing.configuration import Holder, Section, digest_of, document_of
from crossmargin.clearing.contracts import Asset, Contract
from crossmargin.clearing.events import Refused
from crossmargin.clearing.ledger import BOOK, HELD, VAULT
from crossmargin.clearing.rules import Figures, Rules
from crossmargin.clearing.scales import to_units
from crossmargin.errors import FailureReason, InputError
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
    rich = Figures("", inf, inf, inf, inf, triggered=False, adjusted_equity=inf, initial=0.0, maintenance=0.0)
    return {owner: (msgspec.structs.replace(rich, pool=owner),) for owner in holdings}


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

    def worth(self, coin: str, quantity: int, price: int) -> int:
        """Return what a quantity costs at a price: units of money, exactly."""
        return quantity * price * int(10 ** (self.money - self.quantity[coin] - self.price[coin]))


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
    liquidated = {(entry.account, entry.as_of) for entry in listed if isinstance(entry, Liquidated)}
    taken = {_told(e) for e in listed if isinstance(e, Traded) and (e.account, e.as_of) in liquidated}
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
                yield entry, _trade(entry, VAULT if _told(entry) in taken else BOOK, scales, named)
            case Liquidated():
                yield entry, None


def _told(entry: Traded) -> tuple[datetime, str, Decimal, Decimal]:
    """Return what both sides of one trade record alike."""
    return entry.as_of, entry.instrument, abs(entry.quantity), entry.price


def _named(sequence: int, as_of: datetime) -> dict[str, Any]:
    return {"source": SOURCE, "sequence": sequence, "as_of": as_of}


def _sections(entries: list[Entry], scales: Scales) -> Iterator[tuple[Section, object]]:
    yield Section.ASSETS, {MONEY: Asset(digits=scales.money)}
    yield (
        Section.INSTRUMENTS,
        {
            coin: Contract(
                instrument=Instrument(
                    symbol=coin,
                    kind=InstrumentKind.PERPETUAL,
                    underlying=coin,
                    quote_asset=MONEY,
                    settlement_asset=MONEY,
                ),
                quantity_digits=scales.quantity[coin],
                price_digits=scales.price[coin],
            )
            for coin in sorted(scales.price)
        },
    )
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

    All in units: `prices` of its last trades, `held_seconds` and `net_seconds` of money x seconds, `traded` of money.
    `legs` are the trades of its last second: coin, what was held before, price. `waiting`: the takeover after which
    nothing came yet.
    """

    seen: datetime
    prices: dict[str, int] = field(default_factory=dict)
    legs: list[tuple[str, int, int]] = field(default_factory=list)
    held_seconds: int = 0
    net_seconds: int = 0
    traded: int = 0
    paid: bool = False
    untold: bool = False
    isolated: bool = False
    left_before: Fraction = Fraction(0)
    hours_before: Fraction = Fraction(0)
    waiting: int | None = None


def replayed(entries: Iterable[Entry], house: House) -> tuple[Stood, ...]:
    """Send everything recorded to an empty house, and return how each liquidated account stood right after it.

    Raises
    ------
    InputError
        DUPLICATE_ACCOUNT where the house is not empty; else the house's reason where it does not take something: the
        record contradicts itself.
    """
    if house.state.number:
        message = f"a record is replayed into an empty house, this one stands at record {house.state.number}"
        raise InputError(FailureReason.DUPLICATE_ACCOUNT, message)
    listed = list(entries)
    scales, lives, found = scales_of(listed), dict[str, _Life](), list[Stood]()
    for entry, command in commands_of(listed, scales):
        if entry is None:
            _send(command, house)
            continue
        life = lives.setdefault(entry.account, _Life(entry.as_of))
        holdings = house.state.balances.get(entry.account, {})
        if isinstance(entry, Liquidated):
            life.waiting = len(found)
            found.append(_stood(entry, life, holdings, scales))
            continue
        if life.waiting is not None and entry.as_of != life.seen:
            goes_on = not isinstance(command, c.Deposit)
            found[life.waiting], life.waiting = replace(found[life.waiting], went_on=goes_on), None
        _before(command, entry.as_of, life, holdings, scales)
        _send(command, house)
        if isinstance(command, c.Trade) and VAULT not in {command.buyer, command.seller}:
            life.untold |= not life.paid or _value(life, house.state.balances[entry.account], scales) < 0
    return tuple(found)


def _send(command: c.Command | None, house: House) -> None:
    assert command is not None
    answer = house.handle(command)
    if answer.not_taken is not None:
        raise InputError(answer.not_taken.reason, f"command {command.sequence}: {answer.not_taken.message}")
    event = answer.records[0].event if answer.records else None
    if isinstance(event, Refused):
        message = f"command {command.sequence}: expected {event.expected}, found {event.found}"
        raise InputError(event.reason, message)


def _before(command: c.Command | None, as_of: datetime, life: _Life, holdings: Holdings, scales: Scales) -> None:
    """Bring an account's life up to a command that is about to be sent."""
    if as_of != life.seen:
        worths, seconds = list(_worths(life, holdings, scales)), int((as_of - life.seen).total_seconds())
        life.held_seconds += sum(map(abs, worths)) * seconds
        life.net_seconds += sum(worths) * seconds
        life.legs.clear()
        life.seen = as_of
    life.paid |= isinstance(command, c.Deposit)
    if isinstance(command, c.Trade):
        coin = command.instrument
        life.legs.append((coin, holdings.get((HELD, coin), 0), command.price))
        life.prices[coin] = command.price
        life.traded += scales.worth(coin, command.quantity, command.price)


def _worths(life: _Life, holdings: Holdings, scales: Scales) -> Iterator[int]:
    """Yield what each position is worth at the account's own last price, signed."""
    for (purse, coin), held in holdings.items():
        if purse == HELD:
            yield scales.worth(coin, held, life.prices[coin])


def _value(life: _Life, holdings: Holdings, scales: Scales) -> int:
    """Return what an account is worth: wallet, what was received for positions, and those at its own last prices."""
    money = sum(units for (_, asset), units in holdings.items() if asset == MONEY)
    return money + sum(_worths(life, holdings, scales))


def _stood(entry: Liquidated, life: _Life, holdings: Holdings, scales: Scales) -> Stood:
    """Return how an account stands after a liquidation, and let its next life begin."""
    life.isolated |= not entry.cross
    unit = Fraction(1, 10**scales.money)
    legs = [
        TakenLeg(coin, Fraction(held, 10 ** scales.quantity[coin]), Fraction(price, 10 ** scales.price[coin]))
        for coin, held, price in life.legs
        if life.seen == entry.as_of
    ]
    takeover = Takeover(
        account=entry.account,
        as_of=entry.as_of,
        notional=Fraction(entry.notional),
        account_value=Fraction(entry.account_value),
        cross=entry.cross,
        legs=tuple(legs),
        beside={
            coin: Fraction(q, 10 ** scales.quantity[coin]) for (purse, coin), q in holdings.items() if purse == HELD
        },
    )
    stood = Stood(
        takeover=takeover,
        flat=not any(purse == HELD for purse, _ in holdings),
        left=_value(life, holdings, scales) * unit,
        left_before=life.left_before,
        hours=life.held_seconds * unit / _AN_HOUR,
        hours_before=life.hours_before,
        net_hours=life.net_seconds * unit / _AN_HOUR,
        traded=life.traded * unit,
        untold=life.untold,
        went_on=False,
        isolated=life.isolated,
    )
    life.left_before, life.hours_before = stood.left, stood.hours
    return stood
