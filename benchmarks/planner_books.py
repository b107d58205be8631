"""Accounts on the recorded order books of 2024-08-08: perpetuals of two coins, in dollars and in coin, and spot.

Reads the recorded books of `../shared`, which are no part of this project. No position is larger than what the
recorded book holds on the side that closes it, so that every cost was on offer then.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import product
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
SHORT: Final = (0.03, 0.06, 0.10, 0.15)  # of maintenance, that is missing
SHAPES: Final = ("long", "short", "mixed", "basis")
TOGETHER: Final = timedelta(seconds=5)  # books that were recorded within it are one moment
DEPTH: Final = 0.9  # of what a side of the book holds: the most that an account holds
# market and symbol: our symbol, kind, multiplier, whether inverse, lot, the most that an account holds, contracts
MARKETS: Final = {
    ("binance_usdm", "BTCUSDT"): ("BTCUSDT", InstrumentKind.PERPETUAL, 1.0, False, "0.001", 150.0),
    ("binance_usdm", "ETHUSDT"): ("ETHUSDT", InstrumentKind.PERPETUAL, 1.0, False, "0.001", 2_500.0),
    ("binance_coinm", "BTCUSD_PERP"): ("BTCUSD_PERP", InstrumentKind.PERPETUAL, 100.0, True, "1", 90_000.0),
    ("binance_coinm", "ETHUSD_PERP"): ("ETHUSD_PERP", InstrumentKind.PERPETUAL, 10.0, True, "1", 600_000.0),
    ("binance_spot", "BTCUSDT"): ("BTC/USDT", InstrumentKind.SPOT, 1.0, False, "0.00001", 150.0),
    ("binance_spot", "ETHUSDT"): ("ETH/USDT", InstrumentKind.SPOT, 1.0, False, "0.0001", 2_500.0),
}


def cases(count: int, seed: int = 5) -> list[tuple[Engine, Costs]]:
    """Accounts of every shape and shortage at every recorded moment, at most so many of them."""
    rng = np.random.default_rng(seed)
    rulebook = load_rulebook(RULEBOOK)
    lots = {terms[0]: Fraction(terms[4]) for terms in MARKETS.values()}
    found: list[tuple[Engine, Costs]] = []
    for number, books in enumerate(recorded(pl.read_parquet(DATA))):
        snapshot = market(books)
        kinds = list(product(SHAPES, SHORT))
        drawn = [_drawn(snapshot, books, f"m{number}-{shape}-{by}", shape, rng) for shape, by in kinds]
        for account in short(drawn, snapshot, rulebook, np.asarray([by for _, by in kinds]), "USDT"):
            engine = Engine(account, lambda _elapsed, snapshot=snapshot: snapshot, rulebook, lots=lots)
            found.append((engine, Costs(books, FEE)))
    return found[:count]


def recorded(levels: pl.DataFrame) -> list[dict[str, Ladder]]:
    """The order books of each recorded moment; of markets that were recorded then."""
    first = levels.filter((pl.col("market") == "binance_spot") & (pl.col("symbol") == "BTCUSDT"))
    found = []
    for time in first["ts"].unique().sort().to_list():
        now = levels.filter((pl.col("ts") - time).abs() <= TOGETHER).sort("lvl")
        books = {}
        for (venue, symbol), terms in MARKETS.items():
            mine = now.filter((pl.col("market") == venue) & (pl.col("symbol") == symbol) & (pl.col("qty") > 0))
            if mine.height:
                books[terms[0]] = Ladder(_side(mine, "bid"), _side(mine, "ask"))
        found.append(books)
    return found


def _side(book: pl.DataFrame, side: str) -> tuple[tuple[float, float], ...]:
    rows = book.filter(pl.col("side") == side)
    return tuple(zip(rows["price"].to_list(), rows["qty"].to_list(), strict=True))


def market(books: dict[str, Ladder]) -> Snapshot:
    """The snapshot whose marks are the middle of the books."""
    prices = {name: (book.bids[0][0] + book.asks[0][0]) / 2 for name, book in books.items()}
    spot = {"BTC": prices["BTC/USDT"], "ETH": prices["ETH/USDT"]}
    listings = {}
    for name, kind, multiplier, inverse, _, _ in MARKETS.values():
        if name in prices:
            coin = name[:3]
            listings[name] = Listing(
                symbol=name, kind=kind, underlying=coin, quote_asset="USD" if inverse else "USDT",
                settlement_asset=coin if inverse else "USDT", multiplier=multiplier, mark_price=prices[name],
                contract=ContractKind.INVERSE if inverse else ContractKind.LINEAR, index_price=spot[coin],
            )  # fmt: skip
    assets = {**{coin: AssetQuote(price=price) for coin, price in spot.items()}, "USDT": AssetQuote(price=1.0)}
    return Snapshot(
        as_of=datetime(2024, 8, 8, 23, 55, tzinfo=UTC), reporting_asset="USD", assets=assets, listings=listings
    )


def _drawn(snapshot: Snapshot, books: dict[str, Ladder], name: str, shape: str, rng: np.random.Generator) -> Account:
    """One account: two markets or more, all long, all short, either way, or spot and dated alike against each other."""
    traded = [terms for terms in MARKETS.values() if terms[0] in snapshot.listings]
    count = rng.integers(2, len(traded) + 1)
    chosen = [traded[i] for i in sorted(rng.choice(len(traded), count, replace=False).tolist())]
    if shape == "basis":
        coin = "BTC" if rng.random() < 0.5 else "ETH"
        spot = [terms for terms in traded if terms[0] == f"{coin}/USDT"]
        others = [terms for terms in traded if terms[0][:3] == coin and terms not in spot]
        chosen = [*spot, *others]
    sides = {"long": np.ones(9), "short": -np.ones(9), "mixed": np.where(rng.random(9) < 0.5, -1, 1)}
    # what one side of a basis trade is worth the other is worth, too, but for a fifth
    side = sides.get(shape, np.asarray([1.0, *[-1.0] * 8]))
    shares = rng.uniform(0.05, 1.0, len(chosen)) if shape != "basis" else rng.uniform(0.4, 0.5, len(chosen))
    positions = []
    for (symbol, _, _, _, lot, most), way, share in zip(chosen, side[: len(chosen)], shares, strict=True):
        book = books[symbol]
        closing = book.bids if way > 0 else book.asks
        held = min(most, DEPTH * sum(level[1] for level in closing)) * float(share)
        size = exactly(Decimal(max(round(held / float(lot)), 1)) * Decimal(lot))
        mark = snapshot.listings[symbol].mark_price or 0.0
        entry = exact(round(mark * (1 + 0.02 * float(rng.standard_normal())), 2))
        quantity = Decimal(str(float(size * (1 if way > 0 else -1))))
        positions.append(Position(instrument=symbol, quantity=quantity, entry_price=entry))
    return Account(id=name, balances={"USDT": Decimal(0)}, positions=tuple(positions))
