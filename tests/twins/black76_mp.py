"""Black-76, its Greeks and its implied vol in 60 digits: slow, obvious, and the judge of the fast code."""

from __future__ import annotations

from mpmath import diff, erfc, exp, findroot, log, mp, mpf, sqrt

mp.dps = 60


def cdf(x: float | mpf) -> mpf:
    return erfc(-mpf(x) / sqrt(mpf(2))) / 2


def price(
    forward: float | mpf,
    strike: float,
    vol: float | mpf,
    years: float | mpf,
    *,
    call: bool,
    rate: float | mpf = 0.0,
) -> mpf:
    f, k, v, t = mpf(forward), mpf(strike), mpf(vol), mpf(years)
    sign = 1 if call else -1
    s = v * sqrt(t)
    d1 = log(f / k) / s + s / 2
    return exp(-mpf(rate) * t) * sign * (f * cdf(sign * d1) - k * cdf(sign * (d1 - s)))


def greeks(forward: float, strike: float, vol: float, years: float, *, call: bool, rate: float) -> dict[str, mpf]:
    """Every Greek as the numerical derivative of the price, so that no formula is shared."""
    point = (mpf(forward), mpf(vol), mpf(years), mpf(rate))

    def value(f: mpf, v: mpf, t: mpf, r: mpf) -> mpf:
        return price(f, strike, v, t, call=call, rate=r)

    def derivative(f: int = 0, v: int = 0, t: int = 0, r: int = 0) -> mpf:
        return diff(value, point, (f, v, t, r))

    return {
        "value": value(*point),
        "delta": derivative(f=1),
        "gamma": derivative(f=2),
        "vega": derivative(v=1),
        "theta": -derivative(t=1),
        "rho": derivative(r=1),
        "vanna": derivative(f=1, v=1),
        "volga": derivative(v=2),
        "charm": -derivative(f=1, t=1),
    }


def implied_vol(target: float, forward: float, strike: float, years: float, guess: float, *, call: bool) -> mpf:
    return findroot(
        lambda v: log(price(forward, strike, v, years, call=call) / mpf(target)),
        (guess, guess * 1.0001),
        tol=mpf(10) ** -40,
    )
