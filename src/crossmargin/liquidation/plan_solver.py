"""One linear program, and HiGHS, which solves it (the extra `plans`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from crossmargin.errors import FailureReason, InputError

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    Bools = npt.NDArray[np.bool_]

__all__ = ["Problem", "Solution", "UnsolvedError"]

_SAME: Final = 1e-9
# A few pivots solve it: to simplify it first takes longer than all else. Threads are the process's own and not ours to
# set: HiGHS solves nothing where another number of them was asked for before.
_OPTIONS: Final = {"output_flag": False, "presolve": "off", "solver": "simplex", "parallel": "off"}


class UnsolvedError(Exception):
    """HiGHS ended without an answer: out of time, or with numbers that it cannot count in."""


class Solution(NamedTuple):
    """The variables, and by how much the objective would grow with a unit more of each bound, which is <= 0."""

    x: Floats
    price: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Problem:
    """The least of ``objective x`` with ``matrix x <= bound`` and ``0 <= x <= upper``."""

    objective: Floats
    matrix: Floats
    bound: Floats
    upper: Floats

    def solved(self, columns: Bools, time_limit: float | None = None) -> Solution | None:
        """Return the solution over some of the columns, of the others nothing; None: there is none.

        Raises
        ------
        UnsolvedError
            The time, in seconds, was not enough, or HiGHS failed.
        InputError
            HiGHS is absent.
        """
        highspy = _highs()
        if not all(np.isfinite(column).all() for column in (self.objective, self.matrix, self.bound)):
            raise UnsolvedError("a number of the program is none")
        if not columns.any():  # which HiGHS calls a model without an answer
            return None if (self.bound < 0).any() else Solution(np.zeros(columns.size), np.zeros(self.bound.size))
        solver = highspy.Highs()
        for name, value in _OPTIONS.items():
            solver.setOptionValue(name, value)
        if time_limit is not None:
            solver.setOptionValue("time_limit", max(float(time_limit), 0.0))
        failed = highspy.HighsStatus.kError
        if solver.passModel(*self._model(highspy, columns)) == failed or solver.run() == failed:
            raise UnsolvedError(solver.modelStatusToString(solver.getModelStatus()))
        status = solver.getModelStatus()
        if status in (highspy.HighsModelStatus.kInfeasible, highspy.HighsModelStatus.kUnboundedOrInfeasible):
            return None
        if status != highspy.HighsModelStatus.kOptimal:
            raise UnsolvedError(solver.modelStatusToString(status))
        found = solver.getSolution()
        x = np.zeros(columns.size)
        x[columns] = found.col_value
        return Solution(x, np.asarray(found.row_dual, dtype=np.float64))

    def is_best(self, solution: Solution, columns: Bools) -> bool:
        """Return whether a solution over some of the columns is the best over all: no other one would save anything."""
        others = ~columns
        return bool((self.objective[others] - solution.price @ self.matrix[:, others] >= -_SAME).all())

    def _model(self, highspy: Any, columns: Bools) -> tuple[Any, ...]:  # noqa: ANN401 - a module
        """Return what HiGHS calls a model, in arrays, which it reads whole and not number by number."""
        matrix = self.matrix[:, columns]
        rows, places = np.nonzero(matrix)
        height, width = matrix.shape
        start = np.searchsorted(rows, np.arange(height + 1)).astype(np.int32)
        return (
            width, height, rows.size, int(highspy.MatrixFormat.kRowwise), int(highspy.ObjSense.kMinimize), 0.0,
            self.objective[columns], np.zeros(width), self.upper[columns], np.full(height, -np.inf), self.bound,
            start, places.astype(np.int32), matrix[rows, places], np.zeros(width, dtype=np.int32),
        )  # fmt: skip


def _highs() -> Any:  # noqa: ANN401 - a module
    try:
        import highspy  # noqa: PLC0415 - an extra
    except ImportError:
        message = "plans are linear programs, which need the extra `plans`: pip install 'crossmargin[plans]'"
        raise InputError(FailureReason.MALFORMED_INPUT, message) from None
    return highspy
