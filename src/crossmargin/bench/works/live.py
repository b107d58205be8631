"""The live book: one small underlying ticks, pre-trade checks one by one and many at once."""

from __future__ import annotations

from itertools import cycle
from typing import TYPE_CHECKING, Final

import numpy as np

from crossmargin.analysis.prepared import prepare
from crossmargin.bench.accounts import accounts_of, first_book
from crossmargin.bench.market import SMALL, moved
from crossmargin.bench.result import check_same, result
from crossmargin.bench.setting import NotHereError
from crossmargin.bench.timing import each_call, on_threads, percentile, take_turns
from crossmargin.kernels.engine import serving
from crossmargin.margin.program.live import LiveBook

if TYPE_CHECKING:
    from collections.abc import Iterator

    from crossmargin.bench.result import Result
    from crossmargin.bench.setting import Setting, Stage

__all__ = ["live_book", "run_batch", "run_tick", "run_what_if"]

_PREPARED: Final = 20  # accounts on which the peer is timed and compared
_COMPARED: Final = 200  # trades of a batch that are compared with the same one by one


def live_book(stage: Stage) -> LiveBook:
    """Return a live book of the stage's accounts."""
    if serving()[0] == "numpy":
        message = "the account engine is compiled, and the NumPy kernel serves: seconds, not microseconds"
        raise NotHereError(message)
    return LiveBook(stage.book, stage.market.snapshot, stage.rulebook)


def run_tick(setting: Setting) -> Iterator[Result]:
    """Yield a row for each number of threads: one small underlying ticks; the peer is a tick of all of them."""
    stage = setting.stage()
    one, every, first = live_book(stage), live_book(stage), stage.market.snapshot
    small = cycle([moved(first, 1.002, [SMALL]), first])
    whole = cycle([moved(first, 1.002), first])
    for threads in setting.threads:
        contenders = {
            "one": on_threads(threads, lambda: one.mark(next(small))),
            "all": on_threads(threads, lambda: every.mark(next(whole))),
        }
        taken = take_turns(contenders, setting.repetitions, setting.enough)
        yield result(
            "tick_one_underlying", threads, taken["one"], peers={"all tick": taken["all"]},
            underlying=SMALL, accounts=len(stage.book), share_of_full_tick=taken["one"] / taken["all"],
        )  # fmt: skip


def run_what_if(setting: Setting) -> Iterator[Result]:
    """Yield the one row: its seconds are the median of calls for random accounts and instruments."""
    stage = setting.stage()
    live = live_book(stage)
    rng = np.random.default_rng(7)
    peer, difference = _prepared(stage, live, rng)
    count = 10_000 if setting.quick else 200_000
    trades = list(zip(*_trades(stage, count, rng), strict=True))
    each_call(live.what_if, trades[:1000])
    taken = each_call(live.what_if, trades)
    yield result(
        "what_if", 1, percentile(taken, 0.5), peers={"NumPy, one account": peer}, accounts=len(stage.book),
        calls=count, p99=percentile(taken, 0.99), p999=percentile(taken, 0.999), most=taken[-1], difference=difference,
    )  # fmt: skip


def run_batch(setting: Setting) -> Iterator[Result]:
    """Yield a row for each number of threads: so many trades in one call."""
    stage = setting.stage()
    live = live_book(stage)
    names, instruments, quantities = _trades(stage, 100_000 if setting.quick else 1_000_000, np.random.default_rng(8))
    accounts = np.asarray([live.account_number(name) for name in names])
    of = np.asarray([live.instrument_number(name) for name in instruments])
    amounts = np.asarray(quantities)
    few = slice(0, _COMPARED)
    one_by_one = [live.what_if(*trade) for trade in zip(names[few], instruments[few], quantities[few], strict=True)]
    wanted = np.asarray(one_by_one).T
    found = np.asarray(live.what_ifs(accounts[few], of[few], amounts[few]))
    difference = check_same("what_if_batch", found, wanted, abs(wanted).max(axis=0), 1e-9)
    for threads in setting.threads:
        call = on_threads(threads, lambda: live.what_ifs(accounts, of, amounts))
        seconds = take_turns({"ours": call}, setting.repetitions, setting.enough)["ours"]
        each = amounts.shape[0] / seconds / threads
        yield result(
            "what_if_batch", threads, seconds, accounts=len(stage.book), trades=amounts.shape[0],
            trades_a_second_a_core=each, difference=difference,
        )  # fmt: skip


def _prepared(stage: Stage, live: LiveBook, rng: np.random.Generator) -> tuple[float, float]:
    """Return the median seconds of the same check on prepared accounts, and how far the live book's figures are off.

    Raises
    ------
    DifferentResultError
        When they are not the same.
    """
    book, snapshot = first_book(stage.market, len(stage.book)), stage.market.snapshot
    seconds, differences = [], []
    for account in accounts_of(book, _PREPARED):
        _, instruments, quantities = _trades(stage, 1, rng)
        instrument, quantity = instruments[0], quantities[0]
        prepared = prepare(account, snapshot, stage.rulebook, [instrument])
        wanted, found = prepared.what_if(instrument, quantity), live.what_if(account.id, instrument, quantity)
        scale = np.abs(wanted).max()
        differences.append(check_same("what_if", np.asarray(found), np.asarray(wanted), scale, 1e-9))
        seconds += each_call(prepared.what_if, [(instrument, quantity)] * 5)
    return percentile(sorted(seconds), 0.5), max(differences)


def _trades(stage: Stage, count: int, rng: np.random.Generator) -> tuple[list[str], list[str], list[float]]:
    """Return accounts, instruments and quantities, drawn alike from all."""
    symbols = [name for some in stage.market.symbols for name in some]
    accounts = [stage.book.account_ids[i] for i in rng.integers(0, len(stage.book), count).tolist()]
    instruments = [symbols[i] for i in rng.integers(0, len(symbols), count).tolist()]
    quantities = (rng.integers(1, 10, count) * rng.choice([-1.0, 1.0], count)).tolist()
    return accounts, instruments, quantities
