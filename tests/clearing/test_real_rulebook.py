"""End to end under real rulebooks: the ledger's accounts are judged by the engine itself, with its own figures."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from crossmargin import Account, AssetQuote, Listing, Position, Snapshot, assess, load_rulebook
from crossmargin.clearing import Figures, bridge, rules_of
from crossmargin.clearing import commands as c
from crossmargin.clearing.events import Posted
from crossmargin.clearing.ledger import WALLET
from crossmargin.clearing.rules import middle_quotes
from crossmargin.clearing.scales import to_units
from crossmargin.errors import FailureReason as R
from tests.clearing import venue
from tests.clearing.venue import Desk, open_house

MARKS = {"BTC-PERP": "60000.5", "BTC-USD": "60000.5", "ETH-PERP": "2000.5", "BTC-MAR-60000-C": "2500.0"}
FIGURES = {"BTC-MAR-60000-C": {"mark_iv": "0.6", "index_price": "60000", "forward_price": "60200"}}


def quoted(**changes: str) -> dict[str, c.Quote]:
    prices = {"BTC": "60000", "ETH": "2000", "USDC": "0.9998", **MARKS, **changes}
    digits = {**dict.fromkeys(("BTC", "ETH"), 2), "USDC": 8, **dict.fromkeys(MARKS, 1)}
    return {
        name: c.Quote(price=to_units(text, digits[name]), figures=FIGURES.get(name, {}))
        for name, text in prices.items()
    }


def opened(rulebook: str) -> Desk:
    desk = open_house(rules_of(load_rulebook(rulebook), guard=middle_quotes))
    desk.send(c.Prices, quotes={"feed": quoted()})
    for owner in ("alice", "bob"):
        desk.send(c.Deposit, owner=owner, asset="USDC", amount=to_units("20000", 6))
        desk.send(c.Deposit, owner=owner, asset="BTC", amount=to_units("0.5", 8))
    return desk


def figures_of(desk: Desk, owner: str = "alice") -> tuple[Figures, ...]:
    state = desk.house.state
    found = desk.house.rules.assess(state, {owner: state.balances[owner]})[owner]
    assert isinstance(found, tuple), found
    return found


def trade(desk: Desk, symbol: str, quantity: int, price: int, **fields: Any) -> Any:  # noqa: ANN401
    sides = {"buyer": "alice", "seller": "bob"} if quantity > 0 else {"buyer": "bob", "seller": "alice"}
    return desk.send(c.Trade, **{**sides, **fields}, instrument=symbol, quantity=abs(quantity), price=price)


def same_account_by_hand() -> tuple[Account, Snapshot]:
    """What alice holds after the trades below, written as a user of `assess` would."""
    as_of = venue.START
    listings = {
        one.instrument.symbol: Listing(
            **msgspec.structs.asdict(one.instrument), mark_price=60000.5, index_price=60000.5
        )
        for one in (venue.LINEAR, venue.INVERSE)
    }
    assets = {"USD": 1.0, "USDC": 0.9998, "BTC": 60000.0, "ETH": 2000.0}
    market = Snapshot(
        as_of=as_of,
        reporting_asset="USD",
        assets={name: AssetQuote(price=price) for name, price in assets.items()},
        listings=listings,
    )
    account = Account(
        id="alice",
        balances={"USDC": Decimal("19998.5"), "BTC": Decimal("0.5")},
        positions=(
            Position(instrument="BTC-PERP", quantity=Decimal("0.4"), entry_price=Decimal(59_000)),
            Position(instrument="BTC-USD", quantity=Decimal(-500), entry_price=Decimal(61_000)),
        ),
    )
    return account, market


@pytest.mark.parametrize("rulebook", ["reference", "deribit-standard"])
def test_the_ledgers_account_has_the_figures_of_the_same_account_by_hand(rulebook: str) -> None:
    desk = opened(rulebook)
    trade(desk, "BTC-PERP", 400, 590_000, buyer_fee=1_500_000)
    trade(desk, "BTC-USD", -500, 610_000)
    made = figures_of(desk)
    report = assess(*same_account_by_hand(), load_rulebook(rulebook), withdrawable=False)
    wanted = {"alice" if pool.pool == "cross" else f"alice#{pool.pool}": pool for pool in report.pools}
    assert {figures.pool for figures in made} == set(wanted)
    for figures in made:
        pool = wanted[figures.pool]
        got = (figures.equity, figures.initial_headroom, figures.maintenance_headroom, figures.coverage_ratio)
        by_hand = (pool.equity, pool.available_margin, pool.maintenance_headroom, pool.coverage_ratio)
        assert got == pytest.approx(by_hand, rel=1e-7)  # the inverse basis is rounded up by a part of a satoshi


@pytest.mark.parametrize("rulebook", ["reference", "deribit-standard"])
def test_the_engine_bounds_trades_and_withdrawals(rulebook: str) -> None:
    desk = opened(rulebook)
    assert isinstance(trade(desk, "BTC-PERP", 400, 600_000), Posted)
    assert trade(desk, "BTC-PERP", 20_000, 600_000).reason == R.INSUFFICIENT_MARGIN
    state = desk.house.state
    figures = figures_of(desk)[0]
    assert figures.initial_headroom > 0
    too_much = int(figures.initial_headroom * 1e6) + 40_000_000_000
    assert desk.send(c.Withdraw, owner="alice", asset="USDC", amount=too_much).reason == R.INSUFFICIENT_MARGIN
    assert isinstance(desk.send(c.Withdraw, owner="alice", asset="USDC", amount=1_000_000), Posted)
    dollars = state.balances["alice"][WALLET, "USDC"]
    assert dollars == to_units("19999", 6)


def test_a_short_account_may_reduce_and_not_increase() -> None:
    desk = opened("reference")
    trade(desk, "BTC-PERP", 2_500, 600_000)
    desk.send(c.Prices, quotes={"feed": quoted(**{"BTC-PERP": "50000.0", "BTC": "50000"})})
    assert figures_of(desk)[0].initial_headroom < 0
    assert trade(desk, "BTC-PERP", 100, 500_000).reason == R.INSUFFICIENT_MARGIN
    assert isinstance(trade(desk, "BTC-PERP", -100, 500_000), Posted)


def test_an_option_is_paid_for_and_counts_at_its_mark() -> None:
    desk = opened("reference")
    trade(desk, "BTC-MAR-60000-C", 100, 25_000)
    state = desk.house.state
    account = bridge.account_with(state, "alice", state.balances["alice"])
    assert account.balances["USDC"] == Decimal(19_750)
    assert account.positions == (Position(instrument="BTC-MAR-60000-C", quantity=Decimal("0.1")),)


def test_open_orders_reserve_as_the_rulebook_says() -> None:
    desk = opened("reference")
    order = {"owner": "alice", "instrument": "BTC-PERP", "limit_price": 600_000}
    assert isinstance(desk.send(c.PlaceOrder, **order, quantity=400), Posted)
    assert desk.send(c.PlaceOrder, **order, quantity=20_000).reason == R.INSUFFICIENT_MARGIN


def test_funding_and_interest_that_ran_up_are_accrued() -> None:
    desk = opened("reference")
    trade(desk, "BTC-PERP", 400, 600_000)
    desk.send(c.Accrue, index="BTC-PERP", rate="0.0001", mark=600_000)
    state = desk.house.state
    state.indices["lend:USDC"] = 10**9  # 0.001; no debt stands here that would pay it
    account = bridge.account_with(state, "alice", state.balances["alice"])
    assert account.positions[0].accrued_funding == Decimal("-2.4")
    assert account.accrued == {"USDC": Decimal(20)}


def test_a_market_without_a_mark_refuses() -> None:
    desk = open_house(rules_of(load_rulebook("reference")))
    desk.send(c.Deposit, owner="alice", asset="USDC", amount=10**12)
    assert trade(desk, "BTC-PERP", 1, 600_000).reason == R.UNKNOWN_INSTRUMENT
    assert desk.send(c.Withdraw, owner="alice", asset="USDC", amount=1).reason == R.UNKNOWN_ASSET


def test_who_cannot_be_assessed_is_told_with_the_reason() -> None:
    """Quotes that grew too old: nothing follows for these accounts, and the house says of whom and why."""
    desk = opened("deribit-portfolio")
    trade(desk, "BTC-PERP", 10, 600_000)
    assert desk.house.unassessed() == {}
    observed = {name: msgspec.structs.replace(one, observed_at=desk.as_of) for name, one in quoted().items()}
    desk.send(c.Prices, quotes={"feed": observed})
    desk.as_of += timedelta(hours=2)
    desk.send(c.Tick)
    found = desk.house.unassessed()
    assert set(found) == {"alice", "bob"}
    assert {failure.reason for failure in found.values()} == {R.STALE_QUOTE}


def test_a_basis_that_no_price_gives_is_accrued_at_the_mark() -> None:
    desk = opened("reference")
    state = desk.house.state
    held = {
        ("held", "BTC-USD"): -1,
        ("basis:BTC-USD", "BTC"): 5,
        ("held", "BTC-PERP"): 2,
        ("basis:BTC-PERP", "USDC"): 7,
    }
    inverse, linear = bridge.account_with(state, "carol", held).positions
    assert inverse.entry_price == linear.entry_price == Decimal("60000.5")
    assert inverse.accrued_funding == Decimal("0.00016671")  # 10 dollars at the mark, and the 5
    assert linear.accrued_funding == Decimal("120.001007")
