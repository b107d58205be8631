"""Methodologies of clearing houses and brokers by hand: SPAN 2, TIMS, margin by strategy (SPAN: test_kind_span)."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from crossmargin.account import Account
from crossmargin.margin import MarginReport, assess
from crossmargin.units import years_between
from tests.strategies.books import AS_OF, ASSETS, INDEX, option, perpetual, position, rules, snapshot_of
from tests.twins.kinds import Scenario, gain, worst

if TYPE_CHECKING:
    from crossmargin.market import Listing

SPAN2, TIMS, STRATEGY = "span2@2026-01-20", "tims@2021-11-01", "reg-t@2010-12-02"
BITCOIN = 60_000.0


def dollars(listing: Listing) -> Listing:
    return replace(listing, settlement_asset="USD")


FUTURE = dollars(perpetual("BTC", "USDC", symbol="FUTURE", mark_price=BITCOIN))


def call(strike: float, days: int = 50) -> Listing:
    return dollars(option("BTC", "USDC", days, strike, call=True))


def put(strike: float, days: int = 50) -> Listing:
    return dollars(option("BTC", "USDC", days, strike, call=False))


def held(spec: str, *legs: tuple[Listing, float], **balances: float) -> MarginReport:
    assets = {name: Decimal(str(amount)) for name, amount in balances.items()}
    positions = tuple(position(listing, quantity) for listing, quantity in legs)
    account = Account(id="a", balances=assets, positions=positions)
    snapshot = snapshot_of([listing for listing, _ in legs], assets=ASSETS)
    return assess(account, snapshot, rules(spec), withdrawable=False)


def test_simulation_stress_and_what_it_costs_to_leave() -> None:
    """Worst of three days -6 %, stress -50 %: 0.75 x 3,600 + 0.25 x 30,000, and half a spread of 0.1 %."""
    report = held(SPAN2, (FUTURE, 1))
    assert report.lines["simulated"].initial == pytest.approx(3_600)
    assert report.lines["stressed"].initial == pytest.approx(30_000)
    assert report.maintenance_margin == pytest.approx(2_700 + 7_500 + 60, rel=1e-12)
    assert report.initial_margin == pytest.approx(1.1 * 10_260, rel=1e-12)


def test_concentration_begins_where_a_day_s_market_ends() -> None:
    """3,000 BTC are 180 million, threshold 100: 5 % of 0.8 is 4 % of them; far out it is 25 %, and no more."""
    assert held(SPAN2, (FUTURE, 1_000)).lines["concentration"].initial == 0
    assert held(SPAN2, (FUTURE, -3_000)).lines["concentration"].initial == pytest.approx(0.04 * 180e6)
    assert held(SPAN2, (FUTURE, 30_000)).lines["concentration"].initial == pytest.approx(0.25 * 1.8e9)


def test_ten_points_across_the_range() -> None:
    assert held(TIMS, (FUTURE, -2)).initial_margin == pytest.approx(2 * 0.15 * BITCOIN)
    short = call(75_000)
    years = years_between(AS_OF, short.expiry) if short.expiry else 0.0
    row = [-10 * gain(short, years, Scenario(spot=step * 0.03)) for step in (-5, -4, -3, -2, -1, 1, 2, 3, 4, 5)]
    assert held(TIMS, (short, -10)).initial_margin == pytest.approx(worst(row), rel=1e-9)


def test_the_range_of_an_index_is_not_the_same_up_and_down() -> None:
    index = replace(FUTURE, symbol="INDEX", underlying="SPX", mark_price=6_000.0, index_price=6_000.0)
    assert held(TIMS, (index, 1)).initial_margin == pytest.approx(0.08 * 6_000)
    assert held(TIMS, (index, -1)).initial_margin == pytest.approx(0.06 * 6_000)


def test_a_hedged_coin_costs_the_minimum_and_a_bare_one_its_range() -> None:
    hedged = held(TIMS, (FUTURE, -1), BTC=1)
    assert hedged.initial_margin == pytest.approx(37.50)
    assert hedged.adjusted_equity_initial == pytest.approx(hedged.equity)
    bare = held(TIMS, BTC=1)
    assert bare.initial_margin == 0
    assert bare.adjusted_equity_initial == pytest.approx(0.85 * INDEX["BTC"])
    both = held(TIMS, (FUTURE, 1), BTC=1)
    assert both.adjusted_equity_initial - both.initial_margin == pytest.approx(both.equity - 2 * 0.15 * BITCOIN)


def price(listing: Listing) -> float:
    assert listing.mark_price is not None
    return listing.mark_price


def test_naked_options_by_strategy() -> None:
    far, near, below = call(75_000), call(60_000), put(48_000)
    # 15,000 out of the money: 20 % less that is below 10 % of the index
    assert held(STRATEGY, (far, -1)).initial_margin == pytest.approx(6_000 + price(far))
    assert held(STRATEGY, (near, -3)).initial_margin == pytest.approx(3 * (12_000 + price(near)))
    assert held(STRATEGY, (below, -1)).initial_margin == pytest.approx(4_800 + price(below))
    assert held(STRATEGY, (near, 2)).initial_margin == 0
    deep = call(48_000)
    assert held(STRATEGY, (deep, -1)).initial_margin == pytest.approx(12_000 + price(deep))


def test_a_straddle_is_its_greater_side_and_the_other_premium() -> None:
    above, below = call(60_000), put(60_000)
    sides = (12_000 + price(above), 12_000 + price(below))
    other = price(below) if sides[0] > sides[1] else price(above)
    assert held(STRATEGY, (above, -1), (below, -1)).initial_margin == pytest.approx(max(sides) + other)


def test_spreads_cost_no_more_than_they_can_lose() -> None:
    low, high = call(60_000), call(63_000)
    assert held(STRATEGY, (low, -2), (high, 2)).initial_margin == pytest.approx(2 * 3_000)
    assert held(STRATEGY, (low, 2), (high, -2)).initial_margin == pytest.approx(0, abs=1e-9)
    calendar = held(STRATEGY, (call(60_000, 2), -1), (call(60_000, 141), 1)).initial_margin
    assert calendar == pytest.approx(12_000 + price(call(60_000, 2)))  # each expiry alone


def test_a_coin_covers_a_call() -> None:
    written = call(75_000)
    covered = held(STRATEGY, (written, -1), BTC=1)
    assert covered.initial_margin == pytest.approx(price(written))
    half = held(STRATEGY, (written, -1), BTC=0.5)
    assert half.initial_margin == pytest.approx(0.5 * 6_000 + price(written))


def test_coins_on_margin_and_sold_short() -> None:
    bought = held(STRATEGY, BTC=1, USD=-20_000)
    assert bought.adjusted_equity_initial == pytest.approx(0.5 * BITCOIN - 20_000)
    assert bought.adjusted_equity_maintenance == pytest.approx(0.75 * BITCOIN - 20_000)
    assert bought.initial_margin == 0
    sold = held(STRATEGY, BTC=-1, USD=60_000)
    assert (sold.initial_margin, sold.maintenance_margin) == pytest.approx((30_000, 18_000))
    assert held(STRATEGY, (FUTURE, -1)).initial_margin == pytest.approx(12_000)
