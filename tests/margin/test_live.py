"""A live book stands, after every event, where a book of the same accounts would stand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from math import inf, nan
from threading import Event as Stop
from threading import Thread
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from crossmargin import kernels
from crossmargin.account import Book, Position
from crossmargin.errors import FailureReason, InputError
from crossmargin.kernels.engine import serving
from crossmargin.margin import BookReport, LiveBook, Rulebook, assess_book, compact
from tests.strategies.books import SPECS, rules
from tests.strategies.events import Event, Mirror, events, moved, priced, quantity_of, tradable

NAMES = (
    "reference", "deribit-portfolio", "deribit-portfolio-cross", "deribit-standard", "derive-standard",
    "derive-portfolio", "binance-usdm", "hyperliquid-cross", "mango-v4",
)  # fmt: skip
RULEBOOKS = tuple(next(spec for spec in reversed(SPECS) if spec.startswith(f"{name}@")) for name in NAMES)
FIGURES = ("equity", "adjusted_initial", "adjusted_maintenance", "initial", "maintenance")
REFERENCE = RULEBOOKS[0]
EVALUATED = tuple(RULEBOOKS[NAMES.index(name)] for name in ("reference", "deribit-portfolio", "binance-usdm"))
ACCOUNTS = 10


@contextmanager
def kernel(name: str) -> Iterator[None]:
    """The block under one kernel."""
    if name == "native" and len(kernels.kernels_here()) == 1:
        pytest.skip("no compiled kernel here")
    before = serving()
    kernels.use_kernel(name)
    try:
        yield
    finally:
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
        case "input" if mirror.rulebook.inputs:
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


def trade_or_order(live: LiveBook, mirror: Mirror, event: Event, number: int, symbol: str, quantity: float) -> None:
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
@settings(max_examples=8, deadline=None)
@given(happening=events(), seed=st.integers(0, 5))
def test_after_every_event_a_live_book_stands_as_one_made_anew(spec: str, happening: list[Event], seed: int) -> None:
    with kernel("native"):
        stands_after_all(spec, happening, seed)


@pytest.mark.parametrize("spec", EVALUATED)
@settings(max_examples=4, deadline=None)
@given(happening=events(most=5), seed=st.integers(0, 5))
def test_without_an_engine_the_evaluation_serves(spec: str, happening: list[Event], seed: int) -> None:
    with kernel("numpy"):
        stands_after_all(spec, happening, seed)


def stands_after_all(spec: str, happening: list[Event], seed: int) -> None:
    mirror = Mirror.of(rules(spec), ACCOUNTS, seed)
    live = live_of(mirror)
    check_against(live, mirror)
    for event in happening:
        happen(live, mirror, event)
        check_against_itself(live, mirror.rulebook)
        check_against(live, mirror)
    for number, account in enumerate(mirror.accounts):
        row = live.row(account.id)
        assert row == live.view().rows()[number]
        if row.failure is None:
            assert live.report(number).initial_margin == pytest.approx(row.initial_margin, rel=1e-9, abs=1e-6)


# --- what is refused changes nothing


def everything(live: LiveBook) -> list[bytes]:
    book = live.book()
    return [column.tobytes() for column in book.legs.buffers().values()] + [live.view().unit_equity.tobytes()]


REFUSED: list[tuple[str, Callable[[LiveBook, str, str], object], FailureReason]] = [
    ("no account", lambda live, _, symbol: live.fill("nobody", symbol, 1.0), FailureReason.UNKNOWN_ACCOUNT),
    ("no account of this number", lambda live, _, symbol: live.what_if(-1, symbol, 1.0), FailureReason.UNKNOWN_ACCOUNT),
    ("no instrument", lambda live, name, _: live.fill(name, "NOTHING", 1.0), FailureReason.UNKNOWN_INSTRUMENT),
    ("no instrument asked", lambda live, name, _: live.what_if(name, "NOTHING", 1.0), FailureReason.UNKNOWN_INSTRUMENT),
    ("nothing traded", lambda live, name, symbol: live.fill(name, symbol, 0.0), FailureReason.INVALID_QUANTITY),
    ("no number", lambda live, name, symbol: live.fill(name, symbol, nan), FailureReason.INVALID_QUANTITY),
    ("no end", lambda live, name, symbol: live.what_if(name, symbol, inf), FailureReason.INVALID_QUANTITY),
    ("no price", lambda live, name, symbol: live.fill(name, symbol, 1.0, nan), FailureReason.INVALID_PRICE),
    ("price below 0", lambda live, name, symbol: live.what_if(name, symbol, 1.0, -5.0), FailureReason.INVALID_PRICE),
    ("price 0", lambda live, name, symbol: live.what_ifs([name], [symbol], [1.0], [0.0]), FailureReason.INVALID_PRICE),
    ("no fee", lambda live, name, symbol: live.fill(name, symbol, 1.0, 5.0, nan), FailureReason.INVALID_QUANTITY),
    ("no asset", lambda live, name, _: live.deposit(name, "NOTHING", 1.0), FailureReason.UNKNOWN_ASSET),
    ("no amount", lambda live, name, _: live.deposit(name, "USDC", nan), FailureReason.INVALID_QUANTITY),
    ("no input", lambda live, name, _: live.set_input(name, "nothing", 1.0), FailureReason.UNKNOWN_PARAMETER),
    (
        "order of nothing",
        lambda live, name, symbol: live.set_orders(name, symbol, [(0.0, 1.0)]),
        FailureReason.INVALID_QUANTITY,
    ),
    ("spot", lambda live, name, _: live.fill(name, "ETH/USD", 1.0), FailureReason.OUT_OF_SCOPE),
    ("not delivered", lambda live, _, symbol: live.expire(symbol), FailureReason.AWAITING_SETTLEMENT),
    ("lists", lambda live, name, symbol: live.what_ifs([name], [symbol], [1.0, 2.0]), FailureReason.MALFORMED_INPUT),
    ("numbers", lambda live, _, symbol: live.what_ifs([10_000], [symbol], [1.0]), FailureReason.UNKNOWN_ACCOUNT),
]


@pytest.mark.parametrize(("act", "reason"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_what_cannot_be_is_refused_and_changes_nothing(
    act: Callable[[LiveBook, str, str], object], reason: FailureReason
) -> None:
    mirror = Mirror.of(rules(REFERENCE), 4, 1)
    live, symbol = live_of(mirror), "BTCUSDC"
    before = everything(live)
    with pytest.raises(InputError) as error:
        act(live, mirror.accounts[0].id, symbol)
    assert error.value.reason == reason
    assert everything(live) == before


@pytest.mark.parametrize("number", [1, np.int64(1), np.uint8(1)])
def test_an_account_is_named_by_any_integer(number: int) -> None:
    mirror = Mirror.of(rules(REFERENCE), 4, 1)
    live, name = live_of(mirror), mirror.accounts[1].id
    assert live.row(number) == live.row(name)
    assert live.what_if(number, "BTCUSDC", 1.0) == live.what_if(name, "BTCUSDC", 1.0)
    assert live.what_ifs([number], [number], [1.0]).initial_margin.shape == (1,)
    assert type(live.account_number(number)) is type(live.instrument_number(number)) is int
    live.deposit(number, "USDC", 1.0)


@pytest.mark.parametrize("number", [True, np.True_, 1.0, np.float64(1), None, np.int64(-1), 4, 2**70])
def test_what_is_no_number_of_an_account_names_none(number: Any) -> None:  # noqa: ANN401
    live = live_of(Mirror.of(rules(REFERENCE), 4, 1))
    for ask in (
        live.row, live.account_number, live.report,
        lambda one: live.what_if(one, "BTCUSDC", 1.0), lambda one: live.what_ifs([one], ["BTCUSDC"], [1.0]),
    ):  # fmt: skip
        with pytest.raises(InputError, match="the book has no account"):
            ask(number)


@pytest.mark.parametrize("threads", [0, 2.5, True])
def test_a_live_book_on_no_threads_is_refused(threads: int) -> None:
    live = live_of(Mirror.of(rules(REFERENCE), 2, 1))
    with pytest.raises(InputError, match="threads must be an integer of 1 or more"):
        LiveBook(live.book(), live.snapshot, rules(REFERENCE), threads=threads)


def test_an_account_comes_once_and_only_if_it_can_be_laid_out() -> None:
    mirror = Mirror.of(rules(REFERENCE), 3, 2)
    live, newcomer = live_of(mirror), mirror.newcomer()
    before = everything(live)
    with pytest.raises(InputError, match="an account of this id"):
        live.add_account(mirror.accounts[0])
    unknown = Position(instrument="NOTHING", quantity=Decimal(1), entry_price=Decimal(1))
    with pytest.raises(InputError, match="does not list it"):
        live.add_account(replace(newcomer, positions=(unknown,)))
    assert everything(live) == before
    assert live.add_account(replace(newcomer, class_="gold")) == len(mirror.accounts)  # a class that is new
    assert live.row(newcomer.id).account == newcomer.id


def test_a_market_without_a_reporting_price_is_refused_whole() -> None:
    mirror = Mirror.of(rules(RULEBOOKS[NAMES.index("deribit-standard")]), 5, 3)
    live = live_of(mirror)
    before, snapshot = everything(live), live.snapshot
    assets = {name: quote for name, quote in snapshot.assets.items() if name != "BTC"}
    with pytest.raises(InputError, match="BTC"):
        live.mark(replace(snapshot, assets=assets))
    assert everything(live) == before
    assert live.snapshot is snapshot


def test_a_book_of_another_rulebook_is_refused() -> None:
    mirror = Mirror.of(rules(REFERENCE), 2, 2)
    book = compact(Book.from_accounts(mirror.accounts), mirror.snapshot, mirror.rulebook)
    with pytest.raises(InputError, match="another rulebook"):
        LiveBook(book, mirror.snapshot, rules(RULEBOOKS[-1]))


def test_one_underlying_concerns_only_who_holds_it() -> None:
    mirror = Mirror.of(rules(REFERENCE), 40, 4)
    live = live_of(mirror)
    held = {
        number
        for number, account in enumerate(mirror.accounts)
        for one in account.positions
        if mirror.snapshot.listings[one.instrument].underlying == "SOL"
    }
    assert 0 < len(held) < 40
    assert len(held) <= live.mark(moved(mirror.snapshot, priced(1.01, "SOL"))) < 40
    assert live.mark(live.snapshot) == 0


def test_readers_never_see_half_an_event() -> None:
    """Two markets take turns: every reading is wholly of one of them."""
    mirror = Mirror.of(rules(REFERENCE), 6, 5)
    live = live_of(mirror)
    (name, *_) = (account.id for account in mirror.accounts if not any(one.margin_mode for one in account.positions))
    snapshots = [moved(mirror.snapshot, priced(factor, None)) for factor in (1.0, 1.5)]
    live.mark(snapshots[0])
    seen = {live.view().unit_equity.tobytes(): live.view().unit_initial.tobytes()}
    checks = {live.what_if(name, "BTCUSDC", 1.0)}
    live.mark(snapshots[1])
    seen[live.view().unit_equity.tobytes()] = live.view().unit_initial.tobytes()
    checks.add(live.what_if(name, "BTCUSDC", 1.0))
    mixed: list[int] = []
    done = Stop()

    def read() -> None:
        while not done.is_set():
            view = live.view()
            if seen.get(view.unit_equity.tobytes()) != view.unit_initial.tobytes():
                mixed.append(1)
            if live.what_if(name, "BTCUSDC", 1.0) not in checks:
                mixed.append(2)

    readers = [Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for n in range(30):
        live.mark(snapshots[n % 2])
    done.set()
    for reader in readers:
        reader.join()
    assert not mixed
    assert len(seen) == 2
