"""The coverage ratio, the liquidation trigger, and the state that follows from them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from crossmargin.margin.expression import Comparison, evaluate
from crossmargin.margin.functions import NUMPY_FUNCTIONS
from crossmargin.margin.model import INITIAL, MAINTENANCE
from crossmargin.margin.report import AccountState

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy.typing as npt

    from crossmargin.margin.evaluation import Evaluation
    from crossmargin.margin.expression import Expression, Name
    from crossmargin.margin.model import Formula

    Floats = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.int64]

STATES = (AccountState.HEALTHY, AccountState.MARGIN_CALL, AccountState.LIQUIDATABLE, AccountState.BANKRUPT)


def coverage(
    adjusted: Any,  # noqa: ANN401 - plain or recorded
    maintenance: Any,  # noqa: ANN401 - as above
    equity: Any,  # noqa: ANN401 - as above
    functions: Mapping[str, Callable[..., Any]] = NUMPY_FUNCTIONS,
) -> Any:  # noqa: ANN401 - as above
    """Return adjusted equity over maintenance margin [units]; without a requirement +inf, or -inf below zero equity."""
    when = functions["when"]
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        ratio = adjusted / maintenance
    solvent = functions["greater_equal"](equity, 0.0)
    return when(functions["greater"](maintenance, 0.0), ratio, when(solvent, np.inf, -np.inf))


def trigger_distance(evaluation: Evaluation, known: Mapping[str, Floats]) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Return the trigger's left side minus its right side [units], and where the trigger holds.

    Parameters
    ----------
    known
        `adjusted_equity`, `coverage_ratio` and `equity` [units]; other names are the rulebook's.
    """
    return _distance(evaluation, evaluation.rulebook.procedure.liquidation.trigger, known)


def _distance(
    evaluation: Evaluation, condition: Formula, known: Mapping[str, Floats]
) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Return a condition's left side minus its right side [units], and where it holds."""
    tree = condition.tree
    assert isinstance(tree, Comparison)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        left = np.asarray(_of_trigger(evaluation, tree.left, known), dtype=np.float64)
        right = np.asarray(_of_trigger(evaluation, tree.right, known), dtype=np.float64)
        holds = np.asarray(_of_trigger(evaluation, tree, known), dtype=bool)
        distance = left - right
    count = len(evaluation.resolved.units)
    return np.broadcast_to(distance, count), np.broadcast_to(holds, count)


def _of_trigger(evaluation: Evaluation, tree: Expression, known: Mapping[str, Any]) -> Any:  # noqa: ANN401 - plain or recorded
    frame, own = evaluation.account_frame(), evaluation.rulebook.procedure.liquidation.parameters

    def lookup(name: Name) -> object:
        if name.name in known and name.variant is None:
            return known[name.name]
        return evaluation.name(name, frame, MAINTENANCE, own)

    return evaluate(tree, lookup, evaluation.functions)


def states_of(
    evaluation: Evaluation,
    equity: Any,  # noqa: ANN401 - plain or recorded
    adjusted: Mapping[str, Any],
    required: Mapping[str, Any],
    ratio: Any,  # noqa: ANN401 - as above
) -> Any:  # noqa: ANN401 - as above
    """Return the state of each unit as a position in `STATES`; a later state is worse."""
    known = {"adjusted_equity": adjusted[MAINTENANCE], "coverage_ratio": ratio, "equity": equity}
    when, less = evaluation.functions["when"], evaluation.functions["less"]
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        liquidatable = _of_trigger(evaluation, evaluation.rulebook.procedure.liquidation.trigger.tree, known)
    state = when(less(adjusted[INITIAL], required[INITIAL]), 1.0, 0.0)
    state = when(liquidatable, 2.0, state)
    # debts beyond assets; a trigger of its own never hides them
    return when(less(equity, 0.0), 3.0, state)


def band_of(evaluation: Evaluation, unit: int, known: Mapping[str, Floats]) -> str | None:
    """Return the band that a pool is in: the tightest bound above its coverage ratio, else the last that holds.

    Parameters
    ----------
    known
        As :func:`trigger_distance` takes it.
    """
    ratio = float(known["coverage_ratio"][unit])
    reached = [band for band in evaluation.rulebook.procedure.bands if band.below is None or ratio < band.below]
    bounded = [band for band in reached if band.below is not None]
    if bounded:
        return min(bounded, key=lambda band: band.below or 0.0).then
    holding = [band.then for band in reached if _distance(evaluation, band.when, known)[1][unit]]
    return holding[-1] if holding else None
