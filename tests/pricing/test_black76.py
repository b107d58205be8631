import numpy as np
import pytest
import QuantLib
from hypothesis import given
from hypothesis import strategies as st

from crossmargin.kernels import numpy_options, use_kernel
from crossmargin.pricing import option_payoff, price
from tests.strategies.pricing import Option, options
from tests.twins import black76_mp

RNG = np.random.default_rng(20260205)
EPSILON = np.finfo(np.float64).eps


Columns = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def random_options(count: int) -> Columns:
    forward = np.exp(RNG.uniform(-5, 12, count))
    strike = forward * np.exp(RNG.normal(0.0, 0.7, count))
    return forward, strike, RNG.uniform(0.05, 3, count), RNG.uniform(0.001, 3, count), RNG.random(count) < 0.5


def test_price_agrees_with_the_high_precision_twin() -> None:
    columns = random_options(400)
    found = price(*columns)
    for f, k, v, t, call, value in zip(*columns, found, strict=True):
        exact = black76_mp.price(float(f), float(k), float(v), float(t), call=bool(call))
        assert abs(float(exact - float(value))) <= 1e-15 * min(f, k) + 4e-16 * float(exact)


def test_price_agrees_with_quantlib() -> None:
    columns = random_options(2_000)
    found = price(*columns, discount=0.97)
    for f, k, v, t, call, value in zip(*columns, found, strict=True):
        kind = QuantLib.Option.Call if call else QuantLib.Option.Put
        other = QuantLib.blackFormula(kind, float(k), float(f), float(v * np.sqrt(t)), 0.97)
        assert abs(other - value) <= 2e-15 * max(f, k)


def test_instruments_by_scenarios_in_blocks_equals_one_by_one() -> None:
    forward, strike, vol, years, call = (column[:, np.newaxis] for column in random_options(700))
    moves, changes = RNG.uniform(0.5, 1.5, 64), RNG.uniform(0.5, 2.0, 64)
    matrix = price(forward * moves, strike, vol * changes, years, call)
    assert matrix.shape == (700, 64)
    assert matrix.flags.c_contiguous
    for row in (0, 255, 256, 699):
        alone = price(forward[row] * moves, strike[row], vol[row] * changes, years[row], call[row])
        assert np.array_equal(matrix[row], alone)


@given(options(), st.floats(0.2, 1.0))
def test_put_call_parity_and_bounds(option: Option, discount: float) -> None:
    f, k, v, t, _ = option
    call, put = (float(price(f, k, v, t, side, discount)) for side in (True, False))
    assert call - put == pytest.approx(discount * (f - k), abs=4 * EPSILON * discount * max(f, k))
    for value, most, side in ((call, f, True), (put, k, False)):
        assert value >= discount * float(option_payoff(f, k, side))
        assert value <= discount * most * (1 + 2 * EPSILON)


@given(options(), st.floats(1.0, 2.0))
def test_more_vol_is_never_worth_less(option: Option, factor: float) -> None:
    f, k, v, t, call = option
    assert price(f, k, v * factor, t, call) >= price(f, k, v, t, call) - 4 * EPSILON * max(f, k)


@given(options(), st.floats(1.0, 3.0))
def test_a_call_falls_and_a_put_rises_with_the_strike(option: Option, factor: float) -> None:
    f, k, v, t, _ = option
    slack = 4 * EPSILON * max(f, k * factor)
    assert price(f, k * factor, v, t, call=True) <= price(f, k, v, t, call=True) + slack
    assert price(f, k * factor, v, t, call=False) >= price(f, k, v, t, call=False) - slack


@given(options(), st.floats(0.01, 100.0))
def test_price_scales_with_the_currency(option: Option, factor: float) -> None:
    f, k, v, t, call = option
    scaled = price(f * factor, k * factor, v, t, call)
    assert scaled == pytest.approx(factor * price(f, k, v, t, call), abs=1e-13 * factor * min(f, k), rel=1e-13)


@given(options(), st.sampled_from(["vol", "years"]))
def test_zero_vol_or_time_gives_the_discounted_intrinsic_value_exactly(option: Option, zero: str) -> None:
    f, k, v, t, call = option._replace(vol=0.0) if zero == "vol" else option._replace(years=0.0)
    assert price(f, k, v, t, call, 0.9) == 0.9 * option_payoff(f, k, call)
    assert price(f, f, v, t, call, 0.9) == 0.0


@given(options(), st.floats(24.0, 1e6))
def test_huge_vol_gives_the_forward_or_the_strike_exactly(option: Option, spread: float) -> None:
    assert price(option.forward, option.strike, spread * 1.0001, 1.0, option.call, 0.5) == 0.5 * (
        option.forward if option.call else option.strike
    )
    just_below = float(price(option.forward, option.strike, 23.999, 1.0, option.call))
    assert just_below == pytest.approx(option.forward if option.call else option.strike, rel=1e-15)


def test_a_worthless_coin_is_priced() -> None:
    assert price(0.0, 100.0, 0.5, 1.0, call=True) == 0.0
    assert price(0.0, 100.0, 0.5, 1.0, call=False) == 100.0
    assert price(100.0, 0.0, 0.5, 1.0, call=True) == 100.0


@pytest.mark.parametrize(
    "bad",
    [
        (np.nan, 1.0, 0.5, 1.0),
        (1.0, np.nan, 0.5, 1.0),
        (1.0, 1.0, np.nan, 1.0),
        (1.0, 1.0, 0.5, np.nan),
        (-1.0, 1.0, 0.5, 1.0),
        (-1.0, -1.0, 0.5, 1.0),
        (1.0, 1.0, -0.5, 1.0),
        (1.0, 1.0, 0.5, -1.0),
        (0.0, 0.0, 0.5, 1.0),
        (1.0, 1.0, np.inf, 0.0),
    ],
)
def test_nonsense_is_nan(bad: tuple[float, float, float, float]) -> None:
    assert np.isnan(price(*bad, call=True))
    forward, strike, vol, years = (np.array(pair) for pair in zip((100.0, 100.0, 0.5, 1.0), bad, strict=True))
    row = price(forward, strike, vol, years, call=False)
    assert np.isfinite(row[0])
    assert np.isnan(row[1])


def test_shapes() -> None:
    assert price(1.0, 1.0, 0.5, 1.0, call=True).shape == ()
    assert price(np.ones((0, 64)), 1.0, 0.5, 1.0, call=True).shape == (0, 64)
    assert price(np.ones((3, 1)), 1.0, np.full(5, 0.5), 1.0, np.array([True])).shape == (3, 5)
    assert price(1.0, 1.0, 0.5, 1.0, call=True, discount=np.ones(4)).shape == (4,)
    with pytest.raises(ValueError, match="broadcast"):
        price(np.ones(3), np.ones(4), 0.5, 1.0, call=True)


@pytest.mark.usefixtures("kernel_kept")
def test_the_block_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    columns = random_options(1_000)
    use_kernel("numpy")
    whole = price(*columns)
    monkeypatch.setattr(numpy_options, "_BLOCK", 37)
    assert np.array_equal(whole, price(*columns))
