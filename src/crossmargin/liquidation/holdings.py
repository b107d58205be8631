"""A little book of what every owner holds, exact: money and contracts in one table, moved only by balanced postings."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Final, NamedTuple

from crossmargin.account import Account, Position
from crossmargin.units import exact

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from crossmargin.liquidation.pools import Terms

__all__ = ["BASIS", "HELD", "WALLET", "Entry", "Holdings", "Row", "account_of", "opening", "traded"]

WALLET, HELD, BASIS = "wallet", "held", "basis"
_DUST: Final = Fraction(1, 10**15)
_NONE: Final = Fraction(0)


class Entry(NamedTuple):
    """One balance: whose, in which purse, of which asset. `basis` is kept for each instrument apart."""

    owner: str
    purse: str
    asset: str
    instrument: str = ""


class Row(NamedTuple):
    """One row of a posting: what is added to a balance."""

    entry: Entry
    amount: Fraction


@dataclass(frozen=True, slots=True)
class Holdings:
    """Balances by entry, and the owners whose open orders were cancelled. Every posting sums to 0 for each asset."""

    balances: Mapping[Entry, Fraction] = field(default_factory=dict)
    cancelled: frozenset[str] = frozenset()

    def get(self, owner: str, purse: str, asset: str, instrument: str = "") -> Fraction:
        """Return one balance; 0 where there is none."""
        return self.balances.get(Entry(owner, purse, asset, instrument), _NONE)

    def posted(self, rows: Iterable[Row]) -> Holdings:
        """Return the book after a posting.

        Raises
        ------
        ValueError
            The rows of some asset do not sum to 0: something would come from nothing.
        """
        listed = [row for row in rows if row.amount]
        sums: defaultdict[str, Fraction] = defaultdict(Fraction)
        changed = dict(self.balances)
        for row in listed:
            sums[row.entry.asset] += row.amount
            changed[row.entry] = changed.get(row.entry, _NONE) + row.amount
        off = {asset: total for asset, total in sums.items() if total}
        if off:
            message = f"a posting must sum to 0 for each asset, this one leaves {off}"
            raise ValueError(message)
        return Holdings(changed, self.cancelled)

    def of(self, owner: str) -> dict[Entry, Fraction]:
        """Return what an owner holds, without empty balances."""
        return {entry: amount for entry, amount in self.balances.items() if entry.owner == owner and amount}

    def total(self, asset: str) -> Fraction:
        """Return the sum of an asset over all owners and purses: 0 at any time."""
        return sum((amount for entry, amount in self.balances.items() if entry.asset == asset), Fraction(0))


def traded(
    holdings: Holdings,
    owner: str,
    instrument: str,
    terms: Terms,
    contracts: Fraction,
    money: Fraction,
    *,
    realise: bool,
) -> list[Row]:
    """Return the rows by which an owner takes `contracts` more (signed) for `money` (received, signed).

    What is closed takes its share of the basis with it; the difference goes to the wallet where `realise` says so, else
    it stays with the position. A flip closes all and opens the rest at the same price.
    """
    held, asset = Entry(owner, HELD, instrument, instrument), terms.settles_in
    rows, wallet = [Row(held, contracts)], Entry(owner, WALLET, asset)
    if terms.form == "premium":
        return [*rows, Row(wallet, money)]
    basis, before = Entry(owner, BASIS, asset, instrument), holdings.get(*held)
    closed = min(abs(contracts), abs(before)) if before * contracts < 0 else Fraction(0)
    if not realise or not closed:
        return [*rows, Row(basis, money)]
    freed = holdings.get(*basis) * closed / abs(before)
    of_it = money * closed / abs(contracts)
    return [*rows, Row(basis, money - of_it - freed), Row(wallet, of_it + freed)]


def opening(account: Account, terms: Mapping[str, Terms], world: str = "world") -> Holdings:
    """Return the book of one account: what it holds comes from `world`, funding that it is owed is settled.

    Parameters
    ----------
    terms
        Of each instrument that it holds.
    """
    rows: list[Row] = []
    for asset, amount in account.balances.items():
        rows += _paid(account.id, world, WALLET, asset, "", Fraction(amount))
    for asset, amount in account.accrued.items():
        rows += _paid(account.id, world, WALLET, asset, "", Fraction(amount))
    for position in account.positions:
        name, its = position.instrument, terms[position.instrument]
        quantity = Fraction(position.quantity)
        rows += _paid(account.id, world, HELD, name, name, quantity)
        rows += _paid(account.id, world, WALLET, its.settles_in, "", Fraction(position.accrued_funding))
        if its.form in {"linear", "inverse"} and position.entry_price is not None:
            basis = its.money(quantity, Fraction(position.entry_price))
            rows += _paid(account.id, world, BASIS, its.settles_in, name, basis)
    return Holdings().posted(rows)


def _paid(owner: str, other: str, purse: str, asset: str, instrument: str, amount: Fraction) -> tuple[Row, Row]:
    return Row(Entry(owner, purse, asset, instrument), amount), Row(Entry(other, purse, asset, instrument), -amount)


def account_of(holdings: Holdings, owner: str, terms: Mapping[str, Terms], like: Account) -> Account:
    """Return what an owner holds as an account that can be assessed; `like` gives its class, mode and orders.

    A position is entered at the price that its basis implies; where that is no price, at its mark, and the rest of its
    P&L as funding that it is owed.
    """
    mine = holdings.of(owner)
    balances = {e.asset: _decimal(a) for e, a in mine.items() if e.purse == WALLET}
    names = {e.instrument for e in mine if e.purse in {HELD, BASIS}}
    known = {position.instrument: position for position in like.positions}
    positions: list[Position] = []
    for name in sorted(names):
        positions += _positions(holdings, owner, name, terms[name], known.get(name))
    orders = () if owner in holdings.cancelled else like.orders
    return Account(
        id=owner,
        margin_mode=like.margin_mode,
        class_=like.class_,
        balances=balances,
        positions=tuple(positions),
        orders=orders,
        inputs=like.inputs,
    )


def _positions(holdings: Holdings, owner: str, name: str, terms: Terms, like: Position | None) -> list[Position]:
    held = holdings.get(owner, HELD, name, name)
    leverage = like.leverage if like else None
    if terms.form == "premium":
        paid = like.entry_price if like else None
        return [Position(instrument=name, quantity=_decimal(held), entry_price=paid, leverage=leverage)] if held else []
    basis = holdings.get(owner, BASIS, terms.settles_in, name)
    if not held:
        return _closed(name, terms, basis)
    entry = _entry(held, basis, terms)
    if entry > 0:
        return [Position(instrument=name, quantity=_decimal(held), entry_price=_decimal(entry), leverage=leverage)]
    owed = basis - terms.money(held, terms.mark)
    return [
        Position(
            instrument=name,
            quantity=_decimal(held),
            entry_price=_decimal(terms.mark),
            leverage=leverage,
            accrued_funding=_decimal(owed),
        )
    ]


def _entry(held: Fraction, basis: Fraction, terms: Terms) -> Fraction:
    """Return the price at which the basis was paid; 0 where that is no price."""
    if terms.form == "inverse":
        return held * terms.multiplier / basis if basis * held > 0 else Fraction(0)
    return -basis / (held * terms.multiplier)


def _closed(name: str, terms: Terms, basis: Fraction) -> list[Position]:
    """Return P&L that no contract is left of: a position and its opposite, of which one is owed it."""
    if abs(basis) < _DUST:
        return []
    mark = _decimal(terms.mark)
    one = Decimal(1)
    return [
        Position(instrument=name, quantity=one, entry_price=mark, accrued_funding=_decimal(basis)),
        Position(instrument=name, quantity=-one, entry_price=mark),
    ]


def _decimal(number: Fraction) -> Decimal:
    """Return a fraction as a decimal: exact where it has an end, else as the float nearest to it."""
    twos_and_fives = number.denominator
    if twos_and_fives == 1:
        return Decimal(number.numerator)
    for prime in (2, 5):
        while twos_and_fives % prime == 0:
            twos_and_fives //= prime
    if twos_and_fives == 1 and number.denominator < 10**24:
        return Decimal(number.numerator) / Decimal(number.denominator)
    return exact(float(number))
