"""A linear program and its prices, beside SciPy's, and beside the same program with more columns."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from crossmargin.liquidation.plan_costs import Segments
from crossmargin.liquidation.plan_program import Program, least_cost
from crossmargin.liquidation.plan_solver import Problem, UnsolvedError
from crossmargin.liquidation.plan_surface import Tangent


def problem_of(seed: int, rows: int, count: int) -> Problem:
    rng = np.random.default_rng(seed)
    upper = rng.uniform(0.1, 2.0, count)
    upper[rng.random(count) < 0.2] = np.inf
    matrix = rng.normal(-0.5, 1.0, (rows, count)) * (rng.random((rows, count)) < 0.8)
    return Problem(rng.uniform(0.0, 1.0, count), matrix, rng.uniform(-2.0, 0.5, rows), upper)


@given(seed=st.integers(0, 10_000), rows=st.integers(1, 6), count=st.integers(1, 20))
@settings(max_examples=80, deadline=None)
def test_solution_and_prices_are_those_of_another_solver(seed: int, rows: int, count: int) -> None:
    problem = problem_of(seed, rows, count)
    box = np.column_stack([np.zeros(count), problem.upper])
    other = linprog(problem.objective, problem.matrix, problem.bound, bounds=box, method="highs-ipm")
    found = problem.solved(np.ones(count, dtype=bool))
    assert (found is None) is (other.status == 2)
    if found is None:
        return
    assert problem.objective @ found.x == pytest.approx(other.fun, rel=1e-7, abs=1e-9)
    assert (problem.matrix @ found.x <= problem.bound + 1e-7).all()
    assert ((found.x >= -1e-9) & (found.x <= problem.upper + 1e-9)).all()
    # weak duality, with what the upper bounds are worth: no price is wrong in sign, and all is accounted for
    reduced = problem.objective - found.price @ problem.matrix
    worth = np.where(
        np.isinf(problem.upper), 0.0, np.minimum(reduced, 0.0) * np.where(problem.upper < np.inf, problem.upper, 0.0)
    )
    assert (found.price <= 1e-9).all()
    assert found.price @ problem.bound + worth.sum() == pytest.approx(other.fun, rel=1e-7, abs=1e-9)


@given(seed=st.integers(0, 10_000), rows=st.integers(1, 6), count=st.integers(2, 20))
@settings(max_examples=80, deadline=None)
def test_what_is_proven_best_among_some_columns_is_best_among_all(seed: int, rows: int, count: int) -> None:
    problem, offered = problem_of(seed, rows, count), np.random.default_rng(seed + 1).random(count) < 0.6
    some, every = problem.solved(offered), problem.solved(np.ones(count, dtype=bool))
    if some is None:
        return
    assert every is not None
    assert not some.x[~offered].any()
    best, found = problem.objective @ every.x, problem.objective @ some.x
    assert best <= found + 1e-9
    if problem.is_best(some, offered):
        assert found == pytest.approx(best, rel=1e-7, abs=1e-9)
    assert problem.is_best(every, np.ones(count, dtype=bool))


def test_what_would_save_something_is_seen() -> None:
    problem = Problem(np.asarray([2.0, 1.0]), np.asarray([[-1.0, -1.0]]), np.asarray([-1.0]), np.asarray([2.0, 2.0]))
    dear, cheap = np.asarray([True, False]), np.asarray([False, True])
    found = {"dear": problem.solved(dear), "cheap": problem.solved(cheap)}
    assert found["dear"] is not None
    assert found["cheap"] is not None
    assert found["dear"].x.tolist() == [1.0, 0.0]
    assert found["dear"].price.tolist() == [-2.0]
    assert not problem.is_best(found["dear"], dear)
    assert problem.is_best(found["cheap"], cheap)


@pytest.mark.parametrize("slack", [-1e6, 0.0, 1.0])
def test_a_program_is_solved_wherever_its_tangent_stands(slack: float) -> None:
    """Also where almost nothing is missing there: what is missing before any trade is what is counted in."""
    slope = np.asarray([2.0, 1.0])
    tangent = Tangent(slack, -1e6, slope, np.zeros(2), (), slope, np.zeros(2))
    segments = [Segments(np.asarray([4e5]), np.asarray([0.5])), Segments(np.asarray([2e6]), np.asarray([0.3]))]
    found = least_cost(Program(segments, np.ones(2), [tangent]), 1.0)
    assert found is not None
    assert found.trades == pytest.approx([4e5, 200_001.0], rel=1e-9)
    assert found.total == pytest.approx(4e5 * 0.5 + 200_001 * 0.3, rel=1e-9)


@pytest.mark.parametrize("limit", [0.0, -1.0])
def test_no_time_is_told(limit: float) -> None:
    with pytest.raises(UnsolvedError, match="Time limit"):
        problem_of(3, 6, 20).solved(np.ones(20, dtype=bool), time_limit=limit)


@pytest.mark.parametrize(("where", "number"), [("objective", np.nan), ("matrix", np.inf), ("bound", np.nan)])
def test_what_is_no_number_is_told(where: str, number: float) -> None:
    problem = problem_of(3, 6, 20)
    getattr(problem, where).flat[0] = number
    with pytest.raises(UnsolvedError):
        problem.solved(np.ones(20, dtype=bool))


USED_BEFORE = """
import sys
import highspy
import numpy as np
from crossmargin.liquidation.plan_solver import Problem

other = highspy.Highs()
other.setOptionValue("output_flag", False)
if sys.argv[1] != "0":
    other.setOptionValue("threads", int(sys.argv[1]))
other.run()
problem = Problem(np.asarray([2.0, 1.0]), np.asarray([[-1.0, -1.0]]), np.asarray([-1.0]), np.asarray([2.0, 2.0]))
found = problem.solved(np.ones(2, dtype=bool))
assert found.x.tolist() == [0.0, 1.0]
assert other.run() != highspy.HighsStatus.kError
"""


@pytest.mark.parametrize("threads", ["0", "1", "2"])
def test_who_else_uses_the_solver_in_this_process_changes_nothing(threads: str) -> None:
    subprocess.run([sys.executable, "-c", USED_BEFORE, threads], check=True)
