"""Every shipped rulebook loads, means something and rests on named sources; wrong copies of them are caught."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import pytest

from crossmargin.analysis.lint import LintRule, check_semantics, lint, provenance
from crossmargin.margin import with_values
from crossmargin.margin.diff import diff_documents
from crossmargin.sources import list_rulebooks, load_rulebook

if TYPE_CHECKING:
    from crossmargin.margin import Rulebook

SPECS = tuple(shipped.spec for shipped in list_rulebooks())

# rule, shipped rulebook, what is changed in a copy of it
COPIES: tuple[tuple[LintRule, str, dict[str, Any]], ...] = (
    (LintRule.CHARGE_NOT_NEGATIVE, "reference", {"charges.borrow.rate": -0.02}),
    (LintRule.CHARGE_NOT_NEGATIVE, "hyperliquid-cross@2025-01-01", {"charges.positions.tiers.kPEPE.0.1": -0.05}),
    (LintRule.HAIRCUT_LOWERS_VALUE, "reference", {"charges.haircuts.cut.WSTETH": -0.22}),
    (LintRule.HAIRCUT_LOWERS_VALUE, "binance-usdm", {"charges.haircuts.collateral_rate.BNB": 1.2}),
    (LintRule.HAIRCUT_LOWERS_VALUE, "okx-portfolio", {"charges.haircuts.tiers.BTC.0.1": 1.98}),
    (LintRule.DEBT_COUNTS_IN_FULL, "reference", {"values.holdings": {"of": ["long asset", "option"], "is": "value"}}),
    (
        LintRule.CASH_RAISES_HEADROOM,
        "reference",
        {"charges.haircuts.of": "long asset", "charges.haircuts.cut.USD": 1.2},
    ),
    (LintRule.LONG_CLOSES_OUT_LOWER, "derive-portfolio", {"charges.scan.base_long": 1.3}),
    (LintRule.SHORT_CLOSES_OUT_HIGHER, "derive-portfolio", {"charges.scan.base_short": 0.5}),
    (LintRule.GROWS_WITH_QUANTITY, "binance-usdm", {"charges.perpetuals.brackets.BTCUSDT.3.1": -0.025}),
    (LintRule.GROWS_WITH_QUANTITY, "okx-portfolio", {
        "charges.mr7.multiplier.3.1": 0.5, **{f"parameters.{name}.BTC": 0 for name in ("inner", "middle", "move")},
    }),
    (LintRule.FLAT_REQUIRES_NOTHING, "reference", {"requirement.initial": "total + orders + haircuts"}),
    (LintRule.INITIAL_COVERS_MAINTENANCE, "reference", {"parameters.maintenance_share": 1.5}),
    (LintRule.RAMP_CONTINUOUS, "binance-usdm", {
        "charges.perpetuals.is.maintenance": "ramp(brackets, notional) * notional",
    }),
    (LintRule.STEP_DECLARED, "okx-portfolio", {"charges.mr7.stepwise": []}),
    (LintRule.VALUATION_EXPLAINED, "derive-portfolio", {
        "valuation": {"discount": True, "value": {"asset": "quantity * price"}},
    }),
    (LintRule.WEIGHT_WITHIN_ONE, "derive-portfolio", {"scenarios.all.2.weight.0": 1.5}),
    (LintRule.WEIGHT_WITHIN_ONE, "deribit-portfolio", {"parameters.extended_factor": 5}),
    (LintRule.PRICE_STAYS_POSITIVE, "reference", {"parameters.range.BTC": 1.2}),
    (LintRule.RESULT_DEFINED, "reference", {"charges.borrow.is": "rate * short * price * (short / (long - long))"}),
    (LintRule.BRANCH_REACHED, "binance-usdm", {"requirement.initial": "max(perpetuals, -perpetuals)"}),
    (LintRule.SOURCE_USED, "reference", {"sources": {
        "R1": {"title": "as before", "status": "inferred"}, "R9": {"title": "nothing rests on it", "status": "memory"},
    }}),
    (LintRule.DEFECT_FOUND, "derive-portfolio@2025-06-09", {
        "charges.scan.base_long": 0.98, "charges.scan.base_short": 1.02,
    }),
    (LintRule.VERIFIED, "reference", {"charges.borrow": {
        "of": "debt", "is": "rate * short * price", "rate": 0.02, "unverified": ["rate"],
    }}),
)  # fmt: skip


@cache
def rules(spec: str) -> Rulebook:
    return load_rulebook(spec)


@pytest.mark.parametrize("spec", SPECS)
def test_no_error_is_found_in_a_shipped_rulebook(spec: str) -> None:
    found = lint(rules(spec))
    assert [finding for finding in found if finding.severity == "error"] == []
    assert LintRule.DEFECT_FOUND not in {finding.rule for finding in found}
    check_semantics(rules(spec))


@pytest.mark.parametrize("spec", SPECS)
def test_the_digest_is_the_same_on_every_load(spec: str) -> None:
    assert load_rulebook(spec).digest == rules(spec).digest
    assert len(rules(spec).digest) == 64


def test_digests_differ_between_rulebooks() -> None:
    assert len({rules(spec).digest for spec in SPECS}) == len(SPECS)


@pytest.mark.parametrize("spec", SPECS)
def test_every_number_has_a_source_or_is_unverified(spec: str) -> None:
    rows = provenance(rules(spec))
    assert rows
    for row in rows:
        assert row.unverified or row.source in rules(spec).sources, row


def test_a_later_date_states_only_what_changed() -> None:
    first, second = rules("okx-portfolio@2024-01-01"), rules("okx-portfolio@2025-01-15")
    changed = {place for place, _, _ in diff_documents(first.document, second.document)}
    assert "parameters.move.BTC" in changed
    assert second.document["charges"]["mr1"] == first.document["charges"]["mr1"]
    assert "extends" not in second.document["rulebook"]


def test_every_rule_has_a_wrong_copy() -> None:
    swept = {rule for rule in LintRule if rule.startswith("parameter_")} | {LintRule.AMOUNT_RESTORES}
    assert {rule for rule, _, _ in COPIES} == set(LintRule) - swept


@pytest.mark.parametrize(("rule", "spec", "changes"), COPIES)
def test_a_wrong_copy_is_caught(rule: LintRule, spec: str, changes: dict[str, Any]) -> None:
    found = [finding for finding in lint(with_values(rules(spec), changes)) if finding.rule is rule]
    if rule in {LintRule.BRANCH_REACHED, LintRule.SOURCE_USED, LintRule.VERIFIED}:
        # of these a shipped rulebook may have some: only the new ones count
        paths = {finding.path for finding in lint(rules(spec)) if finding.rule is rule}
        found = [finding for finding in found if finding.path not in paths]
    assert found
