"""The clearing house beside what the disk and the margin engine can do, in one run.

python -m benchmarks.clearing [--events N] [--rounds N] [--slices N] [--place DIRECTORY] [--postgres CONNINFO|own]
                              [--output FILE]

Contenders take turns, so that what else runs meets them alike; medians are printed with the spread of the rounds. A
floor is measured in the same turns as what is held against it. ``--postgres own`` starts a server for the run.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from contextlib import ExitStack, closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from benchmarks.clearing_disk import single_syncs
from benchmarks.clearing_losses import fills, losses
from benchmarks.clearing_parts import (
    ACCOUNTS,
    BEGINNING,
    ROWS,
    SYMBOLS,
    Feed,
    chained,
    contract,
    house,
    percentile,
    plenty,
    rate,
    shown,
    timed,
)
from crossmargin import load_rulebook
from crossmargin.bench.machine import machine as machine_words
from crossmargin.clearing import House, MemoryJournal, Rules, State, replay, rules_of
from crossmargin.clearing import commands as c
from crossmargin.clearing.contracts import Contract
from crossmargin.clearing.ledger import HELD
from crossmargin.clearing.records import START, encode, records_of
from crossmargin.clearing.state import fold_all
from crossmargin.instruments import Instrument, InstrumentKind, OptionType
from crossmargin.sources.journals.pipeline import Pipeline
from crossmargin.sources.journals.postgres import PostgresJournal
from crossmargin.sources.journals.sqlite import SqliteJournal
from tests.clearing import servers

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from crossmargin.clearing import Journal

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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=40_000)
    parser.add_argument("--slices", type=int, default=60, help="of 50 records that are kept one by one")
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
        journals = {name: stack.enter_context(closing(open_one())) for name, open_one in opens.items()}
        single_syncs(stack, place, journals, words.postgres, words.slices)
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
    fills("reference", (200, 10_000), 500)
    losses((1_000, 10_000))
    if words.output:
        found = {"made": f"{datetime.now(UTC):%Y-%m-%d}", "machine": about, "results": ROWS}
        words.output.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
