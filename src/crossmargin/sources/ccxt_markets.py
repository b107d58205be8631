"""A snapshot from what ccxt returns for markets, tickers, option chains, Greeks and funding rates.

The file that is accepted (each part as a list or as a map by symbol, unknown keys tolerated everywhere)::

    {"as_of": "2026-02-05T08:00:00Z",      optional; the latest `timestamp` of a quote otherwise
     "reporting_asset": "USD",             optional
     "exchange": "deribit",                optional; ccxt's exchange id
     "assets": {"USDC": 1.0, "BTC": ...},  optional; an unpriced coin takes the index price of its contracts
     "markets": [{...}],                   what fetch_markets returned: contract terms
     "tickers": {...},                     what fetch_tickers returned
     "option_chain": {...},                what fetch_option_chain returned
     "greeks": [{...}],                    what fetch_greeks returned, one or all
     "funding_rates": {...}}               what fetch_funding_rates returned

A stablecoin gets a price only where the file states one: a peg is never assumed.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import msgspec

from crossmargin.errors import FailureReason, InputError
from crossmargin.instruments import ContractKind, Instrument, InstrumentKind, OptionType
from crossmargin.market import AssetQuote, Listing, Snapshot
from crossmargin.sources.ccxt_shapes import (
    Shape,
    decode_shape,
    mapping,
    moment,
    number,
    parse_symbol,
    real,
    records,
    text,
    top_keys,
)
from crossmargin.sources.interchange import zoned
from crossmargin.sources.messages import refuse

_KINDS: Final = {
    "spot": InstrumentKind.SPOT,
    "margin": InstrumentKind.SPOT,
    "swap": InstrumentKind.PERPETUAL,
    "future": InstrumentKind.FUTURE,
    "option": InstrumentKind.OPTION,
}
_QUOTE_PARTS: Final = ("tickers", "option_chain", "greeks", "funding_rates")
_PARTS: Final = ("markets", *_QUOTE_PARTS)
_PERCENT: Final = 100.0


def is_ccxt_snapshot(content: bytes) -> bool:
    """Return whether a JSON document has the shape above and not that of a snapshot.json."""
    keys = top_keys(content)
    return "instruments" not in keys and bool(keys & {"markets", "tickers", "option_chain", "greeks"})


def decode_ccxt_snapshot(content: bytes, name: str) -> Snapshot:
    """Return the snapshot of such a file; raises :class:`InputError` with the file and the instrument."""
    shape = decode_shape(content, name)
    try:
        listings = listings_from_ccxt(shape, exchange=text(shape, "exchange"))
        reporting = text(shape, "reporting_asset") or "USD"
        return Snapshot(
            as_of=_as_of(shape, listings, name),
            reporting_asset=reporting,
            assets=_assets(mapping(shape, "assets"), listings, reporting),
            listings=listings,
        )
    except InputError as error:
        if error.path:
            raise
        raise InputError(error.reason, error.message, instrument=error.instrument, path=name) from error


def _as_of(shape: Shape, listings: Mapping[str, Listing], name: str) -> datetime:
    stated = text(shape, "as_of")
    if stated:
        try:
            return zoned(msgspec.convert(stated, datetime), f"{name}: $.as_of")
        except msgspec.ValidationError:
            refuse(f"expected a time such as 2026-02-05T08:00:00Z, found {stated!r}", f"{name}: $.as_of")
    seen = [listing.observed_at for listing in listings.values() if listing.observed_at]
    if not seen:
        refuse("no quote has a timestamp; state the valuation time as `as_of`", f"{name}: $.as_of")
    return max(seen)


def _assets(stated: Shape, listings: Mapping[str, Listing], reporting: str) -> dict[str, AssetQuote]:
    found = {reporting: AssetQuote(price=1.0)}
    for listing in listings.values():
        if listing.quote_asset == reporting and listing.index_price is not None:
            found.setdefault(listing.underlying, AssetQuote(price=listing.index_price, observed_at=listing.observed_at))
    for asset, value in stated.items():
        found[asset] = _asset(asset, value)
    return found


def _asset(asset: str, value: object) -> AssetQuote:
    if not isinstance(value, Mapping):
        price = real({asset: value}, asset)
        return AssetQuote(price=_required(price, f"assets: {asset} has no price"))
    try:
        return msgspec.convert(value, AssetQuote, strict=False)
    except msgspec.ValidationError as error:
        raise InputError(FailureReason.MALFORMED_INPUT, f"assets: {asset}: {error}") from error


def _required(value: float | None, message: str) -> float:
    if value is None:
        raise InputError(FailureReason.MALFORMED_INPUT, message)
    return value


def instruments_from_ccxt(markets: object) -> dict[str, Listing]:
    """Return contract terms by symbol from fetch_markets, without quotes; combinations are left out."""
    return listings_from_ccxt({"markets": markets})


def listings_from_ccxt(parts: Shape, *, exchange: str | None = None) -> dict[str, Listing]:
    """Return instruments with their quotes by symbol.

    Parameters
    ----------
    parts
        What ccxt returned, under the keys ``markets``, ``tickers``, ``option_chain``, ``greeks``,
        ``funding_rates``.
    exchange
        ccxt's exchange id; without it Deribit is recognised by its raw `info`.

    Raises
    ------
    InputError
        For a quote of a contract whose multiplier nothing states.
    """
    by_part = {part: _by_symbol(parts.get(part)) for part in _PARTS}
    symbols = dict.fromkeys(symbol for part in _PARTS for symbol in by_part[part])
    found: dict[str, Listing] = {}
    for symbol in symbols:
        market = by_part["markets"].get(symbol)
        if market is not None and not _has_terms(market):
            continue
        quotes = [by_part[part][symbol] for part in _QUOTE_PARTS if symbol in by_part[part]]
        found[symbol] = _listing(symbol, market, quotes, exchange)
    return found


def _by_symbol(part: object) -> dict[str, Shape]:
    if isinstance(part, Mapping) and isinstance(part.get("symbol"), str):
        part = [part]  # one ticker, one option's Greeks
    return {symbol: record for record in records(part) if (symbol := text(record, "symbol"))}


def _listing(symbol: str, market: Shape | None, quotes: list[Shape], exchange: str | None) -> Listing:
    try:
        terms = _terms_from_market(symbol, market) if market else _terms_from_symbol(symbol, quotes, exchange)
        return Listing(**msgspec.structs.asdict(terms), **_quote(terms, quotes, exchange))
    except InputError as error:
        raise InputError(error.reason, error.message, instrument=symbol, path=error.path) from error


def _has_terms(market: Shape) -> bool:
    """Tell a contract from a combination or an index; an account that holds one left out is refused."""
    kind = _KINDS.get(text(market, "type") or "")
    multiplied = kind == InstrumentKind.SPOT or number(market, "contractSize") is not None
    return kind is not None and multiplied and all(text(market, side) for side in ("base", "quote"))


def _terms_from_market(symbol: str, market: Shape) -> Instrument:
    kind = _KINDS[market["type"]]
    quote = market["quote"]
    settle = quote if kind == InstrumentKind.SPOT else text(market, "settle") or quote
    dated = kind in {InstrumentKind.FUTURE, InstrumentKind.OPTION}
    option = kind == InstrumentKind.OPTION
    option_type = text(market, "optionType") if option else None
    return Instrument(
        symbol=symbol,
        kind=kind,
        underlying=market["base"],
        quote_asset=quote,
        settlement_asset=settle,
        contract=_contract(market, symbol, kind),
        multiplier=1.0 if kind == InstrumentKind.SPOT else float(market["contractSize"]),
        expiry=moment(market, "expiry") if dated else None,
        strike=real(market, "strike") if option else None,
        option_type=OptionType(option_type) if option_type in set(OptionType) else None,
    )


def _contract(market: Shape, symbol: str, kind: InstrumentKind) -> ContractKind:
    if kind == InstrumentKind.SPOT:
        return ContractKind.LINEAR
    if market.get("inverse") is True:
        return ContractKind.INVERSE
    return ContractKind.LINEAR if market.get("linear") is True else parse_symbol(symbol).contract


def _terms_from_symbol(symbol: str, quotes: list[Shape], exchange: str | None) -> Instrument:
    """Return what the symbol alone says; only spot and Deribit's options have a multiplier known to be 1."""
    terms = parse_symbol(symbol)
    deribit_option = terms.kind == InstrumentKind.OPTION and any(_is_deribit(quote, exchange) for quote in quotes)
    if terms.kind != InstrumentKind.SPOT and not deribit_option:
        message = "nothing states the contract size; add what fetch_markets returned as `markets`"
        raise InputError(FailureReason.INVALID_INSTRUMENT, message)
    return Instrument(
        symbol=symbol,
        kind=terms.kind,
        underlying=terms.base,
        quote_asset=terms.quote,
        settlement_asset=terms.settle,
        contract=terms.contract,
        expiry=terms.expiry,
        strike=None if terms.strike is None else float(terms.strike),
        option_type=terms.option_type,
    )


def _quote(terms: Instrument, quotes: list[Shape], exchange: str | None) -> dict[str, Any]:
    option = terms.kind == InstrumentKind.OPTION
    mark = _first(quotes, "markPrice")
    if mark is None:
        mark = _first_raw(quotes, "mark_price", "markPrice", "markPx")
    if mark is None and terms.kind == InstrumentKind.SPOT:
        mark = _first(quotes, "last", "close")
    seen = [at for quote in quotes if (at := moment(quote)) is not None]
    return {
        "mark_price": mark,
        "index_price": _first(quotes, "indexPrice")
        or _first_raw(quotes, "index_price", "indexPrice", "estimated_delivery_price", "idxPx"),
        "forward_price": _first(quotes, "underlyingPrice") if option else None,
        "mark_iv": next((vol for q in quotes if (vol := _vol(q, exchange)) is not None), None) if option else None,
        "bid": _first(quotes, "bidPrice", "bid"),
        "ask": _first(quotes, "askPrice", "ask"),
        "funding_rate": _first(quotes, "fundingRate"),
        "open_interest": _first(quotes, "openInterest"),
        "observed_at": max(seen, default=None),
    }


def _first(quotes: list[Shape], *keys: str) -> float | None:
    return next((value for quote in quotes if (value := real(quote, *keys)) is not None), None)


def _first_raw(quotes: list[Shape], *keys: str) -> float | None:
    return _first([mapping(quote, "info") for quote in quotes], *keys)


def _is_deribit(quote: Shape, exchange: str | None) -> bool:
    info = mapping(quote, "info")
    return exchange == "deribit" or (exchange is None and "instrument_name" in info and "mark_iv" in info)


def _vol(quote: Shape, exchange: str | None) -> float | None:
    """Return the mark vol, a fraction; Deribit states percents, and in its chain only in the raw `info`."""
    deribit = _is_deribit(quote, exchange)
    raw_keys = ("mark_iv",) if deribit else ("markVol", "markIv", "markIV", "mark_iv")
    stated = number(quote, "markImpliedVolatility", "impliedVolatility")
    if stated is None:
        stated = number(mapping(quote, "info"), *raw_keys)
    if stated is None:
        return None
    return float(stated) / _PERCENT if deribit else float(stated)
