"""The compiled option kernels against NumPy's, 60 digits and QuantLib: same to rounding, the same bits among them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import QuantLib
from hypothesis import given
from hypothesis import strategies as st
from mpmath import mpf

from crossmargin import kernels
from crossmargin.kernels import kernels_here, use_kernel
from crossmargin.kernels.numpy_options import option_values as option_values_of_numpy
from crossmargin.pricing import Greeks, ImpliedVolStatus, greeks, implied_vol, price
from crossmargin.scenarios import Contracts, Shifts, Valuation, revalue
from tests.kernels.test_kernels import LEVELS, needs_native, same_bits
from tests.scenarios.test_revalue import contracts_of
from tests.strategies.books import future, option, perpetual
from tests.twins import black76_mp

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

pytestmark = pytest.mark.usefixtures("kernel_kept")


def by_both(call: Callable[[], tuple[Any, ...]]) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """What NumPy and the compiled kernel say."""
    use_kernel("numpy")
    wanted = call()
    use_kernel("native")
    return wanted, call()


OPTIONS = st.tuples(
    st.integers(0, 9), st.integers(0, 20), st.booleans(), st.booleans(), st.booleans(), st.integers(0, 1 << 20)
)


def option_columns(drawn: tuple[int, int, bool, bool, bool, int]) -> tuple[Floats, ...]:
    """Forwards, strikes, vols, years, signs and discounts, each along options, scenarios, or both."""
    options, scenarios, moved, vols, times, seed = drawn
    rng = np.random.default_rng(seed)
    column, row, table = (options, 1), (scenarios,), (options, scenarios)
    forward = rng.choice([0.0, 1e-3, 1.0, 99.0, 100.0, 1e5, 1e12], table if moved else column)
    return (
        forward * rng.choice([1.0, 1.0001, 1.3], row),
        rng.choice([1e-3, 90.0, 100.0, 110.0, 1e5], column),
        rng.choice([0.0, 1e-9, 0.01, 0.5, 3.0, 90.0], table if vols else column),
        rng.choice([0.0, 1e-9, 0.02, 1.0, 30.0], row if times else column),
        rng.choice([-1.0, 1.0], column),
        rng.uniform(0.5, 1.0, column),
    )


@needs_native
@given(OPTIONS)
def test_option_values_are_the_twins_to_rounding(drawn: tuple[int, int, bool, bool, bool, int]) -> None:
    columns = option_columns(drawn)
    wanted = option_values_of_numpy(*columns)
    use_kernel("native")
    assert kernels.option_values(*columns).shape == wanted.shape
    assert np.all(abs(kernels.option_values(*columns) - wanted) <= 1e-14 * (columns[0] + columns[1]))
    same_bits(lambda: (kernels.option_values(*columns),))


@needs_native
@given(OPTIONS)
def test_an_option_value_does_not_depend_on_where_it_stands(drawn: tuple[int, int, bool, bool, bool, int]) -> None:
    columns = option_columns(drawn)
    whole = [np.array(column) for column in np.broadcast_arrays(*columns)]
    for level in LEVELS:
        use_kernel(level)
        table = kernels.option_values(*columns)
        for found in (kernels.option_values(*whole), kernels.option_values(*(part.T for part in whole)).T):
            assert found.tobytes() == table.tobytes()
        flat = kernels.option_values(*(part.ravel() for part in whole))
        assert flat.tobytes() == table.tobytes()


@pytest.mark.parametrize("kernel", kernels_here())
@pytest.mark.parametrize("strange", [np.nan, -1.0])
@pytest.mark.parametrize("place", range(4))
def test_one_strange_option_leaves_the_others_alone(kernel: str, strange: float, place: int) -> None:
    use_kernel(kernel)
    columns = [np.full(11, value) for value in (100.0, 90.0, 0.5, 1.0, 1.0, 1.0)]
    columns[place][7] = strange
    found = kernels.option_values(*columns)
    assert np.isnan(found).tolist() == [i == 7 for i in range(11)]


def chain(count: int, seed: int) -> tuple[Any, Any, Any, Any, Any]:
    """Options as markets quote them: forward, strike, vol, years, call."""
    rng = np.random.default_rng(seed)
    forward = np.exp(rng.uniform(-2.0, 11.0, count))
    years = np.exp(rng.uniform(np.log(1e-3), np.log(3.0), count))
    vol = rng.uniform(0.05, 3.0, count)
    strike = forward * np.exp(rng.normal(0.0, 1.5, count) * vol * np.sqrt(years))
    return forward, strike, vol, years, rng.random(count) < 0.5


@needs_native
@pytest.mark.parametrize("discount", [1.0, 0.9])
def test_greeks_are_the_twins_to_rounding(discount: float) -> None:
    columns = chain(4_000, 1)
    forward, _, vol, years, _ = columns
    wanted, found = by_both(lambda: greeks(*columns, discount=discount))
    unit: dict[str, Any] = {
        "delta": 1.0,
        "gamma": 1.0 / (forward * vol * np.sqrt(years)),
        "vanna": 1.0 / vol,
        "charm": 1.0 / years,
    }
    unit |= {"volga": forward / vol, "theta": forward * (1.0 + vol / np.sqrt(years)) + forward / years}
    for name, one, other in zip(Greeks._fields, wanted, found, strict=True):
        assert np.all(abs(one - other) <= 1e-13 * unit.get(name, forward * (1.0 + years))), name
    same_bits(lambda: greeks(*columns, discount=discount))


@pytest.mark.parametrize("kernel", kernels_here())
def test_a_negative_zero_is_zero(kernel: str) -> None:
    use_kernel(kernel)
    for strike, vol, years in ((100.0, -0.0, 1.0), (100.0, 0.5, -0.0), (90.0, -0.0, -0.0)):
        for call in (True, False):
            value, plain = (
                greeks(100.0, strike, *spread, call).value for spread in ((vol, years), (abs(vol), abs(years)))
            )
            assert value == plain == price(100.0, strike, vol, years, call) == (100.0 - strike) * call
    assert price(100.0, -0.0, 0.5, 1.0, call=True) == 100.0
    contracts = replace(desk(), iv=np.full(len(desk()), -0.0))
    shifts = moves(contracts, 20, 3, 1)
    still = replace(shifts, vols=np.zeros_like(shifts.vols))
    found = revalue(contracts, replace(shifts, vols=-still.vols), in_settlement=True, discount=True)
    wanted = revalue(replace(contracts, iv=abs(contracts.iv)), still, in_settlement=True, discount=True)
    np.testing.assert_array_equal(found.gain, wanted.gain)


EDGES = [0.0, -0.0, 1e-300, 1e-9, 0.5, 1.0, 24.0, 1e9, np.inf, np.nan, -1.0]


@needs_native
def test_at_the_edges_greeks_and_prices_are_what_numpy_says() -> None:
    """Every combination of extreme arguments: where one is no number the other is none, too."""
    forwards, strikes = [0.0, -0.0, 1.0, 1.5, 1e9, np.inf, np.nan, -1.0], [0.0, -0.0, 1.0, 1e-9, np.inf, -1.0]
    grid = np.meshgrid(forwards, strikes, EDGES, EDGES, [0, 1])
    forward, strike, vol, years, call = (part.ravel() for part in grid)
    for discount in (1.0, 0.5, 0.0, np.nan):
        wanted, found = by_both(lambda d=discount: greeks(forward, strike, vol, years, call == 1, d))  # type: ignore[misc]
        scale = np.where(np.isfinite(forward + strike), forward + strike, 1.0)
        for name, one, other in zip(Greeks._fields, wanted, found, strict=True):
            np.testing.assert_array_equal(np.isnan(one), np.isnan(other), err_msg=f"{name} {discount}")
            close = np.isclose(one, other, rtol=1e-9, atol=1e-12 * scale, equal_nan=True)
            assert close.all(), (
                name,
                discount,
                [part[~close][:3] for part in (forward, strike, vol, years, one, other)],
            )
        wanted, found = by_both(lambda d=discount: (price(forward, strike, vol, years, call == 1, d),))  # type: ignore[misc]
        close = np.isclose(found[0], wanted[0], rtol=1e-14, atol=1e-14 * scale, equal_nan=True)
        assert close.all()


@needs_native
def test_implied_vols_are_the_twins_and_right_to_twelve_digits() -> None:
    rng = np.random.default_rng(11)
    x = rng.normal(0.0, 0.6, 4_000) * rng.choice([0.0, 1e-8, 1e-3, 0.1, 1.0], 4_000)
    strike, years = 1e5 * np.exp(x), np.exp(rng.uniform(np.log(1e-5), np.log(3.0), 4_000))
    vol = np.exp(rng.uniform(np.log(0.02), np.log(8.0), 4_000))
    prices = price(1e5, strike, vol, years, strike >= 1e5)
    wanted, found = by_both(lambda: implied_vol(prices, 1e5, strike, years, strike >= 1e5))
    np.testing.assert_array_equal(found[1], wanted[1])
    ok = np.flatnonzero(found[1] == ImpliedVolStatus.OK)
    np.testing.assert_allclose(found[0][ok], wanted[0][ok], rtol=2e-12)
    for i in ok[:150].tolist():
        if prices[i] > 1e-280 and prices[i] < 0.99e5:
            terms = (float(prices[i]), 1e5, float(strike[i]), float(years[i]), float(vol[i]))
            exact = black76_mp.implied_vol(*terms, call=bool(strike[i] >= 1e5))
            assert abs(float(mpf(float(found[0][i])) / exact - 1)) < 1e-12
    same_bits(lambda: implied_vol(prices, 1e5, strike, years, strike >= 1e5))


@needs_native
def test_implied_vols_of_anything_have_numpys_status() -> None:
    prices = [0.0, -0.0, 1e-320, 1e-200, 1e-12, 0.3, 0.5, 1.0, 1.3, 2.0, 1e9, np.inf, np.nan, -1.0]
    levels = [0.0, 1e-9, 1.0, 1.0000001, 1.5, 1e9, np.inf, np.nan, -1.0]
    grid = np.meshgrid(
        prices, levels, [1.0, 1e-9, 2.0, 0.0, np.inf], [0.0, 1e-9, 1.0, 100.0, np.nan], [0, 1], [1.0, 0.5, 0.0]
    )
    value, forward, strike, years, call, discount = (part.ravel() for part in grid)
    wanted, found = by_both(lambda: implied_vol(value, forward, strike, years, call == 1, discount))
    strange = np.flatnonzero(wanted[1] != found[1])
    shown = [part[strange][:8] for part in (value, forward, strike, years, call, discount, wanted[1], found[1])]
    assert not strange.size, (strange.size, shown)
    np.testing.assert_allclose(found[0], wanted[0], rtol=1e-9)


@needs_native
def test_implied_vols_agree_with_quantlib() -> None:
    forward, strike, vol, years, call = chain(300, 5)
    found = implied_vol(price(forward, strike, vol, years, call), forward, strike, years, call)
    for i in np.flatnonzero(found.status == ImpliedVolStatus.OK).tolist():
        kind = QuantLib.Option.Call if call[i] else QuantLib.Option.Put
        value = QuantLib.blackFormula(
            kind, float(strike[i]), float(forward[i]), float(found.vol[i] * np.sqrt(years[i]))
        )
        wanted = float(price(forward[i], strike[i], vol[i], years[i], call[i]))
        assert abs(value - wanted) <= 4e-15 * float(forward[i] + strike[i])


@pytest.mark.parametrize("kernel", kernels_here())
def test_any_layout_of_arguments_will_do(kernel: str) -> None:
    use_kernel(kernel)
    columns = chain(24, 3)
    flat = greeks(*columns)
    cube = greeks(*(part.reshape(2, 3, 4).transpose(2, 0, 1) for part in columns))
    apart = greeks(*(np.repeat(part, 2)[::2].astype(part.dtype.newbyteorder()) for part in columns))
    for one, other, third in zip(flat, cube, apart, strict=True):
        np.testing.assert_array_equal(one.reshape(2, 3, 4).transpose(2, 0, 1), other)
        np.testing.assert_array_equal(one, third)
    assert greeks(100, np.array(90, dtype=np.int32), 1, 1, call=True).value.shape == ()
    assert implied_vol(np.ones((0, 3)), 1.0, 1.0, 1.0, call=True).vol.shape == (0, 3)
    with pytest.raises(ValueError, match="broadcast"):
        greeks(np.ones(3), np.ones(4), 1.0, 1.0, call=True)


def desk() -> Contracts:
    """Options of every kind between contracts that are none."""
    made = [perpetual("BTC", "USDC"), option("BTC", "BTC", 50, 75_000.0, call=False), future("ETH", "ETH")]
    for days in (1, 7, 7, 50, 200):
        for strike in (30_000.0, 55_000.0, 60_000.0, 65_000.0, 200_000.0):
            for settle in ("BTC", "USDC"):
                made.append(option("BTC", settle, days, strike, call=len(made) % 2 == 0, multiplier=0.1, rate=0.04))
    made.append(option("BTC", "USDC", 2, 60_500.0, call=True, fixed_forward=20_000.0, forward_price=60_000.0))
    return contracts_of(*{one.symbol: one for one in made}.values(), balances={"STETH": 1.0})


def moves(contracts: Contracts, scenarios: int, names: int, seed: int) -> Shifts:
    """Moves of everything at once, the first scenario of none."""
    rng = np.random.default_rng(seed)
    iv = contracts.iv[contracts.kind == 3]
    still = np.arange(scenarios) > 0
    vols = np.concatenate([iv[:, None], iv[:, None] * rng.uniform(0.0, 2.0, (iv.shape[0], names - 1))], axis=1)
    along = (
        still * rng.choice(values, scenarios)
        for values in ([0.0, 0.02, -0.2], [0.0, 0.1], [0.0, 0.01, 9.0], [0.0, -0.03])
    )
    spot = np.repeat(still * rng.uniform(-0.9, 3.0, scenarios)[None, :], len(contracts), axis=0)
    spot[::3] *= 0.5
    rate, basis, time, peg = along
    return Shifts(spot, rate, basis, time, peg, vols, rng.integers(0, names, scenarios) * still)


@needs_native
@pytest.mark.parametrize("scenarios", [0, 1, 7, 8, 16, 33, 64, 200])
@pytest.mark.parametrize("in_settlement", [True, False])
@pytest.mark.parametrize("names", [1, 3, 20])
def test_revaluation_is_the_twins_to_rounding(scenarios: int, in_settlement: bool, names: int) -> None:
    contracts = desk()
    shifts = moves(contracts, scenarios, names, scenarios)

    def call() -> tuple[Floats, ...]:
        found = revalue(contracts, shifts, in_settlement=in_settlement, discount=names > 1)
        return found.gain, found.shocked, found.today

    wanted, found = by_both(call)
    for one, other in zip(wanted, found, strict=True):
        scale = np.where(contracts.inverse & (contracts.kind == 3) & in_settlement, 1.0, 1e5)
        assert np.all(
            abs(one - other) <= 1e-13 * (scale if one.ndim == 1 else scale[:, None] * np.ones(scenarios) * 4.0)
        )
    if scenarios:
        assert np.all(found[0][contracts.kind == 3, 0] == 0.0)
    same_bits(call)


@needs_native
def test_an_option_is_worth_the_same_alone_and_in_any_company() -> None:
    contracts = desk()
    shifts = moves(contracts, 70, 20, 3)
    options = np.flatnonzero(contracts.kind == 3)
    for level in LEVELS:
        use_kernel(level)
        whole = revalue(contracts, shifts, in_settlement=False, discount=True)
        for place, row in enumerate(options.tolist()):
            alone = replace(shifts, spot=shifts.spot[[row]], vols=shifts.vols[[place]])
            found = revalue(contracts.take(np.array([row])), alone, in_settlement=False, discount=True)
            assert found.gain[0].tobytes() == whole.gain[row].tobytes()
        some = replace(
            shifts, **{name: getattr(shifts, name)[..., 11:12] for name in ("spot", "rate", "basis", "time", "peg")}
        )
        some = replace(some, vol_of=shifts.vol_of[11:12])
        found = revalue(contracts, some, in_settlement=False, discount=True)
        assert found.gain[:, 0].tobytes() == whole.gain[:, 11].tobytes()


@needs_native
@pytest.mark.parametrize(
    ("name", "strange"), [("iv", np.nan), ("forward", 0.0), ("years", np.nan), ("multiplier", np.nan)]
)
def test_a_strange_option_is_left_to_numpy_and_the_others_are_not(name: str, strange: float) -> None:
    contracts = desk()
    shifts = moves(contracts, 20, 3, 1)
    getattr(contracts, name)[1] = strange
    with np.errstate(all="ignore"):
        found = [revalue_by(kernel, contracts, shifts) for kernel in ("numpy", "native")]
    np.testing.assert_array_equal(np.isnan(found[0].gain), np.isnan(found[1].gain))
    np.testing.assert_allclose(found[0].shocked, found[1].shocked, rtol=1e-12, atol=1e-8)


def revalue_by(kernel: str, contracts: Contracts, shifts: Shifts) -> Valuation:
    use_kernel(kernel)
    return revalue(contracts, shifts, in_settlement=True, discount=True)


@needs_native
def test_a_price_that_falls_to_nothing_is_left_to_numpy() -> None:
    contracts = desk()
    shifts = moves(contracts, 20, 3, 1)
    shifts.spot[:, 5] = -1.0
    shifts.spot[:, 6] = -1.5
    with np.errstate(all="ignore"):
        found = [revalue_by(kernel, contracts, shifts) for kernel in ("numpy", "native")]
    np.testing.assert_allclose(found[0].gain, found[1].gain, rtol=1e-12, atol=1e-8)


@needs_native
def test_the_door_of_the_option_kernels_takes_what_repeats_and_no_other_extents() -> None:
    use_kernel("native")
    for few in (1, 5, 16, 33):
        row = np.ones(few)
        wanted = float(kernels.option_values(*[np.ones(())] * 6))
        strided, single = np.ones((1, 2 * few))[0, ::2], row.astype("f4")
        for other in (row, row[:1], np.ones(()), row[None], np.ones((3, 1)), np.ones((3, few)), strided, single):
            for kernel in (kernels.option_values, kernels.option_greeks, kernels.implied_vols):
                found = kernel(row, other, row, row, row, row)
                assert found is not None
                assert found.shape[-other.ndim :] == np.broadcast(row, other).shape or not other.ndim
            assert set(kernels.option_values(row, other, row, row, row, row).ravel().tolist()) == {wanted}
        for kernel in (kernels.option_values, kernels.option_greeks, kernels.implied_vols):
            with pytest.raises(ValueError, match="broadcast"):
                kernel(row, np.ones(few + 2), np.ones(few + 3), row, row, row)


@needs_native
def test_moves_in_any_layout_are_the_same_moves() -> None:
    contracts = desk()
    shifts = moves(contracts, 20, 3, 1)
    use_kernel("native")
    wanted = revalue(contracts, shifts, in_settlement=False, discount=True)
    swapped = {name: getattr(shifts, name).astype(">f8") for name in ("rate", "basis", "time", "peg", "spot", "vols")}
    for vol_of in (shifts.vol_of, shifts.vol_of.astype("i4"), shifts.vol_of.astype(">i8")):
        found = revalue(contracts, replace(shifts, **swapped, vol_of=vol_of), in_settlement=False, discount=True)
        assert found.gain.tobytes() == wanted.gain.tobytes()


@needs_native
def test_the_door_of_the_revaluation_is_narrow() -> None:
    few = 5
    one, places, still, flags = np.ones(few), np.zeros(few, dtype=np.int64), np.zeros(2), np.zeros(few, dtype=bool)
    columns, on, along = (one,) * 7, (flags,) * 4, (still,) * 4
    right = kernels.OptionScenarios(columns, on, places, one[:, None], places[:2], along, np.zeros((few, 2)))
    cells, today = np.empty((2, few, 2)), np.empty(few)
    use_kernel("native")

    def left(cells: Floats = cells, today: Floats = today, **wrong: Any) -> int:  # noqa: ANN401  # what is wrong for its types, too
        return int(kernels.revalue_options(right._replace(**wrong), cells, today, discount=False).size)

    assert left() == 0
    assert left(columns=(-one, *columns[1:])) == few
    assert left(flags=(flags, flags, None, None)) == 0
    assert left(columns=(*columns[:6], np.ones(2 * few)[::2])) == 0
    assert left(vol_of=places[:2].astype("i4"), moves=(still.astype(">f8"),) * 4, contract=places.astype("i2")) == 0
    wrongs: list[dict[str, Any]] = [
        {"columns": columns[:6]}, {"columns": (*columns, one)}, {"columns": (*columns[:6], np.ones(2 * few))},
        {"flags": (flags,)}, {"flags": (*on[:3], flags[:2])}, {"vols": np.ones((3, 1))}, {"moves": along[:3]},
        {"moves": (*along[:3], one)}, {"cells": cells[:1]}, {"cells": cells[:, ::2]}, {"today": np.empty(2)},
        {"spot": right.spot[:2]}, {"spot": right.spot[:, :1]}, {"vols": one}, {"vols": np.ones((few, 1, 3))},
    ]  # fmt: skip
    for wrong in wrongs:
        with pytest.raises(ValueError, match="expected"):
            left(**wrong)
    for wrong in ({"today": np.empty(few, "f4")}, {"cells": np.empty((2, few, 16))[:, :, ::2]}):
        with pytest.raises((TypeError, ValueError), match="expected"):
            left(**wrong)
    for name, value in (("contract", -1), ("contract", few), ("vol_of", -1), ("vol_of", 1)):
        with pytest.raises(IndexError, match="points outside the table"):
            left(**{name: np.full(getattr(right, name).shape, value)})
