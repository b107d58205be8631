"""Vega's published settlements, run through the state machine: what the network disposes of, and whose gains pay."""

from __future__ import annotations

from datetime import timedelta
from fractions import Fraction
from itertools import pairwise
from typing import Any

import pytest

from crossmargin import load_rulebook
from crossmargin.analysis.conformance.linear_market import perpetual
from crossmargin.analysis.conformance.linear_market import snapshot_of as market_with
from crossmargin.analysis.conformance.vega_procedure import DISPOSAL_KEYS
from crossmargin.clearing import Outside
from crossmargin.clearing import commands as c
from crossmargin.clearing.events import Posted
from crossmargin.clearing.ledger import FUND, HELD, WALLET, Row
from crossmargin.margin import with_values
from tests.clearing.posed import Posed
from tests.clearing.published import case_at, cases_of

FILE = "vega_margin_settlement"


def vega_house(changes: dict[str, Any], mark: float, outside: Outside, owners: tuple[str, ...]) -> Posed:
    """A market of whole contracts and whole units of money."""
    rulebook = with_values(load_rulebook("vega"), changes, source="a case") if changes else load_rulebook("vega")
    market = market_with([perpetual("BTC", mark, "USDC")], "USDC", {"USDC": 1.0})
    posed = Posed(rulebook, market, outside, owners, quantity_digits={"BTC-USDC": 0}, digits=0)
    posed.quote()
    return posed


@pytest.mark.parametrize("at", cases_of(FILE, {"network_position_disposal"}))
def test_disposal(at: tuple[str, int]) -> None:
    case = case_at(at)
    stated, expected = case.needed("input"), case.needed("expected")
    changes = {ours: stated.number(key) for ours, key in DISPOSAL_KEYS.items()}
    depth = {"BTC-USDC": Fraction(int(stated.number("available_volume_each_step")))}
    posed = vega_house(changes, stated.number("fill_price"), Outside(taker="book", depth=depth), ())
    held = int(stated.number("network_position"))
    entry = int(stated.number("entry_price"))
    posed.open([("network", HELD, "BTC-USDC", held), ("network", "basis:BTC-USDC", "USDC", -held * entry)])
    posed.quote()
    for _ in range(len(expected.numbers("sizes")) + 2):
        posed.desk.as_of += timedelta(seconds=9)
        posed.send(c.Tick)
    closed = [r for r in posed.records if isinstance(r.event, Posted) and r.event.cause == "liquidation: dispose"]
    postings = [r.event for r in closed if isinstance(r.event, Posted)]
    sizes = [-row[3] for event in postings for row in event.rows if row[:2] == ("network", HELD)]
    assert sizes == expected.numbers("sizes")
    wallets = [posed.until(r.number).balances["network"][WALLET, "USDC"] for r in closed]
    assert wallets[: len(expected.numbers("realised_pnl"))] == expected.numbers("realised_pnl")
    times = [r.as_of for r in closed]
    assert all((after - before).total_seconds() == 10 for before, after in pairwise(times))


@pytest.mark.parametrize("at", cases_of(FILE, {"loss_socialisation"}))
def test_losses(at: tuple[str, int]) -> None:
    case = case_at(at)
    stated, expected = case.needed("input"), case.needed("expected")
    parties = stated.items("parties")
    old = int(stated.number("old_mark"))
    posed = vega_house({}, old, Outside(taker="book"), tuple(name for name, _, _ in parties))
    rows: list[Row] = [(FUND, WALLET, "USDC", int(stated.number("insurance_pool")))]
    for name, contracts, balance in parties:
        rows.append((name, WALLET, "USDC", 10**9 if balance is None else int(balance)))
        rows += [(name, HELD, "BTC-USDC", contracts), (name, "basis:BTC-USDC", "USDC", -contracts * old)]
    posed.open(rows)
    posed.quote(market_with([perpetual("BTC", stated.number("new_mark"), "USDC")], "USDC", {"USDC": 1.0}))
    for _ in range(40):
        posed.desk.as_of += timedelta(seconds=9)
        posed.send(c.Tick)
    assert not posed.state.cases
    cuts = expected.needed("haircut")
    lost = {
        row[0]: -row[3]
        for r in posed.records
        if isinstance(r.event, Posted) and r.event.cause == "waterfall: gains"
        for row in r.event.rows
        if row[3] < 0
    }
    assert {party: lost.get(party, 0) for party in cuts} == {party: cuts.number(party) for party in cuts}
    assert posed.state.balances.get(FUND, {}).get((WALLET, "USDC"), 0) == expected.number("insurance_pool_after", 0.0)


@pytest.mark.parametrize(("wallet", "left"), [(-500, 500), (-100, 900), (-1_000, 0), (-1_300, -300)])
def test_what_the_last_mark_left_unsettled_is_the_accounts_own(wallet: int, left: int) -> None:
    posed = vega_house({}, 10_000, Outside(taker="book"), ("alice", "bob"))
    rows: list[Row] = [("alice", WALLET, "USDC", wallet), ("bob", WALLET, "USDC", 10**6)]
    rows += [("alice", HELD, "BTC-USDC", 10), ("alice", "basis:BTC-USDC", "USDC", -100_000)]
    rows += [("bob", HELD, "BTC-USDC", -10), ("bob", "basis:BTC-USDC", "USDC", 100_000)]
    posed.open([*rows, (FUND, WALLET, "USDC", 300)])
    posed.quote(market_with([perpetual("BTC", 10_100, "USDC")], "USDC", {"USDC": 1.0}))
    posed.desk.as_of += timedelta(seconds=9)
    posed.send(c.Tick)
    taken = [r for r in posed.records if isinstance(r.event, Posted) and r.event.cause == "liquidation: take over"]
    after = posed.until(taken[0].number).balances
    assert {key: amount for key, amount in after["network"].items() if amount} == {
        (HELD, "BTC-USDC"): 10,
        ("basis:BTC-USDC", "USDC"): -101_000,
    }
    assert after["alice"].get((WALLET, "USDC"), 0) == left
    assert not any(posed.state.balances["alice"].values())
    assert posed.state.balances.get(FUND, {}).get((WALLET, "USDC"), 0) == 300 + left
    bankrupt = [r for r in posed.records if getattr(r.event, "stage", None) == "bankrupt"]
    assert bool(bankrupt) is (left < 0)
