"""Grouped sums against loops, in one block and in many."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossmargin.kernels import codes_in_use, numpy_engine, packed_key
from crossmargin.kernels.numpy_engine import group_rows, segment_sum


@given(st.lists(st.tuples(st.integers(0, 6), st.floats(-1e6, 1e6)), max_size=30))
def test_segment_sum(rows: list[tuple[int, float]]) -> None:
    row_of = np.asarray([row for row, _ in rows], dtype=np.int64)
    values = np.asarray([value for _, value in rows], dtype=np.float64)
    wanted = [0.0] * 7
    for row, value in rows:
        wanted[row] += value
    found = segment_sum(values, row_of, 7)
    assert found.dtype == np.float64
    assert found.tolist() == wanted  # added in the order of the values, to the last bit


@pytest.mark.parametrize("cells", [1, 7, 40, 1 << 20])
@pytest.mark.parametrize("seed", range(5))
def test_group_rows(monkeypatch: pytest.MonkeyPatch, cells: int, seed: int) -> None:
    monkeypatch.setattr(numpy_engine, "_CELLS", cells)
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 9, size=int(rng.integers(1, 12)))
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int64)
    matrix = rng.normal(size=(6, 5))
    index = rng.integers(0, 6, size=int(sizes.sum()))
    scale = np.asarray(rng.normal(size=int(sizes.sum())))
    wanted = np.zeros((sizes.shape[0], 5))
    leg = 0
    for group, size in enumerate(sizes.tolist()):
        for _ in range(size):
            wanted[group] += scale[leg] * matrix[index[leg]]
            leg += 1
    before = matrix.copy()
    np.testing.assert_allclose(group_rows(scale, index, matrix, starts), wanted, rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(matrix, before)  # the table is everyone's


def test_no_groups_and_no_scenarios() -> None:
    none = np.zeros(0, dtype=np.int64)
    assert group_rows(np.zeros(0), none, np.ones((3, 4)), none).shape == (0, 4)


@given(st.lists(st.tuples(st.integers(-3, 3), st.integers(0, 1 << 40), st.integers(-(1 << 10), 5)), max_size=20))
def test_packed_keys_sort_and_differ_as_the_rows_do(rows: list[tuple[int, int, int]]) -> None:
    columns = [np.asarray([row[i] for row in rows], dtype=np.int64) for i in range(3)]
    keys = packed_key(columns).tolist()
    assert sorted(range(len(rows)), key=rows.__getitem__) == sorted(range(len(rows)), key=keys.__getitem__)
    assert len(set(keys)) == len(set(rows))


def test_keys_that_do_not_fit_are_not_guessed() -> None:
    wide = np.asarray([0, 1 << 40], dtype=np.int64)
    with pytest.raises(OverflowError, match="too many distinct keys"):
        packed_key([wide, wide])


@given(st.lists(st.integers(0, 9), max_size=12))
def test_codes_in_use(codes: list[int]) -> None:
    assert codes_in_use(np.asarray(codes, dtype=np.int64)).tolist() == sorted(set(codes))
