"""The benchmark's markets, made from tables: options, futures and perpetuals on ten coins, or perpetuals alone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from msgspec.structs import replace

from crossmargin.instruments import ContractKind, InstrumentKind, OptionType
from crossmargin.market import AssetQuote, Listing, Snapshot
from crossmargin.pricing.black76 import price

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["AS_OF", "SMALL", "Coin", "Market", "coin_market", "moved", "perpetual_market"]

AS_OF: Final = datetime(2026, 3, 2, 8, tzinfo=UTC)
_FUTURES: Final = (25, 53, 116)  # days


@dataclass(frozen=True, slots=True)
class Coin:
    """An underlying: its price, how many expiries and strikes are listed, which share of accounts holds it."""

    name: str
    spot: float
    expiries: int
    strikes: int
    held_by: float
    vol: float


COINS: Final = (
    Coin("BTC", 70_000.0, 10, 30, 0.78, 0.50),
    Coin("ETH", 2_000.0, 8, 30, 0.62, 0.65),
    Coin("SOL", 150.0, 6, 20, 0.40, 0.80),
    Coin("XRP", 2.2, 5, 18, 0.30, 0.85),
    Coin("DOGE", 0.15, 5, 14, 0.24, 0.95),
    Coin("AVAX", 25.0, 5, 11, 0.20, 0.90),
    Coin("LINK", 14.0, 5, 9, 0.16, 0.90),
    Coin("BNB", 650.0, 5, 7, 0.13, 0.60),
    Coin("ADA", 0.6, 5, 5, 0.10, 0.90),
    Coin("TRX", 0.3, 4, 5, 0.08, 0.70),
)
SMALL: Final = "TRX"
"""The small underlying that ticks alone: 8 % of accounts hold it."""
_DAYS: Final = (4, 11, 18, 25, 39, 53, 81, 116, 207, 298)
INVERSE: Final = ("BTC", "ETH")


@dataclass(frozen=True, slots=True)
class Market:
    """A snapshot, and by underlying: the share of accounts that hold it and the symbols, the most popular first."""

    snapshot: Snapshot
    held_by: tuple[float, ...]
    symbols: tuple[tuple[str, ...], ...]
    settled_in: tuple[str, ...]


def coin_market(*, inverse: Sequence[str] = INVERSE, futures: bool = True) -> Market:
    """Return 2,000 options, 10 perpetuals and (unless told otherwise) 30 futures on ten coins.

    Parameters
    ----------
    inverse
        The coins whose contracts settle in the coin; the others' settle in USDC.
    """
    listings = [list(_listings(coin, coin.name in inverse, futures=futures)) for coin in COINS]
    assets = {coin.name: AssetQuote(price=coin.spot) for coin in COINS}
    assets["USDC"] = AssetQuote(price=1.0, pegged_to="USD")
    return _market(listings, assets, tuple(coin.held_by for coin in COINS))


def perpetual_market(count: int = 300) -> Market:
    """Return so many linear perpetuals in USDT, each an underlying of its own, all on one list of popularity."""
    rng = np.random.default_rng(3)
    spots = {f"{'BTC' if n == 0 else 'ETH' if n == 1 else f'C{n}'}": 10.0 ** rng.uniform(-2, 4) for n in range(count)}
    listings = [_perpetual(name, spot, "USDT", inverse=False, symbol=f"{name}USDT") for name, spot in spots.items()]
    assets = {"USDT": AssetQuote(price=1.0, pegged_to="USD")}
    return _market([listings], assets, (1.0,))


def _market(listings: list[list[Listing]], assets: dict[str, AssetQuote], held_by: tuple[float, ...]) -> Market:
    by_symbol = {listing.symbol: listing for some in listings for listing in some}
    snapshot = Snapshot(as_of=AS_OF, reporting_asset="USD", assets=assets, listings=by_symbol)
    symbols = tuple(tuple(listing.symbol for listing in some) for some in listings)
    return Market(snapshot, held_by, symbols, tuple(some[0].settlement_asset for some in listings))


def moved(snapshot: Snapshot, factor: float, coins: Sequence[str] | None = None) -> Snapshot:
    """Return the snapshot with prices of some coins (None: of all) times a factor; options keep vol and mark."""

    def new(listing: Listing) -> Listing:
        if coins is not None and listing.underlying not in coins:
            return listing
        option = listing.kind == InstrumentKind.OPTION
        changed = {"index_price": listing.index_price, "forward_price" if option else "mark_price": None}
        names = [name for name in changed if getattr(listing, name) is not None]
        return replace(listing, **{name: getattr(listing, name) * factor for name in names})

    assets = {
        name: replace(quote, price=quote.price * factor)
        if quote.pegged_to is None and (coins is None or name in coins)
        else quote
        for name, quote in snapshot.assets.items()
    }
    listings = {symbol: new(listing) for symbol, listing in snapshot.listings.items()}
    return replace(snapshot, assets=assets, listings=listings)


def _terms(coin: str, spot: float, quote: str, *, inverse: bool) -> dict[str, Any]:
    return {
        "underlying": coin,
        "quote_asset": "USD" if inverse else quote,
        "settlement_asset": coin if inverse else quote,
        "contract": ContractKind.INVERSE if inverse else ContractKind.LINEAR,
        "index_price": spot,
    }


def _listings(coin: Coin, inverse: bool, *, futures: bool) -> Iterator[Listing]:  # noqa: FBT001  # of one coin
    yield _perpetual(coin.name, coin.spot, "USDC", inverse=inverse, symbol=f"{coin.name}-PERPETUAL")
    if futures:
        yield from (_future(coin, days, inverse=inverse) for days in _FUTURES)
    for days in _DAYS[: coin.expiries]:
        yield from _options(coin, days, inverse=inverse)


def _perpetual(coin: str, spot: float, quote: str, *, inverse: bool, symbol: str) -> Listing:
    return Listing(
        symbol=symbol,
        kind=InstrumentKind.PERPETUAL,
        multiplier=10.0 if inverse else 1.0,
        mark_price=spot * 1.0002,
        **_terms(coin, spot, quote, inverse=inverse),
    )


def _future(coin: Coin, days: int, *, inverse: bool) -> Listing:
    expiry = AS_OF + timedelta(days=days)
    return Listing(
        symbol=f"{coin.name}-{expiry:%d%b%y}".upper(),
        kind=InstrumentKind.FUTURE,
        multiplier=10.0 if inverse else 1.0,
        mark_price=_forward(coin, days),
        expiry=expiry,
        **_terms(coin.name, coin.spot, "USDC", inverse=inverse),
    )


def _forward(coin: Coin, days: float) -> float:
    return coin.spot * (1 + days / 5000)


def _options(coin: Coin, days: int, *, inverse: bool) -> Iterator[Listing]:
    """Yield calls and puts of an expiry, strikes nearest to the forward first."""
    forward, years, expiry = _forward(coin, days), days / 365, AS_OF + timedelta(days=days)
    width = 2.5 * coin.vol * years**0.5
    distance = np.linspace(-width, width, coin.strikes)
    distance = distance[np.argsort(abs(distance), kind="stable")]
    strikes = np.array([float(f"{strike:.5g}") for strike in forward * np.exp(distance)])
    vols = coin.vol * (1 + 0.25 * (distance / width) ** 2 - 0.05 * distance / width)
    for option_type in OptionType:
        values = price(forward, strikes, vols, years, option_type is OptionType.CALL)
        for strike, vol, value in zip(strikes.tolist(), vols.tolist(), np.asarray(values).tolist(), strict=True):
            yield Listing(
                symbol=f"{coin.name}-{expiry:%d%b%y}-{strike:g}-{option_type.value[0]}".upper(),
                kind=InstrumentKind.OPTION,
                mark_price=value / forward if inverse else value,
                forward_price=forward,
                mark_iv=vol,
                strike=strike,
                option_type=option_type,
                expiry=expiry,
                **_terms(coin.name, coin.spot, "USDC", inverse=inverse),
            )
