"""The expression language: what it refuses, what it computes, and that its text reads back."""

from __future__ import annotations

import ast
import copy
import pickle
import time
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossmargin.margin.expression import (
    NUMPY_FUNCTIONS,
    Binary,
    Call,
    Comparison,
    Expression,
    ExpressionError,
    Means,
    Name,
    Number,
    TierColumn,
    Unary,
    evaluate,
    inactive,
    names,
    parse_expression,
    summands,
    to_text,
)
from crossmargin.margin.model import Formula, Tiers

HOSTILE = [
    "",
    " ",
    "9**9**9",
    "(2**3)**4",
    "2**-(3**4)",
    "9" * 999,
    "1e999",
    "a" * 1001,
    "+".join("a" * 101),
    "-" * 900 + "1",
    "(" * 31 + "a" + ")" * 31,
    "(" * 500,
    "abs(" * 40 + "a" + ")" * 40,
    "__import__('os')",
    "a.__class__",
    "_a",
    "a.b.c",
    "a[0]",
    "'text'",
    "f'{a}'",
    "lambda: 1",
    "a if b else c",
    "[a for a in b]",
    "{a}",
    "a := 1",
    "max(*a, b)",
    "max(a, key=b)",
    "max(a)",
    "max",
    "open(a)",
    "when(a < b < c, 1, 2)",
    "when(a, 1, 2)",
    "a < b",
    "a == b",
    "a and b",
    "not a",
    "True",
    "None",
    "1j",
    "0x10",
    "1if 2else 3",
    "a // b",
    "a % b",
    "a @ b",
    "~a",
    "a, b",
    "a; b",
    "a b",
    "a\nb",
    "ä + 1",
    "\uff41 + 1",
    "a +",
    ")(",
    "#",
    "step(a + b, c)",
    "largest(2 * a)",
    "root(1, a)",
    "a(b)",
    "(a)(b)",
    "a.max(b)",
    "a\x00b",
    "a \\\n + b",
    "...",
    "await a",
    "yield",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_what_is_no_arithmetic_is_refused_at_a_column_and_fast(text: str) -> None:
    start = time.perf_counter()
    with pytest.raises(ExpressionError, match=r"^column \d+: .+"):
        parse_expression(text)
    assert time.perf_counter() - start < 0.1


@settings(max_examples=300)
@given(st.text(max_size=60) | st.text(alphabet="ab.1e()+-*/,<>= _minax", max_size=60))
def test_any_text_parses_or_is_refused_as_an_expression(text: str) -> None:
    try:
        tree = parse_expression(text)
    except ExpressionError:
        return
    assert parse_expression(to_text(tree)) == tree


def test_nothing_that_runs_code_stands_in_the_room() -> None:
    from crossmargin.margin import expression, functions, grammar  # noqa: PLC0415

    for module in (expression, functions, grammar):
        assert module.__file__ is not None
        with open(module.__file__, encoding="utf-8") as source:  # noqa: PTH123
            tree = ast.parse(source.read())
        called = {
            node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        }
        assert not called & {"eval", "exec", "compile", "__import__", "getattr"}


leaves = st.builds(Number, st.floats(0, 1e6, allow_nan=False)) | st.builds(
    Name, st.sampled_from(["a", "b", "c"]), st.sampled_from([None, "initial"])
)


def _grow(inner: st.SearchStrategy[Expression]) -> st.SearchStrategy[Expression]:
    pair = st.lists(inner, min_size=2, max_size=3).map(tuple)
    return st.one_of(
        st.builds(Unary, inner),
        st.builds(Binary, st.sampled_from("+-*/"), inner, inner),
        st.builds(Call, st.sampled_from(["min", "max"]), pair),
    )


arithmetic: st.SearchStrategy[Expression] = st.recursive(leaves, _grow, max_leaves=15)
powers = st.builds(Binary, st.just("**"), arithmetic, arithmetic)
branches = st.builds(
    lambda left, right, a, b: Call("when", (Comparison("<=", left, right), a, b)),
    powers,
    arithmetic,
    arithmetic,
    leaves,
)


@given(arithmetic | powers | branches)
def test_canonical_text_reads_back_as_the_same_tree(tree: Expression) -> None:
    assert parse_expression(to_text(tree)) == tree


def test_canonical_text_has_no_parenthesis_too_many() -> None:
    text = "-a * (b + c) - (d - e) / f ** -g + max(1, 0.5 * h.initial)"
    assert to_text(parse_expression(f"( {text} )")) == text


def _twin(node: ast.expr, values: dict[str, Fraction]) -> Fraction:  # noqa: PLR0911 - one return per form
    """A slow and obvious second opinion, on Python's own tree."""
    match node:
        case ast.Constant(value=value):
            assert isinstance(value, int | float)
            return Fraction(value)
        case ast.Name(id=name) | ast.Attribute(value=ast.Name(id=name)):
            return values[name]
        case ast.UnaryOp(operand=operand):
            return -_twin(operand, values)
        case ast.BinOp(left=left, op=op, right=right):
            x, y = _twin(left, values), _twin(right, values)
            match op:
                case ast.Add():
                    return x + y
                case ast.Sub():
                    return x - y
                case ast.Mult():
                    return x * y
            return x / y
        case ast.Call(func=ast.Name(id=function), args=args):
            parts = [_twin(part, values) for part in args]
            return min(parts) if function == "min" else max(parts)
    raise AssertionError(node)


@given(arithmetic, st.tuples(*[st.integers(-50, 50)] * 3))
def test_evaluation_agrees_with_exact_arithmetic(tree: Expression, drawn: tuple[int, int, int]) -> None:
    values = dict(zip("abc", map(Fraction, drawn), strict=True))
    try:
        expected = _twin(ast.parse(to_text(tree), mode="eval").body, values)
    except ZeroDivisionError:
        return
    functions: dict[str, Any] = {"min": min, "max": max}
    assert evaluate(tree, lambda name: values[name.name], functions, number=Fraction) == expected


def test_evaluation_broadcasts_columns_and_keeps_division_by_zero_visible() -> None:
    columns: dict[str, Any] = {"a": np.array([1.0, -2.0, 0.0]), "b": np.array([[2.0], [0.0]]), "c": 3.0}
    tree = parse_expression("when(a > 0, a / b, -a) + max(a, b, 1) * c ** 2")
    with np.errstate(divide="ignore", invalid="ignore"):
        found = evaluate(tree, lambda name: columns[name.name])
        assert evaluate(parse_expression("1 / 0"), lambda name: name) == np.inf
    assert found.tolist() == [[18.5, 20.0, 18.0], [np.inf, 11.0, 9.0]]


def test_plain_floats_overflow_to_infinity_and_do_not_raise() -> None:
    with np.errstate(over="ignore"):
        assert evaluate(parse_expression("a ** a"), lambda _: 1e300) == np.inf


def test_aggregations_are_the_callers() -> None:
    calls: list[tuple[Any, ...]] = []

    def aggregate(*given: Any) -> float:  # noqa: ANN401 - whatever the walker hands over
        calls.append(given)
        return 2.0

    tree = parse_expression("largest(delta) + root(loss, 0.5)")
    assert evaluate(tree, lambda _: 1.0, aggregate=aggregate) == 4.0
    assert calls == [("largest", Name("delta")), ("root", Name("loss"), 0.5)]
    with pytest.raises(ExpressionError, match="largest"):
        evaluate(tree, lambda _: 1.0)


def test_a_formula_computes_wherever_it_travels() -> None:
    tree = parse_expression("when(a > 1, -a / 2, max(a, 3, 4)) ** 2")
    formula = Formula("text", tree)
    for one in (formula, pickle.loads(pickle.dumps(formula)), copy.deepcopy(formula)):  # noqa: S301 - made here
        assert one == formula
        assert one.reads == {Name("a")}
        assert [one.value(Means(value)) for value in (lambda _: 0.5, lambda _: 3.0)] == [16.0, 2.25]


def test_names_and_summands() -> None:
    tree = parse_expression("a.initial + b - (c - 2 * a) - -d")
    assert names(tree) == {Name("a", "initial"), Name("a"), Name("b"), Name("c"), Name("d")}
    assert [to_text(part) for part in summands(tree)] == ["a.initial", "b", "-c", "2 * a", "d"]


def test_branches_that_do_not_decide_are_named_once() -> None:
    values = {"a": 1.0, "b": 2.0, "c": 2.0, "d": 5.0}
    tree = parse_expression("max(a + min(a, d), b, c) + when(a < b, c, max(a, d))")

    def value(node: Expression) -> float:
        return float(evaluate(node, lambda name: values[name.name]))

    assert inactive(tree, value) == ["d", "max(a, d)"]


def test_a_trigger_is_one_comparison() -> None:
    tree = parse_expression("adjusted_equity < 0.9 * maintenance", comparison=True)
    assert to_text(tree) == "adjusted_equity < 0.9 * maintenance"
    with pytest.raises(ExpressionError, match="one comparison"):
        parse_expression("a + b", comparison=True)


# --- tier tables and functions

BRACKETS = Tiers((50e3, 250e3, 1e6, np.inf), (0.004, 0.005, 0.01, 0.025))
FLAT = Tiers((np.inf,), (0.1,))


@given(st.floats(0, 1e9))
def test_marginal_is_notional_times_rate_less_the_venues_deduction(notional: float) -> None:
    deduction, lower, rate = 0.0, 0.0, BRACKETS.rate[0]
    for bound, following in zip(BRACKETS.upto, BRACKETS.rate[1:], strict=False):
        if notional <= bound:
            break
        deduction += bound * (following - rate)
        lower, rate = bound, following
    assert lower <= notional
    found = NUMPY_FUNCTIONS["marginal"](TierColumn((BRACKETS,)), notional)
    assert found == pytest.approx(notional * rate - deduction, rel=1e-12, abs=1e-9)


def test_tables_by_row_agree_with_each_table_alone() -> None:
    x = np.array([-5.0, 0.0, 50e3, 50e3 + 1e-6, 2e6, np.nan])
    which = np.array([0, 1, 0, 0, 1, 0])
    for function in ("marginal", "step", "ramp"):
        call = NUMPY_FUNCTIONS[function]
        found = call(TierColumn((BRACKETS, FLAT), which), x)
        alone = [call(TierColumn(((BRACKETS, FLAT)[w],)), v) for w, v in zip(which, x, strict=True)]
        np.testing.assert_array_equal(found, np.array(alone, dtype=float))
        assert np.isnan(found[-1])


def test_a_bound_belongs_to_the_tier_below_it() -> None:
    column = TierColumn((BRACKETS,))
    assert NUMPY_FUNCTIONS["step"](column, [0, 50e3, 50e3 + 1e-6, 1e12]).tolist() == [0.004, 0.004, 0.005, 0.025]
    assert NUMPY_FUNCTIONS["marginal"](column, -1.0) == 0.0


def test_a_ramp_is_linear_between_its_points_and_flat_outside() -> None:
    column = TierColumn((Tiers((0.0, 10.0, 20.0, np.inf), (1.0, 3.0, 2.0, 2.0)),))
    found = NUMPY_FUNCTIONS["ramp"](column, [-5, 0, 5, 10, 15, 20, 99, np.inf])
    assert found.tolist() == [1, 1, 2, 3, 2.5, 2, 2, 2]


def test_rounding_ignores_errors_of_the_division() -> None:
    ceil, floor = NUMPY_FUNCTIONS["ceil"], NUMPY_FUNCTIONS["floor"]
    assert ceil([1.1, 1.11, -1.11], 0.1) == pytest.approx([1.1, 1.2, -1.1])
    assert floor([824.9999999999998, 824.9, 0.3], [1, 1, 0.1]) == pytest.approx([825, 824, 0.3])


def test_lognormal_tails_are_the_published_formulas() -> None:
    # midpoints of the quantile function: the mean beyond a quantile, by brute force
    normal = pytest.importorskip("statistics").NormalDist()
    share, mean, deviation = 0.01, -0.02, 0.3
    steps = (np.arange(20_000) + 0.5) / 20_000 * share
    low = np.mean([np.exp(mean + deviation * normal.inv_cdf(p)) for p in steps])
    high = np.mean([np.exp(mean - deviation * normal.inv_cdf(p)) for p in steps])
    assert NUMPY_FUNCTIONS["lognormal_es_down"](share, mean, deviation) == pytest.approx(low, rel=1e-4)
    assert NUMPY_FUNCTIONS["lognormal_es_up"](share, mean, deviation) == pytest.approx(high, rel=1e-4)
    quantile = np.exp(mean + deviation * normal.inv_cdf(share))
    assert NUMPY_FUNCTIONS["lognormal_quantile"](share, mean, deviation) == pytest.approx(quantile, rel=1e-12)
