"""A snapshot may state a contract on other terms than before: everything goes by the new ones, or it is refused."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal

import numpy as np
import pytest
from msgspec.structs import replace

from crossmargin.account import Account, Book, Position
from crossmargin.cluster import assess_shards
from crossmargin.errors import FailureReason, InputError
from crossmargin.instruments import ContractKind, InstrumentKind, OptionType
from crossmargin.margin import LiveBook, assess_book, compact
from crossmargin.market import Listing, Snapshot
from tests.margin.test_live import FIGURES, check_against, check_against_itself, everything, happen, kernel, live_of
from tests.strategies.books import future, rules
from tests.strategies.events import Event, Mirror, listed_for, moved, priced

RULEBOOKS = ("reference@2020-01-01", "deribit-portfolio@2026-02-01", "binance-usdm@2024-09-01", "reg-t@2010-12-02")
REFERENCE = RULEBOOKS[0]


def multiplier(one: Listing) -> Listing:
    return replace(one, multiplier=one.multiplier * 3)


def strike(one: Listing) -> Listing:
    return replace(one, strike=2 * (one.index_price or 0.0) - one.strike) if one.strike else one  # in another order


def expiry(one: Listing) -> Listing:
    later = timedelta(days=100 if one.underlying == "BTC" else 9)
    return replace(one, expiry=one.expiry + later) if one.expiry else one


def option_type(one: Listing) -> Listing:
    other = {OptionType.CALL: OptionType.PUT, OptionType.PUT: OptionType.CALL}
    return replace(one, option_type=other[one.option_type]) if one.option_type else one


def underlying(one: Listing) -> Listing:
    return replace(one, underlying="ETH") if one.underlying == "SOL" else one


def quote_asset(one: Listing) -> Listing:
    linear = one.kind != InstrumentKind.SPOT and one.contract == ContractKind.LINEAR
    return replace(one, quote_asset="USDC") if linear else one


def traded(one: Callable[[Listing], Listing]) -> Callable[[Listing], Listing]:
    return lambda listing: listing if listing.kind == InstrumentKind.SPOT else one(listing)


@pytest.mark.parametrize("serving", ["native", "numpy"])
@pytest.mark.parametrize("spec", RULEBOOKS)
@pytest.mark.parametrize("change", [multiplier, strike, expiry, option_type, underlying, quote_asset])
def test_figures_fills_checks_and_expiry_go_by_the_terms_of_the_last_snapshot(
    change: Callable[[Listing], Listing], spec: str, serving: str
) -> None:
    with kernel(serving):
        mirror = Mirror.of(rules(spec), 6, 11)
        live = live_of(mirror)
        mirror.snapshot = moved(mirror.snapshot, traded(change))
        live.mark(mirror.snapshot)
        check_against(live, mirror)
        for n in range(0, 24, 3):
            happen(live, mirror, Event(("fill", "close", "orders")[n % 3], n, 7 * n, 1.5 - n % 2, 0.97))  # checks too
        for event in (Event("price", 0, 1, 1.0, 1.25), Event("expire", 0, 2, 1.0, 1.0), Event("price", 0, 9, 1.0, 0.8)):
            happen(live, mirror, event)
            check_against(live, mirror)
            check_against_itself(live, mirror.rulebook)


def test_a_gain_is_of_the_multiplier_that_stands() -> None:
    """Bought at nine tenths of the mark and sold at the mark, after the multiplier grew tenfold."""
    mirror = Mirror.of(rules(REFERENCE), 1, 1)
    mirror.accounts = [Account(id="a", balances={"BTC": Decimal(10)})]
    live, symbol = live_of(mirror), "BTC-PERPETUAL"
    one = mirror.snapshot.listings[symbol]
    coin = mirror.snapshot.assets["BTC"].price
    live.mark(moved(mirror.snapshot, lambda x: replace(x, multiplier=10 * x.multiplier) if x is one else x))
    before, mark = live.row("a").equity or 0.0, one.mark_price or 0.0
    live.fill("a", symbol, 100.0, 0.9 * mark)
    live.fill("a", symbol, -100.0, mark)
    gained = 100.0 * 10 * one.multiplier * (1 / (0.9 * mark) - 1 / mark) * coin
    assert (live.row("a").equity or 0.0) - before == pytest.approx(gained, rel=1e-9)


def holding(spec: str = REFERENCE) -> tuple[Mirror, LiveBook]:
    """A book of one account that holds a linear perpetual, and orders in an inverse one."""
    mirror = Mirror.of(rules(spec), 1, 1)
    mirror.accounts = [Account(id="a", balances={"USDC": Decimal(10**6), "BTC": Decimal(10)})]
    live = live_of(mirror)
    live.fill("a", "BTCUSDC", 2.0)
    live.set_orders("a", "BTC-PERPETUAL", [(5.0, 50_000.0)])
    return mirror, live


def as_future(one: Listing, snapshot: Snapshot) -> Listing:
    return replace(one, kind=InstrumentKind.FUTURE, expiry=snapshot.as_of + timedelta(days=30))


MOVED: list[tuple[str, str, Callable[[Listing, Snapshot], Listing]]] = [
    ("settlement_asset", "BTCUSDC", lambda one, _: replace(one, settlement_asset="USDT")),
    ("contract", "BTC-PERPETUAL", lambda one, _: replace(one, contract=ContractKind.LINEAR)),
    ("kind", "BTCUSDC", as_future),
]


@pytest.mark.parametrize(("name", "symbol", "change"), MOVED, ids=[case[0] for case in MOVED])
def test_terms_that_would_move_what_is_held_are_refused_and_change_nothing(
    name: str, symbol: str, change: Callable[[Listing, Snapshot], Listing]
) -> None:
    mirror, live = holding()
    before, snapshot = everything(live), live.snapshot
    other = moved(snapshot, lambda one: change(one, snapshot) if one.symbol == symbol else one)
    with pytest.raises(InputError, match=f"{symbol}: its {name} was .* while accounts hold it") as error:
        live.mark(other)
    assert error.value.reason == FailureReason.INVALID_INSTRUMENT
    assert everything(live) == before
    assert live.snapshot is snapshot
    book = live.book()
    for assess in (assess_book, assess_shards):
        with pytest.raises(InputError, match=f"{symbol}: its {name} was"):
            assess(book, other, mirror.rulebook)
    with pytest.raises(InputError, match=f"{symbol}: its {name} was"):
        LiveBook(book, other, mirror.rulebook)
    live.mark(moved(snapshot, priced(1.01, None)))  # and goes on


@pytest.mark.parametrize("spec", [REFERENCE, "deribit-standard@2024-04-01", "binance-usdm@2024-09-01"])
@pytest.mark.parametrize(("name", "symbol", "change"), MOVED, ids=[case[0] for case in MOVED])
def test_what_nobody_holds_is_taken_on_any_terms(
    name: str, symbol: str, change: Callable[[Listing, Snapshot], Listing], spec: str
) -> None:
    mirror = Mirror.of(rules(spec), 1, 1)
    assert name
    if symbol not in mirror.snapshot.listings:
        symbol = "BTCUSDT"
    mirror.accounts = [Account(id="a", balances={name: Decimal(10**6) for name in ("USDC", "USDT", "BTC")})]
    live = live_of(mirror)
    mirror.snapshot = moved(mirror.snapshot, lambda x: change(x, mirror.snapshot) if x.symbol == symbol else x)
    live.mark(mirror.snapshot)
    live.fill("a", symbol, 2.0)
    mirror.trade(0, symbol, Decimal(2), None, Decimal(0))
    check_against(live, mirror)


def test_a_book_laid_out_under_other_terms_is_taken_on_the_terms_of_the_snapshot() -> None:
    mirror = Mirror.of(rules(REFERENCE), 6, 11)
    book = compact(Book.from_accounts(mirror.accounts), mirror.snapshot, mirror.rulebook)
    mirror.snapshot = moved(mirror.snapshot, traded(multiplier))
    live = LiveBook(book, mirror.snapshot, mirror.rulebook)
    check_against(live, mirror)
    for n in range(6):
        happen(live, mirror, Event("fill", n, 7 * n, 1.5, 0.97))
    check_against(live, mirror)


@pytest.mark.parametrize("change", [strike, underlying])
def test_a_book_whose_legs_would_stand_in_another_order_is_put_in_order(change: Callable[[Listing], Listing]) -> None:
    mirror = Mirror.of(rules(REFERENCE), 6, 11)
    book = compact(Book.from_accounts(mirror.accounts), mirror.snapshot, mirror.rulebook)
    mirror.snapshot = moved(mirror.snapshot, traded(change))
    wanted = assess_book(Book.from_accounts(mirror.accounts), mirror.snapshot, mirror.rulebook)
    for serve in (assess_book, assess_shards):
        found = serve(book, mirror.snapshot, mirror.rulebook)
        for name in FIGURES:
            first, second = (report.account_sum(getattr(report, f"unit_{name}")) for report in (found, wanted))
            np.testing.assert_allclose(first, second, rtol=1e-9, atol=1e-7)
    check_against(LiveBook(book, mirror.snapshot, mirror.rulebook), mirror)


def test_who_holds_what_wraps_no_other_asset_any_more_is_found_by_its_own_prices() -> None:
    """The staked coin's future stands last of its coin's, so that no row moves when it becomes an underlying."""
    rulebook = rules(RULEBOOKS[1])
    listings = [future("ETH", "USDC", 50), future("ETH", "USDC", 141, symbol="STAKED", underlying="STETH")]
    held = Position(instrument="STAKED", quantity=Decimal(2), entry_price=Decimal(2_400))
    snapshot = replace(listed_for(rulebook), listings={one.symbol: one for one in listings})
    mirror = Mirror(rulebook, snapshot, [Account(id="a", positions=(held,))])
    live = live_of(mirror)
    assets = {**snapshot.assets, "STETH": replace(snapshot.assets["STETH"], wraps=None)}
    for factor in (1.0, 0.9, 1.2):
        staked = replace(listings[1], mark_price=2_400.0 * factor)
        mirror.snapshot = replace(snapshot, assets=assets, listings={**snapshot.listings, "STAKED": staked})
        assert live.mark(mirror.snapshot) == 1
        check_against(live, mirror)


def test_terms_that_make_no_contract_refuse_who_holds_it_until_they_do() -> None:
    mirror, live = holding()
    before = live.row("a")
    one = replace(mirror.snapshot.listings["BTCUSDC"], multiplier=0.0, delivery_price=1.0)
    live.mark(replace(mirror.snapshot, listings={**mirror.snapshot.listings, "BTCUSDC": one}))
    assert live.failures[0].reason == FailureReason.INVALID_INSTRUMENT
    for act in (lambda: live.fill("a", "BTCUSDC", 1.0), lambda: live.expire("BTCUSDC")):
        with pytest.raises(InputError, match="multiplier must be a positive number"):
            act()
    live.mark(mirror.snapshot)
    assert live.row("a") == before
