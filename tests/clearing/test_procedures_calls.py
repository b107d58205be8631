"""Margin calls: cures that cure, deadlines that lead somewhere, halts that wait, cases that cannot be assessed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from crossmargin import load_rulebook
from crossmargin.clearing import commands as c
from crossmargin.clearing.configuration import Section
from crossmargin.clearing.events import Posted, Stage, Staged
from crossmargin.clearing.procedure import Outside
from crossmargin.clearing.scales import to_units
from crossmargin.clearing.views import calls
from tests.clearing.scene import ASSETS, Scene, asked, causes, stages
from tests.clearing.test_procedures_scenarios import opened
from tests.strategies.books import SPECS

if TYPE_CHECKING:
    from crossmargin.clearing.rules import Figures

CURING = sorted(name for name in SPECS if any(band.cure is not None for band in load_rulebook(name).procedure.bands))


def called(rulebook: str, btc: int, eth: int, coins: int, above: float, *, live: bool) -> Scene:
    """Alice with two positions and some ether, after the market fell to `above` of maintenance over it."""
    scene = Scene(rulebook, Outside(), live=live)
    scene.deposit("alice", "100000")
    if coins:
        scene.deposit("alice", str(coins), "ETH")
    scene.deposit("bob", "5000000")
    for symbol, quantity in (("BTC-PERP", btc), ("ETH-PERP", eth)):
        sides = ("alice", "bob") if quantity > 0 else ("bob", "alice")
        if quantity:
            scene.trade(*sides, symbol, abs(quantity), scene.marks[symbol])
    scene.withdraw("alice", f"{pool_of(scene).initial_headroom / 1.02:.2f}")  # a haircut is kept of what goes
    for aim in (0.31, above):  # near the call first: what is required moves with the price
        figures = pool_of(scene)
        assume(stood(scene) != Stage.CALLED)
        loss = figures.adjusted_equity - (1 + aim) * figures.maintenance
        scene.btc(f"{float(scene.marks['BTC-PERP']) - loss / (btc / 1000):.1f}")
    return scene


def pool_of(scene: Scene) -> Figures:
    """The pool in which alice's dollars are; some rulebooks have one for each asset."""
    found = scene.rules.assess(scene.state, {"alice": scene.state.balances["alice"]})["alice"]
    assert isinstance(found, tuple), found
    return next(one for one in found if one.pool in {"alice", "alice#USDC"})


def stood(scene: Scene) -> str:
    return scene.stage(pool_of(scene).pool)


def cure_of(scene: Scene) -> dict[str, str]:
    staged = [r.event for r in scene.records if isinstance(r.event, Staged) and r.event.stage == Stage.CALLED]
    assert staged[-1].cure is not None
    return dict(staged[-1].cure)


def paid(scene: Scene, what: str, amount: str) -> None:
    """Do what a call names, in two parts where it is a deposit: a hundredth of a dollar less does not cure."""
    kind, _, name = what.partition(" ")
    if kind == "reduce":
        sides = ("bob", "alice") if scene.held("alice", name) > 0 else ("alice", "bob")
        assert isinstance(scene.trade(*sides, name, to_units(amount, 3), scene.marks[name])[0], Posted)
        return
    digits = ASSETS[name].digits
    whole = to_units(amount, digits)
    lacking = whole - 10 ** (digits - 2)
    if lacking > 0:
        scene.send(c.Deposit, owner="alice", asset=name, amount=lacking)
        assert stood(scene) == Stage.CALLED
    scene.send(c.Deposit, owner="alice", asset=name, amount=whole - max(lacking, 0))


@pytest.mark.parametrize("live", [True, False])
@pytest.mark.parametrize("rulebook", CURING)
@settings(max_examples=15, deadline=None)
@given(
    btc=st.integers(-1200, 1200).filter(lambda held: abs(held) > 500),
    eth=st.integers(-3000, 3000),
    coins=st.integers(0, 1),
    above=st.floats(0.02, 0.08),
    data=st.data(),
)
def test_whatever_a_call_names_as_a_cure_cures(
    rulebook: str, live: bool, btc: int, eth: int, coins: int, above: float, data: st.DataObject
) -> None:
    """Each alone takes the account out of the call at unchanged marks, and no deadline comes after it."""
    scene = called(rulebook, btc, eth, coins, above, live=live)
    assume(stood(scene) == Stage.CALLED)
    cure = cure_of(scene)
    assert cure
    paid(scene, *data.draw(st.sampled_from(sorted(cure.items()))))
    assert stood(scene) in {Stage.HEALTHY, Stage.WARNED}
    assert pool_of(scene).initial_headroom >= 0
    scene.tick(100_000)
    assert stood(scene) in {Stage.HEALTHY, Stage.WARNED}
    call = calls(scene.records)[-1]
    assert (call.ending, bool(call.cured_by)) == ("cured", True)


def test_a_call_is_left_by_its_until_and_not_by_the_end_of_what_led_there() -> None:
    """Called below 1.25 of maintenance, left at 1.5."""
    scene = opened("reference", Outside())
    scene.btc("57500")
    assert scene.stage() == Stage.CALLED
    scene.btc("59000")
    figures = scene.figures_of(scene.state, "alice")
    assert 1.25 < figures.coverage_ratio < 1.5
    assert scene.stage() == Stage.CALLED
    scene.btc("61500")
    assert scene.stage() in {"warned", "healthy"}


def test_a_halt_makes_a_liquidation_wait_and_its_end_lets_it_go_on() -> None:
    scene = opened("bybit-portfolio")
    scene.configure(Section.HALTS, {"liquidation": ["BTC"]})
    assert stages(scene.btc("52000")) == []
    assert scene.tick(100) == [Posted("tick", None, ())]
    before = len(scene.records)
    scene.configure(Section.HALTS, {})
    assert "liquidating" in stages([record.event for record in scene.records[before:]])


def test_a_halt_in_the_middle_stops_the_next_step_and_the_waterfall() -> None:
    scene = opened("deribit-portfolio", Outside())
    scene.btc("45000")
    scene.configure(Section.HALTS, {"liquidation": ["BTC"]})
    for _ in range(5):
        assert scene.tick(10) == [Posted("tick", None, ())]
    scene.configure(Section.HALTS, {})
    scene.tick(10)
    scene.tick(10)
    assert scene.stage("alice#USDC") == Stage.CLOSED


def test_a_figure_that_nobody_states_makes_one_case_wait_and_says_so_once() -> None:
    """Synthetix reads the market's skew: without it the case cannot go on, and the rest of the house does."""
    scene = opened("synthetix-perps")
    scene.figures = {}
    events = scene.btc("45000")
    assert asked(events)[-1] == "cannot go on"
    assert asked(scene.tick(5)) == []
    assert isinstance(scene.deposit("carol", "1")[0], Posted)
    scene.figures = {"BTC-PERP": {"skew": "0"}}
    events = scene.btc("45000")
    assert "liquidation: close" in causes(events)
    assert scene.state.cases == {}


def test_a_quote_that_is_too_old_makes_pools_wait_and_the_house_answers() -> None:
    scene = opened("reference")
    stale: dict[str, Any] = {"observed_at": scene.desk.as_of}
    quote = c.Quote(price=5_000_000, **stale)
    scene.send(c.Prices, quotes={"feed": {"BTC-PERP": quote}})
    scene.tick(7200)
    assert msgspec.json.encode(scene.tick(0))


@pytest.mark.parametrize("rulebook", ["bybit-portfolio", "hyperliquid-cross", "okx-portfolio"])
def test_each_pool_of_an_account_is_liquidated_alone(rulebook: str) -> None:
    scene = opened(rulebook)
    scene.send(c.Deposit, owner="alice/hedge", asset="USDC", amount=12_000 * 10**6)
    scene.trade("bob", "alice/hedge", "BTC-PERP", 1000, "60000")
    scene.btc("50400")
    assert scene.held("alice") < 1000
    assert scene.held("alice/hedge") == -1000
    assert scene.stage("alice/hedge") == "healthy" or rulebook == "okx-portfolio"
    scene.btc("75000")
    for _ in range(10):
        scene.tick(40)
    assert scene.held("alice/hedge") == 0
    scene.replays()


def test_units_of_an_account_are_liquidated_alone() -> None:
    """Deribit's segregated: alice's coin unit falls, her dollar unit stands, and keeps its money."""
    scene = opened("deribit-portfolio")
    scene.deposit("alice", "0.05", "BTC")
    scene.deposit("bob", "5", "BTC")
    scene.trade("alice", "bob", "BTC-COIN", 1000, "60000")
    assert scene.held("alice", "BTC-COIN") == 1000
    scene.mark(BTC_COIN="48000")
    for _ in range(60):
        scene.tick(1)
    assert scene.held("alice", "BTC-COIN") < 1000
    assert scene.held("alice") == 1000
    assert scene.wallet("alice") == 12_000 * 10**6
    scene.replays()
