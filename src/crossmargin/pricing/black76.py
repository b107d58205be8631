"""Black-76: European options on a forward, on arrays [instrument, scenario].

The work is done on the out-of-the-money side only. With m = min(F, K), M = max(F, K), s = vol * sqrt(years),
h1 = -ln(M/m)/s + s/2 and h2 = h1 - s,

    price / discount = max(+-(F - K), 0) + m Phi(h1) - M Phi(h2)            (+ call, - put).

Because m phi(h1) = M phi(h2), both probabilities share one exponential, and h2 is never positive. Put-call
parity, the value at zero vol and the bounds then hold by construction and not by luck of rounding.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from crossmargin.pricing.normal import (
    TAIL_DENOMINATOR,
    TAIL_NUMERATOR,
    BoolLike,
    FloatArray,
    FloatLike,
    polynomial,
)

# From here on a call is worth its forward and a put its strike: what is missing is below one part in 1e31.
HUGE_DEVIATION: Final = 24.0
# Stands for zero: so small that any distance from the strike is infinitely many deviations away.
_LEAST_DEVIATION: Final = 1e-150
_MOST_DEVIATION: Final = 80.0
# Its tenth power, squared, is still finite in the rational functions.
_FARTHEST: Final = 1e10
# Cells per block: the working set of a block stays in cache, and the cost of a NumPy call is spread.
_BLOCK: Final = 16384
_WORK_ARRAYS: Final = 9


def nonnegative(values: FloatLike) -> FloatArray:
    """Return the values as an array with NaN in place of every negative one."""
    values = np.asarray(values, dtype=np.float64)
    if np.any(values < 0.0):
        return np.where(values < 0.0, np.nan, values)
    return values


def deviation(vol: FloatLike, years: FloatLike) -> FloatArray:
    """Return vol * sqrt(years), the deviation of the log-price, >= 0; NaN where an input is negative.

    Both are broadcast. An infinite vol at no time left has no limit: NaN.
    """
    with np.errstate(invalid="ignore"):
        return np.asarray(nonnegative(vol) * np.sqrt(nonnegative(years)))


def _out_of_the_money(low: FloatArray, work: FloatArray) -> FloatArray:
    """Return m Phi(h1) - M Phi(h2), within [0, m], from m = `low`; `work` begins with s/2 and ln(M/m)/s."""
    h, numerator, denominator = work[0:2], work[2:4], work[4:6]
    side, density = work[6], work[7]
    np.subtract(h[0], h[1], out=side)
    np.add(h[0], h[1], out=h[1])
    np.multiply(side, side, out=density)
    density *= -0.5
    np.exp(density, out=density)
    density *= low
    np.abs(side, out=h[0])
    polynomial(TAIL_NUMERATOR, h, numerator)
    polynomial(TAIL_DENOMINATOR, h, denominator)
    # With h1 >= 0 the value is m - g (N1/D1 + N2/D2), else g (N1/D1 - N2/D2): the sign of h1 goes into N1,
    # both tails share one division, and masks are multiplied in: several times faster than selecting.
    np.copysign(numerator[0], side, out=numerator[0])
    numerator *= denominator[::-1]
    value = np.add(numerator[0], numerator[1], out=numerator[0])
    denominator[0] *= denominator[1]
    value /= denominator[0]
    value *= density
    np.multiply(low, side >= 0.0, out=side)
    np.subtract(side, value, out=value)
    clipped: FloatArray = np.clip(value, 0.0, low, out=value)
    return clipped


def _undiscounted(
    forward: FloatArray,
    strike: FloatArray,
    s: FloatArray,
    sign: FloatArray,
    out: FloatArray,
    work: FloatArray,
) -> None:
    """Write the undiscounted price of one block into `out`; `sign` is +1 for a call, -1 for a put."""
    low, half, distance = work[8], work[0], work[1]
    np.minimum(forward, strike, out=low)
    np.clip(s, _LEAST_DEVIATION, _MOST_DEVIATION, out=half)
    np.divide(forward, strike, out=distance)
    np.log(distance, out=distance)
    np.abs(distance, out=distance)
    distance /= half
    np.minimum(distance, _FARTHEST, out=distance)
    half *= 0.5
    np.subtract(forward, strike, out=out)
    out *= sign
    np.clip(out, 0.0, np.inf, out=out)  # faster than maximum
    out += _out_of_the_money(low, work)
    huge = s >= HUGE_DEVIATION
    if np.any(huge):
        np.copyto(out, np.where(sign > 0.0, forward, strike), where=huge)


def price(
    forward: FloatLike,
    strike: FloatLike,
    vol: FloatLike,
    years: FloatLike,
    call: BoolLike,
    discount: FloatLike = 1.0,
) -> FloatArray:
    """Return the Black-76 price, in the unit of the forward, >= 0.

    Parameters
    ----------
    forward, strike, vol, years, call, discount
        Broadcast against each other, as ``[instrument, 1]``, ``[scenario]`` or ``[instrument, scenario]``;
        the result has the common shape, rows contiguous. `call` is True for a call, False for a put.

    Returns
    -------
    Array of prices. Zero vol or zero time: the discounted intrinsic value, exactly. vol * sqrt(years) >= 24:
    discount * forward for a call, discount * strike for a put, exactly. A forward of zero is priced
    (a call 0, a put the discounted strike). NaN where any input is NaN or a forward, strike, vol or time is
    negative, and for forward = strike = 0. Nothing is raised and nothing warns. The rounding error is a few
    units in the last place of the lesser of forward and strike.

    Notes
    -----
    F. Black, "The pricing of commodity contracts", Journal of Financial Economics 3 (1976) 167-179.
    """
    sign = np.where(call, 1.0, -1.0)
    arguments = (nonnegative(forward), nonnegative(strike), deviation(vol, years), sign)
    shape = np.broadcast_shapes(*(argument.shape for argument in arguments), np.shape(discount))
    extent = shape or (1,)
    f, k, s, sign = (a if a.shape == extent else np.broadcast_to(a, extent) for a in arguments)
    result: FloatArray = np.empty(extent)
    step = max(1, _BLOCK * extent[0] // max(1, result.size))
    work = np.empty((_WORK_ARRAYS, min(step, extent[0]), *extent[1:]))
    with np.errstate(all="ignore"):
        for start in range(0, extent[0], step):
            rows = slice(start, start + step)
            _undiscounted(f[rows], k[rows], s[rows], sign[rows], result[rows], work[:, : len(result[rows])])
        result *= discount
    return np.reshape(result, shape)
