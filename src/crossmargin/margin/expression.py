"""The expression language: arithmetic on named columns, in our own tree under our own walker.

Text goes through Python's `ast` in eval mode, against a whitelist of node types, and is never evaluated or
compiled by Python: files, clock and network are unreachable because the tree has no word for them.
The same tree runs on float64 columns, on `fractions.Fraction` and on traced objects: the walker uses only the
operators ``+ - * / **`` and a table of functions.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

import numpy as np

from crossmargin.margin.functions import NUMPY_FUNCTIONS, TierColumn
from crossmargin.margin.grammar import parse_expression
from crossmargin.margin.nodes import (
    AGGREGATIONS,
    TABLE_FUNCTIONS,
    Binary,
    Call,
    Comparison,
    Expression,
    ExpressionError,
    Name,
    Number,
    Unary,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "AGGREGATIONS",
    "NUMPY_FUNCTIONS",
    "TABLE_FUNCTIONS",
    "Binary",
    "Call",
    "Comparison",
    "Computed",
    "Expression",
    "ExpressionError",
    "Means",
    "Name",
    "Number",
    "TierColumn",
    "Unary",
    "computed",
    "evaluate",
    "inactive",
    "names",
    "parse_expression",
    "summands",
    "to_text",
    "walk",
]

Computed: TypeAlias = "Callable[[Means], Any]"
"""What computes a tree, given what its names mean."""

_ARITHMETIC: Final[Mapping[str, Callable[[Any, Any], Any]]] = MappingProxyType(
    {
        "+": operator.add,
        "-": operator.sub,
        "*": operator.mul,
        "/": operator.truediv,
        "**": operator.pow,
    }
)
_COMPARISONS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "<": "less",
        "<=": "less_equal",
        ">": "greater",
        ">=": "greater_equal",
        "==": "equal",
        "!=": "not_equal",
    }
)
_PRECEDENCE: Final[Mapping[str, int]] = MappingProxyType({"+": 1, "-": 1, "*": 2, "/": 2, "**": 4})
_NEGATION: Final = 3
_ATOM: Final = 5


def evaluate(
    node: Expression,
    lookup: Callable[[Name], Any],
    functions: Mapping[str, Callable[..., Any]] = NUMPY_FUNCTIONS,
    aggregate: Callable[..., Any] | None = None,
    number: Callable[[float], Any] = np.float64,
) -> Any:  # noqa: ANN401 - columns, tables, Fractions or traced objects: whatever `lookup` deals in
    """The value of a tree over whatever `lookup` returns: broadcastable columns, scalars, traced objects.

    Division by zero gives inf or nan, and `when` evaluates both branches: the caller stands inside
    ``np.errstate(divide="ignore", invalid="ignore", over="ignore")`` and checks what comes out.

    Parameters
    ----------
    lookup
        The value of a name. Python floats become float64 before any arithmetic, so that nothing raises.
    functions
        The functions by name, with ``less`` ... ``not_equal`` for comparisons.
    aggregate
        Called as ``aggregate(function, Name, *evaluated)`` for `largest` and `root`.
    number
        What makes a value of a literal: float64, or Fraction in exact mode. Traced objects must set
        ``__array_ufunc__ = None`` so that ``float64 * traced`` is theirs.
    """
    return computed(node)(Means(lookup, functions, aggregate, number))


class Means(NamedTuple):
    """What a tree's names, functions and literals mean, as :func:`evaluate` has them."""

    lookup: Callable[[Name], Any]
    functions: Mapping[str, Callable[..., Any]] = NUMPY_FUNCTIONS
    aggregate: Callable[..., Any] | None = None
    number: Callable[[float], Any] = np.float64


def computed(node: Expression) -> Computed:
    """What computes a tree again and again: which node is of which kind is asked here, once."""
    if isinstance(node, Name):
        return _read(node)
    if isinstance(node, Number):
        return lambda means: means.number(node.value)
    if isinstance(node, Call):
        return _aggregated(node) if node.function in AGGREGATIONS else _applied(node.function, node.args)
    if isinstance(node, Comparison):
        return _applied(_COMPARISONS[node.op], (node.left, node.right))
    if isinstance(node, Binary):
        apply, left, right = _ARITHMETIC[node.op], computed(node.left), computed(node.right)
        return lambda means: apply(left(means), right(means))
    operand = computed(node.operand)
    return lambda means: -operand(means)


_PLAIN: Final = (float, int)


def _read(name: Name) -> Computed:
    def value(means: Means) -> Any:  # noqa: ANN401 - whatever `lookup` deals in
        found = means.lookup(name)
        return np.float64(found) if type(found) in _PLAIN else found

    return value


def _applied(function: str, args: tuple[Expression, ...]) -> Computed:
    parts = tuple(computed(part) for part in args)
    if len(parts) == 2:  # noqa: PLR2004 - most are of two, and a list costs as much as one of them
        left, right = parts
        return lambda means: means.functions[function](left(means), right(means))
    return lambda means: means.functions[function](*[part(means) for part in parts])


def _aggregated(call: Call) -> Computed:
    """The value of `largest` or `root`, by the caller's own aggregation."""
    parts = [computed(part) for part in call.args[1:]]

    def value(means: Means) -> Any:  # noqa: ANN401 - what `aggregate` deals in
        if means.aggregate is None:
            raise ExpressionError(f"`{call.function}` reads a column of a finer level; none is at hand here", 1)
        return means.aggregate(call.function, call.args[0], *[part(means) for part in parts])

    return value


def walk(node: Expression) -> Iterator[Expression]:
    """Every node of a tree, the root first, left to right."""
    yield node
    for part in _parts(node):
        yield from walk(part)


def _parts(node: Expression) -> tuple[Expression, ...]:
    """The nodes directly below a node."""
    if isinstance(node, Call):
        return node.args
    if isinstance(node, Unary):
        return (node.operand,)
    if isinstance(node, Binary | Comparison):
        return (node.left, node.right)
    return ()


def names(node: Expression) -> frozenset[Name]:
    """Every name that a tree reads."""
    return frozenset(part for part in walk(node) if isinstance(part, Name))


def summands(node: Expression) -> list[Expression]:
    """What a tree adds up at its top, signs included: ``a + b - c`` is ``[a, b, -c]``."""
    return _summands(node, negative=False)


def _summands(node: Expression, *, negative: bool) -> list[Expression]:
    if isinstance(node, Binary) and node.op in {"+", "-"}:
        left = _summands(node.left, negative=negative)
        return left + _summands(node.right, negative=negative != (node.op == "-"))
    if isinstance(node, Unary):
        return _summands(node.operand, negative=not negative)
    return [Unary(node) if negative else node]


def inactive(node: Expression, value: Callable[[Expression], float]) -> list[str]:
    """Texts of the arguments of min, max and when that do not decide the result; ties are all active.

    Parameters
    ----------
    value
        The figure of a sub-expression (of a comparison: its truth) in the row that is explained.
    """
    dead: list[str] = []
    for part in _parts(node):
        if part in _dead(node, value):
            dead.append(to_text(part))
        else:
            dead.extend(inactive(part, value))
    return dead


def _dead(node: Expression, value: Callable[[Expression], float]) -> tuple[Expression, ...]:
    """The arguments of one node that do not decide it."""
    if not isinstance(node, Call):
        return ()
    if node.function == "when":
        condition, held, otherwise = node.args
        return (otherwise if value(condition) else held,)
    if node.function in {"min", "max"}:
        figures = [value(part) for part in node.args]
        best = min(figures) if node.function == "min" else max(figures)
        return tuple(part for part, figure in zip(node.args, figures, strict=True) if figure != best)
    return ()


def to_text(node: Expression) -> str:
    """The canonical text of a tree, with no parenthesis too many; parsing it gives the tree back."""
    return _written(node)[0]


def _written(node: Expression) -> tuple[str, int]:
    """The text of a node and how tightly it binds."""
    if isinstance(node, Unary):
        return f"-{_wrapped(node.operand, _NEGATION)}", _NEGATION
    if isinstance(node, Comparison):
        return f"{to_text(node.left)} {node.op} {to_text(node.right)}", 0
    if isinstance(node, Binary):
        return _infix(node)
    return _atom(node), _ATOM


def _atom(node: Number | Name | Call) -> str:
    if isinstance(node, Number):
        return repr(float(node.value)).removesuffix(".0")
    if isinstance(node, Name):
        return f"{node.name}.{node.variant}" if node.variant else node.name
    return f"{node.function}({', '.join(to_text(part) for part in node.args)})"


def _infix(node: Binary) -> tuple[str, int]:
    strength = _PRECEDENCE[node.op]
    if node.op == "**":
        # a power takes only an atom as its base, and on the right a sign binds tighter than it
        return f"{_wrapped(node.left, _ATOM)} ** {_wrapped(node.right, _NEGATION)}", strength
    return f"{_wrapped(node.left, strength)} {node.op} {_wrapped(node.right, strength + 1)}", strength


def _wrapped(node: Expression, least: int) -> str:
    text, strength = _written(node)
    return text if strength >= least else f"({text})"
