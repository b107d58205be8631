"""The published cases of liquidation, auction and settlement: which there are, and how a test gets at them."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from crossmargin.analysis.conformance.fields import Fields

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

CASES: Final = Path(__file__).parents[3] / "shared" / "cases"

# file and kind: which test runs them through the state machine. Derive's bids state their kind in their input.
RUN: Final[Mapping[str, Mapping[str, str]]] = {
    "aave_health_liquidation": {
        "v4_bonus": "test_cases_aave.py",
        "v4_debt_to_target": "test_cases_aave.py",
        "v4_amounts": "test_cases_aave.py",
        "v4_close_property": "test_cases_aave.py",
        "v37_close_factor": "test_cases_aave.py",
        "v37_close_factor2": "test_cases_aave.py",
    },
    "derive_dutch_auction": {
        "curve": "test_cases_derive.py",
        "solvent": "test_cases_derive.py",
        "insolvent": "test_cases_derive.py",
        "liquidation_simulation": "test_cases_derive.py",
    },
    "drift_v2_margin_liquidation": {
        "base_to_cover_shortage": "test_cases_drift.py",
        "liability_to_cover_shortage": "test_cases_drift.py",
        "liability_implied_by_asset": "test_cases_drift.py",
        "asset_for_liability": "test_cases_drift.py",
        "bankruptcy_funding_delta": "test_cases_drift.py",
        "bankruptcy_deposit_index_delta": "test_cases_drift.py",
        "perp_if_fee": "test_cases_drift.py",
        "spot_if_fee": "test_cases_drift.py",
        "time_ramped_liquidation_fee": "test_cases_drift.py",
        "max_pct_to_liquidate": "test_cases_drift.py",
    },
    "dydx_v4_margin_liquidation": {
        "bankruptcy_price": "test_cases_dydx.py",
        "fillable_price": "test_cases_dydx.py",
        "insurance_fund_delta": "test_cases_dydx.py",
    },
    "mango_v4_health_liquidation": {
        "liq_token_with_token": "test_cases_mango.py",
        "liq_perp_base_or_positive_pnl": "test_cases_mango.py",
        "liq_negative_pnl_or_bankruptcy": "test_cases_mango.py",
    },
    "synthetix_v3_perps": {
        "window": "test_cases_synthetix.py",
        "keeper": "test_cases_synthetix.py",
        "keeper_wei": "test_cases_synthetix.py",
        "funding": "test_cases_synthetix.py",
    },
    "vega_margin_settlement": {
        "loss_socialisation": "test_cases_vega.py",
        "network_position_disposal": "test_cases_vega.py",
    },
}


def kind_of(case: Mapping[str, Any]) -> str:
    """What a case calls itself."""
    return str(case.get("kind") or case.get("input", {}).get("kind"))


def cases_of(file: str, kinds: Iterable[str]) -> list[Any]:
    """Return the cases of some kinds as parameters of a test; one that is skipped aloud where they are not at hand."""
    path = CASES / f"{file}.json"
    if not path.exists():
        return [pytest.param(None, marks=pytest.mark.skip(reason=f"{path} is not at hand: no published case is run"))]
    wanted = set(kinds)
    assert wanted <= RUN[file].keys(), f"RUN does not list {wanted - RUN[file].keys()}"
    found = [(i, case) for i, case in enumerate(json.loads(path.read_text())["cases"]) if kind_of(case) in wanted]
    assert {kind_of(case) for _, case in found} == wanted, f"{path} has no case of some of {wanted}"
    return [pytest.param((file, i), id=f"{file}-{case.get('name') or case.get('id') or i}") for i, case in found]


@cache
def document_of(file: str) -> Fields:
    return Fields(json.loads((CASES / f"{file}.json").read_text()), file)


def case_at(at: tuple[str, int]) -> Fields:
    return document_of(at[0]).objects("cases")[at[1]]
