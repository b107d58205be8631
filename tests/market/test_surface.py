import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.interpolate import PchipInterpolator

from crossmargin.errors import FailureReason, InputError
from crossmargin.market.surface import ArbitrageKind, VolSurface

K = np.array([-0.5, -0.2, 0.0, 0.15, 0.6])
NEAR = np.array([0.81, 0.62, 0.55, 0.57, 0.74])
FAR = np.array([0.75, 0.6, 0.56, 0.58, 0.7])


def surface() -> VolSurface:
    return VolSurface.build([0.5, 0.1], [K, K], [FAR, NEAR], forwards=[101.0, 100.0], underlying="BTC")


def test_marks_come_back_exactly() -> None:
    assert surface().vol(K, 0.1).tolist() == NEAR.tolist()
    assert surface().vol(K, 0.5).tolist() == FAR.tolist()


@given(st.lists(st.floats(0.01, 5.0), min_size=1, max_size=9), st.floats(1e-4, 3.0))
def test_any_marks_come_back_exactly_and_values_stay_between_neighbours(vols: list[float], years: float) -> None:
    nodes = np.linspace(-1.0, 1.0, len(vols))
    built = VolSurface.build([years], [nodes], [vols])
    assert built.vol(nodes, years).tolist() == vols
    middle = 0.5 * (nodes[1:] + nodes[:-1])
    found = built.vol(middle, years)
    low, high = np.minimum(vols[1:], vols[:-1]), np.maximum(vols[1:], vols[:-1])
    assert ((found >= low * (1 - 1e-12)) & (found <= high * (1 + 1e-12))).all()


def test_within_an_expiry_it_is_scipys_pchip_of_total_variance() -> None:
    k = np.linspace(-0.5, 0.6, 221)
    expected = np.sqrt(PchipInterpolator(K, NEAR**2 * 0.1)(k) / 0.1)
    np.testing.assert_allclose(surface().vol(k, 0.1), expected, rtol=1e-13)


def test_between_expiries_total_variance_is_linear_at_constant_moneyness() -> None:
    k = np.linspace(-0.7, 0.8, 31)
    near, far = surface().vol(k, 0.1) ** 2 * 0.1, surface().vol(k, 0.5) ** 2 * 0.5
    np.testing.assert_allclose(surface().vol(k, 0.2) ** 2 * 0.2, 0.75 * near + 0.25 * far, rtol=1e-13)


def test_total_variance_never_falls_with_time() -> None:
    years = np.linspace(0.001, 2.0, 400)[:, np.newaxis]
    total = surface().vol(np.linspace(-1.0, 1.0, 41), years) ** 2 * years
    assert (np.diff(total, axis=0) > 0.0).all()


def test_wings_and_outer_expiries_are_flat_in_vol() -> None:
    assert surface().vol([-3.0, 3.0], 0.1).tolist() == [NEAR[0], NEAR[-1]]
    assert surface().vol(0.0, [0.0, 0.01, 0.1]).tolist() == [0.55] * 3
    assert surface().vol(0.0, [0.5, 4.0]).tolist() == [0.56] * 2
    assert np.isnan(surface().vol([0.0, np.nan], [-1.0, 0.1])).all()


def test_sound_marks_have_no_findings() -> None:
    assert surface().arbitrage_violations() == []


def test_calendar_arbitrage_is_named() -> None:
    built = VolSurface.build(
        [0.1, 0.11], [[-0.1, 0.0, 0.1]] * 2, [[0.6, 0.6, 0.6], [0.6, 0.5, 0.6]], forwards=[100.0, 102.0]
    )
    (found,) = built.arbitrage_violations()
    assert found.kind is ArbitrageKind.CALENDAR
    assert (found.years, found.log_moneyness, found.strike) == (0.11, 0.0, 102.0)
    assert found.magnitude == pytest.approx(0.36 * 0.1 - 0.25 * 0.11)


def test_butterfly_and_monotonicity_are_named() -> None:
    bent = VolSurface.build([0.1], [[-0.1, 0.0, 0.1]], [[0.5, 0.9, 0.5]])
    assert {(f.kind, f.log_moneyness) for f in bent.arbitrage_violations()} == {(ArbitrageKind.BUTTERFLY, 0.0)}
    assert bent.arbitrage_violations()[0].strike is None
    steep = VolSurface.build([0.1], [[0.0, 0.05]], [[0.5, 0.9]])
    assert {f.kind for f in steep.arbitrage_violations()} == {ArbitrageKind.MONOTONICITY}


def test_a_put_and_a_call_that_disagree_are_flagged() -> None:
    built = VolSurface.build([0.1], [[0.0, 0.1, 0.0]], [[0.5, 0.52, 0.6]])
    assert built.vol(0.0, 0.1) == pytest.approx(0.55)
    (found,) = built.arbitrage_violations()
    assert found.kind is ArbitrageKind.PARITY
    assert found.magnitude == pytest.approx(0.1)
    agreed = VolSurface.build([0.1], [[0.0, 0.1, 0.0]], [[0.3, 0.32, 0.3]])
    assert agreed.vol(0.0, 0.1) == 0.3
    assert agreed.arbitrage_violations() == []


@pytest.mark.parametrize(
    ("years", "k", "vols", "reason"),
    [
        ([], [], [], FailureReason.MISSING_VOL),
        ([0.1], [[]], [[]], FailureReason.MISSING_VOL),
        ([0.1], [[0.0]], [[np.nan]], FailureReason.MISSING_VOL),
        ([0.1], [[0.0]], [[0.0]], FailureReason.MISSING_VOL),
        ([0.1], [[0.0, 0.1]], [[0.5]], FailureReason.INVALID_PRICE),
        ([0.1], [[np.inf]], [[0.5]], FailureReason.INVALID_PRICE),
        ([0.0], [[0.0]], [[0.5]], FailureReason.INVALID_PRICE),
        ([0.1, 0.1], [[0.0]] * 2, [[0.5]] * 2, FailureReason.INVALID_PRICE),
        ([0.1], [[0.0]] * 2, [[0.5]], FailureReason.INVALID_PRICE),
    ],
)
def test_nonsense_is_refused(
    years: list[float], k: list[list[float]], vols: list[list[float]], reason: FailureReason
) -> None:
    with pytest.raises(InputError, match="volatility surface of BTC") as caught:
        VolSurface.build(years, k, vols, underlying="BTC")
    assert caught.value.reason is reason


def test_a_surface_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="read-only"):
        surface().smiles[0].variances[0] = 1.0
