"""Amounts of procedures beside the least that restores."""

from __future__ import annotations

import pytest

from crossmargin.analysis.lint import LintRule
from crossmargin.analysis.lint.by_procedure import procedure_findings
from crossmargin.margin import with_values
from crossmargin.sources import load_rulebook
from tests.strategies.books import SPECS


def test_amounts_of_a_procedure_are_told_beside_the_least_that_restores() -> None:
    """Hyperliquid closes all of what is small: many times what would restore; our own document closes the least."""
    found = list(procedure_findings(load_rulebook("hyperliquid-cross")))
    assert [finding.rule for finding in found] == [LintRule.AMOUNT_RESTORES]
    assert found[0].path == "liquidation.steps.1.amount"
    assert "less on 0" in found[0].message
    assert "more on 0" not in found[0].message
    own = [row for row in procedure_findings(load_rulebook("dydx-v4")) if "(median)" in row.message]
    assert all("less on 0, more on 0" in row.message for row in own)
    assert own
    assert list(procedure_findings(load_rulebook("family-credit"))) == []  # it has no steps


def test_an_amount_that_is_twice_too_large_shows() -> None:
    planted = with_values(load_rulebook("dydx-v4"), {"liquidation.steps.1.amount": "2 * restore * contracts_held"})
    (finding,) = procedure_findings(planted)
    assert "the first amount is 2 times the least that restores (median)" in finding.message


def test_half_of_a_share_that_restores_is_told_as_half() -> None:
    """Derive's formula gives exactly the share that restores; CLEARING names it as what lint is to find wrong."""
    rules = load_rulebook("derive-portfolio-1")
    (told,) = (row.message for row in procedure_findings(rules) if "(median)" in row.message)
    assert "the first amount is 1 times the least that restores (median), 1 to 1, less on 0, more on 0" in told
    asked = rules.procedure.liquidation.lines["asked"].text
    wrong = with_values(rules, {"liquidation.lines.asked": f"0.5 * {asked}"})
    (told,) = (row.message for row in procedure_findings(wrong) if "(median)" in row.message)
    assert "the first amount is 0.5 times the least that restores (median), 0.5 to 0.5, less on 7, more on 0" in told


@pytest.mark.parametrize("spec", [spec for spec in SPECS if load_rulebook(spec).procedure.liquidation.steps])
def test_every_amount_is_compared_or_the_reason_is_told(spec: str) -> None:
    rules = load_rulebook(spec)
    steps = enumerate(rules.procedure.liquidation.steps)
    wanted = [f"liquidation.steps.{number}.amount" for number, step in steps if step.amount is not None]
    found = list(procedure_findings(rules))
    assert [row.path for row in found] == wanted
    assert all("(median)" in row.message or "nothing to compare" in row.message for row in found)


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("aave-v3", "times the least that restores (median)"),
        ("aave-v4", "times the least that restores (median)"),
        ("vega", "disposes of what network has taken over"),
    ],
)
def test_loans_and_takeovers_have_their_row(spec: str, says: str) -> None:
    (found,) = procedure_findings(load_rulebook(spec))
    assert says in found.message
