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
    from crossmargin.analysis.conformance.case import Family

FAMILIES: Final[tuple[Family, ...]] = (
    derive_pm2.FAMILY,
    derive_srm.FAMILY,
    deribit_simulate.FAMILY,
    deribit_linear.FAMILY,
    okx_builder.FAMILY,
    binance_brackets.FAMILY,
)
