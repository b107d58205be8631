"""`max_loss`, `pairing`, `either`, the aggregations, keyed tables and what a row must agree on."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest
from msgspec.structs import replace

from crossmargin.account import Account, Book, Order, Position
from crossmargin.errors import FailureReason, InputError
from crossmargin.margin import Rulebook, assess, assess_book
from tests.margin.rules import made
from tests.strategies.books import (
    ASSETS,
    INDEX,
    LATEST,
    decimal,
    market,
    option,
    perpetual,
    position,
    random_accounts,
    snapshot_of,
)
from tests.twins.kinds import paired, progressive, worst_payoff

REFERENCE = next(spec for spec in LATEST if spec.startswith("reference@"))


def charge(account: Account, rulebook: Rulebook) -> float:
    return assess(account, market(), rulebook, withdrawable=False).initial_margin


def test_max_loss_against_a_fine_grid_of_prices() -> None:
    rulebook = made('[charges.charge]\nkind = "max_loss"\nlevel = "expiry"\nof = "option"\n')
    rng = np.random.default_rng(3)
    settle = 0.9995
    for _ in range(40):
        total, held = 0.0, []
        for days in (2, 50):
            strikes = rng.choice([48_000.0, 60_000.0, 75_000.0], size=int(rng.integers(1, 4)), replace=False)
            legs = []
            for strike in strikes.tolist():
                for call in (True, False):
                    if rng.random() < 0.7:
                        quantity = float(rng.integers(-5, 6) or 1)
                        legs.append((quantity, strike * settle, call))
                        held.append(position(option("BTC", "USDC", days, strike, call=call), quantity))
            total += worst_payoff(legs) if legs else 0.0
        if held:
            account = Account(id="a", positions=tuple(held))
            assert charge(account, rulebook) == pytest.approx(total, rel=1e-9, abs=1e-6)


def test_max_loss_knows_each_expiry_alone() -> None:
    rulebook = made('[charges.charge]\nkind = "max_loss"\nlevel = "expiry"\nof = "option"\n')
    near, far = option("BTC", "USDC", 2, 60_000, call=False), option("BTC", "USDC", 50, 60_000, call=False)
    calendar = Account(id="a", positions=(position(near, -1), position(far, 1)))
    assert charge(calendar, rulebook) == pytest.approx(60_000 * 0.9995)
    flat = Account(id="a", positions=(position(near, -1), position(near, 1)))
    assert charge(flat, rulebook) == 0


_TIERS = ((1e5, 0.01), (1e6, 0.02), (float("inf"), 0.05))
_PAIRING = """
[charges.charge]
kind = "pairing"
level = "{level}"
of = ["perpetual", "future"]
between = "settlement_asset"
exposure = "delta_value"
pairs = [
  {{ of = ["USDT", "USDC"], rate = [[1e5, 0.01], [1e6, 0.02], ["inf", 0.05]] }},
  {{ of = ["USDT", "BTC"], rate = 0.03, ratio = 2 }},
  {{ of = ["USDC", "BTC"], rate = [["inf", 0.04]] }},
]
"""


def _futures_accounts(count: int) -> list[Account]:
    rng = np.random.default_rng(30)
    listed = [one for one in market().listings.values() if one.kind in {"perpetual", "future"}]
    found = []
    for i in range(count):
        chosen = [listed[j] for j in rng.choice(len(listed), size=6, replace=False)]
        held = tuple(position(one, rng.normal(0, 1e5 / INDEX[one.underlying])) for one in chosen)
        found.append(Account(id=f"{i}", positions=held))
    return found


@pytest.mark.parametrize("level", ["bucket", "account"])
def test_pairing_in_listed_order(level: str) -> None:
    body = _PAIRING.format(level=level).replace('"settlement_asset"', '"asset"')
    rulebook = made(body)
    pairs = [("USDT", "USDC", 1.0, _TIERS), ("USDT", "BTC", 2.0, ((float("inf"), 0.03),))]
    pairs.append(("USDC", "BTC", 1.0, ((float("inf"), 0.04),)))
    matched = 0
    for account in _futures_accounts(150):
        groups: dict[str, dict[str, float]] = {}
        for held in account.positions:
            one = market().listings[held.instrument]
            if one.kind in {"perpetual", "future"}:
                rate = 1.0 if one.contract != "linear" else ASSETS[one.settlement_asset].price
                units = one.multiplier / (one.mark_price or 1.0) if one.contract == "inverse" else one.multiplier
                units *= ASSETS[one.settlement_asset].price if one.contract == "quanto" else 1.0
                amounts = groups.setdefault(one.underlying if level == "bucket" else "", {})
                worth = float(held.quantity) * units * (one.index_price or 0.0) * rate
                amounts[one.settlement_asset] = amounts.get(one.settlement_asset, 0.0) + worth
        wanted = sum(paired(amounts, pairs) for amounts in groups.values())
        matched += wanted > 0
        assert charge(account, rulebook) == pytest.approx(wanted, rel=1e-9, abs=1e-6)
    assert matched > 50


_EITHER = """
[values.spot_orders]
kind = "either"
level = "account"
balance = "value"
asset_worth = { by = "asset", USD = 1, ETH = 0.8, default = 0.5 }
liability_worth = { by = "asset", USD = 1, ETH = 1.2, default = 1.5 }
[charges.charge]
is = "0 * notional"
[values.holdings]
is = "value"
[equity]
adjusted = "holdings + spot_orders"
"""


@pytest.mark.parametrize("usd", [-50_000, -1_000, 1_000, 50_000])
@pytest.mark.parametrize("eth", [-30, -1, 5, 40])
@pytest.mark.parametrize("filled", [10, -10])
def test_either_takes_the_worse_asset(usd: int, eth: int, filled: int) -> None:
    """An order's reserve may land in either asset; each is weighted above and below 0."""
    order = Order(instrument="ETH/USD", quantity=Decimal(filled), limit_price=Decimal(2_400))
    balances = {"USD": Decimal(usd), "ETH": Decimal(eth)}
    account = Account(id="a", balances=balances, orders=(order,))
    reserve = abs(filled) * 2_400.0
    choices = []
    for balance, up, down in ((usd, 1.0, 1.0), (eth * 2_400.0, 0.8, 1.2)):
        before = balance * (up if balance >= 0 else down)
        after = (balance + reserve) * (up if balance + reserve >= 0 else down)
        choices.append(after - before)
    report = assess(account, market(), made(_EITHER, values=""), withdrawable=False)
    added = report.adjusted_equity_initial - report.equity
    assert added == pytest.approx(min(choices), rel=1e-9, abs=1e-9)


def test_either_weighs_an_asset_that_has_no_balance() -> None:
    """The table's weight counts, held or not: 5 ETH that may become 12,000 USD, and the other way round."""
    order = Order(instrument="ETH/USD", quantity=Decimal(5), limit_price=Decimal(2_400))
    rulebook = made(_EITHER, values="")
    for balances in ({}, {"USD": Decimal(10_000)}, {"ETH": Decimal(3)}):
        account = Account(id="a", balances=balances, orders=(order,))
        report = assess(account, market(), rulebook)
        assert report.adjusted_equity_initial - report.equity == pytest.approx(0.8 * 12_000)
        assert {row.asset for row in report.pools[0].collateral} == set(balances)


@pytest.mark.parametrize(
    ("orders", "wanted"),
    [
        ([(2, 2_400)], 0.8 * 4_800),
        ([(-2, 2_400)], 0.8 * 4_800),
        ([(2, 3_000)], 0.8 * 4_800),  # bought above the market: only 2 ETH, whatever was reserved
        ([(2, 1_200)], 0.8 * 2_400),  # below it: no more than the market gives for what was reserved
        ([(-2, 1_200)], 2_400),  # sold below the market: as little as the limit pays
        ([(2, 2_400), (-3, 2_400)], 0.8 * 5 * 2_400),  # both sides of a market: all of it lands in one asset
        ([(2, 2_000), (-3, 3_000)], 0.8 * (3 * 2_400 + 4_000)),
    ],
)
def test_either_keeps_bids_and_asks_apart(orders: list[tuple[int, int]], wanted: float) -> None:
    placed = tuple(
        Order(instrument="ETH/USD", quantity=Decimal(coins), limit_price=Decimal(limit)) for coins, limit in orders
    )
    account = Account(id="a", balances={"USD": Decimal(100_000)}, orders=placed)
    report = assess(account, market(), made(_EITHER, values=""), withdrawable=False)
    assert report.adjusted_equity_initial - report.equity == pytest.approx(wanted)


def test_either_adds_each_market_after_the_others() -> None:
    """Two markets in one coin: each is worth least when the other has landed there already."""
    listing = market().listings["ETH/USD"]
    again = replace(listing, symbol="ETH/USD 2")
    snapshot = replace(market(), listings={**market().listings, again.symbol: again})
    placed = tuple(
        Order(instrument=symbol, quantity=Decimal(-10), limit_price=Decimal(2_400))
        for symbol in ("ETH/USD", again.symbol)
    )
    account = Account(id="a", balances={"ETH": Decimal(-15), "USD": Decimal(1)}, orders=placed)
    report = assess(account, snapshot, made(_EITHER, values=""), withdrawable=False)
    # -15 + 20 = 5 ETH: of either market's 10, 5 are held and 5 repay what is owed; as dollars each is worth 24,000
    each = min((5 * 0.8 + 5 * 1.2) * 2_400, 24_000.0)
    assert report.adjusted_equity_initial - report.equity == pytest.approx(2 * each)


def test_either_takes_the_prices_it_is_told() -> None:
    """What is given up is priced as held, what is received as owed: less is left either way."""
    told = _EITHER.replace("asset_worth", 'asset_price = { by = "asset", USD = 1, default = 0.9 }\nasset_worth', 1)
    told = told.replace("asset_worth", 'liability_price = { by = "asset", USD = 1, default = 1.25 }\nasset_worth', 1)
    for coins, wanted in ((10, 0.8 * 24_000 / 1.25), (-10, min(0.8 * 24_000, 24_000 * 0.9))):
        order = Order(instrument="ETH/USD", quantity=Decimal(coins), limit_price=Decimal(2_400))
        account = Account(id="a", balances={"USD": Decimal(50_000)}, orders=(order,))
        report = assess(account, market(), made(told, values=""), withdrawable=False)
        assert report.adjusted_equity_initial - report.equity == pytest.approx(wanted)


# --- aggregations


def test_largest_and_root_over_finer_rows() -> None:
    body = """
[charges.each]
of = ["perpetual", "future"]
level = "bucket"
is = "rate * abs(delta_value)"
rate = 0.1
[charges.charge]
level = "account"
is = "largest(each) + root(each, rho)"
rho = 0.3
"""
    rulebook, each = made(body), made(body, requirement="each + 0 * charge")
    for account in random_accounts(REFERENCE, 31, 40, orders=False):
        total = charge(account, each)
        parts: dict[str, float] = {}
        for held in account.positions:
            one = market().listings[held.instrument]
            if one.kind in {"perpetual", "future"}:
                kept = Account(id="x", positions=tuple(p for p in account.positions if _same(p, one.underlying)))
                parts[one.underlying] = charge(kept, each)
        assert sum(parts.values()) == pytest.approx(total, abs=1e-6)
        amounts = list(parts.values())
        squares = sum((1.0 if i == j else 0.3) * a * b for i, a in enumerate(amounts) for j, b in enumerate(amounts))
        wanted = max(amounts, default=0.0) + squares**0.5
        assert charge(account, rulebook) == pytest.approx(wanted, rel=1e-9, abs=1e-9)


def _same(held: Position, underlying: str) -> bool:
    return market().listings[held.instrument].underlying == underlying


@pytest.mark.parametrize("level", ["leg", "strike", "expiry", "bucket", "account"])
def test_the_level_says_what_nets(level: str) -> None:
    """abs(quantity) at a level nets what lies below it, and nothing else."""
    body = f'[charges.charge]\nof = "option"\nlevel = "{level}"\nis = "rate * abs(vega)"\nrate = 1'
    rulebook = made(body)
    for account in random_accounts(REFERENCE, 32, 40, orders=False):
        keys: dict[object, float] = {}
        for i, held in enumerate(account.positions):
            one = market().listings[held.instrument]
            if one.kind == "option":
                vega = _vega(account, held)
                parts = (one.underlying, one.expiry, one.strike, i)
                depth = {"leg": 4, "strike": 3, "expiry": 2, "bucket": 1, "account": 0}[level]
                keys[parts[:depth]] = keys.get(parts[:depth], 0.0) + vega
        assert charge(account, rulebook) == pytest.approx(sum(map(abs, keys.values())), rel=1e-9, abs=1e-6)


_VEGA = """
[charges.charge]
of = "option"
is = "0 * notional"
[values.vegas]
of = "option"
is = "vega"
reported_only = true
"""
_VEGAS = made(_VEGA)


def _vega(account: Account, held: Position) -> float:
    report = assess(replace(account, positions=(held,)), market(), _VEGAS, withdrawable=False)
    return report.lines["vegas"].initial


# --- keyed tables and rows that must agree


def test_an_unknown_key_is_refused_only_when_it_is_asked() -> None:
    body = '[charges.charge]\nof = "perpetual"\nis = "rate * notional"\nrate = { by = "bucket", BTC = 0.1 }'
    rulebook = made(body)
    held = position(perpetual("BTC", "USDC"), 1)
    fine = Account(id="fine", balances={"ETH": Decimal(5), "SOL": Decimal(1)}, positions=(held,))
    assert charge(fine, rulebook) == pytest.approx(0.1 * 60_060 * 0.9995)
    other = Account(id="other", positions=(held, position(perpetual("SOL", "USDC"), 1)))
    book = assess_book(Book.from_accounts([fine, other]), market(), rulebook)
    assert set(book.failures) == {1}
    assert book.failures[1].reason == FailureReason.UNKNOWN_PARAMETER
    assert "no figure for bucket SOL" in book.failures[1].message
    assert book.rows()[0].initial_margin == pytest.approx(0.1 * 60_060 * 0.9995)


@pytest.mark.parametrize(
    ("by", "entries", "wanted"),
    [
        ("bucket", "BTC = 1, ETH = 2", [1, 1, 2]),
        ("instrument", "BTCUSDC = 3, default = 4", [3, 4, 4]),
        ("settlement_asset", "USDC = 5, BTC = 6", [5, 6, 5]),
        ("quote_asset", "USD = 7", [7, 7, 7]),
        ("kind", "perpetual = 8, future = 9", [8, 8, 9]),
        ("asset", "BTC = 10, default = 11", [10, 10, 11]),
    ],
)
def test_what_a_table_is_looked_up_by(by: str, entries: str, wanted: list[int]) -> None:
    body = (
        f'[charges.charge]\nof = ["perpetual", "future"]\nis = "rate * notional"\nrate = {{ by = "{by}", {entries} }}'
    )
    names = ("BTCUSDC", "BTC-PERPETUAL", "ETH-USDC-260327")
    plain = made('[charges.charge]\nof = ["perpetual", "future"]\nis = "notional"')
    for name, factor in zip(names, wanted, strict=True):
        account = Account(id="a", positions=(position(market().listings[name], 1),))
        assert charge(account, made(body)) == pytest.approx(factor * charge(account, plain))


def test_tier_tables_by_key_and_their_functions() -> None:
    body = """
[charges.charge]
of = "perpetual"
is = "marginal(brackets, notional) + step(steps, notional) * notional + ramp(slope, notional) * notional"
brackets = { by = "bucket", BTC = [[10e3, 0.01], [100e3, 0.02], ["inf", 0.05]], default = [["inf", 0.1]] }
steps = [[50e3, 0.001], ["inf", 0.002]]
slope = [[1, 0.5], [100e3, 1.5], ["inf", 1.5]]
"""
    rulebook = made(body)
    tiers = {"BTC": ((10e3, 0.01), (100e3, 0.02), (float("inf"), 0.05)), "ETH": ((float("inf"), 0.1),)}
    for base in ("BTC", "ETH"):
        listing = perpetual(base, "USDC")
        for coins in (0.1, 1.0, -7.0, 40.0):
            notional = abs(coins) * (listing.mark_price or 0.0) * 0.9995
            ramp = min(max(0.5 + (notional - 1) / (100e3 - 1), 0.5), 1.5)
            wanted = progressive(tiers[base], notional) + (0.001 if notional <= 50e3 else 0.002) * notional
            account = Account(id="a", positions=(position(listing, coins),))
            assert charge(account, rulebook) == pytest.approx(wanted + ramp * notional, rel=1e-9)


def test_an_intensive_name_must_agree_across_a_row() -> None:
    body = '[charges.charge]\nof = "option"\nlevel = "strike"\nis = "rate * abs(quantity) * index"\nrate = 0.1'
    call, put = (option("BTC", "USDC", 50, 60_000, call=call) for call in (True, False))
    rulebook = made(body)
    account = Account(id="a", positions=(position(call, 1), position(put, 2)))
    agreed = assess(account, snapshot_of([call, put]), rulebook).initial_margin
    assert agreed == pytest.approx(0.1 * 3 * 60_000 * 0.9995)
    odd = snapshot_of([call, replace(put, index_price=60_001.0)])
    with pytest.raises(InputError, match="index differs between legs of one strike") as refused:
        assess(account, odd, rulebook)
    assert refused.value.reason == FailureReason.INCONSISTENT_ROW
    alone = Account(id="b", positions=(position(put, 2),))
    assert assess(alone, odd, rulebook).initial_margin == pytest.approx(0.2 * 60_001 * 0.9995)


@pytest.mark.parametrize(
    "formula", ["log(zero) * notional", "notional / zero", "exp(big) * notional", "sqrt(-one) * notional"]
)
def test_a_result_that_is_no_number_is_refused(formula: str) -> None:
    numbers = {"zero": "leverage - leverage", "big": "huge * leverage", "one": "leverage"}
    used = next(name for name in numbers if f"({name})" in formula or f"-{name}" in formula or f"/ {name}" in formula)
    body = f'[charges.charge]\nof = "perpetual"\nis = "{formula}"\n{used} = "{numbers[used]}"\n'
    body += "huge = 1e6\n" * (used == "big")
    accounts = [
        Account(id="bad", positions=(position(perpetual("BTC", "USDC"), 1, leverage=decimal(5)),)),
        Account(id="fine", balances={"USD": decimal(5)}),
    ]
    book = assess_book(Book.from_accounts(accounts), market(), made(body))
    assert set(book.failures) == {0}
    assert book.failures[0].reason == FailureReason.UNDEFINED_RESULT
    with pytest.raises(InputError, match="no finite number"):
        book.report(0)
    assert book.report(1).initial_margin == 0


def test_a_table_read_where_a_row_holds_several_keys_is_refused() -> None:
    body = '[charges.charge]\nof = "perpetual"\nlevel = "account"\nis = "rate * abs(delta_value)"\n'
    body += 'rate = { by = "bucket", BTC = 0.1, default = 0.2 }'
    rulebook = made(body)
    bitcoin, ether = position(perpetual("BTC", "USDC"), 1), position(perpetual("ETH", "USDC"), 1)
    assert charge(Account(id="a", positions=(bitcoin,)), rulebook) == pytest.approx(0.1 * 60_000 * 0.9995)
    with pytest.raises(InputError, match="a table by bucket is read at account level") as refused:
        charge(Account(id="a", positions=(bitcoin, ether)), rulebook)
    assert refused.value.reason == FailureReason.INCONSISTENT_ROW


def test_the_lowest_leverage_of_merged_fills_counts() -> None:
    rulebook = made('[charges.charge]\nof = "perpetual"\nis = "notional / leverage"')
    listing = perpetual("BTC", "USDC")
    fills = (position(listing, 1, leverage=decimal(5)), position(listing, 1, leverage=decimal(20)))
    for held in (fills, fills[::-1], (*fills, position(listing, 2))):
        notional = sum(float(one.quantity) for one in held) * 60_060 * 0.9995
        assert charge(Account(id="a", positions=held), rulebook) == pytest.approx(notional / 5)


def test_each_requirement_reads_its_own_variant() -> None:
    body = """
[charges.charge]
of = "perpetual"
is = "rate * notional"
rate = { maintenance = 0.1, initial = 0.2, transfer = 0.25, middle = 0.05 }
[requirement]
maintenance = "charge"
initial = "charge"
transfer = "2 * charge"
middle = "charge.maintenance + charge"
"""
    account = Account(id="a", positions=(position(perpetual("BTC", "USDC"), 1),))
    (pool,) = assess(account, market(), made(body, requirement=""), withdrawable=False).pools
    notional = 60_060 * 0.9995
    wanted = {"maintenance": 0.1, "initial": 0.2, "transfer": 0.5, "middle": 0.15}
    assert pool.requirements == pytest.approx({name: rate * notional for name, rate in wanted.items()})
