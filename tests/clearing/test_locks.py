"""What may not leave: money while a loss may be shared, fees beside a document's, interest that no debt pays."""

from __future__ import annotations

import pytest

from crossmargin import load_rulebook
from crossmargin.clearing import House
from crossmargin.clearing import commands as c
from crossmargin.clearing.configuration import RulebookTerms, Section
from crossmargin.clearing.events import Asked, Indexed, Posted, Stage
from crossmargin.clearing.indexes import interest_kept
from crossmargin.clearing.invariants import BrokenError
from crossmargin.clearing.procedure import Outside, rules_with_procedure
from crossmargin.clearing.rules import middle_quotes
from crossmargin.errors import FailureReason as R
from crossmargin.errors import RulebookError
from tests.clearing.scene import Scene, refused, stages
from tests.clearing.test_procedures_scenarios import FUND, opened
from tests.clearing.venue import Desk
from tests.margin.rules import made


def events_of(scene: Scene, section: Section, content: object) -> list[object]:
    before = len(scene.records)
    scene.configure(section, content)
    return [record.event for record in scene.records[before:]]


@pytest.mark.parametrize("rulebook", ["derive-portfolio", "derive-portfolio-1"])
def test_nobody_withdraws_while_the_fund_cannot_bear_what_is_insolvent(rulebook: str) -> None:
    scene = opened(rulebook, Outside())
    assert isinstance(scene.withdraw("carol", "1")[0], Posted)
    scene.btc("44000" if rulebook == "derive-portfolio" else "38000")
    alice = scene.figures_of(scene.state, "alice")
    assert alice.equity < 0
    assert -alice.maintenance_headroom > FUND
    for owner in ("bob", "carol"):
        told = refused(scene.withdraw(owner, "1"))
        assert (told.reason, told.found) == (R.LOCKED_OUT, str(FUND))
    scene.deposit("fund", "100000")
    assert isinstance(scene.withdraw("carol", "1")[0], Posted)


def test_a_case_that_is_worth_something_stops_nobody_from_withdrawing() -> None:
    scene = opened("derive-portfolio", Outside())
    scene.btc("56000")
    assert scene.stage() == Stage.AUCTION
    assert isinstance(scene.withdraw("carol", "1")[0], Posted)


def test_one_subaccount_below_nothing_stops_withdrawals_whatever_the_fund_holds() -> None:
    scene = opened("dydx-v4", Outside())
    scene.deposit("fund", "1000000")
    scene.btc("49500")
    told = refused(scene.withdraw("carol", "1"))
    assert told.reason == R.LOCKED_OUT
    assert told.found == "alice at -500"
    scene.btc("60000")
    assert isinstance(scene.withdraw("carol", "1")[0], Posted)


def test_a_case_that_cannot_be_assessed_stops_withdrawals_and_says_why() -> None:
    scene = opened("dydx-v4", Outside())
    scene.btc("50400")
    assert scene.state.cases
    marks = {name: quote for name, quote in scene.state.marks.items() if name != "BTC-PERP"}
    scene.state.marks, scene.replica.marks = marks, marks
    told = refused(scene.withdraw("carol", "1"))
    assert told.reason == R.LOCKED_OUT
    assert "BTC-PERP" in told.found


def test_a_document_says_one_of_two_words() -> None:
    with pytest.raises(RulebookError, match="loss_lock"):
        made('[liquidation]\nloss_lock = "sometimes"\n')


@pytest.mark.parametrize(
    ("rulebook", "price"), [("dydx-v4", 50_400), ("deribit-portfolio", 50_400), ("reference", 56_000)]
)
def test_an_answer_charges_the_account_no_fee_beside_the_documents(rulebook: str, price: int) -> None:
    scene = opened(rulebook, Outside())
    scene.btc(str(price))
    order = next(r.event for r in scene.records if isinstance(r.event, Asked) and r.event.what == "order")
    quantity, symbol = int(order.limits["quantity"]), order.limits["instrument"]
    assert quantity < 0
    digits = scene.state.configuration.terms[symbol].contract.price_digits
    trade = {
        "buyer": "carol", "seller": "alice", "instrument": symbol, "quantity": -quantity,
        "price": price * 10**digits, "case": scene.case,
    }  # fmt: skip
    assert refused(scene.send(c.Trade, **trade, seller_fee=1)).reason == R.INVALID_PRICE
    assert isinstance(scene.send(c.Trade, **trade, buyer_fee=7, seller_fee=-3)[0], Posted)


def test_a_new_rulebook_is_asked_at_once() -> None:
    """Warned under one document, and another has no such stage: nobody waits for a price."""
    scene = opened("okx-portfolio")
    scene.btc("56000")
    assert scene.stage() == Stage.WARNED
    scene.book = load_rulebook("derive-portfolio")
    scene.rules = rules_with_procedure(scene.book, Outside(taker="book"), guard=middle_quotes)
    now = scene.desk.as_of
    scene.desk = Desk(House(scene.desk.house.journal, scene.rules))
    scene.desk.as_of = now
    events = events_of(
        scene, Section.RULEBOOK, RulebookTerms(name="other", digest=scene.rules.digest, reporting_asset="USD")
    )
    assert stages(events) == ["healthy"]


# --- interest


def test_deposits_receive_what_debts_pay_and_no_more() -> None:
    scene = Scene("reference", Outside(taker="book"))
    scene.deposit("alice", "1000")
    told = refused(scene.send(c.Accrue, index="lend:USDC", rate="0.5"))
    assert told.reason == R.INVALID_QUANTITY
    assert told.found == "5e+08 units too much"
    scene.deposit("bob", "1", "BTC")
    scene.withdraw("bob", "400")
    assert scene.wallet("bob") == -400 * 10**6
    assert isinstance(scene.send(c.Accrue, index="borrow:USDC", rate="0.1")[0], Indexed)
    scene.tick(1)
    assert refused(scene.send(c.Accrue, index="lend:USDC", rate="0.040001")).reason == R.INVALID_QUANTITY
    assert isinstance(scene.send(c.Accrue, index="lend:USDC", rate="0.04")[0], Indexed)
    assert interest_kept("USDC", scene.state.balances, scene.state.indices) == 0
    scene.deposit("bob", "1000")  # pays his 40, which alice then takes
    scene.withdraw("alice", "1")
    assert scene.wallet("alice") == 1039 * 10**6
    assert interest_kept("USDC", scene.state.balances, scene.state.indices) == 0


def test_interest_from_nothing_breaks_an_invariant(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene("reference", Outside(taker="book"))
    scene.deposit("alice", "1000")
    monkeypatch.setattr("crossmargin.clearing.handlers_market.interest_kept", lambda *_: 0)
    with pytest.raises(BrokenError, match="no debt owes"):
        scene.send(c.Accrue, index="lend:USDC", rate="0.5")
