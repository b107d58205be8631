"""Cases of liquidation, auctions and settlement: made ones worked by hand, planted errors, and the published ones."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import pytest

from crossmargin.analysis.conformance import Fields, run_conformance
from crossmargin.analysis.conformance.families import PROCEDURES
from crossmargin.analysis.conformance.judge import judge, procedures_of
from crossmargin.margin import with_values
from crossmargin.sources.cases import load_cases
from tests.conformance.made import LOADED

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from crossmargin.margin import Rulebook

AUCTION = {
    "start": 1.0,
    "cutoff": 0.5,
    "fast_len": 100,
    "slow_len": 1000,
    "insolvent_len": 100,
    "fee": 0,
    "buffer": 0.5,
}


CALLS = [{"t": 0, "size": 15, "skew": 15}, {"t": 4, "size": 5, "skew": 5}, {"t": 5, "size": 5, "skew": 5}]


def case(kind: str, given: Mapping[str, object], expected: Mapping[str, object], **more: object) -> dict[str, object]:
    return {"id": f"made {kind}", "kind": kind, "input": given, "expected": expected, **more}


MADE: dict[str, list[dict[str, object]]] = {
    "aave": [
        case(
            "v4_bonus",
            {"hf_for_max_bonus": "0.8", "bonus_factor": "0.5", "health_factor": "0.9", "max_bonus": "1.2"},
            {"bonus_bps_floor": 11500},
        ),
        case(
            "v4_debt_to_target",
            {"total_debt_usd": "100", "debt_price": "2", "collateral_factor": "0.5", "bonus": "1", "hf": "0.5",
             "target_hf": "1"},
            {"debt": "50"},
        ),
        case(
            "v37_close_factor",
            {"weth_amount": "10", "weth_price": "1000", "lt": "0.8", "target_hf": "0.97",
             "close_factor_hf_threshold": "0.95", "small_position_threshold_usd": "2000"},
            {"close_factor": 0.5},
        ),
    ],
    "derive": [
        {"id": "half way", "input": {"kind": "curve", "params": AUCTION, "t": 50}, "expected": {"discount": 0.75}},
        {"id": "slow half", "input": {"kind": "curve", "params": AUCTION, "t": 600}, "expected": {"discount": 0.25}},
        {
            "id": "share",  # buffer margin -100 + 0.5 * (-100 - 100) = -200; 200 / (200 + 100)
            "input": {"kind": "solvent", "params": AUCTION, "mm": -100.0, "mtm": 100.0, "t": 0, "bid_fraction": 1.0},
            "expected": {"final_fraction": 2 / 3, "cash_from_bidder": 200 / 3},
        },
    ],
    "drift": [
        case(
            "base_to_cover_shortage",
            {"margin_shortage": 3, "margin_ratio": 0.05, "liquidation_fee": 0.02, "if_fee": 0.01, "oracle_price": 50,
             "quote_price": 1},
            {"base_1e9": 3_000_000_000},
        ),
        case("max_pct_to_liquidate", {"margin_shortage": 60, "small_shortage_threshold": 50}, {"pct_1e4": 500}),
    ],
    "vega": [
        case(
            "loss_socialisation",
            {"insurance_pool": 10, "old_mark": 10, "new_mark": 11,
             "parties": [["w1", 30, None], ["w2", 70, None], ["l", -100, 49]]},
            {"haircut": {"w1": 13, "w2": 28}, "insurance_pool_after": 0},
        ),
        case(
            "network_position_disposal",
            {"network_position": 30, "disposal_fraction": 0.5, "full_disposal_size": 10, "max_fraction_consumed": 1.0,
             "available_volume_each_step": 1000, "entry_price": 10, "fill_price": 11},
            {"sizes": [15, 7, 8], "realised_pnl": [15, 22, 30]},
        ),
    ],
    "synthetix": [
        case(
            "window",
            {"maker_fee": 0.01, "taker_fee": 0.01, "skew_scale": 100, "multiplier": 1, "window_seconds": 5, "max_pd": 0,
             "calls": CALLS},
            {"max_in_window": 10, "liquidated": [10, 0, 5]},
        ),
    ],
}  # fmt: skip


def posed(documents: Mapping[str, Any]) -> Iterator[tuple[Any, Fields, int, str]]:
    for document in documents.values():
        for family in procedures_of(document):
            fields = Fields(document, "")
            for index in family.indices(fields):
                yield family, fields, index, family.names(fields)[index]


def documents(cases: Mapping[str, Any] = MADE) -> dict[str, Any]:
    return {name: {"cases": copy.deepcopy(rows)} for name, rows in cases.items()}


def test_made_cases_come_out() -> None:
    found = list(posed(documents()))
    assert len(found) == sum(len(rows) for rows in MADE.values())
    for family, fields, index, name in found:
        verdict = judge(family, fields, index, name, LOADED)
        assert verdict.failures == (), name


def test_a_wrong_expected_number_is_noticed() -> None:
    """No expected number is read by what computes: changed by one per cent, each is missed."""
    for family, fields, index, name in posed(documents()):
        stated = copy.deepcopy(fields.value["cases"][index])
        stated["expected"] = {key: _other(value) for key, value in stated["expected"].items()}
        changed = Fields({"cases": [stated]}, "")
        assert judge(family, changed, 0, name, LOADED).failures, name


def _other(value: Any) -> Any:  # noqa: ANN401 - whatever JSON holds
    if isinstance(value, dict):
        return {key: _other(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_other(part) for part in value]
    if isinstance(value, str):
        return str(float(value) * 1.01)
    return value * 1.01 + 1


# rulebook, line of its procedure, another formula for it: an error that some made case must notice
PLANTED = (
    ("aave-v4@2026-09-18", "liquidation.lines.least_bonus", "1 + collateral_most_bonus * bonus_factor"),
    ("aave-v4@2026-09-18", "liquidation.lines.to_target", "debts * (target - health_factor) / target / debt_price"),
    ("aave-v3@2026-01-27", "liquidation.parameters.half_of", 0.4),
    ("derive-portfolio-1@2024-01-01", "liquidation.lines.buffer_margin", "net - cushion_share * (net - equity)"),
    ("derive-portfolio-1@2024-01-01", "liquidation.lines.discount", "when(t < fast_len, start, slow)"),
    ("drift-v2@2026-01-20", "liquidation.lines.perp_relief", "price * settle_price * (ratio - liquidation_fee)"),
    ("vega@2026-01-20", "waterfall.1.remainder", "largest"),
    ("vega@2026-01-20", "waterfall.1.rounding", "loss"),
    ("vega@2026-01-20", "liquidation.lines.slice", "contracts_held * fraction + 0 * (full_quantity + most_consumed)"),
    ("synthetix-perps@2026-01-20", "liquidation.lines.room", "max(capacity, extra)"),
)


@pytest.mark.parametrize(("spec", "entry", "value"), PLANTED, ids=[f"{spec} {entry}" for spec, entry, _ in PLANTED])
def test_a_planted_error_is_noticed(spec: str, entry: str, value: object) -> None:
    def planted(asked: str) -> Rulebook:
        rulebook = LOADED(asked)
        return with_values(rulebook, {entry: value}) if asked == spec else rulebook

    rows = [judge(family, fields, index, name, planted) for family, fields, index, name in posed(documents())]
    assert any(row.failures for row in rows)


def test_what_is_no_case_is_a_failure_and_no_crash() -> None:
    broken = {
        "a": {"cases": [{"kind": "v4_bonus"}, {"kind": "window", "input": {}, "expected": {}}, {"kind": "funding"}]},
        "b": {"cases": [{"kind": kind, "input": 1, "expected": None} for kind in ("base_to_cover_shortage", "keeper")]},
        "c": {"cases": [case("loss_socialisation", {"insurance_pool": 0, "old_mark": 1, "new_mark": 2,
                                                    "parties": [["a"]]}, {"haircut": {"a": 1}})]},
    }  # fmt: skip
    report = run_conformance(broken, LOADED)
    assert all(family.failures for family in report.families if family.status == "differs")


@pytest.mark.shared
def test_every_published_case_comes_out(shared: Path) -> None:
    if not (shared / "cases").is_dir():
        pytest.skip("published cases absent")
    report = run_conformance(load_cases(shared / "cases"), LOADED)
    kinds = {(one.family, one.kind) for one in PROCEDURES}
    rows = [row for row in report.families if (row.family, row.kind) in kinds]
    assert [failure for row in rows for failure in row.failures] == []
    assert sum(row.reproduced for row in rows) == sum(row.total for row in rows) > 0
    assert [row for row in report.families if row.status == "not yet"] == []
