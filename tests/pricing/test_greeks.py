import numpy as np
import pytest
import QuantLib

from crossmargin.pricing import (
    Greeks,
    coin_greeks,
    coin_price,
    greeks,
    price,
    reporting_greeks,
    reporting_value,
)
from tests.twins import black76_mp

RNG = np.random.default_rng(7)
COUNT = 60
FORWARD = np.exp(RNG.uniform(-2, 11, COUNT))
STRIKE = FORWARD * np.exp(RNG.normal(0.0, 0.4, COUNT))
VOL = RNG.uniform(0.2, 2.0, COUNT)
YEARS = RNG.uniform(0.01, 2.0, COUNT)
CALL = RNG.random(COUNT) < 0.5
RATE = 0.05


def test_greeks_agree_with_numerical_derivatives_in_sixty_digits() -> None:
    found = greeks(FORWARD, STRIKE, VOL, YEARS, CALL, np.exp(-RATE * YEARS))
    for i in range(COUNT):
        exact = black76_mp.greeks(
            float(FORWARD[i]), float(STRIKE[i]), float(VOL[i]), float(YEARS[i]), call=bool(CALL[i]), rate=RATE
        )
        for name, value in exact.items():
            assert getattr(found, name)[i] == pytest.approx(float(value), rel=1e-11, abs=1e-13), name


def test_greeks_agree_with_quantlib() -> None:
    found = greeks(FORWARD, STRIKE, VOL, YEARS, CALL, np.exp(-RATE * YEARS))
    for i in range(COUNT):
        f, k, t = float(FORWARD[i]), float(STRIKE[i]), float(YEARS[i])
        payoff = QuantLib.PlainVanillaPayoff(QuantLib.Option.Call if CALL[i] else QuantLib.Option.Put, k)
        other = QuantLib.BlackCalculator(payoff, f, float(VOL[i] * np.sqrt(t)), float(np.exp(-RATE * t)))
        value = other.value()
        # QuantLib's rho moves the forward with the rate; ours holds it.
        expected = {
            "value": value,
            "delta": other.deltaForward(),
            "gamma": other.gammaForward(),
            "vega": other.vega(t),
            "theta": other.theta(f, t),
            "rho": other.rho(t) - t * f * other.deltaForward(),
        }
        for name, number in expected.items():
            scale = {"gamma": 1.0 / f, "delta": 1.0}.get(name, f)
            assert getattr(found, name)[i] == pytest.approx(number, rel=1e-10, abs=1e-12 * scale), name


@pytest.mark.parametrize(("vol", "years"), [(0.0, 1.0), (0.5, 0.0), (0.0, 0.0)])
def test_without_spread_the_greeks_are_those_of_the_intrinsic_value(vol: float, years: float) -> None:
    forward = np.array([90.0, 100.0, 110.0])
    call = greeks(forward, 100.0, vol, years, call=True)
    put = greeks(forward, 100.0, vol, years, call=False)
    assert call.delta.tolist() == [0.0, 0.5, 1.0]
    assert put.delta.tolist() == [-1.0, -0.5, 0.0]
    for name in ("gamma", "theta", "volga", "charm"):
        assert not getattr(call, name).any(), name
    assert call.vega[[0, 2]].tolist() == [0.0, 0.0]
    assert call.vega[1] == pytest.approx(100.0 * 0.3989422804014327 * np.sqrt(years))
    assert np.isfinite(np.array(call)).all()


def test_vega_and_vanna_at_the_strike_take_their_limits() -> None:
    small, none = greeks(100.0, 100.0, 1e-7, 0.25, call=True), greeks(100.0, 100.0, 0.0, 0.25, call=True)
    assert small.vega == pytest.approx(none.vega)
    assert small.vanna == pytest.approx(none.vanna)


def test_signs_of_theta_and_charm() -> None:
    found = greeks(np.array([90.0, 110.0]), 100.0, 0.5, 0.1, call=True)
    assert (found.theta < 0).all()
    later = greeks(np.array([90.0, 110.0]), 100.0, 0.5, 0.1 - 1e-6, call=True)
    np.testing.assert_allclose(found.theta, (later.value - found.value) / 1e-6, rtol=1e-4)
    np.testing.assert_allclose(found.charm, (later.delta - found.delta) / 1e-6, rtol=1e-4)


@pytest.mark.parametrize("bad", [(np.nan, 0.5, 1.0), (-1.0, 0.5, 1.0), (100.0, np.inf, 1.0), (100.0, 0.5, np.nan)])
def test_nonsense_is_nan_in_every_greek(bad: tuple[float, float, float]) -> None:
    forward, vol, years = bad
    assert np.isnan(np.array(greeks(np.array([forward]), 100.0, vol, years, call=True))).all()


def bumped(name: str, by: float) -> tuple[np.ndarray, ...]:
    columns = {"forward": FORWARD, "vol": VOL, "years": YEARS}
    columns[name] = columns[name] * (1.0 + by)
    return columns["forward"], STRIKE, columns["vol"], columns["years"], CALL


def test_coin_greeks_are_derivatives_of_the_coin_value() -> None:
    found = coin_greeks(FORWARD, STRIKE, VOL, YEARS, CALL)
    np.testing.assert_array_equal(found.value, coin_price(FORWARD, STRIKE, VOL, YEARS, CALL))
    check_derivatives(found, coin_greeks, FORWARD, 1.0)


def test_reporting_greeks_are_derivatives_by_the_index() -> None:
    basis = 0.97

    def value(*columns: np.ndarray) -> Greeks:
        return reporting_greeks(columns[0], basis * columns[0], *columns[1:])

    found = value(FORWARD, STRIKE, VOL, YEARS, CALL)
    coins = coin_price(FORWARD, STRIKE, VOL, YEARS, CALL)
    np.testing.assert_allclose(found.value, reporting_value(coins, basis * FORWARD), rtol=1e-14)
    check_derivatives(found, value, basis * FORWARD, basis * FORWARD)


def check_derivatives(found: Greeks, again: object, level: np.ndarray, unit: float | np.ndarray) -> None:
    """Central differences of value and of delta; `level` is what the forward's relative bump moves."""
    assert callable(again)
    h = 1e-5
    pairs = {"forward": ("delta", "gamma"), "vol": ("vega", "vanna"), "years": ("theta", "charm")}
    for name, (of_value, of_delta) in pairs.items():
        up, down = again(*bumped(name, h)), again(*bumped(name, -h))
        step = 2 * h * {"forward": level, "vol": VOL, "years": -YEARS}[name]
        np.testing.assert_allclose(
            (up.value - down.value) / step, getattr(found, of_value), rtol=1e-5, atol=1e-8 * np.max(unit)
        )
        np.testing.assert_allclose(
            level * (up.delta - down.delta) / step,
            level * getattr(found, of_delta),
            rtol=1e-5,
            atol=1e-7 * np.max(unit),
        )
    up, down = again(*bumped("vol", h)), again(*bumped("vol", -h))
    np.testing.assert_allclose((up.vega - down.vega) / (2 * h * VOL), found.volga, rtol=1e-5, atol=1e-7 * np.max(unit))


def test_coin_values() -> None:
    assert coin_price(1e5, 1e5, 0.5, 0.0, call=True) == 0.0
    assert coin_price(1e5, 8e4, 0.5, 0.0, call=True) == pytest.approx(0.2)
    assert np.isnan(coin_price(0.0, 1.0, 0.5, 1.0, call=False))
    assert np.isnan(reporting_greeks(100.0, -1.0, 100.0, 0.5, 1.0, call=True).delta)
    worth = reporting_value(coin_price(1e5, 9e4, 0.6, 0.2, call=True), 9.9e4)
    assert worth == pytest.approx(0.99 * float(price(1e5, 9e4, 0.6, 0.2, call=True)))
