import numpy as np
import pytest

from crossmargin.errors import FailureReason, InputError
from crossmargin.market.forward import ForwardCurve

YEARS = [0.5, 0.1, 1.3]
FORWARDS = [103.0, 101.0, 99.0]


def test_nodes_are_exact_and_the_index_is_the_start() -> None:
    curve = ForwardCurve.build(YEARS, FORWARDS, index=100.0, underlying="BTC")
    assert curve.forward(YEARS).tolist() == FORWARDS
    assert curve.forward(0.0) == curve.index == 100.0


def test_between_nodes_the_log_basis_is_linear() -> None:
    curve = ForwardCurve.build(YEARS, FORWARDS, index=100.0)
    assert curve.forward(0.3) == pytest.approx(np.sqrt(101.0 * 103.0))
    assert curve.forward(0.05) == pytest.approx(100.0 * np.sqrt(1.01))


def test_beyond_the_last_node_the_annualised_basis_holds() -> None:
    curve = ForwardCurve.build(YEARS, FORWARDS, index=100.0)
    assert curve.forward(2.6) == pytest.approx(100.0 * 0.99**2)
    assert ForwardCurve.build(index=100.0).forward([0.0, 3.0]).tolist() == [100.0, 100.0]


def test_what_is_delivered_has_no_forward() -> None:
    curve = ForwardCurve.build(YEARS, FORWARDS, index=100.0)
    assert np.isnan(curve.forward([-0.1, np.nan])).all()
    assert curve.forward(np.zeros((2, 3))).shape == (2, 3)


@pytest.mark.parametrize(
    ("years", "forwards", "index", "message"),
    [
        ([0.1], [100.0], 0.0, "BTC: expected a positive index price, found 0.0"),
        ([0.1], [np.nan], 100.0, "positive forward price, found nan"),
        ([0.0], [100.0], 100.0, "positive time to delivery"),
        ([0.1, 0.2], [100.0], 100.0, "as many times as forwards"),
        ([0.1, 0.1], [100.0, 101.0], 100.0, "two forwards, 100.0 and 101.0"),
    ],
)
def test_nonsense_is_refused(years: list[float], forwards: list[float], index: float, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        ForwardCurve.build(years, forwards, index=index, underlying="BTC")
    assert caught.value.reason is FailureReason.INVALID_PRICE


def test_a_curve_cannot_be_changed() -> None:
    curve = ForwardCurve.build([0.1, 0.1], [101.0, 101.0], index=100.0)
    assert curve.years.tolist() == [0.0, 0.1]
    with pytest.raises(ValueError, match="read-only"):
        curve.forwards[0] = 1.0
