"""What is kept of an owner's last holdings does not show: what is brought up is what is made anew, bit by bit."""

from __future__ import annotations

from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossmargin import load_rulebook
from crossmargin.clearing.ledger import after_rows
from crossmargin.clearing.live_bridge import LiveAssess, calendar_of, moment_of
from crossmargin.clearing.pool_engine import laid_out, lay
from crossmargin.clearing.pool_legs import changed_balances, pools_of
from tests.clearing.test_live_bridge import Market, at_time, fresh, middling

if TYPE_CHECKING:
    from crossmargin.clearing import Rules, State
    from crossmargin.clearing.ledger import Holdings
    from crossmargin.clearing.pool_engine import PoolColumns

BALANCES = [
    ("wallet", "USDC"), ("wallet", "BTC"), ("due", "borrow:USDC"), ("due", "lend:BTC"), ("due", "BTC-PERP"),
    *(("held", name) for name in ("BTC-PERP", "BTC-USD", "ETH-QUANTO", "BTC-MAR", "BTC-USD-MAR", "BTC-MAR-60000-C")),
    ("basis:BTC-PERP", "USDC"), ("basis:BTC-MAR", "USDC"), ("basis:BTC-USD", "BTC"), ("reserved", "BTC-PERP@600000"),
    ("reserved", "BTC-PERP@59000"), ("reserved", "BTC-MAR@610000"), ("reserved", "BTC-USD@1"),
]  # fmt: skip
AMOUNTS = st.sampled_from([0, 0, 1, -1, 7, -450, 10**9, -(10**11)])
CHANGES = st.lists(st.tuples(st.sampled_from(BALANCES), AMOUNTS), max_size=5)
NUMBERS = st.sampled_from([0.0, 1.5, -2.0])
LEGS = st.one_of(
    st.none(), NUMBERS.map(lambda one: [one]), *(st.lists(NUMBERS, min_size=n, max_size=n) for n in (3, 9))
)


@given(st.lists(st.tuples(st.integers(0, 14), LEGS), max_size=30), st.sampled_from([9, 1 << 17]))
def test_a_leg_that_is_written_into_columns_leaves_those_of_all_legs(
    changes: list[tuple[int, list[float] | None]], rows: int
) -> None:
    legs: dict[int, list[float]] = {4: [1.0], 7: [2.0, 0.0, 3.0]}
    columns = laid_out(legs, rows)
    for key, numbers in changes:
        if numbers is None:
            legs.pop(key, None)
        else:
            legs[key] = numbers
        lay(columns, key, numbers)
        assert columns == laid_out(legs, rows)


@given(st.lists(CHANGES, max_size=6))
def test_the_balances_that_differ(turns: list[list[tuple[tuple[str, str], int]]]) -> None:
    held: Holdings = {("wallet", "USDC"): 5}
    for changes in turns:
        later = changed(held, changes)
        assert set(changed_balances(held, later)) == {key for key, _ in held.items() ^ later.items()}
        held = later


def changed(held: Holdings, changes: list[tuple[tuple[str, str], int]]) -> Holdings:
    """Holdings after changes, as a posting makes them."""
    return after_rows({"alice": held}, tuple(("alice", *key, amount) for key, amount in changes), ["alice"])["alice"]


@cache
def asked(rulebook: str) -> tuple[Rules, State]:
    market = Market(4, middling(load_rulebook(rulebook), valued_every_seconds=3600.0))
    for _ in range(30):
        market.step()
    return market.desk.house.rules, market.state


@pytest.mark.parametrize("rulebook", ["reference", "deribit-standard", "binance-coinm"])
@given(turns=st.lists(CHANGES, min_size=1, max_size=12))
def test_what_is_kept_is_what_a_house_that_has_seen_nothing_makes(
    rulebook: str, turns: list[list[tuple[tuple[str, str], int]]]
) -> None:
    rules, state = asked(rulebook)
    held = state.balances["alice"]
    answer = rules.assess(state, {"alice": held})
    for changes in turns:
        held = changed(held, changes)
        answer = rules.assess(state, {"alice": held})
        assert columns_of(rules, state, anew=False) == columns_of(rules, state, anew=True)
    assert fresh(rules).assess(state, {"alice": held}) == answer


def columns_of(rules: Rules, state: State, *, anew: bool) -> list[PoolColumns]:
    """The columns that are kept of alice, or the same made anew."""
    known = rules.assess
    assert isinstance(known, LiveAssess)
    standing = known._standing
    laid = None if standing is None else standing._known.get("alice")
    if standing is None or standing.ground is None or laid is None:
        return []
    pools = pools_of(laid.holdings, state.indices, standing.ground.places[""])
    assert pools is not None
    rows = standing.ground.rows
    return [laid_out(pools.get(key, {}), rows) if anew else kept for key, kept in laid.columns.items()]


def test_something_is_kept() -> None:
    rules, state = asked("reference")
    held = {("wallet", "USDC"): 10**9, ("held", "BTC-MAR"): 5, ("basis:BTC-MAR", "USDC"): -(10**7)}
    rules.assess(state, {"alice": held})
    (columns,) = columns_of(rules, state, anew=False)
    rules.assess(state, {"alice": held | {("held", "BTC-MAR"): 6}})
    assert columns_of(rules, state, anew=False)[0] is columns
    assert len(columns.keys) == 2


def test_the_moment_is_the_same_with_a_calendar_kept() -> None:
    _, state = asked("reference")
    calendar = calendar_of(state.configuration)
    assert calendar.ends
    for end in calendar.ends:
        for seconds in (-1, 0, 1, 4_000):
            later = at_time(state, end + timedelta(seconds=seconds))
            assert moment_of(later, 3600.0, calendar) == moment_of(later, 3600.0)
