"""An instrument settles: every position in it is closed at its delivery price, and nobody holds it any more."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING

import numpy as np

from crossmargin.errors import FailureReason, InputError
from crossmargin.instruments import ContractKind, InstrumentKind, OptionType, check_terms
from crossmargin.margin.program.live_events import credit, touched
from crossmargin.margin.program.live_inputs import carry_inputs
from crossmargin.margin.program.live_legs import fill, number_of
from crossmargin.margin.program.live_targets import own_pool, row_in, terms_of
from crossmargin.margin.program.slots import ranges
from crossmargin.margin.resolve import asset_key
from crossmargin.pricing.payoffs import inverse_option_payoff, option_payoff

if TYPE_CHECKING:
    import numpy.typing as npt

    from crossmargin.margin.program.live_state import LiveState
    from crossmargin.margin.trade import Terms
    from crossmargin.market import Listing

    Ints = npt.NDArray[np.int64]

__all__ = ["settle"]

_QUANTITY = number_of("quantity")


def settle(state: LiveState, symbol: str) -> list[int]:
    """Close an instrument at its delivery price in all accounts, with its orders; return the pools that held it."""
    listing = state.snapshot.listings.get(symbol) or state.universe.listings.get(symbol)
    if listing is None or symbol not in state.universe.place:
        message = "it is not among the instruments that the book knows: check the symbol"
        raise InputError(FailureReason.UNKNOWN_INSTRUMENT, message, instrument=symbol)
    check_terms(listing)  # sound terms are those of the fills: `mark` took them over
    if listing.delivery_price is None:
        message = "the snapshot gives it no delivery_price: mark one that does"
        raise InputError(FailureReason.AWAITING_SETTLEMENT, message, instrument=symbol)
    terms = terms_of(listing)
    price = _settlement_value(listing)
    rows = np.flatnonzero(state.universe.rows.contract == state.universe.place[symbol])
    changed: dict[int, None] = {}
    for pool in holders(state, rows):
        changed |= dict.fromkeys(_closed(state, pool, symbol, listing.settlement_asset, terms, price))
    return list(changed)


def _settlement_value(listing: Listing) -> float:
    """Return what one contract's price is at delivery: an option's payoff, in coin where inverse."""
    delivery = float(listing.delivery_price or 0.0)
    inverse = listing.contract == ContractKind.INVERSE
    option = listing.kind == InstrumentKind.OPTION
    if not isfinite(delivery) or delivery < 0 or (delivery == 0 and (inverse or not option)):
        message = f"delivery_price must be above 0, found {listing.delivery_price}"
        raise InputError(FailureReason.INVALID_PRICE, message, instrument=listing.symbol)
    if not option:
        return delivery
    payoff = inverse_option_payoff if inverse else option_payoff
    return float(payoff(delivery, float(listing.strike or 0.0), listing.option_type == OptionType.CALL))


def holders(state: LiveState, rows: Ints) -> list[int]:
    """Return the pools with a leg on any of some rows."""
    bits = np.bitwise_or.reduce(state.bits[rows])
    near = np.flatnonzero(state.pools.mask[: state.pools.count] & bits)
    wanted = np.zeros(len(state.universe.rows), dtype=bool)
    wanted[rows] = True
    found: list[int] = []
    for first in range(0, near.shape[0], 1 << 16):
        some = near[first : first + (1 << 16)]
        some = some[state.legs.legs.count[some] > 0]
        start, count = state.legs.legs.start[some], state.legs.legs.count[some]
        held = wanted[state.legs.legs.columns["row"][ranges(start, count)]]
        ends = np.cumsum(count, dtype=np.int64) - count
        found += some[np.logical_or.reduceat(held, ends)].tolist() if some.shape[0] else []
    return found


def _closed(state: LiveState, pool: int, symbol: str, asset: str, terms: Terms, price: float) -> list[int]:
    row, wallet = row_in(state, pool, symbol), row_in(state, pool, asset_key(asset))
    row = row_in(state, pool, symbol)
    for side in (-1, 1) if state.legs.by_side else (0,):
        held = state.legs.at(pool, row, side)[_QUANTITY]
        if held:
            fill(state.legs, pool, row, wallet, terms, -held, price, keep=state.looks_at_balances)
        state.legs.put(pool, row, side, {})  # its open orders are void
    if state.pools.is_isolated(pool):
        return _released(state, pool)
    return touched(state, pool, [wallet])


def _released(state: LiveState, pool: int) -> list[int]:
    """Move what backed an isolated position to its account's balances."""
    changed: list[int] = []
    account, keys = int(state.pools.account[pool]), list(state.universe.place)
    for row in state.legs.rows(pool).tolist():
        amount = state.legs.at(pool, row)[_QUANTITY]
        state.legs.put(pool, row, 0, {})
        asset = keys[state.universe.rows.contract[row]].lstrip("\0")
        changed += credit(state, own_pool(state, account, asset), asset, amount)
    return [pool, *changed, *carry_inputs(state, account)]
