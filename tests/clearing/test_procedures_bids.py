"""Auctions and offers answered by bids: refused, taken at the price of the moment, or cleared at one price."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from crossmargin import load_rulebook
from crossmargin.clearing import House
from crossmargin.clearing import commands as c
from crossmargin.clearing.configuration import RulebookTerms, Section
from crossmargin.clearing.events import Asked, Posted, Stage, Staged
from crossmargin.clearing.ledger import WALLET
from crossmargin.clearing.procedure import Outside, rules_with_procedure
from crossmargin.clearing.procedure.remembered import Order, recall
from crossmargin.clearing.rules import middle_quotes
from crossmargin.errors import FailureReason as R
from tests.clearing.scene import Scene, asked, causes, refused
from tests.clearing.test_procedures_scenarios import opened
from tests.clearing.venue import Desk

if TYPE_CHECKING:
    from pathlib import Path


def auctioned(rulebook: str = "derive-portfolio", price: str = "56000") -> Scene:
    scene = opened(rulebook, Outside())
    scene.btc(price)
    assert scene.stage() == Stage.AUCTION
    return scene


def bid(scene: Scene, bidder: str = "carol", **fields: Any) -> list[Any]:  # noqa: ANN401 - a command's fields
    kept = scene.state.cases[scene.case]
    return scene.send(
        c.Bid, **{"case": scene.case, "bidder": bidder, "share": "0.1", "limit": "9999", "step": kept.step, **fields}
    )


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"case": "nobody at 1"}, R.UNKNOWN_CASE),
        ({"step": 0}, R.MOVED_ON),
        ({"step": 99}, R.MOVED_ON),
        ({"bidder": "alice"}, R.UNKNOWN_ACCOUNT),
        ({"bidder": "alice/hedge"}, R.UNKNOWN_ACCOUNT),
        ({"bidder": "nobody"}, R.UNKNOWN_ACCOUNT),
        ({"share": "0"}, R.INVALID_QUANTITY),
        ({"share": "1.1"}, R.INVALID_QUANTITY),
        ({"share": "NaN"}, R.INVALID_QUANTITY),
        ({"limit": "x"}, R.INVALID_QUANTITY),
        ({"limit": "100"}, R.INVALID_PRICE),
        ({"bidder": "dave"}, R.INSUFFICIENT_MARGIN),
    ],
)
def test_a_bid_is_refused(fields: dict[str, Any], reason: R) -> None:
    scene = auctioned()
    before = {owner: dict(held) for owner, held in scene.state.balances.items()}
    assert refused(bid(scene, **fields)).reason == reason
    assert scene.state.balances == before


def test_the_first_of_two_bids_moves_the_auction_on() -> None:
    scene = auctioned()
    step = scene.state.cases[scene.case].step
    assert isinstance(bid(scene, step=step)[1], Posted)
    assert refused(bid(scene, "bob", step=step)).reason == R.MOVED_ON


def test_a_bidder_pays_the_falling_price_for_his_share() -> None:
    """Half of the way from 0.95 to 0.70 after 450 seconds; the wallet's share and a tenth of the contracts come."""
    scene = auctioned()
    scene.tick(448)
    fund = scene.wallet("fund") - 3_000 * 10**6
    equity = 6_000 - fund / 1e6
    events = bid(scene)
    rows = {(o, p, a): amount for event in events if isinstance(event, Posted) for o, p, a, amount in event.rows}
    assert rows["carol", "held", "BTC-PERP"] == 100
    paid = 0.1 * equity * 0.825
    assert rows["carol", WALLET, "USDC"] == pytest.approx((0.1 * (10_000 - fund / 1e6) - paid) * 1e6, abs=2)


def test_many_small_bids_take_no_more_than_one_large() -> None:
    """Each is rounded against who bids: nobody collects lots for nothing."""
    scene, whole = auctioned(), auctioned()
    for _ in range(5):
        bid(scene, share="0.0101")
    bid(whole, share="0.05")
    for owner in ("carol",):
        worth = [s.figures_of(s.state, owner).equity for s in (scene, whole)]
        assert worth[0] <= worth[1] + 5 * 60  # a lot of each bid, at most


def test_an_insolvent_account_is_taken_for_money_from_the_fund() -> None:
    scene = auctioned(price="49000")
    scene.tick(3598)
    fund, carol = scene.wallet("fund"), scene.wallet("carol")
    events = bid(scene, share="0.2", limit="0")
    assert any(isinstance(event, Posted) for event in events)
    assert scene.wallet("fund") < fund
    assert scene.wallet("carol") > carol


def sealed() -> Scene:
    scene = auctioned("reference", "52000")
    for owner, amount in (("bob", "100000"), ("carol", "100000"), ("dave", "10")):
        scene.deposit(owner, amount)
    return scene


def test_sealed_bids_clear_at_one_price() -> None:
    """Three bids: two fill what is offered, both at the lower of theirs; who cannot bear his is left out."""
    scene = sealed()
    (auction,) = [r.event for r in scene.records if isinstance(r.event, Asked) and r.event.what == "auction"]
    offered = float(auction.limits["amount"])  # of the account, what restores it
    for bidder, share, limit in (("carol", "0.5", "1995"), ("bob", "0.5", "1990"), ("dave", "0.3", "1999")):
        assert asked(bid(scene, bidder, share=share, limit=limit)) == ["bid"]
    assert scene.held("carol") == 0
    events = scene.tick(60)
    cleared = next(event for event in events if isinstance(event, Asked) and event.what == "cleared")
    assert float(cleared.limits["price"]) == 1990.0
    assert "unable dave" in cleared.limits
    paid = {}
    for event in events:
        if isinstance(event, Posted) and event.cause == "liquidation: auction":
            rows = {(o, p): amount for o, p, asset, amount in event.rows}
            bidder = next(o for o, _ in rows if o != "alice")
            paid[bidder] = rows[bidder, "held"]
    assert paid["carol"] == pytest.approx(500, abs=2)
    assert 0 <= paid["bob"] - (offered - 0.5) * 1000 < 10  # the reserve has fallen: a little more must go
    assert scene.stage() != Stage.AUCTION


def test_both_winners_pay_the_same_for_the_same() -> None:
    scene = sealed()
    for bidder, limit in (("carol", "1999"), ("bob", "1985")):
        bid(scene, bidder, share="0.25", limit=limit)
    before = {name: scene.figures_of(scene.state, name).equity for name in ("bob", "carol")}
    scene.tick(60)
    after = {name: scene.figures_of(scene.state, name).equity for name in ("bob", "carol")}
    assert scene.held("carol") - scene.held("bob") - 1000 == pytest.approx(0, abs=1)
    gains = [after[name] - before[name] for name in ("bob", "carol")]
    assert gains[0] == pytest.approx(gains[1], abs=70)  # a lot of 0.001 BTC is worth 52 dollars
    assert all(gain == pytest.approx(0.25 * (2_000 - 1_985), abs=70) for gain in gains)


def test_a_later_sealed_bid_replaces_an_earlier_one() -> None:
    scene = sealed()
    bid(scene, "carol", share="0.2", limit="1999")
    bid(scene, "carol", share="0.1", limit="1990")
    scene.tick(60)
    assert scene.held("carol") == pytest.approx(100, abs=1)


def test_no_pool_of_the_account_bids_in_its_sealed_auction_or_answers_its_orders() -> None:
    scene = sealed()
    scene.deposit("alice/hedge", "9000")
    assert refused(bid(scene, "alice/hedge", limit="1999")).reason == R.UNKNOWN_ACCOUNT
    scene = opened("reference", Outside())
    scene.deposit("alice/hedge", "90000")
    scene.btc("56000")
    answer = scene.trade("alice/hedge", "alice", "BTC-PERP", 10, "100", scene.case)
    assert refused(answer).reason == R.UNKNOWN_ACCOUNT


def test_an_offer_to_liquidators_is_taken_in_part() -> None:
    """Drift sells below the oracle to whoever comes: a half of what is offered at a limit above its price."""
    scene = opened("drift-v2", Outside())
    assert asked(scene.btc("50500"))[-1] == "offer"
    (offer,) = [r.event for r in scene.records if isinstance(r.event, Asked) and r.event.what == "offer"]
    assert refused(bid(scene, share="1", limit="49000")).reason == R.INVALID_PRICE
    events = bid(scene, share="0.5", limit="50500")
    (posted,) = [event for event in events if isinstance(event, Posted)]
    rows = {(owner, purse): amount for owner, purse, _, amount in posted.rows}
    assert rows["carol", "held"] == pytest.approx(float(offer.limits["amount"]) * 500, abs=1)
    assert -rows["carol", "basis:BTC-PERP"] / rows["carol", "held"] == pytest.approx(50_500 * 0.99 * 1000, rel=1e-9)


def test_an_answer_that_is_no_answer_is_refused() -> None:
    """Wrong side, too much, or nothing that was asked for; a fill in part is one."""
    scene = opened("reference", Outside())
    (order,) = [e.limits for e in scene.btc("56000") if isinstance(e, Asked) and e.what == "order"]
    case, asked_for = scene.case, -int(order["quantity"])
    assert refused(scene.trade("alice", "carol", "BTC-PERP", 10, "56000", case)).reason == R.INVALID_QUANTITY
    assert refused(scene.trade("carol", "alice", "BTC-PERP", asked_for + 1, "56000", case)).reason == R.INVALID_QUANTITY
    assert refused(scene.trade("carol", "alice", "ETH-PERP", 1, "2000", case)).reason == R.INVALID_QUANTITY
    assert isinstance(scene.trade("carol", "alice", "BTC-PERP", 100, "56000", case)[0], Posted)
    left = asked_for - 100
    assert refused(scene.trade("carol", "alice", "BTC-PERP", left + 1, "56000", case)).reason == R.INVALID_QUANTITY
    events = scene.trade("carol", "alice", "BTC-PERP", left, "56000", case)
    assert [type(event) for event in events] == [Posted, Asked, Posted, Staged]  # traded, filled, charged, restored
    assert causes(events) == ["trade", "liquidation: least that restores, fees"]
    assert refused(scene.trade("carol", "alice", "BTC-PERP", left, "56000", case)).reason == R.UNKNOWN_CASE


def test_orders_of_both_legs_of_a_pair_are_out_together() -> None:
    scene = opened("okx-portfolio", Outside())
    scene.trade("carol", "alice", "BTCUSDT", 500, "60000")
    events = scene.btc("43000")
    orders = [e.limits for e in events if isinstance(e, Asked) and e.what == "order"]
    assert [(one["instrument"], one["quantity"]) for one in orders] == [("BTC-PERP", "-125"), ("BTCUSDT", "125")]
    case = scene.case
    scene.desk.as_of -= timedelta(seconds=1)  # both answers in the same second
    assert asked(scene.trade("carol", "alice", "BTC-PERP", 125, "43000", case)) == ["fill"]
    scene.desk.as_of -= timedelta(seconds=1)
    assert asked(scene.trade("alice", "carol", "BTCUSDT", 125, "43000", case))[:2] == ["fill", "filled"]


def test_without_a_lockout_whoever_is_liquidated_may_reduce() -> None:
    locked, free = opened("bybit-portfolio", Outside()), opened("reference", Outside())
    for scene in (locked, free):
        scene.btc("54000")
        assert scene.stage() == Stage.LIQUIDATING
    assert refused(locked.trade("bob", "alice", "BTC-PERP", 10, "54000")).reason == R.LOCKED_OUT
    assert refused(free.trade("alice", "bob", "BTC-PERP", 10, "54000")).reason == R.LOCKED_OUT
    assert isinstance(free.trade("bob", "alice", "BTC-PERP", 10, "54000")[0], Posted)


def test_an_auction_sells_a_lot_at_least_and_ends() -> None:
    """What rounding leaves short is less than a lot: a lot goes, and not ever smaller shares of the money."""
    scene = Scene("derive-portfolio")
    scene.deposit("alice", "10000")
    scene.deposit("bob", "90000")
    scene.trade("bob", "alice", "BTC-PERP", 1000, "60000")
    scene.btc("61500")
    scene.btc("63700")
    sold = [r for r in scene.records if isinstance(r.event, Posted) and r.event.cause == "liquidation: auction"]
    assert 1 <= len(sold) <= 3
    assert all(any(row[1] == "held" for row in r.event.rows) for r in sold if isinstance(r.event, Posted))
    assert scene.state.cases == {}


@pytest.mark.parametrize(("bought", "left"), [(16, 0), (8, 4_000)])
def test_an_order_that_its_position_has_outrun_is_filled_as_far_as_the_position_goes(bought: int, left: int) -> None:
    """The network wants its short back when it takes over a long: what it asked for is now too much, or wrong."""
    scene = Scene("vega", Outside())
    for owner, amount in (("carol", "10000000"), ("alice", "100000"), ("bob", "150000")):
        scene.deposit(owner, amount)
    scene.trade("alice", "carol", "BTC-PERP", bought * 1000, "60000")
    scene.trade("carol", "bob", "BTC-PERP", 12_000, "60000")
    scene.btc("75000")
    (case,) = scene.state.cases
    assert scene.held("network") == -12_000
    scene.desk.as_of -= timedelta(seconds=1)  # the order is still waited for
    scene.btc("40000")
    assert scene.held("network") == bought * 1000 - 12_000
    assert recall(scene.state.cases[case].memory, 0.0).orders == (Order("dispose", "BTC-PERP", 12_000, 0),)
    scene.desk.as_of -= timedelta(seconds=1)
    assert refused(scene.trade("network", "carol", "BTC-PERP", left + 1, "40000", case)).reason == R.INVALID_QUANTITY
    if left:
        scene.desk.as_of -= timedelta(seconds=1)
        events = scene.trade("network", "carol", "BTC-PERP", left, "40000", case)
        assert asked(events)[0] == "fill"
        assert scene.held("network") == 0
    scene.tick(100)
    assert abs(scene.held("network")) in {0, 4_000}


HEDGED = """
rulebook = { name = "amended", effective_from = 2026-02-02, extends = "deribit-portfolio-cross@2026-02-01" }
sources.T = { title = "a test", status = "inferred" }
[liquidation]
source = "T"
[[liquidation.steps]]
name = "hedge"
do = "hedge"
when = "abs(bucket_delta) * index > delta_floor * gross"
amount = "min(round_share * abs(bucket_delta_start), abs(bucket_delta))"
fees = { fund = "moved" }
"""


def long_of_coins(tmp_path: Path, document: str) -> Scene:
    """Alice is long of coin contracts, under an amended document."""
    (tmp_path / "amended.toml").write_text(document)
    scene = Scene(str(tmp_path / "amended.toml"), Outside())
    for owner, amount, asset in (("alice", "0.15", "BTC"), ("alice", "3000", "USDC"), ("bob", "20", "BTC")):
        scene.deposit(owner, amount, asset)
    scene.deposit("carol", "600000")
    scene.trade("alice", "bob", "BTC-COIN", 6000, "60000")
    return scene


def test_a_fee_of_a_hedge_is_charged_for_an_instrument_that_was_not_held(tmp_path: Path) -> None:
    """Coin contracts are hedged by the linear perpetual: 0.109 BTC of delta, which the fee is counted by."""
    scene = long_of_coins(tmp_path, HEDGED)
    (order,) = [event.limits for event in scene.btc("55000") if isinstance(event, Asked) and event.what == "order"]
    assert order == {"step": "hedge", "instrument": "BTC-PERP", "quantity": "-109"}
    events = scene.trade("carol", "alice", "BTC-PERP", 109, "55000", scene.case)
    assert causes(events)[:2] == ["trade", "liquidation: hedge, fees"]
    assert scene.wallet("fund", "BTC") == 10_900_000


SHARED = """
rulebook = { name = "amended", effective_from = 2026-02-02, extends = "okx-portfolio@2025-01-15" }
sources.T = { title = "a test", status = "inferred" }
[liquidation]
source = "T"
[liquidation.parameters]
source = "T"
seconds = { by = "bucket", BTC = 60 }
[[liquidation.steps]]
name = "close"
do = "close"
of = "perpetual"
amount = "contracts_held - used_in_window"
window = "seconds"
window_of = "market"
"""


def test_an_order_that_ends_its_case_still_uses_the_market_s_window(tmp_path: Path) -> None:
    """The last fill closes all, and the case is over with it; of the next account there is so much less to close."""
    (tmp_path / "amended.toml").write_text(SHARED)
    scene = Scene(str(tmp_path / "amended.toml"), Outside())
    for owner, amount in (("alice", "10000"), ("dave", "30000"), ("bob", "200000"), ("carol", "200000")):
        scene.deposit(owner, amount)
    scene.trade("alice", "bob", "BTC-PERP", 1000, "60000")
    scene.trade("dave", "bob", "BTC-PERP", 1500, "60000")
    orders = [event.limits["quantity"] for event in scene.btc("53000") if getattr(event, "what", "") == "order"]
    assert orders == ["-1000"]
    scene.trade("carol", "alice", "BTC-PERP", 1000, "53000", scene.case)
    assert not scene.state.cases
    events = scene.btc("44000")
    assert [event.limits["quantity"] for event in events if getattr(event, "what", "") == "order"] == ["-500"]
    scene.replays()


def test_a_hedge_that_was_answered_is_remembered_by_its_underlying(tmp_path: Path) -> None:
    """A step that waits a while after its last hedge waits, whoever filled it."""
    text = HEDGED.replace("abs(bucket_delta) * index > delta_floor * gross", "last > 1000").replace("fees", "# fees")
    scene = long_of_coins(tmp_path, text)
    scene.btc("55000")
    scene.trade("carol", "alice", "BTC-PERP", 109, "55000", scene.case)
    assert [one.leg for one in recall(scene.state.cases[scene.case].memory, 0.0).case.done] == ["BTC"]
    assert asked(scene.tick(60)) == []
    assert scene.held("alice") == -109


@pytest.mark.parametrize("filled", [0, 10])
def test_an_order_of_a_step_that_another_document_lacks_is_given_up(filled: int) -> None:
    """The rulebook is replaced while an order is out: answers are refused, and the case goes on with the new steps."""
    scene = opened("reference", Outside())
    scene.btc("56000")
    scene.desk.as_of -= timedelta(seconds=1)  # all in the instant of the order: it is still waited for
    if filled:
        scene.trade("carol", "alice", "BTC-PERP", filled, "56000", scene.case)
    scene.book = load_rulebook("okx-portfolio")
    scene.rules = rules_with_procedure(scene.book, Outside(), guard=middle_quotes)
    now = scene.state.as_of
    assert now is not None
    scene.desk = Desk(House(scene.desk.house.journal, scene.rules))
    scene.desk.as_of = now - timedelta(seconds=1)
    terms = RulebookTerms(name="other", digest=scene.rules.digest, reporting_asset="USD")
    before = len(scene.records)
    scene.configure(Section.RULEBOOK, terms)
    assert refused(scene.trade("carol", "alice", "BTC-PERP", 10, "56000", scene.case)).reason == R.UNDEFINED_RESULT
    scene.tick(70)
    assert "ended" in asked([record.event for record in scene.records[before:]])
    scene.replays()
