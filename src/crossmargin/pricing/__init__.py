"""Pricing: Black-76, Greeks, implied vol, coin-settled options, payoffs. Array functions only."""

from crossmargin.pricing.black76 import price
from crossmargin.pricing.greeks import Greeks, greeks
from crossmargin.pricing.implied import ImpliedVol, ImpliedVolStatus, implied_vol
from crossmargin.pricing.inverse import coin_greeks, coin_price, reporting_greeks, reporting_value
from crossmargin.pricing.payoffs import (
    inverse_option_payoff,
    inverse_pnl,
    linear_pnl,
    option_payoff,
    quanto_pnl,
)

__all__ = [
    "Greeks",
    "ImpliedVol",
    "ImpliedVolStatus",
    "coin_greeks",
    "coin_price",
    "greeks",
    "implied_vol",
    "inverse_option_payoff",
    "inverse_pnl",
    "linear_pnl",
    "option_payoff",
    "price",
    "quanto_pnl",
    "reporting_greeks",
    "reporting_value",
]
