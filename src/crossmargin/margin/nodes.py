"""The nodes of the expression tree: frozen data, no behaviour."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias

__all__ = [
    "AGGREGATIONS",
    "TABLE_FUNCTIONS",
    "Binary",
    "Call",
    "Comparison",
    "Expression",
    "ExpressionError",
    "Name",
    "Number",
    "Unary",
]

AGGREGATIONS: Final = frozenset({"largest", "root"})
"""Functions that read a whole column of a finer level: their first argument is a bare name."""

TABLE_FUNCTIONS: Final = frozenset({"marginal", "step", "ramp"})
"""Functions whose first argument is the bare name of a tier table."""


class ExpressionError(ValueError):
    """A text that is not an expression of the grammar.

    Parameters
    ----------
    message
        What is wrong and what to do.
    column
        Where in the text, counted from 1.
    """

    def __init__(self, message: str, column: int) -> None:
        self.column = column
        super().__init__(f"column {column}: {message}")


@dataclass(frozen=True, slots=True)
class Number:
    """A literal; finite and not negative when parsed."""

    value: float


@dataclass(frozen=True, slots=True)
class Name:
    """A name, or one requirement's variant of it (``x.maintenance``)."""

    name: str
    variant: str | None = None


@dataclass(frozen=True, slots=True)
class Unary:
    """The negative of the operand."""

    operand: Expression


@dataclass(frozen=True, slots=True)
class Binary:
    """One of ``+ - * / **`` between two expressions."""

    op: str
    left: Expression
    right: Expression


@dataclass(frozen=True, slots=True)
class Call:
    """A function of the closed list with its arguments."""

    function: str
    args: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """One of ``< <= > >= == !=``: the condition of a `when`, or a trigger."""

    op: str
    left: Expression
    right: Expression


Expression: TypeAlias = Number | Name | Unary | Binary | Call | Comparison
