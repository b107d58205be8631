"""Who was refused when a live book was laid out, what a batch says of them, and what a book does at its edges."""

from __future__ import annotations

import os
import subprocess
import sys
from decimal import Decimal
from math import inf
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from msgspec.structs import replace

from crossmargin.account import Account, Book, Position
from crossmargin.errors import FailureReason, InputError
from crossmargin.kernels.engine import serving
from crossmargin.margin import LiveBook, assess_book, compact
from crossmargin.margin.trade import joined
from tests.margin.test_live import REFERENCE, kernel
from tests.strategies.books import LATEST, rules
from tests.strategies.events import Mirror, listed_for
from tests.strategies.portfolios import portfolios

if TYPE_CHECKING:
    from pathlib import Path

    from crossmargin.margin import Rulebook
    from crossmargin.market import Snapshot

LACKING = "GONE"


def with_one_refused() -> tuple[LiveBook, Account, Snapshot, Rulebook]:
    """A live book whose last account holds what no snapshot lists yet, and the snapshot that does."""
    mirror = Mirror.of(rules(REFERENCE), 4, 1)
    lacking = Position(instrument=LACKING, quantity=Decimal(1), entry_price=Decimal(1))
    account = Account(id="late", balances={"USDC": Decimal(100_000)}, positions=(lacking,))
    book = compact(Book.from_accounts([*mirror.accounts, account]), mirror.snapshot, mirror.rulebook)
    live = LiveBook(book, mirror.snapshot, mirror.rulebook)
    listing = replace(mirror.snapshot.listings["BTCUSDC"], symbol=LACKING)
    listings = {**mirror.snapshot.listings, LACKING: listing}
    return live, account, replace(mirror.snapshot, listings=listings), mirror.rulebook


@pytest.mark.parametrize("serving", ["native", "numpy"])
def test_an_account_that_was_refused_comes_in_when_it_is_added_again(serving: str) -> None:
    with kernel(serving):
        live, account, snapshot, rulebook = with_one_refused()
        number = live.account_number(account.id)
        with pytest.raises(InputError, match="does not list it"):
            live.add_account(account)
        assert set(live.failures) == {number}
        live.mark(snapshot)
        assert set(live.failures) == {number}
        assert live.add_account(account) == number
        wanted = assess_book(Book.from_accounts([account]), snapshot, rulebook).rows()[0]
        assert not live.failures
        assert live.row(account.id).initial_margin == pytest.approx(wanted.initial_margin, rel=1e-12)
        assert live.what_if(number, "BTCUSDC", 1.0) == live.what_if(account.id, "BTCUSDC", 1.0)
        with pytest.raises(InputError, match="an account of this id"):
            live.add_account(account)


@pytest.mark.parametrize("serving", ["native", "numpy"])
def test_a_batch_says_of_a_refused_account_that_it_stands_nowhere(serving: str) -> None:
    with kernel(serving):
        live, account, *_ = with_one_refused()
        found = live.what_ifs([0, live.account_number(account.id), 1], ["BTCUSDC"] * 3, [1.0, 1.0, -2.0])
        assert np.isnan(np.stack(found)).tolist() == [[False, True, False]] * 4
        alone = live.what_ifs([0, 1], ["BTCUSDC"] * 2, [1.0, -2.0])
        np.testing.assert_array_equal(np.stack(found)[:, [0, 2]], np.stack(alone))


@pytest.mark.parametrize("name", ["gmx-v2", "family-isolated"])
@pytest.mark.parametrize("serving", ["native", "numpy"])
def test_where_every_position_is_a_pool_no_trade_can_be_checked(name: str, serving: str) -> None:
    with kernel(serving):
        rulebook = rules(next(spec for spec in LATEST if spec.startswith(f"{name}@")))
        snapshot = listed_for(rulebook)
        book = Book.from_accounts(list(portfolios(rulebook, snapshot, 3, 1)))
        live = LiveBook(compact(book, snapshot, rulebook), snapshot, rulebook)
        assert live.what_ifs([], [], []).initial_margin.shape == (0,)
        with pytest.raises(InputError) as error:
            live.what_ifs([0], [next(iter(snapshot.listings))], [1.0])
        assert error.value.reason == FailureReason.OUT_OF_SCOPE


@pytest.mark.parametrize("odd", [["1"], [1 + 2j], [True], ["x"], [None]])
def test_a_batch_takes_real_numbers(odd: list[Any]) -> None:
    live, *_ = with_one_refused()
    with pytest.raises(InputError, match="quantities: expected real numbers"):
        live.what_ifs([0], ["BTCUSDC"], odd)
    with pytest.raises(InputError, match="prices: expected real numbers"):
        live.what_ifs([0], ["BTCUSDC"], [1], odd)


def test_no_balance_grows_beyond_all_numbers() -> None:
    live, *_ = with_one_refused()
    live.deposit(0, "USDC", 1e308)
    with pytest.raises(InputError, match="beyond all numbers"):
        live.deposit(0, "USDC", 1e308)
    live.deposit(0, "USDC", -1e308)
    assert 0 not in live.failures
    assert joined(inf, -1.0) == inf


_FORKING = """
import os, signal, threading, time
from tests.margin.test_live_refused import with_one_refused

live, *_ = with_one_refused()
snapshot, stop = live.snapshot, threading.Event()

def work():
    while not stop.is_set():
        live.mark(snapshot)
        live.view()

thread = threading.Thread(target=work)
thread.start()
codes = []
for _ in range(5):
    time.sleep(0.02)
    child = os.fork()
    if not child:
        signal.alarm(20)  # whoever waits for a lock that nobody holds ends here
        live.deposit(0, "USDC", 1.0)
        os._exit(0 if len(live.view().unit_equity) else 1)
    codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
stop.set()
thread.join()
assert codes == [0] * 5, codes
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing forks here")
def test_a_process_forks_between_two_events(root: Path) -> None:
    kept = {"CROSSMARGIN_KERNEL": serving()[0].partition("-")[0]}
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", _FORKING],
        cwd=root, env=os.environ | kept, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
