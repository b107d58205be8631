"""What positions tie up sums to what the report shows, and differences are told by position."""

from __future__ import annotations

from decimal import Decimal

import pytest

from crossmargin.account import Account, Book
from crossmargin.analysis.compare import compare
from crossmargin.analysis.drivers import Driver, drivers, shifts
from crossmargin.cli.html_compare import html_compare
from crossmargin.margin import assess_book, resolve
from tests.analysis.desk import account, rules, snapshot
from tests.strategies.books import LATEST, market, position
from tests.strategies.books import rules as shipped

MARKET = market()


def _held() -> Account:
    linear = [one for one in MARKET.listings.values() if one.kind == "perpetual" and one.contract == "linear"][:2]
    held = tuple(position(one, quantity) for one, quantity in zip(linear, (3.0, -2.0), strict=True))
    return Account(
        id="a", balances={"USDC": Decimal(500_000), "BTC": Decimal(1), "USDT": Decimal(-500)}, positions=held
    )


@pytest.mark.parametrize(
    "spec", [s for s in LATEST if s.startswith(("reference", "deribit-", "okx", "derive-", "hyperliquid-cross"))]
)
def test_what_is_tied_up_sums_to_margin_and_uncredited_value(spec: str) -> None:
    rulebook = shipped(spec)
    book = assess_book(Book.from_accounts([_held()]), MARKET, rulebook)
    if book.failures:
        pytest.skip("the rulebook refuses this account")
    report, resolved = book.report(0), book.resolved
    found = drivers(resolved, rulebook)
    expected = report.initial_margin + report.equity - report.adjusted_equity_initial
    assert sum(row.tied_up for row in found) == pytest.approx(expected, rel=1e-7, abs=1e-6)
    assert sum(row.initial_margin for row in found) == pytest.approx(report.initial_margin, rel=1e-7, abs=1e-6)


def test_one_perpetual_and_a_coin_by_hand() -> None:
    held = account({"BTC-PERP": "1"}, balances={"BTC": Decimal(2)})
    resolved = resolve(Book.from_accounts([held]), snapshot(), rules("tiered"))
    found = {row.name: row for row in drivers(resolved, rules("tiered"))}
    assert found["BTC-PERP"].initial_margin == pytest.approx(500.0)
    assert found["BTC-PERP"].not_credited == 0.0
    assert found["BTC"].not_credited == pytest.approx(0.2 * 100_000)
    assert found["USD"].tied_up == 0.0


def test_shifts_are_by_name_the_largest_first() -> None:
    before = (Driver(name="a", initial_margin=5, not_credited=1), Driver(name="b", initial_margin=2, not_credited=0))
    after = (Driver(name="a", initial_margin=5, not_credited=2), Driver(name="c", initial_margin=9, not_credited=0))
    assert [(one.name, one.change) for one in shifts(before, after)] == [("c", 9.0), ("b", -2.0), ("a", 1.0)]


def test_the_page_draws_every_rulebook_and_says_who_refused() -> None:
    rows = compare(
        account({"BTC-PERP": "1"}), snapshot(), [rules("tiered"), rules("scan"), shipped("okx-portfolio@2025-01-15")]
    )
    page = html_compare("desk", snapshot().as_of, rows)
    assert page.count("class='part-0'") + page.count('class="part-0"') >= 2
    assert "What drives each difference" in page
    for row in rows:
        assert row.rulebook.name in page
