"""Derivatives of a portfolio's figures along the portfolio itself, scaled from nothing to all of it.

Scaled by t are quantities, their costs (so entry prices stay), accrued funding, realised P&L and open orders. For
every leg the derivative by its own share of t is taken through the engine's own formulas; summed over legs it is the
derivative by t.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from crossmargin.margin.evaluation import Evaluation
from crossmargin.margin.functions import NUMPY_FUNCTIONS, TierColumn
from crossmargin.margin.model import INITIAL, MAINTENANCE
from crossmargin.margin.tape import TRACED_FUNCTIONS, Traced, chain, gradient, plain

if TYPE_CHECKING:
    import numpy.typing as npt

    from crossmargin.margin.model import Rulebook
    from crossmargin.margin.resolved import Resolved

    Floats = npt.NDArray[np.float64]

FIGURES: Final = ("initial", "maintenance", "adjusted_initial", "adjusted_maintenance")

_ORDERED: Final = ("bids", "asks", "bid_cost", "ask_cost")
# to a unit rounded lines jump everywhere: the ray reads them unrounded
_UNROUNDED: Final = {**TRACED_FUNCTIONS, "ceil": lambda x, _: x, "floor": lambda x, _: x}
_NEAR: Final = 1e-9  # how close to a bound, relative, a jump is looked for


def figures(evaluation: Evaluation) -> list[Any]:
    """Return both requirements and both adjusted equities [units], in the order of `FIGURES`."""
    found = [evaluation.requirement(INITIAL), evaluation.requirement(MAINTENANCE)]
    found += [evaluation.adjusted(INITIAL), evaluation.adjusted(MAINTENANCE)]
    return found


class Points(NamedTuple):
    """Figures [points, figures, units] and each leg's part of their derivatives by t [points, figures, legs]."""

    values: Floats
    slopes: Floats


class Ray:
    """One book on its ray; the market, and so every repricing, is shared by all points."""

    def __init__(self, resolved: Resolved, rulebook: Rulebook) -> None:
        self.resolved = _without_realised(resolved)
        self.rulebook = rulebook
        self._known: dict[Any, Any] = {}

    def at(self, t: Floats, *, across_jumps: bool = False) -> Points:
        """Return the figures at each t, and each leg's part of their derivatives by t.

        With `across_jumps` a table of steps rises steeply within a hair of each bound instead of jumping there.
        """
        scaled = _scaled(self.resolved, t)
        legs, units = scaled.legs, len(self.resolved.units)
        share = Traced(np.ones(legs.quantity.shape[0]))
        # a leg's value at t, its derivative the whole leg: not 1/t of it, so that t = 0 is no exception
        full = _scaled(self.resolved, np.ones_like(t)).legs
        traced: dict[str, Any] = {
            name: chain(share, getattr(legs, name), getattr(full, name)) for name in (*_ORDERED, "accrued")
        }
        functions = {**_UNROUNDED, "step": _steep_step} if across_jumps else _UNROUNDED
        evaluation = Evaluation(
            replace(scaled, legs=replace(legs, **traced)),
            self.rulebook,
            chain(share, legs.quantity, full.quantity),
            functions,
            dict(self._known),
        )
        found = figures(evaluation)
        self._known = evaluation.lasting
        values = np.stack([np.broadcast_to(plain(x), t.size * units) for x in found])
        slopes = np.stack([gradient(x, share) if isinstance(x, Traced) else 0.0 * share.value for x in found])
        return Points(_by_point(values, t.size), _by_point(slopes, t.size))

    def rounding(self) -> Floats:
        """Return what rounding adds to the figures of the whole pool [figures, units]."""
        whole = Evaluation(_scaled(self.resolved, np.ones(1)), self.rulebook)
        exact = np.stack([np.broadcast_to(plain(x), len(self.resolved.units)) for x in figures(whole)])
        return np.asarray(exact - self.at(np.ones(1)).values[0])


def _by_point(columns: Floats, points: int) -> Floats:
    return columns.reshape(len(FIGURES), points, -1).transpose(1, 0, 2)


def _without_realised(resolved: Resolved) -> Resolved:
    """Return the book with realised P&L of legs that are flat as accrued: it scales like funding."""
    legs, c = resolved.legs, resolved.contracts
    multiplier, inverse = c.multiplier[legs.contract], c.inverse[legs.contract]
    flat = (legs.quantity == 0) & (legs.cost != 0)
    realised = np.where(flat, multiplier * np.where(inverse, legs.cost, -legs.cost), 0.0)
    return replace(resolved, legs=replace(legs, cost=np.where(flat, 0.0, legs.cost), accrued=legs.accrued + realised))


def _scaled(resolved: Resolved, t: Floats) -> Resolved:
    """Return one copy of the book for each t, its holdings scaled; all copies read the same contracts."""
    wide = resolved.beside(t.size)
    share = np.repeat(t, resolved.legs.contract.shape[0])
    scaled = {name: share * getattr(wide.legs, name) for name in ("quantity", "cost", "accrued", *_ORDERED)}
    return replace(wide, legs=replace(wide.legs, **scaled))


def _steep_step(tiers: TierColumn, x: Any) -> Any:  # noqa: ANN401 - plain or traced
    """Return the rate of the tier that holds x; its slope rises over a hair's breadth around each bound."""
    step = NUMPY_FUNCTIONS["step"]
    value = step(tiers, plain(x))
    if not isinstance(x, Traced):
        return value
    hair = np.maximum(np.abs(x.value), 1e-300) * _NEAR
    return chain(x, value, (step(tiers, x.value + hair) - step(tiers, x.value - hair)) / (2.0 * hair))
