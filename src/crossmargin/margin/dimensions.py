"""Dimensions: what a number counts (money, USD, units), and the arithmetic that may be done with it.

Time is a plain number of years: annualised rates, vols and slopes in these documents carry no unit of time.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from crossmargin.margin.expression import (
    Binary,
    Expression,
    ExpressionError,
    Name,
    Number,
    Unary,
    parse_expression,
)

__all__ = [
    "ANY",
    "MONEY",
    "QUANTITY",
    "RATIO",
    "USD",
    "Dimension",
    "DimensionError",
    "combined",
    "read_dimension",
]


class DimensionError(ValueError):
    """Arithmetic that mixes what cannot be mixed."""


@dataclass(frozen=True, slots=True)
class Dimension:
    """A product of powers of money (the pool's reporting asset), USD and units of the underlying.

    `zero` marks the literal 0, which is 0 of anything.
    """

    money: Fraction = Fraction(0)
    usd: Fraction = Fraction(0)
    quantity: Fraction = Fraction(0)
    zero: bool = False

    def __mul__(self, other: Dimension) -> Dimension:
        if self.zero or other.zero:
            return ANY
        return Dimension(self.money + other.money, self.usd + other.usd, self.quantity + other.quantity)

    def __truediv__(self, other: Dimension) -> Dimension:
        return self * other.power(Fraction(-1))

    def power(self, exponent: Fraction) -> Dimension:
        """The dimension of a power."""
        if self.zero:
            return ANY
        return Dimension(self.money * exponent, self.usd * exponent, self.quantity * exponent)

    def __str__(self) -> str:
        return _WORDS.get(self) or _powers(self)


ANY: Final = Dimension(zero=True)
RATIO: Final = Dimension()
MONEY: Final = Dimension(money=Fraction(1))
USD: Final = Dimension(usd=Fraction(1))
QUANTITY: Final = Dimension(quantity=Fraction(1))
_WORDS: Final = {
    ANY: "zero",
    RATIO: "a rate",
    MONEY: "money",
    USD: "USD",
    QUANTITY: "a quantity",
    MONEY / QUANTITY: "a price",
}
_UNITS: Final = {
    "money": MONEY,
    "usd": USD,
    "quantity": QUANTITY,
    "price": MONEY / QUANTITY,
    "ratio": RATIO,
    "years": RATIO,
    "days": RATIO,
}


def _powers(dimension: Dimension) -> str:
    """The dimension as a product: ``money * quantity**-1``."""
    powers = {"money": dimension.money, "USD": dimension.usd, "quantity": dimension.quantity}
    return " * ".join(name if n == 1 else f"{name}**{n}" for name, n in powers.items() if n)


def combined(verb: str, first: Dimension, *others: Dimension) -> Dimension:
    """The one dimension that all operands have; zeros have any.

    Raises
    ------
    DimensionError
        Two differ.
    """
    result = first
    for other in others:
        if result.zero:
            result = other
        elif not other.zero and other != result:
            raise DimensionError(_mixed(verb, result, other))
    return result


def _mixed(verb: str, first: Dimension, other: Dimension) -> str:
    if verb == "+":
        return f"adds {first} to {other}"
    if verb == "-":
        return f"subtracts {other} from {first}"
    return f"{verb} {first} with {other}"


def read_dimension(text: str, reporting: str) -> Dimension:
    """The dimension that a unit says: ``USD``, ``1/quantity``, ``money``; the reporting asset is money.

    Raises
    ------
    DimensionError
        It is not a product of powers of known units.
    """
    try:
        found = _unit(parse_expression(text.lower()), reporting.lower())
    except ExpressionError as error:
        raise DimensionError(f"unit {text!r}: {error}") from None
    # money that is reported in USD is USD: the two are one dimension then
    return in_reporting(found, reporting)


def in_reporting(dimension: Dimension, reporting: str) -> Dimension:
    """The dimension, with USD counted as money where money is reported in USD."""
    if reporting.upper() != "USD" or dimension.zero:
        return dimension
    return Dimension(dimension.money + dimension.usd, Fraction(0), dimension.quantity)


def _unit(tree: Expression, reporting: str) -> Dimension:
    if isinstance(tree, Number) and tree.value == 1:
        return RATIO
    if isinstance(tree, Name) and tree.variant is None and (tree.name in _UNITS or tree.name == reporting):
        return _UNITS.get(tree.name, MONEY)
    if isinstance(tree, Binary) and tree.op in {"*", "/"}:
        left, right = _unit(tree.left, reporting), _unit(tree.right, reporting)
        return left * right if tree.op == "*" else left / right
    if isinstance(tree, Binary) and tree.op == "**":
        return _unit(tree.left, reporting).power(exponent_of(tree.right))
    known = ", ".join(_UNITS)
    raise DimensionError(f'units are products of {known} and the reporting asset, as in "1/quantity"')


def exponent_of(tree: Expression) -> Fraction:
    """The exponent that a literal states.

    Raises
    ------
    DimensionError
        It is not a literal.
    """
    if isinstance(tree, Number):
        return Fraction(tree.value).limit_denominator(1000)
    if isinstance(tree, Unary):
        return -exponent_of(tree.operand)
    raise DimensionError("raises what has a unit to a power that is no plain number")
