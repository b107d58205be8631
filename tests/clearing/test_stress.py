"""What defaults would leave uncovered, by hand, and what a fund's target makes of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from crossmargin.clearing import commands as c
from crossmargin.clearing.configuration import Section, Stress
from crossmargin.clearing.contracts import Asset
from crossmargin.clearing.events import Configured
from crossmargin.clearing.ledger import WALLET
from crossmargin.clearing.snapshots import from_bytes, to_bytes
from crossmargin.errors import FailureReason as R
from tests.clearing.scene import Scene, causes, refused
from tests.clearing.test_procedures_golden import moved
from tests.clearing.test_procedures_scenarios import opened

if TYPE_CHECKING:
    from pathlib import Path

HALVES = """
rulebook = { name = "halves", effective_from = 2026-02-04, extends = "reference@2020-01-01" }
sources.EXAMPLE = { title = "a test's own", status = "inferred" }
[scenarios]
halves = [{ spot = [-0.5, 0.5] }]
[charges.halves]
kind = "scan"
level = "account"
of = ["perpetual"]
scenarios = "halves"
reported_only = true
[fund]
source = "EXAMPLE"
target = "cover_2"
"""
FALLS = "halves: spot -50 %, vol same"


def halves(tmp_path: Path) -> Scene:
    """Of 60,000 a coin: alice is long of one, carol of half, bob and dave short of that."""
    (tmp_path / "halves.toml").write_text(HALVES)
    scene = Scene(str(tmp_path / "halves.toml"))
    for owner, amount in (("alice", "28000"), ("bob", "29000"), ("carol", "13000"), ("dave", "16000")):
        scene.deposit(owner, amount)
    scene.trade("alice", "bob", "BTC-PERP", 1000, "60000")
    scene.trade("carol", "dave", "BTC-PERP", 500, "60000")
    return scene


def stress(scene: Scene) -> Stress:
    (event,) = scene.send(c.StressAll)
    assert isinstance(event, Configured), event
    found = scene.state.configuration.stress
    assert found == msgspec.json.decode(event.document, type=Stress)
    assert found is not None
    return found


def test_both_longs_default_where_the_market_falls_by_half(tmp_path: Path) -> None:
    """They lose 30,000 and 15,000: 2,000 each is not there. Bob alone lacks 1,000 where it rises."""
    found = stress(halves(tmp_path))
    assert found.scenarios > 2
    assert found.accounts == 4
    assert {name: {who: float(x) for who, x in by.items()} for name, by in found.losses.items()} == {
        FALLS: {"alice": pytest.approx(2_000), "carol": pytest.approx(2_000)}
    }


def test_coins_fall_with_their_market_and_dollars_do_not(tmp_path: Path) -> None:
    """A tenth of a coin is worth 3,000 after the fall: alice lacks nothing more."""
    scene = halves(tmp_path)
    scene.deposit("alice", "0.1", "BTC")
    assert list(stress(scene).losses[FALLS]) == ["carol"]


def test_pools_of_an_account_default_apart(tmp_path: Path) -> None:
    scene = halves(tmp_path)
    scene.deposit("alice/hedge", "100000")
    assert float(stress(scene).losses[FALLS]["alice"]) == pytest.approx(2_000)


def test_a_market_in_which_nobody_defaults_covers_nothing(tmp_path: Path) -> None:
    scene = halves(tmp_path)
    for owner in ("alice", "bob", "carol"):
        scene.deposit(owner, "100000")
    assert stress(scene).losses == {}


def test_a_house_without_accounts_lacks_nothing() -> None:
    found = stress(Scene("reference"))
    assert (found.accounts, found.losses) == (0, {})


@pytest.mark.parametrize("stressed", [False, True])
def test_the_fund_keeps_what_it_lacks_of_its_target(tmp_path: Path, stressed: bool) -> None:
    """Before a stress nothing is known to lack; after it the fund takes its inflow until it has 4,000."""
    scene = halves(tmp_path)
    scene.withdraw("alice", "16000")
    if stressed:
        assert sum(float(x) for x in stress(scene).losses[FALLS].values()) == pytest.approx(20_000)
    kept = moved(scene.btc("54000"), "liquidation: inflow").get(("fund", WALLET, "USDC"), 0)
    assert (kept > 0) == stressed
    scene.replays()


def test_the_last_stress_stands_in_saved_states_and_replays(tmp_path: Path) -> None:
    scene = halves(tmp_path)
    stress(scene)
    scene.tick(60)
    later = stress(scene)
    assert later.as_of == scene.state.as_of
    assert [section for section, _ in scene.state.documents].count(Section.STRESS) == 1
    assert from_bytes(to_bytes(scene.state)).configuration.stress == later
    scene.replays()


def test_a_stress_moves_nobody(tmp_path: Path) -> None:
    scene = halves(tmp_path)
    before = {owner: dict(held) for owner, held in scene.state.balances.items()}
    assert causes(scene.send(c.StressAll)) == []
    assert {owner: dict(held) for owner, held in scene.state.balances.items()} == before


def test_nobody_sets_a_stress_up_by_hand(tmp_path: Path) -> None:
    scene = halves(tmp_path)
    made = stress(scene)
    assert scene.desk.configure(Section.STRESS, made).reason == R.MALFORMED_INPUT


def test_a_rulebook_without_scenarios_and_an_account_without_a_price_are_refused(tmp_path: Path) -> None:
    plain = opened("dydx-v4")
    assert refused(plain.send(c.StressAll)).reason == R.OUT_OF_SCOPE
    scene = halves(tmp_path)
    scene.configure(Section.ASSETS, {"PEPE": Asset(digits=0)})
    scene.send(c.Deposit, owner="dave", asset="PEPE", amount=1)
    refusal = refused(scene.send(c.StressAll))
    assert refusal.reason == R.UNKNOWN_ASSET
    assert "dave" in refusal.expected
