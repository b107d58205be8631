"""Random accounts under random prices: whatever happens, the house answers, conserves, and comes to rest."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crossmargin.clearing import commands as c
from crossmargin.clearing.events import LOCKED, Posted, Refused
from crossmargin.clearing.procedure import Outside
from crossmargin.clearing.views import calls, cases, paid
from crossmargin.errors import FailureReason as R
from crossmargin.instruments import OptionType
from tests.clearing.scene import ASSETS, CONTRACTS, Scene
from tests.clearing.test_procedures_scenarios import answered
from tests.clearing.venue import EXPIRY, contract

CALL = contract("BTC-CALL", kind="option", strike=60_000.0, option_type=OptionType.CALL, expiry=EXPIRY, price_digits=2)
OPTION = {"mark_iv": "0.6", "index_price": "60000", "forward_price": "60200"}
FIGURES = {"BTC-CALL": OPTION, "BTC-PERP": {"skew": "0"}, "ETH-PERP": {"skew": "0"}}
RULEBOOKS = ["bybit-portfolio", "deribit-portfolio", "derive-portfolio", "dydx-v4", "hyperliquid-cross", "mango-v4",
             "okx-portfolio", "reference", "vega"]  # fmt: skip
OPTIONS = {"bybit-portfolio", "deribit-portfolio", "okx-portfolio", "reference"}
INVERSE = {"bybit-portfolio", "deribit-portfolio", "okx-portfolio", "reference"}

owners = st.sampled_from(["alice", "alice/hedge", "bob", "carol", "dave"])
deeds = st.one_of(
    st.tuples(st.just("trade"), owners, owners, st.sampled_from(["BTC-PERP", "ETH-PERP", "BTC-COIN", "BTC-CALL"]),
              st.integers(1, 3_000)),
    st.tuples(st.just("deposit"), owners, st.sampled_from(["USDC", "BTC", "ETH"]), st.integers(1, 20_000)),
    st.tuples(st.just("withdraw"), owners, st.sampled_from(["USDC", "BTC"]), st.integers(1, 20_000)),
    st.tuples(st.just("move"), st.sampled_from(["BTC", "ETH"]), st.floats(0.6, 1.6)),
    st.tuples(st.just("accrue"), st.sampled_from(["BTC-PERP", "ETH-PERP"]), st.integers(-500, 500)),
    st.tuples(st.just("tick"), st.sampled_from([0, 5, 60, 20_000])),
    st.tuples(st.just("answer")),
)  # fmt: skip


class Play:
    """One play: deeds done to a scene."""

    def __init__(self, rulebook: str, *, asks: bool) -> None:
        listed = CONTRACTS + ((CALL,) if rulebook in OPTIONS else ())
        outside = Outside() if asks else Outside(taker="book", slippage=0.001)
        self.scene = Scene(rulebook, outside, contracts=listed, figures=FIGURES)
        self.scene.marks["BTC-CALL"] = "2500"
        self.inverse = rulebook in INVERSE
        self.scene.mark()
        for owner, amount in (("alice", "9000"), ("alice/hedge", "4000"), ("bob", "60000"), ("carol", "30000")):
            self.scene.deposit(owner, amount)

    def do(self, deed: tuple[Any, ...]) -> None:
        getattr(self, deed[0])(*deed[1:])

    def trade(self, buyer: str, seller: str, symbol: str, quantity: int) -> None:
        known = {one.instrument.symbol for one in self.scene.contracts}
        if buyer == seller or symbol not in known or (symbol == "BTC-COIN" and not self.inverse):
            return
        while quantity:  # as much as the engine lets them
            (first, *_) = self.scene.trade(buyer, seller, symbol, quantity, self.scene.marks[symbol])
            quantity = quantity // 2 if isinstance(first, Refused) and first.reason == R.INSUFFICIENT_MARGIN else 0

    def deposit(self, owner: str, asset: str, amount: int) -> None:
        scale = ASSETS[asset].digits - (0 if asset == "USDC" else 4)
        self.scene.send(c.Deposit, owner=owner, asset=asset, amount=amount * 10**scale)

    def withdraw(self, owner: str, asset: str, amount: int) -> None:
        scale = ASSETS[asset].digits - (0 if asset == "USDC" else 4)
        self.scene.send(c.Withdraw, owner=owner, asset=asset, amount=amount * 10**scale)

    def move(self, coin: str, factor: float) -> None:
        price = f"{max(float(self.scene.marks[coin]) * factor, 1.0):.1f}"
        if coin == "BTC":
            intrinsic = max(float(price) - 60_000, 0) + 500
            self.scene.mark(BTC=price, BTC_PERP=price, BTCUSDT=price, BTC_COIN=price, BTC_CALL=f"{intrinsic:.1f}")
        else:
            self.scene.mark(ETH=price, ETH_PERP=price, ETHUSDT=price)

    def accrue(self, symbol: str, rate: int) -> None:
        mark = int(float(self.scene.marks[symbol]) * 100)
        self.scene.send(c.Accrue, index=symbol, rate=f"{rate}e-5", mark=mark)

    def tick(self, seconds: int) -> None:
        self.scene.tick(seconds)

    def answer(self) -> None:
        answered(self.scene)


@pytest.mark.parametrize("rulebook", RULEBOOKS)
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.booleans(), st.lists(deeds, min_size=4, max_size=14))
def test_whatever_happens_the_house_comes_to_rest(rulebook: str, asks: bool, done: list[tuple[Any, ...]]) -> None:
    """Each record is checked as it comes; a tick in the same instant finds nothing to do where the market takes all."""
    play = Play(rulebook, asks=asks)
    for deed in done:
        play.do(deed)
    scene = play.scene
    scene.replays()
    digits = {name: asset.digits for name, asset in ASSETS.items()}
    assert set(paid(scene.records, digits)) <= set(cases(scene.records))
    calls(scene.records)
    for owner, units in scene.state.pools.items():
        for stood in units.values():
            assert (stood.case in scene.state.cases) == (stood.stage in LOCKED and stood.stage != "closed"), owner


def test_a_long_chain_of_defaults_ends() -> None:
    """Ten accounts one after another are wiped out by each other's deleveraging; no round is left over."""
    scene = Scene("okx-portfolio")
    for owner in ("alice", "bob", "carol", "dave"):
        scene.deposit(owner, "8000")
    scene.trade("alice", "bob", "BTC-PERP", 500, "60000")
    scene.trade("carol", "dave", "BTC-PERP", 500, "60000")
    for price in (30_000, 90_000, 20_000):
        scene.btc(str(price))
        for _ in range(5):
            scene.tick(5)
    assert scene.state.cases == {}
    assert any(isinstance(r.event, Posted) and r.event.cause == "waterfall: adl" for r in scene.records)
