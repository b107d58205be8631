"""From listings and asset quotes to contract columns: what is missing is refused by name, never made up."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from math import isfinite, nan
from typing import TYPE_CHECKING

from crossmargin.errors import FailureReason, InputError
from crossmargin.instruments import ContractKind, InstrumentKind, OptionType, check_terms
from crossmargin.margin.stand_ins import implied_forward, interpolated_vol, vol_of_mark
from crossmargin.market import Listing, Snapshot, asset_root, check_quote
from crossmargin.scenarios import ASSET, FUTURE, OPTION, PERPETUAL, SPOT
from crossmargin.units import years_between

if TYPE_CHECKING:
    from datetime import datetime

    from crossmargin.margin.model import Rulebook
    from crossmargin.market import AssetQuote

UNUSUAL_VOL = 10.0  # 1,000 %: more likely a percentage than a fraction
KINDS = {
    InstrumentKind.SPOT: SPOT,
    InstrumentKind.PERPETUAL: PERPETUAL,
    InstrumentKind.FUTURE: FUTURE,
    InstrumentKind.OPTION: OPTION,
}


@dataclass(frozen=True, slots=True)
class QuoteRow:
    """One contract's columns before they are stacked (see :class:`crossmargin.scenarios.Contracts`)."""

    kind: int
    inverse: bool
    quanto: bool
    call: bool
    multiplier: float
    strike: float
    years: float
    expiry: int
    mark: float
    index: float
    forward: float
    fixed_forward: float
    iv: float
    rate: float
    quote_rate: float
    settle_rate: float
    root_rate: float
    bucket: str
    settle_asset: str
    quote_asset: str
    own_asset: str
    coin_settled: bool
    linked: bool
    confidence: float
    stable_ratio: float
    twap_ratio: float
    funding_rate: float
    open_interest: float
    skew: float
    volume: float
    max_price: float
    deposits: float
    borrows: float


@dataclass(frozen=True, slots=True)
class QuoteGuard:
    """How old a quote may be, in seconds; None checks no age."""

    max_age_seconds: float | None


class QuoteReader:
    """Reads what one book needs from one snapshot, each name once."""

    def __init__(self, snapshot: Snapshot, guard: QuoteGuard, rulebook: Rulebook) -> None:
        self.snapshot = snapshot
        self.guard = guard
        self.rulebook = rulebook
        self.warnings: dict[str, str] = {}

    def asset_price(self, name: str, *, instrument: str | None = None) -> float:
        """Return an asset's price in the snapshot's reporting asset, or raise."""
        if name == self.snapshot.reporting_asset:
            return 1  # a whole number, so that over a fraction it is one
        quote = self.snapshot.assets.get(name)
        if quote is None:
            message = f"asset {name} has no price in the snapshot; add it to snapshot.assets"
            raise InputError(FailureReason.UNKNOWN_ASSET, message, instrument=instrument)
        if not (isfinite(quote.price) and quote.price > 0):
            message = f"the price of asset {name} must be above 0, found {quote.price}"
            raise InputError(FailureReason.INVALID_PRICE, message, instrument=instrument)
        if not 0 <= quote.confidence <= 1:
            message = f"the confidence of asset {name} must be between 0 and 1, found {quote.confidence}"
            raise InputError(FailureReason.INVALID_PRICE, message, instrument=instrument)
        _check_slow(name, quote, instrument)
        self._check_age(f"asset {name}", quote.observed_at, instrument)
        return quote.price

    def root_price(self, name: str) -> float:
        """Return the price of a bucket's own asset, NaN where the snapshot has none."""
        quote = self.snapshot.assets.get(name)
        if name == self.snapshot.reporting_asset:
            return 1.0
        return nan if quote is None else quote.price

    def asset(self, name: str) -> QuoteRow:
        """Return the columns of a balance in an asset."""
        price = self.asset_price(name)
        quote = self.snapshot.assets.get(name)
        root = asset_root(name, self.snapshot.assets)
        root_price = self.asset_price(root)
        linked = quote is not None and bool(quote.wraps or quote.pegged_to)
        stable = price if quote is None or quote.stable_price is None else quote.stable_price
        twap = price if quote is None or quote.twap is None else quote.twap
        totals = (None, None) if quote is None else (quote.deposits, quote.borrows)
        return QuoteRow(
            kind=ASSET, inverse=False, quanto=False, call=False, multiplier=1.0, strike=nan, years=nan, expiry=0,
            mark=price, index=root_price, forward=price, fixed_forward=0.0, iv=nan, rate=0.0, quote_rate=1.0,
            settle_rate=price, root_rate=root_price, bucket=root, settle_asset=name, quote_asset=name, own_asset=name,
            coin_settled=name != self.snapshot.reporting_asset, linked=linked,
            confidence=1.0 if quote is None else quote.confidence, stable_ratio=stable / price,
            twap_ratio=twap / price, funding_rate=0.0, open_interest=nan, skew=nan, volume=nan, max_price=nan,
            deposits=_stated(totals[0]), borrows=_stated(totals[1]),
        )  # fmt: skip

    def instrument(self, symbol: str) -> QuoteRow:
        """Return the columns of an instrument, or raise the first thing that is wrong with it."""
        listing = self.snapshot.listings.get(symbol)
        if listing is None:
            raise unlisted(symbol)
        check_terms(listing)
        rules = self.rulebook
        for covered, what, found in (
            (rules.scope, "kind", listing.kind),
            (rules.contracts, "form", listing.contract),
        ):
            if found not in covered:
                message = f"rulebook {rules.name} covers {', '.join(sorted(covered))}; this is of {what} {found}"
                raise InputError(FailureReason.OUT_OF_SCOPE, message, instrument=symbol)
        check_quote(listing)
        years = self._years(listing)
        self._check_age("its quote", listing.observed_at, symbol)
        return self._row(listing, years)

    def _row(self, listing: Listing, years: float) -> QuoteRow:
        symbol = listing.symbol
        if listing.mark_price is None:
            message = "it has no mark_price; a missing price is not zero"
            raise InputError(FailureReason.MISSING_QUOTE, message, instrument=symbol)
        bucket = asset_root(listing.underlying, self.snapshot.assets)
        quote_rate = self.asset_price(listing.quote_asset, instrument=symbol)
        option = listing.kind == InstrumentKind.OPTION
        index = self._index(listing, quote_rate)
        forward = self._forward(listing, index) if option else listing.mark_price
        settle = listing.settlement_asset
        return QuoteRow(
            kind=KINDS[listing.kind],
            inverse=listing.contract == ContractKind.INVERSE,
            quanto=listing.contract == ContractKind.QUANTO,
            call=listing.option_type == OptionType.CALL,
            multiplier=listing.multiplier,
            strike=_stated(listing.strike),
            years=years,
            expiry=0 if listing.expiry is None else int(listing.expiry.timestamp()),
            mark=listing.mark_price,
            index=index,
            forward=forward,
            fixed_forward=listing.fixed_forward,
            iv=self._vol(listing, forward, years) if option else nan,
            rate=listing.rate or 0.0,
            quote_rate=quote_rate,
            settle_rate=self.asset_price(settle, instrument=symbol),
            root_rate=self.root_price(bucket),
            bucket=bucket,
            settle_asset=settle,
            quote_asset=listing.quote_asset,
            own_asset=listing.underlying,
            coin_settled=asset_root(settle, self.snapshot.assets) == bucket,
            linked=False,
            confidence=listing.least_confidence(),
            stable_ratio=_ratio(listing.stable_price, listing.mark_price),
            twap_ratio=_ratio(listing.twap, listing.mark_price),
            funding_rate=listing.funding_rate or 0.0,
            open_interest=_stated(listing.open_interest),
            skew=_stated(listing.skew),
            volume=_stated(listing.volume),
            max_price=_stated(listing.max_price),
            deposits=nan,
            borrows=nan,
        )

    def _years(self, listing: Listing) -> float:
        if listing.expiry is None:
            return nan
        years = years_between(self.snapshot.as_of, listing.expiry)
        if years > 0:
            return years
        if listing.delivery_price is None:
            message = f"it expired {listing.expiry:%Y-%m-%d %H:%M}Z without a delivery_price: assess after settlement"
            raise InputError(FailureReason.AWAITING_SETTLEMENT, message, instrument=listing.symbol)
        message = (
            f"it expired {listing.expiry:%Y-%m-%d %H:%M}Z at delivery price {listing.delivery_price:g}: "
            "book its cash settlement and remove the position"
        )
        raise InputError(FailureReason.EXPIRED, message, instrument=listing.symbol)

    def _index(self, listing: Listing, quote_rate: float) -> float:
        if listing.index_price is not None:
            return listing.index_price
        underlying = self.snapshot.assets.get(listing.underlying)
        if underlying is None:
            message = f"it has no index_price and asset {listing.underlying} has no price"
            raise InputError(FailureReason.MISSING_QUOTE, message, instrument=listing.symbol)
        return self.asset_price(listing.underlying, instrument=listing.symbol) / quote_rate

    def _forward(self, listing: Listing, index: float) -> float:
        if listing.forward_price is not None:
            return listing.forward_price
        forward, message = implied_forward(self.snapshot, listing, index)
        self.warnings[listing.symbol] = message
        return forward

    def _vol(self, listing: Listing, forward: float, years: float) -> float:
        if listing.mark_iv is not None:
            if listing.mark_iv > UNUSUAL_VOL:
                said = f"{listing.symbol}: mark_iv {listing.mark_iv:g} is taken as a fraction, so 0.5 is 50 %"
                self.warnings[listing.symbol] = said
            return listing.mark_iv
        vol = interpolated_vol(self.snapshot, listing, years)
        beside = vol_of_mark(listing, forward, years)
        self.warnings[listing.symbol] = f"{listing.symbol}: no mark_iv; {vol:.4f} from the surface ({beside})"
        return vol

    def _check_age(self, what: str, observed_at: datetime | None, instrument: str | None) -> None:
        limit = self.guard.max_age_seconds
        if limit is None or observed_at is None:
            return
        age = (self.snapshot.as_of - observed_at).total_seconds()
        if abs(age) > limit:
            side = "before" if age > 0 else "after"
            message = f"{what} was observed {abs(age):,.0f} s {side} as_of; at most {limit:,.0f} s is accepted"
            raise InputError(FailureReason.STALE_QUOTE, message, instrument=instrument)


def unlisted(symbol: str) -> InputError:
    """Return the refusal of an instrument that the snapshot does not list."""
    message = "the snapshot does not list it; add it to snapshot.instruments or check the symbol"
    return InputError(FailureReason.UNKNOWN_INSTRUMENT, message, instrument=symbol)


def root_or_itself(name: str, snapshot: Snapshot) -> str:
    """Return the asset whose price risk `name` carries; itself where its wrappers go round: who holds it is refused."""
    try:
        return asset_root(name, snapshot.assets)
    except InputError:
        return name


def unpriced(listing: Listing, snapshot: Snapshot) -> QuoteRow:
    """Return the columns of an instrument that cannot be priced: its terms, and no number."""
    settle, bucket = listing.settlement_asset, root_or_itself(listing.underlying, snapshot)
    return replace(
        unpriced_asset(settle, snapshot),
        kind=KINDS[listing.kind],
        inverse=listing.contract == ContractKind.INVERSE,
        quanto=listing.contract == ContractKind.QUANTO,
        call=listing.option_type == OptionType.CALL,
        multiplier=listing.multiplier,
        strike=_stated(listing.strike),
        expiry=0 if listing.expiry is None else int(listing.expiry.timestamp()),
        bucket=bucket,
        quote_asset=listing.quote_asset,
        own_asset=listing.underlying,
        coin_settled=root_or_itself(settle, snapshot) == bucket,
    )


def unpriced_asset(name: str, snapshot: Snapshot) -> QuoteRow:
    """Return the columns of a balance in an asset that cannot be priced."""
    numbers = dict.fromkeys((field.name for field in fields(QuoteRow) if field.type == "float"), nan)
    return QuoteRow(
        kind=ASSET, inverse=False, quanto=False, call=False, expiry=0, bucket=root_or_itself(name, snapshot),
        settle_asset=name, quote_asset=name, own_asset=name, coin_settled=name != snapshot.reporting_asset,
        linked=False, **{**numbers, "multiplier": 1.0},
    )  # fmt: skip


def _stated(value: float | None) -> float:
    return nan if value is None else value


def _ratio(slow: float | None, price: float) -> float:
    """Return a slow price over the price; 1 where none is stated. An option may be marked at 0."""
    return 1.0 if slow is None or not price else slow / price


def _check_slow(name: str, quote: AssetQuote, instrument: str | None) -> None:
    """Refuse slow prices and totals of an asset that cannot be any."""
    prices = {"stable_price": quote.stable_price, "twap": quote.twap}
    for field, value in (prices | {"deposits": quote.deposits, "borrows": quote.borrows}).items():
        if value is None or (isfinite(value) and (value > 0 or (value == 0 and field not in prices))):
            continue
        wanted = "above 0" if field in prices else "at least 0"
        message = f"{field} of asset {name} must be {wanted}, found {value}"
        raise InputError(FailureReason.INVALID_PRICE, message, instrument=instrument)
