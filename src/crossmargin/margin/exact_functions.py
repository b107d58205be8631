"""The functions of the expression language over exact numbers. What rounds by its nature is refused by name."""

from __future__ import annotations

from fractions import Fraction
from functools import partial, reduce
from math import ceil, floor
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from crossmargin.margin.exact_number import Exact, exact, exact_column, refuse_inexact
from crossmargin.margin.functions import NUMPY_FUNCTIONS, TierColumn
from crossmargin.margin.model import Tiers

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["EXACT_FUNCTIONS"]

_AS_THEY_ARE: Final = ("abs", "when", "less", "less_equal", "greater", "greater_equal", "equal", "not_equal")


def _extreme(first_is_it: Callable[[Exact, Exact], bool]) -> Callable[..., Any]:
    def choose(left: Any, right: Any) -> Exact:  # noqa: ANN401 - numbers of any kind
        one, other = exact(left), exact(right)
        if _undefined(one) or _undefined(other):
            return one if _undefined(one) else other
        return one if first_is_it(one, other) else other

    return partial(reduce, np.frompyfunc(choose, 2, 1))


def _undefined(number: Exact) -> bool:
    return number.value != number.value


def _rounded(towards: Callable[[Fraction], int]) -> Callable[..., Any]:
    def apply(x: Any, unit: Any) -> Any:  # noqa: ANN401 - numbers of any kind
        multiple = exact(x) / unit
        if isinstance(multiple.value, Fraction):
            multiple = Exact(Fraction(towards(multiple.value)))
        return multiple * unit

    rounded: Callable[..., Any] = np.frompyfunc(apply, 2, 1)
    return rounded


def _table(name: str) -> Callable[[TierColumn, Any], Any]:
    def apply(tiers: TierColumn, x: Any) -> Any:  # noqa: ANN401 - a number or a column
        amount = np.atleast_1d(exact_column(x))
        found = NUMPY_FUNCTIONS[name](TierColumn(tuple(map(_exact_tiers, tiers.tables)), tiers.which), amount)
        return np.where(amount != amount, amount, found)  # noqa: PLR0124 - NaN

    return apply


def _exact_tiers(table: Tiers) -> Tiers:
    upto: Any = tuple(map(exact, table.upto))
    rate: Any = tuple(map(exact, table.rate))
    return Tiers(upto, rate, table.provenance)


_least: Final = _extreme(lambda one, other: one <= other)
_greatest: Final = _extreme(lambda one, other: one >= other)

EXACT_FUNCTIONS: Final[Mapping[str, Callable[..., Any]]] = MappingProxyType(
    {
        **{name: lambda *_, name=name: refuse_inexact(f"{name}(...)") for name in NUMPY_FUNCTIONS},
        **{name: NUMPY_FUNCTIONS[name] for name in _AS_THEY_ARE},
        "number": exact,
        "min": lambda *parts: _least(parts),
        "max": lambda *parts: _greatest(parts),
        "clip": lambda x, low, high: _least([_greatest([x, low]), high]),
        "ceil": _rounded(ceil),
        "floor": _rounded(floor),
        **{name: _table(name) for name in ("marginal", "step", "ramp")},
    }
)
"""The functions over columns of exact numbers; `number` makes one."""
