"""A reader of what `explain` prints, from the printed page alone: it knows the grammar, not the engine.

Own tokenizer, own recursive descent, own functions. A node's value is its expression over its figures; a figure that
has children is what the children come to, so that a requirement is recomputed from its leaves.
"""

import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from itertools import pairwise
from statistics import NormalDist
from typing import Any, TypeAlias

Value: TypeAlias = Any  # a number, a list of numbers, a tier table [[upto, rate], ...]
Tree: TypeAlias = tuple[Any, ...]

_TOKEN = re.compile(r"\s*(?:(\d+\.?\d*(?:[eE][-+]?\d+)?|\.\d+)|([A-Za-z]\w*(?:\.\w+)?)|(\*\*|<=|>=|==|!=|[-+*/(),<>]))")
_COMPARE: Mapping[str, Callable[..., float]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}


def tokens(text: str) -> list[str]:
    found, at = [], 0
    while text[at:].strip():
        match = _TOKEN.match(text, at)
        assert match, f"what is this: {text[at:]!r}"
        found.append(match.group().strip())
        at = match.end()
    return found


class Parser:
    """Sum of products of signs of powers of atoms."""

    def __init__(self, text: str) -> None:
        self.tokens = [*tokens(text), ""]
        self.at = 0

    def whole(self) -> Tree:
        tree = self.comparison()
        assert self.tokens[self.at] == "", self.tokens[self.at :]
        return tree

    def take(self, *wanted: str) -> str:
        token = self.tokens[self.at]
        if token and token in wanted:
            self.at += 1
            return token
        return ""

    def comparison(self) -> Tree:
        left = self.sum()
        sign = self.take(*_COMPARE)
        return ("compare", sign, left, self.sum()) if sign else left

    def sum(self) -> Tree:
        left = self.product()
        while sign := self.take("+", "-"):
            left = ("infix", sign, left, self.product())
        return left

    def product(self) -> Tree:
        left = self.sign()
        while sign := self.take("*", "/"):
            left = ("infix", sign, left, self.sign())
        return left

    def sign(self) -> Tree:
        return ("infix", "minus", self.sign()) if self.take("-") else self.power()

    def power(self) -> Tree:
        base = self.atom()
        return ("infix", "**", base, self.sign()) if self.take("**") else base

    def atom(self) -> Tree:
        if self.take("("):
            inside = self.sum()
            assert self.take(")")
            return inside
        token = self.tokens[self.at]
        self.at += 1
        if token[0].isdigit() or token[0] == ".":
            return ("number", float(token))
        if not self.take("("):
            return ("name", token)
        arguments = [self.comparison()]
        while self.take(","):
            arguments.append(self.comparison())
        assert self.take(")")
        return ("call", token, *arguments)


@cache
def parse(text: str) -> Tree:
    return Parser(text).whole()


def evaluate(tree: Tree, figures: Mapping[str, Value]) -> Value:
    kind, head = tree[0], tree[1]
    if kind == "number":
        return head
    if kind == "name":
        return figures[head]
    if kind == "call" and head == "when":
        return evaluate(tree[3] if evaluate(tree[2], figures) else tree[4], figures)
    parts = [evaluate(part, figures) for part in tree[2:]]
    if kind == "call":
        return FUNCTIONS[head](*parts)
    operations = _COMPARE if kind == "compare" else _ARITHMETIC
    return operations[head](*[number(part) for part in parts])


def number(value: Value) -> float:
    """A list where one number is wanted is read as its sum: finer rows under a coarser name."""
    return float(sum(value)) if isinstance(value, list) else float(value)


def divided(left: float, right: float) -> float:
    if right:
        return left / right
    return math.copysign(math.inf, left) if left else math.nan


_ARITHMETIC: Mapping[str, Callable[..., float]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": divided,
    "**": operator.pow,
    "minus": operator.neg,
}


def flat(*parts: Value) -> list[float]:
    return [float(x) for part in parts for x in (part if isinstance(part, list) else [part])]


def tier_rate(table: Sequence[Sequence[float]], x: float) -> float:
    return next(rate for upto, rate in table if x <= upto)


def marginal(table: Sequence[Sequence[float]], amount: Value) -> float:
    total, below, x = 0.0, 0.0, number(amount)
    for upto, rate in table:
        total += max(0.0, min(x, upto) - below) * rate
        below = upto
    return total


def ramp(table: Sequence[Sequence[float]], amount: Value) -> float:
    x = number(amount)
    points = [(upto, rate) for upto, rate in table if upto < math.inf]
    for (low, first), (high, last) in pairwise(points):
        if low < x <= high:
            return first + (last - first) * (x - low) / (high - low)
    return tier_rate(table, x)


def tail_mean(pnl: list[float], confidence: float) -> float:
    """The mean of the worst (1 - confidence) of the scenarios, the last one in part."""
    left = max((1.0 - confidence) * len(pnl), 1e-12)
    whole, total = left, 0.0
    for x in sorted(pnl):
        part = min(1.0, left)
        total += part * x
        left -= part
        if left <= 1e-9:
            break
    return total / whole


def quantile(pnl: list[float], confidence: float) -> float:
    """The P&L that `confidence` of the scenarios do not fall below."""
    kept = max(1, math.ceil(confidence * len(pnl) - 1e-9))
    return sorted(pnl, reverse=True)[kept - 1]


def below(x: float) -> float:
    """The normal distribution function, precise far in its lower tail too (`NormalDist.cdf` is not)."""
    return math.erfc(-x / math.sqrt(2)) / 2


def rounded(towards: Callable[[float], int]) -> Callable[[Value, Value], float]:
    def apply(x: Value, unit: Value) -> float:
        ratio = number(x) / number(unit)
        near = round(ratio)
        whole = near if abs(ratio - near) <= 1e-12 * max(abs(near), 1) else towards(ratio)
        return whole * number(unit)

    return apply


def root(x: list[float], rho: float) -> float:
    return math.sqrt(max(sum(a * b * (1.0 if i == j else rho) for i, a in enumerate(x) for j, b in enumerate(x)), 0.0))


_NORMAL = NormalDist()
FUNCTIONS: Mapping[str, Callable[..., float]] = {
    "min": lambda *parts: min(flat(*parts)),
    "max": lambda *parts: max(flat(*parts)),
    "abs": lambda x: abs(number(x)),
    "sqrt": lambda x: math.sqrt(number(x)),
    "exp": lambda x: math.exp(number(x)),
    "log": lambda x: math.log(number(x)),
    "clip": lambda x, low, high: min(max(number(x), number(low)), number(high)),
    "ceil": rounded(math.ceil),
    "floor": rounded(math.floor),
    "marginal": marginal,
    "step": lambda table, x: tier_rate(table, number(x)),
    "ramp": ramp,
    "lognormal_es_up": lambda p, m, s: math.exp(m + s * s / 2) * below(s - _NORMAL.inv_cdf(1 - p)) / p,
    "lognormal_es_down": lambda p, m, s: math.exp(m + s * s / 2) * below(_NORMAL.inv_cdf(p) - s) / p,
    "lognormal_quantile": lambda p, m, s: math.exp(m + s * _NORMAL.inv_cdf(p)),
    "largest": lambda x: max(flat(x)),
    "root": root,
    "mean": lambda x: sum(x) / len(x),
    "quantile": quantile,
    "tail_mean": tail_mean,
}


def recompute(node: Mapping[str, Any], check: Callable[[Mapping[str, Any], float], None] | None = None) -> float:
    """The value of a printed node from its expression, its figures and its children; `check` sees every node."""
    behind: dict[str, list[float]] = {}
    for child in node["children"]:
        behind.setdefault(child["name"], []).append(recompute(child, check))
    figures = {name: _figure(value, behind.get(name)) for name, value in node["figures"].items()}
    found = number(evaluate(parse(node["expression"]), figures))
    if check is not None:
        check(node, found)
    return found


def _figure(printed: Value, behind: list[float] | None) -> Value:
    if isinstance(printed, list):
        if printed and isinstance(printed[0], list):
            return [[math.inf if upto in {None, "inf"} else upto, rate] for upto, rate in printed]
        return behind if behind is not None and len(behind) == len(printed) else printed
    if behind is not None:
        return sum(behind)
    return math.nan if printed is None else printed
