"""Who closed what, who paid what, and what margin calls cost: read off the records alone."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from crossmargin.clearing import commands as c
from crossmargin.clearing.events import Posted, Stage, Staged
from crossmargin.clearing.procedure import Outside
from crossmargin.clearing.views import calls, cases, costs, paid
from tests.clearing.scene import ASSETS, Scene
from tests.clearing.test_procedures_golden import layer, layered
from tests.clearing.test_procedures_scenarios import TRADING, opened

DIGITS = {name: asset.digits for name, asset in ASSETS.items()}


def test_a_case_has_its_steps_with_amounts_and_prices() -> None:
    scene = opened("bybit-portfolio")
    scene.btc("52000")
    scene.tick(10)
    scene.tick(10)
    ((name, case),) = cases(scene.records).items()
    assert name.startswith("alice at ")
    assert (case.pool, case.ending) == ("alice", Stage.HEALTHY)
    assert [step.what for step in case.steps] == ["reduce"] * 3
    assert case.steps[0].limits == {"leg": "BTC-PERP", "amount": "1/4", "to": "book"}
    assert case.ended is not None
    assert case.ended - case.began == case.steps[-1].at - case.steps[0].at


def test_layers_and_the_rest_are_the_loss(tmp_path: Path) -> None:
    scene = layer(tmp_path, layered("skin", "fund", "halt"), '[fund]\nsource = "EXAMPLE"\nskin = "0.1 * loss"\n')
    scene.btc("45000")
    (found,) = paid(scene.records, DIGITS).values()
    assert found.loss == {"USDC": 5_000 * 10**6}
    assert found.layers == {"skin": {"treasury": {"USDC": 500 * 10**6}}, "fund": {"fund": {"USDC": 3_000 * 10**6}}}
    assert found.unpaid == {"USDC": 1_500 * 10**6}


@pytest.mark.parametrize("price", [47_000, 45_000, 20_000])
@pytest.mark.parametrize("rulebook", TRADING)
def test_every_loss_is_paid_or_told(rulebook: str, price: int) -> None:
    scene = opened(rulebook)
    scene.btc(str(price))
    for _ in range(5):
        scene.tick(100)
    for payments in paid(scene.records, DIGITS).values():
        assert all(amount > 0 for amount in payments.loss.values())


def called() -> Scene:
    scene = opened("reference", Outside(taker="book"))
    scene.btc("57500")
    assert scene.stage() == "called"
    return scene


def test_a_call_that_is_cured_by_a_deposit() -> None:
    scene = called()
    scene.desk.as_of += timedelta(seconds=599)
    scene.deposit("alice", "5000")
    (call,) = calls(scene.records)
    assert (call.ending, call.seconds, call.cured_by, call.commands) == ("cured", 600.0, {"deposit": 1}, 1)
    assert set(call.cure) >= {"deposit USDC", "reduce BTC-PERP"}
    assert call.deadline == call.at + timedelta(hours=4)


def test_a_call_that_is_cured_by_a_trade_has_its_fees() -> None:
    scene = called()
    scene.trade("bob", "alice", "BTC-PERP", 5000, "57500")  # too much: it would open a short that nothing backs
    fields = {"instrument": "BTC-PERP", "quantity": 400, "price": 5_750_000, "seller_fee": 7_000_000}
    scene.send(c.Trade, buyer="bob", seller="alice", **fields)
    (call,) = calls(scene.records)
    assert (call.ending, call.refused, call.fees) == ("cured", 1, {"USDC": 7_000_000})
    found = costs([call])
    assert (found["calls"], found["endings"], found["commands"]) == (1, {"cured": 1}, 1)


def test_a_call_whose_deadline_passes_leads_to_liquidation_until_it_is_cured() -> None:
    scene = called()
    scene.deposit("alice", "5")
    scene.tick(4 * 3600 - 3)
    assert scene.stage() == "called"
    events = scene.tick(0)
    assert any(isinstance(event, Posted) and event.cause.startswith("liquidation") for event in events)
    (call,) = calls(scene.records)
    assert (call.ending, call.seconds, call.cured_by) == ("deadline passed", 4 * 3600.0, {})
    assert scene.stage() in {"healthy", "warned"}


def test_a_call_that_turns_into_reduce_only_is_not_cured() -> None:
    scene = called()
    last = scene.records[-1]
    worse = Staged("alice", Stage.CALLED, Stage.REDUCE_ONLY, {"when": "coverage_ratio < 1.1"})
    (call,) = calls([*scene.records, msgspec.structs.replace(last, number=last.number + 1, event=worse)])
    assert (call.ending, call.cured_by) == ("reduce only", {})


def test_a_call_that_comes_too_late_is_liquidated() -> None:
    scene = called()
    scene.btc("52000")
    assert calls(scene.records)[0].ending == "liquidated"
