"""The rule of a trade: what closes is realised, the rest joins."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossmargin.margin.trade import Holding, Terms, trade

LINEAR, INVERSE, OPTION = Terms(False, False, 0.5), Terms(False, True, 10.0), Terms(True, False, 1.0)  # noqa: FBT003
_LEG = st.integers(-50, 50).map(lambda n: n / 4)
_PRICE = st.integers(1, 400).map(lambda n: n / 4)


def worth(terms: Terms, held: Holding, price: float) -> float:
    """What closing all of a leg would pay, with its funding."""
    if terms.option:
        return held.quantity * terms.multiplier * price + held.accrued
    one = 1 / price if terms.inverse else price
    gain = (held.quantity * one - held.cost) * terms.multiplier * (-1 if terms.inverse else 1)
    return gain + held.accrued


@given(
    terms=st.sampled_from((LINEAR, INVERSE, OPTION)),
    quantity=_LEG,
    entry=_PRICE,
    accrued=_LEG,
    amount=_LEG.filter(bool),
    price=_PRICE,
)
def test_a_trade_at_a_price_is_worth_nothing_at_that_price(
    terms: Terms, quantity: float, entry: float, accrued: float, amount: float, price: float
) -> None:
    cost = 0.0 if terms.option else quantity / entry if terms.inverse else quantity * entry
    held = Holding(quantity, cost, accrued)
    before = worth(terms, held, price)
    paid = sum(trade(terms, held, held, amount, price))
    assert held.quantity == quantity + amount
    assert paid + worth(terms, held, price) == pytest.approx(before, rel=1e-12, abs=1e-9)


@given(
    terms=st.sampled_from((LINEAR, INVERSE, OPTION)),
    tenths=st.lists(st.integers(1, 10**6), min_size=1, max_size=6),  # so many sums are within the rounding allowed
    side=st.sampled_from((1, -1)),
    apart=st.booleans(),
)
def test_what_closes_a_position_to_within_rounding_closes_it_whole(
    terms: Terms, tenths: list[int], side: int, apart: bool
) -> None:
    held = Holding(0.0, 0.0, 0.5)
    for n in tenths:
        trade(terms, Holding(0.0, 0.0, 0.0) if apart else held, held, side * n / 10, 4.0)
    opened = Holding(0.0, 0.0, 0.0)
    if terms.option:
        held.cost = 7.0  # stated
    funding, _ = trade(terms, held, opened if apart else held, -side * sum(tenths) / 10, 5.0)
    assert funding == 0.5
    assert held == opened == Holding(0.0, 0.0, 0.0)


def test_what_is_left_beyond_rounding_stays() -> None:
    for amount, left in ((-3.0 - 2.0**-47, -(2.0**-47)), (-3.0 + 2.0**-47, 2.0**-47)):
        held = Holding(3.0, 30.0, 0.0)
        trade(LINEAR, held, held, amount, 10.0)
        assert held.quantity == left


def test_a_part_of_an_option_that_closes_opens_nothing_on_the_other_side() -> None:
    short, long = Holding(-0.3, 0.0, 0.0), Holding(0.0, 0.0, 0.0)  # -0.3 + 0.1 is rounded
    trade(OPTION, short, long, 0.1, 4.0)
    assert (short.quantity, long) == (-0.3 + 0.1, Holding(0.0, 0.0, 0.0))


def test_sides_kept_apart_close_the_opposite_first() -> None:
    short, long = Holding(-2.0, -20.0, 1.0), Holding(1.0, 11.0, 0.0)
    funding, gained = trade(LINEAR, short, long, 3.0, 12.0)
    assert (short.quantity, short.cost, short.accrued) == (0.0, 0.0, 0.0)
    assert (long.quantity, long.cost) == (2.0, 23.0)
    assert (funding, gained) == (1.0, -2.0)  # short at 10, closed at 12, half a unit each


def test_an_option_bought_keeps_the_cost_only_of_what_states_one() -> None:
    stated, silent = Holding(1.0, 5.0, 0.0), Holding(1.0, 0.0, 0.0)
    assert trade(OPTION, stated, stated, 1.0, 7.0) == trade(OPTION, silent, silent, 1.0, 7.0) == (0.0, -7.0)
    assert (stated.cost, silent.cost) == (12.0, 0.0)
