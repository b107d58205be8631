"""What must hold under every shipped rulebook, on whole books of random accounts in its scope."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import numpy as np
import pytest
from msgspec.structs import asdict, replace

from crossmargin.account import Account, Book, Position
from crossmargin.instruments import ContractKind, InstrumentKind
from crossmargin.kernels import segment_sum
from crossmargin.margin import AccountState, BookReport, assess, assess_book, assess_resolved
from crossmargin.margin.trigger import STATES
from tests.strategies.books import (
    LATEST,
    SPECS,
    coins_of,
    decimal,
    in_scope,
    market,
    position,
    random_accounts,
    rules,
)

if TYPE_CHECKING:
    import numpy.typing as npt

    from crossmargin.market import Listing

FIGURES = ("equity", "adjusted_initial", "adjusted_maintenance", "initial", "maintenance")
COUNT = 60

every_rulebook = pytest.mark.parametrize("spec", SPECS)


def report_of(accounts: tuple[Account, ...] | list[Account], spec: str) -> BookReport:
    return assess_book(Book.from_accounts(accounts), market(), rules(spec))


def figures(book: BookReport) -> npt.NDArray[np.float64]:
    """All money columns by account, [figures, accounts], in the reporting asset."""
    return np.stack([book.account_sum(getattr(book, f"unit_{name}")) for name in FIGURES])


def gross(book: BookReport) -> npt.NDArray[np.float64]:
    """What rounding is measured against, [accounts]: the sum of all that was added up."""
    legs = book.resolved.legs
    worth: npt.NDArray[np.float64] = np.abs(legs.quantity * book.evaluation.measures["price"]) + np.abs(
        book.evaluation.measures["notional"]
    )
    return book.account_sum(segment_sum(worth, legs.unit, len(book.resolved.units)))


def assert_same(found: BookReport, wanted: BookReport) -> None:
    assert not wanted.failures
    assert not found.failures
    assert (np.abs(figures(found) - figures(wanted)) <= 1e-12 * gross(wanted)).all()


@every_rulebook
def test_random_accounts_are_assessed(spec: str) -> None:
    book = report_of(random_accounts(spec, 0, COUNT), spec)
    assert not book.failures
    charged = book.account_sum(book.unit_maintenance)
    assert (charged > 0).mean() > 0.7  # the generator makes accounts that the other tests have something to say about
    assert (book.account_sum(book.unit_initial) >= 0).all()


@every_rulebook
def test_a_flat_account_requires_exactly_nothing(spec: str) -> None:
    rng = np.random.default_rng(1)
    assets = sorted(market().assets)
    accounts = [Account(id="nothing")]
    for i in range(40):
        held = rng.choice(assets, size=int(rng.integers(1, len(assets) + 1)), replace=False).tolist()
        balances = {asset: decimal(round(10 ** rng.uniform(-2, 6), 4)) for asset in held}
        accounts.append(Account(id=f"flat-{i}", balances=balances))
    book = report_of(accounts, spec)
    assert not book.failures
    for name in rules(spec).requirements:
        assert not book.evaluation.requirement(name).any(), name
    assert (book.unit_coverage == np.inf).all()


@every_rulebook
def test_fills_merged_or_split_change_nothing(spec: str) -> None:
    if rules(spec).pool_by == "position":
        pytest.skip(f"under {spec} two positions in one contract are two pools")
    accounts = random_accounts(spec, 2, COUNT)
    rng = np.random.default_rng(2)
    split = [replace(one, positions=_fills(one.positions, rng)) for one in accounts]
    assert_same(report_of(split, spec), report_of(accounts, spec))


def _fills(held: tuple[Position, ...], rng: np.random.Generator) -> tuple[Position, ...]:
    """Two fills at two prices for each position, whose average is the position's entry; shuffled."""
    fills = []
    for one in held:
        listing, entry = market().listings[one.instrument], float(one.entry_price or 0)
        first = decimal(float(one.quantity) * rng.uniform(0.2, 0.8))
        second = one.quantity - first
        price = entry * rng.uniform(0.95, 1.05)
        a, b, q = float(first), float(second), float(one.quantity)
        inverse = listing.contract == ContractKind.INVERSE and listing.kind != InstrumentKind.OPTION
        other = b / (q / entry - a / price) if inverse else (q * entry - a * price) / b
        fills.append(replace(one, quantity=first, entry_price=decimal(price)))
        fills.append(replace(one, quantity=second, entry_price=decimal(other)))
    return tuple(fills[i] for i in rng.permutation(len(fills)))


@every_rulebook
def test_the_order_of_positions_and_balances_changes_nothing(spec: str) -> None:
    accounts = random_accounts(spec, 3, COUNT)
    turned = [
        replace(
            one,
            positions=one.positions[::-1],
            orders=one.orders[::-1],
            balances=dict(list(one.balances.items())[::-1]),
        )
        for one in reversed(accounts)
    ]
    wanted, found = report_of(accounts, spec), report_of(turned, spec)
    difference = figures(found)[:, ::-1] - figures(wanted)
    assert (np.abs(difference) <= 1e-12 * gross(wanted)).all()


@every_rulebook
def test_cash_never_lowers_headroom(spec: str) -> None:
    accounts = random_accounts(spec, 4, COUNT)
    rulebook = rules(spec)
    cash = "USDC" if rulebook.pool_by == "settlement_asset" else rulebook.reporting
    before = report_of(accounts, spec)
    for amount in (1, 10_000, 10_000_000):
        richer = [
            replace(one, balances={**one.balances, cash: one.balances.get(cash, Decimal(0)) + amount})
            for one in accounts
        ]
        after = report_of(richer, spec)
        slack = 1e-12 * gross(before)
        for adjusted, required in (("adjusted_initial", "initial"), ("adjusted_maintenance", "maintenance")):
            rise = _headroom(after, adjusted, required) - _headroom(before, adjusted, required)
            assert (rise >= -slack).all()
            assert (after.account_sum(after.unit_equity) > before.account_sum(before.unit_equity)).all()


def _headroom(book: BookReport, adjusted: str, required: str) -> npt.NDArray[np.float64]:
    return book.account_sum(getattr(book, f"unit_{adjusted}") - getattr(book, f"unit_{required}"))


@every_rulebook
def test_maintenance_grows_with_an_outright_position(spec: str) -> None:
    sizes = (0.01, 0.5, 1.0, 2.0, 50.0, 1_000.0)
    outright = [(listing, sign) for listing in in_scope(rules(spec)) for sign in (1, -1)]
    accounts = [
        Account(id=f"{listing.symbol} {sign * size}", positions=(position(listing, sign * size),))
        for listing, sign in outright
        for size in sizes
    ]
    book = report_of(accounts, spec)
    assert not book.failures
    required = book.account_sum(book.unit_maintenance).reshape(len(outright), len(sizes))
    for (listing, sign), row in zip(outright, required, strict=True):
        assert (np.diff(row) >= -1e-9 * row[1:]).all(), (listing.symbol, sign, row)
        if _must_be_charged(listing, sign):
            assert row[0] > 0, (listing.symbol, sign)
            floor = _FLOORS.get(rules(spec).name, 0.0)
            assert ((np.diff(row) > 0) | (row[1:] == floor)).all(), (listing.symbol, sign, row)


_FLOORS = {"gmx-v2": 1.0}  # dollars that the smallest position requires


def _must_be_charged(listing: Listing, sign: int) -> bool:
    """A contract that can lose more than was paid for it."""
    return listing.kind in {InstrumentKind.PERPETUAL, InstrumentKind.FUTURE} or (
        listing.kind == InstrumentKind.OPTION and sign < 0
    )


# Rulebooks that charge more than in proportion, or a fixed amount, and so do not scale.
_NOT_PROPORTIONAL = {
    "binance-coinm": "brackets",
    "binance-portfolio": "tiers of collateral",
    "binance-usdm": "brackets",
    "bitcom-unified": "tiers",
    "bybit-portfolio": "tiers of collateral",
    "bybit-unified": "tiers",
    "deribit-portfolio": "a dampener in dollars",
    "deribit-portfolio-cross": "a dampener in dollars",
    "deribit-standard": "a slope on the position",
    "deribit-standard-cross": "a slope on the position",
    "drift-v2": "square root of the quantity",
    "dydx-v4": "rounding to a millionth",
    "gmx-v2": "a least collateral in dollars",
    "hyperliquid-portfolio": "a least borrow in dollars",
    "okx-portfolio": "tiers",
    "reference": "concentration",
    "synthetix-perps": "skew",
    "vega": "rounding to the asset's unit",
}


@pytest.mark.parametrize("spec", [spec for spec in LATEST if spec.split("@")[0] not in _NOT_PROPORTIONAL])
def test_three_times_everything_requires_three_times(spec: str) -> None:
    accounts = random_accounts(spec, 7, COUNT)
    tripled = [
        replace(
            one,
            balances={name: amount * 3 for name, amount in one.balances.items()},
            positions=tuple(replace(held, quantity=held.quantity * 3) for held in one.positions),
            orders=tuple(replace(order, quantity=order.quantity * 3) for order in one.orders),
        )
        for one in accounts
    ]
    once, thrice = report_of(accounts, spec), report_of(tripled, spec)
    assert not once.failures
    assert (np.abs(figures(thrice) - 3.0 * figures(once)) <= 1e-11 * gross(thrice)).all()


# Models by whose rule a bought option requires nothing beyond its premium: who holds nothing else is never liquidated.
_PREMIUM_IS_THE_MOST = (
    *("binance-options", "bitcom-unified", "bybit-unified", "deribit-standard", "deribit-standard-cross"),
    *("derive-standard", "family-rules", "reg-t"),
)


@pytest.mark.parametrize("spec", [spec for spec in LATEST if spec.split("@")[0] in _PREMIUM_IS_THE_MOST])
def test_bought_options_alone_are_never_liquidatable(spec: str) -> None:
    rng = np.random.default_rng(5)
    options = [one for one in in_scope(rules(spec)) if one.kind == InstrumentKind.OPTION]
    accounts = [
        Account(
            id=f"{number}",
            positions=tuple(
                position(options[i], abs(coins_of(rng, options[i])))
                for i in rng.choice(len(options), size=int(rng.integers(1, 5)), replace=False)
            ),
        )
        for number in range(200)
    ]
    book = report_of(accounts, spec)
    assert not book.failures
    assert not (book.unit_state >= STATES.index(AccountState.LIQUIDATABLE)).any()


@every_rulebook
def test_initial_headroom_is_never_above_maintenance_headroom(spec: str) -> None:
    book = report_of(random_accounts(spec, 5, 4 * COUNT), spec)
    initial = book.unit_adjusted_initial - book.unit_initial
    maintenance = book.unit_adjusted_maintenance - book.unit_maintenance
    slack = 1e-12 * (np.abs(book.unit_adjusted_initial) + np.abs(book.unit_initial))
    assert (initial <= maintenance + slack).all()


@every_rulebook
def test_a_book_is_its_accounts_one_by_one(spec: str) -> None:
    accounts = random_accounts(spec, 6, 25)
    book = report_of(accounts, spec)
    scale = gross(book)
    for i, (account, row) in enumerate(zip(accounts, book.rows(), strict=True)):
        alone = assess(account, market(), rules(spec), withdrawable=False)
        assert alone.state == row.state
        for name in ("equity", "adjusted_equity_initial", "adjusted_equity_maintenance", "initial_margin"):
            assert getattr(row, name) == pytest.approx(getattr(alone, name), rel=1e-12, abs=1e-12 * scale[i]), name
        assert row.maintenance_margin == pytest.approx(alone.maintenance_margin, rel=1e-12, abs=1e-12 * scale[i])
        assert row.coverage_ratio == pytest.approx(alone.coverage_ratio, rel=1e-9)
        assert row.maintenance_headroom == pytest.approx(alone.maintenance_headroom, abs=3e-12 * scale[i])


@every_rulebook
def test_one_account_taken_out_of_a_book_is_the_same(spec: str) -> None:
    accounts = random_accounts(spec, 7, 20)
    book = report_of(accounts, spec)
    sums, scale = figures(book), gross(book)
    for i in range(len(accounts)):
        alone = assess_resolved(book.resolved.only(i), rules(spec))
        assert alone.resolved.account_ids == (accounts[i].id,)
        np.testing.assert_allclose(figures(alone)[:, 0], sums[:, i], rtol=0, atol=1e-12 * scale[i])


@every_rulebook
def test_copies_side_by_side_are_copies(spec: str) -> None:
    accounts = random_accounts(spec, 8, 12)
    one = report_of(accounts, spec)
    three = assess_resolved(one.resolved.tile(3), rules(spec))
    for name in FIGURES:
        column = getattr(one, f"unit_{name}")
        np.testing.assert_allclose(getattr(three, f"unit_{name}"), np.tile(column, 3), rtol=1e-12, atol=1e-9)


@every_rulebook
def test_terms_lines_and_pools_add_up(spec: str) -> None:
    book = report_of(random_accounts(spec, 9, 20), spec)
    for i in range(len(book)):
        report = book.report(i)
        rate = {pool.pool: _rate(book, pool.reporting_asset) for pool in report.pools}
        for pool in report.pools:
            scale = abs(pool.initial_margin) + abs(pool.maintenance_margin) + 1e-9
            initial, maintenance = (sum(t.amount for t in x) for x in (pool.initial_terms, pool.maintenance_terms))
            assert initial == pytest.approx(pool.initial_margin, abs=1e-12 * scale)
            assert maintenance == pytest.approx(pool.maintenance_margin, abs=1e-12 * scale)
            assert pool.requirements["initial"] == pool.initial_margin
        for name, line in report.lines.items():
            summed = sum(pool.lines[name].initial * rate[pool.pool] for pool in report.pools)
            assert line.initial == pytest.approx(summed, rel=1e-12), name
        total = sum(pool.maintenance_margin * rate[pool.pool] for pool in report.pools)
        assert report.maintenance_margin == pytest.approx(total, rel=1e-12, abs=1e-12)
        worst = next(pool for pool in report.pools if pool.pool == report.worst_pool)
        assert (report.state, report.coverage_ratio) == (worst.state, worst.coverage_ratio)


def _rate(book: BookReport, asset: str) -> float:
    return market().assets[asset].price if book.resolved.in_settlement else 1.0


@pytest.mark.parametrize("spec", LATEST)
def test_one_bad_account_in_a_thousand_is_one_row(spec: str) -> None:
    good = random_accounts(spec, 10, 999, orders=False)
    bad = Account(id="bad", positions=(Position(instrument="NOWHERE", quantity=Decimal(1), entry_price=Decimal(1)),))
    mixed = [*good[:500], bad, *good[500:]]
    rows, alone = report_of(mixed, spec).rows(), report_of(good, spec).rows()
    failure = rows[500].failure
    assert failure is not None
    assert (failure.reason, failure.account, failure.instrument) == ("unknown_instrument", "bad", "NOWHERE")
    assert rows[500].equity is None
    assert [asdict(row) for row in rows[:500] + rows[501:]] == [asdict(row) for row in alone]
