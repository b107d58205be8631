"""Large books made as columns, without an account object: what the benchmarks of scale run on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from crossmargin.account import Book
from crossmargin.account.book import BalanceColumns, OrderColumns, PositionColumns

if TYPE_CHECKING:
    from crossmargin.market import Snapshot


def made_book(
    snapshot: Snapshot, first: int, last: int, legs: int = 20, assets: tuple[str, ...] = ("BTC", "ETH")
) -> Book:
    """Accounts `first` to `last` of one endless book: `legs` positions each, popular contracts more often, coins."""
    rng, count = np.random.default_rng([7, first]), last - first
    symbols = tuple(snapshot.listings)
    share = 1.0 / np.arange(2, len(symbols) + 2) ** 0.7
    symbol = rng.permutation(len(symbols))[rng.choice(len(symbols), (count, legs), p=share / share.sum())]
    rows = count * legs
    quantity = (rng.integers(1, 10, rows) * rng.choice([-1, 1], rows)).astype(np.float64)
    marks = np.asarray([listing.mark_price for listing in snapshot.listings.values()], dtype=np.float64)
    flat, no = symbol.ravel(), np.zeros(rows, dtype=np.int64)
    positions = PositionColumns(
        account=np.repeat(np.arange(count), legs), symbol=flat, quantity=quantity,
        entry_price=marks[flat] * rng.uniform(0.9, 1.1, rows), side=no, pool=no, isolated=np.zeros(rows, dtype=bool),
        leverage=np.full(rows, np.nan), accrued_funding=np.zeros(rows),
    )  # fmt: skip
    wide = len(assets)
    balances = BalanceColumns(
        account=np.repeat(np.arange(count), wide), asset=np.tile(np.arange(wide), count),
        amount=rng.uniform(1.0, 50.0, count * wide), accrued=np.zeros(count * wide),
        position=np.full(count * wide, -1),
    )  # fmt: skip
    nothing = np.zeros(0, dtype=np.int64)
    orders = OrderColumns(nothing, nothing, np.zeros(0), np.zeros(0), np.zeros(0, dtype=bool))
    return Book(
        account_ids=tuple(f"a{n}" for n in range(first, last)), account_class=np.zeros(count, dtype=np.int64),
        classes=("",), symbols=symbols, assets=assets, pools=("",), positions=positions, balances=balances,
        orders=orders, inputs={}, failures={},
    )  # fmt: skip
