"""What happens to a live book, drawn as numbers, and a plain mirror of it: accounts in exact decimals, and a snapshot.

An event names its account and instrument by a number that is taken modulo what there is when it happens.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import NamedTuple

from hypothesis import strategies as st
from msgspec.structs import replace

from crossmargin.account import Account, MarginMode, Order
from crossmargin.analysis.trades import Changes, changed_account
from crossmargin.instruments import ContractKind, InstrumentKind, OptionType
from crossmargin.margin import Rulebook
from crossmargin.market import Listing, Snapshot
from tests.strategies.books import in_scope, market
from tests.strategies.books import units as contracts_of
from tests.strategies.portfolios import portfolios

KINDS = ("fill", "close", "deposit", "orders", "input", "price", "vol", "all", "listed", "expire", "joined")


class Event(NamedTuple):
    kind: str
    account: int
    instrument: int
    coins: float
    factor: float


def events(fewest: int = 1, most: int = 8) -> st.SearchStrategy[list[Event]]:
    """Lists of events of every kind, trades the most."""
    coins = st.integers(-4_000, 4_000).filter(bool).map(lambda n: n / 512)  # exact as floats and as decimals
    kinds = st.sampled_from((*KINDS, "fill", "fill", "close", "price"))
    number = st.integers(0, 1_000)
    one = st.builds(Event, kinds, number, number, coins, st.sampled_from((0.8, 0.97, 1.0, 1.01, 1.25)))
    return st.lists(one, min_size=fewest, max_size=most)


def listed_for(rulebook: Rulebook) -> Snapshot:
    """The market of what a rulebook's venue lists."""
    return replace(market(), listings={one.symbol: one for one in in_scope(rulebook)})


def tradable(snapshot: Snapshot) -> list[Listing]:
    """Instruments that a trade may be in: no spot, nothing expired."""
    return [one for one in snapshot.listings.values() if one.kind != InstrumentKind.SPOT and one.delivery_price is None]


def moved(snapshot: Snapshot, touch: Callable[[Listing], Listing]) -> Snapshot:
    """The market with each listing changed."""
    return replace(snapshot, listings={name: touch(one) for name, one in snapshot.listings.items()})


def priced(factor: float, underlying: str | None) -> Callable[[Listing], Listing]:
    """What one underlying does, or all: marks, index and forward move."""

    def touch(one: Listing) -> Listing:
        if underlying not in {None, one.underlying} or one.kind == InstrumentKind.SPOT:
            return one
        names = ("mark_price", "index_price", "forward_price")
        return replace(one, **{name: v * factor for name in names if (v := getattr(one, name)) is not None})

    return touch


def settlement_value(listing: Listing) -> Decimal:
    """What a contract is closed at: an option's payoff, in coin where inverse; of others the delivery price."""
    delivery = listing.delivery_price or 0.0
    if listing.kind != InstrumentKind.OPTION:
        return Decimal(repr(delivery))
    sign = 1 if listing.option_type == OptionType.CALL else -1
    paid = max(sign * (delivery - (listing.strike or 0.0)), 0.0)
    return Decimal(repr(paid / delivery if listing.contract == ContractKind.INVERSE else paid))


@dataclass
class Mirror:
    """The same book, slow and obvious: every event makes new accounts."""

    rulebook: Rulebook
    snapshot: Snapshot
    accounts: list[Account] = field(default_factory=list)
    joined: int = 0

    @classmethod
    def of(cls, rulebook: Rulebook, count: int, seed: int) -> Mirror:
        """A book of random portfolios."""
        snapshot = listed_for(rulebook)
        made = cls(rulebook, snapshot)
        made.accounts = portfolios(rulebook, snapshot, count, seed)
        return made

    def newcomer(self) -> Account:
        self.joined += 1
        (account,) = portfolios(self.rulebook, self.snapshot, 1, 1_000 + self.joined)
        return account

    def apart(self, number: int, symbol: str) -> bool:
        """Whether a trade could land on an isolated position."""
        account = self.accounts[number]
        return any(
            one.instrument == symbol and (one.margin_mode or account.margin_mode) == MarginMode.ISOLATED
            for one in account.positions
        )

    def trade(self, number: int, symbol: str, quantity: Decimal, price: Decimal | None, fee: Decimal) -> None:
        self.accounts[number] = self.traded(number, symbol, quantity, price)
        self.deposit(number, self.snapshot.listings[symbol].settlement_asset, -fee)

    def traded(self, number: int, symbol: str, quantity: Decimal, price: Decimal | None = None) -> Account:
        changes = Changes(add=((symbol, quantity, price),))
        return changed_account(self.accounts[number], self.snapshot, changes)[0]

    def deposit(self, number: int, asset: str, amount: Decimal) -> None:
        changes = Changes(deposits={asset: amount})
        self.accounts[number] = changed_account(self.accounts[number], self.snapshot, changes)[0]

    def order(self, number: int, symbol: str, orders: list[tuple[float, float]]) -> None:
        account = self.accounts[number]
        kept = [one for one in account.orders if one.instrument != symbol]
        kept += [Order(instrument=symbol, quantity=Decimal(q), limit_price=Decimal(p)) for q, p in orders]
        self.accounts[number] = replace(account, orders=tuple(kept))

    def set_input(self, number: int, name: str, value: float) -> None:
        account = self.accounts[number]
        self.accounts[number] = replace(account, inputs={**account.inputs, name: Decimal(value)})

    def delivered(self, symbol: str) -> Snapshot:
        """The market an hour after an instrument's expiry."""
        listing = self.snapshot.listings[symbol]
        past = self.snapshot.as_of - timedelta(hours=1)
        delivery = listing.index_price
        done = replace(listing, delivery_price=delivery, expiry=past if listing.expiry else None)
        return replace(self.snapshot, listings={**self.snapshot.listings, symbol: done})

    def expire(self, symbol: str) -> None:
        price = settlement_value(self.snapshot.listings[symbol])
        for number, account in enumerate(self.accounts):
            kept = [one for one in account.orders if one.instrument != symbol]
            self.accounts[number] = replace(account, orders=tuple(kept))
            for position in [one for one in account.positions if one.instrument == symbol]:
                if any(one.instrument == symbol for one in self.accounts[number].positions):
                    self.accounts[number] = self._closed(number, position.instrument, price)

    def _closed(self, number: int, symbol: str, price: Decimal) -> Account:
        held = next(one for one in self.accounts[number].positions if one.instrument == symbol)
        return self.traded(number, symbol, -held.quantity, price)

    def another(self, of: Listing) -> Listing:
        """An instrument that is not listed yet, like one that is."""
        name = f"{of.symbol}-{len(self.snapshot.listings)}"
        strike = None if of.strike is None else of.strike * 1.05
        return replace(of, symbol=name, strike=strike)


def quantity_of(listing: Listing, coins: float) -> float:
    """Signed contracts worth so many coins, exact in binary."""
    return round(contracts_of(listing, coins) * 512) / 512 or 1.0
