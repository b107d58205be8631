"""Coin-settled (inverse) options: their value and Greeks in coin, and in the reporting currency at the index.

With B(F) the Black-76 price per unit of the base coin, F the forward and I the index:

    coin value       c = B(F) / F                 what the venue quotes and settles
    reporting value  V = c I                      the coin is sold at the index, not at the forward

In coin, sensitivities are by the forward: dc/dF = B'/F - B/F^2, d2c/dF2 = B''/F - 2 B'/F^2 + 2 B/F^3, and a
derivative by vol, time or rate is divided by F. In the reporting currency they are by the *index*, and the
forward moves in proportion with it: I = b F with b = I/F held. Then V = b B(F), so dV/dI = B'(F),
d2V/dI2 = B''(F) / b, and a derivative of V by vol, time or rate is b times that of B. Deltas by the index add
up over expiries and with perpetuals.
"""

from __future__ import annotations

import numpy as np

from crossmargin.pricing import black76
from crossmargin.pricing.greeks import Greeks, greeks
from crossmargin.pricing.normal import BoolLike, FloatArray, FloatLike


def coin_price(
    forward: FloatLike,
    strike: FloatLike,
    vol: FloatLike,
    years: FloatLike,
    call: BoolLike,
    discount: FloatLike = 1.0,
) -> FloatArray:
    """Return the value in coin of one option on one coin, Black76(F)/F, >= 0.

    Shapes, limits and NaN policy of :func:`crossmargin.pricing.black76.price`; NaN also where the forward is
    0. A call is worth at most one coin, a put has no bound as the forward falls.
    """
    coins = np.asarray(forward, dtype=np.float64)
    coins = np.where(coins > 0.0, coins, np.nan)
    return np.asarray(black76.price(coins, strike, vol, years, call, discount) / coins)


def reporting_value(coin_value: FloatLike, index: FloatLike) -> FloatArray:
    """Return the value in the reporting currency, sign of the coin value: coins times the index price."""
    return np.asarray(np.multiply(coin_value, index, dtype=np.float64))


def coin_greeks(
    forward: FloatLike,
    strike: FloatLike,
    vol: FloatLike,
    years: FloatLike,
    call: BoolLike,
    discount: FloatLike = 1.0,
) -> Greeks:
    """Return the Greeks in coin, by the forward, of one long coin-settled option on one coin.

    Shapes and limits of :func:`crossmargin.pricing.greeks.greeks`; NaN also where the forward is 0. The delta
    is that of the coin value and lacks the risk of the coin itself: D K Phi(d2)/F^2 of a call, -D K
    Phi(-d2)/F^2 of a put.
    """
    f = np.asarray(forward, dtype=np.float64)
    f = np.where(f > 0.0, f, np.nan)
    b = greeks(f, strike, vol, years, call, discount)
    value = b.value / f
    delta = (b.delta - value) / f
    return Greeks(
        value=value,
        delta=delta,
        gamma=(b.gamma - 2.0 * delta) / f,
        vega=b.vega / f,
        theta=b.theta / f,
        rho=b.rho / f,
        vanna=(b.vanna - b.vega / f) / f,
        volga=b.volga / f,
        charm=(b.charm - b.theta / f) / f,
    )


def reporting_greeks(
    forward: FloatLike,
    index: FloatLike,
    strike: FloatLike,
    vol: FloatLike,
    years: FloatLike,
    call: BoolLike,
    discount: FloatLike = 1.0,
) -> Greeks:
    """Return the Greeks in reporting currency, by the index, of one long coin-settled option on one coin.

    The forward moves in proportion with the index (module notes). Shapes and limits of
    :func:`crossmargin.pricing.greeks.greeks`; NaN also where the forward or the index is not positive.
    """
    f, i = (np.asarray(argument, dtype=np.float64) for argument in (forward, index))
    f, i = np.where(f > 0.0, f, np.nan), np.where(i > 0.0, i, np.nan)
    b = greeks(f, strike, vol, years, call, discount)
    share = i / f
    return Greeks(
        value=share * b.value,
        delta=b.delta + 0.0 * share,
        gamma=b.gamma / share,
        vega=share * b.vega,
        theta=share * b.theta,
        rho=share * b.rho,
        vanna=b.vanna + 0.0 * share,
        volga=share * b.volga,
        charm=b.charm + 0.0 * share,
    )
