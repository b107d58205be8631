"""From text to tree: Python's parser, a whitelist, and limits. Nothing is evaluated or compiled."""

from __future__ import annotations

import ast
import math
import re
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

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
from crossmargin.margin.vocabulary import FUNCTIONS

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["MAX_DEPTH", "MAX_LENGTH", "MAX_NODES", "parse_expression"]

MAX_LENGTH: Final = 1000
MAX_NODES: Final = 200
MAX_DEPTH: Final = 30

_TOKEN: Final = re.compile(
    r"(?P<number>(?:\d+(?:_\d+)*\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)"
    r"|(?P<name>[A-Za-z]\w*)"
    r"|(?P<op>\*\*|<=|>=|==|!=|[-+*/(),.<>])"
    r"|(?P<space>[ \t\r\n]+)",
    re.ASCII,
)
_OPERANDS: Final = frozenset({"number", "name"})
_ARITHMETIC: Final[Mapping[type[ast.operator], str]] = MappingProxyType(
    {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.Pow: "**"}
)
_COMPARISONS: Final[Mapping[type[ast.cmpop], str]] = MappingProxyType(
    {ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!="}
)


def parse_expression(text: str, *, comparison: bool = False) -> Expression:
    """The tree of an expression.

    Parameters
    ----------
    comparison
        Require one comparison at the root, as a liquidation trigger has it.

    Raises
    ------
    ExpressionError
        Whatever is outside the grammar or its limits (1000 characters, 200 nodes, depth 30).
    """
    if len(text) > MAX_LENGTH:
        raise ExpressionError(f"{len(text)} characters; at most {MAX_LENGTH}: name parts of it", MAX_LENGTH)
    _tokens(text)
    body = " ".join(text.split("\n")).replace("\t", " ").replace("\r", " ")
    offset = len(body) - len(body.lstrip(" "))
    try:
        tree = ast.parse(body.strip(" "), mode="eval").body
    except SyntaxError as error:
        raise ExpressionError(
            f"not an expression: {error.msg}; correct it here", offset + (error.offset or 1)
        ) from None
    except (ValueError, MemoryError, RecursionError):
        raise ExpressionError("nested too deeply: name parts of it", 1) from None
    return _Reader(offset).root(tree, comparison=comparison)


def _tokens(text: str) -> None:
    """Refuse every character and nesting that no expression has, before Python's parser sees the text."""
    depth = column = 0
    before: str | None = None
    while column < len(text):
        found = _TOKEN.match(text, column)
        if found is None:
            only = "names, numbers, functions, parentheses and + - * / **"
            message = f"{text[column]!r} has no place in an expression; there are only {only}"
            raise ExpressionError(message, column + 1)
        if before in _OPERANDS and found.lastgroup in _OPERANDS:
            raise ExpressionError("an operator is missing before this: + - * / or **", column + 1)
        symbol = found.group()
        depth += (symbol == "(") - (symbol == ")")
        if not 0 <= depth <= MAX_DEPTH:
            raise ExpressionError("parentheses do not match, or nest too deeply", column + 1)
        before = before if found.lastgroup == "space" else found.lastgroup
        column = found.end()


class _Reader:
    """Turns Python's tree into ours, counting nodes."""

    def __init__(self, offset: int) -> None:
        self.offset = offset
        self.nodes = 0

    def fail(self, message: str, node: ast.expr) -> ExpressionError:
        """The error at a node."""
        return ExpressionError(message, self.offset + node.col_offset + 1)

    def root(self, node: ast.expr, *, comparison: bool) -> Expression:
        """The whole expression."""
        if not comparison:
            return self.tree(node, 1)
        if not isinstance(node, ast.Compare):
            raise self.fail('a condition is one comparison, as in "adjusted_equity < maintenance"', node)
        return self.condition(node, 1)

    def tree(self, node: ast.expr, depth: int) -> Expression:
        """One node and everything below it."""
        self.nodes += 1
        if self.nodes > MAX_NODES or depth > MAX_DEPTH:
            limit = f"at most {MAX_NODES} parts, nested at most {MAX_DEPTH} deep"
            raise self.fail(f"too large ({limit}): name parts of it", node)
        if isinstance(node, ast.Constant):
            return self.number(node)
        if isinstance(node, ast.Name):
            return self.name(node)
        if isinstance(node, ast.Attribute):
            return self.variant(node)
        if isinstance(node, ast.UnaryOp):
            return self.sign(node, depth)
        if isinstance(node, ast.BinOp):
            return self.binary(node, depth)
        if isinstance(node, ast.Call):
            return self.call(node, depth)
        if isinstance(node, ast.Compare):
            raise self.fail("a comparison stands only as the first argument of `when`", node)
        raise self.fail(f"{type(node).__name__} is not part of the grammar; only arithmetic is", node)

    def number(self, node: ast.Constant) -> Number:
        """A literal as float64."""
        if isinstance(node.value, bool) or not isinstance(node.value, int | float):
            raise self.fail(f"{node.value!r} is not a number", node)
        try:
            value = float(node.value)
        except OverflowError:
            value = math.inf
        if not math.isfinite(value):
            raise self.fail("a number this large is not finite in float64", node)
        return Number(value)

    def name(self, node: ast.Name) -> Name:
        """A bare name."""
        if node.id in FUNCTIONS:
            raise self.fail(f"`{node.id}` is a function: give it its arguments in parentheses", node)
        return Name(node.id)

    def variant(self, node: ast.Attribute) -> Name:
        """``name.variant``."""
        if not isinstance(node.value, ast.Name) or node.attr.startswith("_"):
            raise self.fail("a dot only names one requirement's variant, as in `rate.maintenance`", node)
        return Name(self.name(node.value).name, node.attr)

    def sign(self, node: ast.UnaryOp, depth: int) -> Expression:
        """A sign before an operand; a plus says nothing."""
        if isinstance(node.op, ast.USub):
            return Unary(self.tree(node.operand, depth + 1))
        if isinstance(node.op, ast.UAdd):
            return self.tree(node.operand, depth + 1)
        raise self.fail("only + and - stand before an operand", node)

    def binary(self, node: ast.BinOp, depth: int) -> Binary:
        """Two operands. A chain such as ``a + b + c`` counts as one level: its left side is no deeper."""
        op = _ARITHMETIC.get(type(node.op))
        if op is None:
            raise self.fail("of operators there are only + - * / **", node)
        if op == "**" and sum(isinstance(part, ast.Pow) for part in ast.walk(node)) > 1:
            raise self.fail("`**` may not stand inside `**`: name the inner power", node)
        chained = isinstance(node.left, ast.BinOp)
        left = self.tree(node.left, depth if chained else depth + 1)
        return Binary(op, left, self.tree(node.right, depth + 1))

    def call(self, node: ast.Call, depth: int) -> Call:
        """A function of the closed list with the right number of plain arguments."""
        if not isinstance(node.func, ast.Name) or node.func.id not in FUNCTIONS:
            known = ", ".join(FUNCTIONS)
            raise self.fail(f"not a function of the grammar; there are {known}", node)
        function = node.func.id
        least, most = FUNCTIONS[function]
        if node.keywords or not least <= len(node.args) <= most:
            count = str(least) if least == most else f"{least} to {most}"
            raise self.fail(f"`{function}` takes {count} arguments, each without a name", node)
        if function in AGGREGATIONS | TABLE_FUNCTIONS and not isinstance(node.args[0], ast.Name):
            what = "a tier table" if function in TABLE_FUNCTIONS else "a line or a measure"
            raise self.fail(f"the first argument of `{function}` is the name of {what}", node)
        if function != "when":
            return Call(function, tuple(self.tree(part, depth + 1) for part in node.args))
        if not isinstance(node.args[0], ast.Compare):
            raise self.fail("the first argument of `when` is one comparison, as in `when(a < b, x, y)`", node)
        branches = (self.tree(part, depth + 1) for part in node.args[1:])
        return Call(function, (self.condition(node.args[0], depth + 1), *branches))

    def condition(self, node: ast.Compare, depth: int) -> Comparison:
        """One comparison of two expressions."""
        self.nodes += 1
        op = _COMPARISONS.get(type(node.ops[0]))
        if op is None or len(node.ops) > 1:
            raise self.fail("one comparison with one of < <= > >= == !=; chains are not", node)
        left = self.tree(node.left, depth + 1)
        return Comparison(op, left, self.tree(node.comparators[0], depth + 1))
