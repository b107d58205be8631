"""The engine asked at many price levels at once: equity, requirement, and whether the trigger holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from crossmargin.errors import InputError
from crossmargin.liquidation.paths import path_moves
from crossmargin.margin.evaluation import Evaluation
from crossmargin.margin.model import MAINTENANCE
from crossmargin.margin.states import moved
from crossmargin.margin.tape import segment_sum
from crossmargin.margin.trigger import coverage, trigger_distance

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from crossmargin.liquidation.paths import Path
    from crossmargin.margin.model import Rulebook
    from crossmargin.margin.resolved import Resolved

    Floats = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.int64]

UNDEFINED = -1
FLIPPED = 0
SAFE = 1
TRIGGER, BANKRUPTCY = 0, 1
_ROUNDING = 1e-13  # of the gross value held today
_LEGS_AT_ONCE = 10_000  # keeps a tiled book in megabytes; quicker than larger parts


@dataclass(frozen=True, slots=True)
class Levels:
    """What the engine says at each level. Shapes: [levels, units], `state` and `distance` [levels, units, 2].

    The last axis is the trigger, then bankruptcy (equity below 0). `state` is `SAFE`, `FLIPPED` or `UNDEFINED`;
    `distance` changes sign, or jumps, where the state does.
    """

    equity: Floats
    adjusted: Floats
    maintenance: Floats
    coverage: Floats
    state: Ints
    distance: Floats


class Probe:
    """One account along its paths."""

    def __init__(self, resolved: Resolved, rulebook: Rulebook, paths: Sequence[Path]) -> None:
        self.resolved = resolved
        self.rulebook = rulebook
        self.paths = paths
        self.rounding = _rounding(resolved, rulebook)

    def at(self, which: Ints, multiple: Floats) -> Levels:
        """Return what the engine says at each (path, multiple)."""
        legs = max(1, self.resolved.legs.contract.shape[0])
        step = max(1, _LEGS_AT_ONCE // legs)
        parts = [self._at(which[i : i + step], multiple[i : i + step]) for i in range(0, which.shape[0], step)]
        if len(parts) == 1:
            return parts[0]
        names = Levels.__slots__
        return Levels(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})

    def _at(self, which: Ints, multiple: Floats) -> Levels:
        count, units = which.shape[0], len(self.resolved.units)
        tiled = moved(
            self.resolved.tile(count), path_moves(self.paths, which, multiple), discount=self.rulebook.discount
        )
        evaluation = Evaluation(tiled, self.rulebook)
        equity = np.asarray(evaluation.equity())
        adjusted = np.asarray(evaluation.adjusted(MAINTENANCE))
        maintenance = np.asarray(evaluation.requirement(MAINTENANCE))
        ratio = coverage(adjusted, maintenance, equity)
        known = {"adjusted_equity": adjusted, "coverage_ratio": ratio, "equity": equity}
        distance, holds = trigger_distance(evaluation, known)
        defined = np.isfinite(equity) & np.isfinite(adjusted) & np.isfinite(maintenance)
        # adjusted - maintenance is nearer to a line than a ratio; where its sign is the trigger's, it is what is solved
        headroom = adjusted - maintenance
        usable = bool(np.all((headroom < 0) == holds))
        if usable:
            holds = headroom < -np.tile(self.rounding, count)
        state = np.stack([~holds, equity >= 0], axis=-1).astype(np.int64)
        state[~defined] = UNDEFINED
        shape = (count, units)
        return Levels(
            equity.reshape(shape),
            adjusted.reshape(shape),
            maintenance.reshape(shape),
            ratio.reshape(shape),
            state.reshape(*shape, 2),
            np.stack([headroom if usable else distance, equity], axis=-1).reshape(*shape, 2),
        )


def _rounding(resolved: Resolved, rulebook: Rulebook) -> Floats:
    """Return how far below 0 rounding alone may bring a pool's headroom, >= 0 [units].

    A paid-up option is charged its whole value, so that its headroom is 0 at every price but for the last digits:
    those are no liquidation price.
    """
    evaluation = Evaluation(resolved, rulebook)
    gross = segment_sum(np.abs(evaluation.measures["equity"]), resolved.legs.unit, len(resolved.units))
    return np.asarray(_ROUNDING * (gross + np.abs(evaluation.requirement(MAINTENANCE))))


def alone(resolved: Resolved, account: int) -> Resolved:
    """Return one account of a book; raises its :class:`InputError` if it was refused."""
    failure = resolved.failures.get(account)
    if failure is not None:
        raise InputError(failure.reason, failure.message, account=failure.account, instrument=failure.instrument)
    return resolved.only(account)
