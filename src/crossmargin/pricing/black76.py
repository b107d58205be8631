"""Black-76: European options on a forward, on arrays [instrument, scenario].

The work is done on the out-of-the-money side only. With m = min(F, K), M = max(F, K), s = vol * sqrt(years),
h1 = -ln(M/m)/s + s/2 and h2 = h1 - s,

    price / discount = max(+-(F - K), 0) + m Phi(h1) - M Phi(h2)            (+ call, - put).

Because m phi(h1) = M phi(h2), both probabilities share one exponential, and h2 is never positive. Put-call
parity, the value at zero vol and the bounds then hold by construction and not by luck of rounding.
"""

from __future__ import annotations

import numpy as np

from crossmargin import kernels
from crossmargin.pricing.normal import BoolLike, FloatArray, FloatLike


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
    (a call 0, a put the discounted strike). NaN where any input is NaN, a forward, strike, vol or time is
    negative, a forward or strike infinite, and for forward = strike = 0. Nothing is raised and
    nothing warns. The rounding error is a few units in the last place of the lesser of forward and strike.

    Notes
    -----
    F. Black, "The pricing of commodity contracts", Journal of Financial Economics 3 (1976) 167-179.
    """
    f, k, v, t, d = (np.asarray(part, dtype=np.float64) for part in (forward, strike, vol, years, discount))
    return kernels.option_values(f, k, v, t, np.where(call, 1.0, -1.0), d)
