"""The clearing house beside what the disk and the margin engine can do, in one run.

python -m benchmarks.clearing [--events N] [--place DIRECTORY] [--postgres CONNINFO|own] [--rounds N] [--output FILE]

Contenders take turns, so that what else runs meets them alike; medians are printed with the spread of the rounds. A
floor is measured in the same turns as what is held against it. ``--postgres own`` starts a server for the run.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import tempfile
import time
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from crossmargin import load_rulebook
from crossmargin.bench.machine import machine as machine_words
from crossmargin.clearing import Figures, House, MemoryJournal, Rules, State, replay, rules_of
from crossmargin.clearing import commands as c
from crossmargin.clearing.configuration import Holder, RulebookTerms, Section, digest_of, document_of
from crossmargin.clearing.contracts import Asset, Contract
from crossmargin.clearing.ledger import HELD
from crossmargin.clearing.records import START, Batch, encode, make_batch, records_of
from crossmargin.clearing.state import fold_all
from crossmargin.instruments import Instrument, InstrumentKind, OptionType
from crossmargin.sources.journals.pipeline import Pipeline
from crossmargin.sources.journals.postgres import PostgresJournal
from crossmargin.sources.journals.sqlite import SqliteJournal
from tests.clearing import servers

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
        share = (
            f"{statistics.median(shares):.0%} of the floor ({statistics.median(found[name]) / least:.0%} by medians)"
        )
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


class Desk(Feed):
    """A feed whose trades are in any of `symbols`, the second half of them options."""

    def __init__(self, seed: int, perpetuals: int, options: int) -> None:
        super().__init__(seed)
        listed = [contract(f"BTC-{n}") for n in range(perpetuals)] + [option(n) for n in range(options)]
        self.contracts = {one.instrument.symbol: one for one in listed}

    def prices(self) -> c.Command:
        quotes = {"USDC": c.Quote(price=10**8), "BTC": c.Quote(price=6_000_000), "ETH": c.Quote(price=200_000)}
        figures = {"mark_iv": "0.6", "index_price": "60000", "forward_price": "60100"}
        for symbol, one in self.contracts.items():
            dated = one.instrument.expiry is not None
            quotes[symbol] = c.Quote(price=20_000 if dated else 600_000, figures=figures if dated else {})
        return c.Prices(**self.named(), quotes=dict.fromkeys("abc", quotes))

    def trade(self) -> c.Command:
        buyer, seller = self.rng.sample(range(ACCOUNTS), 2)
        symbol = self.rng.choice(list(self.contracts))
        price = 20_000 if self.contracts[symbol].instrument.expiry else 600_000 + self.rng.randint(-900, 900)
        parties: dict[str, Any] = {
            "buyer": f"user{buyer}",
            "seller": f"user{seller}",
            "buyer_fee": 30,
            "seller_fee": 10,
        }
        return c.Trade(**self.named(), **parties, instrument=symbol, quantity=self.rng.randint(1, 1_000), price=price)


def option(number: int) -> Contract:
    instrument = Instrument(
        symbol=f"BTC-{number}-C", kind=InstrumentKind.OPTION, underlying="BTC", quote_asset="USD",
        settlement_asset="USDC", strike=40_000.0 + 500 * number, option_type=OptionType.CALL,
        expiry=BEGINNING + timedelta(days=30 * (1 + number % 4)),
    )  # fmt: skip
    return Contract(instrument=instrument, quantity_digits=3, price_digits=1)


def latency(rulebook: str, legs: tuple[int, int], fills: int, *, live: bool = True, every: float | None = None) -> None:
    """One trade until both touched pools' new requirement is known, and its record is in a journal in memory."""
    rules = rules_of(load_rulebook(rulebook), max_quote_age_seconds=None, live=live, valued_every_seconds=every)
    feed = Desk(1, *legs)
    made = house(MemoryJournal(), feed, rules)
    made.handle(feed.prices())
    quiet = House(made.journal, Rules(plenty, rules.digest))  # the same house, whom nothing is judged by
    quiet.handle_all([feed.trade() for _ in range(ACCOUNTS * sum(legs))])  # so that pools hold most of the contracts
    made = House(made.journal, rules)
    whole, single, engine = [], [], []
    for turn in range(2 * fills):
        trade = feed.trade()
        if turn % 2:  # against the house's own book, which is not judged: one pool is touched
            trade = msgspec.structs.replace(trade, seller="book", seller_fee=0)
        (single if turn % 2 else whole).append(1e6 * timed(lambda: made.handle(trade)))  # noqa: B023
        owner = {trade.buyer: made.state.balances[trade.buyer]}  # type: ignore[union-attr]
        engine.append(1e6 * timed(lambda: rules.assess(made.state, owner)))  # noqa: B023
    pools = [sum(purse == HELD for purse, _ in made.state.balances[f"user{n}"]) for n in range(ACCOUNTS)]
    kind = f"{rulebook}{'' if live else ', the evaluation'}, {statistics.median(pools):.0f} positions a pool"
    kind += f" (options valued every {every:g} s)" if every else ""
    shown(f"fill -> requirement of the touched pool; {kind}", single, "us p50", f"p99 {percentile(single):,.0f}")
    shown("  the same of a fill that touches two pools", whole, "us p50", f"p99 {percentile(whole):,.0f}")
    shown("  one pool's requirement from unchanged balances", engine, "us p50", f"p99 {percentile(engine):,.0f}")


def marks(rulebook: str) -> None:
    """New marks until one pool's requirement is known: the program is made anew."""
    rules = rules_of(load_rulebook(rulebook), max_quote_age_seconds=None)
    feed = Desk(1, 10, 0)
    made = house(MemoryJournal(), feed, rules)
    took: list[float] = []
    for _ in range(20):
        made.handle(feed.prices())
        made.state.marks["BTC-0"] = c.Quote(price=600_000 + len(took))
        made.state.marks = dict(made.state.marks)
        took.append(1e6 * timed(lambda: rules.assess(made.state, {"user1": made.state.balances["user1"]})))
    shown("new marks -> the first requirement after them", took, "us p50")


def percentile(values: list[float]) -> float:
    return sorted(values)[int(0.99 * len(values))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=40_000)
    parser.add_argument("--singles", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--place", type=Path, help="where files are written: a disk, not a memory file system")
    parser.add_argument("--postgres", help="conninfo of a server; its schemas bench* are made anew. `own` starts one")
    parser.add_argument("--output", type=Path, help="where the figures are written as JSON")
    words = parser.parse_args()
    about = machine_words()
    with ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=words.place)))
        if words.postgres == "own":
            tools = servers.binaries()
            assert tools is not None, "there is no PostgreSQL here"
            words.postgres = stack.enter_context(servers.running(tools)).conninfo
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
        latency(rulebook, (2, 0), 2_000)
        latency(rulebook, (10, 0), 2_000)
        latency(rulebook, (50, 0), 1_000)
        latency(rulebook, (5, 45), 1_000, every=1.0)
        latency(rulebook, (2, 0), 60, live=False)
    marks("reference")
    if words.output:
        found = {"made": f"{datetime.now(UTC):%Y-%m-%d}", "machine": about, "results": ROWS}
        words.output.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
