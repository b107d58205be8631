"""A moved book against the same book resolved in a market that was moved by hand."""

from __future__ import annotations

from dataclasses import fields
from decimal import Decimal
from math import exp

import numpy as np
import pytest
from msgspec.structs import replace

from crossmargin.account import Account, Book, Position
from crossmargin.instruments import ContractKind, InstrumentKind
from crossmargin.margin import Resolved, assess_resolved, resolve
from crossmargin.margin.states import Moves, moved
from crossmargin.market import AssetQuote, Listing, Snapshot
from crossmargin.pricing import price as black76
from crossmargin.scenarios import OPTION, Shifts, revalue
from tests.strategies.books import (
    ASSETS,
    INDEX,
    LATEST,
    SPECS,
    future,
    market,
    option,
    perpetual,
    position,
    rules,
    snapshot_of,
)

REFERENCE = next(spec for spec in LATEST if spec.startswith("reference@"))

LINEAR_KINDS = [one for one in market().listings.values() if one.kind != InstrumentKind.OPTION]


def account_of(listings: list[Listing], **balances: str) -> Account:
    held = tuple(position(one, 2.0 if i % 2 else -3.0, (one.mark_price or 1) * 0.97) for i, one in enumerate(listings))
    return Account(id="a", positions=held, balances={name: Decimal(text) for name, text in balances.items()})


def resolved_of(account: Account, snapshot: Snapshot, spec: str = REFERENCE) -> Resolved:
    return resolve(Book.from_accounts([account]), snapshot, rules(spec), max_quote_age_seconds=None)


def moved_by_hand(snapshot: Snapshot, factor: dict[str, float], peg: dict[str, float]) -> Snapshot:
    """Every price that moves, multiplied where it stands in the snapshot."""

    def root(asset: str) -> str:
        quote = snapshot.assets.get(asset)
        return asset if quote is None or quote.wraps is None else root(quote.wraps)

    def of_listing(one: Listing) -> Listing:
        f = factor.get(root(one.underlying), 1.0) / factor.get(root(one.quote_asset), 1.0)
        return replace(one, mark_price=(one.mark_price or 0) * f, index_price=(one.index_price or 0) * f)

    assets = {
        name: replace(quote, price=quote.price * factor.get(root(name), 1.0) * peg.get(name, 1.0))
        for name, quote in snapshot.assets.items()
    }
    return replace(
        snapshot, assets=assets, listings={symbol: of_listing(one) for symbol, one in snapshot.listings.items()}
    )


def assert_same(found: Resolved, wanted: Resolved) -> None:
    for field in fields(found.contracts):
        ours, theirs = (getattr(r.contracts, field.name) for r in (found, wanted))
        np.testing.assert_allclose(ours, theirs, rtol=1e-12, err_msg=field.name)
    np.testing.assert_allclose(found.units.numeraire, wanted.units.numeraire, rtol=1e-12)


@pytest.mark.parametrize("spec", ["reference", "deribit-standard@2024-04-01", "hyperliquid-cross"])
@pytest.mark.parametrize(
    ("factor", "peg"),
    [
        ({"ETH": 0.7}, {}),
        ({"BTC": 1.3, "ETH": 0.5, "SOL": 4.0}, {}),
        ({}, {"USDC": 0.98}),
        ({"ETH": 1.1}, {"STETH": 0.9, "USDT": 1.01}),
    ],
)
def test_a_moved_book_is_the_book_of_a_moved_market(spec: str, factor: dict[str, float], peg: dict[str, float]) -> None:
    chosen = next(s for s in reversed(SPECS) if s.startswith(spec))
    listings = [one for one in LINEAR_KINDS if one.kind in rules(chosen).scope]
    account = account_of(listings, BTC="1", ETH="-2", STETH="3", USDC="1000", USDT="-50", USD="7")
    found = moved(resolved_of(account, market(), chosen), Moves(prices=factor, pegs=peg))
    assert_same(found, resolved_of(account, moved_by_hand(market(), factor, peg), chosen))


def test_what_is_quoted_in_something_that_moves_is_divided_by_it() -> None:
    cross = perpetual("ETH", "BTC", symbol="ETHBTC", quote_asset="BTC", settlement_asset="BTC", mark_price=0.04)
    cross = replace(cross, contract=ContractKind.LINEAR, index_price=0.04)
    staked = perpetual("ETH", "USDC", symbol="STETH/ETH", kind=InstrumentKind.SPOT, quote_asset="ETH")
    staked = replace(staked, underlying="STETH", settlement_asset="ETH", mark_price=0.99, index_price=0.99, funding_rate=None)
    account = Account(id="a", positions=(position(cross, 1.0), Position(instrument="STETH/ETH", quantity=Decimal(2))))
    book = resolved_of(account, snapshot_of([cross, staked]))
    for factor in ({"BTC": 2.0}, {"ETH": 0.5}, {"ETH": 3.0, "BTC": 3.0}):
        wanted = resolved_of(account, moved_by_hand(snapshot_of([cross, staked]), factor, {}))
        assert_same(moved(book, Moves(prices=factor)), wanted)
    marks = moved(book, Moves(prices={"BTC": 2.0})).contracts.mark
    assert sorted(marks.tolist()) == pytest.approx([0.02, 0.99])


def test_each_copy_of_a_tiled_book_moves_on_its_own() -> None:
    account = account_of(list(market().listings.values()), BTC="1", STETH="3", USDC="10")
    one = resolved_of(account, market())
    prices = {"BTC": np.array([1.0, 0.5, 2.0]), "ETH": np.array([3.0, 1.0, 0.2])}
    years = np.array([0.0, 0.01, 0.3])
    tiled = moved(one.tile(3), Moves(prices=prices, vol=np.array([1.0, 1.2, 0.5]), years=years, funding=1e-4))
    count = len(one.contracts)
    for i in range(3):
        alone = moved(
            one,
            Moves(
                prices={name: float(column[i]) for name, column in prices.items()},
                vol=(1.0, 1.2, 0.5)[i],
                years=float(years[i]),
                funding=1e-4,
            ),
        )
        for field in fields(alone.contracts):
            part = getattr(tiled.contracts, field.name)[i * count : (i + 1) * count]
            np.testing.assert_array_equal(part, getattr(alone.contracts, field.name), err_msg=field.name)


@pytest.mark.parametrize("discount", [False, True])
def test_options_move_as_scenarios_revalue_them(discount: bool) -> None:  # noqa: FBT001
    options = [one for one in market().listings.values() if one.kind == InstrumentKind.OPTION]
    # marks at the model, so that the two agree in coin and in money
    by_model = []
    for one in options:
        assert one.forward_price
        assert one.strike
        assert one.expiry
        years = (one.expiry - market().as_of).days / 365
        factor = exp(-0.03 * years) if discount else 1.0
        call = one.option_type == "call"
        value = factor * float(black76(one.forward_price, one.strike, vol=one.mark_iv or 0, years=years, call=call))
        inverse = one.contract == ContractKind.INVERSE
        by_model.append(replace(one, mark_price=value / one.forward_price if inverse else value))
    book = resolved_of(account_of(by_model, USDC="1"), snapshot_of(by_model))
    c = book.contracts
    spot, vol, time = 0.83, 1.4, 0.004
    shifted = moved(book, Moves(prices={"BTC": spot, "ETH": spot}, vol=vol, years=time), discount=discount).contracts
    zero = np.zeros(1)
    o = c.kind == OPTION
    shifts = Shifts(np.array([spot - 1]), zero, zero, np.array([time]), zero, (c.iv[o] * vol)[:, None], np.zeros(1, int))
    in_coin = revalue(c, shifts, in_settlement=True, discount=discount).gain[o, 0]
    in_money = revalue(c, shifts, in_settlement=False, discount=discount).gain[o, 0]
    np.testing.assert_allclose(c.multiplier[o] * (shifted.mark - c.mark)[o], in_coin, rtol=1e-9, atol=1e-12)
    worth = c.multiplier * (shifted.mark * shifted.settle_rate - c.mark * c.settle_rate)
    np.testing.assert_allclose(worth[o], in_money, rtol=1e-9, atol=1e-8)


def test_an_options_recorded_mark_keeps_what_it_differs_from_the_model_by() -> None:
    one = option("BTC", "USDC", 50, 60_000.0, call=True)
    dearer = replace(one, mark_price=(one.mark_price or 0) + 100.0)
    books = [resolved_of(account_of([listing]), snapshot_of([listing])) for listing in (one, dearer)]
    marks = [moved(book, Moves(prices={"BTC": 0.9})).contracts.mark for book in books]
    assert (marks[1] - marks[0]).tolist() == pytest.approx([100.0])
    cheaper = replace(one, mark_price=1.0)
    book = resolved_of(account_of([cheaper]), snapshot_of([cheaper]))
    assert moved(book, Moves(prices={"BTC": 0.1})).contracts.mark.tolist() == [0.0]


def test_an_option_that_expires_meanwhile_is_worth_its_intrinsic_value() -> None:
    listings = [option("BTC", settle, 2, 50_000.0, call=True) for settle in ("BTC", "USDC")]
    book = resolved_of(account_of(listings, USDC="100000"), snapshot_of(listings))
    after = moved(book, Moves(years=3 / 365))
    c = after.contracts
    worth = {bool(inverse): mark for inverse, mark in zip(c.inverse, c.mark, strict=True) if mark != 0.9995}
    forward = listings[0].forward_price or 0
    assert worth == pytest.approx({False: forward - 50_000, True: 1 - 50_000 / forward})
    report = assess_resolved(after, rules(REFERENCE)).report(0)
    assert np.isfinite(report.initial_margin)


def test_funding_is_paid_by_longs_at_the_moved_mark() -> None:
    linear, inverse, dated = perpetual("BTC", "USDC"), perpetual("BTC", "BTC"), future("BTC", "USDC")
    account = account_of([linear, inverse, dated])
    book = resolved_of(account, snapshot_of([linear, inverse, dated]))
    after = moved(book, Moves(prices={"BTC": 0.5}, funding=1e-3))
    symbols = [book.names.symbols[i] for i in book.contracts.symbol[book.legs.contract]]
    paid = dict(zip(symbols, (after.legs.accrued - book.legs.accrued).tolist(), strict=True))
    mark = INDEX["BTC"] * 1.001 / 2
    quantity = {held.instrument: float(held.quantity) for held in account.positions}
    assert paid[linear.symbol] == pytest.approx(-1e-3 * quantity[linear.symbol] * mark)
    assert paid[inverse.symbol] == pytest.approx(-1e-3 * quantity[inverse.symbol] * 10 / mark)
    assert paid[dated.symbol] == 0


def test_a_known_part_of_a_forward_stays() -> None:
    one = option("BTC", "USDC", 50, 60_000.0, call=True, fixed_forward=20_000.0)
    book = resolved_of(account_of([one]), snapshot_of([one]))
    forward = one.forward_price or 0
    after = moved(book, Moves(prices={"BTC": 0.5})).contracts.forward
    assert after.tolist() == pytest.approx([(forward - 20_000) * 0.5 + 20_000])


def test_nothing_moves_without_a_move() -> None:
    book = resolved_of(account_of(list(market().listings.values()), BTC="1", STETH="1"), market())
    assert_same(moved(book, Moves()), book)


def test_a_pool_that_reports_in_what_moves_has_its_numeraire_moved() -> None:
    spec = next(s for s in SPECS if s.startswith("deribit-standard@"))
    account = Account(id="a", balances={"ETH": Decimal(1), "USDC": Decimal(1)})
    snapshot = snapshot_of([], assets={**ASSETS, "ETH": AssetQuote(price=2_000.0)})
    after = moved(resolved_of(account, snapshot, spec), Moves(prices={"ETH": 0.5}, pegs={"USDC": 0.9}))
    assert dict(zip(after.units.label, after.units.numeraire, strict=True)) == pytest.approx(
        {"ETH": 1_000.0, "USDC": 0.9995 * 0.9}
    )
