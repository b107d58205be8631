"""A live book stands, after every event, where a book of the same accounts would stand."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from crossmargin import kernels
from crossmargin.account import Book
from crossmargin.errors import InputError
from crossmargin.kernels.engine import serving
from crossmargin.margin import BookReport, LiveBook, Rulebook, assess_book, compact
from crossmargin.margin.trigger import STATES
from tests.strategies.books import SPECS, rules
from tests.strategies.events import Event, Mirror, events, moved, priced, quantity_of, tradable

NAMES = (
    "reference", "deribit-portfolio", "deribit-portfolio-cross", "deribit-standard", "derive-standard",
    "derive-portfolio", "binance-usdm", "hyperliquid-cross", "mango-v4",
)  # fmt: skip
RULEBOOKS = tuple(next(spec for spec in reversed(SPECS) if spec.startswith(f"{name}@")) for name in NAMES)
FIGURES = ("equity", "adjusted_initial", "adjusted_maintenance", "initial", "maintenance")
ACCOUNTS = 10


@pytest.fixture(params=["native", "numpy"])
def kernel(request: pytest.FixtureRequest) -> Iterator[str]:
    if request.param == "native" and len(kernels.kernels_here()) == 1:
        pytest.skip("no compiled kernel here")
    before = serving()
    kernels.use_kernel(request.param)
    yield request.param
    kernels.use_kernel(*before)


def live_of(mirror: Mirror) -> LiveBook:
    book = compact(Book.from_accounts(mirror.accounts), mirror.snapshot, mirror.rulebook)
    return LiveBook(book, mirror.snapshot, mirror.rulebook)


def gross(report: BookReport) -> np.ndarray[Any, Any]:
    legs, measures = report.resolved.legs, report.evaluation.measures
    worth = np.abs(legs.quantity * measures["price"]) + np.abs(np.asarray(measures["notional"]))
    return report.account_sum(kernels.segment_sum(worth, legs.unit, len(report.resolved.units)))


def check_against_itself(live: LiveBook, rulebook: Rulebook) -> None:
    """The figures are those of the book laid out anew, bit for bit."""
    found, wanted = live.view(), assess_book(live.book(), live.snapshot, rulebook)
    assert found.failures == wanted.failures
    stands = ~np.isin(wanted.unit_account, list(wanted.failures))
    for name in (*FIGURES, "coverage", "state"):
        first, second = getattr(found, f"unit_{name}")[stands], getattr(wanted, f"unit_{name}")[stands]
        assert np.array_equal(first, second, equal_nan=True), name


def check_against(live: LiveBook, mirror: Mirror) -> None:
    """The figures are those of plain accounts assessed from scratch."""
    found = live.view()
    wanted = assess_book(Book.from_accounts(mirror.accounts), mirror.snapshot, mirror.rulebook)
    assert {n: f.reason for n, f in found.failures.items()} == {n: f.reason for n, f in wanted.failures.items()}
    allowed = 1e-10 * gross(wanted) + 1e-9
    for name in FIGURES:
        first, second = (report.account_sum(getattr(report, f"unit_{name}")) for report in (found, wanted))
        stands = ~np.isnan(second)
        assert (np.abs(first - second)[stands] <= allowed[stands]).all(), name
    assert [row.state for row in found.rows()] == [row.state for row in wanted.rows()]


def happen(live: LiveBook, mirror: Mirror, event: Event) -> None:
    """Let an event happen to both; one that is refused happens to neither."""
    number, listings = event.account % len(mirror.accounts), tradable(mirror.snapshot)
    listing = listings[event.instrument % len(listings)]
    name, quantity = mirror.accounts[number].id, quantity_of(listing, event.coins)
    match event.kind:
        case "fill" | "close" | "orders":
            trade_or_order(live, mirror, event, number, listing.symbol, quantity)
        case "deposit":
            asset = sorted(mirror.snapshot.assets)[event.instrument % len(mirror.snapshot.assets)]
            live.deposit(name, asset, event.coins)
            mirror.deposit(number, asset, Decimal(event.coins))
        case "input" if mirror.rulebook.inputs and mirror.rulebook.pool_by == "account":
            declared = list(mirror.rulebook.inputs)[event.instrument % len(mirror.rulebook.inputs)]
            live.set_input(name, declared, abs(event.coins))
            mirror.set_input(number, declared, abs(event.coins))
        case "price" | "all":
            touch = priced(event.factor, None if event.kind == "all" else listing.underlying)
            mirror.snapshot = moved(mirror.snapshot, touch)
            live.mark(mirror.snapshot)
        case "vol":
            factor = event.factor
            mirror.snapshot = moved(
                mirror.snapshot, lambda one: replace(one, mark_iv=one.mark_iv * factor if one.mark_iv else one.mark_iv)
            )
            live.mark(mirror.snapshot)
        case "listed":
            fresh = mirror.another(listing)
            mirror.snapshot = replace(mirror.snapshot, listings={**mirror.snapshot.listings, fresh.symbol: fresh})
            live.mark(mirror.snapshot)
        case "expire" if len(listings) > 2:
            mirror.snapshot = mirror.delivered(listing.symbol)
            live.mark(mirror.snapshot)
            live.expire(listing.symbol)
            mirror.expire(listing.symbol)
        case "joined":
            newcomer = mirror.newcomer()
            mirror.accounts.append(newcomer)
            live.add_account(newcomer)


def trade_or_order(
    live: LiveBook, mirror: Mirror, event: Event, number: int, symbol: str, quantity: float
) -> None:
    account = mirror.accounts[number]
    if event.kind == "orders":
        orders = [(quantity, 64.0), (-2 * quantity, 128.0), (quantity, 32.0)][: 1 + event.instrument % 3]
        live.set_orders(account.id, symbol, orders)
        mirror.order(number, symbol, orders)
        return
    held = [one for one in account.positions if one.instrument in {one.symbol for one in tradable(mirror.snapshot)}]
    if event.kind == "close" and held:
        chosen = held[event.instrument % len(held)]
        symbol, quantity = chosen.instrument, -float(chosen.quantity) * (1.0, 0.5, 2.0)[event.instrument % 3]
    mark = mirror.snapshot.listings[symbol].mark_price or 1.0
    price = None if event.factor == 1.0 else mark * event.factor
    fee = abs(event.coins) / 1024
    check_what_if(live, mirror, number, symbol, quantity, price)
    if mirror.apart(number, symbol):
        with pytest.raises(InputError, match="isolated position"):
            live.fill(account.id, symbol, quantity, price, fee)
        return
    live.fill(account.id, symbol, quantity, price, fee)
    exactly = None if price is None else Decimal(repr(price))
    mirror.trade(number, symbol, Decimal(repr(quantity)), exactly, Decimal(fee))


def check_what_if(
    live: LiveBook, mirror: Mirror, number: int, symbol: str, quantity: float, price: float | None
) -> None:
    """A check is what a fresh assessment of the account after the trade says, alone and among others."""
    name = mirror.accounts[number].id
    if mirror.apart(number, symbol):
        with pytest.raises(InputError, match="isolated position"):
            live.what_if(name, symbol, quantity, price)
        return
    exactly = None if price is None else Decimal(repr(price))
    after = mirror.traded(number, symbol, Decimal(repr(quantity)), exactly)
    report = assess_book(Book.from_accounts([after]), mirror.snapshot, mirror.rulebook)
    prices = np.asarray([np.nan if price is None else price] * 2)
    many = live.what_ifs([name, name], [symbol, symbol], [quantity, quantity], prices)
    if report.failures:
        with pytest.raises(InputError):
            live.what_if(name, symbol, quantity, price)
        assert np.isnan(many).all()
        return
    (row,) = report.rows()
    wanted = [getattr(row, field) for field in many._fields]
    allowed = 1e-9 * gross(report)[0] + 1e-9
    for found in (live.what_if(name, symbol, quantity, price), live.what_if(name, symbol, quantity, price)):
        assert list(found) == pytest.approx(wanted, rel=0, abs=allowed)
    for column in np.asarray(many).T:
        assert column.tolist() == pytest.approx(wanted, rel=0, abs=allowed)


@pytest.mark.parametrize("spec", RULEBOOKS)
@settings(max_examples=8, deadline=None, phases=[Phase.generate], suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(happening=events(), seed=st.integers(0, 5))
def test_after_every_event_a_live_book_stands_as_one_made_anew(
    spec: str, happening: list[Event], seed: int, kernel: str
) -> None:
    del kernel
    mirror = Mirror.of(rules(spec), ACCOUNTS, seed)
    live = live_of(mirror)
    check_against(live, mirror)
    for event in happening:
        happen(live, mirror, event)
        check_against_itself(live, mirror.rulebook)
        check_against(live, mirror)
    states = {state.value for state in STATES}
    for number, account in enumerate(mirror.accounts):
        row = live.row(account.id)
        assert row == live.view().rows()[number]
        if row.failure is None:
            assert live.report(number).initial_margin == pytest.approx(row.initial_margin, rel=1e-9, abs=1e-6)
            assert row.state in states
