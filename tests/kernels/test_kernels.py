"""The compiled kernels against their NumPy twins: the same to rounding, the same bits however they are run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from crossmargin import kernels
from crossmargin.errors import InputError
from crossmargin.kernels import kernel_name, kernels_here, numpy_engine, use_kernel
from crossmargin.kernels.engine import serving
from crossmargin.kernels.numpy_engine import _refuse_strange

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.int64]

pytestmark = pytest.mark.usefixtures("kernel_kept")

LEVELS = [name for name in kernels_here() if name != "numpy"]
NUMBERS = st.one_of(
    st.floats(-1e3, 1e3),
    st.floats(-1e140, 1e140),
    st.sampled_from([0.0, -0.0, 1e-300, -1e-300, 5e-324, 1e140, -1e140, 1.0]),
)
ITEMS = st.sampled_from([np.int64, np.int32, np.uint16])
needs_native = pytest.mark.skipif(not LEVELS, reason="no compiled kernel is built here")


class Legs(NamedTuple):
    scale: Floats
    leg_index: Ints
    matrix: Floats
    starts: Ints

    def gross(self) -> Floats:
        return numpy_engine.group_rows(abs(self.scale), self.leg_index, abs(self.matrix), self.starts)


@st.composite
def legs(draw: st.DrawFn, scenarios: int | None = None) -> Legs:
    """Groups of any number of legs, none and one among them, on rows of any length, apart and off the beat."""
    held = draw(st.lists(st.sampled_from([0, 0, 1, 1, 2, 5, 19]), max_size=12))
    starts = np.cumsum([0, *held], dtype=np.int64)
    width = draw(st.integers(1, 70)) if scenarios is None else scenarios
    contracts = draw(st.integers(1, 6))
    pool = draw(hnp.arrays(np.float64, 40, elements=NUMBERS))
    rng = np.random.default_rng(draw(st.integers(0, 1 << 20)))
    wide = rng.choice(pool, (contracts, width + 3))
    matrix = wide[:, 1 : width + 1] if draw(st.booleans()) else wide[:, :width].copy()
    count = int(starts[-1])
    item = draw(ITEMS)
    return Legs(rng.choice(pool, count), rng.integers(0, contracts, count).astype(item), matrix, starts[:-1])


def same_bits(call: Callable[[], tuple[npt.NDArray[np.generic], ...]]) -> None:
    """Every instruction set and number of threads gives the bits of the first."""
    wanted: list[bytes] | None = None
    for level in LEVELS:
        for threads in (1, 3):
            use_kernel(level, threads)
            found = [part.tobytes() for part in call()]
            wanted = wanted or found
            assert found == wanted, (level, threads)


@needs_native
@given(legs())
def test_rows_are_the_twins_to_rounding(given_legs: Legs) -> None:
    wanted = numpy_engine.group_rows(*given_legs)
    use_kernel("native")
    found = kernels.group_rows(*given_legs)
    assert np.all(abs(found - wanted) <= 1e-12 * given_legs.gross() + 1e-300)
    same_bits(lambda: (kernels.group_rows(*given_legs),))


@needs_native
@given(legs())
def test_the_worst_is_that_of_the_rows(given_legs: Legs) -> None:
    use_kernel("native")
    rows = kernels.group_rows(*given_legs)
    loss = kernels.group_worst(*given_legs)
    np.testing.assert_array_equal(loss, np.maximum(0.0, -rows.min(axis=1)))
    assert not np.signbit(loss).any()
    twin = numpy_engine.group_worst(*given_legs)
    assert np.all(abs(loss - twin) <= 1e-12 * given_legs.gross().max(axis=1) + 1e-300)
    same_bits(lambda: (kernels.group_worst(*given_legs),))


@needs_native
@given(legs(), st.data())
def test_the_tail_is_that_of_the_sorted_rows(given_legs: Legs, data: st.DataObject) -> None:
    use_kernel("native")
    rows = kernels.group_rows(*given_legs)
    depth = data.draw(st.integers(1, rows.shape[1]))
    shares = data.draw(st.none() | hnp.arrays(np.float64, depth, elements=st.floats(0.0, 1.0)))
    lowest = np.sort(rows, axis=1)[:, :depth]
    found = kernels.group_tail(*given_legs, depth, shares)
    if shares is None:
        np.testing.assert_array_equal(found, np.maximum(0.0, -lowest[:, -1]))
    else:
        wanted = np.maximum(0.0, -(lowest @ shares))
        assert np.all(abs(found - wanted) <= 1e-12 * (abs(lowest) @ shares) + 1e-300)
    twin = numpy_engine.group_tail(*given_legs, depth, shares)
    share = 1.0 if shares is None else shares.sum()
    assert np.all(abs(found - twin) <= 1e-12 * share * given_legs.gross().max(axis=1) + 1e-300)
    same_bits(lambda: (kernels.group_tail(*given_legs, depth, shares),))


@needs_native
@pytest.mark.parametrize("scenarios", [1, 7, 8, 63, 64, 65, 200])
def test_a_large_book_has_the_same_bits_on_every_level_and_thread(scenarios: int) -> None:
    rng = np.random.default_rng(scenarios)
    count = 3_000_000 // scenarios
    starts = np.sort(rng.integers(0, count, count // 20)).astype(np.int64)
    matrix = rng.normal(size=(50, scenarios))
    book = (rng.normal(size=count), rng.integers(0, 50, count), matrix, starts)
    depth = max(1, scenarios // 10)
    same_bits(lambda: (kernels.group_rows(*book), kernels.group_worst(*book), kernels.group_tail(*book, depth)))


@needs_native
@pytest.mark.parametrize("count", [100, 1_000, 5_000])
@pytest.mark.parametrize("kind", ["random", "rising", "falling", "equal", "infinite"])
def test_long_rows_are_selected_exactly(count: int, kind: str) -> None:
    row = np.random.default_rng(count).normal(size=count)
    match kind:
        case "rising":
            row.sort()
        case "falling":
            row = -np.sort(row)
        case "equal":
            row[:] = 2.0
        case "infinite":
            row[::2] = np.inf
    book = (np.ones(1), np.zeros(1, dtype=np.int64), row[None, :], np.zeros(1, dtype=np.int64))
    for depth in (1, count // 40, count // 2, count):
        for level in LEVELS:
            use_kernel(level)
            assert kernels.group_tail(*book, depth)[0] == max(0.0, -np.sort(row)[depth - 1])


def book_of(rng: np.random.Generator) -> Legs:
    return Legs(rng.normal(size=4), np.array([0, 1, 2, 1]), rng.normal(size=(3, 5)), np.array([0, 2]))


@pytest.mark.parametrize("kernel", kernels_here())
@pytest.mark.parametrize("strange", [np.nan, np.inf])
def test_what_is_no_number_is_never_a_loss(kernel: str, strange: float) -> None:
    use_kernel(kernel)
    book = book_of(np.random.default_rng(1))
    book.matrix[:2, 3] = strange, -strange
    book.scale[:2] = 1.0
    with np.errstate(invalid="ignore"):
        with pytest.raises(ValueError, match="not a number"):
            kernels.group_worst(*book)
        with pytest.raises(ValueError, match="not a number"):
            kernels.group_tail(*book, 2)
        assert np.isnan(kernels.group_rows(*book)[0, 3])


@pytest.mark.parametrize("kernel", kernels_here())
@pytest.mark.parametrize("depth", [0, 6])
def test_a_tail_has_a_depth(kernel: str, depth: int) -> None:
    use_kernel(kernel)
    with pytest.raises(ValueError, match="depth: expected 1 to 5"):
        kernels.group_tail(*book_of(np.random.default_rng(1)), depth)


@pytest.mark.parametrize("kernel", kernels_here())
def test_nothing_is_read_outside_the_arrays(kernel: str) -> None:
    use_kernel(kernel)
    book = book_of(np.random.default_rng(1))

    def tail(scale: Floats, index: Ints | npt.NDArray[np.int32], matrix: Floats, starts: Ints) -> Floats:
        return kernels.group_tail(scale, index, matrix, starts, 2)

    for call in (kernels.group_rows, kernels.group_worst, tail):
        for wrong in (3, -1, (1 << 31) - 1, -(1 << 31)):
            strange = np.array([0, 1, wrong, 1])
            for index in (strange, strange.astype(np.int32)):
                with pytest.raises(IndexError, match="leg 2 points outside"):
                    call(book.scale, index, book.matrix, book.starts)
        for starts, place in (([0, 5], 1), ([0, 5, 2], 1), ([3, 2], 0), ([-1, 2], 0), ([0, -1], 0)):
            with pytest.raises(ValueError, match=f"starts: {place} is out of order or out of range"):
                call(*book[:3], np.array(starts))
    with pytest.raises(IndexError, match="leg 2 points outside"):
        kernels.group_rows(book.scale, np.array([0, 1, 1 << 32, 1]), book.matrix, book.starts)


@pytest.mark.parametrize("kernel", kernels_here())
@pytest.mark.parametrize("call", [kernels.group_rows, kernels.group_worst])
def test_items_of_another_sort_are_told_or_the_same_numbers(kernel: str, call: Any) -> None:  # noqa: ANN401 - a kernel
    use_kernel(kernel)
    scale, index, matrix, starts = book_of(np.random.default_rng(1))
    wanted = call(scale, index, matrix, starts)
    same = [
        (scale.astype(">f8"), index, matrix.astype(">f8"), starts), (scale, index.astype(">i8"), matrix, starts),
        (scale, index.astype(">i4"), matrix, starts.astype(">i8")), (scale, index.astype(np.uint8), matrix, starts),
        (scale, index.astype(np.int16), matrix, starts.astype(np.uint32)),
        (scale, index.astype(np.uint64), matrix, starts.astype(np.uint64)),
        (scale, index, np.asfortranarray(matrix), starts),
    ]  # fmt: skip
    for arguments in same:
        np.testing.assert_array_equal(call(*arguments), wanted)
    coarse = matrix.astype(np.float32)
    np.testing.assert_array_equal(call(scale, index, coarse, starts), call(scale, index, coarse.astype(float), starts))
    others: list[tuple[int, Any, type[Exception], str]] = [
        (0, scale.astype(complex), TypeError, "scale: expected real numbers, found complex128"),
        (0, scale > 0, TypeError, "scale: expected real numbers, found bool"),
        (1, index.astype(float), TypeError, "index: expected integers, found float64"),
        (1, index > 0, TypeError, "index: expected integers, found bool"),
        (2, matrix[0], ValueError, "matrix: expected 2 dimensions, found 1"),
        (3, starts + 0.5, TypeError, "starts: expected integers, found float64"),
        (3, starts[:, None], ValueError, "starts: expected 1 dimensions, found 2"),
    ]
    for place, wrong, error, match in others:
        given_legs: list[Any] = [scale, index, matrix, starts]
        given_legs[place] = wrong
        with pytest.raises(error, match=match):
            call(*given_legs)
    big = np.array([0, 1, 1 << 56, 1], dtype=">i8")
    with pytest.raises(IndexError, match="leg 2 points outside"):
        call(scale, big, matrix, starts)


@pytest.mark.parametrize("kernel", kernels_here())
def test_a_tail_of_strange_shares_is_refused(kernel: str) -> None:
    use_kernel(kernel)
    legs = book_of(np.random.default_rng(1))
    for depth, shares, match in (
        (2, np.array([1.0, np.nan]), "shares: expected finite numbers"),
        (2, np.array([1.0, np.inf]), "shares: expected finite numbers"),
        (2, np.ones(3), "shares: expected 2 along axis 0, found 3"),
        (0, None, "depth: expected 1 to 5"),
        (6, None, "depth: expected 1 to 5"),
    ):
        with pytest.raises(ValueError, match=match):
            kernels.group_tail(*legs, depth, shares)


@pytest.mark.parametrize("kernel", kernels_here())
@pytest.mark.parametrize("scenarios", [3, 8, 10, 16])
def test_a_quantity_without_end_loses_without_end(kernel: str, scenarios: int) -> None:
    """However wide the rows are: what fills them up for the kernels is no scenario."""
    use_kernel(kernel)
    index, starts = np.array([0, 1]), np.array([0])
    loss = kernels.group_worst(np.array([-np.inf, 1.0]), index, np.ones((2, scenarios)), starts)
    assert loss.tolist() == [np.inf]


@pytest.mark.parametrize("kernel", kernels_here())
@pytest.mark.parametrize("quantity", [np.inf, -np.inf, np.nan])
def test_without_scenarios_nothing_is_lost(kernel: str, quantity: float) -> None:
    use_kernel(kernel)
    loss = kernels.group_worst(np.array([quantity, 1.0]), np.array([0, 0]), np.zeros((1, 0)), np.array([0]))
    assert loss.tolist() == [0.0]


@pytest.mark.parametrize("kernel", kernels_here())
def test_losses_and_gains_without_end_are_numbers(kernel: str) -> None:
    use_kernel(kernel)
    scale, index, matrix, starts = book_of(np.random.default_rng(1))
    matrix[0, 3], matrix[0, 1] = np.inf, -np.inf
    assert kernels.group_worst(abs(scale), index, matrix, starts)[0] == np.inf


@needs_native
def test_legs_are_laid_out_on_the_way_in_and_their_extents_agree() -> None:
    use_kernel("native")
    scale, index, matrix, starts = book_of(np.random.default_rng(1))
    wanted = kernels.group_rows(scale, index, matrix, starts)
    unaligned = np.frombuffer(b"x" + scale.tobytes(), dtype=np.float64, offset=1)
    strided = np.repeat(scale, 2)[::2]
    for other in (unaligned, strided, scale.astype(">f8")):
        assert np.array_equal(kernels.group_rows(other, index, matrix, starts), wanted)
    assert np.array_equal(kernels.group_rows(scale, index, np.asfortranarray(matrix), starts), wanted)
    with pytest.raises(ValueError, match="index: expected 3 along axis 0, found 4"):
        kernels.group_rows(scale[:3], index, matrix, starts)
    with pytest.raises(ValueError, match="shares: expected 2 along axis 0, found 3"):
        kernels.group_tail(scale, index, matrix, starts, 2, np.ones(3))


def test_a_kernel_that_is_not_here_is_refused() -> None:
    with pytest.raises(Exception, match="kernel 'fortran' cannot serve here: choose from numpy"):
        use_kernel("fortran")


@pytest.mark.parametrize("threads", [2.5, True, False, 0, -1, "2", np.True_, np.float64(2)])
def test_a_number_of_threads_that_is_none_is_refused_and_changes_nothing(threads: int) -> None:
    before = serving()
    with pytest.raises(InputError, match="threads must be an integer of 1 or more, or None, found"):
        use_kernel("numpy", threads)
    assert serving() == before


@pytest.mark.parametrize("kernel", kernels_here())
def test_any_integer_of_threads_serves(kernel: str) -> None:
    legs = book_of(np.random.default_rng(3))
    wanted = kernels.group_worst(*legs)
    given: list[Any] = [1, np.int64(2), np.uint8(3), 2**40]
    for threads in given:
        use_kernel(kernel, threads)
        assert kernels.threads_in_use() == min(threads, 2**31 - 1)
        assert np.allclose(kernels.group_worst(*legs), wanted)


@pytest.mark.parametrize("kernel", kernels_here())
def test_the_kernel_says_its_name(kernel: str) -> None:
    use_kernel(kernel)
    assert kernel_name().startswith(kernel.partition("-")[0])


def test_rows_of_numbers_pass() -> None:
    _refuse_strange(np.array([[1.0, np.inf]]))


@needs_native
@given(legs())
def test_opposite_legs_cancel_to_nothing(given_legs: Legs) -> None:
    scale, index, matrix, starts = given_legs
    use_kernel("native")
    for place in range(scale.shape[0]):
        pair = np.array([scale[place], -scale[place]])
        rows = kernels.group_rows(pair, index[[place, place]], matrix, starts[:1] * 0)
        assert np.all(rows == 0.0)
