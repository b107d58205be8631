"""Whatever time a command, a quote or a contract's expiry says, the house answers and goes on, and replays the same."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossmargin import load_rulebook
from crossmargin.clearing import House, MemoryJournal, replay
from crossmargin.clearing import commands as c
from crossmargin.clearing.configuration import RulebookTerms, Section, digest_of, document_of
from crossmargin.clearing.contracts import Contract
from crossmargin.clearing.events import Stage
from crossmargin.clearing.halts import waits_until
from crossmargin.clearing.procedure import Outside, rules_with_procedure
from crossmargin.clearing.snapshots import to_bytes
from crossmargin.instruments import OptionType
from crossmargin.units import later
from tests.clearing import venue
from tests.clearing.test_breakers import Oracles, guarded
from tests.clearing.test_procedures_scenarios import opened as alice_is_long
from tests.clearing.venue import Desk, contract, open_house

BOOKS = {
    name: load_rulebook(name)
    for name in ("reference", "okx-portfolio", "deribit-portfolio", "hyperliquid-cross", "mango-v4", "drift-v2")
}
FIRST, LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
ZONES = (UTC, timezone(timedelta(hours=14)), timezone(timedelta(hours=-12)))
TIMES = st.builds(
    lambda moment, zone: moment.replace(tzinfo=zone),
    st.one_of(
        st.sampled_from([FIRST, LAST, LAST - timedelta(seconds=1), venue.EXPIRY, datetime(1970, 1, 1, tzinfo=UTC)]),
        st.builds(lambda hours: later(FIRST, 3600 * hours), st.integers(0, 99)),
        st.builds(lambda hours: later(LAST, -3600 * hours), st.integers(0, 99)),
        st.builds(lambda seconds: later(venue.START, seconds), st.integers(0, 9999)),
    ),
    st.sampled_from(ZONES),
)
FEEDS = ("a", "b", "c", "chainlink", "pyth", "coinbase")
MARKS = {"USDC": 10**8, "BTC": 6_000_000, "BTC-PERP": 600_000, "BTC-END": 600_000, "BTC-CALL": 20_000}
FIGURES = {"index_price": "60000", "forward_price": "60000", "mark_iv": "0.6"}
HELD = {"instrument": "BTC-PERP", "quantity": 2_000}
COMMANDS: list[tuple[type, dict[str, Any]]] = [
    (c.Tick, {}),
    (c.StressAll, {}),
    (c.Deposit, {"owner": "alice", "asset": "USDC", "amount": 10**6}),
    (c.Withdraw, {"owner": "alice", "asset": "USDC", "amount": 10**6}),
    (c.Transfer, {"owner": "alice", "target": "alice/hedge", "asset": "USDC", "amount": 10**6}),
    (c.Trade, {"buyer": "alice", "seller": "bob", "price": 600_000, **HELD}),
    (c.Trade, {"buyer": "bob", "seller": "alice", "price": 20_000, "instrument": "BTC-CALL", "quantity": 10}),
    (c.Trade, {"buyer": "alice", "seller": "bob", "price": 600_000, "instrument": "BTC-END", "quantity": 10}),
    (c.PlaceOrder, {"owner": "alice", "limit_price": 600_000, **HELD}),
    (c.Cancel, {"owner": "alice", "limit_price": 600_000, **HELD}),
    (c.Accrue, {"index": "BTC-PERP", "rate": "0.0001", "mark": 600_000}),
    (c.Accrue, {"index": "borrow:USDC", "rate": "0.0001"}),
    (c.Settle, {"instrument": "BTC-PERP", "price": 590_000}),
    (c.Expire, {"instrument": "BTC-END", "price": 590_000}),
    (c.Bid, {"bidder": "carol", "share": "0.5", "limit": "100000"}),
]


def quoted(fall: float, seen: list[datetime | None]) -> dict[str, dict[str, c.Quote]]:
    """What six feeds say of everything, each of its own time."""
    prices = {name: price if name == "USDC" else int(price * fall) for name, price in MARKS.items()}
    figures = {name: FIGURES if name.startswith("BTC-") else {} for name in MARKS}
    return {
        feed: {n: c.Quote(price=price, observed_at=at, figures=figures[n]) for n, price in prices.items()}
        for feed, at in zip(FEEDS, seen, strict=True)
    }


SEEN = st.lists(st.one_of(st.none(), TIMES), min_size=len(FEEDS), max_size=len(FEEDS))
PRICES = st.builds(lambda *of: (c.Prices, {"quotes": quoted(*of)}), st.sampled_from([1.0, 0.9, 0.5]), SEEN)
STEPS = st.lists(
    st.tuples(st.one_of(st.none(), st.none(), TIMES), st.one_of(PRICES, st.sampled_from(COMMANDS))), max_size=15
)


def opened(name: str, as_of: datetime, contracts: list[Contract]) -> Desk:
    """A house under a rulebook, at a time, with money in it and prices known."""
    rules = rules_with_procedure(BOOKS[name], Outside(taker="book"))
    desk = Desk(House(MemoryJournal(), rules))
    desk.as_of = as_of
    listed = {one.instrument.symbol: one for one in contracts}
    told = RulebookTerms(name=name, digest=rules.digest)
    for section, content in (
        (Section.ASSETS, venue.ASSETS),
        (Section.INSTRUMENTS, listed),
        (Section.ACCOUNTS, venue.ACCOUNTS),
        (Section.RULEBOOK, told),
    ):
        configure(desk, section, content)
    for owner, amount in (("alice", 20_000), ("bob", 10**6), ("carol", 10**6)):
        send(desk, c.Deposit, {"owner": owner, "asset": "USDC", "amount": amount * 10**6})
    send(desk, c.Prices, {"quotes": quoted(1.0, [None] * len(FEEDS))})
    return desk


def configure(desk: Desk, section: Section, content: object) -> None:
    document = document_of(section, content)
    send(desk, c.Configure, {"section": section, "document": document, "digest": digest_of(document)})


def send(desk: Desk, kind: type, fields: dict[str, Any]) -> None:
    """Send a command at the desk's time; a second passes where there is one left."""
    desk.sequence += 1
    named = {"source": "desk", "sequence": desk.sequence, "as_of": desk.as_of}
    assert desk.house.handle(kind(**named, **fields)).records
    desk.as_of = later(desk.as_of, 1)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(sorted(BOOKS)), TIMES, TIMES, STEPS)
def test_no_time_stops_the_house(name: str, begin: datetime, end: datetime, steps: list[Any]) -> None:
    option: dict[str, Any] = {"kind": "option", "strike": 60_000.0, "option_type": OptionType.CALL}
    listed = [
        venue.LINEAR, contract("BTC-END", kind="future", expiry=end), contract("BTC-CALL", **option, expiry=end),
    ]  # fmt: skip
    desk = opened(name, begin, listed)
    for moment, (kind, fields) in steps:
        desk.as_of = moment or desk.as_of
        case = next(iter(desk.house.state.cases.items()), None)
        told = {"case": "none" if case is None else case[0], "step": 0 if case is None else case[1].step}
        send(desk, kind, {**fields, **(told if kind is c.Bid else {})})
        desk.house.unassessed()
    assert to_bytes(replay(desk.house.journal).state) == to_bytes(desk.house.state)


@pytest.mark.parametrize("name", sorted(BOOKS))
@pytest.mark.parametrize("moment", [FIRST, LAST])
def test_the_first_and_the_last_moment_are_lived_through(name: str, moment: datetime) -> None:
    """A fall into a liquidation or a call, whose deadline lies beyond all times."""
    desk = opened(name, moment, [venue.LINEAR])
    for kind, fields in (
        COMMANDS[5],
        (c.Prices, {"quotes": quoted(0.9, [moment] * len(FEEDS))}),
        (c.Prices, {"quotes": quoted(0.5, [FIRST, LAST, None, FIRST, LAST, None])}),
        (c.Tick, {}),
    ):
        send(desk, kind, fields)
    assert to_bytes(replay(desk.house.journal).state) == to_bytes(desk.house.state)


@pytest.mark.parametrize(("outside", "fall"), [(Outside(), "57500"), (Outside(taker="book"), "56000")])
def test_a_deadline_beyond_all_times_is_the_last_moment(outside: Outside, fall: str) -> None:
    """Of a call, and of the call that a case leaves a pool in."""
    scene = alice_is_long("reference", outside)
    scene.desk.as_of = LAST - timedelta(seconds=20)
    for price in (fall, "57500"):
        scene.btc(price)
    assert scene.stage() == Stage.CALLED
    assert scene.state.pools["alice"][""].deadline == LAST
    scene.replays()


def test_liquidation_waits_for_feeds_until_the_last_moment() -> None:
    oracles = Oracles(open_house(guarded()))
    oracles.desk.as_of = LAST - timedelta(seconds=20)
    oracles.say({"a": 600_000})
    assert waits_until(oracles.state, "BTC") == LAST
    assert oracles.replayed()


@given(TIMES, st.floats(allow_nan=False))
def test_later_never_leaves_all_times_and_agrees_with_the_sum_within(moment: datetime, seconds: float) -> None:
    found = later(moment, seconds)
    assert found.tzinfo is moment.tzinfo
    try:
        assert found == moment + timedelta(seconds=seconds)
    except OverflowError:
        assert found.replace(tzinfo=UTC) in (FIRST, LAST)
        assert found >= moment if seconds > 0 else found <= moment
