"""Baskets against hand figures, brute force over all orders, and the engine's own what-if."""

from __future__ import annotations

from decimal import Decimal
from itertools import permutations
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossmargin.account import Position
from crossmargin.analysis import Changes, what_if
from crossmargin.analysis.basket import MOST_LEGS, basket
from crossmargin.analysis.basket import _best_order as order_that_needs_least
from crossmargin.errors import FailureReason, InputError
from crossmargin.margin import Rulebook, assess
from tests.analysis.desk import account, rules, snapshot

if TYPE_CHECKING:
    import numpy.typing as npt

    from crossmargin.analysis.trades import Leg

RULES = rules("scan + payoff + stepped")
HEDGE: tuple[Leg, ...] = (
    ("BTC-PERP", Decimal(2), None),
    ("BTC-FUT", Decimal(-2), None),
    ("ETH-PERP", Decimal(-10), None),
    ("ETH-FUT", Decimal(10), None),
)


def required(legs: tuple[Leg, ...], rulebook: Rulebook = RULES) -> float:
    held = what_if(account({}), snapshot(), rulebook, Changes(add=legs)) if legs else None
    return held.after.initial_margin if held else 0.0


def test_a_hedge_requires_less_as_one_than_on_the_way() -> None:
    found = basket(account({}), snapshot(), RULES, HEDGE)
    # each outright of 100,000 loses 10 % and one of 20,000 loses 10 %; the stepped future adds 3 % and 1 %
    assert found.initial_before == 0.0
    assert found.initial_after == pytest.approx(100_000 * 0.03 + 20_000 * 0.01)
    # as listed: BTC-PERP alone requires 10,000; then both 3,000; then 5,000
    assert [step.initial_margin for step in found.as_given] == pytest.approx([10_000, 3_000, 5_000, 3_200])
    assert found.given_peak == pytest.approx(10_000)
    # best begins and ends with what requires least; no order avoids one BTC leg alone
    assert found.best_peak == pytest.approx(10_000)
    assert found.worst_peak == pytest.approx(15_200)
    assert found.best[-1].initial_margin == pytest.approx(found.initial_after)


def test_figures_are_those_of_the_account_that_holds_all_legs() -> None:
    found = basket(account({}), snapshot(), RULES, HEDGE, fee_rate=0.001)
    whole = what_if(account({}), snapshot(), RULES, Changes(add=HEDGE, fee_rate=0.001))
    assert found.initial_after == whole.after.initial_margin
    assert found.maintenance_after == whole.after.maintenance_margin
    assert found.available_after == whole.after.available_margin
    assert found.fees == whole.fees
    assert [leg.alone for leg in found.legs] == [leg.initial_margin for leg in whole.marginal]


legs = st.lists(
    st.tuples(
        st.sampled_from(["BTC-PERP", "BTC-FUT", "ETH-PERP", "ETH-FUT", "BTC-0.8-P", "BTC-1.0-C", "ETH-1.0-P"]),
        st.integers(-5, 5).filter(bool).map(Decimal),
        st.none(),
    ),
    min_size=1,
    max_size=4,
    unique_by=lambda leg: leg[0],
)


@given(legs)
@settings(max_examples=25, deadline=None)
def test_the_best_order_is_that_of_trying_every_one(wanted: list[Leg]) -> None:
    found = basket(account({"ETH-PERP": "3"}), snapshot(), RULES, wanted)
    states: dict[frozenset[Leg], float] = {}

    def at(held: tuple[Leg, ...]) -> float:
        key = frozenset(held)
        if key not in states:
            desk = account({"ETH-PERP": "3"})
            states[key] = what_if(desk, snapshot(), RULES, Changes(add=held)).after.initial_margin
        return states[key]

    def interim(order: tuple[Leg, ...]) -> list[float]:
        return [at(order[:i]) for i in range(1, len(order))] or [0.0]

    orders = list(permutations(wanted))
    tolerance = 1e-9 * (1 + max(max(interim(order)) for order in orders))
    lowest = min(max(interim(order)) for order in orders)
    assert found.best_peak == pytest.approx(lowest, abs=tolerance)
    among = [sum(interim(order)) for order in orders if max(interim(order)) <= lowest + tolerance]
    mine = sum(step.initial_margin or 0.0 for step in found.best[:-1])
    assert mine == pytest.approx(min(among), abs=10 * tolerance)
    assert found.worst_peak == pytest.approx(max(max(interim(order)) for order in orders), abs=tolerance)
    assert found.given_peak == pytest.approx(max(interim(tuple(wanted))), abs=tolerance)
    shares = [leg.share or 0.0 for leg in found.legs]
    assert sum(shares) == pytest.approx(found.initial_after - found.initial_before, abs=tolerance)


def test_two_equal_legs_share_equally() -> None:
    twice = (("BTC-PERP", Decimal(1), None), ("BTC-PERP", Decimal(1), None))
    found = basket(account({}), snapshot(), RULES, twice)
    assert found.legs[0].share == pytest.approx(found.legs[1].share or 0.0)
    assert found.initial_after == assess(account({"BTC-PERP": "2"}), snapshot(), RULES).initial_margin


@pytest.mark.parametrize("count", [0, MOST_LEGS + 1])
def test_no_leg_or_too_many_are_refused(count: int) -> None:
    with pytest.raises(InputError, match="a basket holds 1 to 10 legs") as found:
        basket(account({}), snapshot(), RULES, HEDGE[:1] * count)
    assert found.value.reason == FailureReason.INVALID_QUANTITY


def test_an_instrument_that_is_not_covered_is_refused_by_name() -> None:
    narrow = msgspec.structs.replace(account({}), id="narrow")
    with pytest.raises(InputError) as found:
        basket(narrow, snapshot(), RULES, [("NO-SUCH", Decimal(1), None)])
    assert found.value.instrument == "NO-SUCH"
    broken = msgspec.structs.replace(narrow, positions=(Position(instrument="NO-SUCH", quantity=Decimal(1)),))
    with pytest.raises(InputError) as found:
        basket(broken, snapshot(), RULES, HEDGE)
    assert found.value.account == "narrow"


def test_a_lower_peak_on_the_way_does_not_cost_the_lowest_sum() -> None:
    # 0, 1, 2 passes through 5, 5 and 0; 1, 2, 0 through 8, 1 and 0; both then through 10, so the sum decides: 20 or 19
    held = {0b1: 5.0, 0b11: 5.0, 0b10: 8.0, 0b110: 1.0, 0b111: 0.0, 0b1111: 10.0}
    initial = np.asarray([held.get(mask, 30.0) for mask in range(32)])
    assert order_that_needs_least(initial, 5) == (1, 2, 0, 3, 4)
    rng = np.random.default_rng(5)
    for _ in range(200):
        count = int(rng.integers(1, 6))
        some = rng.integers(0, 9, 1 << count).astype(np.float64)

        def cost(order: tuple[int, ...], some: npt.NDArray[np.float64] = some) -> tuple[float, float]:
            between = [float(some[sum(1 << bit for bit in order[:i])]) for i in range(1, len(order))]
            return max(between, default=0.0), sum(between)

        assert cost(order_that_needs_least(some, count)) == min(map(cost, permutations(range(count))))


def test_an_account_that_is_none_is_refused_before_it_trades() -> None:
    wrong = msgspec.structs.replace(
        account({}), positions=(Position(instrument="BTC-PERP", quantity=Decimal("NaN"), entry_price=Decimal(1)),)
    )
    with pytest.raises(InputError) as found:
        basket(wrong, snapshot(), RULES, HEDGE)
    assert found.value.reason == FailureReason.INVALID_QUANTITY
    with pytest.raises(InputError) as found:
        what_if(wrong, snapshot(), RULES, Changes(add=HEDGE))
    assert found.value.reason == FailureReason.INVALID_QUANTITY
