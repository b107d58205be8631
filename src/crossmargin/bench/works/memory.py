"""Bytes that an account takes: in the arrays of a laid-out book, in a live book with room to grow, in the process."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING, Final

from crossmargin.bench.machine import resident_bytes
from crossmargin.bench.result import result
from crossmargin.bench.setting import DERIBIT, NotHereError, make_stage
from crossmargin.bench.works.live import live_book

if TYPE_CHECKING:
    from collections.abc import Iterator

    from crossmargin.bench.result import Result
    from crossmargin.bench.setting import Setting

__all__ = ["run"]

_POSITIONS: Final = 17.1  # asked for, so that with balances about 20 legs come out


def run(setting: Setting) -> Iterator[Result]:
    """Yield the one row; it has no seconds."""
    gc.collect()
    before = resident_bytes()
    stage = make_stage(DERIBIT, setting.accounts, _POSITIONS)
    gc.collect()
    after = resident_bytes()
    book = stage.book
    columns = book.legs.nbytes + book.account_class.nbytes + book.pool_account.nbytes + book.pool_key.nbytes
    accounts = len(book)
    try:
        live = live_book(stage).nbytes / accounts
    except NotHereError:
        live = None
    yield result(
        "memory", 1, None, accounts=accounts, legs_per_account=book.legs.row.shape[0] / accounts,
        bytes_per_account=columns / accounts, live_bytes_per_account=live,
        process_bytes_per_account=(after - before) / accounts if before and after else None,
    )  # fmt: skip
