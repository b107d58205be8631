"""What the Derive formats share: options, perpetuals and balances of one case as account and market."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Final

import numpy as np

from crossmargin.account import Account, Position
from crossmargin.analysis.conformance.fields import Fields, refuse
from crossmargin.instruments import InstrumentKind, OptionType
from crossmargin.market import AssetQuote, Confidence, Listing, Snapshot
from crossmargin.pricing.black76 import price as black76
from crossmargin.units import SECONDS_PER_YEAR, exact

if TYPE_CHECKING:
    from collections.abc import Mapping

DOLLAR: Final = "USD"
STABLE: Final = "USDC"
AS_OF: Final = datetime(2026, 1, 1, tzinfo=UTC)
"""The cases say seconds to expiry and no date: any moment serves."""
SETTLEMENT_SECONDS: Final = 1800.0
"""The settlement price is an average over the last half hour."""
_LONGEST_SECONDS: Final = 100 * SECONDS_PER_YEAR


@dataclass(slots=True)
class Desk:
    """Collects one case's account and market."""

    assets: dict[str, AssetQuote] = field(default_factory=dict)
    listings: dict[str, Listing] = field(default_factory=dict)
    balances: dict[str, Decimal] = field(default_factory=dict)
    accrued: dict[str, Decimal] = field(default_factory=dict)
    positions: list[Position] = field(default_factory=list)

    def name(self, wanted: str) -> str:
        """Return the wanted name of a balance, numbered where another has it."""
        taken = {*self.assets, *self.balances, DOLLAR, STABLE}
        names = [wanted, *(f"{wanted}-{number}" for number in range(2, len(taken) + 3))]
        return next(name for name in names if name not in taken)

    def hold(self, name: str, amount: float) -> None:
        """Add a balance; nothing is no balance."""
        if amount:
            self.balances[name] = exact(amount)

    def option(self, option: Fields, quote: OptionQuote) -> None:
        """Add an option, its mark the model's value on the case's forward and vol."""
        quantity = option.number("amount")
        if not quantity:
            return
        listing = _option_listing(option, quote)
        symbol, copy = listing.symbol, 1
        while symbol in self.listings and self.listings[symbol].mark_iv != listing.mark_iv:
            copy += 1
            symbol = f"{listing.symbol}-{copy}"  # one contract at two vols: two quotes
        self.listings[symbol] = listing if symbol == listing.symbol else _renamed(listing, symbol)
        self._add(symbol, exact(quantity))

    def _add(self, symbol: str, quantity: Decimal) -> None:
        """Add contracts of an option; entries of one contract are one position."""
        held = next((p.quantity for p in self.positions if p.instrument == symbol), Decimal())
        self.positions = [p for p in self.positions if p.instrument != symbol]
        if held + quantity:
            self.positions.append(Position(instrument=symbol, quantity=held + quantity))

    def perpetual(self, quote: PerpetualQuote, quantity: float, gain: float, funding: float) -> None:
        """Add a perpetual whose unrealised profit is stated; without contracts what is left is owed in cash."""
        if not quantity:
            if gain + funding:
                self.accrued[STABLE] = self.accrued.get(STABLE, Decimal()) + exact(gain + funding)
            return
        symbol = f"{quote.underlying}-PERP"
        entry = quote.mark - gain / quantity
        if entry <= 0:  # the profit is more than a price can say: it counts as funding
            entry, funding = quote.mark, gain + funding
        self.listings[symbol] = Listing(
            symbol=symbol,
            kind=InstrumentKind.PERPETUAL,
            underlying=quote.underlying,
            quote_asset=STABLE,
            settlement_asset=STABLE,
            mark_price=quote.mark,
            index_price=quote.spot,
            confidence=quote.confidence,
        )
        self.positions.append(
            Position(
                instrument=symbol, quantity=exact(quantity), entry_price=exact(entry), accrued_funding=exact(funding)
            )
        )

    def account(self, name: str) -> Account:
        """Return the account."""
        return Account(id=name, balances=self.balances, accrued=self.accrued, positions=tuple(self.positions))

    def snapshot(self, calibration: Mapping[str, object] | None = None) -> Snapshot:
        """Return the market."""
        return Snapshot(
            as_of=AS_OF,
            reporting_asset=DOLLAR,
            assets=self.assets,
            listings=self.listings,
            calibration=calibration or {},
        )


@dataclass(frozen=True, slots=True)
class PerpetualQuote:
    """A perpetual's prices in the stable coin."""

    underlying: str
    mark: float
    spot: float
    confidence: Confidence


@dataclass(frozen=True, slots=True)
class OptionQuote:
    """What the market says of one expiry; `rate` discounts where it is above 0, `fixed` is the forward's known part.

    `discounted` says whether marks are.
    """

    underlying: str
    spot: float
    forward: float
    fixed: float
    rate: float
    confidence: Confidence
    discounted: bool = True


def option_quotes(market: Fields, underlying: str, *, held: bool, discounted: bool = True) -> dict[float, OptionQuote]:
    """Return what a market with one underlying says of its expiries; `held`: whether a perpetual is."""
    quotes = {}
    for expiry in market.objects("expiries"):
        seconds = expiry.number("expiry_secs")
        forward, fixed = read_forward(expiry, seconds)
        trust = Confidence(
            spot=market.number("spot_confidence", 1.0),
            # the perpetual's feed counts only where one is held
            perpetual=market.number("perp_confidence", 1.0) if held else 1.0,
            forward=expiry.number("forward_confidence", 1.0),
            rate=expiry.number("rate_confidence", 1.0),
            vol=expiry.number("vol_confidence", 1.0),
        )
        rate = expiry.number("rate", 0.0)
        quotes[seconds] = OptionQuote(underlying, market.number("spot"), forward, fixed, rate, trust, discounted)
    return quotes


def read_forward(expiry: Fields, seconds: float) -> tuple[float, float]:
    """Return an expiry's forward and the part of it that is already fixed.

    Stated as two parts, or as one: then the part of the settlement average that has passed is fixed.
    """
    if "forward_variable" in expiry:
        fixed = expiry.number("forward_fixed", 0.0)
        return fixed + expiry.number("forward_variable"), fixed
    forward = expiry.number("forward")
    passed = max(0.0, (SETTLEMENT_SECONDS - seconds) / SETTLEMENT_SECONDS)
    return forward, expiry.number("forward_fixed", forward * passed)


def _option_listing(option: Fields, quote: OptionQuote) -> Listing:
    seconds, strike, vol = option.number("expiry_secs"), option.number("strike"), option.number("vol")
    if not 0 < seconds < _LONGEST_SECONDS:
        refuse("seconds to expiry above 0 and below a century", seconds, option.at("expiry_secs"))
    years = seconds / SECONDS_PER_YEAR
    call = option.flag("is_call")
    discount = float(np.exp(-max(quote.rate, 0.0) * years)) if quote.discounted else 1.0
    return Listing(
        symbol=f"{quote.underlying}-{seconds:g}-{strike!r}-{'C' if call else 'P'}",
        kind=InstrumentKind.OPTION,
        underlying=quote.underlying,
        quote_asset=STABLE,
        settlement_asset=STABLE,
        expiry=AS_OF + timedelta(seconds=seconds),
        strike=strike,
        option_type=OptionType.CALL if call else OptionType.PUT,
        mark_price=float(black76(quote.forward, strike, vol, years, call, discount)),
        index_price=quote.spot,
        forward_price=quote.forward,
        fixed_forward=quote.fixed,
        rate=quote.rate,
        mark_iv=vol,
        confidence=quote.confidence,
    )


def _renamed(listing: Listing, symbol: str) -> Listing:
    fields = {name: getattr(listing, name) for name in listing.__struct_fields__}
    return Listing(**{**fields, "symbol": symbol})
