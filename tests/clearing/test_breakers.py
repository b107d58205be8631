"""Stale and manipulated oracles through the machine: what stops, what goes on, what is remembered, and replay."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from crossmargin.clearing import House, Rules, rules_of
from crossmargin.clearing import commands as c
from crossmargin.clearing.breakers import watchman_of
from crossmargin.clearing.configuration import Halts, Section, Trip
from crossmargin.clearing.events import Asked, Configured, Event, Posted, Priced, Stage, Staged
from crossmargin.clearing.halts import liquidation_halted, waits_until
from crossmargin.clearing.journal import replay
from crossmargin.clearing.ledger import HELD
from crossmargin.clearing.rules import Reports, middle_quotes, no_reaction
from crossmargin.clearing.snapshots import from_bytes, to_bytes
from crossmargin.clearing.state import State
from crossmargin.errors import FailureReason as R
from crossmargin.margin import parse_rulebook
from crossmargin.sources import load_rulebook
from tests.clearing import venue
from tests.clearing.test_procedure import take_over
from tests.clearing.venue import Desk, open_house
from tests.clearing.world import World
from tests.liquidation.procedures import PLAIN

PRICES = """
[prices]
source = "S1"
minimum = 3
stale_after = 60
wait = 120
band = 0.01
[prices.kind.option]
minimum = 1
halts = false
"""
HALTS = """
[liquidation.parameters]
source = "S1"
wild = 0.2
calm = 0.1
most = { by = "bucket", BTC = 50_000, default = 0 }
[[halt]]
when = "price_move > wild"
until = "price_move < calm"
what = ["risk", "liquidation"]
source = "S1"
window = 600
wait = 60
[[halt]]
when = "liquidated > most"
what = ["liquidation"]
source = "S1"
window = 300
"""
TRADE = {"buyer": "alice", "seller": "bob", "instrument": "BTC-PERP", "quantity": 400, "price": 600_000}
BACK = {"buyer": "bob", "seller": "alice", "instrument": "BTC-PERP", "quantity": 100, "price": 600_000}


def guarded(text: str = PRICES, react: Any = no_reaction) -> Rules:  # noqa: ANN401 - a reaction
    """A margin engine that finds everybody rich, with the guards and breakers of a document."""
    rulebook = parse_rulebook(PLAIN + text)
    watchman = watchman_of(rulebook.procedure)
    assert watchman is not None
    return Rules(venue.plenty, rulebook.digest, react, watchman.guard, breakers=watchman)


@dataclass
class Oracles:
    """A desk whose prices come from feeds."""

    desk: Desk

    @property
    def state(self) -> State:
        return self.desk.house.state

    def say(self, prices: Mapping[str, int | c.Quote], name: str = "BTC-PERP", after: float = 1) -> list[Event]:
        self.desk.as_of += timedelta(seconds=after - 1)
        quotes = {
            feed: {name: price if isinstance(price, c.Quote) else c.Quote(price=price)}
            for feed, price in prices.items()
        }
        return self.desk.send_all([c.Prices(**self.desk.named(), quotes=quotes)])

    def all_say(self, price: int, after: float = 1) -> list[Event]:
        return self.say(dict.fromkeys("abc", price), after=after)

    def wait(self, seconds: float) -> list[Event]:
        self.desk.as_of += timedelta(seconds=seconds - 1)
        return self.desk.send_all([c.Tick(**self.desk.named())])

    def trade(self, **fields: Any) -> Any:  # noqa: ANN401 - the event
        return self.desk.send(c.Trade, **{**TRADE, **fields})

    def trips(self, underlying: str = "BTC") -> tuple[Trip, ...]:
        return self.state.configuration.breakers.get(underlying, ())

    def replayed(self) -> bool:
        """Whether the journal, and the state's own bytes, make the same bytes."""
        live = to_bytes(self.state)
        return live == to_bytes(replay(self.desk.house.journal).state) == to_bytes(from_bytes(live))


def test_a_feed_that_talks_nonsense_is_as_one_that_is_silent() -> None:
    """Its last word counts until it is stale; the honest ones move the price meanwhile, however many lie so."""
    oracles = Oracles(open_house(guarded()))
    oracles.say({"a": 600_000, "b": 600_010, "c": 600_020})
    (priced,) = oracles.say({"a": 600_100, "b": 600_110, "c": 0, "\ud800": 600_000})
    assert isinstance(priced, Priced)
    stands = priced.quotes["BTC-PERP"]
    assert (stands.price, stands.quality) == (600_100, "median of 3; c invalid price; \\ud800 malformed input")
    assert priced.memory["BTC-PERP"].feeds["c"].price == 600_020
    oracles.say({"a": 600_200, "b": 600_210, "c": 0}, after=61)
    assert oracles.state.marks["BTC-PERP"].price == 600_100
    assert [trip.rule for trip in oracles.trips()] == ["prices"]
    assert oracles.replayed()


def oracles(text: str = PRICES, react: Any = no_reaction) -> Oracles:  # noqa: ANN401
    found = Oracles(open_house(guarded(text, react)))
    found.all_say(600_000)
    return found


def test_one_liar_of_three_moves_nothing() -> None:
    feeds = oracles()
    for lie in (1, 10**9, 600_001):
        feeds.say({"a": 600_000, "b": 600_000, "c": lie})
        assert feeds.state.marks["BTC-PERP"].price == 600_000
    assert isinstance(feeds.trade(), Posted)
    assert feeds.replayed()


def test_two_liars_move_it_as_fast_as_the_band_lets_them() -> None:
    feeds = oracles()
    (priced,) = feeds.say({"a": 600_000, "b": 10**9, "c": 10**9}, after=5)
    assert isinstance(priced, Priced)
    assert priced.quotes["BTC-PERP"].price == 630_000
    assert priced.quotes["BTC-PERP"].quality == "median of 3, cut"


def test_too_few_sources_stop_new_risk_until_enough_are_back() -> None:
    feeds = oracles()
    feeds.trade()
    tick, halted = feeds.wait(61)
    assert tick == Posted("tick", None, ())
    assert isinstance(halted, Configured)
    assert feeds.trips()[0].cause == {"BTC-PERP": "0 live of 3 needed"}
    refused = feeds.trade()
    assert refused.reason == R.HALTED
    assert refused.expected == "a trade that reduces: BTC is halted (prices: BTC-PERP 0 live of 3 needed)"
    order = {"owner": "alice", "instrument": "BTC-PERP", "limit_price": 600_000}
    assert feeds.desk.send(c.PlaceOrder, **order, quantity=1).reason == R.HALTED
    assert isinstance(feeds.trade(**BACK), Posted)  # it reduces
    assert feeds.desk.send(c.Trade, **{**TRADE, "instrument": "ETH-PERP", "price": 20_000}).cause == "trade"
    assert feeds.say({"a": 600_000})[1:] == []
    assert feeds.trade().reason == R.HALTED
    assert [type(event) for event in feeds.say({"b": 600_000, "c": 600_000})] == [Priced, Configured]
    assert feeds.trips() == ()
    assert isinstance(feeds.trade(), Posted)
    assert feeds.replayed()


def test_liquidation_waits_a_stated_time_and_then_goes_on() -> None:
    feeds = oracles()
    assert not liquidation_halted(feeds.state, "BTC")
    feeds.wait(61)
    began = feeds.state.as_of
    assert began is not None
    assert liquidation_halted(feeds.state, "BTC")
    assert waits_until(feeds.state, "BTC") == began + timedelta(seconds=120)
    assert len(feeds.wait(119)) == 1
    assert liquidation_halted(feeds.state, "BTC")
    assert isinstance(feeds.wait(1)[-1], Configured)
    assert not liquidation_halted(feeds.state, "BTC")
    assert (waits_until(feeds.state, "BTC"), feeds.trips()[0].what) == (None, ("risk",))
    assert feeds.trade().reason == R.HALTED
    assert feeds.replayed()


def test_liquidation_may_wait_until_enough_are_back() -> None:
    feeds = oracles(PRICES.replace("wait = 120", 'wait = "inf"'))
    feeds.wait(10**6)
    feeds.wait(10**6)
    assert liquidation_halted(feeds.state, "BTC")
    assert waits_until(feeds.state, "BTC") is None
    feeds.all_say(600_000)
    assert not liquidation_halted(feeds.state, "BTC")


def test_what_cannot_be_valued_is_not_paid_out() -> None:
    feeds = oracles()
    feeds.desk.send(c.Deposit, owner="alice", asset="USDC", amount=10**9)
    feeds.trade()
    feeds.wait(61)
    money = {"owner": "alice", "asset": "USDC", "amount": 1}
    assert feeds.desk.send(c.Withdraw, **money).reason == R.HALTED
    assert isinstance(feeds.desk.send(c.Deposit, **money), Posted)
    feeds.all_say(600_000)
    assert isinstance(feeds.desk.send(c.Withdraw, **money), Posted)


def test_a_settlement_asset_without_a_price_stops_what_is_paid_in_it() -> None:
    feeds = oracles()
    feeds.say(dict.fromkeys("abc", 10**8), name="USDC")
    assert isinstance(feeds.trade(), Posted)
    feeds.all_say(600_000, after=61)
    feeds.wait(1)
    assert (feeds.trips(), len(feeds.trips("USDC"))) == ((), 1)
    assert feeds.trade().expected.startswith("a trade that reduces: USDC is halted")


def test_a_thin_option_stops_nobody() -> None:
    feeds = oracles()
    feeds.say({"a": 25_000}, name="BTC-MAR-60000-C")
    assert feeds.state.marks["BTC-MAR-60000-C"].price == 25_000
    feeds.all_say(600_000, after=61)
    feeds.wait(1)
    assert feeds.trips() == ()


def test_before_a_price_first_stands_nothing_may_be_risked() -> None:
    feeds = Oracles(open_house(guarded()))
    priced, halted = feeds.say({"a": 600_000})
    assert isinstance(priced, Priced)
    assert (priced.quotes, list(priced.memory)) == ({}, ["BTC-PERP"])
    assert isinstance(halted, Configured)
    assert feeds.trade().reason == R.HALTED


def test_an_expired_contract_needs_no_prices() -> None:
    feeds = oracles()
    feeds.say(dict.fromkeys("abc", 600_000), name="BTC-MAR")
    feeds.desk.as_of = venue.EXPIRY
    feeds.all_say(600_000)
    assert feeds.trips() == ()


# --- conditions


def test_a_wild_price_stops_both_and_liquidation_for_a_minute() -> None:
    feeds = oracles(PRICES + HALTS)
    for _ in range(30):
        feeds.all_say(480_000)
    (trip,) = feeds.trips()
    assert (trip.rule, trip.what) == ("price_move > wild", ("risk", "liquidation"))
    assert float(trip.cause["price_move"]) > 0.2
    assert feeds.trade().reason == R.HALTED
    for _ in range(60):
        feeds.all_say(480_000, after=10)
    assert [trip.what for trip in feeds.trips()] == [("risk",)]  # liquidation has waited; the price still moved
    for _ in range(10):
        feeds.all_say(480_000, after=10)
    assert feeds.trips() == ()
    assert isinstance(feeds.trade(), Posted)
    assert feeds.replayed()


def close_some(state: State, reports: Reports, /) -> list[Event]:
    """A procedure that opens a case for alice."""
    if "alice" in reports and not state.cases and state.pools.get("alice") is None:
        return [Staged("alice", Stage.HEALTHY, Stage.LIQUIDATING, {}, "case"), Asked("case", 1, "close", {}, {})]
    return []


def test_what_is_liquidated_within_a_window_is_counted() -> None:
    feeds = oracles(PRICES + HALTS, close_some)
    feeds.say(dict.fromkeys("abc", 10**8), name="USDC")
    feeds.trade(quantity=2_000)
    feeds.trade(**{**BACK, "quantity": 500, "case": "case"})
    feeds.all_say(600_000)
    assert feeds.trips() == ()  # 30,000 of 50,000
    feeds.trade(**{**BACK, "quantity": 500, "case": "case"})
    feeds.all_say(600_000)
    assert feeds.state.heard["BTC-PERP"].closed == 1_000
    (trip,) = feeds.trips()
    assert (trip.rule, trip.what, trip.cause) == ("liquidated > most", ("liquidation",), {"liquidated": "60000"})
    assert liquidation_halted(feeds.state, "BTC")
    assert waits_until(feeds.state, "BTC") is None
    for _ in range(16):
        feeds.all_say(600_000, after=20)
    assert feeds.trips() == ()
    assert feeds.replayed()


def test_a_condition_that_cannot_be_told_stops() -> None:
    feeds = oracles(PRICES + '[[halt]]\nwhen = "1 / fund > 5"\nwhat = ["risk"]\nsource = "S1"\n')
    assert feeds.trips()[0].cause.keys() == {"cannot be told"}
    feeds.desk.send(c.Deposit, owner="fund", asset="USDC", amount=10**9)  # whose price nobody knows
    feeds.wait(1)
    assert len(feeds.trips()) == 1
    feeds.desk.send(c.Deposit, owner="fund", asset="USD", amount=10**9)
    feeds.wait(1)
    assert feeds.trips() == ()


def test_what_was_closed_long_ago_counts_no_more() -> None:
    """Prices fall silent while a case closes; what it closed is counted when it was closed."""
    feeds = oracles(PRICES.replace("stale_after = 60\nwait = 120\n", "") + HALTS, close_some)
    feeds.say(dict.fromkeys("abc", 10**8), name="USDC")
    feeds.trade(quantity=2_000)
    feeds.desk.as_of += timedelta(seconds=200)
    feeds.trade(**{**BACK, "quantity": 1_000, "case": "case"})
    feeds.wait(200)
    assert feeds.trips()[0].cause == {"liquidated": "60000"}
    feeds.wait(100)
    assert len(feeds.trips()) == 1
    feeds.wait(30)
    assert feeds.trips() == ()
    assert feeds.replayed()


def test_what_is_liquidated_is_beyond_all_bounds_where_it_cannot_be_valued() -> None:
    feeds = oracles(PRICES + HALTS, close_some)
    feeds.trade(quantity=2_000)
    feeds.trade(**{**BACK, "quantity": 1, "case": "case"})
    feeds.all_say(600_000)
    assert feeds.trips()[0].cause == {"liquidated": "inf"}


@pytest.mark.parametrize(
    ("condition", "before", "quote", "stops"),
    [
        ("quote_confidence < 0.5", 0, c.Quote(price=600_000, figures={"confidence": "0.4"}), True),
        ("quote_age > 30", 31, None, True),
        ("quote_age > 30", 30, None, False),
        ("live_feeds < 4", 0, c.Quote(price=600_000), True),
        ("twap_gap > 0.1", 600, c.Quote(price=700_000), True),
        ("twap_gap > 0.3", 600, c.Quote(price=700_000), False),
    ],
)
def test_conditions_read_the_prices(condition: str, before: int, quote: c.Quote | None, stops: bool) -> None:
    halt = f'[[halt]]\nwhen = "{condition}"\nwhat = ["risk"]\nsource = "S1"\n'
    prices = '[prices]\nsource = "S1"\nminimum = 3\ntwap_window = 300\n'
    feeds = Oracles(open_house(guarded(prices + halt)))
    feeds.say(dict.fromkeys("abcd" if "feeds" not in condition else "abc", 600_000))
    if quote is None:
        feeds.wait(before)
    else:
        feeds.say(dict.fromkeys("abcd" if "feeds" not in condition else "abc", quote), after=1 + before)
    assert bool(feeds.trips()) == stops


# --- who else


def test_an_operators_halt_and_the_rulebooks_do_not_lift_each_other() -> None:
    feeds = oracles()
    feeds.wait(61)
    feeds.desk.configure(Section.HALTS, Halts(openings=("ETH",), liquidation=("BTC",)))
    assert len(feeds.trips()) == 1
    feeds.all_say(600_000)
    assert feeds.trips() == ()
    assert liquidation_halted(feeds.state, "BTC")
    assert feeds.desk.send(c.Trade, **{**TRADE, "instrument": "ETH-PERP"}).expected.endswith("(by the operator)")


def test_breakers_are_not_set_by_hand() -> None:
    feeds = oracles()
    trip = Trip(rule="mine", what=("risk",), since=venue.START, cause={})
    assert feeds.desk.configure(Section.BREAKERS, {"BTC": (trip,)}).reason == R.MALFORMED_INPUT


def test_a_guard_of_ones_own_goes_without_the_rulebooks_breakers() -> None:
    rulebook = parse_rulebook(PLAIN + PRICES)
    desk = open_house(rules_of(rulebook, guard=lambda _, command: Priced(command.quotes["a"])))
    assert desk.send(c.Prices, quotes={"a": {"BTC": c.Quote(price=5)}}) == Priced({"BTC": c.Quote(price=5)})


def test_what_no_breaker_would_lift_is_lifted() -> None:
    feeds = oracles()
    feeds.wait(61)
    feeds.desk.house.rules = rules_of(parse_rulebook(PLAIN + PRICES), guard=middle_quotes)
    assert len(feeds.trips()) == 1
    tick, lifted = feeds.wait(1)
    assert (isinstance(tick, Posted), isinstance(lifted, Configured), feeds.trips()) == (True, True, ())
    assert len(feeds.wait(1)) == 1


# --- with the engine: who is liquidated, and when


def waiting(state: State, reports: Reports, /) -> list[Event]:
    """Whoever meets the trigger is taken over by the vault, unless liquidation of what he holds waits."""
    return [] if liquidation_halted(state, "BTC") else list(take_over(state, reports))


def engaged() -> Oracles:
    """A house under the reference with its guards, where alice is long and a fall of a fifth meets her trigger."""
    feeds = Oracles(open_house(rules_of(load_rulebook("reference"), react=waiting)))
    feeds.say(dict.fromkeys("abc", 10**8), name="USDC")
    feeds.say(dict.fromkeys("abc", 6_000_000), name="BTC")
    feeds.all_say(600_000)
    for owner, dollars in (("alice", 20_000), ("bob", 900_000)):
        feeds.desk.send(c.Deposit, owner=owner, asset="USDC", amount=dollars * 10**6)
    assert isinstance(feeds.trade(quantity=1_200), Posted)
    return feeds


def taken_over(feeds: Oracles) -> bool:
    return any(purse == HELD for purse, _ in feeds.state.balances.get("vault", {}))


def test_a_liar_liquidates_nobody_and_a_true_fall_does() -> None:
    feeds = engaged()
    for _ in range(20):
        feeds.say({"a": 600_000, "b": 599_990, "c": 100_000})
    assert not taken_over(feeds)
    for _ in range(30):
        feeds.all_say(480_000)
    assert taken_over(feeds)
    assert feeds.replayed()


def test_two_liars_for_a_moment_liquidate_nobody() -> None:
    feeds = engaged()
    feeds.all_say(600_000)
    feeds.say({"a": 600_000, "b": 100_000, "c": 100_000})
    assert feeds.state.marks["BTC-PERP"].price == 594_059
    feeds.all_say(600_000)
    assert feeds.state.marks["BTC-PERP"].price == 600_000
    assert not taken_over(feeds)


def test_while_a_price_is_missing_a_case_waits_and_then_begins() -> None:
    """The perpetual has all its sources; of the coin's own price nothing has been heard for a minute."""
    feeds = engaged()
    for _ in range(12):
        feeds.all_say(600_000, after=5)
    assert feeds.trips()[0].cause == {"BTC": "0 live of 3 needed"}
    for _ in range(30):
        feeds.all_say(480_000)
    assert feeds.state.marks["BTC-PERP"].price == 480_000
    assert not taken_over(feeds)
    until = waits_until(feeds.state, "BTC")
    assert until is not None
    feeds.desk.as_of = until - timedelta(seconds=2)
    feeds.wait(1)
    assert not taken_over(feeds)
    tick, resumed, staged, *_ = feeds.wait(1)
    assert (type(tick), type(resumed), type(staged)) == (Posted, Configured, Staged)
    assert taken_over(feeds)
    assert feeds.replayed()


def test_a_house_opened_again_remembers_its_feeds() -> None:
    feeds = oracles()
    feeds.say({"a": 601_000})
    again = Oracles(Desk(House(feeds.desk.house.journal, feeds.desk.house.rules)))
    again.say({"b": 601_000, "c": 1})
    assert again.state.marks["BTC-PERP"].price == 601_000


class GuardedWorld(World):
    """A world whose feeds are late, silent, unsure, manipulated and out of order."""

    def quote(self) -> c.Command:
        symbol = self.rng.choice(["BTC-PERP", "ETH-PERP", "USDC"])
        true = self.marks.setdefault(symbol, 10**8)
        if symbol in {"BTC-PERP", "ETH-PERP"}:
            self.marks[symbol] = true = max(100, int(true * (1 + self.rng.gauss(0, 0.02))))
        named = self.desk.named()
        quotes = {}
        for feed in "abcd":
            if self.rng.random() < 0.8:
                lie = feed == "d" or self.rng.random() < 0.02
                price = self.rng.choice([1, true // 2, true * 3, 10**15]) if lie else true + self.rng.randint(-9, 9)
                observed = named["as_of"] - timedelta(seconds=self.rng.randint(-50, 90))
                quotes[feed] = {symbol: c.Quote(price=price, observed_at=observed, interval=self.rng.randint(0, price))}
        if self.rng.random() < 0.2:
            self.desk.as_of += timedelta(seconds=self.rng.randint(0, 200))
        return c.Prices(**named, quotes=quotes)


def bad_oracles(seed: int, commands: int) -> None:
    smooth = PRICES.replace("band = 0.01", 'band = 0.01\nmark = "ewma"\nhalf_life = 30\nconfidence_interval = 0.9')
    world = GuardedWorld(seed, guarded(smooth + HALTS)).run(commands)
    state = world.desk.house.state
    assert any(heard.price is not None for heard in state.heard.values())
    assert sum(section == Section.BREAKERS for section, _ in state.documents) <= 1


@pytest.mark.parametrize("seed", range(3))
def test_a_world_of_bad_oracles_replays_to_the_same_bytes(seed: int) -> None:
    bad_oracles(seed, 1_000)


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(100, 150))
def test_many_worlds_of_bad_oracles(seed: int) -> None:
    bad_oracles(seed, 3_000)
