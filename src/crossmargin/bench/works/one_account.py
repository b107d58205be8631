"""What a desk asks of one account: a whole report, an explanation, pre-trade checks prepared once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crossmargin.account import Book
from crossmargin.analysis.explain import explain
from crossmargin.analysis.prepared import prepare
from crossmargin.bench.accounts import accounts_of, make_book
from crossmargin.bench.result import result
from crossmargin.bench.setting import DERIBIT, market_of
from crossmargin.bench.timing import take_turns
from crossmargin.margin import assess
from crossmargin.sources import load_rulebook

if TYPE_CHECKING:
    from collections.abc import Iterator

    from crossmargin.bench.result import Result
    from crossmargin.bench.setting import Setting

__all__ = ["run"]

_TRADED = "BTC-PERPETUAL"


def run(setting: Setting) -> Iterator[Result]:
    """Yield the one row: its seconds are those of `assess`."""
    market, rules = market_of(DERIBIT), load_rulebook(DERIBIT)
    accounts = accounts_of(make_book(market, 1_000, 1), 1_000)
    account = min(accounts, key=lambda one: abs(len(one.positions) - 20))
    prepared = prepare(account, market.snapshot, rules, [_TRADED])
    trades = [(_TRADED, float(n % 50 + 1), None) for n in range(1_000)]
    contenders = {
        "assess": lambda: assess(account, market.snapshot, rules, withdrawable=False),
        "explain": lambda: explain(account, market.snapshot, rules),
        "what_if_prepared": lambda: prepared.what_if(_TRADED, 3.0),
        "what_ifs_prepared_1000": lambda: prepared.what_ifs(trades),
        "book_from_1000_accounts": lambda: Book.from_accounts(accounts),
    }
    taken = take_turns(contenders, setting.repetitions, setting.enough)
    yield result("one_account", 1, taken["assess"], parts=taken, positions=len(account.positions))
