"""What the `reconcile` command asks of the other rooms."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from crossmargin.account import Account
    from crossmargin.analysis.reconcile import ReconciliationRow
    from crossmargin.margin import MarginReport
    from crossmargin.margin.model import Rulebook
    from crossmargin.market import Snapshot


def with_reported(account: Account, files: Sequence[Path], source: str) -> Account:
    """Return the account with what files of its venue's answers state, in place of its own `reported` block."""
    from msgspec.structs import replace

    from crossmargin.sources.reported import load_reported

    instruments = [position.instrument for position in account.positions]
    return replace(account, reported=load_reported(files, source, instruments=instruments))


def notes(account: Account) -> tuple[str, ...]:
    """Return what is to be known of how the venue states its figures."""
    given = (account.reported or {}).get("notes")
    return tuple(str(note) for note in given) if isinstance(given, list | tuple) else ()


def reconciliation(
    account: Account, snapshot: Snapshot, rules: Rulebook, age: float | None = 3600.0
) -> tuple[MarginReport, Sequence[ReconciliationRow]]:
    """Return the computed report, and reported figures against it; those of positions cost revaluations."""
    from crossmargin.account import Book
    from crossmargin.analysis import reconcile
    from crossmargin.analysis.computed_lines import ComputedLines
    from crossmargin.analysis.contributions import contributions
    from crossmargin.liquidation import liquidation_prices
    from crossmargin.margin import assess_book

    book = assess_book(Book.from_accounts([account]), snapshot, rules, max_quote_age_seconds=age)
    computed, lines = book.report(0), ComputedLines(book)
    if not (account.reported or {}).get("positions"):
        return computed, reconcile(account, computed, lines=lines, snapshot=snapshot)
    prices = liquidation_prices(book.resolved, rules)
    shares = contributions(book.resolved, rules)
    return computed, reconcile(account, computed, prices, shares, lines=lines, snapshot=snapshot)
