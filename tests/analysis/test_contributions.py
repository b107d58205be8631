"""Contributions by hand, against differences, and what must hold of all of them."""

from collections.abc import Sequence
from decimal import Decimal

import msgspec
import numpy as np
import pytest

from crossmargin.account import Account, Book
from crossmargin.analysis.contributions import contributions
from crossmargin.analysis.explanation import Contribution
from crossmargin.margin import BookReport, Rulebook, assess_book
from crossmargin.market import Snapshot
from crossmargin.sources import list_rulebooks, load_rulebook
from tests.analysis.desk import account, assessed, order
from tests.strategies.portfolios import market_of, portfolios

FIGURES = ("initial_margin", "maintenance_margin", "adjusted_equity_initial", "adjusted_equity_maintenance")


def of(held: Account, total: str) -> dict[str, Contribution]:
    book = assessed(held, total)
    rows = contributions(book.resolved, book.rulebook)
    assert sum(row.initial_margin for row in rows) == pytest.approx(book.report(0).initial_margin, rel=1e-9)
    return {row.name: row for row in rows}


def test_a_scan_is_shared_by_what_each_leg_does_in_the_worst_scenario() -> None:
    rows = of(account({"BTC-PERP": "4", "BTC-FUT": "-1", "ETH-PERP": "-30"}), "scan")
    assert {name: row.initial_margin for name, row in rows.items()} == pytest.approx(
        {"USD": 0, "BTC-PERP": 20_000, "BTC-FUT": -5_000, "ETH-PERP": 6_000}
    )
    assert rows["BTC-PERP"].maintenance_margin == pytest.approx(10_000)
    assert {row.method for row in rows.values()} == {"euler"}
    assert rows["USD"].adjusted_equity_initial == 100_000


def test_a_tie_is_shared_evenly() -> None:
    rows = of(account({"BTC-PERP": "1", "ETH-PERP": "-25"}), "max(longs, shorts)")
    assert rows["BTC-PERP"].initial_margin == pytest.approx(2_500)
    assert rows["ETH-PERP"].initial_margin == pytest.approx(2_500)


def test_tiers_count_at_the_average_rate_on_the_way_up() -> None:
    rows = of(account({"BTC-PERP": "4", "ETH-PERP": "-30"}), "tiered")
    assert {row.method for row in rows.values()} == {"ray_average"}
    assert rows["BTC-PERP"].initial_margin == pytest.approx(3_000, rel=1e-9)
    assert rows["ETH-PERP"].initial_margin == pytest.approx(600, rel=1e-9)


def test_a_square_is_shared_along_the_ray() -> None:
    # the integral of 2 slope t q^2 index over t from 0 to 1
    rows = of(account({"BTC-FUT": "3", "ETH-FUT": "5"}), "squared")
    assert rows["BTC-FUT"].initial_margin == pytest.approx(0.001 * 9 * 50_000, rel=1e-9)
    assert rows["ETH-FUT"].initial_margin == pytest.approx(0.001 * 25 * 2_000, rel=1e-9)


def test_a_jump_of_a_table_belongs_to_what_moves_it() -> None:
    # 100,000 at the rate of the second step; the first ends at 50,000
    rows = of(account({"BTC-FUT": "2", "ETH-FUT": "-10"}), "stepped + squared")
    assert "jumps" not in rows
    assert rows["BTC-FUT"].initial_margin == pytest.approx(100_000 * 0.03 + 0.001 * 4 * 50_000, rel=1e-9)
    assert rows["ETH-FUT"].initial_margin == pytest.approx(20_000 * 0.01 + 0.001 * 100 * 2_000, rel=1e-9)


def test_a_jump_that_no_leg_moves_stands_alone() -> None:
    rows = of(account({"BTC-FUT": "3"}), "scan + cliff")
    assert rows["jumps"].method == "jump"
    assert rows["jumps"].initial_margin == pytest.approx(1_000, rel=1e-6)
    assert rows["BTC-FUT"].initial_margin == pytest.approx(15_000, rel=1e-9)


def test_the_venues_own_figures_are_a_row_of_their_own() -> None:
    rows = of(account({"BTC-PERP": "1"}, inputs={"fixed": Decimal(250)}), "scan")
    assert rows["constant"].initial_margin == 250
    assert rows["constant"].maintenance_margin == 0
    assert rows["BTC-PERP"].initial_margin == pytest.approx(5_000)


def test_open_orders_count_with_the_instrument_that_they_trade() -> None:
    held = account({"BTC-PERP": "1"}, orders=(order("BTC-PERP", "1"), order("ETH-PERP", "50")))
    rows = of(held, "scan")
    assert rows["BTC-PERP"].initial_margin == pytest.approx(10_000)
    assert rows["ETH-PERP"].initial_margin == pytest.approx(10_000)
    assert rows["ETH-PERP"].maintenance_margin == 0
    assert rows["ETH-PERP"].quantity == 0


def test_funding_and_profit_count_with_their_position() -> None:
    held = account({"BTC-PERP": "2"})
    (position,) = held.positions
    changed = msgspec.structs.replace(position, entry_price=Decimal(49_000), accrued_funding=Decimal(30))
    rows = of(msgspec.structs.replace(held, positions=(changed,)), "scan")
    assert rows["BTC-PERP"].adjusted_equity_initial == pytest.approx(2_030)


# requires 20 USDC, or a dollar for each position, as soon as anything is held: a jump that no leg moves
FROM_NOTHING = {"hyperliquid-portfolio", "gmx-v2", "synthetix-perps"}
ROUNDED = {"dydx-v4", "vega", "drift-v2"}  # each position to a millionth, or its weight to a ten-thousandth


def sums(rows: Sequence[Contribution], pool: str, name: str) -> float:
    return float(sum(getattr(row, name) for row in rows if row.pool == pool))


@pytest.mark.parametrize("spec", [shipped.spec for shipped in list_rulebooks()])
def test_contributions_add_up_under_every_rulebook(spec: str) -> None:
    rulebook = load_rulebook(spec)
    market = market_of(rulebook)
    book = assess_book(Book.from_accounts(portfolios(rulebook, market, 8, seed=23)), market, rulebook)
    for row in range(len(book)):
        rows = contributions(book.resolved.only(row), rulebook)
        assert rulebook.name in FROM_NOTHING | ROUNDED or "jump" not in {one.method for one in rows}
        for pool in book.report(row).pools:
            for name in FIGURES:
                assert sums(rows, pool.pool, name) == pytest.approx(getattr(pool, name), rel=1e-9, abs=1e-12)


def grown(held: Account, number: int, share: float) -> Account:
    """The account with one position larger by a share of itself, its entry price kept."""
    position = held.positions[number]
    factor = Decimal(repr(1.0 + share))
    larger = msgspec.structs.replace(
        position, quantity=position.quantity * factor, accrued_funding=position.accrued_funding * factor
    )
    positions = (*held.positions[:number], larger, *held.positions[number + 1 :])
    return msgspec.structs.replace(held, id=f"{held.id} {number} {share}", positions=positions)


@pytest.mark.parametrize("spec", ["derive-portfolio", "okx-portfolio", "deribit-portfolio-cross", "reference"])
def test_derivatives_are_what_small_trades_do(spec: str) -> None:
    """Where the differences up and down agree there is no kink, and both are the contribution."""
    rulebook = load_rulebook(spec)
    market = market_of(rulebook)
    compared = 0
    for held in portfolios(rulebook, market, 8, seed=31):
        compared += compare(held, market, rulebook)
    assert compared > 40


def compare(held: Account, market: Snapshot, rulebook: Rulebook, step: float = 1e-5) -> int:
    shared = [i for i, one in enumerate(held.positions) if one.margin_mode is None]
    held = msgspec.structs.replace(held, orders=(), positions=tuple(held.positions[i] for i in shared))
    bumped = [grown(held, i, sign * step) for i in range(len(shared)) for sign in (1.0, -1.0)]
    book = assess_book(Book.from_accounts([held, *bumped]), market, rulebook)
    rows = {row.name: row for row in contributions(book.resolved.only(0), rulebook)}
    if {row.method for row in rows.values()} != {"euler"}:
        return 0
    figures = columns(book)
    compared = 0
    for i, position in enumerate(held.positions):
        up, down = (figures[1 + 2 * i] - figures[0]) / step, (figures[0] - figures[2 + 2 * i]) / step
        row = rows[position.instrument]
        for name, rise, fall, total in zip(FIGURES, up, down, figures[0], strict=True):
            if abs(rise - fall) <= 1e-6 * max(abs(total), abs(rise)):
                compared += 1
                assert getattr(row, name) == pytest.approx((rise + fall) / 2, rel=1e-5, abs=1e-6 * abs(total) + 1e-9)
    return compared


def columns(book: BookReport) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    found = [[getattr(book.report(row), name) for name in FIGURES] for row in range(len(book))]
    return np.asarray(found)


def test_a_position_in_two_parts_contributes_as_one() -> None:
    rulebook = load_rulebook("deribit-portfolio")
    market = market_of(rulebook)
    whole = portfolios(rulebook, market, 1, seed=5)[0]
    halves = tuple(
        msgspec.structs.replace(one, quantity=one.quantity / 2, accrued_funding=one.accrued_funding / 2, pool=pool)
        for one in whole.positions
        for pool in (None, "second")
    )
    split = msgspec.structs.replace(whole, positions=halves)
    found = [
        contributions(assess_book(Book.from_accounts([one]), market, rulebook).resolved, rulebook)
        for one in (whole, split)
    ]
    assert [row.name for row in found[0]] == [row.name for row in found[1]]
    for one, other in zip(*found, strict=True):
        assert other.initial_margin == pytest.approx(one.initial_margin, rel=1e-9, abs=1e-9)
