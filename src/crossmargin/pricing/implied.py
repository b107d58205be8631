"""Implied vol of Black-76 prices, on arrays: bounded, safeguarded, and never a made-up number.

With m = min(F, K), x = |ln(F/K)|, the time value t = (price/discount - intrinsic)/m lies in (0, 1) and is the
same function b(x, s) for calls and puts, s = vol * sqrt(years). Its root in s is found by Halley steps inside
a bracket that every evaluation narrows; a step that leaves the bracket is replaced by bisection. The function
that is driven to zero depends on where t lies (after P. Jaeckel, "Let's be rational", 2015):

    far below b at the inflection s_c = sqrt(2 x)     1/ln b - 1/ln t        almost straight in s^2
    above one half                                    ln (1-b) - ln (1-t)    keeps the digits of 1 - b
    between                                           b - t
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from crossmargin import kernels
from crossmargin.pricing.normal import (
    INV_SQRT_2PI,
    BoolArray,
    BoolLike,
    FloatArray,
    FloatLike,
    inverse_cdf,
    scaled_tail,
)

LEAST_VOL: Final = 1e-4
GREATEST_VOL: Final = 20.0

_EPSILON: Final = float(np.finfo(np.float64).eps)
# A time value below this many roundings of its price is noise.
_NOISE: Final = 4.0 * _EPSILON
_MAX_ITERATIONS: Final = 100
# Halley triples the digits: after a step this small the next would change nothing.
_CONVERGED: Final = 1e-7
# Up to here every second step may be no bisection.
_PATIENCE: Final = 10
_UPPER_FROM: Final = 0.5
_LOWER_UNTIL: Final = 0.5
# Below this spread the difference of two tails is taken by its series.
_SERIES_SPREAD: Final = 0.1
_SERIES_DISTANCE: Final = 4.0
_FARTHEST: Final = 1e10

# What the compiled kernel says of a price next to nothing, for which it has not the exponent.
_LEFT_ALONE: Final = 5


class ImpliedVolStatus(IntEnum):
    """What became of one price. Closed."""

    OK = 0
    BELOW_INTRINSIC = 1
    """The price holds no more time value than at the least vol (below intrinsic value, or equal to it)."""
    ABOVE_MAXIMUM = 2
    """The price is above that at the greatest vol (a call above its forward, a put above its strike)."""
    NOT_CONVERGED = 3
    INVALID = 4
    """An input is not finite, or a forward, strike, time or discount is not positive."""


class ImpliedVol(NamedTuple):
    """Vols as annualised fractions, NaN where the status is not OK, and one `ImpliedVolStatus` code each."""

    vol: FloatArray
    status: npt.NDArray[np.int8]


class _Problem(NamedTuple):
    """Flat arrays, one row per price: x, the targets t and 1 - t, the bracket, which function is used."""

    x: FloatArray
    target: FloatArray
    complement: FloatArray
    low: FloatArray
    high: FloatArray
    lower: BoolArray
    upper: BoolArray

    def take(self, chosen: BoolArray) -> _Problem:
        """Return the same columns with the chosen rows only."""
        x, target, complement, low, high = (column[chosen] for column in self[:5])
        return _Problem(x, target, complement, low, high, self.lower[chosen], self.upper[chosen])


class _TimeValue(NamedTuple):
    """b, 1 - b, db/ds and the ratio of the second derivative to the first."""

    value: FloatArray
    complement: FloatArray
    slope: FloatArray
    curvature: FloatArray


def _tail_difference(h: FloatArray, s: FloatArray) -> FloatArray:
    """Return r(h - s/2) - r(h + s/2), positive, for small s, where r(y) = exp(y^2/2) Phi(-y).

    Taylor series about h up to s^9; the derivatives follow from r' = y r - 1/sqrt(2 pi).
    """
    before, current = scaled_tail(h), h * scaled_tail(h) - INV_SQRT_2PI
    half, term = 0.5 * s, 0.5 * s
    total = current * term
    for order in (1, 3, 5, 7):
        even = h * current + order * before
        before, current = even, h * even + (order + 1) * current
        term = term * half * half / ((order + 1) * (order + 2))
        total = total + current * term
    return -2.0 * total


def _time_value(x: FloatArray, s: FloatArray) -> _TimeValue:
    """Return b(x, s) and what Halley's step needs, with the relative accuracy kept in both tails."""
    h = np.minimum(x / s, _FARTHEST)
    h1, far = 0.5 * s - h, 0.5 * s + h
    weight = np.exp(-0.5 * h1 * h1)
    near_tail, far_tail = scaled_tail(np.abs(h1)), scaled_tail(far)
    above = h1 >= 0.0
    small = (s < _SERIES_SPREAD) & (h < _SERIES_DISTANCE)
    series = _tail_difference(np.minimum(h, _SERIES_DISTANCE), np.minimum(s, _SERIES_SPREAD))
    plain = np.where(above, 1.0 - weight * (near_tail + far_tail), weight * (near_tail - far_tail))
    value = np.where(small, weight * series, plain)
    complement = np.where(above & ~small, weight * (near_tail + far_tail), 1.0 - value)
    return _TimeValue(value, complement, INV_SQRT_2PI * weight, -h1 * far / s)


def _step(problem: _Problem, at: _TimeValue) -> FloatArray:
    """Return Halley's step in s; NaN or infinite where b underflows, which the bracket then catches."""
    log_value, log_target = np.log(at.value), np.log(problem.target)
    by_value = at.slope / at.value
    newton = np.select(
        [problem.lower, problem.upper],
        [
            (1.0 / log_value - 1.0 / log_target) * log_value**2 / by_value,
            (np.log(at.complement) - np.log(problem.complement)) * at.complement / at.slope,
        ],
        (problem.target - at.value) / at.slope,
    )
    curvature = at.curvature + np.select(
        [problem.lower, problem.upper], [-by_value * (1.0 + 2.0 / log_value), at.slope / at.complement], 0.0
    )
    factor = 1.0 + 0.5 * newton * curvature
    return np.asarray(np.where(factor > _LOWER_UNTIL, newton / factor, newton))


def _first_guess(problem: _Problem) -> FloatArray:
    inflection = np.sqrt(2.0 * problem.x)
    at = _time_value(problem.x, np.maximum(inflection, problem.low))
    middle = inflection + (problem.target - at.value) / at.slope
    lower = problem.x / np.sqrt(-2.0 * np.log(problem.target))
    upper = -2.0 * inverse_cdf(0.5 * problem.complement)
    guess = np.select([problem.lower, problem.upper], [lower, upper], middle)
    inside = (guess > problem.low) & (guess < problem.high)
    return np.where(inside, guess, np.sqrt(problem.low * problem.high))


def _solve(problem: _Problem) -> FloatArray:
    """Return the root s of every element; NaN where the iterations ran out."""
    root = np.full_like(problem.x, np.nan)
    open_ = np.arange(problem.x.size)
    s = _first_guess(problem)
    for iteration in range(_MAX_ITERATIONS):
        at = _time_value(problem.x, s)
        short = np.where(problem.upper, at.complement > problem.complement, at.value < problem.target)
        low, high = np.where(short, s, problem.low), np.where(short, problem.high, s)
        new = s + _step(problem, at)
        wild = ~((new >= low) & (new <= high))
        if iteration > _PATIENCE and iteration % 2:
            wild[:] = True
        new = np.where(wild, np.sqrt(low * high), new)
        done = (np.abs(new - s) <= _CONVERGED * s) & ~wild | (high - low <= _NOISE * high)
        root[open_[done]] = new[done]
        going = ~done
        if not np.any(going):
            break
        open_, s = open_[going], new[going]
        problem = problem._replace(low=low, high=high).take(going)
    return root


def _log_moneyness(forward: FloatArray, strike: FloatArray) -> FloatArray:
    """Return |ln(F/K)|; near the strike the difference F - K is exact and the quotient is not."""
    low = np.minimum(forward, strike)
    return np.asarray(np.log1p((np.maximum(forward, strike) - low) / low))


def _pose(
    undiscounted: FloatArray,
    forward: FloatArray,
    strike: FloatArray,
    root_years: FloatArray,
    sign: FloatArray,
) -> tuple[_Problem, npt.NDArray[np.int8]]:
    """Return the problem of every element and the status that it has before solving."""
    least = np.minimum(forward, strike)
    intrinsic = np.maximum(sign * (forward - strike), 0.0)
    target = (undiscounted - intrinsic) / least
    complement = (least - (undiscounted - intrinsic)) / least
    noise = _NOISE * np.maximum(undiscounted, 0.0) / least
    x = _log_moneyness(forward, strike)
    low, high = LEAST_VOL * root_years, GREATEST_VOL * root_years
    inflection = np.sqrt(2.0 * x)
    at_low, at_high = _time_value(x, low), _time_value(x, high)
    at_inflection = _time_value(x, np.maximum(inflection, low))
    below = (target < at_low.value) | ((intrinsic > 0.0) & (target <= noise)) | (target <= 0.0)
    above = (complement < at_high.complement) | (complement <= noise)
    status = np.select([below, above], [ImpliedVolStatus.BELOW_INTRINSIC, ImpliedVolStatus.ABOVE_MAXIMUM], 0)
    upper = target > _UPPER_FROM
    lower = (target < _LOWER_UNTIL * at_inflection.value) & (inflection > low)
    high = np.where(lower, np.minimum(high, inflection), high)
    return _Problem(x, target, complement, low, high, lower, upper), status.astype(np.int8)


def implied_vol(
    price: FloatLike,
    forward: FloatLike,
    strike: FloatLike,
    years: FloatLike,
    call: BoolLike,
    discount: FloatLike = 1.0,
) -> ImpliedVol:
    """Return the annualised vol >= 0 at which Black-76 gives each price, with a status per element.

    Parameters
    ----------
    price, forward, strike, years, call, discount
        Broadcast against each other; the results have the common shape. Prices in the unit of the forward
        (for a price in coin, multiply by the forward first).

    Returns
    -------
    Vol within [1e-4, 20], NaN where the status is not ``ImpliedVolStatus.OK``. Nothing is raised and nothing
    warns. The relative error is below 1e-12 where the price carries that much: an in-the-money price loses
    the digits that its intrinsic value takes up, whoever inverts it.

    Notes
    -----
    P. Jaeckel, "Let's be rational", Wilmott (2015), for the three functions; Halley (1694) for the steps.
    """
    arguments = (price, forward, strike, years, np.where(call, 1.0, -1.0), discount)
    columns = [np.asarray(argument, dtype=np.float64) for argument in arguments]
    found = kernels.implied_vols(*columns)
    if found is None:
        return _by_numpy(columns)
    vol, status = found[0], found[1].astype(np.int8)
    if status.max(initial=0) == _LEFT_ALONE:
        left = status == _LEFT_ALONE
        vol[left], status[left] = _by_numpy([np.broadcast_to(column, left.shape)[left] for column in columns])
    return ImpliedVol(vol, status)


def _by_numpy(arguments: list[FloatArray]) -> ImpliedVol:
    columns = np.broadcast_arrays(*arguments)
    shape = columns[0].shape
    p, f, k, t, sign, d = (column.ravel() for column in columns)
    valid = np.isfinite(p + f + k + t + d) & (f > 0.0) & (k > 0.0) & (t > 0.0) & (d > 0.0)
    vol = np.full(p.shape, np.nan)
    status = np.full(p.shape, ImpliedVolStatus.INVALID, dtype=np.int8)
    root_years = np.sqrt(t[valid])
    with np.errstate(all="ignore"):
        problem, found = _pose(p[valid] / d[valid], f[valid], k[valid], root_years, sign[valid])
        solvable = found == ImpliedVolStatus.OK
        roots = np.full(found.shape, np.nan)
        roots[solvable] = _solve(problem.take(solvable))
    found[solvable & np.isnan(roots)] = ImpliedVolStatus.NOT_CONVERGED
    vol[valid], status[valid] = roots / root_years, found
    return ImpliedVol(vol.reshape(shape), status.reshape(shape))
