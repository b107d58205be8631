"""The formats of published cases that can be reproduced."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from crossmargin.analysis.conformance import (
    aave,
    binance_brackets,
    binance_options,
    bybit,
    deribit_legacy,
    deribit_linear,
    deribit_simulate,
    derive_pm1,
    derive_pm2,
    derive_srm,
    drift,
    dydx,
    hyperliquid_portfolio,
    mango,
    okx_builder,
    okx_tiers,
    paradex,
    span,
    synthetix,
    vega,
    vega_risk,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from crossmargin.analysis.conformance.case import Family

FAMILIES: Final[tuple[Family, ...]] = (
    derive_pm2.FAMILY,
    derive_pm1.FAMILY,
    derive_srm.FAMILY,
    *aave.FAMILIES,
    *drift.FAMILIES,
    *dydx.FAMILIES,
    mango.FAMILY,
    *synthetix.FAMILIES,
    *vega.FAMILIES,
    *vega_risk.FAMILIES,
    binance_brackets.FAMILY,
    binance_options.FAMILY,
    *bybit.FAMILIES,
    deribit_legacy.FAMILY,
    deribit_linear.FAMILY,
    deribit_simulate.FAMILY,
    hyperliquid_portfolio.FAMILY,
    okx_builder.FAMILY,
    okx_tiers.FAMILY,
    paradex.FAMILY,
    *span.FAMILIES,
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
