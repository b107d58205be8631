"""Black-76 in NumPy: the oracle of the compiled twin, and the engine where that is not built.

pricing/black76.py says what is computed. The work is done in blocks, on the out-of-the-money side only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from crossmargin.kernels.normal_tail import TAIL_DENOMINATOR, TAIL_NUMERATOR, polynomial

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    FloatLike = float | Floats

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


def nonnegative(values: FloatLike) -> Floats:
    """Return the values as an array with NaN in place of every negative one; a negative zero is zero."""
    values = np.asarray(values, dtype=np.float64) + 0.0
    if np.any(values < 0.0):
        return np.where(values < 0.0, np.nan, values)
    return values


def deviation(vol: FloatLike, years: FloatLike) -> Floats:
    """Return vol * sqrt(years), the deviation of the log-price, >= 0; NaN where an input is negative.

    Both are broadcast. An infinite vol at no time left has no limit: NaN.
    """
    with np.errstate(invalid="ignore"):
        return np.asarray(nonnegative(vol) * np.sqrt(nonnegative(years)))


def _out_of_the_money(low: Floats, work: Floats) -> Floats:
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
    clipped: Floats = np.clip(value, 0.0, low, out=value)
    return clipped


def _undiscounted(
    forward: Floats,
    strike: Floats,
    s: Floats,
    sign: Floats,
    out: Floats,
    work: Floats,
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
        np.copyto(out, np.where(sign > 0.0, forward, strike), where=huge & (forward + strike > 0.0))


def option_values(
    forward: Floats, strike: Floats, vol: Floats, years: Floats, sign: Floats, discount: Floats
) -> Floats:
    """Return Black-76 prices; the arguments broadcast, `sign` is +1 for a call and -1 for a put.

    NaN where an argument is NaN, a forward, strike, vol or time negative, a price infinite; nothing is raised.
    """
    prices = (np.where(np.isinf(part), np.nan, part) for part in (nonnegative(forward), nonnegative(strike)))
    arguments = (*prices, deviation(vol, years), sign)
    shape = np.broadcast_shapes(*(argument.shape for argument in arguments), np.shape(discount))
    extent = shape or (1,)
    f, k, s, sign = (a if a.shape == extent else np.broadcast_to(a, extent) for a in arguments)
    result: Floats = np.empty(extent)
    step = max(1, _BLOCK * extent[0] // max(1, result.size))
    work = np.empty((_WORK_ARRAYS, min(step, extent[0]), *extent[1:]))
    with np.errstate(all="ignore"):
        for start in range(0, extent[0], step):
            rows = slice(start, start + step)
            _undiscounted(f[rows], k[rows], s[rows], sign[rows], result[rows], work[:, : len(result[rows])])
        result *= discount
    return np.reshape(result, shape)
