"""Accounts on the recorded quotes of Deribit's options and futures on bitcoin, 2026-01-22.

Reads the recorded tickers of `../shared`, which are no part of this project. One level of each book is recorded, its
best bid and ask with what they were good for: no position is larger than that on the side that closes it, so that
every cost was on offer then.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from fractions import Fraction
from itertools import product
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl

from benchmarks.planner_accounts import short
from crossmargin.account import Account, Position
from crossmargin.instruments import ContractKind, InstrumentKind, OptionType
from crossmargin.liquidation import Costs, Engine, Ladder
from crossmargin.market import AssetQuote, Listing, Snapshot
from crossmargin.sources import load_rulebook
from crossmargin.units import exact

DATA: Final = Path(__file__).resolve().parents[2] / "shared" / "data"
OPTIONS: Final = DATA / "deribit_btc_options_instruments_tickers_2026_01_22.csv.gz"
FUTURES: Final = DATA / "deribit_btc_futures_instruments_tickers_2026_01_22.csv"
RULEBOOK: Final = "deribit-portfolio"
CASH: Final = "BTC"
FEE: Final = 0.0003
POSITIONS: Final = (10, 20, 40)
SHORT: Final = (0.03, 0.06, 0.10, 0.15)  # of maintenance, that is missing
SHAPES: Final = {"long": 0.0, "short": 1.0, "mixed": 0.5, "mostly short": 0.8, "mostly long": 0.2}  # of options sold


def cases(count: int, seed: int = 11) -> list[tuple[Engine, Costs]]:
    """Accounts of every shape, size and shortage, at most so many of them."""
    rng = np.random.default_rng(seed)
    rulebook = load_rulebook(RULEBOOK)
    tickers = recorded()
    snapshot, books = market(tickers), {row["instrument_name"]: _book(row) for row in tickers}
    lots = {row["instrument_name"]: Fraction(1, 10) if row["strike"] else Fraction(1) for row in tickers}
    kinds = list(product(SHAPES, POSITIONS, SHORT))
    drawn = [_drawn(snapshot, books, f"{shape}-{many}-{by}", SHAPES[shape], many, rng) for shape, many, by in kinds]
    made = short(drawn, snapshot, rulebook, np.asarray([by for *_, by in kinds]), CASH, 8)
    costs = Costs(books, FEE)
    return [(Engine(one, lambda _elapsed: snapshot, rulebook, lots=lots), costs) for one in made][:count]


def recorded() -> list[dict[str, Any]]:
    """The tickers whose mark lies between a bid and an ask that are there."""
    names = ["instrument_name", "expiration_timestamp", "index_price", "mark_price", "timestamp"]
    names += [f"best_{side}_{what}" for side in ("bid", "ask") for what in ("price", "amount")]
    options = pl.read_csv(OPTIONS).select(*names, "strike", "option_type", "mark_iv", "underlying_price")
    futures = pl.read_csv(FUTURES).select(*names)
    rows = [*options.to_dicts(), *({**row, "strike": None} for row in futures.to_dicts())]
    return [row for row in rows if 0 < row["best_bid_price"] <= row["mark_price"] <= row["best_ask_price"]]


def _book(row: dict[str, Any]) -> Ladder:
    """The recorded level of each side; the amounts of futures are dollars, of which a contract is ten."""
    each = 1.0 if row["strike"] else 10.0
    bid, ask = ((row[f"best_{side}_price"], row[f"best_{side}_amount"] / each) for side in ("bid", "ask"))
    return Ladder((bid,), (ask,))


def market(tickers: list[dict[str, Any]]) -> Snapshot:
    """The snapshot of the recorded marks, all settled in bitcoin."""
    index = tickers[0]["index_price"]
    listings = {row["instrument_name"]: _listing(row, index) for row in tickers}
    as_of = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=max(row["timestamp"] for row in tickers))
    assets = {CASH: AssetQuote(price=index)}
    return Snapshot(as_of=as_of, reporting_asset="USD", assets=assets, listings=listings)


def _listing(row: dict[str, Any], index: float) -> Listing:
    expiry = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=row["expiration_timestamp"])
    name = row["instrument_name"]
    common = {
        "symbol": name, "underlying": "BTC", "quote_asset": "USD", "settlement_asset": "BTC", "index_price": index,
        "contract": ContractKind.INVERSE, "mark_price": row["mark_price"],
    }  # fmt: skip
    if name.endswith("PERPETUAL"):
        return Listing(kind=InstrumentKind.PERPETUAL, multiplier=10.0, **common)
    if not row["strike"]:
        return Listing(kind=InstrumentKind.FUTURE, multiplier=10.0, expiry=expiry, **common)
    return Listing(
        kind=InstrumentKind.OPTION, expiry=expiry, strike=float(row["strike"]), mark_iv=row["mark_iv"] / 100,
        option_type=OptionType(row["option_type"]), forward_price=row["underlying_price"], **common,
    )  # fmt: skip


def _drawn(
    snapshot: Snapshot, books: dict[str, Ladder], name: str, sold: float, many: int, rng: np.random.Generator
) -> Account:
    """One account: options, of which so many are sold, and two futures, each up to what its quote is good for."""
    options = [one for one in snapshot.listings.values() if one.kind == InstrumentKind.OPTION]
    futures = [one for one in snapshot.listings.values() if one.kind != InstrumentKind.OPTION]
    chosen = [options[i] for i in rng.choice(len(options), many - 2, replace=False)]
    chosen += [futures[i] for i in rng.choice(len(futures), 2, replace=False)]
    positions = []
    for listing in chosen:
        option = listing.kind == InstrumentKind.OPTION
        side = -1 if rng.random() < (sold if option else 0.5) else 1
        offered = (books[listing.symbol].bids if side > 0 else books[listing.symbol].asks)[0][1]
        lot = 0.1 if option else 1.0
        size = max(int(offered * rng.uniform(0.3, 1.0) / lot), 1) * lot
        paid = exact(round((listing.mark_price or 0.0) * (1 + 0.02 * rng.standard_normal()), 2))
        quantity = round(exact(side * size), 3)
        position = Position(instrument=listing.symbol, quantity=quantity, entry_price=None if option else paid)
        positions.append(position)
    return Account(id=name, balances={CASH: exact(0.0)}, positions=tuple(positions))
