"""Portfolios whose answer is known: pools, hedge mode, isolated positions, offsets, boxes, option value, orders."""

from __future__ import annotations

from decimal import Decimal

import pytest
from msgspec.structs import replace

from crossmargin.account import Account, MarginMode, Order, Position, PositionSide
from crossmargin.margin import AccountState, MarginReport, Rulebook, assess, with_values
from crossmargin.market import AssetQuote, Listing, Snapshot
from tests.margin.rules import made
from tests.strategies.books import (
    ASSETS,
    SPECS,
    decimal,
    in_scope,
    market,
    option,
    perpetual,
    position,
    random_accounts,
    rules,
    snapshot_of,
)

REFERENCE = next(spec for spec in reversed(SPECS) if spec.startswith("reference@"))


def charged(account: Account, rulebook: Rulebook, snapshot: Snapshot | None = None) -> MarginReport:
    return assess(account, snapshot or market(), rulebook, withdrawable=False)


# --- pools


def inverse_book() -> tuple[Account, Snapshot]:
    """RULEBOOKS section 10: coins of two kinds behind contracts that settle in one of them."""
    listing = perpetual("BTC", "BTC", mark_price=59_500.0, index_price=59_500.0)
    held = Position(instrument=listing.symbol, quantity=Decimal(60_000), entry_price=Decimal(60_000))
    assets = {**ASSETS, "BTC": AssetQuote(price=59_500.0), "ETH": AssetQuote(price=3_200.0)}
    account = Account(id="desk", balances={"BTC": Decimal("0.1"), "ETH": Decimal(100)}, positions=(held,))
    return account, snapshot_of([listing], assets=assets)


def test_each_settlement_asset_is_a_pool_of_its_own() -> None:
    account, snapshot = inverse_book()
    # the worked example reads 1 % flat; the shipped document adds a slope by size
    flat = {f"charges.inverse_futures.slope.{coin}": 0.0 for coin in ("BTC", "ETH", "SOL")}
    report = charged(account, with_values(rules("deribit-standard@2024-04-01"), flat), snapshot)
    pools = {pool.pool: pool for pool in report.pools}
    assert set(pools) == {"BTC", "ETH"}
    coins = 600_000 / 59_500
    equity = 0.1 + 600_000 * (1 / 60_000 - 1 / 59_500)
    assert pools["BTC"].equity == pytest.approx(equity, rel=1e-12)
    assert pools["BTC"].coverage_ratio == pytest.approx(equity / (0.01 * coins), rel=1e-12)
    assert pools["BTC"].coverage_ratio == pytest.approx(0.158, abs=5e-4)
    assert pools["ETH"].maintenance_margin == 0
    assert (report.state, report.worst_pool) == (AccountState.LIQUIDATABLE, "BTC")
    assert report.coverage_ratio == pools["BTC"].coverage_ratio
    assert report.equity == pytest.approx(equity * 59_500 + 320_000)


def test_the_same_coins_in_one_pool_are_far_from_liquidation() -> None:
    account, snapshot = inverse_book()
    segregated = charged(account, rules("deribit-standard@2024-04-01"), snapshot)
    merged = charged(account, rules("deribit-standard-cross@2026-02-01"), snapshot)
    assert segregated.state == AccountState.LIQUIDATABLE
    assert merged.state == AccountState.HEALTHY
    assert merged.coverage_ratio > 30


def test_pools_by_group_and_by_position() -> None:
    body = '[charges.charge]\nof = "perpetual"\nis = "rate * notional"\nrate = 0.1'
    one, other = perpetual("BTC", "USDC"), perpetual("ETH", "USDC")
    account = Account(
        id="a",
        balances={"USD": Decimal(1_000)},
        positions=(position(one, 1, pool="left"), position(one, 2, pool="right"), position(other, 3)),
    )
    grouped = charged(account, made(body, pools='by = "group"'))
    assert [pool.pool for pool in grouped.pools] == ["cross", "left", "right"]
    amounts = [0.1 * coins * (mark or 0.0) * 0.9995 for coins, mark in ((3, other.mark_price), (1, one.mark_price))]
    assert [pool.maintenance_margin for pool in grouped.pools[:2]] == pytest.approx(amounts)
    assert grouped.pools[0].equity == pytest.approx(1_000)
    single = charged(account, made(body, pools='by = "position"'))
    assert len(single.pools) == 4
    assert single.pools[0].maintenance_margin == 0  # the balance stands alone
    assert single.maintenance_margin == pytest.approx(grouped.maintenance_margin)


@pytest.mark.parametrize("spec", SPECS)
def test_an_isolated_position_is_assessed_alone(spec: str) -> None:
    rulebook = rules(spec)
    cash = "USDC" if rulebook.reporting == "settlement" else rulebook.reporting
    listing = next(
        (one for one in in_scope(rulebook) if one.kind == "perpetual" and one.settlement_asset != "BTC"), None
    )
    if listing is None:
        pytest.skip(f"{spec} margins no perpetual")
    for base in random_accounts(spec, 20, 5):
        alone = position(listing, 2.5, 1.05 * (listing.mark_price or 0))
        collateral = {cash: Decimal(5_000)}
        apart = replace(alone, margin_mode=MarginMode.ISOLATED, isolated_collateral=collateral)
        others = tuple(one for one in base.positions if one.instrument != listing.symbol)
        plain = replace(base, positions=others)
        whole = charged(replace(base, positions=(*others, apart)), rulebook)
        single = charged(Account(id="x", balances=collateral, positions=(alone,)), rulebook)
        rest = charged(plain, rulebook)
        labels = {pool.pool: pool for pool in whole.pools}
        isolated = labels.pop(listing.symbol)
        assert isolated.maintenance_margin == pytest.approx(single.maintenance_margin / _rate(rulebook, single))
        assert isolated.equity == pytest.approx(single.equity / _rate(rulebook, single))
        wanted = {pool.pool: (pool.equity, pool.initial_margin) for pool in rest.pools}
        found = {name: (pool.equity, pool.initial_margin) for name, pool in labels.items()}
        assert found == {name: pytest.approx(pair, rel=1e-12) for name, pair in wanted.items() if name in found}
        assert whole.maintenance_margin == pytest.approx(single.maintenance_margin + rest.maintenance_margin)


def _rate(rulebook: Rulebook, report: MarginReport) -> float:
    return ASSETS[report.pools[0].reporting_asset].price if rulebook.reporting == "settlement" else 1.0


# --- hedge mode


@pytest.mark.parametrize(
    ("how", "long", "short", "wanted"),
    [
        ("net", 5, 3, 2),
        ("gross", 5, 3, 8),
        ("larger", 5, 3, 5),
        ("larger", 3, 5, 5),
        ("net", 4, 4, 0),
        ("gross", 4, 4, 8),
        ("larger", 4, 4, 4),
    ],
)
def test_opposite_positions(how: str, long: int, short: int, wanted: int) -> None:
    body = '[charges.charge]\nof = "perpetual"\nis = "rate * notional"\nrate = 0.5'
    listing = perpetual("BTC", "USDC")
    mark = (listing.mark_price or 0.0) * 0.9995
    account = Account(
        id="hedged",
        positions=(
            position(listing, long, 50_000.0, side=PositionSide.LONG),
            position(listing, -short, 70_000.0, side=PositionSide.SHORT),
        ),
    )
    report = charged(account, made(body, pools=f'opposite_positions = "{how}"'))
    assert report.maintenance_margin == pytest.approx(0.5 * wanted * mark)
    both = (long * (60_060 - 50_000) + short * (70_000 - 60_060)) * 0.9995
    assert report.equity == pytest.approx(both)  # a side that is not charged still gains and loses


def test_larger_does_not_mute_other_instruments_or_accounts() -> None:
    body = '[charges.charge]\nof = "perpetual"\nis = "rate * notional"\nrate = 0.5'
    rulebook = made(body, pools='opposite_positions = "larger"')
    small, large = perpetual("BTC", "USDC"), perpetual("BTC", "USDT")
    account = Account(id="a", positions=(position(small, 1), position(large, -3)))
    one_by_one = [charged(replace(account, positions=(held,)), rulebook) for held in account.positions]
    assert charged(account, rulebook).initial_margin == pytest.approx(sum(one.initial_margin for one in one_by_one))


# --- offsets


def required(rulebook: Rulebook, *held: Position, snapshot: Snapshot | None = None) -> float:
    return charged(Account(id="a", positions=held), rulebook, snapshot).initial_margin


@pytest.mark.parametrize("days", [50, 141])
@pytest.mark.parametrize("ratio", [1.0, 1.25])
def test_the_missions_example(days: int, ratio: float) -> None:
    """A long BTC future and a short ETH call lose on opposite sides; with a short ETH put they lose together."""
    rulebook = rules(REFERENCE)
    future = position(market().listings["BTC-USDC-260327"], 1)
    call = position(_option("ETH", days, 2_400 * ratio, call=True), -25)
    put = position(_option("ETH", days, 2_400 / ratio, call=False), -25)
    apart = required(rulebook, future) + required(rulebook, call)
    assert required(rulebook, future, call) < 0.9 * apart
    together = required(rulebook, future) + required(rulebook, put)
    assert required(rulebook, future, put) >= 0.999 * together


def _option(base: str, days: int, strike: float, *, call: bool, settle: str = "USDC") -> Listing:
    wanted = option(base, settle, days, strike, call=call)
    return market().listings[wanted.symbol]


_MATRIX = """
[scenarios]
moves = [ { spot = [-0.16, 0, 0.16], vol = ["same"] } ]
[charges.charge]
kind = "scan"
level = "account"
scenarios = "moves"
of = ["option", "perpetual", "future"]
"""


def box(settle: str) -> tuple[tuple[Position, ...], Snapshot]:
    """A long box 10,000 wide on a forward of 60,000: worth 10,000 whatever happens."""
    # the forward is the index here, so that the worth of a coin and of the forward move as one
    quotes = {"forward_price": 60_000.0}
    legs = [(55_000.0, True, 1), (65_000.0, True, -1), (65_000.0, False, 1), (55_000.0, False, -1)]
    listings = [option("BTC", settle, 50, strike, call=call, **quotes) for strike, call, _ in legs]
    held = tuple(position(one, sign) for one, (_, _, sign) in zip(listings, legs, strict=True))
    return held, snapshot_of(listings)


def test_a_box_loses_nothing_in_the_reporting_asset() -> None:
    for settle in ("USDC", "BTC"):
        held, snapshot = box(settle)
        report = charged(Account(id="box", positions=held), made(_MATRIX), snapshot)
        assert report.initial_margin == pytest.approx(0, abs=1e-7)
        assert report.worst_scenario is None or report.scan_loss < 1e-7


def test_a_box_loses_coins_when_the_coin_rises() -> None:
    held, snapshot = box("BTC")
    rulebook = made(_MATRIX, reporting="settlement", pools='by = "settlement_asset"')
    report = charged(Account(id="box", positions=held), rulebook, snapshot)
    (pool,) = report.pools
    assert pool.reporting_asset == "BTC"
    assert pool.initial_margin == pytest.approx(0.0229885, abs=5e-8)
    assert pool.initial_margin == pytest.approx(10_000 / 60_000 * (1 - 1 / 1.16), rel=1e-9)
    assert pool.worst_scenario == "BTC: spot +16 %, vol same"


# --- option value


@pytest.mark.parametrize("settle", ["USDC", "BTC"])
def test_the_mark_of_a_short_option_is_counted_once(settle: str) -> None:
    """Under Deribit's standard model the charge holds the mark and the equity leaves it out."""
    listing = _option("BTC", 50, 60_000, call=True, settle=settle)
    cash = Decimal(1) if settle == "BTC" else Decimal(50_000)
    account = Account(id="short", balances={settle: cash}, positions=(position(listing, -2),))
    (pool,) = charged(account, rules("deribit-standard@2024-04-01")).pools
    mark = listing.mark_price or 0.0
    # linear prices are in USDC: rates read the index in the pool's currency
    unit = 1.0 if settle == "BTC" else 60_000.0
    assert pool.equity == pytest.approx(float(cash) - 2 * mark, rel=1e-12)
    assert pool.adjusted_equity_maintenance == pytest.approx(float(cash), rel=1e-12)
    assert pool.maintenance_margin == pytest.approx(2 * (0.075 * unit + mark), rel=1e-12)
    headroom = float(cash) - 2 * mark - 2 * 0.075 * unit
    assert pool.maintenance_headroom == pytest.approx(headroom, rel=1e-9)


def test_a_premium_paid_option_contributes_value_never_profit() -> None:
    listing = _option("BTC", 50, 60_000, call=True)
    rulebook = made('[charges.charge]\nis = "0 * notional"')
    worth = [
        charged(Account(id="a", positions=(position(listing, 2, entry),)), rulebook).equity for entry in (1.0, 9_999.0)
    ]
    assert worth == pytest.approx([2 * (listing.mark_price or 0.0) * 0.9995] * 2, rel=1e-12)


# --- orders


_ORDERS = """
[charges.held]
of = "perpetual"
level = "bucket"
is = "rate * abs(delta_value)"
rate = 0.1
[charges.charge]
kind = "worst_side"
level = "bucket"
line = "held"
"""


@pytest.mark.parametrize(
    ("held", "orders", "wanted"),
    [(1, (2, -5), 4), (1, (2,), 3), (-3, (2, -1), 4), (3, (), 3), (0, (2, -1), 2), (-3, (1, 1), 3), (1, (-1,), 1)],
)
def test_the_worst_side_of_open_orders(held: int, orders: tuple[int, ...], wanted: int) -> None:
    listing = perpetual("BTC", "USDC")
    account = Account(
        id="a",
        positions=(position(listing, held),) if held else (),
        orders=tuple(Order(instrument=listing.symbol, quantity=Decimal(q), limit_price=Decimal(1)) for q in orders),
    )
    report = charged(account, made(_ORDERS))
    assert report.initial_margin == pytest.approx(0.1 * wanted * 60_000 * 0.9995)
    quiet = replace(account, orders=tuple(replace(one, reduce_only=True) for one in account.orders))
    assert charged(quiet, made(_ORDERS)).initial_margin == pytest.approx(0.1 * abs(held) * 60_000 * 0.9995)


def test_the_worst_side_of_a_scan_is_the_scan_of_the_filled_account() -> None:
    body = _MATRIX.replace("[charges.charge]", "[charges.scan]").replace('"account"', '"bucket"')
    body += '[charges.charge]\nkind = "worst_side"\nlevel = "bucket"\nline = "scan"\n'
    held = body.split("[charges.charge]")[0]
    rulebook, without_orders = made(body), made(held, requirement="scan")
    for account in random_accounts(REFERENCE, 21, 20):
        sides = []
        for sign in (0, 1, -1):
            filled = tuple(
                Position(instrument=one.instrument, quantity=one.quantity, entry_price=Decimal(1))
                for one in account.orders
                if one.quantity * sign > 0
            )
            whole = replace(account, orders=(), positions=account.positions + filled)
            lines = charged(whole, without_orders).pools[0].scenario_tables
            sides.append({table.row: table.loss for table in lines})
        wanted = sum(max(side.get(row, 0.0) for side in sides) for row in {row for side in sides for row in side})
        assert charged(account, rulebook).initial_margin == pytest.approx(wanted, rel=1e-12)


# --- account classes


def test_a_factor_by_account_class() -> None:
    body = """
[charges.charge]
of = "perpetual"
is = "factor * notional"
factor = { by = "class", institution = 0.05, default = 0.1 }
"""
    held = position(perpetual("BTC", "USDC"), 1)
    plain = Account(id="a", positions=(held,))
    rulebook = made(body)
    notional = 60_060 * 0.9995
    assert charged(plain, rulebook).initial_margin == pytest.approx(0.1 * notional)
    assert charged(replace(plain, class_="institution"), rulebook).initial_margin == pytest.approx(0.05 * notional)
    assert charged(replace(plain, class_="other"), rulebook).initial_margin == pytest.approx(0.1 * notional)


def test_accrued_funding_and_interest_are_equity() -> None:
    listing = perpetual("BTC", "USDC")
    account = Account(
        id="a",
        balances={"USDC": Decimal(100)},
        accrued={"USDC": Decimal(7), "ETH": decimal(0.5)},
        positions=(position(listing, 1, accrued_funding=Decimal(-3)),),
    )
    report = charged(account, made('[charges.charge]\nis = "0 * notional"'))
    assert report.equity == pytest.approx((100 + 7 - 3) * 0.9995 + 0.5 * 2_400)


@pytest.mark.parametrize("spec", [REFERENCE, "deribit-portfolio@2024-04-01"])
def test_open_orders_do_not_hide_which_scan_decides(spec: str) -> None:
    for account in random_accounts(spec, 30, 8, orders=True):
        with_orders = assess(account, market(), rules(spec), withdrawable=False)
        bare = assess(replace(account, orders=()), market(), rules(spec), withdrawable=False)
        if not bare.scan_loss:
            continue
        assert with_orders.scan_loss == pytest.approx(bare.scan_loss, rel=1e-9)
        assert with_orders.worst_scenario == bare.worst_scenario
        tables = [table for pool in bare.pools for table in pool.scenario_tables]
        assert any(table.counts > 0 and table.loss > 0 for table in tables)
