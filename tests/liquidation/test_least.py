"""The least place that holds: what halves would find, whatever the slack says; in few turns where it is straight."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossmargin.liquidation.least import least

MOST = 1 << 30


def found(first: int, slack: Callable[[int], float]) -> tuple[int, list[int]]:
    """Return the least place from which on all hold, and the places that each turn asked for."""
    turns: list[int] = []
    known = {0, MOST}

    def look(places: Sequence[int]) -> None:
        turns.append(len(places))
        known.update(places)

    def holds(place: int) -> bool:
        assert place in known, "a place is asked for that nobody was told to look at"
        return place >= first

    return least(0, MOST, holds, slack, look), turns


@given(st.integers(1, MOST), st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=1, max_size=5))
def test_whatever_the_slack_says_the_first_that_holds_is_found(first: int, lies: list[float]) -> None:
    place, turns = found(first, lambda place: lies[place % len(lies)])
    assert place == first
    assert len(turns) <= 30
    assert max(turns, default=0) <= 7


@given(st.integers(1, MOST), st.floats(1e-3, 1e6))
def test_a_straight_slack_needs_two_turns(first: int, slope: float) -> None:
    place, turns = found(first, lambda place: slope * (place - first + 0.5))
    assert place == first
    assert len(turns) <= 2


@given(st.integers(1, MOST), st.integers(0, MOST))
def test_a_slack_with_a_bend_needs_some_more(first: int, bend: int) -> None:
    def slack(place: int) -> float:
        return (place - first + 0.5) * (1.0 if place < bend else 1.3)

    place, turns = found(first, slack)
    assert place == first
    assert len(turns) <= 12


@pytest.mark.parametrize("slack", [nan, inf, -inf, 0.0])
def test_without_a_slack_it_goes_by_halves(slack: float) -> None:
    assert found(12_345_678, lambda _: slack)[0] == 12_345_678
