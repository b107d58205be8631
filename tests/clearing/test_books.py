"""The little book of a procedure has what the engine sees: funding too of positions older than the first payment."""

from __future__ import annotations

from crossmargin import load_rulebook
from crossmargin.clearing import commands as c
from crossmargin.clearing import rules_of
from crossmargin.clearing.bridge import Markets
from crossmargin.clearing.ledger import DUE
from crossmargin.clearing.procedure import Outside
from crossmargin.clearing.procedure.view import Setting, view_of
from crossmargin.clearing.rules import middle_quotes
from tests.clearing.test_real_rulebook import figures_of, quoted, trade
from tests.clearing.venue import open_house


def test_funding_that_ran_up_since_before_the_first_payment_counts() -> None:
    rulebook = load_rulebook("hyperliquid-cross")
    desk = open_house(rules_of(rulebook, guard=middle_quotes))
    desk.send(c.Prices, quotes={"feed": quoted()})
    for owner in ("alice", "bob"):
        desk.send(c.Deposit, owner=owner, asset="USDC", amount=20_000 * 10**6)
    trade(desk, "BTC-PERP", 1_000, 600_000)
    desk.send(c.Accrue, index="BTC-PERP", rate="0.001", mark=600_000)
    state = desk.house.state
    assert (DUE, "BTC-PERP") not in state.balances["alice"]
    (seen,) = figures_of(desk)
    view = view_of(Setting(state, Markets().at(state), rulebook, Outside()), "alice", "")
    assert abs(float(view.pool.figures["equity"]) - seen.equity) < 1e-6
    assert seen.equity == 20_000 + 0.5 - 60  # deposited, gained at the mark, owed as funding; dollars count as one
