"""What the benchmarks of clearing share: a feed of commands, houses, and rows of figures."""

from __future__ import annotations

import random
import statistics
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from crossmargin.clearing import Figures, House, Rules, State
from crossmargin.clearing import commands as c
from crossmargin.clearing.configuration import Holder, RulebookTerms, Section, digest_of, document_of
from crossmargin.clearing.contracts import Asset, Contract
from crossmargin.clearing.records import Batch, make_batch
from crossmargin.instruments import Instrument, InstrumentKind

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from crossmargin.clearing import Journal

BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)
ACCOUNTS = 200
SYMBOLS = ("BTC-PERP", "ETH-PERP")


RICH = (Figures("anybody", 1e9, 1e9, 1e9, 1e9, triggered=False, adjusted_equity=1e9, initial=0.0, maintenance=0.0),)


def plenty(_: State, holdings: Mapping[str, Any], /) -> dict[str, tuple[Figures, ...]]:
    """No margin engine: what the ledger, the machine and the journal cost alone."""
    return dict.fromkeys(holdings, RICH)


def contract(symbol: str) -> Contract:
    instrument = Instrument(
        symbol=symbol, kind=InstrumentKind.PERPETUAL, underlying=symbol[:3], quote_asset="USD", settlement_asset="USDC"
    )
    return Contract(instrument=instrument, quantity_digits=3, price_digits=1)


class Feed:
    """Commands of one source, in order."""

    def __init__(self, seed: int) -> None:
        self.rng, self.sequence, self.as_of = random.Random(seed), 0, BEGINNING
        self.contracts = {symbol: contract(symbol) for symbol in SYMBOLS}

    def named(self) -> dict[str, Any]:
        self.sequence += 1
        self.as_of += timedelta(microseconds=50)
        return {"source": "feed", "sequence": self.sequence, "as_of": self.as_of}

    def configure(self, section: Section, content: object) -> c.Command:
        document = document_of(section, content)
        return c.Configure(**self.named(), section=section, document=document, digest=digest_of(document))

    def beginning(self, digest: str) -> list[c.Command]:
        names = [f"user{n}" for n in range(ACCOUNTS)]
        assets = {
            "USDC": Asset(digits=6),
            "BTC": Asset(digits=8, price_digits=2),
            "ETH": Asset(digits=8, price_digits=2),
        }
        return [
            self.configure(Section.ASSETS, assets),
            self.configure(Section.INSTRUMENTS, self.contracts),
            self.configure(Section.ACCOUNTS, {name: Holder() for name in names}),
            self.configure(Section.RULEBOOK, RulebookTerms(name="bench", digest=digest)),
            *(c.Deposit(**self.named(), owner=name, asset="USDC", amount=10**13) for name in names),
        ]

    def trade(self) -> c.Command:
        buyer, seller = self.rng.sample(range(ACCOUNTS), 2)
        return c.Trade(
            **self.named(),
            buyer=f"user{buyer}",
            seller=f"user{seller}",
            instrument=self.rng.choice(SYMBOLS),
            quantity=self.rng.randint(1, 1_000),
            price=600_000 + self.rng.randint(-900, 900),
            buyer_fee=30,
            seller_fee=10,
        )


def house(journal: Journal, feed: Feed, rules: Rules) -> House:
    made = House(journal, rules)
    made.handle_all(feed.beginning(rules.digest))
    return made


def rate(count: int, seconds: float) -> float:
    return count / seconds


def timed(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def shown(name: str, values: list[float], unit: str, beside: str = "") -> float:
    middle = statistics.median(values)
    print(f"{name:<66} {middle:>12,.0f} {unit:<10} ({min(values):,.0f} .. {max(values):,.0f}) {beside}")
    ROWS.append({"name": name.strip(), "unit": unit, "median": middle, "low": min(values), "high": max(values),
                 "samples": len(values), "beside": beside})  # fmt: skip
    return middle


ROWS: list[dict[str, Any]] = []


def chained(lines: list[bytes], previous: bytes, first: int, size_of_batch: int) -> list[Batch]:
    out = []
    for start in range(0, len(lines), size_of_batch):
        part = lines[start : start + size_of_batch]
        out.append(make_batch(previous, first + start, part, {"feed": first + start + len(part)}))
        previous = out[-1].head
    return out


def percentile(values: list[float]) -> float:
    return sorted(values)[int(0.99 * len(values))]
