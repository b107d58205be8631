"""Exact mode: the same lines on fractions. It agrees with floats, and is right to the unit where they cannot be."""

from __future__ import annotations

import operator
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from functools import cache
from math import ceil, floor, inf, nan

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from crossmargin.account import Account, MarginMode, Order, Position
from crossmargin.errors import FailureReason, InputError
from crossmargin.instruments import ContractKind
from crossmargin.margin import ExactPool, ExactReport, Rulebook, assess, assess_exact
from crossmargin.margin.exact_functions import EXACT_FUNCTIONS
from crossmargin.margin.exact_number import Exact, exact
from crossmargin.margin.functions import NUMPY_FUNCTIONS, TierColumn
from crossmargin.margin.model import Tiers
from crossmargin.market import AssetQuote, Listing
from tests.margin.rules import made
from tests.strategies.books import (
    AS_OF,
    ASSETS,
    decimal,
    future,
    market,
    option,
    perpetual,
    position,
    random_accounts,
    rules,
    snapshot_of,
)

FORMULAS_ONLY = (
    "binance-usdm@2024-01-01",
    "deribit-standard@2024-04-01",
    "deribit-standard-cross@2026-02-01",
    "hyperliquid-cross@2026-02-04",
)
COUNT = 40

# every function that has an exact result, and nothing else
ROUNDING = made(
    """
[parameters]
tick = 0.01
share = "1 / third"
third = 3
tiers = [[5_000, 0.013], [70_000, 0.021], ["inf", 0.037]]
knots = [[1_000, 0.1], [90_000, 0.3], ["inf", 0.3]]
unit = { tick = "money" }
[charges.tiered]
of = "perpetual"
is = "ceil(marginal(tiers, notional) + step(tiers, notional) * abs(pnl), tick)"
[charges.ramped]
level = "bucket"
is = "floor(ramp(knots, abs(delta_value)) * abs(delta_value) * share, tick)"
[charges.held]
is = "when(quantity < 0, clip(notional, lowest, highest), min(notional, highest)) * fee"
lowest = 10
highest = 50_000
unit = { lowest = "money", highest = "money" }
fee = { maintenance = 0.0007, initial = 0.0011 }
[charges.top]
level = "account"
is = "(largest(held) / max(held, tick)) ** two * tick"
two = 2
[charges.filled]
kind = "worst_side"
line = "tiered"
""",
    requirement="filled + ramped + held + top",
)


def near(found: float, wanted: Fraction, scale: float) -> bool:
    return abs(Fraction(found) - wanted) <= Fraction(scale) / 10**12


def assert_agrees(account: Account, rulebook: Rulebook) -> None:
    """Equity, adjusted equity and every requirement of every pool, and the totals of the lines."""
    report = assess(account, market(), rulebook, withdrawable=False)
    found = assess_exact(account, market(), rulebook)
    assert [pool.pool for pool in found.pools] == [pool.pool for pool in report.pools]
    assert [pool.reporting_asset for pool in found.pools] == [pool.reporting_asset for pool in report.pools]
    for said, pool in zip(report.pools, found.pools, strict=True):
        scale = abs(said.equity) + said.initial_margin + sum(abs(amount.initial) for amount in said.lines.values())
        assert near(said.equity, pool.equity, scale)
        assert near(said.adjusted_equity_initial, pool.adjusted["initial"], scale)
        assert near(said.adjusted_equity_maintenance, pool.adjusted["maintenance"], scale)
        assert set(pool.requirements) == set(said.requirements)
        for name, amount in said.requirements.items():
            assert near(amount, pool.requirements[name], scale)
        for name, line in said.lines.items():
            assert near(line.initial, pool.lines[name]["initial"], scale)
            assert near(line.maintenance, pool.lines[name]["maintenance"], scale)


@pytest.mark.parametrize("spec", FORMULAS_ONLY)
def test_shipped_rulebooks_agree_with_floats(spec: str) -> None:
    for account in random_accounts(spec, 71, COUNT):
        assert_agrees(account, rules(spec))


def test_every_exact_function_agrees_with_floats() -> None:
    accounts = random_accounts("hyperliquid-cross@2026-02-04", 72, COUNT)
    assert any(account.orders for account in accounts)
    for account in accounts:
        assert_agrees(account, ROUNDING)


# --- to the unit

MONEY = 'unit = { tick = "money" }'


def one_perpetual(quantity: str, mark: float, body: str, **changes: object) -> ExactReport:
    """One linear perpetual in USD, entered at its mark, under one charge."""
    listing = perpetual("BTC", "USD", contract=ContractKind.LINEAR, mark_price=mark, index_price=mark)
    held = Position(instrument=listing.symbol, quantity=Decimal(quantity), entry_price=decimal(mark))
    account = Account(id="a", balances={"USD": Decimal(0)}, positions=(held,))
    return assess_exact(replace(account, **changes), snapshot_of([listing]), made(body))


@pytest.mark.parametrize(
    ("quantity", "mark", "rate", "unit", "expected"),
    [
        ("-10000", 1234567.89123, "0.2", 6, 2469135782460000),
        # beyond 2^53 = 9007199254740992, where floats step by 2 and more
        ("-9007199254740993", 1.0, "1.0", 0, 9007199254740993),
        ("123456789012345678901", 1.0, "1.0", 0, 123456789012345678901),
        ("1234567.891234567891234567", 1000.001, "0.05", 18, None),
        ("0.1", 3.0, "0.1", 2, None),  # floats come out above 0.03
    ],
)
def test_integers_beyond_floats(quantity: str, mark: float, rate: str, unit: int, expected: int | None) -> None:
    tick = f"tick = 1e-{unit}"
    body = f'[charges.charge]\nof = "perpetual"\nis = "ceil(rate * notional, tick)"\nrate = {rate}\n{tick}\n{MONEY}'
    found = one_perpetual(quantity, mark, body).pool.requirements["initial"] * 10**unit
    assert found.denominator == 1
    true = abs(Fraction(quantity)) * Fraction(repr(mark)) * Fraction(rate) * 10**unit
    assert found == ceil(true)
    assert expected is None or found == expected


def test_a_rounding_error_does_not_cost_a_unit() -> None:
    # 0.1 + 0.2 is 0.3, and 1.1 * 1.1 is 1.21: in floats both lie above, and the next unit would be charged
    body = (
        '[charges.charge]\nof = "perpetual"\nis = "ceil((a + b) * notional, tick)"\na = 0.1\nb = 0.2\ntick = 0.1\n'
        + MONEY
    )
    assert one_perpetual("1", 1.0, body).pool.requirements["initial"] == Fraction(3, 10)
    body = (
        '[charges.charge]\nof = "perpetual"\nis = "floor(share * notional, tick)"\nshare = 1.1\ntick = 0.01\n' + MONEY
    )
    assert one_perpetual("1", 1.1, body).pool.requirements["initial"] == Fraction(121, 100)


def test_nothing_in_exact_mode_is_close_enough() -> None:
    # floats take what lies within 1e-12 of a unit for the unit; the true number is above it
    body = '[charges.charge]\nof = "perpetual"\nis = "ceil(notional, tick)"\ntick = 1\n' + MONEY
    report = one_perpetual("1.00000000000000000001", 1.0, body)
    assert report.pool.requirements["initial"] == 2


def test_thirds_stay_thirds() -> None:
    body = '[charges.charge]\nof = "perpetual"\nis = "notional / third"\nthird = 3'
    report = one_perpetual("-1", 1.0, body)
    assert report.pool.requirements == {"maintenance": Fraction(1, 3), "initial": Fraction(1, 3)}
    assert report.pool.lines["charge"]["initial"] == Fraction(1, 3)


def test_time_is_exact() -> None:
    listing = future("BTC", "USDC", 30)
    body = '[charges.charge]\nof = "future"\nis = "ceil(days, 1) * notional / (price * quantity) * dollar"\n'
    body += 'dollar = 1\nunit = { dollar = "money" }'
    account = Account(id="a", balances={}, positions=(position(listing, 1),))
    assert assess_exact(account, snapshot_of([listing]), made(body)).pool.requirements["initial"] == 30
    late = replace(listing, expiry=AS_OF + timedelta(days=30, microseconds=1))
    found = assess_exact(account, snapshot_of([late]), made(body.replace("ceil(days, 1)", "days")))
    assert found.pool.requirements["initial"] == 30 + Fraction(1, 86_400 * 10**6)


def test_ratios_of_prices_are_exact() -> None:
    assets = {**ASSETS, "USDC": AssetQuote(price=0.9997, stable_price=1.0001, twap=0.7)}
    body = '[charges.charge]\nof = "asset"\nis = "value * stable_ratio * twap_ratio"'
    account = Account(id="a", balances={"USDC": Decimal(3)})
    found = assess_exact(account, snapshot_of([], assets=assets), made(body)).pool
    assert found.requirements["initial"] == 3 * Fraction("1.0001") * Fraction("0.7") / Fraction("0.9997")
    assert found.equity == 3 * Fraction("0.9997")


def test_an_inverse_contract_in_its_own_coin() -> None:
    listing = perpetual("BTC", "BTC", mark_price=3.0, index_price=3.0)
    held = Position(instrument=listing.symbol, quantity=Decimal(7), entry_price=Decimal(11))
    account = Account(id="a", balances={"BTC": Decimal(1)}, positions=(held,))
    assets = {**ASSETS, "BTC": AssetQuote(price=3.0)}
    body = '[charges.charge]\nof = "perpetual"\nis = "notional"'
    rulebook = made(body, reporting="settlement", pools='by = "settlement_asset"')
    pool = assess_exact(account, snapshot_of([listing], assets=assets), rulebook).pool
    assert (pool.pool, pool.reporting_asset) == ("BTC", "BTC")
    assert pool.requirements["initial"] == Fraction(70, 3)
    assert pool.equity == 1 + 70 * (Fraction(1, 11) - Fraction(1, 3))


def test_inputs_and_isolated_pools_are_exact() -> None:
    body = '[inputs]\ngiven = { default = 0.1, unit = "money" }\n[charges.charge]\nlevel = "account"\nis = "given"'
    listing = perpetual("ETH", "USDC", mark_price=1.0)
    amount = Decimal("0.30000000000000000001")
    alone = Position(
        instrument=listing.symbol, quantity=Decimal(1), entry_price=Decimal(1), margin_mode=MarginMode.ISOLATED,
        isolated_collateral={"USD": amount},
    )  # fmt: skip
    account = Account(id="a", balances={"USD": amount}, positions=(alone,), inputs={"given": amount})
    found = assess_exact(account, snapshot_of([listing]), made(body))
    assert [pool.equity for pool in found.pools] == [Fraction(amount)] * 2
    assert [pool.requirements["initial"] for pool in found.pools] == [Fraction(amount), 0]
    plain = assess_exact(replace(account, inputs={}), snapshot_of([listing]), made(body))
    assert plain.pool.requirements["initial"] == Fraction(1, 10)


def test_an_account_that_holds_nothing() -> None:
    body = '[charges.charge]\nlevel = "account"\nis = "when(value > 0, value / value, 0) * dollar"\ndollar = 1\n'
    pool = assess_exact(Account(id="a"), snapshot_of([]), made(body + 'unit = { dollar = "money" }')).pool
    assert pool.equity == 0
    assert pool.requirements["initial"] == 0


# --- order and splitting

AMOUNTS = st.decimals(-1000, 1000, places=7).filter(bool)
ENTRIES = st.decimals(1, 100_000, places=5)
SYMBOLS = ("BTCUSDC", "ETHUSDC", "SOLUSDC", "BTC-PERPETUAL", "ETH-USDC-260327")


@cache
def held_in(symbol: str) -> Listing:
    return market().listings[symbol]


POSITIONS = st.lists(st.builds(lambda s, q, e: Position(instrument=s, quantity=q, entry_price=e),
                               st.sampled_from(SYMBOLS), AMOUNTS, ENTRIES), min_size=1, max_size=6,
                     unique_by=lambda p: p.instrument)  # fmt: skip


def of_positions(positions: list[Position]) -> ExactPool:
    account = Account(id="a", balances={"USD": Decimal("1e6")}, positions=tuple(positions))
    return assess_exact(account, market(), ROUNDING).pool


def figures(pool: ExactPool) -> tuple[object, ...]:
    return pool.equity, pool.requirements, pool.adjusted, pool.lines


@given(positions=POSITIONS, order=st.randoms(use_true_random=False))
def test_order_changes_nothing(positions: list[Position], order: object) -> None:
    shuffled = list(positions)
    order.shuffle(shuffled)  # type: ignore[attr-defined]
    assert figures(of_positions(shuffled)) == figures(of_positions(positions))


@given(positions=POSITIONS, part=AMOUNTS)
def test_a_fill_in_two_parts_is_one_fill(positions: list[Position], part: Decimal) -> None:
    """Fills of one contract in one pool are one leg: the parts may come in any two amounts at the same price."""
    first, *rest = positions
    other = first.quantity - part
    if not other:
        return
    parts = [replace(first, quantity=part), replace(first, quantity=other, pool="aside")]
    assert figures(of_positions([*parts, *rest])) == figures(of_positions(positions))


# --- rows


def test_a_line_is_read_on_a_row() -> None:
    coins = {"BTCUSDC": 2, "BTC-PERPETUAL": 1, "ETHUSDC": -3}
    held = tuple(position(held_in(name), quantity) for name, quantity in coins.items())
    account = Account(id="a", balances={"USDC": Decimal(5)}, positions=held)
    pool = assess_exact(account, market(), ROUNDING).pool
    mark = Fraction(repr(held_in("ETHUSDC").mark_price)) * Fraction("0.9995")
    assert pool.on_row("held", "ETHUSDC", "initial") == 3 * mark * Fraction("0.0011")
    by_bucket = [pool.on_row("ramped", bucket, "initial") for bucket in ("BTC", "ETH", "USDC")]
    assert sum(by_bucket) == pool.lines["ramped"]["initial"]
    assert all(amount > 0 and (amount * 100).denominator == 1 for amount in by_bucket[:2])
    assert pool.on_row("ramped", "SOL", "initial") == 0
    assert (
        sum(row.value for row in pool.rows if (row.line, row.requirement) == ("held", "initial"))
        == (pool.lines["held"]["initial"])
    )


def test_orders_count_at_their_own_decimals() -> None:
    body = '[charges.charge]\nof = "perpetual"\nis = "bid_value + bids * price"'
    listing = perpetual("ETH", "USDC", mark_price=2.0, settlement_asset="USD")
    order = Order(instrument=listing.symbol, quantity=Decimal("0.1"), limit_price=Decimal("3.00000000000000000001"))
    account = Account(id="a", orders=(order, order))
    found = assess_exact(account, snapshot_of([listing]), made(body)).pool.requirements["initial"]
    assert found == Fraction(2, 10) * (Fraction(order.limit_price) + 2)


# --- refusals


def refused(body: str, requirement: str = "charge", **changes: object) -> InputError:
    listing = perpetual("BTC", "USDC")
    near_by = option("BTC", "USDC", 50, 60_000.0, call=True)
    account = Account(id="a", balances={"USD": Decimal(1)}, positions=(position(listing, 1), position(near_by, 1)))
    with pytest.raises(InputError) as error:
        assess_exact(replace(account, **changes), snapshot_of([listing, near_by]), made(body, requirement=requirement))
    return error.value


@pytest.mark.parametrize(
    ("formula", "told"),
    [
        ("sqrt(notional * notional)", "sqrt(...) has no exact result"),
        ("exp(rate) * notional", "exp(...) has no exact result"),
        ("log(rate) * notional", "log(...) has no exact result"),
        ("lognormal_es_up(rate, 0, 1) * notional", "lognormal_es_up(...) has no exact result"),
        ("notional * rate ** rate", "a power that is no whole number has no exact result"),
        ("notional * rate ** many", "a power that is no whole number has no exact result"),
        ("vega", "what is computed in floating point (Greeks, vols, scenarios) has no exact result"),
        ("abs(delta_value)", "what is computed in floating point (Greeks, vols, scenarios) has no exact result"),
        ("gamma * index * index", "what is computed in floating point (Greeks, vols, scenarios) has no exact result"),
    ],
)
def test_what_rounds_by_its_nature_is_refused(formula: str, told: str) -> None:
    body = f'[charges.inner]\nis = "{formula}"\nrate = 0.5\nmany = 100_000\n[charges.charge]\nis = "inner + value"'
    for unread in ("rate", "many"):
        body = body if unread in formula else body.replace(f"{unread} = ", f"# {unread} = ")
    error = refused(body)
    assert error.reason == FailureReason.UNDEFINED_RESULT
    assert error.account == "a"
    assert error.message.startswith(f"line inner: {told}; exact mode computes with")


def test_root_and_kinds_are_refused() -> None:
    body = '[charges.inner]\nlevel = "bucket"\nis = "notional"\n[charges.charge]\nlevel = "account"\n'
    assert "line charge: sqrt(...)" in str(refused(body + 'is = "root(inner, rho)"\nrho = 0.5'))
    scan = '[scenarios]\nset = [{ spot = [-0.1, 0.1] }]\n[charges.charge]\nlevel = "bucket"\nkind = "scan"\n'
    assert "line charge: a line of kind scan has no exact result" in str(refused(scan + 'scenarios = "set"'))
    payoff = '[charges.charge]\nlevel = "expiry"\nof = "option"\nkind = "max_loss"'
    assert "line charge: a line of kind max_loss has no exact result" in str(refused(payoff))


def test_what_no_requirement_reads_is_not_refused() -> None:
    body = """
[charges.seen]
is = "sqrt(notional * notional)"
reported_only = true
[charges.charge]
of = "perpetual"
is = "notional"
"""
    listing = perpetual("BTC", "USDC", mark_price=2.0, settlement_asset="USD")
    account = Account(id="a", positions=(position(listing, 1),))
    pool = assess_exact(account, snapshot_of([listing]), made(body)).pool
    assert pool.requirements["initial"] == 2
    assert "seen" not in pool.lines
    assert pool.lines["charge"] == {"maintenance": 2, "initial": 2}


def test_a_number_that_is_not_there_is_refused_where_it_is_read() -> None:
    listing = perpetual("BTC", "USDC")
    account = Account(id="a", positions=(position(listing, 1),))
    unread = made('[charges.charge]\nis = "when(quantity > 0, notional, notional * iv)"')
    assert assess_exact(account, snapshot_of([listing]), unread).pool.requirements["initial"] > 0
    for formula in ("notional * iv", "notional * max(1, iv)", "notional * min(iv, 1)", "ceil(iv, tick) * notional",
                    "notional * step(tiers, iv)", "notional * marginal(tiers, iv)",
                    "notional * ramp(tiers, iv)"):  # fmt: skip
        body = f'[charges.charge]\nis = "{formula}"\n'
        body += 'tiers = [[1, 0.1], ["inf", 0.2]]' if "tiers" in formula else "tick = 1" if "tick" in formula else ""
        with pytest.raises(InputError, match="no finite") as error:
            assess_exact(account, snapshot_of([listing]), made(body))
        assert error.value.reason == FailureReason.UNDEFINED_RESULT


def test_the_refusals_of_assess_are_its_own() -> None:
    listing = perpetual("BTC", "USDC", observed_at=AS_OF - timedelta(hours=2))
    account = Account(id="a", positions=(position(listing, 1),))
    rulebook = made('[charges.charge]\nis = "notional"')
    with pytest.raises(InputError) as stale:
        assess_exact(account, snapshot_of([listing]), rulebook)
    assert stale.value.reason == FailureReason.STALE_QUOTE
    assert assess_exact(account, snapshot_of([listing]), rulebook, max_quote_age_seconds=None).pool.equity == 0
    expired = future("BTC", "USDC", -1, delivery_price=50_000.0)
    account = Account(id="a", positions=(position(expired, 1),))
    for run in (assess, assess_exact):
        with pytest.raises(InputError, match="delivery price 50000") as error:
            run(account, snapshot_of([expired]), rulebook)
        assert error.value.reason == FailureReason.EXPIRED


def test_an_unknown_key_is_refused() -> None:
    body = '[charges.charge]\nof = "perpetual"\nis = "rate * notional"\nrate = { by = "bucket", ETH = 0.1 }'
    assert refused(body).reason == FailureReason.UNKNOWN_PARAMETER


def test_keyed_entries_of_every_form_are_exact() -> None:
    body = """
[charges.charge]
of = "perpetual"
is = "ceil(rate * notional, tick) + notional * keyed"
rate = { by = "bucket", ETH = "third / ten", default = 0.1 }
keyed = { by = "bucket", ETH = 0.1, default = 0.2 }
third = "1 / of_three"
of_three = 3
ten = 10
tick = 0.01
unit = { tick = "money" }
"""
    listings = [perpetual(base, "USDC", mark_price=0.3, settlement_asset="USD") for base in ("BTC", "ETH")]
    account = Account(id="a", positions=tuple(position(one, 10) for one in listings))
    pool = assess_exact(account, snapshot_of(listings), made(body)).pool
    assert pool.on_row("charge", "BTCUSDC", "initial") == Fraction("0.3") + Fraction("0.6")
    assert pool.on_row("charge", "ETHUSDC", "initial") == Fraction("0.1") + Fraction("0.3")


# --- the largest of what is undefined


def test_the_largest_of_an_undefined_column_is_undefined() -> None:
    """A perpetual has no vol. Its row must not take another row's number, in floats or in fractions."""
    body = '[charges.inner]\nis = "iv * notional"\n[charges.charge]\nlevel = "account"\nis = "largest(inner)"'
    listing, near_by = perpetual("BTC", "USDC"), option("BTC", "USDC", 50, 60_000.0, call=True)
    account = Account(id="a", positions=(position(listing, 1), position(near_by, 1)))
    for run in (assess, assess_exact):
        with pytest.raises(InputError) as error:
            run(account, snapshot_of([listing, near_by]), made(body))
        assert error.value.reason == FailureReason.UNDEFINED_RESULT


# --- the number

PLAIN = st.sampled_from([0.0, 1.0, -1.0, 0.5, 3.0, -2.0, inf, -inf, nan])
ARITHMETIC = (operator.add, operator.sub, operator.mul, operator.truediv)
ORDER = (operator.lt, operator.le, operator.gt, operator.ge, operator.eq, operator.ne)


@given(left=PLAIN, right=PLAIN)
def test_infinities_and_nan_follow_float64(left: float, right: float) -> None:
    with np.errstate(all="ignore"):
        for combine in ARITHMETIC:
            if right == 0 and combine is operator.truediv and np.isinf(left):
                continue  # the sign of 0 decides there, and a fraction's 0 has none
            wanted = float(combine(np.float64(left), np.float64(right)))
            for found in (combine(exact(left), exact(right)), combine(left, exact(right)), combine(exact(left), right)):
                assert found.value == pytest.approx(wanted, nan_ok=True)
    for compare in ORDER:
        assert compare(exact(left), exact(right)) == compare(left, right)


@given(value=st.floats(allow_nan=False, allow_infinity=False))
def test_a_float_is_the_decimal_it_is_written_as(value: float) -> None:
    assert exact(value).value == Fraction(repr(value))
    assert exact(np.float64(value)).value == Fraction(repr(value))
    assert -exact(value) == exact(-value)
    assert abs(exact(value)) == exact(abs(value))
    assert bool(exact(value)) == bool(value)
    assert hash(exact(value)) == hash(Fraction(repr(value)))


def test_what_no_number_is() -> None:
    with pytest.raises(TypeError, match="a number was expected, found 'x'"):
        exact("x")
    with pytest.raises(TypeError):
        exact(1) + "x"
    assert exact(1) != "x"
    with pytest.raises(InputError, match="no exact result"):
        float(exact(1))
    assert repr(exact(0.1)) == "Exact(1/10)"
    assert (exact(0) ** -1).value == inf
    assert (exact(2) ** -2).value == Fraction(1, 4)
    assert (2 ** exact(3)).value == 8
    assert np.isnan((exact(inf) ** 2).value)


TABLES = TierColumn(
    (Tiers((5.0, 20.0, inf), (0.1, 0.2, 0.4)), Tiers((inf,), (0.3,)), Tiers((0.0, 7.0, inf), (1.0, 3.0, 3.0))),
    np.asarray([0, 1, 2]),
)


@given(amounts=st.tuples(*[st.decimals(-30, 60, places=3)] * 3))
def test_tables_agree_with_floats(amounts: tuple[Decimal, ...]) -> None:
    column = np.asarray([exact(amount) for amount in amounts], dtype=object)
    for name in ("marginal", "step", "ramp"):
        found = EXACT_FUNCTIONS[name](TABLES, column)
        wanted = NUMPY_FUNCTIONS[name](TABLES, np.asarray(amounts, dtype=np.float64))
        assert [float(number.value) for number in found] == pytest.approx(wanted.tolist(), rel=1e-12, abs=1e-12)
    first = EXACT_FUNCTIONS["marginal"](TierColumn(TABLES.tables[:1]), column[0])
    x = max(Fraction(amounts[0]), Fraction(0))
    parts = min(x, Fraction(5)) / 10 + min(max(x - 5, Fraction(0)), Fraction(15)) / 5
    parts += max(x - 20, Fraction(0)) * Fraction(4, 10)
    assert first[0].value == parts


@given(x=st.decimals(-1000, 1000, places=9), unit=st.sampled_from(["0.001", "0.3", "7", "1e-8"]))
def test_rounding_is_that_of_the_true_number(x: Decimal, unit: str) -> None:
    multiple = Fraction(x) / Fraction(unit)
    assert EXACT_FUNCTIONS["ceil"](exact(x), exact(Decimal(unit))).value == ceil(multiple) * Fraction(unit)
    assert EXACT_FUNCTIONS["floor"](exact(x), exact(Decimal(unit))).value == floor(multiple) * Fraction(unit)
    assert np.isnan(EXACT_FUNCTIONS["ceil"](exact(nan), exact(1)).value)


def test_min_and_max_keep_what_is_undefined() -> None:
    for name in ("min", "max"):
        for parts in ((exact(nan), exact(1)), (exact(1), exact(nan)), (exact(1), exact(2), exact(nan))):
            assert np.isnan(EXACT_FUNCTIONS[name](*parts).value)
    assert EXACT_FUNCTIONS["clip"](exact(5), exact(1), exact(3)).value == 3
    assert isinstance(EXACT_FUNCTIONS["max"](exact(1), exact(inf)), Exact)


def test_an_option_without_an_entry_price_is_refused_without_a_warning() -> None:
    call = next(one for one in market().listings.values() if one.kind == "option" and one.settlement_asset == "USDC")
    account = Account(id="a", positions=(Position(instrument=call.symbol, quantity=Decimal(1)),))
    with pytest.raises(InputError, match="assess it without"):
        assess_exact(account, market(), rules("reference@2020-01-01"))
