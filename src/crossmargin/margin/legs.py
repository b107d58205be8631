"""Positions, balances and orders of a book as legs: merged by key, sorted for the hot path."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from crossmargin.errors import Failure, FailureReason
from crossmargin.kernels import packed_key, segment_sum
from crossmargin.margin.resolved import Legs, expiry_key, strike_key
from crossmargin.margin.touched import NOTHING
from crossmargin.scenarios import ASSET, FUTURE, OPTION, PERPETUAL, Contracts

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    from crossmargin.account import Book

    Floats = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Held:
    """Positions, then balances, then orders, one row each, before pools are known. Shapes: all [rows].

    `position` is the row in the book's positions (or -1), `isolated` the isolated position that the row belongs to
    (or -1), `pool` the pool label's code.
    """

    account: Ints
    contract: Ints
    settle_asset: Ints
    quantity: Floats
    cost: Floats
    accrued: Floats
    leverage: Floats
    fill: Floats
    fill_price: Floats
    side: Ints
    position: Ints
    isolated: Ints
    pool: Ints


def gather(
    book: Book,
    contracts: Contracts,
    columns: Mapping[str, int],
    failures: dict[int, Failure],
    opposite_positions: str,
) -> Held:
    """Return the rows of all accounts that stand, in book order."""
    symbol_row = np.asarray([columns.get(name, -1) for name in book.symbols], dtype=np.int64)
    asset_row = np.asarray([columns.get(f"\0{name}", -1) for name in book.assets], dtype=np.int64)
    _check_entries(book, contracts, symbol_row, failures)
    stands = np.ones(len(book), dtype=bool)
    stands[list(failures)] = False
    parts = [
        _positions(book, contracts, symbol_row, stands, opposite_positions),
        _balances(book, asset_row, stands),
        _orders(book, symbol_row, stands, opposite_positions),
    ]
    joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return Held(settle_asset=contracts.settle_asset[joined["contract"]], **joined)


def _check_entries(book: Book, c: Contracts, symbol_row: Ints, failures: dict[int, Failure]) -> None:
    """Refuse accounts that hold a margined contract without an entry price, or with 0: its P&L would be made up."""
    p = book.positions
    row = symbol_row[p.symbol]
    without = np.flatnonzero((row >= 0) & ~(p.entry_price > 0))
    for i in without[_margined(c.kind[row[without]])].tolist():
        account = int(p.account[i])
        message = "a perpetual or future needs an entry_price above 0 (the mark, if its P&L is settled daily)"
        name = book.symbols[int(p.symbol[i])]
        failures.setdefault(
            account, Failure(FailureReason.MISSING_ENTRY_PRICE, message, book.account_ids[account], name)
        )


def _margined(kind: Ints) -> npt.NDArray[np.bool_]:
    return np.asarray((kind == PERPETUAL) | (kind == FUTURE))  # a tenth of what np.isin takes


def _positions(
    book: Book, c: Contracts, symbol_row: Ints, stands: npt.NDArray[np.bool_], opposite: str
) -> dict[str, npt.NDArray[np.float64] | Ints]:
    p = book.positions
    keep = np.flatnonzero(stands[p.account])
    contract, quantity, entry = symbol_row[p.symbol[keep]], p.quantity[keep], p.entry_price[keep]
    margined = _margined(c.kind[contract])
    entry = np.where(margined | (entry > 0), entry, 0.0)  # an option may state what it was sold at; 0 where it does not
    with np.errstate(divide="ignore", invalid="ignore"):
        cost = np.where(c.inverse[contract] & margined, quantity / entry, quantity * entry)
    side = np.sign(quantity).astype(np.int64) if opposite != "net" else np.zeros(keep.size, dtype=np.int64)
    return {
        "account": p.account[keep], "contract": contract, "quantity": quantity, "cost": cost,
        "accrued": p.accrued_funding[keep], "leverage": p.leverage[keep], "fill": np.zeros(keep.size),
        "fill_price": np.ones(keep.size), "side": side, "position": keep,
        "isolated": np.where(p.isolated[keep], keep, -1), "pool": p.pool[keep],
    }  # fmt: skip


def _balances(book: Book, asset_row: Ints, stands: npt.NDArray[np.bool_]) -> dict[str, npt.NDArray[np.float64] | Ints]:
    b = book.balances
    keep = np.flatnonzero(stands[b.account] & ((b.amount != 0) | (b.accrued != 0)))
    none = np.full(keep.size, -1, dtype=np.int64)
    zeros = np.zeros(keep.size)
    return {
        "account": b.account[keep], "contract": asset_row[b.asset[keep]],
        "quantity": np.where(b.amount[keep] == NOTHING, 0.0, b.amount[keep] + b.accrued[keep]),
        "cost": zeros, "accrued": zeros, "leverage": np.full(keep.size, np.nan), "fill": zeros,
        "fill_price": zeros + 1.0, "side": none + 1, "position": none, "isolated": b.position[keep], "pool": none + 1,
    }  # fmt: skip


def _orders(
    book: Book, symbol_row: Ints, stands: npt.NDArray[np.bool_], opposite: str
) -> dict[str, npt.NDArray[np.float64] | Ints]:
    o = book.orders.margined()
    keep = np.flatnonzero(stands[o.account])
    none = np.full(keep.size, -1, dtype=np.int64)
    zeros = np.zeros(keep.size)
    return {
        "account": o.account[keep], "contract": symbol_row[o.symbol[keep]], "quantity": zeros, "cost": zeros,
        "accrued": zeros, "leverage": np.full(keep.size, np.nan), "fill": o.quantity[keep],
        "fill_price": o.limit_price[keep],
        "side": np.sign(o.quantity[keep]).astype(np.int64) if opposite != "net" else none + 1,
        "position": none, "isolated": none, "pool": none + 1,
    }  # fmt: skip


def make_legs(held: Held, unit: Ints, c: Contracts, opposite: str) -> Legs:
    """Return the legs, same-key rows merged (fills net), sorted by (bucket, unit, expiry, strike, contract)."""
    key = packed_key([unit, held.contract, held.side])
    _, first, row = np.unique(key, return_index=True, return_inverse=True)
    count = first.shape[0]
    leverage = np.full(count, np.inf)
    np.fmin.at(leverage, row, held.leverage)
    bids, asks = np.maximum(held.fill, 0.0), np.minimum(held.fill, 0.0)
    # an order's cost is stated as a position's: quantity x price, for inverse margined contracts quantity / price
    inverse = c.inverse[held.contract] & (c.kind[held.contract] != OPTION)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):  # who reads one refuses
        priced = np.where(inverse, 1.0 / held.fill_price, held.fill_price)
        ordered = (bids * priced, asks * priced)
    orders = (held.fill != 0).astype(np.float64)
    summed = (held.quantity, held.cost, held.accrued, bids, asks, *ordered, orders)
    unit, contract = unit[first], held.contract[first]
    # contracts in the order of (expiry, strike, contract) once, so that legs sort by small integers
    place = np.empty(len(c), dtype=np.int64)
    place[np.lexsort([np.arange(len(c)), strike_key(c), expiry_key(c)])] = np.arange(len(c))
    rank = np.argsort(packed_key([c.bucket[contract], unit, place[contract]]), kind="stable")
    contract, unit = contract[rank], unit[rank]
    quantity, cost, accrued, bids, asks, bid_cost, ask_cost, orders = (
        segment_sum(column, row, count)[rank] for column in summed
    )
    cost = np.where((quantity == 0) & (c.kind[contract] == OPTION), 0.0, cost)  # a paid premium realises nothing
    muted = muted_legs(contract, unit, quantity, c) if opposite == "larger" else np.zeros(count, dtype=bool)
    leverage = np.where(np.isinf(leverage), np.nan, leverage)
    return Legs(
        contract, unit, quantity, cost, accrued, leverage[rank], bids, asks, bid_cost, ask_cost, orders, muted
    )  # fmt: skip


def muted_legs(contract: Ints, unit: Ints, quantity: Floats, c: Contracts) -> npt.NDArray[np.bool_]:
    """Return which legs are the smaller of two opposite positions in one contract."""
    _, pair = np.unique(packed_key([unit, contract]), return_inverse=True)
    largest = np.zeros(int(pair.max(initial=-1)) + 1, dtype=quantity.dtype)
    np.maximum.at(largest, pair, np.abs(quantity))
    smaller = np.abs(quantity) < largest[pair]
    first = np.full(largest.shape[0], pair.shape[0])
    np.minimum.at(first, pair[~smaller], np.flatnonzero(~smaller))
    smaller |= first[pair] != np.arange(pair.shape[0])  # of two equal sides one counts
    return np.asarray(smaller & (c.kind[contract] != ASSET) & (c.kind[contract] != OPTION))
