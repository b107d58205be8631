"""A market of 490 inverse contracts and a book on it, made from a seed: what the benchmarks run on."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from math import log

import numpy as np

from crossmargin.account import Account, Position
from crossmargin.instruments import ContractKind, InstrumentKind, OptionType
from crossmargin.market import AssetQuote, Listing, Snapshot
from crossmargin.pricing.black76 import price

AS_OF = datetime(2026, 3, 2, 8, tzinfo=UTC)
SPOT = {"BTC": 70_000.0, "ETH": 2_000.0}


def make_snapshot() -> Snapshot:
    """BTC and ETH: a perpetual, four futures, 240 options each."""
    listings = {}
    for coin, spot in SPOT.items():
        for listing in [_perpetual(coin, spot), *_futures(coin, spot), *_options(coin, spot)]:
            listings[listing.symbol] = listing
    assets = {coin: AssetQuote(price=spot) for coin, spot in SPOT.items()}
    return Snapshot(as_of=AS_OF, reporting_asset="USD", assets=assets, listings=listings)


def _terms(coin: str, spot: float) -> dict[str, object]:
    return {
        "underlying": coin,
        "quote_asset": "USD",
        "settlement_asset": coin,
        "contract": ContractKind.INVERSE,
        "index_price": spot,
    }


def _perpetual(coin: str, spot: float) -> Listing:
    return Listing(
        symbol=f"{coin}-PERPETUAL",
        kind=InstrumentKind.PERPETUAL,
        multiplier=10.0,
        mark_price=spot * 1.0002,
        **_terms(coin, spot),  # type: ignore[arg-type]
    )


def _futures(coin: str, spot: float) -> list[Listing]:
    return [
        Listing(
            symbol=f"{coin}-{days}D",
            kind=InstrumentKind.FUTURE,
            multiplier=10.0,
            mark_price=spot * (1 + days / 5000),
            expiry=AS_OF + timedelta(days=days),
            **_terms(coin, spot),  # type: ignore[arg-type]
        )
        for days in (30, 60, 120, 200)
    ]


def _options(coin: str, spot: float) -> list[Listing]:
    out = []
    for days in (7, 30, 60, 120, 200, 300):
        forward = spot * (1 + days / 5000)
        for strike in [round(spot * k, -1) for k in np.linspace(0.6, 1.6, 20)]:
            vol = 0.5 + 0.3 * abs(log(strike / forward))
            for kind in OptionType:
                value = float(price(forward, strike, vol, days / 365, kind is OptionType.CALL)) / forward
                out.append(
                    Listing(
                        symbol=f"{coin}-{days}D-{strike:.0f}-{kind.value[0].upper()}",
                        kind=InstrumentKind.OPTION,
                        mark_price=value,
                        forward_price=forward,
                        mark_iv=vol,
                        strike=strike,
                        option_type=kind,
                        expiry=AS_OF + timedelta(days=days),
                        **_terms(coin, spot),  # type: ignore[arg-type]
                    )
                )
    return out


def make_accounts(snapshot: Snapshot, count: int, legs: int = 20, seed: int = 1) -> list[Account]:
    """Accounts of `legs` different contracts each, long and short, with coins behind them."""
    rng = np.random.default_rng(seed)
    symbols = list(snapshot.listings)
    return [_account(i, snapshot, rng.choice(symbols, legs, replace=False).tolist(), rng) for i in range(count)]


def _account(number: int, snapshot: Snapshot, symbols: list[str], rng: np.random.Generator) -> Account:
    quantities = rng.integers(1, 10, len(symbols)) * rng.choice([-1, 1], len(symbols))
    positions = tuple(
        Position(
            instrument=symbol,
            quantity=Decimal(int(quantity)),
            entry_price=Decimal(str(round(snapshot.listings[symbol].mark_price or 0.0, 4))),
        )
        for symbol, quantity in zip(symbols, quantities, strict=True)
    )
    return Account(id=f"a{number}", balances={"BTC": Decimal(5), "ETH": Decimal(50)}, positions=positions)
