"""A seeded world around a clearing house: traders, prices, faults. Every record is checked; a failure is a seed.

Time is the world's own, half a minute a step. The same seed, rulebook and prices give the same journal, byte by byte.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

import numpy as np

from crossmargin.clearing import House, Outside, rules_with_procedure
from crossmargin.clearing import commands as c
from crossmargin.clearing.configuration import Holder, RulebookTerms, Section, digest_of, document_of
from crossmargin.clearing.decide import RunawayError
from crossmargin.clearing.events import Staged
from crossmargin.clearing.snapshots import to_bytes
from crossmargin.errors import InputError
from crossmargin.simulation.checks import Checks
from crossmargin.simulation.faults import Delivery, DiskFullError, Faults, FaultyJournal, spoiled
from crossmargin.simulation.market import Market, Venue, generated
from crossmargin.simulation.probing import BEGIN, feeds_of, margined
from crossmargin.simulation.traders import Intent, Trader, answer, cure, deposits, intent, lent, loan, offer, traders

if TYPE_CHECKING:
    from crossmargin.clearing import Rules
    from crossmargin.clearing.house import Answer
    from crossmargin.margin import Rulebook
    from crossmargin.simulation.market import Path

__all__ = ["BEGIN", "BrokenWorldError", "Outcome", "World", "simulate"]

_ANSWERED, _BID, _COMPARED = 0.8, 0.3, 0.01  # how often: an order is filled, an offer bid for, a repetition looked at
_STEP: Final = timedelta(seconds=30)
_FUNDED_EVERY: Final = 120  # steps
_MOST_INTENTS: Final = 18  # of everybody together, a step
_BURSTS: Final = 0.1  # how often order flow comes in a burst
_BURST: Final = 120  # of everybody together, a step of a burst
_WHOLE_EVERY: Final = 400  # steps between the costly checks
_STRESSED_EVERY: Final = 20  # steps, where the fund's target reads what a stress finds
_SAVED_EVERY: Final = 50  # steps between states that are kept beside the journal


class BrokenWorldError(AssertionError):
    """An invariant broke: the message names seed, rulebook and step, which make it happen again."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run came to: how much happened, what was never paid, and the journal's head, which names all of it."""

    seed: int
    rulebook: str
    steps: int
    commands: int
    events: int
    head: str
    counts: Mapping[str, int]
    unpaid: Mapping[str, Mapping[str, str]]
    reopened: int
    fund: Mapping[str, int]


@dataclass(slots=True)
class World:
    """One run: `step` lets half a minute pass; `run` goes on until so many events are recorded.

    Parameters
    ----------
    path
        Prices of each coin by step; they stay where the path ends.
    asked
        Whether market orders and offers are asked for, and answered by commands; else the book takes them at once.
    """

    seed: int
    rulebook: Rulebook
    path: Path
    accounts: int = 12
    asked: bool = True
    faults: Faults = field(default_factory=Faults)
    rng: np.random.Generator = field(init=False)
    rules: Rules = field(init=False)
    house: House = field(init=False)
    market: Market = field(init=False)
    checks: Checks = field(default_factory=Checks)
    delivery: Delivery = field(init=False)
    everyone: list[Trader] = field(init=False)
    journal: FaultyJournal = field(default_factory=FaultyJournal)
    as_of: datetime = BEGIN
    sequence: int = 0
    commands: int = 0
    steps: int = 0
    reopened: int = 0
    feeds: dict[str, dict[str, c.Quote]] = field(default_factory=dict)
    _listing: list[str] = field(default_factory=list)
    _exchanges: frozenset[str] = frozenset()
    _called: list[tuple[str, Mapping[str, str]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Set the house up: assets, the contracts that the rulebook can margin, accounts, prices, deposits."""
        self.rng = np.random.default_rng(self.seed)
        outside = Outside(taker=None if self.asked else "book", slippage=0.001)
        self.rules = rules_with_procedure(self.rulebook, outside, valued_every_seconds=_STEP.total_seconds())
        self.house = House(self.journal, self.rules)
        self.delivery = Delivery(self.rng, self.faults)
        self.everyone = traders(self.accounts)
        steps = self.rulebook.procedure.liquidation.steps
        self.checks.hedges = frozenset(f"liquidation: {step.name}" for step in steps if step.do == "hedge")
        self._exchanges = frozenset(step.name for step in steps if step.do == "exchange")
        self.checks.repayments = frozenset(f"liquidation: {name}" for name in self._exchanges)
        self._open(*margined(self.rulebook))

    def _open(self, venue: Venue, names: list[str]) -> None:
        self.market, self._listing = Market(venue, iter(self.path)), names
        terms = RulebookTerms(name=self.rulebook.name, digest=self.rulebook.digest)
        documents = {
            Section.ASSETS: venue.assets,
            Section.INSTRUMENTS: {name: venue.contracts[name] for name in names},
            Section.ACCOUNTS: {trader.owner: Holder() for trader in self.everyone},
            Section.RULEBOOK: terms,
        }
        for section, content in documents.items():
            document = document_of(section, content)
            self._sent((c.Configure, {"section": section, "document": document, "digest": digest_of(document)}))
        self._prices(sound=True)
        brought = [] if names else lent(self.everyone, self.market)
        for one in (*deposits(self.everyone, venue.dollar, venue.assets[venue.dollar].digits), *brought):
            self._sent(one)

    def run(self, events: int) -> Outcome:
        """Return what happened once at least so many events are recorded.

        Raises
        ------
        BrokenWorldError
            An invariant broke.
        """
        try:
            while self.checks.replica.number < events:
                self.step()
            self.checks.whole(self.house)
        except (AssertionError, InputError, RunawayError) as error:
            place = f"seed {self.seed}, rulebook {self.rulebook.name}, step {self.steps}, command {self.sequence}"
            raise BrokenWorldError(f"{place}: {error}") from error
        return self.outcome()

    def outcome(self) -> Outcome:
        """Return what has happened so far."""
        state = self.house.state
        fund = {asset: amount for (purse, asset), amount in state.balances.get("fund", {}).items() if purse == "wallet"}
        return Outcome(
            seed=self.seed,
            rulebook=self.rulebook.name,
            steps=self.steps,
            commands=self.commands,
            events=state.number,
            head=self.house.head.hex(),
            counts=dict(sorted(self.checks.counts.items())),
            unpaid=dict(self.checks.unpaid),
            reopened=self.reopened,
            fund=fund,
        )

    def step(self) -> None:
        """Let half a minute pass: prices, what people do, what the house asked for, time."""
        self.steps += 1
        self.as_of += _STEP
        self.market.follow()
        self._expire()
        self._prices()
        for _ in range(int(self.rng.integers(_BURST if self.rng.random() < _BURSTS else _MOST_INTENTS))):
            self._send(self._wanted())
        if self.steps % _FUNDED_EVERY == 0:
            self._accrue()
        if self.steps % _STRESSED_EVERY == 0 and self.rulebook.procedure.fund.reads_stress:
            self._send((c.StressAll, {}))
        self._answers()
        self._send((c.Tick, {}))
        self._arrived()
        if self.steps % _WHOLE_EVERY == 0:
            self.checks.whole(self.house)
        if self.steps % _SAVED_EVERY == 0:
            self.house.save()

    def _wanted(self) -> Intent:
        """Return what somebody wants next: a trade mostly; where nothing is listed a loan."""
        if not self._listing:
            return loan(self.rng, self.everyone, self.market)
        return intent(self.rng, self.everyone, self.house.state, self.market, self._living())

    def _living(self) -> list[str]:
        contracts = self.market.venue.contracts
        return [name for name in self._listing if (e := contracts[name].instrument.expiry) is None or self.as_of < e]

    def _prices(self, *, sound: bool = False) -> None:
        names = self._living()
        shifts = {feed: float(self.rng.normal(0.0, 0.0001)) for feed in feeds_of(self.rulebook)}
        feeds = {feed: self.market.quotes(self.as_of, names, shift) for feed, shift in shifts.items()}
        told = feeds if sound else spoiled(feeds, self.feeds, self.rng, self.faults)
        told = {
            feed: {name: q for name, q in quotes.items() if name in names or "-" not in name}
            for feed, quotes in told.items()
        }
        self.feeds = feeds
        (self._sent if sound else self._send)((c.Prices, {"quotes": told}))

    def _accrue(self) -> None:
        for name in self._living():
            if name.endswith(("PERP", "COIN")):
                rate = f"{float(self.rng.normal(0.0, 0.0002)):.9f}"
                self._send((c.Accrue, {"index": name, "rate": rate, "mark": self.house.state.marks[name].price}))
        self._send((c.Accrue, {"index": f"borrow:{self.market.venue.dollar}", "rate": "0.00001"}))

    def _expire(self) -> None:
        contracts = self.market.venue.contracts
        for name in self._listing:
            expiry = contracts[name].instrument.expiry
            if expiry is not None and expiry <= self.as_of < expiry + _STEP:
                spot = self.market.spots[contracts[name].instrument.underlying]
                self._send((c.Expire, {"instrument": name, "price": round(spot * 10 ** contracts[name].price_digits)}))

    def _answers(self) -> None:
        """Answer what is asked for: orders and offers of every case, and calls."""
        state = self.house.state
        bidders = [trader.owner for trader in self.everyone if trader.kind == "maker"]
        for name, case in list(state.cases.items()):
            if case.memory.get("orders", "[]") != "[]":
                told = answer(self.rng, state, name) if self.rng.random() < _ANSWERED else None
                if told is not None:
                    self._send(told)
            elif case.memory.get("offer") and self.rng.random() < _BID:
                sells = case.memory["offer"] in self._exchanges
                self._send(offer(self.rng, bidders, state, name, sells=sells))

    def _send(self, one: Intent) -> None:
        """Send a command the way that faults take; what the house lost with its process is sent again."""
        for command in self.delivery.deliver(self._named(one)):
            self._take(command)
        self._cures()
        if self.rng.random() < self.faults.killed:
            self._reopen()

    def _sent(self, one: Intent) -> None:
        """Send a command the safe way."""
        for command in (*self.delivery.rest(), self._named(one)):
            self._take(command)
        self._cures()

    def _arrived(self) -> None:
        """See that the house has answered every command but those that are still under way."""
        answered, sent = self.house.state.sources.get("world", 0), self.sequence - len(self.delivery.waiting)
        if answered != sent:
            raise AssertionError(f"{sent} commands arrived, and {answered} are answered")

    def _named(self, one: Intent) -> c.Command:
        self.sequence += 1
        kind, fields = one
        command: c.Command = kind(source="world", sequence=self.sequence, as_of=self.as_of, **fields)
        return command

    def _take(self, command: c.Command) -> None:
        """Have the house take a command; where its disk is full it is opened again, and the command sent again."""
        before = to_bytes(self.house.state) if self.rng.random() < _COMPARED else None
        self.journal.fails = self.rng.random() < self.faults.full
        try:
            (found,) = self.house.handle_all([command])
        except DiskFullError:
            self._reopen()
            (found,) = self.house.handle_all([command])
        self.journal.fails = False
        self.commands += 1
        if found.duplicate and before is not None and to_bytes(self.house.state) != before:
            raise AssertionError(f"a repetition of command {command.sequence} changed something")
        self._see(found)

    def _see(self, found: Answer) -> None:
        for record in found.records:
            self.checks.see(record)
            if isinstance(record.event, Staged) and record.event.cure:
                self._called.append((record.event.pool, record.event.cure))

    def _cures(self) -> None:
        """Let those who were called answer, once all that is under way has arrived: commands are numbered in order."""
        while self._called:
            self._cure(*self._called.pop(0))

    def _cure(self, pool: str, wanted: Mapping[str, str]) -> None:
        owner, _, unit = pool.partition("#")
        stood = self.house.state.pools.get(owner, {}).get(unit)
        digits = {asset: terms.digits for asset, terms in self.market.venue.assets.items()}
        told = None if stood is None else cure(self.rng, owner, stood, wanted, digits)
        if told is not None:
            self._sent(told)

    def _reopen(self) -> None:
        """Kill the process, open the house again from its journal, and see that nothing answered is lost."""
        answered = dict(self.checks.replica.sources)
        self.house = House(self.journal, self.rules)
        self.reopened += 1
        if self.house.state.sources != answered:
            raise AssertionError(f"acknowledged {answered}, after opening again {self.house.state.sources}")


def simulate(
    seed: int, rulebook: Rulebook, *, events: int, path: Path | None = None, stress: float = 3.0, asked: bool = True
) -> Outcome:
    """Return what a world of a seed comes to under a rulebook, after at least so many events.

    Parameters
    ----------
    path
        Recorded prices by step; None: drawn from the seed.
    stress
        Of drawn prices: how many times as large as on a calm day their moves are.

    Raises
    ------
    BrokenWorldError
        An invariant broke; the message makes it happen again.
    InputError
        The rulebook can margin none of the contracts.
    """
    rng = np.random.default_rng([seed, 1])
    drawn = path or generated(rng, events, step_seconds=_STEP.total_seconds(), stress=stress)
    return World(seed, rulebook, drawn, asked=asked).run(events)
