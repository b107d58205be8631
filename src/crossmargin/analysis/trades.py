"""An account after trades, orders and deposits, in exact decimals: purchases are paid for, what closes is realised."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import TypeAlias

import msgspec

from crossmargin.account import Account, MarginMode, Order, Position
from crossmargin.errors import FailureReason, InputError
from crossmargin.instruments import ContractKind, InstrumentKind
from crossmargin.market import Listing, Snapshot
from crossmargin.units import exact

__all__ = ["Changes", "Leg", "Shock", "changed_account"]

_ZERO = Decimal(0)
Leg: TypeAlias = tuple[str, Decimal, Decimal | None]
"""Instrument, signed contracts, price (None: at the mark)."""


class Shock(msgspec.Struct, frozen=True, kw_only=True):
    """One joint move of the market, all relative but time, rate and funding.

    `prices` by underlying: what wraps it and contracts on it move along. `peg` by asset: its own price alone. `vol`
    for all underlyings, or by underlying. `time_days` >= 0. `funding`: one payment at this rate, + paid by longs.
    `rate` absolute.
    """

    prices: Mapping[str, float] = {}
    vol: float | Mapping[str, float] = 0.0
    time_days: float = 0.0
    funding: float = 0.0
    peg: Mapping[str, float] = {}
    rate: float = 0.0


class Changes(msgspec.Struct, frozen=True, kw_only=True):
    """What a what-if changes.

    Parameters
    ----------
    add
        Trades: (instrument, signed contracts, price; None is at the mark).
    orders
        Open orders: (instrument, signed contracts, limit; None is at the mark).
    deposits
        Signed amounts by asset; negative withdraws.
    shock
        A joint move of the market after all that.
    fee_rate
        Fee of trades, a fraction of their notional, taken from the settlement asset.
    """

    add: tuple[Leg, ...] = ()
    orders: tuple[Leg, ...] = ()
    deposits: Mapping[str, Decimal] = {}
    shock: Shock = Shock()
    fee_rate: float = 0.0


def changed_account(account: Account, snapshot: Snapshot, changes: Changes) -> tuple[Account, dict[str, Decimal]]:
    """Return the account after trades, orders and deposits, and the fees paid by asset.

    Raises
    ------
    InputError
        An instrument that the snapshot does not list or that has no mark, a quantity that is none.
    """
    desk = _Desk(account, snapshot)
    for asset, amount in changes.deposits.items():
        desk.credit(asset, amount)
    for leg in changes.add:
        desk.trade(leg, exact(changes.fee_rate))
    orders = tuple(
        Order(instrument=listing.symbol, quantity=quantity, limit_price=price)
        for listing, quantity, price in (desk.priced(leg) for leg in changes.orders)
    )
    after = msgspec.structs.replace(
        account, balances=desk.balances, positions=tuple(desk.positions), orders=(*account.orders, *orders)
    )
    return after, desk.fees


class _Desk:
    """An account that trades: balances and positions as they change."""

    def __init__(self, account: Account, snapshot: Snapshot) -> None:
        self.account = account
        self.snapshot = snapshot
        self.balances: dict[str, Decimal] = dict(account.balances)
        self.positions: list[Position] = list(account.positions)
        self.fees: dict[str, Decimal] = {}

    def credit(self, asset: str, amount: Decimal) -> None:
        """Add a signed amount to a balance."""
        self.balances[asset] = self.balances.get(asset, _ZERO) + amount

    def priced(self, leg: Leg) -> tuple[Listing, Decimal, Decimal]:
        """Return the leg's listing, contracts and price."""
        symbol, quantity, price = leg
        listing = self.snapshot.listings.get(symbol)
        if listing is None:
            message = "the snapshot does not list it; add it to snapshot.instruments or check the symbol"
            raise InputError(FailureReason.UNKNOWN_INSTRUMENT, message, account=self.account.id, instrument=symbol)
        if not quantity.is_finite() or quantity == 0:
            message = f"quantity must be a number other than 0, found {quantity}"
            raise InputError(FailureReason.INVALID_QUANTITY, message, account=self.account.id, instrument=symbol)
        if price is None:
            price = self._mark(listing)
        if not price.is_finite() or price < 0 or (price == 0 and listing.kind != InstrumentKind.OPTION):
            message = f"the price of a trade must be above 0, found {price}"
            raise InputError(FailureReason.INVALID_PRICE, message, account=self.account.id, instrument=symbol)
        return listing, quantity, price

    def _mark(self, listing: Listing) -> Decimal:
        if listing.mark_price is None:
            message = "it has no mark_price to trade at; name a price"
            where = {"account": self.account.id, "instrument": listing.symbol}
            raise InputError(FailureReason.MISSING_QUOTE, message, **where)
        return exact(listing.mark_price)

    def trade(self, leg: Leg, fee_rate: Decimal) -> None:
        """Trade at a price: pay premium or cash, merge the position, realise what closes, pay the fee."""
        listing, quantity, price = self.priced(leg)
        multiplier = exact(listing.multiplier)
        if listing.kind == InstrumentKind.SPOT:
            self.credit(listing.underlying, quantity * multiplier)
            self.credit(listing.quote_asset, -quantity * multiplier * price)
        else:
            self._hold(listing, quantity, price)
            if listing.kind == InstrumentKind.OPTION:
                self.credit(listing.settlement_asset, -quantity * multiplier * price)
        self._pay_fee(listing, quantity, price, fee_rate)

    def _pay_fee(self, listing: Listing, quantity: Decimal, price: Decimal, fee_rate: Decimal) -> None:
        asset = listing.quote_asset if listing.kind == InstrumentKind.SPOT else listing.settlement_asset
        fee = fee_rate and fee_rate * abs(quantity) * _notional_each(listing, price, self.snapshot)
        if fee:
            self.credit(asset, -fee)
            self.fees[asset] = self.fees.get(asset, _ZERO) + fee

    def _hold(self, listing: Listing, quantity: Decimal, price: Decimal) -> None:
        """Merge into the account's shared positions; in hedge mode what is opposite closes first, the rest opens."""
        rows = [i for i, held in enumerate(self.positions) if self._is_shared(held, listing.symbol)]
        opposite = [i for i in rows if (self.positions[i].quantity > 0) != (quantity > 0)]
        for i in opposite:
            closing = min(abs(self.positions[i].quantity), abs(quantity))
            self._close(i, listing, closing, price)
            quantity -= closing if quantity > 0 else -closing
        if quantity:
            same = [i for i in rows if i not in opposite]
            self._open(same[0] if same else None, listing, quantity, price)
        self.positions = [held for held in self.positions if held.quantity]

    def _is_shared(self, held: Position, symbol: str) -> bool:
        mode = held.margin_mode or self.account.margin_mode
        return held.instrument == symbol and not held.pool and mode != MarginMode.ISOLATED

    def _close(self, row: int, listing: Listing, closing: Decimal, price: Decimal) -> None:
        held = self.positions[row]
        closed = closing if held.quantity > 0 else -closing
        margined = listing.kind != InstrumentKind.OPTION
        if margined and held.entry_price:  # without one, or with 0, the account is refused
            self.credit(listing.settlement_asset, closed * _gain_each(listing, held.entry_price, price))
        share = closed / held.quantity
        accrued = held.accrued_funding * share
        if accrued:
            self.credit(listing.settlement_asset, accrued)
        self.positions[row] = msgspec.structs.replace(
            held, quantity=held.quantity - closed, accrued_funding=held.accrued_funding - accrued
        )

    def _open(self, row: int | None, listing: Listing, quantity: Decimal, price: Decimal) -> None:
        entry = None if listing.kind == InstrumentKind.OPTION else price
        if row is None:
            self.positions.append(Position(instrument=listing.symbol, quantity=quantity, entry_price=entry))
            return
        held = self.positions[row]
        whole = held.quantity + quantity
        if held.entry_price:
            entry = _average(listing, (held.quantity, held.entry_price), (quantity, price))
        self.positions[row] = msgspec.structs.replace(held, quantity=whole, entry_price=entry)


def _average(listing: Listing, first: tuple[Decimal, Decimal], second: tuple[Decimal, Decimal]) -> Decimal:
    """Return the entry price of two fills together: the harmonic mean for what pays in 1 / price."""
    (q, p), (r, s) = first, second
    inverse = listing.contract == ContractKind.INVERSE and listing.kind != InstrumentKind.OPTION
    return (q + r) / (q / p + r / s) if inverse else (q * p + r * s) / (q + r)


def _gain_each(listing: Listing, entry: Decimal, price: Decimal) -> Decimal:
    """Return what one long contract gains from entry to price, settlement asset."""
    multiplier = exact(listing.multiplier)
    if listing.contract == ContractKind.INVERSE:
        return multiplier * (1 / entry - 1 / price)
    return multiplier * (price - entry)


def _notional_each(listing: Listing, price: Decimal, snapshot: Snapshot) -> Decimal:
    """Return the notional of one contract in the asset that pays its fee; an option's is of its underlying."""
    multiplier = exact(listing.multiplier)
    if listing.kind == InstrumentKind.OPTION:
        return multiplier if listing.contract == ContractKind.INVERSE else multiplier * _index(listing, snapshot)
    return multiplier / price if listing.contract == ContractKind.INVERSE else multiplier * price


def _index(listing: Listing, snapshot: Snapshot) -> Decimal:
    """Return the price of an option's underlying in its quote asset."""
    price = listing.index_price or listing.forward_price
    underlying, quote = snapshot.assets.get(listing.underlying), snapshot.assets.get(listing.quote_asset)
    if price is None and underlying and quote:
        price = underlying.price / quote.price
    if price is None:
        message = f"a fee needs the price of {listing.underlying}: give the option an index_price"
        raise InputError(FailureReason.MISSING_QUOTE, message, instrument=listing.symbol)
    return exact(price)
