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

# file and kind: what of it the ledger, the orders or the stages must show; Derive's bids state theirs in the input
RUN: Final[Mapping[str, Mapping[str, str]]] = {
    "aave_health_liquidation": {
        "v4_bonus": "collateral posted for each unit of debt that is repaid",
        "v4_debt_to_target": "debt posted, and the health factor after it",
        "v4_amounts": "debt, collateral and the liquidator's part of it, posted",
        "v4_close_property": "debt and collateral posted, and the health factor after it",
        "v37_close_factor": "the whole debt posted at once",
        "v37_close_factor2": "more than half of the debt posted, all of the collateral",
    },
    "derive_dutch_auction": {
        "curve": "price of a bid after so many seconds; at 0 another auction is declared",
        "solvent": "share and money of a bid",
        "insolvent": "share and money of a bid, and what the security module pays",
        "liquidation_simulation": "every bid of an auction, at its feeds, and how the account stands around it",
    },
    "drift_v2_margin_liquidation": {
        "base_to_cover_shortage": "contracts closed",
        "liability_to_cover_shortage": "debt repaid",
        "liability_implied_by_asset": "debt repaid for all of the collateral",
        "asset_for_liability": "collateral given for a debt",
        "bankruptcy_funding_delta": "what each open contract pays of a loss",
        "bankruptcy_deposit_index_delta": "what each deposit pays of a loss",
        "perp_if_fee": "the fund's part of what was closed",
        "spot_if_fee": "the fund's part of what was repaid",
        "time_ramped_liquidation_fee": "price of the contracts that the liquidator takes",
        "max_pct_to_liquidate": "share of the shortage that is covered at once",
    },
    "dydx_v4_margin_liquidation": {
        "bankruptcy_price": "fills at that price, and a quantum beside it: what the fund receives",
        "fillable_price": "limit of the order that is asked for",
        "insurance_fund_delta": "what the fund receives for a fill, or pays",
    },
    "mango_v4_health_liquidation": {
        "liq_token_with_token": "both balances after one instruction",
        "liq_perp_base_or_positive_pnl": "position, quote and balance after one instruction",
        "liq_negative_pnl_or_bankruptcy": "what others' profit, the fund and all open contracts pay",
    },
    "synthetix_v3_perps": {
        "window": "contracts closed by each call, of two accounts in one market",
        "keeper": "what the keeper is paid out of the collateral",
        "keeper_wei": "the same in 1e-18: to the unit up to 2^53 of them, else to the last digit of a double",
        "funding": "what a position owes after each accrual, at the rate that the document says",
    },
    "vega_margin_settlement": {
        "loss_socialisation": "what each winner loses, and the fund",
        "network_position_disposal": "size and time of each disposal, and the network's P&L",
    },
}

# file and kind: what is asked of one account or market at one moment. Nothing moves, so there is nothing to run.
ASKED: Final[Mapping[str, Mapping[str, str]]] = {
    "aave_health_liquidation": {
        "v3_hf_ratio": "health factors before and after a price",
        "v3_emode_boundary": "health factors on both sides of a price",
    },
    "derive_pmrm1": {"None": "margin of an account"},
    "derive_pmrm2_param_sweep": {"None": "margin of an account"},
    "derive_pmrm2_portfolio": {"None": "margin of an account"},
    "derive_srm": {"None": "margin of an account"},
    "drift_v2_margin_liquidation": {
        "account_margin": "margin of an account",
        "spot_weight": "a weight",
        "perp_margin_ratio": "a ratio",
        "deposit_cap_scaled_weight": "a weight",
    },
    "dydx_v4_margin_liquidation": {
        "margin_requirement": "margin of a position",
        "initial_margin_quote": "margin of a position",
        "oi_scaled_imf_ppm": "a rate",
    },
    "mango_v4_health_liquidation": {"health": "health of an account"},
    "synthetix_v3_perps": {
        "account": "margin of an account",
        "account_oi": "open interest of an account",
        "account_req": "margin of an account",
        "order": "margin that an order would need",
        "discount": "haircuts of collateral",
    },
    "vega_margin_settlement": {
        "cross_margin_levels": "margin levels",
        "isolated_margin": "margin levels",
        "fully_collateralised_capped_future": "margin of an account",
        "perp_funding_margin": "margin with funding that runs up",
        "liquidation_price_property": "the price at which a margin is just met",
        "es_risk_factors": "risk factors of a market",
        "es_risk_factor_target_stake": "a market's stake",
        "lognormal_var_es": "risk measures of a distribution",
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
