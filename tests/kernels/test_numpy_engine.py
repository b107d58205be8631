"""Grouped sums against loops, in one block and in many."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossmargin.kernels import group_rows, kernel_name, numpy_engine, segment_sum


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
    for name in ("_CELLS", "_BLOCK_CELLS"):
        if hasattr(numpy_engine, name):
            monkeypatch.setattr(numpy_engine, name, cells)
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 9, size=int(rng.integers(1, 12)))
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int64)
    matrix = rng.normal(size=(6, 5))
    index = rng.integers(0, 6, size=int(sizes.sum()))
    scale = rng.normal(size=index.shape[0])
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


def test_the_kernel_says_its_name() -> None:
    assert kernel_name().startswith("numpy ")
