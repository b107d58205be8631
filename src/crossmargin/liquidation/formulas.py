"""The rulebook's expressions for one pool or one leg: scalars, lazily, in float64 or exactly on fractions.

`when` evaluates the branch that is taken and no other, so that it guards a divisor. In exact mode literals are the
decimals that they are written as, and what rounds by its nature is refused by name.
"""

from __future__ import annotations

import operator
from fractions import Fraction
from math import ceil, exp, floor, inf, isfinite, log, sqrt
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NoReturn, TypeAlias

from crossmargin.errors import FailureReason, InputError
from crossmargin.margin.expression import (
    Binary,
    Call,
    Comparison,
    Expression,
    Name,
    Number,
    Unary,
)
from crossmargin.margin.functions import ceil_to, floor_to
from crossmargin.margin.model import Tiers
from crossmargin.units import exact

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["Amount", "Lookup", "as_fraction", "holds", "value_of"]

Amount: TypeAlias = float | Fraction
"""A number of a procedure: float64, or a fraction in exact mode (where only an infinity is a float)."""

Lookup: TypeAlias = "Callable[[Name], Amount | Tiers]"

_ARITHMETIC: Final[Mapping[str, Callable[[Amount, Amount], Amount]]] = MappingProxyType(
    {"+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv}
)
_COMPARISONS: Final[Mapping[str, Callable[[Amount, Amount], bool]]] = MappingProxyType(
    {
        "<": operator.lt,
        "<=": operator.le,
        ">": operator.gt,
        ">=": operator.ge,
        "==": operator.eq,
        "!=": operator.ne,
    }
)
_TABLES: Final = frozenset({"marginal", "step", "ramp"})
_INEXACT: Final = MappingProxyType({"sqrt": sqrt, "exp": exp, "log": log})
_HIGHEST_POWER: Final = 64


def as_fraction(number: Amount | int) -> Fraction:
    """Return a finite number as a fraction: a float as the decimal that it is written as."""
    return number if isinstance(number, Fraction) else Fraction(exact(number) if isinstance(number, float) else number)


def value_of(tree: Expression, lookup: Lookup, *, exactly: bool = False) -> Amount:
    """Return the value of an expression.

    Parameters
    ----------
    lookup
        The number behind a name, or the tier table that `marginal`, `step` or `ramp` reads.
    exactly
        Whether literals are fractions, and what rounds is refused.

    Raises
    ------
    InputError
        UNDEFINED_RESULT: a division by zero, no number, or a function without an exact result in exact mode.
    """
    return _Walk(lookup, exactly=exactly).value(tree)


def holds(condition: Comparison, lookup: Lookup, *, exactly: bool = False) -> bool:
    """Return whether a comparison holds; raises as :func:`value_of`."""
    return _Walk(lookup, exactly=exactly).holds(condition)


def _undefined(message: str) -> NoReturn:
    raise InputError(FailureReason.UNDEFINED_RESULT, message)


class _Walk:
    """One evaluation."""

    def __init__(self, lookup: Lookup, *, exactly: bool) -> None:
        self.lookup = lookup
        self.exactly = exactly

    def value(self, tree: Expression) -> Amount:
        """Return the number of a node."""
        if isinstance(tree, Number):
            return as_fraction(tree.value) if self.exactly else tree.value
        if isinstance(tree, Name):
            found = self.lookup(tree)
            return found if not isinstance(found, Tiers) else _undefined(f"`{tree.name}` is a tier table")
        if isinstance(tree, Unary):
            return -self.value(tree.operand)
        if isinstance(tree, Binary):
            return self.binary(tree)
        if isinstance(tree, Call):
            return self.call(tree)
        return _undefined("a comparison is no number")

    def holds(self, tree: Comparison) -> bool:
        """Return whether a comparison holds."""
        return _COMPARISONS[tree.op](self.value(tree.left), self.value(tree.right))

    def binary(self, tree: Binary) -> Amount:
        """Return two operands combined."""
        left, right = self.value(tree.left), self.value(tree.right)
        try:
            found = self.power(left, right) if tree.op == "**" else _ARITHMETIC[tree.op](left, right)
        except (ZeroDivisionError, OverflowError):
            _undefined(f"{left} {tree.op} {right} is no number; guard it with `when`")
        return found if not isinstance(found, float) or found == found else _undefined(f"{left} {tree.op} {right}")  # noqa: PLR0124 - NaN

    def power(self, base: Amount, power: Amount) -> Amount:
        """Return a power; in exact mode only whole ones."""
        if self.exactly and (not -_HIGHEST_POWER <= power <= _HIGHEST_POWER or power != int(power)):
            _undefined("a power that is no whole number has no exact result")
        found: object = base ** (int(power) if self.exactly else power)
        return found if isinstance(found, float | Fraction) else _undefined("a root of a negative number")

    def call(self, tree: Call) -> Amount:
        """Return the value of a function."""
        function, args = tree.function, tree.args
        if function == "when":
            condition = args[0]
            assert isinstance(condition, Comparison)
            return self.value(args[1] if self.holds(condition) else args[2])
        if function in _TABLES:
            table = self.lookup(args[0]) if isinstance(args[0], Name) else None
            if not isinstance(table, Tiers):
                _undefined(f"the first argument of `{function}` is a tier table")
            return _from_table(function, table, self.value(args[1]))
        if function not in _PLAIN and function not in _INEXACT:
            _undefined(f"`{function}` reads columns of a finer level; a procedure has none")
        return self.plain(function, [self.value(part) for part in args])

    def plain(self, function: str, parts: list[Amount]) -> Amount:
        """Return a function of numbers."""
        if function in _INEXACT:
            if self.exactly:
                _undefined(f"`{function}` has no exact result")
            try:
                return _INEXACT[function](parts[0])
            except (ValueError, OverflowError):
                _undefined(f"{function}({parts[0]}) is no number")
        return _PLAIN[function](*parts)


def _rounded(
    exactly: Callable[[Fraction], int], nearly: Callable[[float, float], object]
) -> Callable[[Amount, Amount], Amount]:
    def apply(x: Amount, unit: Amount) -> Amount:
        if unit <= 0:
            _undefined(f"rounding to multiples of {unit}")
        if isinstance(x, float) and not isfinite(x):
            return x
        if isinstance(x, Fraction):
            whole = as_fraction(unit)
            return exactly(x / whole) * whole
        return float(nearly(x, float(unit)))  # type: ignore[arg-type]

    return apply


_PLAIN: Final[Mapping[str, Callable[..., Amount]]] = MappingProxyType(
    {
        "min": min,
        "max": max,
        "abs": abs,
        "clip": lambda x, low, high: min(max(x, low), high),
        "ceil": _rounded(ceil, ceil_to),
        "floor": _rounded(floor, floor_to),
    }
)


def _from_table(function: str, table: Tiers, x: Amount) -> Amount:
    """Return what a tier table gives at x, as the functions over columns do."""
    bounds = [bound if bound == inf else _like(x, bound) for bound in table.upto]
    rates = [_like(x, rate) for rate in table.rate]
    tier = next(number for number, bound in enumerate(bounds) if x <= bound)
    if function == "step":
        return rates[tier]
    if function == "ramp":
        return _on_ramp(bounds, rates, tier, x)
    found = below = _like(x, 0.0)
    for bound, rate in zip(bounds[: tier + 1], rates, strict=False):
        found += max(min(x, bound) - below, _like(x, 0.0)) * rate
        below = bound
    return found


def _like(x: Amount, number: float) -> Amount:
    """Return a number of the document as what it is combined with: a float, or a fraction."""
    return as_fraction(number) if isinstance(x, Fraction) else number


def _on_ramp(bounds: list[Amount], rates: list[Amount], tier: int, x: Amount) -> Amount:
    if tier == 0 or bounds[tier] == inf:
        return rates[tier]
    share = (x - bounds[tier - 1]) / (bounds[tier] - bounds[tier - 1])
    return rates[tier - 1] + share * (rates[tier] - rates[tier - 1])
