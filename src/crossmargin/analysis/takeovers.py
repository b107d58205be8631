"""Recorded takeovers of accounts, judged: was maintenance broken, was it the bankruptcy price, what does a ledger say.

A record tells the notional and the value of an account when it was taken over, and the trades that took its positions.
It tells no marks. Where the prices that were paid spread the account value over the positions by their notional, the
marks follow from them, and the notional that they make proves them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from itertools import product
from math import ceil, floor
from typing import TYPE_CHECKING, Final

from crossmargin.account import Account, Position
from crossmargin.instruments import InstrumentKind
from crossmargin.liquidation.assessed import Engine
from crossmargin.liquidation.pools import Terms
from crossmargin.liquidation.prices import bankruptcy_price
from crossmargin.market import AssetQuote, Listing, Snapshot
from crossmargin.units import exact

if TYPE_CHECKING:
    from crossmargin.margin.model import Rulebook

__all__ = [
    "Cause",
    "Judged",
    "Stood",
    "TakenLeg",
    "Takeover",
    "cut",
    "engine_of",
    "gap",
    "judged",
    "marks_of",
    "prices_at",
]

COARSE: Final = 5  # significant figures of most marks of the venue
FIGURES: Final = 6  # of the others, and of the prices at which it takes over
MOST_DECIMALS: Final = 6
MOST_LEGS: Final = 10  # whose marks are looked for: each leg doubles what is tried
NEAR: Final = Fraction(1, 10**5)  # of notional: what cutting a price to its figures can make
CENT: Final = Fraction(1, 100)
FUNDING_AN_HOUR: Final = Fraction(1, 10**4)  # of what is held: eight times the venue's base rate, a generous bound
FEES_AND_REBATES: Final = Fraction(5, 10**4)  # of what is traded


@dataclass(frozen=True, slots=True)
class TakenLeg:
    """One position that was taken over: signed contracts as they were held, and the price of the trade that took it."""

    instrument: str
    contracts: Fraction
    price: Fraction


@dataclass(frozen=True, slots=True)
class Takeover:
    """One recorded liquidation.

    Parameters
    ----------
    notional, account_value
        As the venue recorded them, money.
    cross
        Whether the whole account was margined together, rather than a position alone.
    legs
        What was taken in that second.
    beside
        Signed contracts that stayed, by instrument.
    """

    account: str
    as_of: datetime
    notional: Fraction
    account_value: Fraction
    cross: bool
    legs: tuple[TakenLeg, ...]
    beside: Mapping[str, Fraction] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Stood:
    """A takeover, and what a ledger that was fed with everything recorded says of the account right after it.

    Parameters
    ----------
    flat
        Whether no contract is left.
    left, left_before
        Money that the account is left with; and after its takeover before this one, 0 at the first.
    hours, hours_before
        Notional held x hours, at the account's own last prices, since it began: until now, until the one before.
    net_hours
        The same until now, of longs less shorts, signed: what funding is paid on.
    traded
        Money of all trades since it began.
    untold
        Whether money must have come before that no record tells of: a trade before any payment, or a value below 0.
    went_on
        Whether it traded or withdrew again before any new payment.
    isolated
        Whether a position of the account was liquidated alone at some time so far.
    """

    takeover: Takeover
    flat: bool
    left: Fraction
    left_before: Fraction
    hours: Fraction
    hours_before: Fraction
    net_hours: Fraction
    traded: Fraction
    untold: bool
    went_on: bool
    isolated: bool


class Cause(StrEnum):
    """What may lie behind money that a ledger leaves where the venue left none; the first that fits."""

    FUNDING = "funding"  # no more than it may have come to, of all that was held: it is not recorded
    EARLIER = "earlier"  # so since the takeover before: that one's is carried on
    KEPT = "kept"  # the account went on with it: the takeover did not take everything
    TRANSFERS = "transfers"  # money came that no record tells of
    ISOLATED = "isolated"  # money stood behind single positions
    FEES = "fees"  # no more than fees or rebates of everything traded may have come to
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Judged:
    """What a takeover shows.

    Parameters
    ----------
    ratio
        Account value over notional.
    gap
        Of the notional: by how much what was paid differs from notional less account value; None of a two-sided one.
    marks
        Of each leg, where the record proves them; None where it does not.
    at_bankruptcy
        Whether each leg went at its bankruptcy price, cut to six figures.
    an_hour
        Of what was held: the money left, unsigned, for each hour.
    net_an_hour
        Of longs less shorts: the money left, signed; the rate that longs would have paid shorts. None where both were
        the same.
    cause
        Of a cross account that is flat; None of any other.
    """

    stood: Stood
    ratio: Fraction
    gap: Fraction | None
    marks: tuple[Fraction, ...] | None
    at_bankruptcy: bool
    an_hour: Fraction
    net_an_hour: Fraction | None
    cause: Cause | None


def judged(stood: Stood) -> Judged:
    """Return what a takeover shows."""
    takeover = stood.takeover
    marks = marks_of(takeover)
    return Judged(
        stood=stood,
        ratio=takeover.account_value / takeover.notional,
        gap=gap(takeover),
        marks=marks,
        at_bankruptcy=marks is not None and prices_at(takeover, marks) == tuple(leg.price for leg in takeover.legs),
        an_hour=abs(stood.left) / stood.hours if stood.hours else Fraction(0),
        net_an_hour=stood.left / stood.net_hours if stood.net_hours else None,
        cause=_cause(stood) if takeover.cross and stood.flat else None,
    )


def gap(takeover: Takeover) -> Fraction | None:
    """Return how far what was paid is from taking the account over with all its value, as a share of the notional.

    A long of notional N and account value A goes for N - A, a short for N + A. None where longs and shorts went
    together: their marks alone would tell.
    """
    sides = {leg.contracts > 0 for leg in takeover.legs}
    if len(sides) != 1:
        return None
    paid = sum((abs(leg.contracts) * leg.price for leg in takeover.legs), Fraction(0))
    wanted = takeover.notional - takeover.account_value * (1 if True in sides else -1)
    return abs(paid - wanted) / takeover.notional


def marks_of(takeover: Takeover) -> tuple[Fraction, ...] | None:
    """Return the marks of the legs at the takeover, or None where the record does not prove any.

    A long that bears its part of the account value by notional goes at ``mark * (1 - share)``, a short at
    ``mark * (1 + share)``, cut to six figures. So each price gives a mark: the nearest of five figures, or the next
    above of six. Those are proven whose notional is the recorded one exactly, or lacks just what a single position
    that stayed is worth at a price of six figures.
    """
    share = takeover.account_value / takeover.notional
    if not takeover.legs or len(takeover.legs) > MOST_LEGS or abs(share) >= 1:
        return None
    about = [leg.price / (1 - share if leg.contracts > 0 else 1 + share) for leg in takeover.legs]
    tried = product(*((_rounded(price, COARSE), _rounded(price, FIGURES, up=True)) for price in about))
    return next((marks for marks in tried if _proven(takeover, marks)), None)


def _proven(takeover: Takeover, marks: tuple[Fraction, ...]) -> bool:
    taken = sum((abs(leg.contracts) * mark for leg, mark in zip(takeover.legs, marks, strict=True)), Fraction(0))
    rest = takeover.notional - taken
    if rest <= 0 or len(takeover.beside) != 1:
        return rest == 0
    (contracts,) = takeover.beside.values()
    return cut(rest / abs(contracts)) == rest / abs(contracts)


def prices_at(takeover: Takeover, marks: Iterable[Fraction]) -> tuple[Fraction, ...]:
    """Return the price of each leg at which it leaves nothing of its part of the account value, cut to six figures."""
    share = takeover.account_value / takeover.notional
    found = []
    for leg, mark in zip(takeover.legs, marks, strict=True):
        part = share * abs(leg.contracts) * mark
        price = bankruptcy_price(Terms("USD", mark=mark), leg.contracts, part)
        found.append(cut(price))
    return tuple(found)


def engine_of(takeover: Takeover, marks: Iterable[Fraction], rulebook: Rulebook, money: str = "USD") -> Engine:
    """Return the engine on the account as it stood before: its positions at these marks, its recorded value behind.

    Entries are the marks, so that the balance is the value: what an account paid does not decide when it is taken over.
    """
    at = dict(zip((leg.instrument for leg in takeover.legs), map(float, marks), strict=True))
    listings = {
        coin: Listing(
            symbol=coin,
            kind=InstrumentKind.PERPETUAL,
            underlying=coin,
            quote_asset=money,
            settlement_asset=money,
            mark_price=mark,
            index_price=mark,
        )
        for coin, mark in at.items()
    }
    assets = {money: AssetQuote(price=1.0), **{coin: AssetQuote(price=mark) for coin, mark in at.items()}}
    market = Snapshot(as_of=takeover.as_of, reporting_asset=money, assets=assets, listings=listings)
    account = Account(
        id=takeover.account,
        balances={money: exact(float(takeover.account_value))},
        positions=tuple(
            Position(
                instrument=leg.instrument,
                quantity=exact(float(leg.contracts)),
                entry_price=exact(at[leg.instrument]),
            )
            for leg in takeover.legs
        ),
    )
    return Engine(account, lambda _elapsed: market, rulebook)


def cut(price: Fraction) -> Fraction:
    """Return a price > 0 as the venue states it: six significant figures, at most six decimals, the rest left out."""
    place = _place(price, FIGURES)
    return floor(price / place) * place


def _rounded(price: Fraction, figures: int, *, up: bool = False) -> Fraction:
    place = _place(price, figures)
    return (ceil(price / place) if up else round(price / place)) * place


def _place(price: Fraction, figures: int) -> Fraction:
    """Return what the last figure of a price counts."""
    first = (Decimal(price.numerator) / Decimal(price.denominator)).adjusted()
    return Fraction(10) ** -min(figures - 1 - first, MOST_DECIMALS)


def _cause(stood: Stood) -> Cause:
    """Return the first cause that fits. `KEPT` is shown by what the account did next, the others are not excluded."""
    since, hours = stood.left - stood.left_before, stood.hours - stood.hours_before
    fits = {
        Cause.FUNDING: abs(stood.left) <= CENT + FUNDING_AN_HOUR * stood.hours,
        Cause.EARLIER: abs(since) <= CENT + FUNDING_AN_HOUR * hours,
        Cause.KEPT: stood.went_on and stood.left > 0,
        Cause.TRANSFERS: stood.untold or stood.went_on,
        Cause.ISOLATED: stood.isolated,
        Cause.FEES: abs(stood.left) <= FEES_AND_REBATES * stood.traded,
    }
    return next((cause for cause, holds in fits.items() if holds), Cause.UNKNOWN)
