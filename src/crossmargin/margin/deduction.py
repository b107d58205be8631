"""The dimension of an expression, from the dimensions of what it names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Final, TypeAlias

from crossmargin.margin.dimensions import ANY, RATIO, Dimension, DimensionError, combined, exponent_of
from crossmargin.margin.expression import (
    AGGREGATIONS,
    TABLE_FUNCTIONS,
    Binary,
    Call,
    Comparison,
    Expression,
    Name,
    Number,
    Unary,
    to_text,
)

__all__ = ["Read", "deduce"]

Read: TypeAlias = Callable[[Name, bool, bool], Dimension]
"""The dimension of a name; told whether it is read into a sum, and whether as a table."""

_PURE: Final = frozenset({"exp", "log", "lognormal_es_up", "lognormal_es_down", "lognormal_quantile"})
_ALIKE: Final = frozenset({"min", "max", "clip", "ceil", "floor"})


def deduce(tree: Expression, read: Read) -> Dimension:
    """The dimension of a tree.

    Raises
    ------
    DimensionError
        Arithmetic that mixes what cannot be mixed, with the sub-expression that does.
    """
    return _Deduction(read).of(tree, additive=True)


@dataclass(frozen=True, slots=True)
class _Deduction:
    """The walk."""

    read: Read

    def of(self, tree: Expression, *, additive: bool) -> Dimension:
        """The dimension of a node; `additive` while it still ends up in a sum."""
        if isinstance(tree, Number):
            return ANY if tree.value == 0 else RATIO
        if isinstance(tree, Name):
            return self.read(tree, additive, False)  # noqa: FBT003 - two flags of a callback
        if isinstance(tree, Unary):
            return self.of(tree.operand, additive=additive)
        parts = self.parts(tree, additive=additive)
        try:
            return self.apply(tree, parts)
        except DimensionError as error:
            raise DimensionError(f"{error} in `{to_text(tree)}`") from None

    def parts(self, tree: Binary | Call | Comparison, *, additive: bool) -> list[Dimension]:
        """The dimensions of a node's operands."""
        if isinstance(tree, Comparison):
            return [self.of(part, additive=False) for part in (tree.left, tree.right)]
        if isinstance(tree, Binary):
            kept = additive and tree.op in {"+", "-"}
            return [self.of(part, additive=kept) for part in (tree.left, tree.right)]
        first = tree.args[0]
        rest = [self.of(part, additive=additive) for part in tree.args[1:]]
        if tree.function in TABLE_FUNCTIONS and isinstance(first, Name):
            return [self.read(first, False, True), *rest]  # noqa: FBT003 - two flags of a callback
        # an aggregation reads finer rows by itself; a finer line never counts twice there
        return [self.of(first, additive=additive and tree.function not in AGGREGATIONS), *rest]

    def apply(self, tree: Binary | Call | Comparison, parts: list[Dimension]) -> Dimension:
        """The dimension of a node from those of its operands."""
        if isinstance(tree, Comparison):
            combined("compares", *parts)
            return RATIO
        if isinstance(tree, Call):
            return self.called(tree.function, parts)
        left, right = parts
        if tree.op in {"+", "-"}:
            return combined(tree.op, left, right)
        if tree.op == "**":
            return self.raised(tree, left, right)
        return left * right if tree.op == "*" else left / right

    def raised(self, tree: Binary, base: Dimension, exponent: Dimension) -> Dimension:
        """The dimension of a power."""
        if exponent not in (RATIO, ANY):
            raise DimensionError(f"raises to a power that is {exponent}")
        return base if base in (RATIO, ANY) else base.power(exponent_of(tree.right))

    def called(self, function: str, parts: list[Dimension]) -> Dimension:
        """The dimension of a function's result."""
        if function in _PURE:
            wrong = next((part for part in parts if part not in (RATIO, ANY)), None)
            if wrong is not None:
                raise DimensionError(f"`{function}` of {wrong}, which is no plain number,")
            return RATIO
        if function in _ALIKE:
            return combined(f"`{function}` of", *parts)
        if function == "when":
            return combined("`when` of", *parts[1:])
        if function == "sqrt":
            return parts[0].power(Fraction(1, 2))
        if function == "marginal":
            return parts[0] * parts[1]
        if function == "root":
            combined("`root` correlates by", RATIO, parts[1])
        return parts[0]  # abs, largest, root; step and ramp: what the table holds
