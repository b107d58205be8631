"""The Greeks of Black-76, on arrays [instrument, scenario], closed form.

With B the undiscounted price, D the discount, r = -ln(D)/years, x = ln(F/K), s = vol * sqrt(years),
d1 = x/s + s/2, d2 = d1 - s, and theta = +1 for a call, -1 for a put:

    delta = D theta Phi(theta d1)         vanna = -D phi(d1) d2 / vol
    gamma = D phi(d1) / (F s)             volga = vega d1 d2 / vol
    vega  = D F phi(d1) sqrt(years)       theta = r value - D F phi(d1) vol / (2 sqrt(years))
    rho   = -years value                  charm = r delta + D phi(d1) d2 / (2 years)

Theta and charm are derivatives by calendar time: a long option without discounting has theta <= 0.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from crossmargin import kernels
from crossmargin.kernels.numpy_options import deviation, nonnegative
from crossmargin.pricing.black76 import price
from crossmargin.pricing.normal import BoolArray, BoolLike, FloatArray, FloatLike, cdf, pdf


class Greeks(NamedTuple):
    """Value and sensitivities of one long option per unit, arrays of one shape.

    Attributes
    ----------
    value
        The price itself.
    delta, gamma
        First and second derivative by the forward (or by what the function that made them names).
    vega, volga
        First and second derivative by the vol as a fraction: per 1.00, not per point.
    theta
        Derivative by calendar time, per year of 365 days, at constant forward and vol (over 365: per day).
    rho
        Derivative by the discounting rate, per 1.00, at constant forward.
    vanna
        Derivative of delta by vol, per 1.00.
    charm
        Derivative of delta by calendar time, per year.
    """

    value: FloatArray
    delta: FloatArray
    gamma: FloatArray
    vega: FloatArray
    theta: FloatArray
    rho: FloatArray
    vanna: FloatArray
    volga: FloatArray
    charm: FloatArray


class _Terms(NamedTuple):
    """What the formulas share; where `live` is False there is no spread of outcomes left."""

    live: BoolArray
    at_strike: BoolArray
    d1: FloatArray
    d2: FloatArray
    density: FloatArray


def _divide(numerator: FloatArray, denominator: FloatArray, where: BoolArray) -> FloatArray:
    """Return the quotient, 0 where `where` is False."""
    return np.where(where, numerator / np.where(where, denominator, 1.0), 0.0)


def _terms(forward: FloatArray, strike: FloatArray, s: FloatArray) -> _Terms:
    live = ~((s == 0.0) | (forward == 0.0) | (strike == 0.0))
    at_strike = forward == strike
    spread = np.where(live, s, 1.0)
    moneyness = np.log(np.where(live, forward, 1.0) / np.where(live, strike, 1.0)) / spread
    # Without spread the outcome is certain: infinitely many deviations on one side, or none at the strike.
    certain = np.where(at_strike, 0.0, np.copysign(np.inf, forward - strike))
    d1 = np.where(live, moneyness + 0.5 * spread, certain)
    d2 = np.where(live, moneyness - 0.5 * spread, certain)
    return _Terms(live, at_strike, d1, d2, pdf(d1))


def greeks(
    forward: FloatLike,
    strike: FloatLike,
    vol: FloatLike,
    years: FloatLike,
    call: BoolLike,
    discount: FloatLike = 1.0,
) -> Greeks:
    """Return the Greeks by the forward of one long option, in the unit of the forward, signed as derivatives.

    Parameters
    ----------
    forward, strike, vol, years, call, discount
        Broadcast against each other; every result has the common shape. `discount` must be positive.

    Returns
    -------
    Greeks. NaN where an input is NaN, negative or infinite; nothing is raised. Zero vol or zero time: delta
    is that of the intrinsic value, one half (signed, discounted) exactly at the strike; vega and vanna take
    their limits; gamma, theta and charm at the strike would be infinite (or a point mass) and are given as 0,
    as they are everywhere else; at zero time r counts as 0.

    Notes
    -----
    F. Black (1976); E. G. Haug, The Complete Guide to Option Pricing Formulas, 2nd ed. (2007), chapter 2.
    """
    columns = [
        np.asarray(part, dtype=np.float64)
        for part in (forward, strike, vol, years, np.where(call, 1.0, -1.0), discount)
    ]
    found = kernels.option_greeks(*columns)
    return _by_numpy(*columns) if found is None else Greeks(*found)


def _by_numpy(
    forward: FloatArray,
    strike: FloatArray,
    vol: FloatArray,
    years: FloatArray,
    sign: FloatArray,
    discount: FloatArray,
) -> Greeks:
    forward, strike, vol, years = (nonnegative(argument) for argument in (forward, strike, vol, years))
    shape = np.broadcast_shapes(*(np.shape(a) for a in (forward, strike, vol, years, sign, discount)))
    f, k, v, t, sign, d = (np.broadcast_to(a, shape) for a in (forward, strike, vol, years, sign, discount))
    with np.errstate(all="ignore"):
        usable = np.isfinite(f + k + v + t + d)
        if not np.all(usable):
            f, k, v, t = (np.where(usable, argument, np.nan) for argument in (f, k, v, t))
        return _closed_forms(f, k, v, t, sign, d)


def _closed_forms(
    f: FloatArray, k: FloatArray, v: FloatArray, t: FloatArray, sign: FloatArray, d: FloatArray
) -> Greeks:
    s, root = deviation(v, t), np.sqrt(t)
    live, at_strike, d1, d2, density = _terms(f, k, s)
    rate = _divide(-np.log(d), t, t > 0.0)
    value = price(f, k, v, t, sign > 0.0, d)
    delta = d * sign * cdf(sign * d1)
    vega = d * f * density * root
    d2_by_vol = np.where(live, _divide(d2, v, live), np.where(at_strike, -0.5 * root, 0.0))
    decay = _divide(d * f * density * v, 2.0 * root, live)
    inner = np.where(live, d2, 0.0)
    return Greeks(
        value=value,
        delta=delta,
        gamma=_divide(d * density, f * s, live),
        vega=vega,
        theta=rate * value - decay,
        rho=-t * value,
        vanna=-d * density * d2_by_vol,
        volga=_divide(vega * np.where(live, d1, 0.0) * inner, v, live),
        charm=rate * delta + _divide(d * density * inner, 2.0 * t, live),
    )
