"""Pre-trade checks: by the engine, or what it leaves aside: placed, which may open pools, or evaluated in copies."""

from __future__ import annotations

from dataclasses import replace
from math import isnan
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from crossmargin import kernels
from crossmargin.margin.program.compact import CompactBook
from crossmargin.margin.program.live_inputs import carry_in_copies, know_bare_class, may_move, moving, parted
from crossmargin.margin.program.live_legs import LiveLegs, fill, gathered
from crossmargin.margin.program.live_targets import check_trade, own_pool, row_in
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

__all__ = ["PlacedTrade", "checked", "checks", "evaluated", "judged", "placed"]

_AT_A_TIME: Final = 1024  # changed copies that the evaluation takes together


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
    if parted(state):
        know_bare_class(state, account)  # before rows are looked up: it may renumber them
    count = state.pools.count
    pool = own_pool(state, account, target.settles)
    row_in(state, pool, target.symbol)
    wallet = row_in(state, pool, asset_key(target.settles))
    if state.pools.count > count:
        state.run([pool])
    return PlacedTrade(account, pool, row_in(state, pool, target.symbol), wallet, target, quantity, price)


def checked(state: LiveState, trade: PlacedTrade) -> TradeCheck | None:
    """Return where an account would stand after a trade, None where the engine leaves it aside."""
    engine, contract = state.engine(), state.universe.place[trade.target.symbol]
    key = int(state.pools.key[trade.pool])
    if engine is None or (parted(state) and may_move(state, trade.account, key, contract, trade.quantity)):
        return None
    found: TradeCheck | None = engine.check(trade.account, trade.target.symbol, trade.quantity, trade.price)
    return found


def checks(state: LiveState, account: Ints, contract: Ints, quantity: Floats, price: Floats) -> tuple[Floats, Ints]:
    """Return the figures of `TradeCheck` [4, trades], and the trades that the engine leaves aside."""
    figures, engine = np.empty((len(TradeCheck._fields), account.shape[0])), state.engine()
    if engine is None or state.rulebook.pool_by == "position":  # no pool is shared, and no desk made
        return figures, _laid_out(state, account, figures, np.arange(account.shape[0]))
    aside = np.empty(account.shape[0], dtype=np.uint8)
    threads = kernels.threads_in_use() if state.threads is None else state.threads
    shift = max(0, int(account.max(initial=0)).bit_length() - 16)
    order = np.argsort((account >> shift).astype(np.uint16), kind="stable")  # what lies together is read together
    engine.checks(account, contract, quantity, price, order, figures, aside, threads)
    if parted(state):
        aside |= moving(state, account, contract, quantity)
    return figures, _laid_out(state, account, figures, np.flatnonzero(aside))


def _laid_out(state: LiveState, account: Ints, figures: Floats, aside: Ints) -> Ints:
    """Return those trades of accounts that hold pools; of one refused when it was laid out the figures are NaN."""
    if not state.without:
        return aside
    gone = np.isin(account[aside], list(state.without))
    figures[:, aside[gone]] = np.nan
    return aside[~gone]


def judged(state: LiveState, account: Ints, targets: Sequence[Target], quantity: Floats, price: Floats) -> Floats:
    """Return the figures of trades that were left aside: placed and asked for again, else evaluated.

    Raises
    ------
    InputError
        When a trade cannot be one.
    """
    trades: list[PlacedTrade] = []
    for _ in range(2):  # what is new to the universe renumbers rows: the second turn has the last numbers
        trades.clear()
        for number, target, amount, stated in zip(
            account.tolist(), targets, quantity.tolist(), price.tolist(), strict=True
        ):
            level = target.price if isnan(stated) else stated
            check_trade(state, number, target, amount, level)
            trades.append(placed(state, number, target, amount, level))
    contract = np.asarray([state.universe.place[target.symbol] for target in targets], dtype=np.int64)
    figures, aside = checks(state, account, contract, quantity, price)
    if aside.size:
        figures[:, aside] = evaluated(state, [trades[n] for n in aside.tolist()])[0]
    return figures


def evaluated(state: LiveState, trades: Sequence[PlacedTrade]) -> tuple[Floats, list[Failure | None]]:
    """Return the figures of `TradeCheck` [4, trades], each trade on its own, and why an account would be refused."""
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
    owner, keep = book.pool_account, state.looks_at_balances
    for n, trade in enumerate(trades):
        own = int(np.searchsorted(owner, n))
        own += int(np.flatnonzero(pools[own : int(np.searchsorted(owner, n + 1))] == trade.pool)[0])
        fill(legs, own, trade.row, trade.wallet, trade.target.terms, trade.quantity, trade.price, keep=keep)
    if parted(state):
        book = carry_in_copies(state, book, legs, [trade.account for trade in trades])
    every = np.arange(len(book.legs))
    return replace(book, legs=gathered(legs, every, book.legs.pool_class, book.legs.inputs))
