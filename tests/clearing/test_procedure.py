"""A procedure joins the machine as a function: one that hands whoever the rulebook's trigger meets to the vault."""

from __future__ import annotations

from collections.abc import Sequence

from crossmargin import load_rulebook
from crossmargin.clearing import State, decide, replay, rules_of
from crossmargin.clearing import commands as c
from crossmargin.clearing.checking import posting
from crossmargin.clearing.events import Asked, Event, Posted, Priced, Stage, Staged
from crossmargin.clearing.indexes import due_of_trade, funding_rows
from crossmargin.clearing.invariants import sums
from crossmargin.clearing.ledger import DUE, HELD
from crossmargin.clearing.rules import Reports, middle_quotes
from crossmargin.clearing.snapshots import to_bytes
from crossmargin.clearing.trading import handover_rows
from crossmargin.errors import Failure
from tests.clearing.test_real_rulebook import quoted, trade
from tests.clearing.venue import Desk, open_house

RULEBOOK = load_rulebook("reference")


def take_over(state: State, reports: Reports, /) -> Sequence[Event]:
    """Worst headroom first: open a case, ask for nothing, hand everything over, close the case."""
    figures = [one for report in reports.values() if not isinstance(report, Failure) for one in report]
    for pool in sorted(figures, key=lambda one: (one.maintenance_headroom, one.pool)):
        stood = state.pools.get(pool.pool, {}).get("")
        case = f"{pool.pool} at {state.number}" if stood is None or stood.case is None else stood.case
        if pool.triggered and (stood is None or stood.stage == Stage.HEALTHY):
            why = {"maintenance_headroom": f"{pool.maintenance_headroom:.6f}"}
            return [Staged(pool.pool, Stage.HEALTHY, Stage.LIQUIDATING, why, case)]
        if stood is not None and stood.stage == Stage.LIQUIDATING:
            if case in state.cases and state.cases[case].step == 0:
                return [Asked(case, 1, "takeover", {}, {"last": str(state.number)}), *handed(state, pool.pool, case)]
            return [Staged(pool.pool, Stage.LIQUIDATING, Stage.CLOSED, {}, case)]
    return []


def handed(state: State, owner: str, case: str) -> list[Posted]:
    out = []
    for (purse, symbol), held in state.balances[owner].items():
        if purse == HELD:
            terms, balances = state.configuration.terms[symbol], state.balances
            rows = funding_rows(terms, owner, balances[owner], state.indices)
            rows += due_of_trade(terms, owner, -held, state.indices) + due_of_trade(terms, "vault", held, state.indices)
            rows += handover_rows(terms, owner, balances[owner], "vault", balances.get("vault", {}), held)
            out.append(posting(state, "takeover", rows, case=case))
    return out


def standing() -> tuple[Desk, c.Command]:
    """A house where alice is long, and the prices that will meet her trigger."""
    desk = open_house(rules_of(RULEBOOK, react=take_over, guard=middle_quotes))
    desk.send(c.Prices, quotes={"feed": quoted()})
    for owner, dollars in (("alice", 20_000), ("bob", 900_000)):
        desk.send(c.Deposit, owner=owner, asset="USDC", amount=dollars * 10**6)
    trade(desk, "BTC-PERP", 1_500, 600_000)
    trade(desk, "ETH-PERP", 3_000, 20_000)
    desk.send(c.Accrue, index="BTC-PERP", rate="0.0003", mark=600_000)
    prices = c.Prices(**desk.named(), quotes={"feed": quoted(**{"BTC-PERP": "49000.0"})})
    return desk, prices


def fallen() -> tuple[Desk, list[Event]]:
    desk, prices = standing()
    return desk, desk.send_all([prices])


def test_a_decision_with_reactions_changes_nothing_and_is_the_same_again() -> None:
    desk, prices = standing()
    before = to_bytes(desk.house.state)
    events = decide(desk.house.state, prices, desk.house.rules)
    assert to_bytes(desk.house.state) == before
    assert decide(desk.house.state, prices, desk.house.rules) == events
    assert len(events) == 6


def test_one_command_leads_to_the_whole_case() -> None:
    desk, events = fallen()
    kinds = [type(event) for event in events]
    assert kinds == [Priced, Staged, Asked, Posted, Posted, Staged]
    assert [event.stage for event in events if isinstance(event, Staged)] == [Stage.LIQUIDATING, Stage.CLOSED]
    state = desk.house.state
    assert {purse for purse, _ in state.balances["alice"]} == {"wallet"}
    assert state.balances["vault"][HELD, "BTC-PERP"] == 1_500
    assert state.cases == {}
    assert sums(state.balances) == {}
    assert trade(desk, "BTC-PERP", 1, 490_000).reason == "locked_out"


def test_what_a_procedure_did_is_replayed_without_it() -> None:
    desk, _ = fallen()
    assert to_bytes(replay(desk.house.journal).state) == to_bytes(desk.house.state)


def test_funding_of_what_is_handed_over_starts_anew() -> None:
    desk, _ = fallen()
    state = desk.house.state
    index = state.indices["BTC-PERP"]
    assert state.balances["vault"][DUE, "BTC-PERP"] == 1_500 * index
    assert (DUE, "BTC-PERP") not in state.balances["alice"]
