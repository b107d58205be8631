"""A market of 2,040 instruments on 10 underlyings, read into contract columns again and again, as a tick does.

python benchmarks/quotes.py [--repetitions N]

Every tick is a new snapshot decoded from JSON, so nothing is shared with the one before. `bare`: what prices need.
`full`: bids, asks, volumes, open interest and the time of observation too. Medians are printed.
"""

from __future__ import annotations

import argparse
import statistics
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from math import exp
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from crossmargin.account import Account, Book, Position
from crossmargin.instruments import ContractKind, InstrumentKind, OptionType
from crossmargin.margin import resolve
from crossmargin.margin.contract_columns import contract_columns, read_contracts
from crossmargin.margin.program.universe import make_universe, price
from crossmargin.margin.quotes import QuoteGuard, QuoteReader
from crossmargin.market import AssetQuote, Listing, Snapshot
from crossmargin.sources import load_rulebook

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from crossmargin.margin import Rulebook

AS_OF = datetime(2026, 3, 2, 8, tzinfo=UTC)
COINS = {f"COIN{n}": 70_000.0 / 2**n for n in range(10)}
DAYS = (7, 30, 60, 120, 200)


def listings(rng: np.random.Generator, *, full: bool) -> Iterator[Listing]:
    """A perpetual, three futures and 200 options of each coin."""
    for coin, spot in COINS.items():
        yield listing(rng, coin, spot, InstrumentKind.PERPETUAL, full=full, funding_rate=1e-4)
        for days in DAYS[:3]:
            yield listing(rng, coin, spot, InstrumentKind.FUTURE, full=full, expiry=AS_OF + timedelta(days=days))
        for days in DAYS:
            for step in range(20):
                for call in OptionType:
                    terms = {"strike": round(spot * exp(0.05 * (step - 10)), 2), "option_type": call}
                    quote = {
                        "forward_price": spot * (1 + days / 5e3) * rng.uniform(0.99, 1.01),
                        "mark_iv": rng.uniform(0.4, 0.9),
                    }
                    expiry = AS_OF + timedelta(days=days)
                    yield listing(rng, coin, spot, InstrumentKind.OPTION, full=full, expiry=expiry, **terms, **quote)


def listing(
    rng: np.random.Generator, coin: str, spot: float, kind: InstrumentKind, *, full: bool, **more: object
) -> Listing:
    """One instrument with a quote of its own."""
    terms = (more.get(name) for name in ("expiry", "strike", "option_type"))
    name = "-".join(str(part) for part in (coin, kind, *terms))
    mark = spot * rng.uniform(0.99, 1.01) * (0.05 / spot if kind is InstrumentKind.OPTION else 1.0)
    beside: dict[str, object] = {}
    if full:
        seen = AS_OF - timedelta(microseconds=int(rng.integers(5_000_000)))
        beside = {"bid": mark * 0.999, "ask": mark * 1.001, "open_interest": rng.uniform(1, 1e4),
                  "volume": rng.uniform(1, 1e4), "rate": 0.03, "observed_at": seen}  # fmt: skip
    whole: dict[str, object] = {
        "symbol": name, "kind": kind, "underlying": coin, "quote_asset": "USD", "settlement_asset": coin,
        "contract": ContractKind.INVERSE, "mark_price": mark, "index_price": spot * rng.uniform(0.999, 1.001),
        **beside, **more,
    }  # fmt: skip
    return Listing(**whole)  # type: ignore[arg-type]


def make_tick(seed: int, *, full: bool) -> Snapshot:
    """Return the market at one moment, as it comes from a feed."""
    found = {one.symbol: one for one in listings(np.random.default_rng(seed), full=full)}
    assets = {"USDC": AssetQuote(price=0.9995, pegged_to="USD")} | {c: AssetQuote(price=p) for c, p in COINS.items()}
    snapshot = Snapshot(as_of=AS_OF, reporting_asset="USD", assets=assets, listings=found)
    return msgspec.json.decode(msgspec.json.encode(snapshot), type=Snapshot)


def held(snapshot: Snapshot) -> Book:
    """Return a book of one account that holds every option."""
    options = [symbol for symbol, one in snapshot.listings.items() if one.strike]
    positions = tuple(Position(instrument=symbol, quantity=Decimal(1)) for symbol in options)
    return Book.from_accounts([Account(id="a", positions=positions)])


def contenders(first: Snapshot, rulebook: Rulebook) -> dict[str, Callable[[Snapshot], object]]:
    """Return the ways to read a tick."""
    book, assets = held(first), tuple(first.assets)
    priced = price(first.listings, assets, ("",), first, rulebook, 3600.0)
    universe = make_universe(first.listings, assets, ("",), priced, rulebook, isolated=False)

    def one_by_one(tick: Snapshot) -> object:
        reader = QuoteReader(tick, QuoteGuard(3600.0), rulebook)
        reading = read_contracts(universe.listings, assets, reader, one_by_one=True)
        return contract_columns(reading, tick, np.dtype(np.float64), ("",))

    return {
        "one by one": one_by_one,
        "price, a universe kept": lambda tick: price(universe.listings, assets, ("",), tick, rulebook, 3600.0),
        "price, terms read anew": lambda tick: price(dict(tick.listings), assets, ("",), tick, rulebook, 3600.0),
        "resolve, an account of 2,000 options": lambda tick: resolve(book, tick, rulebook),
    }


def measure(*, full: bool, repetitions: int, rulebook: Rulebook) -> None:
    """Print what a tick costs each way; the ways take turns, so that what else runs meets them alike."""
    ticks = [make_tick(seed, full=full) for seed in range(4)]
    ways = contenders(ticks[0], rulebook)
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(repetitions + 1):
        for name, call in ways.items():
            start = time.perf_counter()
            found = call(ticks[turn % len(ticks)])
            taken[name].append(time.perf_counter() - start)
            assert not getattr(found, "refused", None)
            assert not getattr(found, "failures", None)
    slow = statistics.median(taken["one by one"][1:])
    for name, times in taken.items():
        seconds = statistics.median(times[1:])  # the first warms
        each = seconds / len(ticks[0].listings) * 1e6
        print(f"  {name:38} {seconds * 1e3:8.2f} ms {each:7.2f} us an instrument {slow / seconds:7.1f}x")


def main() -> None:
    """Print what a tick costs."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--repetitions", type=int, default=21)
    repetitions = parser.parse_args().repetitions
    for full in (False, True):
        print("full" if full else "bare")
        measure(full=full, repetitions=repetitions, rulebook=load_rulebook("deribit-portfolio"))


if __name__ == "__main__":
    main()
