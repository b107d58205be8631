"""A small seeded world: accounts that deposit, trade, owe and are owed, over a delivery that repeats and reorders."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec

from crossmargin.clearing import State, replay
from crossmargin.clearing import commands as c
from crossmargin.clearing.events import Refused
from crossmargin.clearing.invariants import BrokenError, Watch
from crossmargin.clearing.records import records_of
from crossmargin.clearing.snapshots import to_bytes
from crossmargin.clearing.state import fold
from tests.clearing import venue
from tests.clearing.twin import Twin, check_rounding, compare
from tests.clearing.venue import Desk, open_house

if TYPE_CHECKING:
    from crossmargin.clearing import Rules
    from crossmargin.clearing.records import Batch

OWNERS = ["alice", "alice/hedge", "bob", "carol", "book"]
MARKETS = {"BTC-PERP": 600_000, "BTC-USD": 600_000, "ETH-QUANTO": 20_000, "ETH-PERP": 20_000}
CHECK_EVERY = 25  # commands between the costly checks


@dataclass
class World:
    """One run. `step` raises as soon as an invariant breaks; `run` adds seed and step to what it says."""

    seed: int
    rules: Rules = venue.RICH
    desk: Desk = field(init=False)
    rng: random.Random = field(init=False)
    marks: dict[str, int] = field(default_factory=lambda: dict(MARKETS))
    watch: Watch = field(default_factory=Watch)
    twin: Twin = field(default_factory=Twin)
    replica: State = field(default_factory=State)
    sent: list[c.Command] = field(default_factory=list)
    done: int = 0
    refused: int = 0

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)
        self.desk = open_house(self.rules)
        self.follow_journal()

    def follow_journal(self) -> None:
        """See what set the house up, record by record, as if it came over a wire."""
        for batch in self.desk.house.journal.batches():
            for record in records(batch):
                self.see(record)

    def see(self, record: Any) -> None:  # noqa: ANN401
        fold(self.replica, record)
        self.watch.see(record, self.replica)

    def run(self, commands: int) -> World:
        for _ in range(commands):
            try:
                self.step()
            except AssertionError as error:
                raise AssertionError(f"seed {self.seed}, step {self.done}: {error}") from error
        self.check()
        return self

    def step(self) -> None:
        """Send one command, and faults around it: repetitions, and the next one before this."""
        self.done += 1
        if self.sent and self.rng.random() < 0.1:
            self.repeat(self.rng.choice(self.sent))
        command = self.command()
        if self.rng.random() < 0.05:
            self.send_early(command)
        self.send(command)
        if self.rng.random() < 0.05:
            self.repeat(command)
        if self.done % (CHECK_EVERY if self.done <= 500 else 20 * CHECK_EVERY) == 0:
            self.check()

    def send(self, command: c.Command) -> None:
        before = self.desk.house.state  # changed in place; the twin's checks look at a copy of what they read
        held = {owner: dict(one) for owner, one in before.balances.items()}
        (answer,) = self.desk.house.handle_all([command])
        if not answer.records:
            raise BrokenError(f"command {command.sequence} was accepted and nothing is recorded: {answer}")
        for record in answer.records:
            self.see(record)
        refused = isinstance(answer.records[0].event, Refused)
        self.refused += refused
        if not refused:
            self.twin.take(command, replace(before, balances=held))
            check_rounding(command, replace(before, balances=held), self.desk.house.state)
        self.sent.append(command)

    def repeat(self, command: c.Command) -> None:
        before = to_bytes(self.desk.house.state)
        if not self.desk.house.handle(command).duplicate or to_bytes(self.desk.house.state) != before:
            raise BrokenError(f"a repetition of command {command.sequence} changed something")

    def send_early(self, command: c.Command) -> None:
        before = to_bytes(self.desk.house.state)
        early = msgspec.structs.replace(command, sequence=command.sequence + 1)
        if self.desk.house.handle(early).not_taken is None or to_bytes(self.desk.house.state) != before:
            raise BrokenError(f"command {early.sequence} was taken before {command.sequence}")

    def check(self) -> None:
        """The costly ones: the twin agrees, and the journal makes the same state, byte by byte."""
        live = to_bytes(self.desk.house.state)
        if to_bytes(self.replica) != live:
            raise BrokenError("the records do not make the live state")
        if to_bytes(replay(self.desk.house.journal).state) != live:
            raise BrokenError("the journal does not make the live state")
        wrong = compare(self.twin, self.desk.house.state, OWNERS, self.marks)
        if wrong:
            raise BrokenError("; ".join(wrong))

    def command(self) -> c.Command:
        kinds = (self.trade, self.pay, self.accrue, self.quote, self.settle, self.mistake)
        (kind,) = self.rng.choices(kinds, weights=(60, 15, 10, 8, 2, 5))
        return kind()

    def trade(self) -> c.Command:
        symbol = self.rng.choice(list(MARKETS))
        buyer, seller = self.rng.sample(OWNERS, 2)
        price = max(1, self.marks[symbol] + self.rng.randint(-500, 500))
        return c.Trade(
            **self.desk.named(),
            buyer=buyer,
            seller=seller,
            instrument=symbol,
            quantity=self.rng.randint(1, 5_000),
            price=price,
            buyer_fee=self.rng.randint(0, 99),
            seller_fee=self.rng.randint(-50, 99),
        )

    def pay(self) -> c.Command:
        asset, amount = self.rng.choice(("USDC", "BTC")), self.rng.randint(1, 10**9)
        match self.rng.randint(0, 3):
            case 0:
                return c.Withdraw(**self.desk.named(), owner=self.rng.choice(OWNERS), asset=asset, amount=amount)
            case 1:
                sides = self.rng.sample(("alice", "alice/hedge"), 2)
                return c.Transfer(**self.desk.named(), owner=sides[0], target=sides[1], asset=asset, amount=amount)
            case _:
                return c.Deposit(**self.desk.named(), owner=self.rng.choice(OWNERS), asset=asset, amount=amount)

    def accrue(self) -> c.Command:
        index = self.rng.choice([*MARKETS, "borrow:USDC", "lend:USDC"])
        if index in MARKETS:
            rate, mark = f"{self.rng.randint(-99, 99)}e-6", self.marks[index]
            return c.Accrue(**self.desk.named(), index=index, rate=rate, mark=mark)
        return c.Accrue(**self.desk.named(), index=index, rate=f"{self.rng.randint(0, 99)}e-6")

    def quote(self) -> c.Command:
        symbol = self.rng.choice(list(MARKETS))
        self.marks[symbol] = max(100, int(self.marks[symbol] * (1 + self.rng.gauss(0, 0.02))))
        quotes = {feed: {symbol: c.Quote(price=self.marks[symbol])} for feed in ("one", "two")}
        return c.Prices(**self.desk.named(), quotes=quotes)

    def settle(self) -> c.Command:
        symbol = self.rng.choice(list(MARKETS))
        return c.Settle(**self.desk.named(), instrument=symbol, price=self.marks[symbol])

    def mistake(self) -> c.Command:
        """A command that is refused."""
        named = self.desk.named()
        match self.rng.randint(0, 3):
            case 0:
                self.desk.as_of = self.house_time()
                return c.Tick(**{**named, "as_of": self.desk.as_of - timedelta(days=1)})
            case 1:
                return c.Deposit(**named, owner="nobody", asset="USDC", amount=1)
            case 2:
                return c.Withdraw(**named, owner="alice", asset="USDC", amount=-1)
            case _:
                return c.Expire(**named, instrument="BTC-MAR", price=600_000)

    def house_time(self) -> datetime:
        found = self.desk.house.state.as_of
        assert found is not None
        return found


def records(batch: Batch) -> Iterator[Any]:
    yield from records_of(batch, batch.previous, batch.first)
