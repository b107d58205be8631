"""An account after trades, orders and deposits, in exact decimals: purchases are paid for, what closes is realised.

Where a trade lands, and what it does to an isolated position, is told at :func:`changed_account`.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Context, Decimal, localcontext
from math import isfinite
from typing import Final, NamedTuple, TypeAlias

import msgspec

from crossmargin.account import Account, MarginMode, Order, Position
from crossmargin.errors import FailureReason, InputError
from crossmargin.instruments import ContractKind, InstrumentKind
from crossmargin.market import Listing, Snapshot
from crossmargin.units import exact

__all__ = ["Changes", "Leg", "Shock", "Traded", "changed_account", "trade_all"]

_ZERO = Decimal(0)
_DIGITS: Final = 90  # sums and products of amounts keep every digit
_QUOTIENT: Final = Context(prec=28)  # what does not end is cut here, once: the rest is what is left, to the last digit
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
        Trades: (instrument, signed contracts, price; None is at the mark). Where one lands, and what it does to an
        isolated position: see :func:`changed_account`.
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


class Traded(NamedTuple):
    """An account after its changes, fees paid by asset, and isolated positions that opened without collateral."""

    account: Account
    fees: dict[str, Decimal]
    unbacked: tuple[str, ...]


def changed_account(account: Account, snapshot: Snapshot, changes: Changes) -> tuple[Account, dict[str, Decimal]]:
    """Return the account after trades, orders and deposits, and the fees paid by asset.

    A trade lands on the instrument's positions in the account's own margin mode; where it is held in the other mode
    alone, on those; where it is not held, it opens in the account's own mode. What is opposite closes first, position
    by position, and what is left of the trade lands by the same rule: a trade in parts leaves what the whole leaves,
    and no second position of one instrument, side and pool comes about.

    What closes of an isolated position is realised into its isolated collateral, which is released to the balances once
    nothing is left of the position. No collateral is moved to an isolated position that opens or grows: how much it is
    to have, a trade does not say. Fees and premiums are paid from the balances; what an isolated option was sold for
    stays in its collateral.

    Raises
    ------
    InputError
        An instrument that the snapshot does not list or that has no mark, a quantity that is none.
    """
    done = trade_all(account, snapshot, changes)
    return done.account, done.fees


def trade_all(account: Account, snapshot: Snapshot, changes: Changes) -> Traded:
    """Return what :func:`changed_account` does, and which isolated positions opened without collateral."""
    with localcontext(prec=_DIGITS):
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
    return Traded(after, desk.fees, tuple(desk.unbacked))


class _Desk:
    """An account that trades: balances and positions as they change."""

    def __init__(self, account: Account, snapshot: Snapshot) -> None:
        self.account = account
        self.snapshot = snapshot
        self.balances: dict[str, Decimal] = dict(account.balances)
        self.positions: list[Position] = list(account.positions)
        self.fees: dict[str, Decimal] = {}
        self.unbacked: dict[str, None] = {}

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
        """Trade at a price: exchange assets, or close and open; then pay the fee."""
        listing, quantity, price = self.priced(leg)
        if listing.kind == InstrumentKind.SPOT:
            multiplier = exact(listing.multiplier)
            self.credit(listing.underlying, quantity * multiplier)
            self.credit(listing.quote_asset, -quantity * multiplier * price)
        else:
            self._hold(listing, quantity, price)
        self._pay_fee(listing, quantity, price, fee_rate)

    def _pay_fee(self, listing: Listing, quantity: Decimal, price: Decimal, fee_rate: Decimal) -> None:
        asset = listing.quote_asset if listing.kind == InstrumentKind.SPOT else listing.settlement_asset
        fee = fee_rate and fee_rate * abs(quantity) * _notional_each(listing, price, self.snapshot)
        if fee:
            self.credit(asset, -fee)
            self.fees[asset] = self.fees.get(asset, _ZERO) + fee

    def _hold(self, listing: Listing, quantity: Decimal, price: Decimal) -> None:
        """Close what is opposite, one position after the other; what is left joins what is held, or opens."""
        while quantity:
            rows = self._rows(listing.symbol)
            opposite = [i for i in rows if (self.positions[i].quantity > 0) != (quantity > 0)]
            if not opposite:
                self._open(rows[0] if rows else None, listing, quantity, price)
                return
            closed = min(abs(self.positions[opposite[0]].quantity), abs(quantity)).copy_sign(-quantity)
            self._close(opposite[0], listing, closed, price)
            quantity += closed

    def _rows(self, symbol: str) -> list[int]:
        """Return the positions that a trade lands on: of the account's own margin mode, else of the other."""
        found: dict[bool, list[int]] = {True: [], False: []}
        for i, held in enumerate(self.positions):
            isolated = self._is_isolated(held)
            if held.instrument == symbol and (isolated or not held.pool):
                found[isolated].append(i)
        own = self.account.margin_mode == MarginMode.ISOLATED
        return found[own] or found[not own]

    def _is_isolated(self, held: Position) -> bool:
        return (held.margin_mode or self.account.margin_mode) == MarginMode.ISOLATED

    def _close(self, row: int, listing: Listing, closed: Decimal, price: Decimal) -> None:
        """Realise a part of a position, signed as the position: into its isolated collateral, else the balance."""
        held = self.positions[row]
        accrued = _QUOTIENT.divide(held.accrued_funding * closed, held.quantity)
        paid = accrued + _realised(listing, closed, held.entry_price, price)
        collateral = dict(held.isolated_collateral)
        if not self._is_isolated(held):
            self.credit(listing.settlement_asset, paid)
        elif paid:
            collateral[listing.settlement_asset] = collateral.get(listing.settlement_asset, _ZERO) + paid
        if closed == held.quantity:
            self._release(row, collateral)
            return
        self.positions[row] = msgspec.structs.replace(
            held,
            quantity=held.quantity - closed,
            accrued_funding=held.accrued_funding - accrued,
            isolated_collateral=collateral,
        )

    def _release(self, row: int, collateral: Mapping[str, Decimal]) -> None:
        """Remove a position of which nothing is left; what backed it goes to the balances."""
        self.unbacked.pop(self.positions.pop(row).instrument, None)
        for asset, amount in collateral.items():
            self.credit(asset, amount)

    def _open(self, row: int | None, listing: Listing, quantity: Decimal, price: Decimal) -> None:
        option = listing.kind == InstrumentKind.OPTION
        entry = None if option else price
        if row is None:
            held = Position(instrument=listing.symbol, quantity=quantity, entry_price=entry)
            row = len(self.positions)
            self.positions.append(held)
            if self._is_isolated(held):
                self.unbacked[listing.symbol] = None
        else:
            held = self.positions[row]
            if held.entry_price:
                entry = _average(listing, (held.quantity, held.entry_price), (quantity, price))
            held = msgspec.structs.replace(held, quantity=held.quantity + quantity, entry_price=entry)
        self.positions[row] = held
        if option:
            self._pay_premium(row, listing, -quantity * exact(listing.multiplier) * price)

    def _pay_premium(self, row: int, listing: Listing, paid: Decimal) -> None:
        """Pay from the balance; what an isolated option was sold for stays with it, beside what is owed on it."""
        held, asset = self.positions[row], listing.settlement_asset
        if paid <= 0 or not self._is_isolated(held):
            self.credit(asset, paid)
            return
        collateral = {**held.isolated_collateral, asset: held.isolated_collateral.get(asset, _ZERO) + paid}
        self.positions[row] = msgspec.structs.replace(held, isolated_collateral=collateral)


def _average(listing: Listing, first: tuple[Decimal, Decimal], second: tuple[Decimal, Decimal]) -> Decimal:
    """Return the entry price of two fills together: the harmonic mean for what pays in 1 / price."""
    (q, p), (r, s) = first, second
    inverse = listing.contract == ContractKind.INVERSE and listing.kind != InstrumentKind.OPTION
    if inverse:
        return _QUOTIENT.divide((q + r) * p * s, q * s + r * p)
    return _QUOTIENT.divide(q * p + r * s, q + r)


def _realised(listing: Listing, closed: Decimal, entry: Decimal | None, price: Decimal) -> Decimal:
    """Return what closing these contracts pays, settlement asset: an option its price, the others their gain."""
    whole = closed * exact(listing.multiplier)
    if listing.kind == InstrumentKind.OPTION:
        return whole * price
    if not entry:  # without one, or with 0, the account is refused
        return _ZERO
    if listing.contract == ContractKind.INVERSE:
        return _QUOTIENT.divide(whole * (price - entry), entry * price)
    return whole * (price - entry)


def _notional_each(listing: Listing, price: Decimal, snapshot: Snapshot) -> Decimal:
    """Return the notional of one contract in the asset that pays its fee; an option's is of its underlying."""
    multiplier = exact(listing.multiplier)
    if listing.kind == InstrumentKind.OPTION:
        return multiplier if listing.contract == ContractKind.INVERSE else multiplier * _index(listing, snapshot)
    return _QUOTIENT.divide(multiplier, price) if listing.contract == ContractKind.INVERSE else multiplier * price


def _index(listing: Listing, snapshot: Snapshot) -> Decimal:
    """Return the price of an option's underlying in its quote asset, as the engine reads it; else the forward."""
    price = listing.index_price
    underlying, quote = (_asset_price(name, snapshot) for name in (listing.underlying, listing.quote_asset))
    if price is None and underlying and quote:
        price = underlying / quote
    if price is None:
        price = listing.forward_price
    if price is None or not isfinite(price):
        message = f"a fee needs the price of {listing.underlying}: give the option an index_price"
        raise InputError(FailureReason.MISSING_QUOTE, message, instrument=listing.symbol)
    return exact(price)


def _asset_price(name: str, snapshot: Snapshot) -> float | None:
    """Return an asset's price in the snapshot's reporting asset, whose own is 1; None where there is none."""
    if name == snapshot.reporting_asset:
        return 1.0
    return snapshot.assets[name].price if name in snapshot.assets else None
