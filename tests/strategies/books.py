"""One market, and seeded random accounts in a rulebook's scope: many, fast, and the same on every run.

Hypothesis draws one account at a time (`domain.py`); the engine's properties are checked on whole books, so these come
from a seeded generator. Marks of options are Black-76 at the listed vol and forward.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from msgspec.structs import replace

from crossmargin.account import Account, Order, Position
from crossmargin.instruments import ContractKind, InstrumentKind, OptionType
from crossmargin.market import AssetQuote, Listing, Snapshot
from crossmargin.sources import list_rulebooks, load_rulebook
from crossmargin.units import years_between
from tests.strategies.domain import forward_ratio, option_mark, vol_of
from tests.twins.span import arrays_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from crossmargin.margin import Rulebook

AS_OF = datetime(2026, 2, 5, 8, 0, tzinfo=UTC)
INDEX = {"BTC": 60_000.0, "ETH": 2_400.0, "SOL": 100.0}
ASSETS = {
    "USD": AssetQuote(price=1.0),
    "USDC": AssetQuote(price=0.9995, pegged_to="USD"),
    "USDT": AssetQuote(price=1.0005, pegged_to="USD"),
    **{coin: AssetQuote(price=price) for coin, price in INDEX.items()},
    "STETH": AssetQuote(price=2_390.0, wraps="ETH"),
}
DAYS = (2, 50, 141)
WINDOW = {"window": {"BTC": (-0.06, 0.02, -0.01), "ETH": (-0.08, 0.04, 0.01), "SOL": (0.05, -0.1, 0.02),
                     "USDC": (-0.001, 0.001, 0.0), "USDT": (0.0, 0.001, -0.001)}}  # fmt: skip
PRICE_RANGE = {"BTC": 0.25, "ETH": 0.30, "SOL": 0.40}  # of supplied risk arrays
SPECS = tuple(shipped.spec for shipped in list_rulebooks())
LATEST = tuple({shipped.name: shipped.spec for shipped in list_rulebooks()}.values())

# What each venue lists; a rulebook that is not named here takes everything in its scope.
_SETTLES = {
    "binance-usdm": {"USDT"},
    "binance-coinm": {"BTC", "ETH"},
    "binance-options": {"USDT", "USDC"},
    "binance-portfolio": {"BTC", "ETH", "USDC", "USDT"},
    "bitcom-unified": {"USDC", "USDT"},
    "bybit-unified": {"USDC", "USDT"},
    "bybit-portfolio": {"BTC", "ETH", "USDC", "USDT"},
    "derive-portfolio": {"USDC"},
    "derive-portfolio-1": {"USDC"},
    "gmx-v2": {"USDC", "USDT"},
    "panoptic": {"USDC"},
    "derive-standard": {"USDC"},
    "hyperliquid-cross": {"USDC"},
    "hyperliquid-portfolio": {"USDC"},
    "paradex-portfolio": {"USDC"},
    "aevo-portfolio": {"USDC"},
    "kraken-portfolio": {"USDC"},
    "thalex-portfolio": {"USDC"},
    "deribit-portfolio": {"BTC", "ETH", "USDC"},
    "deribit-portfolio-cross": {"BTC", "ETH", "USDC"},
    "deribit-standard": {"BTC", "ETH", "USDC"},
    "deribit-standard-cross": {"BTC", "ETH", "USDC"},
}

# Of these the tables name every contract (options apart) or asset, and anything else is refused.
_NAMED = {
    "binance-portfolio": {"BTCUSDT", "BTCUSDC", "ETHUSDT", "ETHUSDC", "BTC-PERPETUAL", "ETH-PERPETUAL"},
    "bitcom-unified": {"BTCUSDT", "ETHUSDT"},
    "bybit-unified": {"BTCUSDT"},
}
LOANS = {"aave-v3", "aave-v4"}  # no instruments: something is owed instead, and dollars back nothing
BORROWS = {"bitcom-unified": {"BTC", "ETH", "USDT", "USD"}}
COLLATERAL = {"binance-options": "USDT"}  # the one asset that counts, whatever the contracts of our market settle in


@cache
def rules(spec: str) -> Rulebook:
    """A shipped rulebook, read once."""
    return load_rulebook(spec)


def perpetual(base: str, settle: str, **changes: object) -> Listing:
    """A perpetual: inverse where it settles in its own coin."""
    inverse = settle == base
    terms: dict[str, Any] = {
        "symbol": f"{base}-PERPETUAL" if inverse else f"{base}{settle}",
        "kind": InstrumentKind.PERPETUAL,
        "underlying": base,
        "quote_asset": "USD",
        "settlement_asset": settle,
        "contract": ContractKind.INVERSE if inverse else ContractKind.LINEAR,
        "multiplier": 10.0 if inverse else 1.0,
        "mark_price": INDEX[base] * 1.001,
        "index_price": INDEX[base],
        "funding_rate": 1e-4,
        "open_interest": 20_000.0,
        "skew": 300.0,
    }
    whole: dict[str, Any] = {**terms, **changes}
    return Listing(**whole)


def future(base: str, settle: str, days: int = 50, **changes: object) -> Listing:
    """A dated future on the forward curve that options use."""
    listing = perpetual(base, settle)
    expiry = AS_OF + timedelta(days=days)
    dated: dict[str, Any] = {
        "symbol": f"{base}-{settle}-{expiry:%y%m%d}",
        "kind": InstrumentKind.FUTURE,
        "expiry": expiry,
        "mark_price": INDEX[base] * forward_ratio(base, days),
        "funding_rate": None,
        **changes,
    }
    return replace(listing, **dated)


def option(base: str, settle: str, days: int, strike: float, *, call: bool, **changes: object) -> Listing:
    """A European option: coin-settled where it settles in its own coin."""
    inverse = settle == base
    forward = INDEX[base] * forward_ratio(base, days)
    vol = vol_of(base, days, strike / forward)
    mark = option_mark(forward, strike, days / 365.0, vol, call=call)
    expiry = AS_OF + timedelta(days=days)
    terms: dict[str, Any] = {
        "symbol": f"{base}-{settle}-{expiry:%y%m%d}-{strike:g}-{'C' if call else 'P'}",
        "kind": InstrumentKind.OPTION,
        "underlying": base,
        "quote_asset": "USD",
        "settlement_asset": settle,
        "contract": ContractKind.INVERSE if inverse else ContractKind.LINEAR,
        "expiry": expiry,
        "strike": strike,
        "option_type": OptionType.CALL if call else OptionType.PUT,
        "mark_price": mark / forward if inverse else mark,
        "index_price": INDEX[base],
        "forward_price": forward,
        "mark_iv": vol,
        "rate": 0.03,
    }
    whole: dict[str, Any] = {**terms, **changes}
    return Listing(**whole)


def snapshot_of(listings: Iterable[Listing], **changes: object) -> Snapshot:
    """A market of these instruments and all assets."""
    listed = {one.symbol: one for one in listings}
    years = {one.symbol: None if one.expiry is None else years_between(AS_OF, one.expiry) for one in listed.values()}
    arrays = arrays_of([(one, years[one.symbol]) for one in listed.values()], PRICE_RANGE, 0.15)
    calibration = {**WINDOW, **arrays}
    made = Snapshot(as_of=AS_OF, reporting_asset="USD", assets=ASSETS, listings=listed, calibration=calibration)
    return replace(made, **changes)


@cache
def market() -> Snapshot:
    """Perpetuals, futures, options and spot on three coins, in every way of settling that the venues know."""
    listings = [perpetual(base, settle) for base in INDEX for settle in ("USDC", "USDT")]
    listings += [perpetual(base, base) for base in ("BTC", "ETH")]
    listings += [future(base, settle) for base in ("BTC", "ETH") for settle in ("USDC", "USDT", base)]
    for base in ("BTC", "ETH"):
        for settle in ("USDC", base):
            for days in DAYS:
                strikes = [INDEX[base] * ratio for ratio in (0.8, 1.0, 1.25)]
                listings += [option(base, settle, days, k, call=call) for k in strikes for call in (True, False)]
    spot = perpetual("ETH", "USDC", symbol="ETH/USD", kind=InstrumentKind.SPOT, settlement_asset="USD")
    quanto = perpetual("ETH", "USDC", symbol="ETH-QUANTO", contract=ContractKind.QUANTO, settlement_asset="BTC")
    listings += [replace(spot, mark_price=INDEX["ETH"], funding_rate=None), replace(quanto, multiplier=1e-6)]
    return snapshot_of(listings)


def in_scope(rulebook: Rulebook) -> tuple[Listing, ...]:
    """The instruments of the market that a rulebook's venue lists."""
    settles = _SETTLES.get(rulebook.name, {"BTC", "ETH", "USDC", "USDT", "USD"})
    return tuple(
        one
        for one in market().listings.values()
        if one.kind in rulebook.scope
        and one.settlement_asset in settles
        and one.contract in rulebook.contracts
        and (one.contract != ContractKind.QUANTO or rulebook.name == "reference")
        and (one.kind == InstrumentKind.OPTION or one.symbol in _NAMED.get(rulebook.name, {one.symbol}))
    )


def units(listing: Listing, coins: float) -> float:
    """Signed contracts worth about so many coins."""
    if listing.contract == ContractKind.INVERSE and listing.kind != InstrumentKind.OPTION:
        return round(coins * INDEX[listing.underlying] / listing.multiplier)
    return coins / listing.multiplier


def decimal(value: float) -> Decimal:
    """The shortest decimal that reads back as this number."""
    return Decimal(repr(float(value)))


def position(listing: Listing, coins: float, entry: float | None = None, **changes: object) -> Position:
    """A position of so many coins, entered at the mark unless said otherwise."""
    price = entry if entry is not None else listing.mark_price
    amount = decimal(units(listing, coins))
    made = Position(instrument=listing.symbol, quantity=amount, entry_price=decimal(price or 0.0))
    return replace(made, **changes)


def coins_of(rng: np.random.Generator, listing: Listing) -> float:
    """A signed quantity in coins: a few thousand dollars to a few million."""
    dollars = float(10 ** rng.uniform(3.5, 6.5) * rng.choice([-1, 1]))
    return max(abs(round(dollars / INDEX[listing.underlying], 3)), 0.001) * float(np.sign(dollars))


def random_account(rng: np.random.Generator, rulebook: Rulebook, name: str, *, orders: bool = True) -> Account:
    """An account with one to five instruments of the venue, some balances, sometimes a debt, sometimes orders."""
    listings = in_scope(rulebook)
    chosen = [
        listings[i] for i in rng.choice(len(listings), size=min(int(rng.integers(1, 6)), len(listings)), replace=False)
    ]
    held = []
    for listing in chosen:
        entry = (listing.mark_price or 0.0) * rng.uniform(0.9, 1.1)
        leverage = Decimal(5) if rng.random() < 0.2 else None
        held.append(position(listing, coins_of(rng, listing), entry, leverage=leverage))
    balances = {}
    fewest = 2 if rulebook.name in LOANS else 0
    for asset in rng.choice(sorted(ASSETS), size=int(rng.integers(fewest, fewest + 4)), replace=False).tolist():
        dollars = 10 ** rng.uniform(3, 6.5)
        if rng.random() < 0.15 and asset in BORROWS.get(rulebook.name, ASSETS):
            dollars *= -0.2
        balances[asset] = decimal(round(dollars / ASSETS[asset].price, 6))
    if rulebook.name in LOANS:
        owed = next(iter(balances))
        balances[owed] = -abs(balances[owed])
    for asset in {one.settlement_asset for one in listings}.difference(BORROWS.get(rulebook.name, ASSETS)):
        balances[asset] = Decimal(1_000_000_000)  # premiums are paid from it, for it cannot be owed
    open_orders = [
        Order(instrument=one.symbol, quantity=decimal(units(one, coins_of(rng, one))), limit_price=Decimal(1))
        for one in chosen[: int(rng.integers(0, 3)) if orders else 0]
    ]
    return Account(id=name, balances=balances, positions=tuple(held), orders=tuple(open_orders))


@cache
def random_accounts(spec: str, seed: int, count: int, *, orders: bool = True) -> tuple[Account, ...]:
    """So many random accounts in the scope of a shipped rulebook."""
    rng = np.random.default_rng([seed, SPECS.index(spec)])
    return tuple(random_account(rng, rules(spec), f"account-{i}", orders=orders) for i in range(count))
