import numpy as np
import pytest

from crossmargin.account import Book
from crossmargin.bench import accounts as made
from crossmargin.bench.market import SMALL, coin_market, moved, perpetual_market
from crossmargin.instruments import InstrumentKind
from crossmargin.instruments.instrument import check_terms
from crossmargin.margin import assess_book
from crossmargin.margin.program.compact import compact
from crossmargin.market.snapshot import check_quote
from crossmargin.sources import load_rulebook

DERIBIT = "deribit-portfolio@2024-04-01"


def test_the_market_is_2000_options_and_40_others() -> None:
    listings = coin_market().snapshot.listings.values()
    assert sum(listing.kind == InstrumentKind.OPTION for listing in listings) == 2_000
    assert len(listings) == 2_040
    for listing in listings:
        check_terms(listing)
        check_quote(listing)


def test_the_other_markets_hold_what_their_rulebooks_margin() -> None:
    linear = coin_market(inverse=(), futures=False).snapshot.listings.values()
    assert {listing.contract for listing in linear} == {"linear"}
    assert {listing.kind for listing in linear} == {"option", "perpetual"}
    assert len(perpetual_market().snapshot.listings) == 300


def test_one_coin_moves_alone() -> None:
    first = coin_market().snapshot
    second = moved(first, 1.1, [SMALL])
    changed = {x.underlying for name, x in second.listings.items() if x != first.listings[name]}
    assert changed == {SMALL}
    assert second.assets[SMALL].price == pytest.approx(1.1 * first.assets[SMALL].price)
    assert moved(first, 1.1).assets["USDC"] == first.assets["USDC"]


def test_accounts_hold_about_twenty_contracts_none_twice_and_eight_percent_the_small_coin() -> None:
    market = coin_market()
    book = made.make_book(market, 20_000, 1)
    p = book.positions
    assert len(set(zip(p.account.tolist(), p.symbol.tolist(), strict=True))) == len(p.account)
    assert len(p.account) / 20_000 == pytest.approx(20, rel=0.05)
    small = np.asarray([market.snapshot.listings[name].underlying == SMALL for name in book.symbols])
    assert len(np.unique(p.account[small[p.symbol]])) / 20_000 == pytest.approx(0.08, abs=0.01)


@pytest.mark.parametrize("legs", [1, 5, 100])
def test_other_numbers_of_legs_are_near_what_was_asked(legs: int) -> None:
    book = made.make_book(coin_market(), 4_000, 1, legs)
    assert len(book.positions.account) / 4_000 == pytest.approx(legs, rel=0.35)


def test_the_same_seed_gives_the_same_book() -> None:
    first, second = (made.make_book(coin_market(), 100, 7).positions for _ in range(2))
    assert np.array_equal(first.quantity, second.quantity)
    assert np.array_equal(first.entry_price, second.entry_price, equal_nan=True)


def test_as_values_the_accounts_are_the_same() -> None:
    book = made.make_book(coin_market(), 50, 3)
    again = Book.from_accounts(made.accounts_of(book, 50))
    rules, snapshot = load_rulebook(DERIBIT), coin_market().snapshot
    found, wanted = (assess_book(one, snapshot, rules) for one in (again, book))
    assert not wanted.failures
    for name in ("unit_equity", "unit_initial", "unit_maintenance"):  # legs of an account may be added in another order
        assert getattr(found, name) == pytest.approx(getattr(wanted, name), rel=1e-10)


def test_pieces_joined_are_assessed_as_each_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(made, "_AT_A_TIME", 300)
    market, rules = coin_market(), load_rulebook(DERIBIT)
    together = assess_book(made.compact_accounts(market, rules, 700), market.snapshot, rules)
    books = [
        made.make_book(market, count, 1 + first, first=first) for first, count in ((0, 300), (300, 300), (600, 100))
    ]
    alone = [assess_book(compact(book, market.snapshot, rules), market.snapshot, rules) for book in books]
    for name in ("unit_equity", "unit_initial", "unit_maintenance", "unit_state"):
        assert np.array_equal(getattr(together, name), np.concatenate([getattr(one, name) for one in alone]))
    assert len(together) == 700
    assert len(set(together.account_ids)) == 700
    assert np.array_equal(np.unique(together.unit_account), np.arange(700))
