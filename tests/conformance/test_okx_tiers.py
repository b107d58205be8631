"""Discount tiers of a coin: the published sample, and tiers of our own with their sums by hand."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from crossmargin.analysis.conformance import okx_tiers, run_conformance
from crossmargin.analysis.conformance.fields import Fields
from crossmargin.analysis.conformance.judge import Verdict, judge
from tests.conformance.made import LOADED

if TYPE_CHECKING:
    from pathlib import Path

MADE: dict[str, Any] = {
    "ccy": "ETH",
    "tiers": [
        {"min": 0, "max": 300, "rate": 0.98, "liqPenalty": 0.02},
        {"min": 300, "max": 400, "rate": 0.975, "liqPenalty": 0.025},
        {"min": 400, "max": 1000, "rate": 0.9, "liqPenalty": 0.1},
    ],
    "minDiscountRate": 0.5,
    "own_example": {"amount": 1200, "discounted": 300 * 0.98 + 100 * 0.975 + 600 * 0.9 + 200 * 0.5},
}


def verdicts(document: dict[str, Any]) -> list[Verdict]:
    fields = Fields(document, "")
    return [judge(okx_tiers.FAMILY, fields, i, name, LOADED) for i, name in enumerate(okx_tiers.names(fields))]


def changed(**entries: object) -> dict[str, Any]:
    return {**copy.deepcopy(MADE), **entries}


def test_tiers_of_our_own_reproduce() -> None:
    assert okx_tiers.recognises(MADE)
    found = verdicts(MADE)
    assert [one.failures for one in found] == [()] * 4
    assert max(one.residual or 0.0 for one in found) < 1e-12


def test_an_open_last_tier_needs_no_least_rate() -> None:
    tiers = [*MADE["tiers"][:2], {"min": 400, "max": None, "rate": 0.9, "liqPenalty": 0.1}]
    example = {"amount": 500, "discounted": 300 * 0.98 + 100 * 0.975 + 100 * 0.9}
    assert [one.failures for one in verdicts(changed(tiers=tiers, own_example=example))] == [()] * 4


def test_a_penalty_that_is_not_the_rest_of_the_rate_is_told() -> None:
    tiers = copy.deepcopy(MADE["tiers"])
    tiers[1]["liqPenalty"] = 0.03
    found = verdicts(changed(tiers=tiers))
    assert [[failure.figure for failure in one.failures] for one in found] == [[], ["penalty"], ["penalty"], []]


def test_a_wrong_sum_is_told() -> None:
    found = verdicts(changed(own_example={"amount": 22, "discounted": 22 * 0.98 + 1e-6}))
    (failure,) = found[-1].failures
    assert failure.computed == pytest.approx(22 * 0.98, rel=1e-12)


@pytest.mark.parametrize("index", [0, 1, 2])
def test_one_per_cent_of_a_rate_is_noticed(index: int) -> None:
    fields = Fields(MADE, "")
    assert list(okx_tiers.parameters(fields, index).values()) == [("tiers", index, "rate")]
    assert okx_tiers.parameters(fields, 3) == {}
    tiers = copy.deepcopy(MADE["tiers"])
    tiers[index]["rate"] *= 1.01
    stated = okx_tiers.pose(fields, index, LOADED)
    other = okx_tiers.pose(Fields(changed(tiers=tiers), ""), index, LOADED)
    outcome = replace(stated, rulebook=other.rulebook).assess()
    assert any(figure.residual(figure.read(outcome)) > figure.tolerance for figure in stated.figures)


@pytest.mark.parametrize(
    "entries",
    [
        {"tiers": [{"min": 0, "max": 20, "rate": "high"}]},
        {"tiers": [{"min": 5, "max": 20, "rate": 0.9}]},
        {"tiers": [{"min": 0, "max": 0, "rate": 0.9}]},
        {"own_example": {"amount": -1, "discounted": 0}},
        {"own_example": {"amount": 1}},
    ],
)
def test_what_makes_no_sense_is_refused(entries: dict[str, Any]) -> None:
    found = verdicts(changed(**entries))
    assert any((failure.computed and "expected" in str(failure.computed)) or "missing" in str(failure.computed)
               for one in found for failure in one.failures)  # fmt: skip


@pytest.mark.shared
def test_the_published_sample_reproduces(shared: Path) -> None:
    document = json.loads((shared / "cases" / "venue_okx_discount_tiers.json").read_text(encoding="utf-8"))
    found = verdicts(document)
    assert [one.failures for one in found] == [()] * 3
    shipped = LOADED(okx_tiers.RULEBOOK).document["charges"]["haircuts"]["tiers"]["BTC"]
    assert shipped[:2] == [[tier["max"], tier["rate"]] for tier in document["tiers"]]


def test_a_unit_of_another_coin_has_the_venues_own_inner_moves() -> None:
    """8, 16 and 25 per cent are no thirds: each cell of the grid stands at a move of the rulebook."""
    delta, mark = 1_000.0, 1.02
    grid = {f"{move}": -delta * mark * move for move in (0.08, 0.16, 0.25)}
    unit = {
        "unit": "AAA", "delta": -delta, "mr1": 0.25 * delta * mark, "mr1_shock": 0.25, "grid": grid,
        "mr4": 0.0, "mr4_rate": 0.0, "mr7_rate": 0.0,
    }  # fmt: skip
    report = run_conformance({"made.json": {"units": [unit]}}, LOADED)
    (family,) = report.families
    assert (family.kind, family.reproduced, family.total) == ("position_builder", 1, 1), family.failures
