"""Payoffs at expiry and profit of futures and perpetuals, on arrays.

All arguments broadcast; NaN in gives NaN out; nothing is raised.
"""

from __future__ import annotations

import numpy as np

from crossmargin.pricing.normal import BoolLike, FloatArray, FloatLike


def option_payoff(settlement: FloatLike, strike: FloatLike, call: BoolLike) -> FloatArray:
    """Return max(S - K, 0) of a call or max(K - S, 0) of a put, in quote currency per base unit, >= 0."""
    difference = np.subtract(settlement, strike, dtype=np.float64)
    return np.asarray(np.maximum(np.where(call, difference, -difference), 0.0))


def inverse_option_payoff(settlement: FloatLike, strike: FloatLike, call: BoolLike) -> FloatArray:
    """Return the payoff in coin per base unit, >= 0: that of the option over the settlement price.

    NaN where the settlement price is not positive: no number of coins is worth anything there.
    """
    price = np.asarray(settlement, dtype=np.float64)
    price = np.where(price > 0.0, price, np.nan)
    return np.asarray(option_payoff(price, strike, call) / price)


def linear_pnl(quantity: FloatLike, multiplier: FloatLike, mark: FloatLike, entry: FloatLike) -> FloatArray:
    """Return q m (mark - entry), the signed profit in quote currency; m is base units per contract."""
    return np.asarray(np.multiply(quantity, multiplier, dtype=np.float64) * np.subtract(mark, entry))


def inverse_pnl(quantity: FloatLike, multiplier: FloatLike, mark: FloatLike, entry: FloatLike) -> FloatArray:
    """Return q m (1/entry - 1/mark), the signed profit in coin; m is quote units per contract.

    Computed as (mark - entry)/entry/mark, which keeps its digits when the two prices are close. NaN where a
    price is not positive: the loss of a long grows without bound as the mark goes to 0.
    """
    mark, entry = (np.asarray(price, dtype=np.float64) for price in (mark, entry))
    mark, entry = np.where(mark > 0.0, mark, np.nan), np.where(entry > 0.0, entry, np.nan)
    return np.asarray(np.multiply(quantity, multiplier, dtype=np.float64) * ((mark - entry) / entry / mark))


def quanto_pnl(quantity: FloatLike, multiplier: FloatLike, mark: FloatLike, entry: FloatLike) -> FloatArray:
    """Return q m (mark - entry), the signed profit in the settlement asset; m is its units per unit of price.

    The arithmetic of :func:`linear_pnl` in another currency: what the contract pays is not converted.
    """
    return linear_pnl(quantity, multiplier, mark, entry)
