"""Pre-trade checks of a live book: many at once by the engine, or by the evaluation of changed copies."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from crossmargin import kernels
from crossmargin.errors import InputError
from crossmargin.margin.program.compact import CompactBook
from crossmargin.margin.program.live_legs import LiveLegs, fill, gathered
from crossmargin.margin.program.live_targets import own_pool, row_in
from crossmargin.margin.program.program import OUTPUTS
from crossmargin.margin.resolve import asset_key
from crossmargin.margin.trade import TradeCheck

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from crossmargin.errors import Failure
    from crossmargin.margin.program.live_state import LiveState
    from crossmargin.margin.program.live_targets import Target

    Floats = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.int64]

__all__ = ["PlacedTrade", "by_engine", "check_many", "check_one", "placed"]

_AT_A_TIME: Final = 1024  # changed copies that the evaluation takes together
_FIGURES: Final = [OUTPUTS.index(n) for n in ("initial", "maintenance", "adjusted_initial", "adjusted_maintenance")]


class PlacedTrade(NamedTuple):
    """A trade by numbers: the account's pool, its rows for the contract and for the wallet."""

    account: int
    pool: int
    row: int
    wallet: int
    target: Target
    quantity: float
    price: float


def placed(state: LiveState, account: int, target: Target, quantity: float, price: float) -> PlacedTrade:
    """Return a trade placed; a pool that the account has not yet is opened, empty."""
    count = state.pools.count
    pool = own_pool(state, account, target.settles)
    row_in(state, pool, target.symbol)
    wallet = row_in(state, pool, asset_key(target.settles))
    if state.pools.count > count:
        state.run([pool])
    return PlacedTrade(account, pool, row_in(state, pool, target.symbol), wallet, target, quantity, price)


def check_one(state: LiveState, trade: PlacedTrade) -> TradeCheck:
    """Return where an account would stand after a trade; raises why it would be refused."""
    figures = check_many(state, [trade])[:, 0]
    if not np.isfinite(figures).all():
        failure = _evaluated(state, [trade])[1][0]
        if failure is not None:
            raise InputError(failure.reason, failure.message, account=failure.account, instrument=failure.instrument)
    return TradeCheck(*figures.tolist())


def check_many(state: LiveState, trades: Sequence[PlacedTrade]) -> Floats:
    """Return the figures of `TradeCheck` [4, trades], each trade on its own; NaN where an account would be refused."""
    if not trades:
        return np.zeros((4, 0))
    if state.engine() is None:
        return _evaluated(state, trades)[0]
    pool, row, wallet = (np.asarray([trade[n] for trade in trades], dtype=np.int64) for n in (1, 2, 3))
    quantity, price = (np.asarray([trade[n] for trade in trades]) for n in (5, 6))
    account = np.asarray([trade.account for trade in trades], dtype=np.int64)
    try:
        return by_engine(state, account, pool, row, wallet, quantity, price)
    except ValueError:  # of an instrument that the rulebook refuses: the evaluation says why
        return _evaluated(state, trades)[0]


def by_engine(
    state: LiveState, account: Ints, pool: Ints, row: Ints, wallet: Ints, quantity: Floats, price: Floats
) -> Floats:
    """Return the figures of `TradeCheck` [4, trades] of placed trades in columns."""
    threads = kernels.threads_in_use() if state.threads is None else state.threads
    out = np.empty((state.outputs, pool.shape[0]))
    engine = state.engine()
    engine.what_ifs(pool, row.astype(np.int32), wallet.astype(np.int32), quantity, price, out, threads)
    total: Floats = out[_FIGURES] * state.rate[state.pools.pool_class[pool]]
    if state.outputs > len(OUTPUTS):
        total[:, out[-1] > 0] = np.nan
    _add_others(state, account, pool, total)
    total[2] -= total[0]
    total[3] -= total[1]
    return total


def _add_others(state: LiveState, account: Ints, pool: Ints, total: Floats) -> None:
    """Add the figures of each account's other pools, as they stand."""
    other, pools = state.pools.first[account], state.pools
    while (other >= 0).any():
        counts = (other >= 0) & (other != pool)
        some = other[counts]
        worth = state.found[np.ix_(_FIGURES, some)] * state.rate[pools.pool_class[some]]
        worth[:, state.found[-1, some] > 0] = np.nan
        total[:, counts] += worth
        other = np.where(other >= 0, pools.follow[other], -1)


# --- by the evaluation


def _evaluated(state: LiveState, trades: Sequence[PlacedTrade]) -> tuple[Floats, list[Failure | None]]:
    figures: list[Floats] = []
    failures: list[Failure | None] = []
    for first in range(0, len(trades), _AT_A_TIME):
        some = trades[first : first + _AT_A_TIME]
        report = state.evaluate(_after(state, some))
        columns = (report.unit_initial, report.unit_maintenance)
        adjusted = (report.unit_adjusted_initial, report.unit_adjusted_maintenance)
        initial, maintenance = (report.account_sum(column) for column in columns)
        available, headroom = (report.account_sum(column) for column in adjusted)
        figures.append(np.stack([initial, maintenance, available - initial, headroom - maintenance]))
        failures += [report.failures.get(n) for n in range(len(some))]
    return np.concatenate(figures, axis=1), failures


def _after(state: LiveState, trades: Sequence[PlacedTrade]) -> CompactBook:
    """Return a compact book in which each trade is done in a copy of its account."""
    book, pools = state.book_of([trade.account for trade in trades], [trade.pool for trade in trades])
    legs = LiveLegs(book.legs, by_side=state.legs.by_side)
    owner = book.pool_account
    for n, trade in enumerate(trades):
        own = int(np.searchsorted(owner, n))
        own += int(np.flatnonzero(pools[own : int(np.searchsorted(owner, n + 1))] == trade.pool)[0])
        fill(legs, own, trade.row, trade.wallet, trade.target.terms, trade.quantity, trade.price)
    every = np.arange(len(book.legs))
    return replace(book, legs=gathered(legs, every, book.legs.pool_class, book.legs.inputs))
