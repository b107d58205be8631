"""What the compiled program answers is what the evaluation answers, and depends on the state alone."""

from __future__ import annotations

import random
from datetime import timedelta
from math import isclose
from typing import TYPE_CHECKING, Any

import pytest

from crossmargin import load_rulebook
from crossmargin.account import MarginMode
from crossmargin.clearing import Figures, House, State, replay, rules_of
from crossmargin.clearing import commands as c
from crossmargin.clearing.configuration import Holder, Section, digest_of, document_of
from crossmargin.clearing.live_bridge import LiveAssess, moment_of
from crossmargin.clearing.rules import middle_quotes
from crossmargin.clearing.snapshots import from_bytes, to_bytes
from crossmargin.errors import Failure, InputError
from crossmargin.errors import FailureReason as R
from tests.clearing import venue
from tests.clearing.venue import open_house

if TYPE_CHECKING:
    from collections.abc import Mapping

    from crossmargin.clearing.ledger import Holdings
    from crossmargin.clearing.rules import Reports, Rules
    from crossmargin.margin import Rulebook

RULEBOOKS = ["reference", "deribit-standard", "deribit-portfolio", "drift-v2", "binance-coinm", "hyperliquid-cross"]
OWNERS = ["alice", "alice/hedge", "bob", "carol", "dave", "book"]
MARKS = {
    "BTC-PERP": 600_000, "BTC-USD": 600_000, "ETH-QUANTO": 20_000, "ETH-PERP": 20_000, "BTC-MAR": 605_000,
    "BTC-USD-MAR": 605_000, "BTC-MAR-60000-C": 25_000, "BTC-USD-MAR-60000-P": 400, "BTC/USDC": 600_000,
}  # fmt: skip
PRICES = {"USDC": 99_980_000, "BTC": 6_000_000, "ETH": 200_000}
FIGURES = {"mark_iv": "0.6", "index_price": "60000", "forward_price": "60200"}
DATED = [symbol for symbol in MARKS if "MAR" in symbol]
UNDATED = ["BTC-PERP", "BTC-USD", "ETH-QUANTO", "ETH-PERP"]


def middling(rulebook: Rulebook, **words: Any) -> Rules:  # noqa: ANN401
    """Rules without the rulebook's price guards: here one feed moves prices at will."""
    return rules_of(rulebook, guard=middle_quotes, **words)


class Market:
    """Random commands of a venue with every form of contract, some of which the engine refuses."""

    def __init__(self, seed: int, rules: Rules, *, dated: bool = True) -> None:
        self.rng = random.Random(seed)
        self.marks = dict(MARKS)
        self.symbols = [*UNDATED, *DATED] if dated else UNDATED
        self.desk = open_house(rules)
        self.open: list[tuple[str, str, int, int]] = []
        self.sent: list[c.Command] = []
        self.start()

    @property
    def state(self) -> State:
        return self.desk.house.state

    def start(self) -> None:
        document = document_of(Section.ACCOUNTS, {"dave": Holder(class_="vip")})
        named = {**self.desk.named(), "document": document, "digest": digest_of(document)}
        self.send(c.Configure(**named, section=Section.ACCOUNTS))
        self.send(self.prices({**PRICES, **self.marks}))
        for owner in OWNERS:
            self.send(self.deposit(owner, "USDC", 10**11))
            self.send(self.deposit(owner, "BTC", 10**9))

    def send(self, command: c.Command) -> Any:  # noqa: ANN401 - the event
        self.sent.append(command)
        return self.desk.send_all([command])[-1]

    def prices(self, prices: dict[str, int]) -> c.Command:
        named = self.desk.named()
        seen = named["as_of"] - timedelta(seconds=self.rng.randint(0, 5))
        figures = {name: FIGURES if name in {"BTC-MAR-60000-C", "BTC-USD-MAR-60000-P"} else {} for name in prices}
        quotes = {n: c.Quote(price=p, observed_at=seen, figures=figures[n]) for n, p in prices.items()}
        return c.Prices(**named, quotes={"feed": quotes})

    def deposit(self, owner: str, asset: str, amount: int) -> c.Command:
        return c.Deposit(**self.desk.named(), owner=owner, asset=asset, amount=amount)

    def step(self) -> None:
        rng = self.rng
        kinds = (self.trade, self.order, self.cancel, self.pay, self.accrue, self.quote, self.wait)
        (kind,) = rng.choices(kinds, weights=(50, 12, 5, 8, 8, 8, 3))
        self.send(kind())

    def trade(self) -> c.Command:
        buyer, seller = self.rng.sample(OWNERS, 2)
        symbol = self.rng.choice(self.symbols)
        price = max(1, round(self.marks[symbol] * (1 + self.rng.gauss(0, 0.01))))
        quantity = self.rng.choice((1, 7, 150, 400, 2_000, 30_000))
        parties: dict[str, Any] = {"buyer": buyer, "seller": seller, "buyer_fee": self.rng.randint(-5, 9)}
        return c.Trade(**self.desk.named(), **parties, instrument=symbol, quantity=quantity, price=price)

    def order(self) -> c.Command:
        symbol = self.rng.choice([*self.symbols, "BTC/USDC"])
        price = max(1, round(self.marks[symbol] * (1 + self.rng.gauss(0, 0.01))))
        order = (self.rng.choice(OWNERS[:-1]), symbol, self.rng.choice((-900, -30, 20, 500)), price)
        self.open.append(order)
        return self.placed(c.PlaceOrder, order)

    def cancel(self) -> c.Command:
        return self.placed(c.Cancel, self.rng.choice(self.open)) if self.open else self.order()

    def placed(self, kind: type[Any], order: tuple[str, str, int, int]) -> c.Command:
        names = dict(zip(("owner", "instrument", "quantity", "limit_price"), order, strict=True))
        command: c.Command = kind(**self.desk.named(), **names)
        return command

    def pay(self) -> c.Command:
        owner, asset = self.rng.choice(OWNERS), self.rng.choice(("USDC", "BTC", "ETH"))
        kind = self.rng.choice((c.Deposit, c.Withdraw))
        named: Any = self.desk.named()
        command: c.Command = kind(**named, owner=owner, asset=asset, amount=self.rng.randint(1, 10**10))
        return command

    def accrue(self) -> c.Command:
        index = self.rng.choice(("BTC-PERP", "BTC-USD", "borrow:USDC", "lend:USDC"))
        rate = f"{self.rng.randint(0 if ':' in index else -99, 99)}e-6"
        return c.Accrue(**self.desk.named(), index=index, rate=rate, mark=600_000)

    def quote(self) -> c.Command:
        symbol = self.rng.choice(list(self.marks))
        self.marks[symbol] = max(1, round(self.marks[symbol] * (1 + self.rng.gauss(0, 0.02))))
        return self.prices({symbol: self.marks[symbol]} if self.rng.random() < 0.3 else {**PRICES, **self.marks})

    def wait(self) -> c.Command:
        self.desk.as_of += timedelta(seconds=self.rng.choice((0.25, 900, 1_700)))
        return c.Tick(**self.desk.named())


def by_pool(report: tuple[Figures, ...] | Failure) -> Any:  # noqa: ANN401 - what can be compared
    return report if isinstance(report, Failure) else {figures.pool: figures for figures in report}


def compare(live: Reports, slow: Reports, scale: float) -> None:
    """Assert that the figures are those of the evaluation to 1e-9 of what is held, and refusals word by word."""
    assert live.keys() == slow.keys()
    for owner, report in slow.items():
        found, wanted = by_pool(live[owner]), by_pool(report)
        if isinstance(wanted, Failure):
            assert found == wanted
            continue
        assert found.keys() == wanted.keys(), owner
        for pool, figures in wanted.items():
            assert found[pool].triggered == figures.triggered
            for name in ("equity", "initial_headroom", "maintenance_headroom"):
                value, other = getattr(found[pool], name), getattr(figures, name)
                assert isclose(value, other, rel_tol=1e-9, abs_tol=1e-9 * scale), (pool, name, value, other)
            assert isclose(found[pool].coverage_ratio, figures.coverage_ratio, rel_tol=1e-6), pool


def fresh(rules: Rules) -> Rules:
    """The same rules that have seen nothing yet."""
    known = rules.assess
    assert isinstance(known, LiveAssess)
    return middling(known.rulebook, max_quote_age_seconds=known.max_age, valued_every_seconds=known.every)


@pytest.mark.parametrize("every", [None, 60.0])
@pytest.mark.parametrize("rulebook", RULEBOOKS)
def test_the_program_answers_as_the_evaluation_does_and_as_if_it_had_seen_nothing_before(
    rulebook: str, every: float | None
) -> None:
    book = load_rulebook(rulebook)
    rules = middling(book, valued_every_seconds=every)
    slow = middling(book, valued_every_seconds=every, live=False)
    market = Market(RULEBOOKS.index(rulebook), rules, dated=every is not None or rulebook == "reference")
    alone = failures = refused = 0
    for step in range(60):
        market.step()
        if step % 6:
            continue
        state = market.state
        holdings = {owner: state.balances.get(owner, {}) for owner in OWNERS}
        answer = rules.assess(state, holdings)
        compare(answer, slow.assess(state, holdings), scale=1e8)
        unseen = fresh(rules)
        assert unseen.assess(state, holdings) == answer
        for owner, held in holdings.items():
            if served(rules, state, owner):  # the evaluation's last bits depend on who is evaluated together
                assert unseen.assess(state, {owner: held})[owner] == answer[owner]
                alone += 1
        failures += sum(isinstance(one, Failure) for one in answer.values())
    for batch in market.desk.house.journal.batches():
        refused += batch.records.count(b'"refused"')
    assert refused
    assert alone >= 10
    assert failures < 5 * len(OWNERS)  # quotes become too old now and then


def served(rules: Rules, state: State, owner: str) -> bool:
    """Whether the program answers, and the evaluation is not asked."""
    known = rules.assess
    assert isinstance(known, LiveAssess)
    asked: list[str] = []

    def slow(_: State, holdings: Mapping[str, Holdings], /) -> Reports:
        asked.extend(holdings)
        return dict.fromkeys(holdings, ())

    kept, known.slow = known.slow, slow
    known(state, {owner: state.balances.get(owner, {})})
    known.slow = kept
    return not asked


def test_who_is_answered_by_the_program() -> None:
    market = Market(3, middling(load_rulebook("reference")), dated=True)
    rules = market.desk.house.rules
    timed = middling(load_rulebook("reference"), valued_every_seconds=1.0)
    trade: dict[str, Any] = {"buyer": "alice", "seller": "bob", "quantity": 10}
    market.send(c.Trade(**market.desk.named(), **trade, instrument="BTC-PERP", price=600_000))
    assert served(rules, market.state, "alice")
    market.send(c.Trade(**market.desk.named(), **trade, instrument="BTC-MAR", price=600_000))
    assert not served(rules, market.state, "alice")  # a future's time runs
    assert served(timed, market.state, "alice")
    market.desk.configure(Section.ACCOUNTS, {"carol": Holder(margin_mode=MarginMode.ISOLATED)})
    assert not served(timed, market.state, "carol")
    assert not served(middling(load_rulebook("mango-v4")), market.state, "bob")


def run(commands: list[c.Command], rules: Rules, *, at: int | None = None) -> House:
    """A house that takes commands; from `at` on one that was opened from a kept state."""
    house = open_house(rules).house
    for n, command in enumerate(commands):
        if n == at:
            house.save()
            house = House(house.journal, fresh(rules))
        house.handle(command)
    return house


@pytest.mark.parametrize("seed", range(2))
def test_commands_decided_again_are_decided_alike(seed: int) -> None:
    """Every decision, and so every byte: with another engine object, and from a kept state in the middle on."""
    rules = middling(load_rulebook("reference"), valued_every_seconds=2.0)
    market = Market(seed, rules)
    for _ in range(150):
        market.step()
    again, later = run(market.sent, fresh(rules)), run(market.sent, fresh(rules), at=100 + seed)
    assert again.head == market.desk.house.head
    assert to_bytes(later.state) == to_bytes(market.state)
    assert replay(again.journal).state == market.state


def test_a_kept_state_is_answered_as_the_one_it_was_kept_of() -> None:
    market = Market(8, middling(load_rulebook("deribit-standard")), dated=False)
    for _ in range(80):
        market.step()
    kept = from_bytes(to_bytes(market.state))
    known = market.desk.house.rules
    holdings = dict(market.state.balances)
    assert (
        known.assess(market.state, holdings) == known.assess(kept, kept.balances) == fresh(known).assess(kept, holdings)
    )


def test_a_quote_that_becomes_too_old_refuses_from_that_moment_on() -> None:
    market = Market(2, middling(load_rulebook("reference"), max_quote_age_seconds=60.0), dated=False)
    state, rules = market.state, market.desk.house.rules
    quote = state.marks["USDC"]
    assert quote.observed_at is not None
    for seconds, refused in ((59.0, False), (60.0, False), (60.000001, True), (3.0, False), (61.0, True)):
        moment = quote.observed_at + timedelta(seconds=seconds)
        later = at_time(state, moment)
        found = rules.assess(later, {"alice": state.balances["alice"]})["alice"]
        assert isinstance(found, Failure) == refused, seconds
        if isinstance(found, Failure):
            assert found.reason == R.STALE_QUOTE


def at_time(state: State, as_of: Any) -> State:  # noqa: ANN401 - a time
    later = from_bytes(to_bytes(state))
    later.as_of = as_of
    return later


def test_the_moment_at_which_the_market_is_looked_at() -> None:
    desk = open_house()
    state = desk.house.state
    state.as_of = venue.START + timedelta(seconds=7.5)
    assert moment_of(state, None) == state.as_of
    assert moment_of(state, 1.0) == venue.START + timedelta(seconds=7)
    state.as_of = venue.EXPIRY + timedelta(seconds=0.5)
    assert moment_of(state, 3600.0) == venue.EXPIRY
    state.as_of = venue.EXPIRY + timedelta(seconds=3600)
    assert moment_of(state, 3600.0) == state.as_of
    with pytest.raises(InputError, match="between a millisecond and a day"):
        middling(load_rulebook("reference"), valued_every_seconds=0.0)


def test_refusals_are_those_of_the_evaluation_word_by_word() -> None:
    market = Market(5, middling(load_rulebook("reference")), dated=False)
    slow = middling(load_rulebook("reference"), live=False)
    gone = from_bytes(to_bytes(market.state))
    gone.marks.pop("BTC")
    holdings = {"alice": gone.balances["alice"], "bob": {}}
    answer = market.desk.house.rules.assess(gone, holdings)
    assert answer == slow.assess(gone, holdings)
    assert isinstance(answer["alice"], Failure)
    assert answer["alice"].reason == R.UNKNOWN_ASSET


@pytest.mark.parametrize("rulebook", ["okx-portfolio", "bybit-portfolio", "reference"])
def test_a_market_without_instruments_is_assessed(rulebook: str) -> None:
    state = from_bytes(to_bytes(Market(6, middling(load_rulebook("reference"))).state))
    state.marks = {name: state.marks[name] for name in PRICES}
    holdings = {"alice": state.balances["alice"]}
    book = load_rulebook(rulebook)
    live, slow = middling(book).assess(state, holdings), middling(book, live=False).assess(state, holdings)
    compare(live, slow, scale=1e8)
    assert not isinstance(live["alice"], Failure)


@pytest.mark.parametrize("rulebook", ["reference", "deribit-standard", "drift-v2", "binance-coinm"])
def test_holdings_in_any_order_are_answered_as_if_they_were_the_first(rulebook: str) -> None:
    """What is known of an owner's last holdings does not show: sums of money, positions that come, go and turn."""
    market = Market(9, rules_of(load_rulebook(rulebook)), dated=False)
    for _ in range(40):
        market.step()
    state, rules, rng = market.state, market.desk.house.rules, random.Random(3)
    kept = [dict(held) for owner, held in state.balances.items() if owner in OWNERS] + [{}]
    for turn in range(120):
        held = dict(rng.choice(kept))
        for key in rng.sample(sorted(held), min(len(held), rng.randint(0, 3))):
            held[key] = rng.choice((held[key] + 1, -held[key], 7))
            if rng.random() < 0.3 and key[0] in {"wallet", "held"}:
                del held[key]
        if turn % 40 == 20:
            state.indices["BTC-PERP"] = state.indices.get("BTC-PERP", 0) + 10**9
        assert rules.assess(state, {"alice": held}) == fresh(rules).assess(state, {"alice": held})
        kept.append(held)
