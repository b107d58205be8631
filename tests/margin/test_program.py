"""A compact book gives what a book gives: the same formulas, recorded once and run by the engine."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import numpy as np
import pytest
from msgspec.structs import replace

from crossmargin import kernels
from crossmargin.account import Account, Book
from crossmargin.errors import InputError
from crossmargin.instruments import ContractKind, InstrumentKind
from crossmargin.margin import BookReport, CompactReport, assess_book, compact
from tests.strategies.books import SPECS, market, random_accounts, rules

if TYPE_CHECKING:
    from crossmargin.market import Listing, Snapshot

FIGURES = ("equity", "adjusted_initial", "adjusted_maintenance", "initial", "maintenance")
WALKED = {"bybit-unified", "mango-v4"}
"""Rulebooks with a line that has no operation: their compact books are evaluated column by column."""


def both(spec: str, seed: int, count: int) -> tuple[BookReport, CompactReport]:
    book, snapshot, rulebook = Book.from_accounts(random_accounts(spec, seed, count)), market(), rules(spec)
    return assess_book(book, snapshot, rulebook), assess_book(compact(book, snapshot, rulebook), snapshot, rulebook)


def gross(report: BookReport) -> np.ndarray:
    legs, measures = report.resolved.legs, report.evaluation.measures
    worth = np.abs(legs.quantity * measures["price"]) + np.abs(np.asarray(measures["notional"]))
    return report.account_sum(kernels.segment_sum(worth, legs.unit, len(report.resolved.units)))


@pytest.mark.parametrize("spec", SPECS)
def test_a_compact_book_is_assessed_as_a_book_is(spec: str) -> None:
    wanted, found = both(spec, 7, 150)
    if kernels.operations():
        assert found.engine == (spec.partition("@")[0] not in WALKED)
    assert found.failures == wanted.failures
    for name in FIGURES:
        column = f"unit_{name}"
        off = np.abs(found.account_sum(getattr(found, column)) - wanted.account_sum(getattr(wanted, column)))
        assert (off <= 1e-12 * gross(wanted)).all(), (name, off.max())
    assert [row.state for row in found.rows()] == [row.state for row in wanted.rows()]


def moved(rate: float) -> Snapshot:
    """The market after a move: every price by its own factor."""
    snapshot = market()
    factor = {name: 1.0 + rate * (1 + n % 3) for n, name in enumerate(snapshot.assets)}

    def listing(one: Listing) -> Listing:
        by = factor.get(one.underlying, 1.0)
        coin = one.contract == ContractKind.INVERSE and one.kind == InstrumentKind.OPTION
        prices = {
            name: getattr(one, name) for name in ("index_price", "forward_price") if getattr(one, name) is not None
        }
        changed = {name: value * by for name, value in prices.items()}
        mark = one.mark_price if coin or one.mark_price is None else one.mark_price * by
        return replace(one, **changed, mark_price=mark, mark_iv=one.mark_iv and one.mark_iv * (1 + rate))

    assets = {name: replace(quote, price=quote.price * factor[name]) for name, quote in snapshot.assets.items()}
    return replace(snapshot, assets=assets, listings={s: listing(one) for s, one in snapshot.listings.items()})


@pytest.mark.parametrize(
    "spec", ["deribit-portfolio@2026-02-01", "derive-standard@2024-06-12", "binance-usdm@2024-09-01"]
)
def test_a_compact_book_follows_the_market(spec: str) -> None:
    book, rulebook = Book.from_accounts(random_accounts(spec, 2, 60)), rules(spec)
    laid_out = compact(book, market(), rulebook)
    for rate in (-0.3, 0.05):
        wanted, found = assess_book(book, moved(rate), rulebook), assess_book(laid_out, moved(rate), rulebook)
        for name in FIGURES:
            pair = [report.account_sum(getattr(report, f"unit_{name}")) for report in (found, wanted)]
            assert (np.abs(pair[0] - pair[1]) <= 1e-12 * gross(wanted)).all()


@pytest.mark.usefixtures("kernel_kept")
@pytest.mark.parametrize("engine", [True, False])
def test_who_holds_what_has_no_price_is_refused_until_it_has_one(engine: bool) -> None:
    if not engine:
        kernels.use_kernel("numpy")
    spec = "deribit-portfolio@2026-02-01"
    book, rulebook, snapshot = Book.from_accounts(random_accounts(spec, 4, 40)), rules(spec), market()
    held = book.symbols[int(book.positions.symbol[0])]
    without = replace(snapshot.listings[held], mark_price=None)
    broken = replace(snapshot, listings={**snapshot.listings, held: without})
    laid_out = compact(book, broken, rulebook)
    wanted, found = assess_book(book, broken, rulebook), assess_book(laid_out, broken, rulebook)
    assert wanted.failures
    assert found.failures == wanted.failures
    assert [row.failure for row in found.rows()] == [row.failure for row in wanted.rows()]
    assert not assess_book(laid_out, snapshot, rulebook).failures


def test_figures_that_are_one_number_are_one_array_which_nobody_writes() -> None:
    if len(kernels.kernels_here()) == 1 or kernels.kernel_name().startswith("numpy"):
        pytest.skip("the compiled engine does not serve")
    _, found = both("deribit-portfolio@2026-02-01", 5, 20)
    assert found.engine
    assert found.unit_adjusted_initial is found.unit_equity
    with pytest.raises(ValueError, match="read-only"):
        found.unit_equity[0] = 0.0


def test_a_compact_book_is_its_rulebooks_own() -> None:
    spec = "deribit-standard@2024-04-01"
    laid_out = compact(Book.from_accounts(random_accounts(spec, 1, 3)), market(), rules(spec))
    with pytest.raises(InputError, match="laid out for another rulebook"):
        assess_book(laid_out, market(), rules("deribit-portfolio@2026-02-01"))


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("listed", [0, 1])
def test_accounts_of_cash_alone_are_assessed_whatever_is_listed(spec: str, listed: int) -> None:
    whole, rulebook = market(), rules(spec)
    snapshot = replace(whole, listings=dict(list(whole.listings.items())[:listed]))
    assets = [*snapshot.assets]
    accounts = [Account(id=name, balances={name: Decimal(7)}) for name in assets]
    book = Book.from_accounts([*accounts, Account(id="nothing", balances={})])
    wanted, found = (
        assess_book(book, snapshot, rulebook),
        assess_book(compact(book, snapshot, rulebook), snapshot, rulebook),
    )
    assert found.failures == wanted.failures
    for name in FIGURES:
        column = f"unit_{name}"
        np.testing.assert_allclose(getattr(found, column), getattr(wanted, column), rtol=1e-12, atol=1e-9)


def test_an_empty_book_and_an_account_of_nothing() -> None:
    spec = "deribit-portfolio@2026-02-01"
    for accounts in ([], [Account(id="nobody")]):
        report = assess_book(compact(Book.from_accounts(accounts), market(), rules(spec)), market(), rules(spec))
        assert len(report) == len(accounts)
        assert not report.failures
        assert report.unit_initial.tolist() == [0.0] * len(accounts)
