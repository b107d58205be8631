"""What happens to one account: each event changes legs, and says which pools are to be computed anew."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING

import numpy as np

from crossmargin.errors import FailureReason, InputError
from crossmargin.margin.program.live_inputs import carry_inputs
from crossmargin.margin.program.live_legs import fill, number_of
from crossmargin.margin.program.live_targets import own_pool, row_in
from crossmargin.margin.resolve import asset_key
from crossmargin.margin.trade import joined
from crossmargin.scenarios import ASSET, SPOT

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from crossmargin.margin.program.live_state import LiveState
    from crossmargin.margin.program.live_targets import Target

__all__ = ["credit", "place_orders", "touched", "traded"]

_QUANTITY = number_of("quantity")
_ORDERED = _BIDS, _ASKS, _BID_COST, _ASK_COST, _ORDERS = tuple(
    map(number_of, ("bids", "asks", "bid_cost", "ask_cost", "orders"))
)


def touched(state: LiveState, pool: int, rows: Sequence[int]) -> list[int]:
    """Note what a pool holds after an event on these rows; return all pools to be computed anew."""
    for row in rows:
        state.pools.mask[pool] |= state.bits[row]
    if state.looks_at_balances:
        _tidy(state, pool)
    return [pool, *(one for one in carry_inputs(state, int(state.pools.account[pool])) if one != pool)]


def _tidy(state: LiveState, pool: int) -> None:
    """Keep a balance of nothing for each asset that a pool touches, and none besides."""
    rows, c = state.legs.rows(pool).astype(np.int64), state.market.priced.contracts
    number = int(state.pools.pool_class[pool])
    contract = state.universe.rows.contract[rows]
    held = contract[c.kind[contract] != ASSET]
    spot = held[c.kind[held] == SPOT]
    wanted = {*c.settle_asset[held].tolist(), *c.quote_asset[spot].tolist(), *c.own_asset[spot].tolist()}
    for row in rows[c.kind[contract] == ASSET].tolist():
        asset = int(c.own_asset[state.universe.rows.contract[row]])
        state.legs.put(pool, row, 0, state.legs.at(pool, row), keep=asset in wanted)
        wanted.discard(asset)
    for name in (state.market.priced.names.assets[asset] for asset in wanted):
        row = int(state.rows[number, state.universe.place[asset_key(name)]])
        state.legs.put(pool, row, 0, {}, keep=True)


def credit(state: LiveState, pool: int, asset: str, amount: float) -> list[int]:
    """Add a signed amount to a pool's balance; return the pools to be computed anew."""
    row = row_in(state, pool, asset_key(asset))
    numbers = state.legs.at(pool, row)
    numbers[_QUANTITY] = joined(numbers[_QUANTITY], amount)
    if not isfinite(numbers[_QUANTITY]):
        message = f"the balance of {asset} would be beyond all numbers: nothing could be taken off it again"
        account = state.ids[int(state.pools.account[pool])]
        raise InputError(FailureReason.INVALID_QUANTITY, message, account=account)
    state.legs.put(pool, row, 0, numbers)
    return touched(state, pool, [row])


def traded(state: LiveState, account: int, target: Target, quantity: float, price: float, fee: float) -> list[int]:
    """Apply a trade to an account; return the pools to be computed anew."""
    pool = own_pool(state, account, target.settles)
    row, wallet = row_in(state, pool, target.symbol), row_in(state, pool, asset_key(target.settles))
    row = row_in(state, pool, target.symbol)  # the second may have renumbered the first
    fill(state.legs, pool, row, wallet, target.terms, quantity, price, keep=state.looks_at_balances)
    if fee:
        numbers = state.legs.at(pool, wallet)
        state.legs.put(pool, wallet, 0, numbers | {_QUANTITY: numbers[_QUANTITY] - fee})
    return touched(state, pool, [row, wallet])


def place_orders(state: LiveState, account: int, target: Target, orders: Iterable[tuple[float, float]]) -> list[int]:
    """Replace an account's open orders in an instrument; return the pools to be computed anew."""
    pool = own_pool(state, account, target.settles)
    row, inverse = row_in(state, pool, target.symbol), target.terms.inverse and not target.terms.option
    found = {side: dict.fromkeys(_ORDERED, 0.0) for side in ((1, -1) if state.legs.by_side else (0,))}
    for quantity, limit in orders:
        sums = found[(1 if quantity > 0 else -1) if state.legs.by_side else 0]
        amount, cost = (_BIDS, _BID_COST) if quantity > 0 else (_ASKS, _ASK_COST)
        sums[amount] += quantity
        # a cost is stated as a position's: quantity x price, for inverse margined contracts quantity / price
        sums[cost] += quantity * (1.0 / limit) if inverse else quantity * limit
        sums[_ORDERS] += 1.0
    for side, sums in found.items():
        state.legs.put(pool, row, side, state.legs.at(pool, row, side) | sums)
    return touched(state, pool, [row])
