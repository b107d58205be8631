import numpy as np
import pytest
from hypothesis import given
from mpmath import mpf

from crossmargin.kernels import use_kernel
from crossmargin.pricing import ImpliedVolStatus, implied, implied_vol, option_payoff, price
from tests.strategies.pricing import Option, options
from tests.twins import black76_mp


def grid() -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(11)
    count = 20_000
    x = rng.normal(0.0, 0.6, count) * rng.choice([0.0, 1e-8, 1e-3, 0.1, 1.0], count)
    strike = 1e5 * np.exp(x)
    years = np.exp(rng.uniform(np.log(1e-5), np.log(3.0), count))
    vol = np.exp(rng.uniform(np.log(0.02), np.log(8.0), count))
    return np.full(count, 1e5), strike, vol, years, strike >= 1e5


def test_vol_is_right_to_twelve_digits_against_the_twin() -> None:
    forward, strike, vol, years, call = grid()
    prices = price(forward, strike, vol, years, call)
    found = implied_vol(prices, forward, strike, years, call)
    chosen = np.flatnonzero((prices > 1e-280) & (prices < 0.99e5) & (found.status == 0))[:150]
    assert chosen.size == 150
    for i in chosen:
        exact = black76_mp.implied_vol(
            float(prices[i]), 1e5, float(strike[i]), float(years[i]), float(vol[i]), call=bool(call[i])
        )
        assert abs(float(mpf(float(found.vol[i])) / exact - 1)) < 1e-12


def test_every_attainable_price_converges() -> None:
    forward, strike, vol, years, call = grid()
    prices = price(forward, strike, vol, years, call)
    attainable = (prices > 1e-250) & (prices < 0.9999999e5)
    found = implied_vol(prices, forward, strike, years, call)
    assert (found.status[attainable] == ImpliedVolStatus.OK).all()
    assert (found.status != ImpliedVolStatus.NOT_CONVERGED).all()
    assert np.isnan(found.vol[found.status != ImpliedVolStatus.OK]).all()


@given(options())
def test_the_price_at_the_implied_vol_is_the_price(option: Option) -> None:
    f, k, v, t, call = option
    value = float(price(f, k, v, t, call, 0.9))
    found = implied_vol(value, f, k, t, call, 0.9)
    if found.status == ImpliedVolStatus.OK:
        assert price(f, k, found.vol, t, call, 0.9) == pytest.approx(value, abs=1e-14 * f + 4e-16 * value)
    else:
        assert np.isnan(found.vol)
        s = v * np.sqrt(t)
        at_edge = value <= 0.9 * float(option_payoff(f, k, call)) + 1e-15 * max(f, k)
        assert at_edge or s > 8, found


@pytest.mark.parametrize(
    ("price_", "call", "status"),
    [
        (19.9, True, ImpliedVolStatus.BELOW_INTRINSIC),
        (20.0, True, ImpliedVolStatus.BELOW_INTRINSIC),
        (-1.0, True, ImpliedVolStatus.BELOW_INTRINSIC),
        (0.0, False, ImpliedVolStatus.BELOW_INTRINSIC),
        (120.0, True, ImpliedVolStatus.ABOVE_MAXIMUM),
        (121.0, True, ImpliedVolStatus.ABOVE_MAXIMUM),
        (100.0, False, ImpliedVolStatus.ABOVE_MAXIMUM),
        (np.nan, True, ImpliedVolStatus.INVALID),
        (np.inf, True, ImpliedVolStatus.INVALID),
    ],
)
def test_unattainable_prices(price_: float, call: bool, status: ImpliedVolStatus) -> None:
    found = implied_vol(np.array([price_, 30.0]), 120.0, 100.0, 0.5, np.array([call, True]))
    assert found.status.tolist() == [status, ImpliedVolStatus.OK]
    assert np.isnan(found.vol[0])


@pytest.mark.parametrize("place", range(4))
@pytest.mark.parametrize("bad", [0.0, -1.0, np.nan, np.inf])
def test_invalid_inputs(place: int, bad: float) -> None:
    inputs = [100.0, 100.0, 0.5, 1.0]
    inputs[place] = bad
    forward, strike, years, discount = inputs
    assert implied_vol(5.0, forward, strike, years, call=True, discount=discount).status == ImpliedVolStatus.INVALID


def test_bounds() -> None:
    for vol, status in (
        (0.99e-4, ImpliedVolStatus.BELOW_INTRINSIC),
        (1.01e-4, ImpliedVolStatus.OK),
        (19.9, ImpliedVolStatus.OK),
        (20.1, ImpliedVolStatus.ABOVE_MAXIMUM),
    ):
        assert implied_vol(price(100.0, 100.0, vol, 0.01, call=True), 100.0, 100.0, 0.01, call=True).status == status


@pytest.mark.usefixtures("kernel_kept")
def test_running_out_of_iterations_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    use_kernel("numpy")
    monkeypatch.setattr(implied, "_MAX_ITERATIONS", 1)
    found = implied_vol(5.0, 100.0, 120.0, 0.5, call=True)
    assert found.status == ImpliedVolStatus.NOT_CONVERGED
    assert np.isnan(found.vol)


def test_shapes() -> None:
    found = implied_vol(np.full((3, 1), 5.0), 100.0, np.full(4, 100.0), 0.5, call=True)
    assert found.vol.shape == found.status.shape == (3, 4)
    assert implied_vol(5.0, 100.0, 100.0, 0.5, call=True).vol.shape == ()
