"""Many pre-trade checks in columns: accounts and targets by number, placed at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from crossmargin.margin.program.live_checks import PlacedTrade, by_engine, check_many, placed
from crossmargin.margin.program.live_targets import check_trade, own_pool
from crossmargin.margin.resolve import ISOLATED

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from crossmargin.margin.program.live_state import LiveState
    from crossmargin.margin.program.live_targets import Target

    Floats = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.int64]
    Flags = npt.NDArray[np.bool_]

__all__ = ["check_lists"]


def check_lists(
    state: LiveState, account: Ints, targets: Sequence[Target], target: Ints, quantity: Floats, price: Floats
) -> Floats:
    """Return the figures of `TradeCheck` [4, trades]; `target` [trades] points into `targets`."""
    marks, options = np.asarray([t.price for t in targets]), np.asarray([t.terms.option for t in targets])
    key = np.asarray([t.key for t in targets])[target]
    price = np.where(np.isnan(price), marks[target], price)
    pool, isolated = _shared(state, account, key)
    good = np.isfinite(quantity) & (quantity != 0) & np.isfinite(price)
    good &= ((price > 0) | ((price == 0) & options[target])) & ~isolated & (state.rulebook.pool_by != "position")
    good &= np.asarray([t.rows for t in targets])[target].max(axis=1) >= 0
    for n in np.flatnonzero(~good).tolist():
        check_trade(state, int(account[n]), targets[target[n]], float(quantity[n]), float(price[n]))
    for n in np.flatnonzero(pool < 0).tolist():
        pool[n] = _opened(state, int(account[n]), targets[target[n]])
    kind = state.pools.pool_class[pool]
    row, wallet = (np.asarray([t[place] for t in targets])[target, kind] for place in (2, 3))
    if state.engine() is None or (row < 0).any() or (wallet < 0).any():
        return check_many(state, _placed(state, account, [targets[t] for t in target.tolist()], quantity, price))
    try:
        return by_engine(state, account, pool, row, wallet, quantity, price)
    except ValueError:  # one of an instrument that the rulebook refuses
        trades = _placed(state, account, [targets[t] for t in target.tolist()], quantity, price)
        return np.concatenate([check_many(state, [trade]) for trade in trades], axis=1)


def _placed(
    state: LiveState, account: Ints, targets: Sequence[Target], quantity: Floats, price: Floats
) -> list[PlacedTrade]:
    columns = list(zip(account.tolist(), targets, quantity.tolist(), price.tolist(), strict=True))
    for trade in columns:  # what is new to the universe renumbers rows: it comes first
        placed(state, *trade)
    return [placed(state, *trade) for trade in columns]


def _shared(state: LiveState, account: Ints, key: Ints) -> tuple[Ints, Flags]:
    """Return each account's pool of a key, -1 where it has none, and whether it has isolated positions."""
    found, isolated = np.full(account.shape[0], -1), np.zeros(account.shape[0], dtype=bool)
    other = state.pools.first[account].astype(np.int64)
    while (other >= 0).any():
        here = np.where(other >= 0, state.pools.key[other], -1)
        found = np.where(here == key, other, found)
        isolated |= here >= ISOLATED
        other = np.where(other >= 0, state.pools.follow[other], -1)
    return found, isolated


def _opened(state: LiveState, account: int, target: Target) -> int:
    count = state.pools.count
    pool = own_pool(state, account, target.settles)
    if state.pools.count > count:
        state.run([pool])
    return pool
