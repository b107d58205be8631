"""`explain`: why one account's figures are what they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crossmargin.account import Book
from crossmargin.analysis.capital import capital_efficiency
from crossmargin.analysis.contributions import contributions
from crossmargin.analysis.explanation import Explanation
from crossmargin.analysis.greeks import greeks_rows
from crossmargin.analysis.trees import pool_trees
from crossmargin.liquidation import liquidation_prices, profiles
from crossmargin.margin import assess_book

if TYPE_CHECKING:
    from crossmargin.account import Account
    from crossmargin.margin.model import Rulebook
    from crossmargin.market import Snapshot


def explain(
    account: Account, snapshot: Snapshot, rulebook: Rulebook, *, max_quote_age_seconds: float | None = 3600.0
) -> Explanation:
    """Return the report of an account with its reasons: trees, contributions, Greeks, prices, capital.

    Parameters
    ----------
    max_quote_age_seconds
        Quotes observed longer before `snapshot.as_of` are refused; None accepts any age.

    Raises
    ------
    InputError
        With the one reason why the account cannot be assessed.
    """
    book = assess_book(Book.from_accounts([account]), snapshot, rulebook, max_quote_age_seconds=max_quote_age_seconds)
    report = book.report(0, withdrawable=True)
    efficiency = capital_efficiency(account, snapshot, rulebook, max_quote_age_seconds=max_quote_age_seconds)
    return Explanation(
        report=report,
        trees=pool_trees(book, 0),
        contributions=contributions(book.resolved, rulebook),
        greeks=greeks_rows(book.evaluation),
        liquidation_prices=liquidation_prices(book.resolved, rulebook),
        profiles=profiles(book.resolved, rulebook),
        capital_efficiency=efficiency,
        required_capital=efficiency.cross,
    )
