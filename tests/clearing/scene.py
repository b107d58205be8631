"""A house under a real rulebook's procedure, watched: every record is checked, and every stage that a case leaves."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from crossmargin import load_rulebook
from crossmargin.clearing import House, MemoryJournal, State, replay
from crossmargin.clearing import commands as c
from crossmargin.clearing.bridge import snapshot_of
from crossmargin.clearing.configuration import Holder, RulebookTerms, Section
from crossmargin.clearing.contracts import Asset, Contract
from crossmargin.clearing.events import LOCKED, Asked, Posted, Record, Refused, Stage, Staged
from crossmargin.clearing.invariants import Watch
from crossmargin.clearing.ledger import HELD, HOUSE, WALLET
from crossmargin.clearing.procedure import Outside, rules_with_procedure
from crossmargin.clearing.procedure.remembered import recall
from crossmargin.clearing.procedure.view import Setting, parted, view_of
from crossmargin.clearing.rules import middle_quotes
from crossmargin.clearing.scales import to_units
from crossmargin.clearing.snapshots import to_bytes
from crossmargin.clearing.state import fold
from crossmargin.liquidation import ended
from tests.clearing.venue import Desk, contract
from tests.clearing.world import records

if TYPE_CHECKING:
    from crossmargin.clearing.rules import Figures, Rules
    from crossmargin.margin import Rulebook

ASSETS = {
    "USD": Asset(digits=6),
    "USDC": Asset(digits=6, interest=True),
    "USDT": Asset(digits=6),
    "BTC": Asset(digits=8, price_digits=2),
    "ETH": Asset(digits=12, price_digits=2),
    "WETH": Asset(digits=12, price_digits=2),
    "LINK": Asset(digits=12, price_digits=2),
}
BTC = contract("BTC-PERP", price_digits=2)
ETH = contract("ETH-PERP", underlying="ETH", price_digits=2)
BTCUSDT = contract("BTCUSDT", settlement_asset="USDT", quote_asset="USDT", price_digits=2)
ETHUSDT = contract("ETHUSDT", underlying="ETH", settlement_asset="USDT", quote_asset="USDT", price_digits=2)
COIN = contract("BTC-COIN", form="inverse", settlement_asset="BTC", multiplier=10.0, quantity_digits=0)
CONTRACTS = (BTC, ETH, BTCUSDT, ETHUSDT, COIN)
MARKS = {
    "USDC": "1", "USDT": "1", "BTC": "60000", "ETH": "2000", "WETH": "2000", "LINK": "2000",
    "BTC-PERP": "60000", "ETH-PERP": "2000", "BTCUSDT": "60000", "ETHUSDT": "2000", "BTC-COIN": "60000",
}  # fmt: skip
ACCOUNTS = {name: Holder(pools=("hedge",) if name == "alice" else ()) for name in ("alice", "bob", "carol", "dave")}


@dataclass
class Scene:
    """One house and the commands to it; `records` are all that it made."""

    rulebook: str
    outside: Outside = field(default_factory=lambda: Outside(taker="book"))
    contracts: tuple[Contract, ...] = CONTRACTS
    accounts: dict[str, Holder] = field(default_factory=lambda: dict(ACCOUNTS))
    figures: dict[str, dict[str, str]] = field(default_factory=dict)
    live: bool = True
    desk: Desk = field(init=False)
    rules: Rules = field(init=False)
    book: Rulebook = field(init=False)
    marks: dict[str, str] = field(default_factory=lambda: dict(MARKS))
    watch: Watch = field(default_factory=Watch)
    replica: State = field(default_factory=State)
    records: list[Record] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.book = load_rulebook(self.rulebook)
        self.rules = rules_with_procedure(self.book, self.outside, guard=middle_quotes, live=self.live)
        self.desk = Desk(House(MemoryJournal(), self.rules))
        self.configure(Section.ASSETS, ASSETS)
        self.configure(Section.INSTRUMENTS, {one.instrument.symbol: one for one in self.contracts})
        self.configure(Section.ACCOUNTS, self.accounts)
        reporting = self.book.reporting_asset if hasattr(self.book, "reporting_asset") else "USD"
        self.configure(Section.RULEBOOK, RulebookTerms(name="t", digest=self.rules.digest, reporting_asset=reporting))
        self.mark()

    def configure(self, section: Section, content: object) -> None:
        before = self.state.number
        self.desk.configure(section, content)
        self.follow(before)

    @property
    def state(self) -> State:
        return self.desk.house.state

    def send(self, kind: type, **fields: Any) -> list[Any]:  # noqa: ANN401 - events
        """Send one command, see every record that it led to, and return their events."""
        before = self.state.number
        answer = self.desk.house.handle(kind(**self.desk.named(), **fields))
        assert answer.not_taken is None, answer.not_taken
        self.follow(before)
        return [record.event for record in answer.records]

    def follow(self, before: int) -> None:
        for batch in self.desk.house.journal.batches(before):
            for record in records(batch):
                self._leaves(record)
                fold(self.replica, record)
                self.watch.see(record, self.replica)
                self.records.append(record)
                self._enters(record)
        assert to_bytes(self.replica) == to_bytes(self.state)

    def _enters(self, record: Record) -> None:
        """No pool is liquidated that does not meet the trigger, or let its deadline pass."""
        event = record.event
        if isinstance(event, Staged) and event.stage == Stage.LIQUIDATING and event.before not in LOCKED:
            owner, _ = parted(event.pool)
            if owner in self.accounts or "/" in owner:
                late = "passed in" in event.cause["when"]
                assert late or self.figures_of(self.replica, event.pool).triggered, event

    def _leaves(self, record: Record) -> None:
        """No case that is no loss ends before `until` holds; the house's own when all is disposed of."""
        event = record.event
        if isinstance(event, Staged) and event.before in LOCKED and event.stage not in LOCKED and event.case:
            owner, unit = parted(event.pool)
            if owner in HOUSE:
                assert not any(purse == HELD for purse, _ in self.replica.balances[owner]), event
                return
            setting = Setting(self.replica, snapshot_of(self.replica), self.book, self.outside)
            view = view_of(setting, owner, unit)
            held = recall(self.replica.cases[event.case].memory, 0.0)
            assert held.band or ended(self.book.procedure, view.pool, held.case, view.desk(held.case)), event

    def figures_of(self, state: State, pool: str) -> Figures:
        owner, _ = parted(pool)
        found = self.rules.assess(state, {owner: state.balances[owner]})[owner]
        assert isinstance(found, tuple), found
        return next(one for one in found if one.pool == pool)

    def deposit(self, owner: str, amount: str, asset: str = "USDC") -> list[Any]:
        return self.send(c.Deposit, owner=owner, asset=asset, amount=to_units(amount, ASSETS[asset].digits))

    def withdraw(self, owner: str, amount: str, asset: str = "USDC") -> list[Any]:
        return self.send(c.Withdraw, owner=owner, asset=asset, amount=to_units(amount, ASSETS[asset].digits))

    def trade(
        self, buyer: str, seller: str, symbol: str, quantity: int, price: str, case: str | None = None
    ) -> list[Any]:
        digits = self.state.configuration.terms[symbol].contract.price_digits
        fields = {"instrument": symbol, "quantity": quantity, "price": to_units(price, digits), "case": case}
        return self.send(c.Trade, buyer=buyer, seller=seller, **fields)

    def mark(self, **changes: str) -> list[Any]:
        """Quote assets and instruments; an instrument's name is written with `_`."""
        self.marks |= {name.replace("_", "-"): text for name, text in changes.items()}
        known = {one.instrument.symbol: one.price_digits for one in self.contracts}
        quotes = {
            name: c.Quote(
                price=to_units(text, known[name] if name in known else ASSETS[name].price_digits),
                figures=self.figures.get(name, {}),
            )
            for name, text in self.marks.items()
            if name in known or name in ASSETS
        }
        return self.send(c.Prices, quotes={"feed": quotes})

    def btc(self, price: str) -> list[Any]:
        return self.mark(BTC=price, BTC_PERP=price, BTCUSDT=price, BTC_COIN=price)

    def tick(self, seconds: float = 0.0) -> list[Any]:
        self.desk.as_of += timedelta(seconds=seconds)
        return self.send(c.Tick)

    def wallet(self, owner: str, asset: str = "USDC") -> int:
        return self.state.balances.get(owner, {}).get((WALLET, asset), 0)

    def held(self, owner: str, symbol: str = "BTC-PERP") -> int:
        return self.state.balances.get(owner, {}).get((HELD, symbol), 0)

    def stage(self, pool: str = "alice") -> str:
        owner, unit = parted(pool)
        stood = self.state.pools.get(owner, {}).get(unit)
        return "healthy" if stood is None else str(stood.stage)

    @property
    def case(self) -> str:
        (found,) = self.state.cases
        return found

    def replays(self) -> None:
        """The journal makes the same state, byte by byte."""
        assert to_bytes(replay(self.desk.house.journal).state) == to_bytes(self.state)

    def restart(self) -> None:
        """Open another house on the same journal and go on there."""
        rules = rules_with_procedure(self.book, self.outside, guard=middle_quotes, live=self.live)
        self.desk = Desk(House(self.desk.house.journal, rules))


def causes(events: list[Any]) -> list[str]:
    return [event.cause for event in events if isinstance(event, Posted)]


def stages(events: list[Any]) -> list[str]:
    return [str(event.stage) for event in events if isinstance(event, Staged)]


def asked(events: list[Any]) -> list[str]:
    return [event.what for event in events if isinstance(event, Asked)]


def refused(events: list[Any]) -> Refused:
    (event,) = events
    assert isinstance(event, Refused), event
    return event


def exact(text: str) -> Fraction:
    return Fraction(text)
