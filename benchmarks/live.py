"""What one event of a live book costs: python -m benchmarks.live [RULEBOOK] [ACCOUNTS] [LEGS]."""

from __future__ import annotations

import gc
import sys
import time
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from crossmargin.account import Book
from crossmargin.margin import LiveBook, compact
from tests.strategies.books import SPECS, coins_of, decimal, in_scope, market, position, random_accounts, rules

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from crossmargin.margin import CompactBook, Rulebook
    from crossmargin.market import Snapshot

DISTINCT = 500


def wide_book(rulebook: Rulebook, spec: str, count: int, legs: int) -> CompactBook:
    """Some accounts of so many positions, again and again."""
    rng = np.random.default_rng(5)
    listings = [one for one in in_scope(rulebook) if one.kind != "spot"]
    balances = {one.settlement_asset: decimal(1e9) for one in listings}
    accounts = []
    for account in random_accounts(spec, 7, DISTINCT, orders=False):
        chosen = rng.choice(len(listings), min(legs, len(listings)), replace=False)
        held = tuple(position(listings[i], coins_of(rng, listings[i]) / 10) for i in chosen)
        accounts.append(msgspec.structs.replace(account, positions=held, balances=balances))
    return repeated(compact(Book.from_accounts(accounts), market(), rulebook), count // DISTINCT)


def repeated(book: CompactBook, times: int) -> CompactBook:
    """A compact book so many times over, with names of its own."""
    legs, pools = book.legs, len(book.legs)
    step = np.repeat(np.arange(times), pools)
    columns: dict[str, Any] = {name: np.tile(column, times) for name, column in legs.buffers().items()}
    columns["start"] = (columns["start"] + step * legs.row.shape[0]).astype(np.uint32)
    columns["extra_start"] = (columns["extra_start"] + step * legs.extra_leg.shape[0]).astype(np.uint32)
    columns["inputs"] = np.tile(legs.inputs, (1, times))
    return replace(
        book,
        account_ids=tuple(f"account-{n}" for n in range(len(book) * times)),
        account_class=np.tile(book.account_class, times),
        pool_account=(np.tile(book.pool_account, times) + step * len(book)).astype(np.int32),
        pool_key=np.tile(book.pool_key, times),
        legs=replace(legs, **columns),
    )


def latency(name: str, act: Callable[..., object], calls: Sequence[tuple[Any, ...]]) -> None:
    taken = np.empty(len(calls))
    gc.disable()
    for n, call in enumerate(calls):
        start = time.perf_counter_ns()
        act(*call)
        taken[n] = time.perf_counter_ns() - start
    gc.enable()
    low, middle, most = (np.percentile(taken, share) / 1e3 for share in (1, 50, 99.9))
    print(f"{name:12} p1 {low:8.2f}  p50 {middle:8.2f}  p99.9 {most:10.2f} us")


def timed(name: str, act: Callable[[], object]) -> None:
    start = time.perf_counter()
    found = act()
    print(f"{name:32} {(time.perf_counter() - start) * 1e3:10.1f} ms  {found if isinstance(found, int) else ''}")


def main() -> None:
    wanted, count, legs = (*sys.argv[1:], *("reference", "100000", "10")[len(sys.argv) - 1 :])
    spec = next(one for one in reversed(SPECS) if one.startswith(f"{wanted}@"))
    rulebook = rules(spec)
    book = wide_book(rulebook, spec, int(count), int(legs))
    print(f"{spec}: {len(book):,} accounts, {len(book.legs.row) / len(book):.1f} legs each")
    live = LiveBook(book, market(), rulebook)
    print(f"bytes an account: {live.nbytes / len(live):.0f} with figures; a compiled program serves: {live.engine}")
    rng = np.random.default_rng(3)
    listings = [one for one in in_scope(rulebook) if one.kind != "spot"]
    names = [f"account-{n}" for n in rng.integers(0, len(live), 20_000).tolist()]
    symbols = [listings[n].symbol for n in rng.integers(0, len(listings), len(names)).tolist()]
    trades = [(name, symbol, 0.5) for name, symbol in zip(names, symbols, strict=True)]
    latency("nothing", lambda *_: None, trades)
    latency("what_if", live.what_if, trades)
    latency("what_if", live.what_if, trades)
    latency("fill", live.fill, trades)
    latency("deposit", live.deposit, [(name, listings[0].settlement_asset, 1.0) for name in names])
    latency("row", live.row, [(name,) for name in names[:2_000]])
    accounts = np.tile([live.account_number(name) for name in names], 10)
    instruments = np.tile([live.instrument_number(symbol) for symbol in symbols], 10)
    timed(f"what_ifs of {accounts.size:,}", lambda: live.what_ifs(accounts, instruments, np.full(accounts.size, 0.5)))
    for underlying in sorted({one.underlying for one in listings}):
        snapshot = ticked(live, underlying)
        timed(f"mark {underlying}, pools", partial(live.mark, snapshot))
    timed("view", live.view)


def ticked(live: LiveBook, underlying: str) -> Snapshot:
    listings = {
        name: msgspec.structs.replace(one, mark_price=one.mark_price * 1.001)
        if one.underlying == underlying and one.mark_price
        else one
        for name, one in live.snapshot.listings.items()
    }
    return msgspec.structs.replace(live.snapshot, listings=listings)


if __name__ == "__main__":
    main()
