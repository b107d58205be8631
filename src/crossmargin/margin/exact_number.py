"""The number of exact mode: a fraction, or infinite, or undefined - float64's rules without its rounding.

`fractions.Fraction` alone would not do: met with a float it quietly turns into one, and 1 / 0 raises where `when`
computes both branches and takes one. Columns of these are NumPy arrays of objects, so the engine's own arithmetic
runs on them.
"""

from __future__ import annotations

import operator
from decimal import Decimal
from fractions import Fraction
from math import inf, isfinite, nan
from typing import TYPE_CHECKING, Any, Final, NoReturn

import numpy as np

from crossmargin import units
from crossmargin.errors import FailureReason, InputError

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

__all__ = ["Exact", "exact", "exact_column", "refuse_inexact"]

_LARGEST_POWER: Final = 1_000  # beyond it the digits of a power would fill the memory before they mean anything


def refuse_inexact(what: str) -> NoReturn:
    """Refuse what has no exact result."""
    message = f"{what} has no exact result; exact mode computes with + - * /, whole powers, comparisons and rounding"
    raise InputError(FailureReason.UNDEFINED_RESULT, message)


def _arithmetic(combine: Callable[[Any, Any], Any]) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Return an operator's method and its reflected one."""
    return (lambda self, other: _combined(combine, self, other)), (lambda self, other: _combined(combine, other, self))


def _comparison(compare: Callable[[Any, Any], bool]) -> Callable[[Any, object], Any]:
    def compared(self: Exact, other: object) -> Any:  # noqa: ANN401 - or no answer
        second = _value(other)
        return NotImplemented if second is None else compare(self.value, second)

    return compared


def _combined(combine: Callable[[Any, Any], Any], left: object, right: object) -> Any:  # noqa: ANN401 - or no answer
    first, second = _value(left), _value(right)
    if first is None or second is None:
        return NotImplemented
    if isinstance(first, Fraction) and isinstance(second, Fraction):
        return Exact(combine(first, second))
    # beside an infinity of a finite number only the sign counts; the one finite result is 0
    beside = combine(_sign(first), _sign(second))
    return Exact(beside if beside != 0 else Fraction(0))


def _sign(value: Fraction | float) -> float:
    return value if isinstance(value, float) else float((value > 0) - (value < 0))


def _quotient(left: Any, right: Any) -> Any:  # noqa: ANN401 - two fractions or two floats
    if right == 0:
        return nan if left == 0 or left != left else inf if left > 0 else -inf  # noqa: PLR0124 - NaN
    return left / right


def _power(base: Any, power: Any) -> Any:  # noqa: ANN401 - two fractions or two floats
    if isinstance(power, float):  # of what is infinite or NaN
        return nan
    if power.denominator != 1 or abs(power) > _LARGEST_POWER:
        refuse_inexact("a power that is no whole number")
    return inf if base == 0 and power < 0 else base**power


class Exact:
    """One number. `value` is a Fraction, or a float that is infinite or NaN.

    A float that it meets counts as the decimal that it is written as. It never becomes a float itself: what needs
    one refuses.
    """

    __slots__ = ("value",)

    def __init__(self, value: Fraction | float) -> None:
        self.value = value

    __add__, __radd__ = _arithmetic(operator.add)
    __sub__, __rsub__ = _arithmetic(operator.sub)
    __mul__, __rmul__ = _arithmetic(operator.mul)
    __truediv__, __rtruediv__ = _arithmetic(_quotient)
    __pow__, __rpow__ = _arithmetic(_power)
    __lt__ = _comparison(operator.lt)
    __le__ = _comparison(operator.le)
    __gt__ = _comparison(operator.gt)
    __ge__ = _comparison(operator.ge)
    __eq__ = _comparison(operator.eq)
    __ne__ = _comparison(operator.ne)

    def __neg__(self) -> Exact:
        return Exact(-self.value)

    def __abs__(self) -> Exact:
        return -self if self.value < 0 else self

    def __bool__(self) -> bool:
        return bool(self.value)

    def __hash__(self) -> int:
        return hash(self.value)

    def __float__(self) -> float:
        refuse_inexact("what is computed in floating point (Greeks, vols, scenarios)")

    def __repr__(self) -> str:
        return f"Exact({self.value})"


def _value(number: object) -> Fraction | float | None:
    """Return a fraction, or a float that is infinite or NaN; None for what is no number."""
    if isinstance(number, Exact):
        return number.value
    if isinstance(number, Fraction):
        return number
    if isinstance(number, int | np.integer):
        return Fraction(int(number))
    if isinstance(number, float | Decimal):
        if not isfinite(number):
            return float(number)
        return Fraction(number if isinstance(number, Decimal) else units.exact(number))
    return None


def exact(value: Any) -> Exact:  # noqa: ANN401 - any kind of number
    """Return a number as an exact one: floats as the decimal that they are written as."""
    if isinstance(value, Exact):
        return value
    found = _value(value)
    if found is None:
        message = f"a number was expected, found {value!r}"
        raise TypeError(message)
    return Exact(found)


def exact_column(column: Any) -> npt.NDArray[np.object_]:  # noqa: ANN401 - any column of numbers
    """Return a column of exact numbers."""
    numbers: npt.NDArray[np.object_] = np.asarray(_EACH(np.asarray(column, dtype=object)), dtype=object)
    return numbers


_EACH: Final = np.frompyfunc(exact, 1, 1)
