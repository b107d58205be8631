"""How far from liquidation, and where: pure functions on a resolved book."""

from crossmargin.liquidation.paths import ALL
from crossmargin.liquidation.prices import LiquidationPrice, Profile, ProfilePoint
from crossmargin.liquidation.solve import liquidation_prices, profiles

__all__ = ["ALL", "LiquidationPrice", "Profile", "ProfilePoint", "liquidation_prices", "profiles"]
