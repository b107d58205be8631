"""The formats of published cases that can be reproduced."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from crossmargin.analysis.conformance import (
    aave,
    aave_procedure,
    binance_brackets,
    binance_options,
    bybit,
    deribit_legacy,
    deribit_linear,
    deribit_simulate,
    derive_auction,
    derive_pm1,
    derive_pm2,
    derive_srm,
    drift,
    drift_procedure,
    dydx,
    dydx_procedure,
    hyperliquid_portfolio,
    mango,
    mango_procedure,
    okx_builder,
    okx_tiers,
    paradex,
    span,
    synthetix,
    synthetix_procedure,
    vega,
    vega_procedure,
    vega_risk,
)

if TYPE_CHECKING:
    from crossmargin.analysis.conformance.case import Family, ProcedureFamily

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

PROCEDURES: Final[tuple[ProcedureFamily, ...]] = (
    *aave_procedure.FAMILIES,
    *derive_auction.FAMILIES,
    *drift_procedure.FAMILIES,
    *dydx_procedure.FAMILIES,
    *mango_procedure.FAMILIES,
    *synthetix_procedure.FAMILIES,
    *vega_procedure.FAMILIES,
)
"""Kinds of published cases that a rulebook's procedure is run on, or its lines evaluated."""


def protocol_of(kind: object, otherwise: str) -> str:
    """Return the family of a kind about liquidation; `otherwise` for any other."""
    return next((one.family for one in PROCEDURES if one.kind == kind), otherwise)
