"""Amounts worked out by hand: each kind of step, each layer of the waterfall, each rule of deleveraging."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from crossmargin.clearing import commands as c
from crossmargin.clearing.events import Posted, Stage, Staged
from crossmargin.clearing.ledger import WALLET
from crossmargin.clearing.procedure import Outside
from tests.clearing.scene import Scene, asked, causes, stages
from tests.clearing.test_procedures_scenarios import opened

PLAIN = """
rulebook = { name = "plain", effective_from = 2026-02-04, extends = "hyperliquid-cross@2026-02-04" }
sources.EXAMPLE = { title = "a test's own", status = "inferred" }
[liquidation]
source = "EXAMPLE"
steps = [{ name = "cancel", do = "cancel" }]
"""


def document(tmp_path: Path, tail: str) -> str:
    path = tmp_path / "plain.toml"
    path.write_text(PLAIN + tail)
    return str(path)


def moved(events: list[Any], cause: str) -> dict[tuple[str, str, str], int]:
    """What postings of a cause moved, by owner, purse and asset."""
    found: dict[tuple[str, str, str], int] = {}
    for event in events:
        if isinstance(event, Posted) and event.cause == cause:
            for owner, purse, asset, amount in event.rows:
                found[owner, purse, asset] = found.get((owner, purse, asset), 0) + amount
    return found


def test_close_sells_a_quarter_at_the_mark_and_realises_its_loss() -> None:
    """A quarter of one BTC entered at 60,000 and sold at 52,000 loses 2,000."""
    rows = moved(opened("bybit-portfolio").btc("52000"), "liquidation: reduce")
    assert rows["alice", "held", "BTC-PERP"] == -250
    assert rows["alice", WALLET, "USDC"] == -2_000 * 10**6
    assert rows["book", "basis:BTC-PERP", "USDC"] == -13_000 * 10**6


def test_a_cadence_is_kept_to_the_second() -> None:
    scene = opened("bybit-portfolio")
    scene.btc("52000")
    at = scene.desk.as_of
    posted = [r for r in scene.records if isinstance(r.event, Posted) and r.event.cause == "liquidation: reduce"]
    assert [r.as_of for r in posted] == [at]
    assert moved(scene.tick(0), "liquidation: reduce")["alice", "held", "BTC-PERP"] == -250  # a tick is a second later


def test_hedge_asks_for_a_tenth_of_the_delta() -> None:
    scene = opened("deribit-portfolio", Outside())
    orders = [event.limits for event in scene.btc("53000") if getattr(event, "what", "") == "order"]
    assert orders == [{"step": "hedge", "instrument": "BTC-PERP", "quantity": "-100"}]


def test_share_of_a_derive_account_by_the_published_formulas() -> None:
    """Equity 6,000, maintenance 6,692: the fee is a tenth of what is at stake, the price 0.95 of what is left."""
    scene = opened("derive-portfolio")
    events = scene.btc("56000")
    net, equity = -692.0, 6_000.0
    buffer = net + 0.15 * (net - equity)
    fee = 0.1 * equity * buffer / (buffer - equity)
    assert moved(events, "liquidation: start")["fund", WALLET, "USDC"] == pytest.approx(fee * 1e6, abs=1)
    net, equity = net - fee, equity - fee
    buffer = net + 0.15 * (net - equity)
    share = buffer / (buffer - equity * 0.95)
    rows = moved(events, "liquidation: auction")
    assert rows["alice", "held", "BTC-PERP"] == -int(share * 1000 + 1)  # it stands at a loss: whole lots, up
    wallet = (10_000 - fee) * share - equity * 0.95 * share
    assert rows["book", WALLET, "USDC"] == pytest.approx(wallet * 1e6, abs=2)


@pytest.mark.parametrize(
    ("rulebook", "held", "bonuses"), [("aave-v3", "WETH", (1.05,)), ("aave-v4", "LINK", (1.02, 1.06))]
)
def test_exchange_repays_a_debt_for_collateral(rulebook: str, held: str, bonuses: tuple[float, ...]) -> None:
    """100 coins of 2,000 against 120,000 USDC; v3 repays half of the debt where the health factor lies above 0.95."""
    scene = Scene(rulebook)
    scene.deposit("alice", "100", held)
    assert isinstance(scene.withdraw("alice", "120000")[0], Posted)
    fallen = range(1_990, 1_000, -10)
    price = next(price for price in fallen if "liquidating" in stages(scene.mark(**{held: str(price)})))
    posts = [r.event for r in scene.records if isinstance(r.event, Posted) and r.event.cause == "liquidation: repay"]
    first = {(owner, asset): amount for owner, _, asset, amount in posts[0].rows}
    repaid, given = first["alice", "USDC"], -first["alice", held]
    assert repaid == -first["book", "USDC"]
    assert given == first["book", held] + first["treasury", held]
    assert min(bonuses) - 1e-9 <= given / 1e12 * price / (repaid / 1e6) <= max(bonuses) + 1e-9
    if rulebook == "aave-v3":
        assert repaid == 60_000 * 10**6
        assert first["treasury", held] == pytest.approx(0.1 * 60_000 * 0.05 / price * 1e12, abs=1)
    assert scene.stage() == "healthy"


def test_settle_pays_a_loss_out_of_the_wallet() -> None:
    """Mango: what is closed keeps its loss of 15,000 until it is settled, with the 10,000 that are there."""
    scene = opened("mango-v4")
    events = scene.btc("45000")
    assert moved(events, "liquidation: reduce to worthless")["alice", "basis:BTC-PERP", "USDC"] == 45_000 * 10**6
    assert ("alice", WALLET, "USDC") not in moved(events, "liquidation: reduce to worthless")
    settled = moved(events, "liquidation: settle loss")
    assert settled["alice", WALLET, "USDC"] == -10_000 * 10**6
    assert settled["alice", "basis:BTC-PERP", "USDC"] == 10_000 * 10**6


def test_assume_hands_the_whole_account_to_the_vault() -> None:
    scene = opened("hyperliquid-cross")
    rows = moved(scene.btc("50300"), "liquidation: backstop")
    assert rows["vault", WALLET, "USDC"] == 10_000 * 10**6
    assert rows["vault", "held", "BTC-PERP"] == 1000
    assert rows["vault", "basis:BTC-PERP", "USDC"] == -60_000 * 10**6
    assert scene.state.balances["alice"] == {}


def test_a_vault_takes_no_more_than_it_can_bear() -> None:
    """At 45,000 the account brings 10,000 and a loss of 15,000."""
    poor, rich = opened("hyperliquid-cross"), opened("hyperliquid-cross")
    poor.deposit("vault", "4999")
    rich.deposit("vault", "5000")
    assert "liquidation: backstop" not in causes(poor.btc("45000"))
    assert "liquidation: backstop" in causes(rich.btc("45000"))
    assert (poor.held("vault"), rich.held("vault")) == (0, 1000)


def test_cancel_frees_what_orders_reserve() -> None:
    scene = opened("bybit-portfolio")
    order = {"owner": "alice", "instrument": "BTC-PERP", "quantity": 10, "limit_price": 5_000_000}
    scene.send(c.PlaceOrder, **order)
    events = scene.btc("52000")
    assert moved(events, "liquidation: cancel")["alice", "reserved", "BTC-PERP@5000000"] == -10
    assert causes(events)[0] == "liquidation: cancel"


def shorts(scene: Scene) -> Scene:
    """Alice long two BTC against bob and carol, one each, who bring 30,000 and 90,000."""
    for owner, amount in (("alice", "20000"), ("bob", "30000"), ("carol", "90000")):
        scene.deposit(owner, amount)
    for seller in ("bob", "carol"):
        scene.trade("alice", seller, "BTC-PERP", 1000, "60000")
    return scene


ADL = '[[waterfall]]\npay = "adl"\nprice = "bankruptcy_price"\n'


@pytest.mark.parametrize(
    ("rule", "closed"),
    [
        ('rule = "queue"\nrank = "payer_equity"', (0, 1000)),
        ('rule = "queue"\nrank = "payer_leverage"', (1000, 0)),
        ('rule = "pro_rata"\nweight = "notional"', (500, 500)),
    ],
)
def test_deleveraging_by_rule_at_the_price_of_bankruptcy(tmp_path: Path, rule: str, closed: tuple[int, int]) -> None:
    """One BTC of two is left of alice; its price of bankruptcy is where she has nothing, and owes nothing."""
    scene = shorts(Scene(document(tmp_path, ADL + rule)))
    scene.trade("dave", "alice", "BTC-PERP", 1000, "60000") if scene.deposit("dave", "90000") else None
    rows = moved(scene.btc("38000"), "waterfall: adl")
    assert (rows.get(("bob", "held", "BTC-PERP"), 0), rows.get(("carol", "held", "BTC-PERP"), 0)) == closed
    assert rows["alice", WALLET, "USDC"] == -20_000 * 10**6  # 60,000 less 20,000: closed at 40,000, not at 38,000
    assert scene.state.balances["alice"] == {}
    assert scene.stage() == Stage.CLOSED


def test_deleveraging_fills_to_one_leverage(tmp_path: Path) -> None:
    """Equities of 52,000 and 112,000, one BTC each at 38,000: the common leverage takes more of the smaller."""
    scene = shorts(Scene(document(tmp_path, ADL + 'rule = "water_fill"\nweight = "notional"')))
    scene.deposit("dave", "90000")
    scene.trade("dave", "alice", "BTC-PERP", 1000, "60000")
    rows = moved(scene.btc("38000"), "waterfall: adl")
    equities = {"bob": 52_000, "carol": 112_000}
    level = (2 * 38_000 - 38_000) / sum(equities.values())
    for owner, equity in equities.items():
        assert rows[owner, "held", "BTC-PERP"] == pytest.approx(1000 - level * equity * 1000 / 38_000, abs=1)


def layer(tmp_path: Path, waterfall: str, fund: str = "") -> Scene:
    """Alice owes 5,000 after the market fell to 45,000; the fund has 3,000, the treasury 1,000, bob and carol more."""
    scene = Scene(document(tmp_path, waterfall + fund))
    for owner, amount in (("alice", 10_000), ("bob", 90_000), ("carol", 30_000), ("fund", 3_000), ("treasury", 1_000)):
        scene.deposit(owner, str(amount))
    scene.trade("alice", "bob", "BTC-PERP", 1000, "60000")
    return scene


def layered(*words: str, more: str = "") -> str:
    return "".join(f'[[waterfall]]\npay = "{word}"\n{more if word == words[-1] else ""}' for word in words)


def paid(scene: Scene) -> dict[str, dict[str, int]]:
    """What each layer's payers paid, in whole dollars."""
    found: dict[str, dict[str, int]] = {}
    for event in scene.btc("45000"):
        if isinstance(event, Posted) and event.cause.startswith("waterfall: ") and "taken" not in event.cause:
            word = event.cause.removeprefix("waterfall: ")
            for owner, _, _, amount in event.rows:
                if amount < 0:
                    found.setdefault(word, {})[owner] = -amount // 10**6
    return found


def test_skin_then_fund_then_gains(tmp_path: Path) -> None:
    text = layered("skin", "fund", "gains", more='rule = "pro_rata"\nweight = "profit"\ncap = "profit"\n')
    scene = layer(tmp_path, text, '[fund]\nsource = "EXAMPLE"\nskin = "0.1 * loss"\n')
    assert paid(scene) == {"skin": {"treasury": 500}, "fund": {"fund": 3_000}, "gains": {"bob": 1_500}}
    assert scene.held("fund") == 1000  # at the mark: what it took over is no loss of its own
    assert scene.state.balances["fund"]["basis:BTC-PERP", "USDC"] == -45_000 * 10**6


def test_a_fund_keeps_what_the_document_says(tmp_path: Path) -> None:
    scene = layer(tmp_path, '[[waterfall]]\npay = "fund"\nkeep = "0.25 * fund"\n' + layered("halt"))
    assert paid(scene) == {"fund": {"fund": 2_250}}
    assert scene.wallet("alice") == -2_750 * 10**6


def test_deposits_pay_pro_rata(tmp_path: Path) -> None:
    scene = layer(tmp_path, layered("fund", "deposits", more='rule = "pro_rata"\nweight = "deposited"\n'))
    assert paid(scene) == {"fund": {"fund": 3_000}, "deposits": {"bob": 1_500, "carol": 500}}


def test_open_interest_pays(tmp_path: Path) -> None:
    text = layered("open_interest", more='rule = "pro_rata"\nweight = "open_interest_value"\n')
    assert paid(layer(tmp_path, text)) == {"open_interest": {"bob": 5_000}}


def test_equity_pays_in_rank(tmp_path: Path) -> None:
    text = layered("equity", more='rule = "queue"\nrank = "0 - payer_equity"\ncap = "0.1 * payer_equity"\n')
    assert paid(layer(tmp_path, text)) == {"equity": {"carol": 3_000, "bob": 2_000}}


def test_a_deficit_is_the_treasurys(tmp_path: Path) -> None:
    scene = layer(tmp_path, layered("fund", "deficit"))
    assert paid(scene) == {"fund": {"fund": 3_000}, "deficit": {"treasury": 2_000}}
    assert scene.wallet("treasury") == -1_000 * 10**6
    assert scene.state.balances["alice"] == {}


def test_what_nobody_pays_halts_new_risk_and_is_told(tmp_path: Path) -> None:
    scene = layer(tmp_path, layered("fund", "halt"))
    events = scene.btc("45000")
    assert asked(events)[-1] == "unpaid"
    closed = next(event for event in events if isinstance(event, Staged) and event.stage == Stage.CLOSED)
    assert closed.cause == {"unpaid USDC": "2000.000000"}
    assert scene.state.configuration.halts.openings == ("BTC", "ETH")
    assert scene.trade("carol", "bob", "ETH-PERP", 10, "2000")[0].reason == "halted"


def test_collateral_is_sold_before_anybody_pays(tmp_path: Path) -> None:
    scene = layer(tmp_path, layered("fund"), '[fund]\nsource = "EXAMPLE"\nassets = { ETH = 0.20 }\n')
    scene.deposit("alice", "10", "ETH")
    rows = moved(scene.btc("20000"), "waterfall: collateral")
    assert rows["alice", WALLET, "ETH"] == -10 * 10**12
    assert rows["alice", WALLET, "USDC"] == 16_000 * 10**6  # 10 x 2,000 less a fifth


def test_what_a_haircut_leaves_nothing_of_is_not_given_away(tmp_path: Path) -> None:
    scene = layer(tmp_path, layered("fund"), '[fund]\nsource = "EXAMPLE"\nassets = { ETH = 1.0 }\n')
    scene.deposit("alice", "10", "ETH")
    scene.deposit("fund", "5", "ETH")
    events = scene.btc("20000")
    assert moved(events, "waterfall: collateral") == {}
    assert moved(events, "waterfall: fund")["fund", WALLET, "USDC"] == -3_000 * 10**6
    assert scene.state.balances["alice"] == {(WALLET, "ETH"): 10 * 10**12, (WALLET, "USDC"): -27_000 * 10**6}
    assert scene.wallet("fund", "ETH") == 5 * 10**12


def test_a_liquidation_leaves_its_surplus_to_the_fund() -> None:
    """The reference: what is left above the end of a case, at most a twentieth of maintenance as it began."""
    scene = opened("reference")
    scene.withdraw("fund", "3000")  # it lacks what it should hold
    events = scene.btc("56000")
    left = next(event for event in events if isinstance(event, Staged) and event.before == Stage.LIQUIDATING)
    inflow = moved(events, "liquidation: inflow")["fund", WALLET, "USDC"]
    surplus = float(left.cause["adjusted_equity"]) - 1.1 * float(left.cause["maintenance"])
    assert 0 < inflow <= 0.05 * 6510 * 1e6
    assert surplus >= 0
    assert scene.wallet("fund") == inflow
