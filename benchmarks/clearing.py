"""The clearing house beside what the disk and the margin engine can do, in one run.

python benchmarks/clearing.py [--events N] [--place DIRECTORY] [--postgres CONNINFO] [--rounds N]

Contenders take turns, so that what else runs meets them alike; medians are printed with the spread of the rounds. A
floor is measured in the same turns as what is held against it.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crossmargin import load_rulebook
from crossmargin.clearing import Figures, House, MemoryJournal, Rules, State, replay, rules_of
from crossmargin.clearing import commands as c
from crossmargin.clearing.configuration import Holder, RulebookTerms, Section, digest_of, document_of
from crossmargin.clearing.contracts import Asset, Contract
from crossmargin.clearing.ledger import HELD, WALLET
from crossmargin.clearing.records import START, Batch, encode, make_batch, records_of
from crossmargin.clearing.state import fold_all
from crossmargin.instruments import Instrument, InstrumentKind
from crossmargin.sources.journals.pipeline import Pipeline
from crossmargin.sources.journals.postgres import PostgresJournal
from crossmargin.sources.journals.sqlite import SqliteJournal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from crossmargin.clearing import Journal

BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)
ACCOUNTS = 200
SYMBOLS = ("BTC-PERP", "ETH-PERP")


RICH = (Figures("anybody", 1e9, 1e9, 1e9, 1e9, triggered=False),)


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
            self.configure(Section.INSTRUMENTS, {symbol: contract(symbol) for symbol in SYMBOLS}),
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
    print(f"{name:<58} {middle:>12,.0f} {unit:<10} ({min(values):,.0f} .. {max(values):,.0f}) {beside}")
    return middle


# --- singly synced


def floor(place: Path, lines: list[bytes]) -> float:
    """Append and fdatasync, as plain as it gets: no transaction, no index, nothing to read it by."""
    sync = getattr(os, "fdatasync", os.fsync)
    with (place / "floor").open("ab", buffering=0) as file:

        def work() -> None:
            for line in lines:
                file.write(line)
                sync(file.fileno())

        return rate(len(lines), timed(work))


def singly(journal: Journal, batches: list[Batch]) -> float:
    def work() -> None:
        for batch in batches:
            journal.append([batch])

    return rate(len(batches), timed(work))


def chained(lines: list[bytes], previous: bytes, first: int, size_of_batch: int) -> list[Batch]:
    out = []
    for start in range(0, len(lines), size_of_batch):
        part = lines[start : start + size_of_batch]
        out.append(make_batch(previous, first + start, part, {"feed": first + start + len(part)}))
        previous = out[-1].head
    return out


def single_syncs(place: Path, open_journals: Mapping[str, Callable[[], Journal]], rounds: int, count: int) -> None:
    feed = Feed(1)
    made = house(MemoryJournal(), feed, Rules(plenty, "rich"))
    answers = made.handle_all([feed.trade() for _ in range(count)])
    lines = [encode(record) for answer in answers for record in answer.records]
    journals = {name: open_one() for name, open_one in open_journals.items()}
    heads = dict.fromkeys(journals, START)
    firsts = dict.fromkeys(journals, 1)
    found: dict[str, list[float]] = {"floor": [], **{name: [] for name in journals}}
    for _ in range(rounds):
        found["floor"].append(floor(place, lines))
        for name, journal in journals.items():
            batches = chained(lines, heads[name], firsts[name], 1)
            found[name].append(singly(journal, batches))
            heads[name], firsts[name] = batches[-1].head, firsts[name] + len(batches)
    least = shown("append + fdatasync, one record", found["floor"], "records/s")
    for name, journal in journals.items():
        shares = [a / b for a, b in zip(found[name], found["floor"], strict=True)]
        share = f"{statistics.median(shares):.0%} of the floor, medians {statistics.median(found[name]) / least:.0%}"
        shown(f"{name}, one record a transaction", found[name], "records/s", share)
        journal.close()


# --- batched


def batched(open_journals: Mapping[str, Callable[[], Journal]], rounds: int, events: int, size_of_batch: int) -> None:
    """The journal alone (records made before), and the whole machine: decide, fold, encode, link, commit."""
    for name, open_one in open_journals.items():
        alone, whole = [], []
        for turn in range(rounds):
            feed = Feed(turn)
            made = house(MemoryJournal(), feed, Rules(plenty, "rich"))
            records = [r for a in made.handle_all([feed.trade() for _ in range(events)]) for r in a.records]
            journal = open_one()

            def append(journal: Journal = journal, records: list[Any] = records) -> None:
                batches = chained([encode(one) for one in records], START, 1, size_of_batch)
                for start in range(0, len(batches), 4):
                    journal.append(batches[start : start + 4])

            alone.append(rate(events, timed(append)))
            journal.close()
            feed = Feed(turn)
            made = house(open_one(), feed, Rules(plenty, "rich"))
            commands = [feed.trade() for _ in range(events)]
            pipeline = Pipeline(made)

            def run(pipeline: Pipeline = pipeline, commands: list[c.Command] = commands) -> None:
                parts = range(0, events, size_of_batch)
                futures = [pipeline.put(commands[start : start + size_of_batch]) for start in parts]
                futures[-1].result()

            whole.append(rate(events, timed(run)))
            pipeline.close()
            made.journal.close()
        shown(f"{name}, batches of {size_of_batch:,}: encode, link, commit", alone, "events/s")
        shown(f"{name}, batches of {size_of_batch:,}: decide .. durable", whole, "events/s")


def plain_postings(events: int) -> float:
    """The floor of a ledger in Python: four integers added in dictionaries for each trade, and nothing else."""
    balances: dict[tuple[str, str, str], int] = {}
    keys = [(f"user{n}", purse, SYMBOLS[0]) for n in range(ACCOUNTS) for purse in ("held", "basis")]

    def work() -> None:
        for turn in range(events):
            for place in range(4):
                key = keys[(turn * 7 + place) % len(keys)]
                balances[key] = balances.get(key, 0) + turn

    return rate(events, timed(work))


def machine(rounds: int, events: int) -> None:
    """Without a disk: decide and fold; and replay with its parts."""
    decided, replayed, decoded, folded, least = [], [], [], [], []
    for turn in range(rounds):
        least.append(plain_postings(events))
        feed = Feed(turn)
        made = house(MemoryJournal(), feed, Rules(plenty, "rich"))
        commands = [feed.trade() for _ in range(events)]
        decided.append(rate(events, timed(lambda: made.handle_all(commands))))  # noqa: B023 - called at once
        replayed.append(rate(events, timed(lambda: replay(made.journal))))  # noqa: B023
        batches = list(made.journal.batches())
        begun = time.perf_counter()
        records = [record for batch in batches for record in records_of(batch, batch.previous, batch.first)]
        decoded.append(rate(events, time.perf_counter() - begun))
        folded.append(rate(events, timed(lambda: fold_all(State(), records))))  # noqa: B023
    shown("four integers in dictionaries, the floor of a trade", least, "trades/s")
    shown("decide, fold, encode, link; in memory", decided, "events/s")
    shown("replay: verify, decode, fold", replayed, "events/s")
    shown("  verify and decode alone", decoded, "events/s")
    shown("  fold alone", folded, "events/s")


# --- a fill to its requirement


def latency(rulebook: str, fills: int) -> None:
    """One trade until both touched pools' new requirement is known: `decide` with the real engine, no disk."""
    rules = rules_of(load_rulebook(rulebook), max_quote_age_seconds=None)
    feed = Feed(1)
    made = house(MemoryJournal(), feed, rules)
    quotes = {"USDC": 10**8, "BTC": 6_000_000, "ETH": 200_000, "BTC-PERP": 600_000, "ETH-PERP": 600_000}
    marks = {name: c.Quote(price=price) for name, price in quotes.items()}
    made.handle(c.Prices(**feed.named(), quotes=dict.fromkeys("abc", marks)))
    whole, engine = [], []
    for _ in range(fills):
        trade = feed.trade()
        whole.append(1e6 * timed(lambda: made.handle(trade)))  # noqa: B023
        owners = {name: made.state.balances[name] for name in (trade.buyer, trade.seller)}  # type: ignore[union-attr]
        engine.append(1e6 * timed(lambda: rules.assess(made.state, owners)))  # noqa: B023
    held = sum(1 for one in made.state.balances.values() for purse, _ in one if purse in {HELD, WALLET})
    shown(
        f"fill -> requirement, {rulebook} ({held} balances)", whole, "us p50", f"p95 {sorted(whole)[-fills // 20]:,.0f}"
    )
    shown("  of which the margin engine, both pools in one call", engine, "us p50")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=40_000)
    parser.add_argument("--singles", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--place", type=Path, help="where files are written: a disk, not a memory file system")
    parser.add_argument("--postgres", help="conninfo of a server; its schemas bench* are made anew")
    words = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=words.place) as home:
        place = Path(home)
        numbers = iter(range(10_000))
        opens: dict[str, Callable[[], Journal]] = {
            "SQLite": lambda: SqliteJournal(place / f"{next(numbers)}.db"),
        }
        if words.postgres:
            stamp = time.time_ns()
            opens["PostgreSQL"] = lambda: PostgresJournal(words.postgres, schema=f"bench{stamp}_{next(numbers)}")
        single_syncs(place, opens, words.rounds, words.singles)
        machine(words.rounds, words.events)
        for size_of_batch in (1_000, 4_000):
            batched(opens, words.rounds, words.events, size_of_batch)
    for rulebook in ("deribit-standard", "reference"):
        latency(rulebook, 200)


if __name__ == "__main__":
    main()
