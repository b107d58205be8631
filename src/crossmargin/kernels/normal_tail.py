"""The tail of the normal distribution as one rational function, for whoever computes with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

# Minimax fit of exp(x^2/2) * Phi(-x) on [0, 40], degree 9 over 10: relative error 5.5e-17 before rounding.
# tests/twins/normal_fit.py computes these numbers anew with mpmath. Lowest power first. All are positive,
# so that for x >= 0 no digit is lost to cancellation.
TAIL_NUMERATOR: Final = (
    0.49999999999999997303,
    0.7755011671045790662,
    0.59495588388097160356,
    0.28998287971556817756,
    0.097991439064504673517,
    0.023711736065036621162,
    0.0041082990648092363093,
    0.00049316541485211710446,
    0.000037503998398520883958,
    1.3968407461384080995e-6,
)
TAIL_DENOMINATOR: Final = (
    1.0,
    2.3488868950120128643,
    2.5640523563645478549,
    1.7173016204220165356,
    0.78387867868487739412,
    0.25573806199478797895,
    0.060665688118990851523,
    0.010391987168713218518,
    0.0012396837336342859596,
    0.000094008582795474982055,
    3.501360509436601581e-6,
)


def polynomial(coefficients: tuple[float, ...], x: Floats, out: Floats) -> Floats:
    """Return the polynomial (lowest power first) at x, written into `out`, which must not be `x`."""
    np.multiply(x, coefficients[-1], out=out)
    out += coefficients[-2]
    for coefficient in coefficients[-3::-1]:
        out *= x
        out += coefficient
    return out
