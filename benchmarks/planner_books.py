"""Accounts on the recorded order books of 2024-08-08: perpetuals of two coins, in dollars and in coin.

Reads the recorded books of `../shared`, which are no part of this project. Beyond the recorded depth 2 % behind the
last level is assumed.
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl

from benchmarks.planner_accounts import exactly, short
from crossmargin.account import Account, Position
from crossmargin.instruments import ContractKind, InstrumentKind
from crossmargin.liquidation import Costs, Engine, Ladder
from crossmargin.market import AssetQuote, Listing, Snapshot
from crossmargin.sources import load_rulebook
from crossmargin.units import exact

DATA: Final = Path(__file__).resolve().parents[2] / "shared" / "data" / "binance_l2_full_books_2024_08_08.parquet"
RULEBOOK: Final = "reference"
FEE: Final = 0.0004
MOMENTS: Final = 4
# market and symbol: our symbol, multiplier, whether inverse, lot, the most that an account holds, contracts
MARKETS: Final = {
    ("binance_usdm", "BTCUSDT"): ("BTCUSDT", 1.0, False, "0.001", 150.0),
    ("binance_usdm", "ETHUSDT"): ("ETHUSDT", 1.0, False, "0.001", 2_500.0),
    ("binance_coinm", "BTCUSD_PERP"): ("BTCUSD_PERP", 100.0, True, "1", 90_000.0),
    ("binance_coinm", "ETHUSD_PERP"): ("ETHUSD_PERP", 10.0, True, "1", 600_000.0),
}


def cases(count: int, seed: int = 5) -> list[tuple[Engine, Costs]]:
    """So many accounts over the recorded moments, each short of maintenance by 3 to 15 %."""
    rng = np.random.default_rng(seed)
    rulebook = load_rulebook(RULEBOOK)
    levels = pl.read_parquet(DATA)
    found: list[tuple[Engine, Costs]] = []
    for number in range(MOMENTS):
        books = recorded(levels, number / MOMENTS)
        snapshot = market(books)
        many = count // MOMENTS + (number < count % MOMENTS)
        drawn = [_drawn(snapshot, f"m{number}-{i}", rng) for i in range(many)]
        lots = {terms[0]: Fraction(terms[3]) for terms in MARKETS.values()}
        for account in short(drawn, snapshot, rulebook, rng.uniform(0.03, 0.15, many), "USDT"):
            engine = Engine(account, lambda _elapsed, snapshot=snapshot: snapshot, rulebook, lots=lots)
            found.append((engine, Costs(books, FEE)))
    return found


def recorded(levels: pl.DataFrame, share: float) -> dict[str, Ladder]:
    """The order books of each market at a share of its own recorded time."""
    out = {}
    for (venue, symbol), terms in MARKETS.items():
        mine = levels.filter((pl.col("market") == venue) & (pl.col("symbol") == symbol))
        times = mine["ts"].unique().sort()
        now = mine.filter(pl.col("ts") == times[int(share * len(times))]).sort("lvl")
        sides = {}
        for side in ("bid", "ask"):
            rows = now.filter((pl.col("side") == side) & (pl.col("qty") > 0))
            sides[side] = tuple(zip(rows["price"].to_list(), rows["qty"].to_list(), strict=True))
        out[terms[0]] = Ladder(sides["bid"], sides["ask"])
    return out


def market(books: dict[str, Ladder]) -> Snapshot:
    """The snapshot whose marks are the middle of the books."""
    prices = {name: (book.bids[0][0] + book.asks[0][0]) / 2 for name, book in books.items()}
    spot = {"BTC": prices["BTCUSDT"], "ETH": prices["ETHUSDT"]}
    listings = {}
    for name, multiplier, inverse, _, _ in MARKETS.values():
        coin = name[:3]
        listings[name] = Listing(
            symbol=name, kind=InstrumentKind.PERPETUAL, underlying=coin, quote_asset="USD" if inverse else "USDT",
            settlement_asset=coin if inverse else "USDT", multiplier=multiplier, mark_price=prices[name],
            contract=ContractKind.INVERSE if inverse else ContractKind.LINEAR, index_price=spot[coin],
        )  # fmt: skip
    assets = {**{coin: AssetQuote(price=price) for coin, price in spot.items()}, "USDT": AssetQuote(price=1.0)}
    return Snapshot(
        as_of=datetime(2024, 8, 8, 23, 55, tzinfo=UTC), reporting_asset="USD", assets=assets, listings=listings
    )


def _drawn(snapshot: Snapshot, name: str, rng: np.random.Generator) -> Account:
    """One account: two to four of the markets, either way, up to the most of each."""
    chosen = rng.choice(len(MARKETS), rng.integers(2, len(MARKETS) + 1), replace=False)
    positions = []
    for place in chosen.tolist():
        symbol, _, _, lot, most = list(MARKETS.values())[place]
        size = max(round(most * float(rng.uniform(0.05, 1.0)) / float(lot)), 1)
        quantity = exactly(Decimal(size) * Decimal(lot)) * (1 if rng.random() < 0.5 else -1)
        mark = snapshot.listings[symbol].mark_price or 0.0
        entry = exact(round(mark * (1 + 0.02 * float(rng.standard_normal())), 2))
        positions.append(Position(instrument=symbol, quantity=Decimal(str(float(quantity))), entry_price=entry))
    return Account(id=name, balances={"USDT": Decimal(0)}, positions=tuple(positions))
