"""A live book at the next moment: what changed, and which pools that concerns."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from crossmargin.margin.program.growth import (
    bucket_bits,
    changed_contracts,
    check_restated,
    grown,
    in_order,
    listed_anew,
    same_tables,
)

if TYPE_CHECKING:
    import numpy.typing as npt

    from crossmargin.margin.program.live_state import LiveState
    from crossmargin.market import Snapshot

    Ints = npt.NDArray[np.int64]

__all__ = ["marked", "reorder"]


def reorder(state: LiveState) -> None:
    """Put rows in the order that the state's market wants: the book may have been laid out at another."""
    if not in_order(state.universe, state.market.priced.contracts):
        growth = grown(state.universe, state.snapshot, state.rulebook, listings={}, held=state.rows_held())
        state.grow(growth, state.market_at(growth.universe, state.snapshot))


def marked(state: LiveState, snapshot: Snapshot) -> Ints | None:
    """Take a snapshot into use; return the pools to be computed anew, None for all. Refused, nothing is changed."""
    before, universe = state.market, state.universe
    market = state.market_at(universe, snapshot)
    if market.priced.restated:
        check_restated(universe, market.priced, state.rows_held())
    listings, assets = listed_anew(universe, snapshot, state.rulebook, market.priced.restated)
    contract, growth = np.arange(universe.contract_count), None
    if listings or assets or not in_order(universe, market.priced.contracts):
        growth = grown(
            universe, snapshot, state.rulebook, listings=listings, assets=assets, held=state.rows_held()
        )  # fmt: skip
        contract, market = growth.contract, state.market_at(growth.universe, snapshot)
    program = state.program_at(universe if growth is None else growth.universe, market)
    numeraire = before.numeraire
    state.snapshot = snapshot
    if growth is not None:
        number = growth.pool_class
        numeraire = np.full(len(growth.universe.pools), np.nan)  # a class that is new has no pools
        numeraire[number] = before.numeraire
        state.grow(growth, market)
    state.use(market, program)
    bits = bucket_bits(market)
    if not np.array_equal(bits[state.universe.rows.contract], state.bits):  # an asset wraps another one than before
        state.index()
        state.remask()
    if not same_tables(before, market):
        return None
    differs = changed_contracts(before, market, contract)
    changed = np.bitwise_or.reduce(bits[differs], initial=0)
    pools = slice(0, state.pools.count)
    concerned = (state.pools.mask[pools] & changed) != 0
    moved = market.numeraire != numeraire
    if moved.any():
        concerned |= moved[state.pools.pool_class[pools]]
    dirty = np.flatnonzero(concerned)
    return None if dirty.shape[0] == state.pools.count else dirty
