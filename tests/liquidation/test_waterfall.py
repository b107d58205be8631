"""Layers that pay one after another, what a fund can pay, and the stages of an account."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossmargin.errors import FailureReason, InputError
from crossmargin.liquidation.auctions import Bid, cleared, taken
from crossmargin.liquidation.moves import Desk, scope_of
from crossmargin.liquidation.pools import Leg, Pool
from crossmargin.liquidation.run import begun
from crossmargin.liquidation.stages import stage, stands_still
from crossmargin.liquidation.waterfall import cover, funds, inflow, missing, pay, replenishment, shortfalls
from crossmargin.margin import Rulebook
from crossmargin.margin.procedure import Fund
from crossmargin.sources import load_rulebook
from tests.liquidation.procedures import rules

LAYERS = """
[liquidation.parameters]
source = "S1"
kept = 0.25
[fund]
target = "cover_2"
[[waterfall]]
pay = "skin"
[[waterfall]]
pay = "fund"
keep = "kept * fund"
[[waterfall]]
pay = "adl"
rule = "queue"
when = "loss > 0"
rank = "when(pnl_share > 0, pnl_share * payer_leverage, pnl_share / payer_leverage)"
cap = "profit"
price = "bankruptcy_price"
[[waterfall]]
pay = "gains"
rule = "pro_rata"
weight = "profit"
cap = "profit"
[[waterfall]]
pay = "halt"
"""


def paid(loss: int, **funds_held: float) -> tuple[dict[str, int], int]:
    rulebook = rules(LAYERS)
    pool = Pool({"bankruptcy_price": 98.5})
    payers = {
        "skin": [Leg("venue", {"fund": funds_held.get("skin", 0.0)})],
        "fund": [Leg("fund", {"fund": funds_held.get("fund", 0.0)})],
        "adl": [
            Leg("calm", {"pnl_share": 0.5, "payer_leverage": 2.0, "profit": 20.0}),
            Leg("wild", {"pnl_share": 0.4, "payer_leverage": 10.0, "profit": 30.0}),
            Leg("losing", {"pnl_share": -0.4, "payer_leverage": 10.0, "profit": 0.0}),
        ],
        "gains": [Leg("one", {"profit": 10.0}), Leg("two", {"profit": 30.0})],
    }
    layers, unpaid = pay(loss, rulebook.procedure.waterfall, payers, scope_of(rulebook.procedure, pool, None, Desk()))
    assert all(layer.price == Fraction(197, 2) for layer in layers if layer.pay == "adl")
    shares = {share.name: share.paid for layer in layers for share in layer.allocation.shares if share.paid}
    return shares, unpaid


@pytest.mark.parametrize(
    ("loss", "held", "shares", "unpaid"),
    [
        (0, {}, {}, 0),
        (10, {"skin": 4.0, "fund": 100.0}, {"venue": 4, "fund": 6}, 0),
        (80, {"fund": 100.0}, {"fund": 75, "wild": 5}, 0),
        (45, {}, {"wild": 30, "calm": 15}, 0),
        (60, {}, {"wild": 30, "calm": 20, "one": 3, "two": 7}, 0),
        (200, {}, {"wild": 30, "calm": 20, "one": 10, "two": 30}, 110),
    ],
)
def test_layers_pay_in_listed_order(loss: int, held: dict[str, float], shares: dict[str, int], unpaid: int) -> None:
    found, left = paid(loss, **held)
    assert left == unpaid
    assert sum(found.values()) + left == loss
    assert found == shares


@given(loss=st.integers(0, 500), skin=st.integers(0, 50), fund=st.integers(0, 200))
def test_every_unit_is_paid_by_someone_or_stands_unpaid(loss: int, skin: int, fund: int) -> None:
    found, left = paid(loss, skin=float(skin), fund=float(fund))
    assert sum(found.values()) + left == loss


def test_a_fund_is_worth_what_its_sale_brings() -> None:
    fund = Fund(haircuts={"BTC": 0.5})
    assert cover({"BTC": 2.0, "USD": 10.0}, {"BTC": 100.0, "USD": 1.0}, fund) == 110
    with pytest.raises(InputError) as told:
        cover({"ETH": 1.0}, {}, fund)
    assert told.value.reason is FailureReason.MISSING_QUOTE


def test_cover_two_is_of_one_and_the_same_scenario() -> None:
    losses = {"up": {"a": 10.0, "b": 1.0, "c": 2.0}, "down": {"a": 0.0, "b": 8.0, "c": 7.0}}
    assert shortfalls(losses, 1) == 10
    assert shortfalls(losses, 2) == 15  # never 10 + 8
    assert shortfalls({}, 2) == 0
    rulebook = rules(LAYERS)
    scope = scope_of(rulebook.procedure, Pool({}), None, Desk())
    assert funds(rulebook.procedure.fund, scope, losses) == 15
    assert replenishment(12.0, 15.0, 5.0) == (Fraction(3), Fraction(2))
    assert replenishment(20.0, 15.0, 5.0) == (Fraction(0), Fraction(5))


BANDS = """
[[bands]]
then = "warned"
when = "adjusted_equity < 3 * maintenance"
until = "adjusted_equity >= 3.2 * maintenance"
[[bands]]
then = "called"
when = "adjusted_equity < initial"
until = "adjusted_equity >= 2.25 * maintenance"
deadline = 600
cure = "initial"
source = "S1"
[liquidation]
source = "S1"
until = "adjusted_equity >= 1.25 * maintenance"
"""


def found(rulebook: Rulebook, equity: float, before: str = "healthy", since: float = 0.0) -> str:
    figures = {
        "adjusted_equity": equity,
        "equity": equity,
        "maintenance": 50.0,
        "initial": 100.0,
        "initial_headroom": equity - 100.0,
    }
    pool = Pool(figures)
    return stage(scope_of(rulebook.procedure, pool, begun(pool), Desk()), before, since).name


@pytest.mark.parametrize(
    ("equity", "before", "since", "after"),
    [
        (200, "healthy", 0, "healthy"),
        (149, "healthy", 0, "warned"),
        (155, "warned", 0, "warned"),
        (155, "healthy", 0, "healthy"),
        (160, "warned", 0, "healthy"),
        (99, "warned", 0, "called"),
        (105, "called", 0, "called"),
        (113, "called", 0, "warned"),
        (155, "called", 0, "warned"),
        (99, "called", 599, "called"),
        (99, "called", 600, "liquidating"),
        (99, "warned", 600, "called"),
        (49, "healthy", 0, "liquidating"),
        (52, "liquidating", 0, "liquidating"),
        (63, "liquidating", 0, "called"),
        (-1, "healthy", 0, "bankrupt"),
    ],
)
def test_a_stage_is_left_by_its_own_door(equity: float, before: str, since: float, after: str) -> None:
    assert found(rules(BANDS), equity, before, since) == after


def test_a_call_says_what_would_cure_it_and_how_long_there_is() -> None:
    rulebook = rules(BANDS)
    figures = {
        "adjusted_equity": 90.0,
        "equity": 90.0,
        "maintenance": 50.0,
        "initial": 100.0,
        "initial_headroom": -10.0,
    }
    pool = Pool(figures)
    called = stage(scope_of(rulebook.procedure, pool, begun(pool), Desk()))
    assert (called.name, called.cure, called.deadline) == ("called", "initial", 600.0)
    assert called.cause == "adjusted_equity < initial"


def bid(name: str, share: str, limit: int, **more: object) -> Bid:
    return Bid(name, Fraction(share), Fraction(limit), **more)  # type: ignore[arg-type]


def test_a_sealed_batch_clears_at_the_lowest_limit_that_is_taken() -> None:
    bids = [bid("a", "1/2", 90), bid("b", "1/2", 100), bid("c", "1/2", 80), bid("d", "1", 10)]
    out = cleared(bids, Fraction(3, 4), Fraction(50))
    assert [(fill.bidder, fill.share) for fill in out.fills] == [("b", Fraction(1, 2)), ("a", Fraction(1, 4))]
    assert (out.price, out.left) == (Fraction(90), Fraction(0))
    empty = cleared([bid("d", "1", 10)], Fraction(1), Fraction(50))
    assert (empty.fills, empty.price, empty.left) == ((), Fraction(50), Fraction(1))


@given(
    rows=st.lists(st.tuples(st.integers(1, 10), st.integers(0, 100), st.integers(0, 10)), max_size=8),
    offered=st.integers(0, 10),
    reserve=st.integers(0, 100),
)
def test_a_sealed_batch_sells_no_more_than_there_is_and_no_cheaper(
    rows: list[tuple[int, int, int]], offered: int, reserve: int
) -> None:
    bids = [Bid(f"b{i}", Fraction(s, 10), Fraction(p), Fraction(a, 10)) for i, (s, p, a) in enumerate(rows)]
    out = cleared(bids, Fraction(offered, 10), Fraction(reserve))
    assert sum(fill.share for fill in out.fills) + out.left == Fraction(offered, 10)
    limits = {one.bidder: one for one in bids}
    for fill in out.fills:
        assert reserve <= out.price <= limits[fill.bidder].limit
        assert fill.share <= min(limits[fill.bidder].share, limits[fill.bidder].able)


@pytest.mark.parametrize(
    ("one", "price", "fills", "share"),
    [
        (bid("a", "1", 100), 90, 0, "1/2"),
        (bid("a", "1/4", 100), 90, 0, "1/4"),
        (bid("a", "1", 100, able=Fraction(1, 8)), 90, 0, "1/8"),
        (bid("a", "1", 80), 90, 0, "0"),
        (bid("a", "1", 100, seen=0), 90, 1, "0"),
        (bid("a", "1", 100, seen=1), 90, 1, "1/2"),
        (bid("a", "1", -5), -10, 0, "1/2"),
        (bid("a", "1", 100, able=Fraction(0)), 90, 0, "0"),
    ],
)
def test_a_bid_gets_what_is_left_at_its_limit(one: Bid, price: int, fills: int, share: str) -> None:
    fill = taken(one, Fraction(1, 2), Fraction(price), fills)
    assert fill.share == Fraction(share)
    assert (fill.refused is None) == (fill.share > 0)


def test_a_share_beyond_everything_is_refused() -> None:
    with pytest.raises(InputError):
        cleared([bid("a", "2", 1)], Fraction(1), Fraction(0))
    with pytest.raises(InputError):
        cleared([bid("a", "1", 1), bid("a", "1", 1)], Fraction(1), Fraction(0))


ASSESSED = """
[fund]
skin = "0.1 * loss"
assessment = "0.5 * deposited"
inflow = "equity"
[[waterfall]]
pay = "skin"
[[waterfall]]
pay = "assess"
rule = "pro_rata"
weight = "deposited"
"""


def test_the_venue_pays_its_part_and_members_no_more_than_they_are_asked_for() -> None:
    procedure = rules(ASSESSED).procedure
    payers = {
        "skin": [Leg("venue", {"fund": 1000.0})],
        "assess": [Leg("a", {"deposited": 100.0}), Leg("b", {"deposited": 20.0})],
    }
    scope = scope_of(procedure, Pool({"equity": 3.5}), None, Desk())
    layers, unpaid = pay(100, procedure.waterfall, payers, scope)
    assert {share.name: share.paid for layer in layers for share in layer.allocation.shares} == {
        "venue": 10, "a": 50, "b": 10,
    }  # fmt: skip
    assert unpaid == 30
    assert inflow(procedure.fund, scope) == Fraction(7, 2)


def test_the_reference_pays_keepers_above_their_gas_and_keeps_a_part_of_its_fund() -> None:
    procedure = load_rulebook("reference").procedure
    told = {"moved": 2.0, "contract": 1.0, "price": 10_000.0}
    for gas, reward in ((0.0, 40.0), (100.0, 125.0), (5000.0, 1000.0)):
        scope = scope_of(procedure, Pool({}), None, Desk(stated={**told, "gas": gas}))
        assert scope.named("keeper_reward") == pytest.approx(reward)
        assert scope.named("keeper_profit") == pytest.approx(reward - gas)
    pool = Pool({"bankruptcy_price": 99.0})
    payers = {
        "skin": [Leg("venue", {"fund": 5.0})],
        "fund": [Leg("fund", {"fund": 40.0})],
        "adl": [Leg("x", {"notional": 30.0, "payer_equity": 10.0}), Leg("y", {"notional": 5.0, "payer_equity": 10.0})],
    }
    layers, unpaid = pay(60, procedure.waterfall, payers, scope_of(procedure, pool, None, Desk()))
    assert {share.name: share.paid for layer in layers for share in layer.allocation.shares} == {
        "venue": 5, "fund": 30, "x": 25, "y": 0,
    }  # fmt: skip
    assert unpaid == 0


HALT = """
[[halt]]
when = "quote_confidence < 0.5"
until = "quote_confidence >= 0.8"
what = ["risk", "liquidation"]
[[halt]]
when = "live_feeds < 3"
what = ["risk"]
"""


@pytest.mark.parametrize(
    ("number", "trust", "feeds", "before", "after"),
    [
        (0, 0.9, 3, False, False),
        (0, 0.4, 3, False, True),
        (0, 0.6, 3, True, True),
        (0, 0.6, 3, False, False),
        (0, 0.8, 3, True, False),
        (1, 0.9, 2, False, True),
        (1, 0.9, 3, True, False),
    ],
)
def test_a_halt_is_left_by_its_own_door(number: int, trust: float, feeds: int, before: bool, after: bool) -> None:
    procedure = rules(HALT).procedure
    scope = scope_of(procedure, Pool({"quote_confidence": trust, "live_feeds": feeds}), None, Desk())
    assert stands_still(scope, procedure.halts[number], before=before) == after


def test_what_is_missing_is_what_the_document_says_or_a_negative_equity() -> None:
    pool = Pool({"equity": -7.25, "gross": 3.0})
    assert missing(scope_of(rules().procedure, pool, None, Desk())) == 8
    assert missing(scope_of(rules().procedure, pool, None, Desk()), 100) == 725
    stated = rules('[liquidation]\nloss = "gross"\n').procedure
    assert missing(scope_of(stated, pool, None, Desk())) == 3
    assert missing(scope_of(rules().procedure, Pool({"equity": 1.0}), None, Desk())) == 0
