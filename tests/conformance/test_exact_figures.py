"""Figures to the unit: read from exact mode, compared as fractions, shown as text."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

import pytest

from crossmargin.account import Account, Position
from crossmargin.analysis.conformance.case import Amount, Case, Figure
from crossmargin.analysis.conformance.judge import compare
from crossmargin.errors import FailureReason, InputError
from tests.margin.rules import made
from tests.strategies.books import perpetual, snapshot_of

MILLIONTHS = 10**6
SEVENTH = '[charges.charge]\nof = "perpetual"\nis = "notional / part"\npart = 7'
IMR = 2_469_135_782_460_000  # of 10,000 units at 1,234,567.89123, a fifth of their value


def case(*figures: Figure, quantity: str = "-10000", formula: str = "ceil(rate * notional, tick)") -> Case:
    listing = perpetual("BTC", "USDC", mark_price=1234567.89123, settlement_asset="USD")
    body = f'[charges.charge]\nof = "perpetual"\nis = "{formula}"\nrate = 0.2\ntick = 1e-6\nunit = {{ tick = "money" }}'
    held = Position(instrument=listing.symbol, quantity=Decimal(quantity), entry_price=Decimal(1))
    account = Account(id="a", positions=(held,))
    return Case("made", account, snapshot_of([listing]), made(body), figures)


def initial(expected: Amount, *, truncated: bool = False) -> Figure:
    return Figure(
        "initial", expected, lambda found: found.exact.pool.requirements["initial"] * MILLIONTHS, 0.0, truncated
    )


@pytest.mark.parametrize("expected", [IMR, Fraction(IMR), Fraction(Decimal(str(IMR)))])
def test_an_integer_beyond_floats_is_met_exactly(expected: Amount) -> None:
    posed = case(initial(expected))
    verdict = compare(posed, posed.assess())
    assert not verdict.failures
    assert verdict.residual == 0


@pytest.mark.parametrize("expected", [IMR + 1, IMR - 1, Fraction(IMR * 3 + 1, 3)])
def test_one_unit_away_is_a_failure(expected: Amount) -> None:
    posed = case(initial(expected))
    verdict = compare(posed, posed.assess())
    failure = verdict.failures[0]
    assert verdict.residual is not None
    assert 0 < verdict.residual < 1e-15
    assert (failure.computed, failure.tolerance) == (str(IMR), 0.0)
    assert failure.expected == (str(expected) if isinstance(expected, Fraction) else expected)
    assert json.loads(json.dumps([failure.expected, failure.computed, failure.residual]))


def test_a_cut_integer() -> None:
    posed = replace(case(quantity="1"), rulebook=made(SEVENTH))
    true = Fraction("1234567.89123") / 7 * MILLIONTHS
    assert true.denominator == 7
    whole = int(true)
    for expected, met in ((whole, True), (whole + 1, False), (whole - 1, False)):
        cut = replace(posed, figures=(initial(expected, truncated=True),))
        assert (not compare(cut, cut.assess()).failures) == met


def test_a_line_without_an_exact_result_says_so() -> None:
    posed = case(initial(1), formula="ceil(sqrt(rate) * notional, tick)")
    with pytest.raises(InputError, match=r"line charge: sqrt\(\.\.\.\) has no exact result") as error:
        compare(posed, posed.assess())
    assert error.value.reason == FailureReason.UNDEFINED_RESULT
