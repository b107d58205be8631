import math

import numpy as np
import numpy.typing as npt
import pytest
from mpmath import erfc, exp, mpf, sqrt
from scipy.special import ndtr, ndtri

from crossmargin.kernels import normal_tail
from crossmargin.pricing import normal
from tests.twins.normal_fit import fit

GRID = np.concatenate([np.linspace(-37.5, 8.0, 1_821), -np.logspace(-12, 1, 60), np.logspace(-12, 0.9, 60)])


def relative(found: npt.NDArray[np.float64], exact: list[mpf]) -> float:
    return max(abs(float(mpf(float(a)) / b - 1)) for a, b in zip(found, exact, strict=True))


def test_cdf_is_right_to_the_last_digits_in_the_far_tail_too() -> None:
    exact = [erfc(-mpf(float(x)) / sqrt(mpf(2))) / 2 for x in GRID]
    assert relative(normal.cdf(GRID), exact) < 2e-15


def test_pdf_is_right_to_the_last_digits() -> None:
    exact = [exp(-(mpf(float(x)) ** 2) / 2) / sqrt(2 * mpf(math.pi)) for x in GRID]
    assert relative(normal.pdf(GRID), exact) < 1e-15


def test_scaled_tail_up_to_forty() -> None:
    x = np.linspace(0.0, 40.0, 2_001)
    exact = [exp(mpf(float(v)) ** 2 / 2) * erfc(mpf(float(v)) / sqrt(mpf(2))) / 2 for v in x]
    assert relative(normal.scaled_tail(x), exact) < 1.5e-15


def test_cdf_agrees_with_scipy() -> None:
    x = np.linspace(-37.0, 37.0, 20_001)
    np.testing.assert_allclose(normal.cdf(x), ndtr(x), rtol=5e-13)  # the error is SciPy's


def test_inverse_agrees_with_scipy_and_undoes_the_cdf() -> None:
    p = np.concatenate([np.logspace(-300, -0.31, 2_000), 1.0 - np.logspace(-15, -0.31, 500)])
    np.testing.assert_allclose(normal.inverse_cdf(p), ndtri(p), rtol=5e-15, atol=1e-16)
    x = np.linspace(-37.0, 5.0, 1_000)
    np.testing.assert_allclose(normal.inverse_cdf(normal.cdf(x)), x, rtol=1e-10, atol=1e-14)


def test_ends_and_nonsense() -> None:
    assert normal.cdf(np.array([-np.inf, 0.0, np.inf])).tolist() == [0.0, 0.5, 1.0]
    assert np.isnan(normal.cdf(np.nan))
    assert normal.inverse_cdf(np.array([0.0, 0.5, 1.0])).tolist() == [-np.inf, 0.0, np.inf]
    assert np.isnan(normal.inverse_cdf(np.array([-0.1, 1.1, np.nan]))).all()


@pytest.mark.parametrize("function", [normal.cdf, normal.pdf, normal.scaled_tail])
def test_shapes_are_kept(function: object) -> None:
    assert callable(function)
    assert function(np.zeros((2, 3))).shape == (2, 3)
    assert function(0.5).shape == ()


def test_the_constants_are_those_of_the_fit() -> None:
    numerator, denominator, error = fit()
    assert error < 5.6e-17
    np.testing.assert_allclose([float(c) for c in numerator], normal_tail.TAIL_NUMERATOR, rtol=1e-4)
    np.testing.assert_allclose([float(c) for c in denominator], normal_tail.TAIL_DENOMINATOR, rtol=1e-4)
