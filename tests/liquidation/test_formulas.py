"""Expressions over one pool or leg: scalars, lazy branches, float64 beside fractions."""

from collections.abc import Mapping
from fractions import Fraction
from math import inf, nan

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossmargin.errors import FailureReason, InputError
from crossmargin.liquidation.formulas import Amount, as_fraction, holds, value_of
from crossmargin.margin.expression import Comparison, Name, evaluate, parse_expression
from crossmargin.margin.functions import TierColumn
from crossmargin.margin.model import Tiers

TIERS = Tiers((10.0, 20.0, inf), (0.1, 0.2, 0.5))
NUMBERS = st.integers(-40, 40).map(lambda n: n / 4)
TEXTS = (
    "a + b * c - a / 4",
    "min(a, b, c) - max(a, b) + abs(c)",
    "clip(a, -1, 1) * when(b < c, a, b)",
    "ceil(a, 0.5) + floor(b, 0.25)",
    "marginal(t, abs(a)) + step(t, b) + ramp(t, c)",
    "(a + 11) ** 2 - -b",
)


Names = Mapping[str, Amount | Tiers]


def value(text: str, names: Names | None = None, *, exactly: bool = False) -> Amount:
    known = names or {}
    return value_of(parse_expression(text), lambda name: known[name.name], exactly=exactly)


@pytest.mark.parametrize("text", TEXTS)
@given(a=NUMBERS, b=NUMBERS, c=NUMBERS)
def test_it_says_what_the_walker_over_columns_says(text: str, a: float, b: float, c: float) -> None:
    names: dict[str, object] = {"a": a, "b": b, "c": c, "t": TierColumn((TIERS,))}
    columns = evaluate(parse_expression(text), lambda name: names[name.name])
    assert value(text, {"a": a, "b": b, "c": c, "t": TIERS}) == pytest.approx(
        float(np.asarray(columns).item()), abs=1e-12
    )


@pytest.mark.parametrize("text", TEXTS)
@given(a=NUMBERS, b=NUMBERS, c=NUMBERS)
def test_fractions_agree_with_floats(text: str, a: float, b: float, c: float) -> None:
    numbers = {"a": a, "b": b, "c": c}
    fractions = {name: as_fraction(number) for name, number in numbers.items()}
    found = value(text, {"t": TIERS, **fractions}, exactly=True)
    assert isinstance(found, Fraction)
    assert float(found) == pytest.approx(float(value(text, {"t": TIERS, **numbers})), abs=1e-9)


def test_a_literal_is_the_decimal_that_it_is_written_as() -> None:
    assert value("0.1 * 3", exactly=True) == Fraction(3, 10)


def test_the_branch_that_is_not_taken_is_not_computed() -> None:
    assert value("when(a > 0, 1 / a, 7)", {"a": 0.0}) == 7.0


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("1 / a", {"a": 0.0}),
        ("1 / a", {"a": Fraction(0)}),
        ("a ** 0.5", {"a": -1.0}),
        ("log(a)", {"a": 0.0}),
        ("exp(a)", {"a": 1e6}),
        ("floor(1, a)", {"a": 0.0}),
        ("t + 1", {"t": TIERS}),
        ("marginal(a, 1)", {"a": 1.0}),
        ("a - a", {"a": inf}),
        ("largest(a)", {"a": 1.0}),
    ],
)
def test_what_is_no_number_is_refused(text: str, names: Names) -> None:
    with pytest.raises(InputError) as told:
        value(text, names)
    assert told.value.reason is FailureReason.UNDEFINED_RESULT


@pytest.mark.parametrize("text", ["sqrt(a)", "exp(a)", "log(a)", "a ** 0.5", "a ** 1000"])
def test_what_rounds_has_no_exact_value(text: str) -> None:
    with pytest.raises(InputError, match="exact"):
        value(text, {"a": Fraction(4)}, exactly=True)


def test_a_condition_is_asked_once() -> None:
    condition = parse_expression("a >= 1", comparison=True)
    assert isinstance(condition, Comparison)
    assert holds(condition, lambda _: 1.0)
    assert not holds(condition, lambda _: nan)
    assert not holds(condition, lambda _: Fraction(1, 2), exactly=True)


def test_a_name_with_a_variant_reaches_the_lookup_whole() -> None:
    assert value_of(parse_expression("x.initial"), lambda name: 1.0 if name == Name("x", "initial") else 0.0) == 1.0
