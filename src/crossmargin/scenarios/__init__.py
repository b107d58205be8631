"""Shocks, scenario sets, and what contracts are worth under them."""

from crossmargin.scenarios.axes import Axes, axes_product, concatenate_axes
from crossmargin.scenarios.contracts import ASSET, FUTURE, OPTION, PERPETUAL, SPOT, Contracts
from crossmargin.scenarios.revalue import Shifts, Valuation, model_value, revalue, shifted_deltas

__all__ = [
    "ASSET",
    "FUTURE",
    "OPTION",
    "PERPETUAL",
    "SPOT",
    "Axes",
    "Contracts",
    "Shifts",
    "Valuation",
    "axes_product",
    "concatenate_axes",
    "model_value",
    "revalue",
    "shifted_deltas",
]
