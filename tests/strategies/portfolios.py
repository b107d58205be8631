"""Random portfolios in a rulebook's scope, seeded: one market, and accounts that reach tiers, folds and floors.

Quicker than Hypothesis, for tests that need a thousand of them; a failure is its seed.
"""

from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any

import numpy as np
from msgspec.structs import replace

from crossmargin.account import Account, MarginMode, Order, Position, PositionSide
from crossmargin.instruments import ContractKind, InstrumentKind, OptionType
from crossmargin.margin import Rulebook
from crossmargin.market import AssetQuote, Listing, Snapshot
from crossmargin.units import years_between
from tests.strategies.books import BORROWS
from tests.strategies.domain import AS_OF, INDEX, forward_ratio, option_mark, vol_of
from tests.twins.span import arrays_of

DAYS = (3, 50, 141)
STRIKES = (0.8, 0.95, 1.0, 1.1, 1.3)
PRICE_RANGE = {"BTC": 0.25, "ETH": 0.30, "SOL": 0.40}  # of supplied risk arrays
STABLE_PRICES = {"USDC": 0.9993, "USDT": 1.0008}

# what a venue lists: settlement in the coin, or in which stable coin; any rulebook not named here takes all
STYLES = {
    "binance-coinm": ("coin",), "binance": ("USDT",), "bybit-unified": ("USDT",), "bitcom": ("USDT",),
    "hyperliquid": ("USDC",), "derive": ("USDC",), "deribit": ("coin", "USDC"), "paradex": ("USDC",),
    "thalex": ("USDC",), "aevo": ("USDC",), "kraken": ("USDC",), "panoptic": ("USDC",), "gmx": ("USDC", "USDT"),
    "dydx": ("USDC",), "synthetix": ("USDC",), "vega": ("USDC", "USDT"),
    "drift": ("USDC",), "mango": ("USDC", "USDT"),
}  # fmt: skip


def market(styles: Sequence[str] = ("coin", "USDC", "USDT")) -> Snapshot:
    """A market with every kind of instrument on three coins; the same for every test."""
    listings = [one for base in INDEX for style in styles for one in _listings(base, style)]
    assets = {
        "USD": AssetQuote(price=1.0),
        **{name: AssetQuote(price=price, pegged_to="USD") for name, price in STABLE_PRICES.items()},
        **{coin: AssetQuote(price=index) for coin, index in INDEX.items()},
        "STETH": AssetQuote(price=INDEX["ETH"] * 0.985, wraps="ETH"),
    }
    listed = {one.symbol: one for one in listings}
    years = {one.symbol: None if one.expiry is None else years_between(AS_OF, one.expiry) for one in listings}
    arrays = arrays_of([(one, years[one.symbol]) for one in listings], PRICE_RANGE, 0.15)
    moves = {name: (-0.05, 0.02, 0.001 * rank) for rank, name in enumerate(assets) if name != "USD"}
    return Snapshot(
        as_of=AS_OF, reporting_asset="USD", assets=assets, listings=listed, calibration={"window": moves, **arrays}
    )


# Perpetuals as the venue calls them, where the tables name each; of these venues BTC and ETH, and no dated futures.
TABLED = {
    "binance-portfolio": {"BTC_USDT-PERP": "BTCUSDT", "ETH_USDT-PERP": "ETHUSDT"},
    "bitcom-unified": {"BTC_USDT-PERP": "BTCUSDT", "ETH_USDT-PERP": "ETHUSDT"},
    "bybit-unified": {"BTC_USDT-PERP": "BTCUSDT"},
    "binance-coinm": {"BTC-PERP": "BTCUSD_PERP", "ETH-PERP": "ETHUSD_PERP"},
}


def market_of(rulebook: Rulebook) -> Snapshot:
    """The market that a rulebook's venue lists."""
    found = next((styles for name, styles in STYLES.items() if rulebook.name.startswith(name)), None)
    whole = market() if found is None else market(found)
    called = TABLED.get(rulebook.name)
    if called is None:
        return whole
    kept = [one for one in whole.listings.values() if one.kind == InstrumentKind.OPTION and one.underlying != "SOL"]
    kept += [replace(one, symbol=called[one.symbol]) for one in whole.listings.values() if one.symbol in called]
    return replace(whole, listings={one.symbol: one for one in kept})


def _listings(base: str, style: str) -> list[Listing]:
    coin = style == "coin"
    index = INDEX[base]
    common: dict[str, Any] = {
        "underlying": base,
        "quote_asset": "USD" if coin else style,
        "settlement_asset": base if coin else style,
        "contract": ContractKind.INVERSE if coin else ContractKind.LINEAR,
        "index_price": index,
        "open_interest": 1e6,
    }
    tail = f"{base}{'' if coin else '_' + style}"
    dollars: dict[str, Any] = {"multiplier": 10.0} if coin else {}
    found = [
        Listing(symbol=f"{tail}-PERP", kind=InstrumentKind.PERPETUAL, mark_price=index * 1.0007, funding_rate=1e-4,
                skew=3e4, confidence=0.5 if base == "SOL" else 1.0, **dollars, **common)
    ]  # fmt: skip
    for days in DAYS:
        expiry, forward = AS_OF + timedelta(days=days), index * forward_ratio(base, days)
        dated = {"expiry": expiry, "forward_price": forward, **common}
        found.append(
            Listing(symbol=f"{tail}-{days}D", kind=InstrumentKind.FUTURE, mark_price=forward, **dollars, **dated)
        )
        for share in STRIKES:
            strike = float(f"{index * share:.3g}")
            vol = vol_of(base, days, strike / forward)
            for side in OptionType:
                mark = option_mark(forward, strike, years_between(AS_OF, expiry), vol, call=side is OptionType.CALL)
                symbol = f"{tail}-{days}D-{strike:g}-{side[0].upper()}"
                found.append(
                    Listing(symbol=symbol, kind=InstrumentKind.OPTION, strike=strike, option_type=side, mark_iv=vol,
                            mark_price=mark / forward if coin else mark, **dated)
                )  # fmt: skip
    if not coin:
        spot = {**common, "settlement_asset": style, "mark_price": index}
        found.append(Listing(symbol=f"{base}/{style}", kind=InstrumentKind.SPOT, **spot))
    return found


def portfolios(rulebook: Rulebook, snapshot: Snapshot, count: int, seed: int) -> list[Account]:
    """Accounts in a rulebook's scope: positions, orders, borrowings, isolated positions, hedge mode, inputs."""
    rng = np.random.default_rng(seed)
    listed = [one for one in snapshot.listings.values() if one.kind in rulebook.scope]
    return [_account(f"account {seed} {i}", rulebook, snapshot, listed, rng) for i in range(count)]


def _account(
    name: str, rulebook: Rulebook, snapshot: Snapshot, listed: list[Listing], rng: np.random.Generator
) -> Account:
    # a few underlyings at a time, so that positions meet
    chosen = list(rng.choice(sorted(INDEX), rng.integers(1, 4), replace=False))
    near = [one for one in listed if one.underlying in chosen]
    count = min(len(near), int(rng.integers(1, 9)))
    picks = rng.choice(max(len(near), 1), count, replace=False)
    positions = [_position(near[i], rng) for i in picks]
    if positions and rulebook.opposite_positions != "net" and rng.random() < 0.5:
        first = positions[0]
        other = -first.quantity * Decimal("0.6")
        positions += [_sided(first, first.quantity), _sided(first, other)]
        positions = positions[1:]
    if rng.random() < 0.3:
        free = [i for i in range(len(near)) if i not in set(picks.tolist())]
        positions += [_isolated(near[i], rng) for i in free[:1]]
    ordered = int(rng.integers(0, 4)) if near else 0
    orders = [_order(near[i], rng) for i in rng.choice(max(len(near), 1), ordered)]
    assets = rng.choice(sorted(snapshot.assets), int(rng.integers(1, 5)), replace=False)
    inputs = {key: Decimal(f"{rng.uniform(0, 5):.3f}") for key in rulebook.inputs if rng.random() < 0.3}
    balances = {str(asset): _balance(snapshot.assets[asset].price, rng) for asset in assets}
    lent = BORROWS.get(rulebook.name, balances)
    balances = {asset: amount if asset in lent else abs(amount) for asset, amount in balances.items()}
    if not near and str(assets[0]) in lent:  # a venue of loans: something is owed
        balances[str(assets[0])] = -abs(balances[str(assets[0])])
    return Account(
        id=name,
        balances=balances,
        positions=tuple(positions),
        orders=tuple(orders),
        inputs=inputs,
    )


def _worth(rng: np.random.Generator) -> float:
    """Dollars: from a thousand to tens of millions."""
    return float(np.exp(rng.normal(11.0, 2.2)))


def _balance(price: float, rng: np.random.Generator) -> Decimal:
    sign = -1.0 if rng.random() < 0.2 else 1.0
    return Decimal(f"{sign * _worth(rng) / price:.6g}")


def _quantity(one: Listing, rng: np.random.Generator) -> Decimal:
    dollars_each = one.contract is ContractKind.INVERSE and one.kind is not InstrumentKind.OPTION
    per_contract = one.multiplier * (1.0 if dollars_each else INDEX[one.underlying])
    return Decimal(f"{rng.choice([-1.0, 1.0]) * _worth(rng) / per_contract:.6g}")


def _position(one: Listing, rng: np.random.Generator) -> Position:
    return Position(
        instrument=one.symbol,
        quantity=_quantity(one, rng),
        entry_price=Decimal(f"{max(one.mark_price or 0.0, 1e-6) * rng.uniform(0.8, 1.2):.6g}"),
        leverage=Decimal(10) if rng.random() < 0.3 else None,
        accrued_funding=Decimal(f"{rng.uniform(-2, 2):.4f}") if one.kind == InstrumentKind.PERPETUAL else Decimal(0),
    )


def _sided(position: Position, quantity: Decimal) -> Position:
    return Position(
        instrument=position.instrument,
        quantity=quantity,
        entry_price=position.entry_price,
        side=PositionSide.LONG if quantity > 0 else PositionSide.SHORT,
    )


def _isolated(one: Listing, rng: np.random.Generator) -> Position:
    position = _position(one, rng)
    return Position(
        instrument=one.symbol,
        quantity=position.quantity,
        entry_price=position.entry_price,
        margin_mode=MarginMode.ISOLATED,
        isolated_collateral={one.settlement_asset: Decimal("2.5")},
    )


def _order(one: Listing, rng: np.random.Generator) -> Order:
    limit = Decimal(f"{max(one.mark_price or 0.0, 1e-4):.6g}")
    return Order(instrument=one.symbol, quantity=_quantity(one, rng), limit_price=limit, reduce_only=rng.random() < 0.1)
