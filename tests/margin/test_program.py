"""A compact book gives what a book gives: the same formulas, recorded once and run by the engine."""

from __future__ import annotations

import numpy as np
import pytest

from crossmargin import kernels
from crossmargin.account import Book
from crossmargin.margin import BookReport, CompactReport, assess_book, compact
from tests.strategies.books import SPECS, market, random_accounts, rules

FIGURES = ("equity", "adjusted_initial", "adjusted_maintenance", "initial", "maintenance")
WALKED = {"bybit-portfolio", "bybit-unified", "mango-v4", "okx-portfolio", "span", "span-arrays"}
"""Rulebooks with a kind of line that has no operation: their compact books are evaluated column by column."""


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
        assert found.engine == (spec.split("@")[0] not in WALKED)
    assert found.failures == wanted.failures
    for name in FIGURES:
        column = f"unit_{name}"
        off = np.abs(found.account_sum(getattr(found, column)) - wanted.account_sum(getattr(wanted, column)))
        assert (off <= 1e-12 * gross(wanted)).all(), (name, off.max())
    assert [row.state for row in found.rows()] == [row.state for row in wanted.rows()]
