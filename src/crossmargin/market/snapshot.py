"""One moment of the market: assets, instruments with their quotes, and calibration that has memory."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from math import isfinite
from typing import Any

import msgspec

from crossmargin.errors import FailureReason, InputError
from crossmargin.instruments import Instrument, InstrumentKind


class Confidence(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """How far each feed behind a quote is trusted, each in [0, 1]; absent means 1."""

    spot: float = 1.0
    forward: float = 1.0
    vol: float = 1.0
    rate: float = 1.0
    perpetual: float = 1.0
    own: float = 1.0

    def least(self) -> float:
        """Return the least trusted feed."""
        return min(self.spot, self.forward, self.vol, self.rate, self.perpetual, self.own)


class AssetQuote(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """The price of one asset in the snapshot's reporting asset.

    `wraps` (staked ETH wraps ETH) and `pegged_to` (USDC is pegged to USD) name the asset whose price risk it
    carries; `stable_price` is a slow price, `twap` an average, for rulebooks that read them. `deposits` and `borrows`
    are what all users of the venue hold of it and owe, in units of the asset.
    """

    price: float
    stable_price: float | None = None
    twap: float | None = None
    pegged_to: str | None = None
    wraps: str | None = None
    deposits: float | None = None
    borrows: float | None = None
    observed_at: datetime | None = None
    confidence: float = 1.0


class Listing(Instrument, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """An instrument and its quote. Prices are in the quote asset; an inverse option's mark is in coin.

    `stable_price` is a slow mark, `twap` an average one; `volume` is traded in a day, in contracts' units as
    `open_interest`; `max_price` is the most that a capped contract can settle at.
    """

    mark_price: float | None = None
    index_price: float | None = None
    forward_price: float | None = None
    fixed_forward: float = 0.0
    rate: float | None = None
    mark_iv: float | None = None
    bid: float | None = None
    ask: float | None = None
    funding_rate: float | None = None
    open_interest: float | None = None
    skew: float | None = None
    volume: float | None = None
    stable_price: float | None = None
    twap: float | None = None
    max_price: float | None = None
    delivery_price: float | None = None
    observed_at: datetime | None = None
    confidence: float | Confidence = 1.0

    def least_confidence(self) -> float:
        """Return the least trusted feed behind the quote, in [0, 1]."""
        return self.confidence.least() if isinstance(self.confidence, Confidence) else self.confidence


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that prices need, as of one moment.

    Parameters
    ----------
    as_of
        The valuation time (UTC).
    reporting_asset
        The asset in which asset prices are stated, usually ``USD``; its own price is 1.
    assets
        Asset name to quote.
    listings
        Symbol to instrument with its quote.
    calibration
        Inputs with memory (returns, stress windows, filter states), hashed with the snapshot.
    """

    as_of: datetime
    reporting_asset: str
    assets: Mapping[str, AssetQuote]
    listings: Mapping[str, Listing]
    calibration: Mapping[str, Any] = msgspec.field(default_factory=dict)


_LINK_LIMIT = 8  # a wrapper of a wrapper of ...: longer chains are a mistake or a loop


def asset_root(name: str, assets: Mapping[str, AssetQuote]) -> str:
    """Return the asset whose price risk `name` carries, through wrappers: ``STETH`` gives ``ETH``.

    A peg (USDC to USD) is no wrapper: a pegged asset stays a risk of its own.
    """
    root = name
    for _ in range(_LINK_LIMIT):
        quote = assets.get(root)
        if quote is None or quote.wraps is None:
            return root
        root = quote.wraps
    msg = f"its chain of wrappers is longer than {_LINK_LIMIT} (a loop?)"
    raise InputError(FailureReason.UNKNOWN_ASSET, f"asset {name}: {msg}")


def check_quote(listing: Listing) -> None:
    """Raise :class:`InputError` for a price, vol or confidence that cannot be one. None (no quote) passes."""
    signed = {"rate": listing.rate, "funding_rate": listing.funding_rate, "skew": listing.skew}
    option = listing.kind == InstrumentKind.OPTION
    zero_allowed = {
        "mark_price": listing.mark_price if option else None,
        "bid": listing.bid,
        "ask": listing.ask,
        "mark_iv": listing.mark_iv,
        "fixed_forward": listing.fixed_forward,
        "open_interest": listing.open_interest,
        "volume": listing.volume,
        "delivery_price": listing.delivery_price,
    }
    positive = {
        "mark_price": None if option else listing.mark_price,
        "index_price": listing.index_price,
        "forward_price": listing.forward_price,
        "stable_price": listing.stable_price,
        "twap": listing.twap,
        "max_price": listing.max_price,
    }
    for name, value in signed.items():
        _require(listing, name, value, finite_only=True)
    for name, value in zero_allowed.items():
        _require(listing, name, value, least=0.0)
    for name, value in positive.items():
        _require(listing, name, value, least=0.0, strict=True)
    if not 0 <= listing.least_confidence() <= 1:
        _refuse(listing, f"confidence must be between 0 and 1, found {listing.least_confidence()}")


def _require(
    listing: Listing,
    name: str,
    value: float | None,
    *,
    least: float = 0.0,
    strict: bool = False,
    finite_only: bool = False,
) -> None:
    if value is None:
        return
    low_enough = finite_only or (value > least if strict else value >= least)
    if not isfinite(value) or not low_enough:
        wanted = "a finite number" if finite_only else f"{'above' if strict else 'at least'} {least:g}"
        _refuse(listing, f"{name} must be {wanted}, found {value}")


def _refuse(listing: Listing, message: str) -> None:
    raise InputError(FailureReason.INVALID_PRICE, message, instrument=listing.symbol)
