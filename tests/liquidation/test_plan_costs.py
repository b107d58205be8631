"""What trades cost: convex, never under the chord, books swept level by level."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossmargin.errors import InputError
from crossmargin.liquidation import CostModel, Costs, Impact, Ladder, Terms
from crossmargin.liquidation.plan_costs import Tariff, priced

LINEAR = Terms("USD", Fraction(1), "linear", Fraction(100))
INVERSE = Terms("BTC", Fraction(10), "inverse", Fraction(50_000))
PREMIUM = Terms("USD", Fraction(1), "premium", Fraction(5))
BOOK = Ladder(((99.0, 1.0), (98.0, 2.0)), ((101.0, 1.0), (103.0, 4.0)))


@pytest.mark.parametrize(
    ("contracts", "cost"),
    [(1.0, 1.0), (-1.0, 1.0), (3.0, 1 + 2 * 3), (-3.0, 1 + 2 * 2), (0.0, 0.0), (-4.0, 5 + (100 - 98 * 0.98))],
)
def test_a_book_is_swept_level_by_level_and_2_percent_beyond(contracts: float, cost: float) -> None:
    assert Costs({"X": BOOK}).total("X", LINEAR, contracts) == pytest.approx(cost)


def test_the_fee_is_of_what_is_paid() -> None:
    assert Costs({"X": BOOK}, 0.01).total("X", LINEAR, 1.0) == pytest.approx(1.0 + 1.01)


def test_an_inverse_contract_costs_coins() -> None:
    """10 dollars each, sold 1 % under a mark of 50,000: what is received is 1/0.99 as many coins a contract."""
    cost = Costs({"X": Impact(500.0)}).total("X", INVERSE, -3.0)
    assert cost == pytest.approx(30 / 49_500 - 30 / 50_000)


@given(
    most=st.floats(1e-3, 1e6),
    half=st.floats(0, 1),
    impact=st.floats(0, 5),
    volume=st.floats(1, 1e6),
    side=st.sampled_from([1, -1]),
    terms=st.sampled_from([LINEAR, PREMIUM]),
)
def test_chords_lie_above_and_tangents_below(
    most: float, half: float, impact: float, volume: float, side: int, terms: Terms
) -> None:
    costs = Costs({"X": Impact(half, impact * float(terms.mark) / 100, volume)}, 0.0005)
    amounts = np.linspace(0, 1, 23) * most
    true = costs.totals("X", terms, side * amounts)
    if side < 0 and half + impact * float(terms.mark) / 100 * np.sqrt(most / volume) > 0.9 * float(terms.mark):
        return  # nothing is sold for less than a hundredth of its mark: there the model bends
    for under, sign in ((False, 1), (True, -1)):
        parts = costs.segments("X", terms, side, most, under=under)
        assert np.all(np.diff(parts.each) >= 0)
        said = np.asarray(
            [float(np.clip(q - np.cumsum(parts.width) + parts.width, 0, parts.width) @ parts.each) for q in amounts]
        )
        assert np.all(sign * (said - true) >= -1e-6 * np.maximum(true.max(), 1e-9))


def test_all_ways_at_once_cost_what_each_costs() -> None:
    costs = Costs({"A": Impact(0.1, 2.0, 50.0), "B": BOOK, "C": Impact(100.0, 900.0, 10.0), "D": Impact(0.01)}, 0.001)
    free = Terms("USD", Fraction(1), "premium", Fraction(0))
    ways = [("A", LINEAR, -1), ("B", LINEAR, 1), ("C", INVERSE, 1), ("D", free, 1)]
    trades = np.asarray([[1.0, 2.0, 3.0, 4.0], [0.0, 0.5, 0.0, 1.0]])
    each = np.stack([costs.totals(name, terms, side * trades[:, i]) for i, (name, terms, side) in enumerate(ways)], 1)
    assert Tariff.of(costs, ways).paid(trades) == pytest.approx(each)


def test_all_ways_at_once_have_the_segments_of_each() -> None:
    costs = Costs({"A": Impact(0.1, 2.0, 50.0), "B": BOOK, "C": Impact(100.0, 900.0, 10.0), "D": Impact(0.01)}, 0.001)
    free = Terms("USD", Fraction(1), "premium", Fraction(0))
    ways = [("A", LINEAR, -1), ("B", LINEAR, 1), ("C", INVERSE, 1), ("D", free, 1)]
    most = np.asarray([3.0, 5.0, 70.0, 2.0])
    found = Tariff.of(costs, ways).segments(most)
    for (name, terms, side), limit, together in zip(ways, most.tolist(), found, strict=True):
        alone = costs.segments(name, terms, side, limit)
        np.testing.assert_allclose(together.width, alone.width)
        np.testing.assert_allclose(together.each, alone.each)


@given(contracts=st.floats(0.01, 100), cost=st.floats(0, 50), terms=st.sampled_from([LINEAR, INVERSE, PREMIUM]))
def test_a_price_is_what_costs_so_much(contracts: float, cost: float, terms: Terms) -> None:
    cost = cost * 1e-6 if terms.form == "inverse" else cost
    q = Fraction(contracts)
    paid = terms.money(q, terms.mark) - terms.money(q, priced(terms, q, cost))
    assert float(paid) == pytest.approx(cost, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("wrong", [{"spread": -0.1}, {"fee": float("nan")}, {"volume": 0.0}, {"vol": float("inf")}])
def test_a_cost_model_that_no_market_has_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(InputError):
        CostModel(**wrong)
