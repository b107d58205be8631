"""Every document with steps, end to end through the machine: fallen a little, far, and beyond all equity."""

from __future__ import annotations

import pytest

from crossmargin.clearing import commands as c
from crossmargin.clearing.events import Asked, Stage
from crossmargin.clearing.procedure import Outside
from tests.clearing.scene import Scene, asked, stages

PLACES = {"binance-portfolio": ("BTCUSDT", "USDT"), "bybit-unified": ("BTCUSDT", "USDT")}
TRADING = [
    "binance-portfolio",
    "bybit-portfolio",
    "bybit-unified",
    "deribit-portfolio",
    "derive-portfolio",
    "derive-portfolio-1",
    "drift-v2",
    "dydx-v4",
    "hyperliquid-cross",
    "mango-v4",
    "okx-portfolio",
    "reference",
    "synthetix-perps",
    "vega",
]
FIGURES = {"BTC-PERP": {"skew": "0"}}
DEPOSITS = {"deribit-portfolio": 12_000, "derive-portfolio-1": 17_000}
FUND = 3_000


def opened(rulebook: str, outside: Outside | None = None) -> Scene:
    """Alice is long one BTC from 60,000 on little, bob short against her; the fund and the treasury hold something."""
    symbol, asset = PLACES.get(rulebook, ("BTC-PERP", "USDC"))
    scene = Scene(rulebook, outside or Outside(taker="book"), figures=FIGURES)
    for owner, amount in (
        ("alice", DEPOSITS.get(rulebook, 10_000)),
        ("bob", 90_000),
        ("carol", 60_000),
        ("fund", FUND),
        ("treasury", 1_000),
    ):
        scene.deposit(owner, str(amount), asset)
    scene.trade("alice", "bob", symbol, 1000, "60000")
    assert scene.held("alice", symbol) == 1000
    return scene


def falls(scene: Scene, price: int, ticks: int = 20, seconds: float = 100.0) -> None:
    scene.btc(str(price))
    for _ in range(ticks):
        scene.tick(seconds)


def over(scene: Scene) -> bool:
    return not scene.state.cases


@pytest.mark.parametrize("price", [57_000, 52_000, 50_100, 49_500, 45_000, 20_000])
@pytest.mark.parametrize("rulebook", TRADING)
def test_a_market_that_takes_all_ends_every_case(rulebook: str, price: int) -> None:
    scene = opened(rulebook)
    falls(scene, price)
    assert over(scene), scene.state.cases
    deposit = DEPOSITS.get(rulebook, 10_000)
    began = [record.event for record in scene.records if isinstance(record.event, Asked)]
    if 60_000 - price > deposit:
        assert "begin" in [event.what for event in began]
        assert scene.held("alice", PLACES.get(rulebook, ("BTC-PERP",))[0]) == 0
    scene.replays()


@pytest.mark.parametrize("price", [52_000, 45_000])
@pytest.mark.parametrize("rulebook", TRADING)
def test_a_house_that_stops_in_the_middle_of_a_case_goes_on_as_if_it_had_not(rulebook: str, price: int) -> None:
    """The case's memory is in the journal: whoever opens it goes on with the same events."""
    plain, broken = opened(rulebook, Outside()), opened(rulebook, Outside())
    for scene in (plain, broken):
        scene.btc(str(price))
    for _ in range(12):
        broken.restart()
        assert answered(plain) == answered(broken)
        assert plain.tick(40) == broken.tick(40)
    assert plain.desk.house.head == broken.desk.house.head


def answered(scene: Scene) -> list[object]:
    """Answer the orders that are out at the mark, and bid for what is offered."""
    out: list[object] = []
    for name, case in list(scene.state.cases.items()):
        for order in waiting(scene, name):
            quantity, symbol = int(order.limits["quantity"]), order.limits["instrument"]
            sides = ("carol", "alice") if quantity < 0 else ("alice", "carol")
            if case.pool.startswith("network"):
                sides = ("carol", "network") if quantity < 0 else ("network", "carol")
            out += scene.trade(*sides, symbol, abs(quantity), scene.marks[symbol], case=name)
        kept = scene.state.cases.get(name)
        if kept is not None and kept.memory.get("offer"):
            sealed = scene.rulebook == "reference"  # one pays what one bids there, where nobody else does
            limit = "2000" if sealed else "1000000" if "auction" in kept.memory["offer"] else worst(scene)
            fields = {"case": name, "bidder": "carol", "share": "0.5", "limit": limit, "step": kept.step}
            out += scene.send(c.Bid, **fields)
    return out


def worst(scene: Scene) -> str:
    return "1000000" if scene.held("alice") > 0 else "0"


def waiting(scene: Scene, case: str) -> list[Asked]:
    """The orders of a case that are still out: asked for after the last thing that became of one."""
    told = [r.event for r in scene.records if isinstance(r.event, Asked) and r.event.case == case]
    out: list[Asked] = []
    for event in told:
        out = [*out, event] if event.what == "order" else [] if event.what in {"filled", "ended"} else out
    return out


@pytest.mark.parametrize("price", [52_000, 49_500, 45_000])
@pytest.mark.parametrize("rulebook", TRADING)
def test_answers_from_outside_end_every_case(rulebook: str, price: int) -> None:
    scene = opened(rulebook, Outside())
    scene.btc(str(price))
    for _ in range(40):
        answered(scene)
        scene.tick(70)
    assert over(scene) or scene.held("alice") == 0, (scene.state.cases, scene.records[-1])
    scene.replays()


def test_no_answer_and_no_equity_is_a_loss() -> None:
    """Deribit sells at any equity: where nobody buys, and nothing is left, the waterfall takes the position."""
    scene = opened("deribit-portfolio", Outside())
    events = scene.btc("45000")
    assert asked(events) == ["begin", "cancel", "order"]
    assert asked(scene.tick(5)) == ["ended", "order"]  # no hedge: it is closed then
    assert stages(scene.tick(5)) == ["bankrupt", "closed"]
    assert scene.held("fund") == 1000
    assert scene.stage("alice#USDC") == Stage.CLOSED
