"""The formats of published cases that can be reproduced."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from crossmargin.analysis.conformance import (
    binance_brackets,
    deribit_linear,
    deribit_simulate,
    derive_pm2,
    derive_srm,
    okx_builder,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from crossmargin.analysis.conformance.case import Family

FAMILIES: Final[tuple[Family, ...]] = (
    derive_pm2.FAMILY,
    derive_srm.FAMILY,
    deribit_simulate.FAMILY,
    deribit_linear.FAMILY,
    okx_builder.FAMILY,
    binance_brackets.FAMILY,
)

LIQUIDATION: Final[Mapping[str, tuple[str, ...]]] = {
    "aave": (
        "v4_bonus",
        "v4_debt_to_target",
        "v4_amounts",
        "v4_close_property",
        "v37_close_factor",
        "v37_close_factor2",
    ),
    "derive_auction": ("case", "liquidation_simulation"),
    "drift_v2": (
        "base_to_cover_shortage",
        "liability_to_cover_shortage",
        "liability_implied_by_asset",
        "asset_for_liability",
        "bankruptcy_funding_delta",
        "bankruptcy_deposit_index_delta",
        "perp_if_fee",
        "spot_if_fee",
        "time_ramped_liquidation_fee",
        "max_pct_to_liquidate",
    ),
    "dydx_v4": ("bankruptcy_price", "fillable_price", "insurance_fund_delta"),
    "mango_v4": ("liq_token_with_token", "liq_perp_base_or_positive_pnl", "liq_negative_pnl_or_bankruptcy"),
    "synthetix_v3": ("window", "funding"),
    "vega": ("loss_socialisation", "network_position_disposal"),
}
"""Kinds of published cases about liquidation, auctions and settlement: recognised, not posed yet."""


def protocol_of(kind: object, otherwise: str) -> str:
    """Return the family of a kind about liquidation; `otherwise` for any other."""
    return next((family for family, kinds in LIQUIDATION.items() if kind in kinds), otherwise)
