"""The functions of the expression language over float64 columns, and tier tables as columns.

Every function broadcasts; nan in gives nan out.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, reduce
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from crossmargin.pricing.normal import cdf, inverse_cdf

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from crossmargin.margin.model import Tiers

__all__ = ["NUMPY_FUNCTIONS", "TierColumn", "ceil_to", "floor_to", "marginal", "ramp", "step"]

Floats: TypeAlias = NDArray[np.float64]

# 824.9999999999998 units are 825: a rounding error of the division must not cost, or give, a whole unit.
_TOLERANCE: Final = 1e-12


@dataclass(frozen=True, eq=False)
class TierColumn:
    """A tier table for each row of a column.

    Parameters
    ----------
    tables
        The different tables.
    which
        Index into `tables` for each row, broadcastable against the amounts; None: `tables[0]` for all.
    """

    tables: tuple[Tiers, ...]
    which: NDArray[np.intp] | None = None

    def take(self, rows: NDArray[np.intp]) -> TierColumn:
        """The same tables for selected rows."""
        return self if self.which is None else TierColumn(self.tables, self.which[rows])

    @cached_property
    def upto(self) -> Floats:
        """Upper bounds, [table, tier]; short tables are filled up with infinity."""
        width = max(len(table.upto) for table in self.tables)
        return np.array([table.upto + (np.inf,) * (width - len(table.upto)) for table in self.tables])

    @cached_property
    def rate(self) -> Floats:
        """Rates, [table, tier]; short tables repeat their last."""
        width = self.upto.shape[1]
        return np.array([t.rate + (t.rate[-1],) * (width - len(t.rate)) for t in self.tables])

    @cached_property
    def lower(self) -> Floats:
        """Lower bounds, [table, tier]: 0, then the bounds before."""
        bounds = np.zeros_like(self.upto)
        bounds[:, 1:] = self.upto[:, :-1]
        return bounds

    @cached_property
    def below(self) -> Floats:
        """What all tiers below a tier come to together, [table, tier]."""
        bounds = np.where(self.upto < np.inf, self.upto, 0.0)  # what lies beyond an infinite tier is never held
        widths = np.diff(bounds[:, :-1], axis=1, prepend=0.0)
        sums = np.zeros_like(self.upto)
        sums[:, 1:] = np.cumsum(widths * self.rate[:, :-1], axis=1)
        return sums

    def tier(self, x: Floats) -> tuple[Any, Any]:
        """Indices (table, tier) of the tier that holds each x; a bound belongs to the tier below it."""
        which: Any = 0 if self.which is None else self.which
        held = np.zeros(np.broadcast_shapes(x.shape, np.shape(which)), dtype=np.intp)
        for position in range(self.upto.shape[1] - 1):
            held += x > self.upto[which, position]
        return which, held


def marginal(tiers: TierColumn, x: ArrayLike) -> Floats:
    """Progressive amount: each part of x at its own tier's rate; x below 0 counts as 0.

    Equal to ``x * rate - cum`` of a venue's bracket table, within rounding.
    """
    amount = np.maximum(np.asarray(x, dtype=tiers.upto.dtype), 0.0)
    held = tiers.tier(amount)
    result: Floats = tiers.below[held] + (amount - tiers.lower[held]) * tiers.rate[held]
    return result


def step(tiers: TierColumn, x: ArrayLike) -> Floats:
    """The rate of the tier that holds x (x <= bound)."""
    amount = np.asarray(x, dtype=tiers.upto.dtype)
    return np.where(_undefined(amount), np.nan, tiers.rate[tiers.tier(amount)])


def ramp(tiers: TierColumn, x: ArrayLike) -> Floats:
    """Piecewise linear through the points (bound, rate), flat outside the finite ones."""
    amount = np.asarray(x, dtype=tiers.upto.dtype)
    which, held = tiers.tier(amount)
    before = np.maximum(held - 1, 0)
    inside = (held > 0) & (tiers.upto[which, held] < np.inf)
    start = np.where(inside, tiers.upto[which, before], 0.0)
    width = np.where(inside, tiers.upto[which, held] - start, 1.0)
    share = np.where(inside, amount - start, 0.0) / width
    low, high = tiers.rate[which, before], tiers.rate[which, held]
    return np.where(_undefined(amount), np.nan, low + share * (high - low))


def _undefined(amount: Floats) -> Any:  # noqa: ANN401 - flags
    return amount != amount  # noqa: PLR0124 - NaN; np.isnan knows no exact numbers


def ceil_to(x: ArrayLike, unit: ArrayLike) -> Floats:
    """Amount x rounded up to a multiple of unit; a rounding error above a multiple does not count."""
    return _rounded(np.ceil, x, unit)


def floor_to(x: ArrayLike, unit: ArrayLike) -> Floats:
    """Amount x rounded down to a multiple of unit; a rounding error below a multiple does not count."""
    return _rounded(np.floor, x, unit)


def _rounded(towards: Callable[[Floats], Floats], x: ArrayLike, unit: ArrayLike) -> Floats:
    units = np.asarray(unit, dtype=np.float64)
    ratio = np.asarray(x, dtype=np.float64) / units
    nearest = np.rint(ratio)
    close = np.abs(ratio - nearest) <= _TOLERANCE * np.maximum(np.abs(nearest), 1.0)
    result: Floats = np.where(close, nearest, towards(ratio)) * units
    return result


def _es_up(probability: ArrayLike, mean: ArrayLike, deviation: ArrayLike) -> Floats:
    """Mean of the upper tail of a lognormal. Source: vegaprotocol/specs 0018-RSKM."""
    p, m, s = (np.asarray(part, dtype=np.float64) for part in (probability, mean, deviation))
    tail = cdf(s - inverse_cdf(1.0 - p))
    result: Floats = np.exp(m + s * s / 2.0) * tail / p
    return result


def _es_down(probability: ArrayLike, mean: ArrayLike, deviation: ArrayLike) -> Floats:
    """Mean of the lower tail of a lognormal. Source: vegaprotocol/specs 0018-RSKM."""
    p, m, s = (np.asarray(part, dtype=np.float64) for part in (probability, mean, deviation))
    tail = cdf(inverse_cdf(p) - s)
    result: Floats = np.exp(m + s * s / 2.0) * tail / p
    return result


def _quantile(probability: ArrayLike, mean: ArrayLike, deviation: ArrayLike) -> Floats:
    """What a lognormal stays below with a probability."""
    p, m, s = (np.asarray(part, dtype=np.float64) for part in (probability, mean, deviation))
    result: Floats = np.exp(m + s * inverse_cdf(p))
    return result


def _least(*parts: ArrayLike) -> Any:  # noqa: ANN401 - scalar or column, as given
    return reduce(np.minimum, parts)


def _greatest(*parts: ArrayLike) -> Any:  # noqa: ANN401 - scalar or column, as given
    return reduce(np.maximum, parts)


def _clip(x: ArrayLike, low: ArrayLike, high: ArrayLike) -> Any:  # noqa: ANN401 - scalar or column, as given
    return np.minimum(np.maximum(x, low), high)


NUMPY_FUNCTIONS: Final[Mapping[str, Callable[..., Any]]] = MappingProxyType(
    {
        "number": np.float64,
        "min": _least,
        "max": _greatest,
        "abs": np.abs,
        "sqrt": np.sqrt,
        "exp": np.exp,
        "log": np.log,
        "clip": _clip,
        "when": np.where,
        "ceil": ceil_to,
        "floor": floor_to,
        "marginal": marginal,
        "step": step,
        "ramp": ramp,
        "lognormal_es_up": _es_up,
        "lognormal_es_down": _es_down,
        "lognormal_quantile": _quantile,
        "less": np.less,
        "less_equal": np.less_equal,
        "greater": np.greater,
        "greater_equal": np.greater_equal,
        "equal": np.equal,
        "not_equal": np.not_equal,
    }
)
"""The functions over columns, and `number`, which makes a value of a literal or a parameter.

`largest` and `root` are the caller's aggregations."""
