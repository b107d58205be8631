"""Losses are shared to the last unit, under every rule."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossmargin.clearing.allocation import Allocation, Remainder, pro_rata, queue, water_fill

losses = st.integers(0, 10**12)
weights = st.one_of(st.integers(0, 10**9), st.fractions(0, 1000, max_denominator=97))
payers = st.lists(st.tuples(weights, st.integers(0, 10**11)), max_size=12)
rests = st.sampled_from(["last", "largest"])


@given(losses, payers, rests)
def test_shares_add_up_and_nobody_pays_beyond_his_cap(
    loss: int, payers: list[tuple[int | Fraction, int]], rest: Remainder
) -> None:
    shared = pro_rata(loss, [w for w, _ in payers], [cap for _, cap in payers], remainder=rest)
    assert sum(shared.amounts) + shared.unpaid == loss
    assert all(0 <= paid <= cap for paid, (_, cap) in zip(shared.amounts, payers, strict=True))
    assert all(paid == 0 for paid, (weight, _) in zip(shared.amounts, payers, strict=True) if weight == 0)
    assert sum(shared.amounts) == min(loss, sum(cap for weight, cap in payers if weight > 0))


@given(losses, st.lists(weights, min_size=1, max_size=12), rests)
def test_without_caps_everybody_pays_his_share_within_a_unit_or_the_rest(
    loss: int, weights: list[int | Fraction], rest: Remainder
) -> None:
    shared = pro_rata(loss, weights, remainder=rest)
    total = sum(Fraction(weight) for weight in weights)
    if not total:
        assert shared == Allocation((0,) * len(weights), loss)
        return
    off = [paid - loss * weight / total for paid, weight in zip(shared.amounts, weights, strict=True)]
    if rest == "largest":
        assert all(abs(one) < 1 for one in off)
    else:
        last = max(k for k, weight in enumerate(weights) if weight)
        assert all(-1 < one <= 0 for k, one in enumerate(off) if k != last)
        assert 0 <= off[last] < len(weights)


@given(losses, payers, rests)
def test_who_is_below_his_cap_pays_by_weight(
    loss: int, payers: list[tuple[int | Fraction, int]], rest: Remainder
) -> None:
    shared = pro_rata(loss, [w for w, _ in payers], [cap for _, cap in payers], remainder=rest)
    rates = [
        (paid / Fraction(w), Fraction(len(payers)) / Fraction(w), paid < cap)
        for paid, (w, cap) in zip(shared.amounts, payers, strict=True)
        if w > 0
    ]
    for rate, unit, below in rates:  # nobody pays more by weight than one who still could, but for rounding
        assert all(other <= rate + unit + more for other, more, _ in rates) or not below


@pytest.mark.parametrize(
    ("rest", "amounts"),
    [("last", (3, 3, 4, 0)), ("largest", (4, 3, 3, 0))],
)
def test_who_takes_the_rest(rest: Remainder, amounts: tuple[int, ...]) -> None:
    assert pro_rata(10, [1, 1, 1, 0], remainder=rest) == Allocation(amounts, 0)


def test_a_rest_that_meets_a_cap_goes_to_the_one_before() -> None:
    assert pro_rata(10, [1, 1, 1], [4, 4, 3]) == Allocation((3, 4, 3), 0)
    assert pro_rata(10, [5, 1, 1], [1, 4, 9]) == Allocation((1, 4, 5), 0)


def test_a_queue_is_by_rank_then_by_order() -> None:
    assert queue(10, [1, 3, 3, Fraction(7, 2)], [9, 4, 4, 1]) == Allocation((1, 4, 4, 1), 0)
    assert queue(10, [1], [4]) == Allocation((4,), 6)


positions = st.lists(st.tuples(st.integers(0, 10**9), st.integers(-100, 10**9)), max_size=10)


@given(losses, positions)
def test_water_filling_lowers_the_highest_leverages_to_one_level(total: int, positions: list[tuple[int, int]]) -> None:
    held, equities = [n for n, _ in positions], [e for _, e in positions]
    closed = water_fill(total, held, equities)
    assert sum(closed.amounts) + closed.unpaid == total
    assert sum(closed.amounts) == min(total, sum(n for n, e in positions if e > 0))
    after = [
        (Fraction(n - c, e), Fraction(1, e), c) for c, (n, e) in zip(closed.amounts, positions, strict=True) if e > 0
    ]
    for level, unit, amount in after:
        if amount:  # whoever gave stands at the top, within a unit
            assert all(level >= other - more - unit for other, more, _ in after)


def test_water_filling_by_hand() -> None:
    """Leverages 10, 4, 1: closing 8 brings the first two to (10 + 4 - 8) / 2 = 3."""
    assert water_fill(8, [10, 4, 1], [1, 1, 1]) == Allocation((7, 1, 0), 0)
    assert water_fill(99, [10, 4, 1], [1, 0, 1]) == Allocation((10, 0, 1), 88)
