"""Derivatives off the tape against central differences, function by function and through whole rulebooks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from crossmargin.account import Account, Book
from crossmargin.margin import Resolved, Rulebook, resolve
from crossmargin.margin.evaluation import Evaluation
from crossmargin.margin.functions import TierColumn
from crossmargin.margin.model import Tiers
from crossmargin.margin.tape import TRACED_FUNCTIONS, Traced, gradient, gradients, plain, scatter, segment_sum, take
from tests.margin.rules import made
from tests.strategies.books import LATEST, SPECS, market, option, position, random_accounts, rules

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

F = TRACED_FUNCTIONS
REFERENCE = next(spec for spec in LATEST if spec.startswith("reference@"))
TIERS = TierColumn(
    (Tiers((1.0, 3.0, np.inf), (0.1, 0.4, 0.2)), Tiers((2.0, np.inf), (0.3, 0.5))), np.asarray([0, 1, 0])
)
POINTS = TierColumn((Tiers((0.5, 2.0, np.inf), (0.1, 0.7, 0.7)),))
X = np.asarray([0.7, 1.6, 4.2])
Y = np.asarray([1.3, 0.4, 2.5])

FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "add": lambda x: x + Y + 1.0 + x,
    "radd": lambda x: 2.0 + x,
    "subtract": lambda x: x - Y * x,
    "rsubtract": lambda x: Y - x,
    "multiply": lambda x: x * Y * x,
    "rmultiply": lambda x: 3.0 * x,
    "divide": lambda x: x / (Y + x),
    "rdivide": lambda x: Y / x,
    "power": lambda x: x**2.5,
    "variable power": lambda x: x**x,
    "rpower": lambda x: Y**x,
    "negative": lambda x: -x * x,
    "min": lambda x: F["min"](x, Y, 2.0),
    "max": lambda x: F["max"](Y, x, 1.0),
    "max of two traced": lambda x: F["max"](x * x, 2.0 * x + 0.1),
    "abs": lambda x: F["abs"](x - 1.0),
    "sqrt": F["sqrt"],
    "exp": F["exp"],
    "log": F["log"],
    "clip": lambda x: F["clip"](x, 1.0, 2.0),
    "clip between traced": lambda x: F["clip"](x, 0.5 * x, 0.9 * x),
    "when": lambda x: F["when"](F["greater"](x, 1.0), x * x, 3.0 * x),
    "when of a number": lambda x: F["when"](F["less_equal"](x, 1.0), 5.0, x),
    "marginal": lambda x: F["marginal"](TIERS, x),
    "step": lambda x: F["step"](TIERS, x) * x,
    "ramp": lambda x: F["ramp"](POINTS, x),
    "take": lambda x: take(x, np.asarray([2, 0, 0])) * Y,
    "segment sum": lambda x: segment_sum(x * x, np.asarray([1, 0, 1]), 2) * np.asarray([2.0, 3.0]),
    "scatter": lambda x: scatter(x, np.asarray([4, 0, 2]), 5) * np.arange(5.0),
    "a sum that is spread": lambda x: take(segment_sum(x, np.zeros(3, dtype=np.int64), 1), np.zeros(3, np.int64)) * x,
    "one column many ways": lambda x: F["exp"](-x) * x / F["sqrt"](x * x + 1.0) - F["log"](x) ** 2.0,
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_derivative_of_every_function(name: str) -> None:
    function = FUNCTIONS[name]
    traced = Traced(X)
    out = function(traced)
    np.testing.assert_array_equal(plain(out), plain(function(X)))  # tracing changes no figure
    step = 1e-6
    wanted = [
        (plain(function(X + step * row)).sum() - plain(function(X - step * row)).sum()) / (2 * step)
        for row in np.eye(3)
    ]
    np.testing.assert_allclose(gradient(out, traced), wanted, rtol=1e-6, atol=1e-8)


def test_every_function_of_the_language_is_here() -> None:
    missing = {"floor", "ceil", "less", "greater_equal", "equal", "not_equal"}
    missing |= {"lognormal_es_up", "lognormal_es_down", "lognormal_quantile"}
    for name in set(TRACED_FUNCTIONS) - missing:
        assert any(name in key or name in {"less_equal", "greater"} for key in FUNCTIONS), name


def test_a_rounded_line_follows_its_argument_on_average() -> None:
    for name in ("ceil", "floor"):
        x = Traced(X)
        np.testing.assert_array_equal(gradient(F[name](x, 0.5), x), np.ones(3))


@pytest.mark.parametrize("name", ["min", "max"])
def test_ties_are_shared_evenly(name: str) -> None:
    x, y = Traced(np.asarray([1.0, 2.0])), Traced(np.asarray([1.0, 5.0]))
    out = F[name](x, y)
    picked = {"min": ([0.5, 1.0], [0.5, 0.0]), "max": ([0.5, 0.0], [0.5, 1.0])}[name]
    np.testing.assert_array_equal(gradient(out, x), picked[0])
    np.testing.assert_array_equal(gradient(out, y), picked[1])
    np.testing.assert_allclose(gradient(F[name](x, 1.0, y), x), [1 / 3, 0.0])


def test_a_column_that_is_not_behind_the_result_has_no_weight() -> None:
    x, y = Traced(X), Traced(Y)
    np.testing.assert_array_equal(gradient(x * 2.0, y), np.zeros(3))
    np.testing.assert_array_equal(gradient(x, x), np.ones(3))


def test_a_deep_tree_needs_no_deep_stack() -> None:
    x = Traced(X)
    out = x
    for _ in range(5_000):
        out = out + x * 1e-3
    np.testing.assert_allclose(gradient(out, x), np.full(3, 6.0))


# --- through the engine


def resolved_one(account: Account, rulebook: Rulebook) -> Resolved:
    resolved = resolve(Book.from_accounts([account]), market(), rulebook)
    assert not resolved.failures
    return resolved


def check_gradient(resolved: Resolved, rulebook: Rulebook, requirement: str) -> tuple[int, int]:
    """Compare with differences; how many legs, and at how many of them the two sides of a kink differ."""
    held = resolved.legs.quantity
    traced = Traced(held)
    out = Evaluation(resolved, rulebook, traced, TRACED_FUNCTIONS).requirement(requirement)
    value = Evaluation(resolved, rulebook).requirement(requirement)
    np.testing.assert_allclose(plain(out), value, rtol=1e-13, atol=1e-9)
    slopes = gradient(out, traced) if isinstance(out, Traced) else np.zeros_like(held)
    sides, noise = _one_sided(resolved, rulebook, requirement)
    kinks = 0
    for leg in np.flatnonzero(held).tolist():
        low, high = sorted(sides[:, leg].tolist())
        scale = max(abs(low), abs(high))
        slack = 1e-4 * scale + noise[leg]
        if high - low > slack:
            kinks += 1  # the derivative is that of one side, or between the two where branches tie
            assert low - 10 * slack <= slopes[leg] <= high + 10 * slack
        else:
            assert slopes[leg] == pytest.approx((low + high) / 2, rel=0, abs=slack)
    return int(np.count_nonzero(held)), kinks


# what rulebooks that round each position may step by
ROUNDED = {"dydx-v4": 5e-6, "vega": 1e-5}


def _one_sided(resolved: Resolved, rulebook: Rulebook, requirement: str) -> tuple[Floats, Floats]:
    """Differences quotients up and down for every leg [2, legs], and what rounding may add to them."""
    held = resolved.legs.quantity
    count = held.shape[0]
    worth = float(np.abs(held * Evaluation(resolved, rulebook).measures["index"]).sum()) + 1.0
    steps = np.where(held != 0, 1e-5 * np.abs(held), 1.0)
    moved = np.tile(held, (2 * count + 1, 1))
    moved[1 : count + 1] += np.diag(steps)
    moved[count + 1 :] -= np.diag(steps)
    many = Evaluation(resolved.tile(2 * count + 1), rulebook, moved.ravel())
    total = np.asarray(many.requirement(requirement)).reshape(2 * count + 1, -1).sum(axis=1)
    up, down = total[1 : count + 1] - total[0], total[0] - total[count + 1 :]
    return np.stack([up / steps, down / steps]), (1e-14 * worth + ROUNDED.get(rulebook.name, 0.0)) / steps


@pytest.mark.parametrize("spec", SPECS)
def test_requirements_have_the_derivative_that_differences_show(spec: str) -> None:
    legs = kinks = 0
    for account in random_accounts(spec, 40, 6):
        resolved = resolved_one(account, rules(spec))
        for requirement in ("initial", "maintenance"):
            found = check_gradient(resolved, rules(spec), requirement)
            legs, kinks = legs + found[0], kinks + found[1]
    assert legs > 10
    assert kinks <= 0.25 * legs


_SCAN = """
[shocks]
vol.up = "iv * (1 + lift)"
lift = 0.4
[scenarios]
moves = [
  { spot = [-0.3, -0.1, 0.1, 0.2], vol = ["up", "same"] },
  { spot = [-0.5, 2], weight = [0.3, 0.2], fold.expiry = { gain = -0.5, loss = 1 } },
]
[charges.charge]
kind = "scan"
level = "bucket"
scenarios = "moves"
of = ["option", "perpetual", "future"]
close_out.expiry = { gain = 0.9, loss = 1.2 }
fold.bucket = { gain = 0.5, loss = 1, gain_cap = "cap / numeraire", deductible = "free / numeraire" }
fold.expiry = { gain = 0.9, loss = 1.1 }
cap = 1000
free = 2000
unit = { cap = "USD", free = "USD" }
"""
_KINDS = {
    "scan": _SCAN,
    "expected_shortfall": _SCAN + 'measure = "expected_shortfall"\nconfidence = 0.8\n',
    "value_at_risk": _SCAN + 'measure = "value_at_risk"\nconfidence = 0.8\n',
    "mean": _SCAN + 'measure = "mean"\n',
    "max_loss": '[charges.charge]\nkind = "max_loss"\nlevel = "expiry"\nof = "option"\n',
    "pairing": """
[charges.charge]
kind = "pairing"
level = "account"
of = ["perpetual", "future", "option"]
between = "asset"
exposure = "delta_value"
pairs = [
  { of = ["USDT", "USDC"], rate = [[1e5, 0.01], ["inf", 0.05]] },
  { of = ["USDC", "BTC"], rate = 0.03, ratio = 2 },
]
""",
    "largest and root": """
[charges.each]
of = ["perpetual", "future", "option"]
level = "bucket"
is = "rate * abs(delta_value)"
rate = 0.1
[charges.charge]
level = "account"
is = "largest(each) + root(each, rho)"
rho = 0.3
""",
}


@pytest.mark.parametrize("kind", _KINDS)
def test_kinds_have_the_derivative_that_differences_show(kind: str) -> None:
    rulebook = made(_KINDS[kind])
    legs = kinks = 0
    for account in random_accounts(REFERENCE, 41, 12, orders=False):
        options = [position(option("BTC", "USDC", 50, k, call=k > 5e4), q) for k, q in ((48e3, -2), (75e3, 1.5))]
        known = {held.instrument for held in account.positions}
        more = tuple(held for held in options if held.instrument not in known)
        whole = Account(id="a", positions=account.positions + more, balances=account.balances)
        found = check_gradient(resolved_one(whole, rulebook), rulebook, "initial")
        legs, kinks = legs + found[0], kinks + found[1]
    assert legs > 30
    assert kinks <= 0.1 * legs


def test_one_pass_gives_what_many_give() -> None:
    """A column between others, one at the end of them, one that has no part."""
    x, y, apart = Traced(X), Traced(Y), Traced(X)
    between = F["max"](x * y, x)
    out = between * x + F["exp"](y)
    for found, source in zip(gradients(out, [between, x, y, apart]), (between, x, y, apart), strict=True):
        np.testing.assert_array_equal(found, gradient(out, source))
    step = 1e-6
    moved = [F["max"]((X + step * way) * Y, X + step * way) * (X + step * way) for way in (1, -1)]
    np.testing.assert_allclose(gradients(out, [between, x])[1], (moved[0] - moved[1]) / (2 * step), rtol=1e-6)
