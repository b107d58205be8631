"""How far an account must come: a procedure's `until` as one number that must not be below 0."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from crossmargin.errors import FailureReason, InputError
from crossmargin.liquidation.formulas import value_of
from crossmargin.liquidation.moves import ended, scope_of
from crossmargin.liquidation.pools import Pool
from crossmargin.margin.expression import Comparison, Name
from crossmargin.margin.model import MAINTENANCE
from crossmargin.margin.procedure_checks import HEADROOM

if TYPE_CHECKING:
    import numpy.typing as npt

    from crossmargin.liquidation.case import Case
    from crossmargin.liquidation.formulas import Amount
    from crossmargin.liquidation.moves import Desk
    from crossmargin.liquidation.scope import Scope
    from crossmargin.margin.expression import Expression
    from crossmargin.margin.procedure import Procedure

    Floats = npt.NDArray[np.float64]

__all__ = ["Aim"]

_RATIO: Final = "coverage_ratio"
_STEP: Final = 1e-4  # of a figure: how far it is moved to see what that changes


@dataclass(frozen=True, slots=True)
class Aim:
    """When a liquidation is over, as the procedure says it."""

    procedure: Procedure
    case: Case
    desk: Desk

    @property
    def text(self) -> str:
        """What must hold."""
        rule = self.procedure.liquidation
        return rule.until.text if rule.until is not None else f"{rule.target or MAINTENANCE}{HEADROOM} >= 0"

    def reached(self, pool: Pool) -> bool:
        """Return whether it holds."""
        return ended(self.procedure, pool, self.case, self.desk)

    def slack(self, pool: Pool) -> float:
        """Return by how much it holds; below 0 how much is missing, in the unit of what is compared.

        A bound on the coverage ratio is taken times the requirement, which makes money of it: a ratio of two figures
        that both fall with what is held bends both ways.
        """
        rule, scope = self.procedure.liquidation, scope_of(self.procedure, pool, self.case, self.desk)
        if rule.until is None:
            return float(scope.named(f"{rule.target or MAINTENANCE}{HEADROOM}"))
        tree = rule.until.tree
        assert isinstance(tree, Comparison)
        if tree.op not in _SIGN:
            message = f"until = {rule.until.text!r} is not met by more or less of something: nothing can be planned"
            raise InputError(FailureReason.UNDEFINED_RESULT, message)
        return _SIGN[tree.op] * float(_difference(tree, scope))

    def figures(self, pool: Pool) -> tuple[str, ...]:
        """Return the names of the pool's figures that the slack is made of."""
        asked = _Asked(pool.figures)
        self.slack(replace(pool, figures=asked))
        return tuple(asked.names)

    def slopes(self, figures: Mapping[str, float]) -> dict[str, float]:
        """Return the derivative of the slack by each figure; most are 1 or a number of the document."""
        out = {}
        for name, value in figures.items():
            step = _STEP * max(abs(value), 1.0)
            ends = [self.slack(Pool({**figures, name: value + move})) for move in (step, -step)]
            out[name] = (ends[0] - ends[1]) / (2 * step)
        return out


_SIGN: Final[Mapping[str, int]] = {">=": 1, ">": 1, "<=": -1, "<": -1}


def _difference(tree: Comparison, scope: Scope) -> Amount:
    """Return left less right; with the coverage ratio on one side, both times the requirement."""
    for ratio, bound, sign in ((tree.left, tree.right, 1), (tree.right, tree.left, -1)):
        if isinstance(ratio, Name) and ratio.name == _RATIO:
            asked = float(value_of(bound, scope.lookup))
            return sign * (float(scope.named("adjusted_equity")) - asked * float(scope.named(MAINTENANCE)))
    left, right = (_value(side, scope) for side in (tree.left, tree.right))
    return left - right


def _value(tree: Expression, scope: Scope) -> float:
    return float(value_of(tree, scope.lookup))


class _Asked(Mapping[str, "Amount"]):
    """Figures that remember which of them were read."""

    def __init__(self, figures: Mapping[str, Amount]) -> None:
        self._figures = figures
        self.names: dict[str, None] = {}

    def __getitem__(self, name: str) -> Amount:
        """Return a figure, and remember it."""
        found = self._figures[name]
        self.names[name] = None
        return found

    def __contains__(self, name: object) -> bool:
        """Return whether there is such a figure."""
        return name in self._figures

    def __iter__(self) -> Iterator[str]:
        """Yield every name."""
        return iter(self._figures)

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._figures)
