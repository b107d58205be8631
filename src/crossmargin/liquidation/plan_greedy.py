"""The plan that anybody could explain: again and again the trade that frees most per unit of its cost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from crossmargin.liquidation.plan_costs import Tariff
    from crossmargin.liquidation.plan_surface import Surface

    Floats = npt.NDArray[np.float64]

__all__ = ["greedy"]

_PIECES: Final = 8  # that a position is traded in
_LEAST: Final = 0.01  # of a piece: no end of ever smaller ones
_TURNS: Final = 400


def greedy(surface: Surface, tariff: Tariff, target: float) -> Floats:
    """Return trades [ways] that reach a slack of `target`, or as far as any trade still helps.

    Each turn asks the engine's slopes where the account stands then, and trades an eighth of what helps most per cost,
    or as little of it as is still missing.
    """
    ways = surface.ways
    most, here = ways.most, np.zeros(len(ways))
    piece = most / _PIECES
    for _ in range(_TURNS):
        cost = tariff.paid(here[None])[0]
        tangent = surface.tangent(here, cost)
        missing = target - tangent.slack
        if missing <= 0:
            return here
        part = np.minimum(piece, most - here)
        steps = here + np.diag(part)
        price = tariff.paid(steps)[np.arange(len(ways)), np.arange(len(ways))] - cost
        relief = tangent.all_by_way * part + tangent.all_by_cost * price
        helps = (relief > 0) & (part > 1e-12 * most)
        if not helps.any():
            return here
        paid = np.where(helps, np.maximum(price * ways.rate, 1e-12 * np.abs(relief)), 1.0)
        best = int(np.argmax(np.where(helps, relief / paid, -np.inf)))
        share = min(1.0, max(missing / float(relief[best]), _LEAST))
        here[best] = min(here[best] + part[best] * share, most[best])
    return here
