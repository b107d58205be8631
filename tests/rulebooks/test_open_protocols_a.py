"""GMX, Panoptic and Derive's account classes: accounts whose answer is a sum by hand."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from crossmargin.account import Account, MarginMode, Position
from crossmargin.errors import InputError
from crossmargin.margin import AccountState, assess
from tests.strategies.books import INDEX, option, perpetual, position, rules, snapshot_of

if TYPE_CHECKING:
    from crossmargin.margin import MarginReport
    from crossmargin.market import Listing

GMX = "gmx-v2@2023-08-01"
PANOPTIC = ("panoptic@2026-01-20", "panoptic@2026-09-28")


def gmx(quantity: str, entry: str, collateral: str, **quotes: float) -> MarginReport:
    listing = perpetual("BTC", "USD", mark_price=60_000.0, **quotes)
    held = Position(
        instrument=listing.symbol,
        quantity=Decimal(quantity),
        entry_price=Decimal(entry),
        margin_mode=MarginMode.ISOLATED,
        isolated_collateral={"USD": Decimal(collateral)},
    )
    return assess(
        Account(id="a", balances={"USD": Decimal(999)}, positions=(held,)), snapshot_of([listing]), rules(GMX)
    )


def test_a_position_on_gmx_is_alone_with_its_collateral() -> None:
    # longs 300 coins, shorts 100: closing a long narrows the imbalance and costs a fee only
    found = gmx("2", "59000", "3000", open_interest=400.0, skew=200.0)
    pool = next(pool for pool in found.pools if pool.initial_margin)
    assert pool.adjusted_equity_maintenance == pytest.approx(3_000 + 2_000 - 0.0005 * 118_000)
    assert pool.adjusted_equity_initial == pytest.approx(3_000)
    assert pool.maintenance_margin == pytest.approx(1_180)
    assert found.lines["impact"].maintenance == 0


def test_what_widens_the_imbalance_costs() -> None:
    # a short closed while longs prevail by 20 million: 20.118 million are left
    found = gmx("-2", "59000", "3000", open_interest=400.0, skew=1_000 / 3)
    wider = 1.2e-10 * (20_118_000.0**2 - 20_000_000.0**2)
    assert found.lines["impact"].maintenance == pytest.approx(wider)
    crowded = gmx("-2", "59000", "3000", open_interest=40_000.0, skew=20_000.0)
    assert crowded.lines["impact"].maintenance == pytest.approx(0.01 * 118_000)  # held at its cap


def test_crowded_sides_ask_for_more_to_open() -> None:
    # one side of 30,000 coins at 60,000: 2e-10 x 1.8 billion = 36 %
    found = gmx("2", "60000", "50000", open_interest=40_000.0, skew=20_000.0)
    assert found.initial_margin == pytest.approx(0.36 * 120_000)
    assert found.maintenance_margin == pytest.approx(0.01 * 120_000)


def test_gmx_needs_the_market_totals() -> None:
    with pytest.raises(InputError):
        gmx("2", "60000", "50000", open_interest=float("nan"), skew=0.0)


def panoptic(spec: str, *legs: tuple[Listing, int], utilisation: str = "0") -> MarginReport:
    account = Account(
        id="a",
        balances={"USDC": Decimal(10_000)},
        positions=tuple(position(listing, amount) for listing, amount in legs),
        inputs={"utilisation": Decimal(utilisation)},
    )
    return assess(account, snapshot_of([listing for listing, _ in legs]), rules(spec))


def put(strike: float) -> Listing:
    return option("ETH", "USDC", 50, strike, call=False)


@pytest.mark.parametrize(("spec", "buffer"), [(PANOPTIC[0], 1.3333), (PANOPTIC[1], 1.0666667)])
def test_a_put_sold_and_bought(spec: str, buffer: float) -> None:
    index = INDEX["ETH"]
    sold = panoptic(spec, (put(index + 100), -2))
    assert sold.maintenance_margin == pytest.approx(2 * (0.2 * (index + 100) + (100)))
    assert sold.initial_margin == pytest.approx(buffer * sold.maintenance_margin)
    bought = panoptic(spec, (put(index - 100), 2))
    assert bought.maintenance_margin == pytest.approx(2 * 0.1 * (index - 100))
    assert bought.pools[0].adjusted_equity_maintenance == pytest.approx(10_000)


@pytest.mark.parametrize(
    ("utilisation", "seller", "buyer"), [("0.5", 0.2, 0.1), ("0.7", 0.6, 0.075), ("0.9", 1.0, 0.05), ("1", 1.0, 0.05)]
)
def test_a_busy_pool_asks_sellers_for_more(utilisation: str, seller: float, buyer: float) -> None:
    call = option("ETH", "USDC", 50, 3_000, call=True)
    spec = PANOPTIC[0]
    sold = panoptic(spec, (call, -1), utilisation=utilisation)
    assert sold.maintenance_margin == pytest.approx(seller * (INDEX["ETH"]))
    bought = panoptic(spec, (call, 1), utilisation=utilisation)
    assert bought.maintenance_margin == pytest.approx(min(1.0, buyer) * (INDEX["ETH"]))


def test_a_spread_loses_no_more_than_its_width() -> None:
    index = INDEX["ETH"]
    found = panoptic(PANOPTIC[0], (put(index - 100), -1), (put(index - 150), 1))
    assert found.maintenance_margin == pytest.approx(50)
    more = panoptic(PANOPTIC[0], (put(index - 100), -1), (put(index - 150), 3))
    assert more.maintenance_margin == pytest.approx(50 + 2 * 0.1 * (index - 150))
    calls = [option("ETH", "USDC", 50, strike, call=True) for strike in (2_600, 2_700)]
    naked = panoptic(PANOPTIC[0], (calls[0], -2), (calls[1], 1))  # one call more sold than bought
    assert naked.maintenance_margin == pytest.approx((2 * 0.2 + 0.1) * index)


@pytest.mark.parametrize(
    ("spec", "share"),
    [
        ("derive-portfolio@2026-01-08", 0.8),
        ("derive-portfolio@2026-02-03", 0.35),
        ("derive-portfolio@2026-05-24", 0.35),
        ("derive-portfolio@2026-08-20", 0.35),
    ],
)
def test_a_class_on_derive_lowers_the_maintenance_factor_alone(spec: str, share: float) -> None:
    listing = option("ETH", "USDC", 50, 2_400, call=True)
    plain = Account(id="a", balances={"USDC": Decimal(50_000)}, positions=(position(listing, -10),))
    reports = {
        name: assess(replace(plain, class_=name), snapshot_of([listing]), rules(spec))
        for name in (None, "reduced", "unknown")
    }
    whole, reduced = reports[None], reports["reduced"]
    naked = whole.lines["naked_options"].maintenance
    assert whole.maintenance_margin - naked == pytest.approx(0.8 * whole.lines["risk"].maintenance)
    assert reduced.maintenance_margin - naked == pytest.approx(share * whole.lines["risk"].maintenance)
    assert reports["unknown"].maintenance_margin == whole.maintenance_margin
    assert reduced.initial_margin == whole.initial_margin
    assert whole.state == AccountState.HEALTHY
