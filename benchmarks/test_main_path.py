"""The main path in seconds. `make bench` prints them; docs/benchmarks.md keeps dated ones.

Nothing here asserts a time: machines differ. What is asserted is that the work was done.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from benchmarks.market import make_accounts, make_snapshot
from crossmargin.account import Book
from crossmargin.analysis.explain import explain
from crossmargin.analysis.prepared import prepare
from crossmargin.margin import assess, assess_resolved, resolve, with_values
from crossmargin.sources import load_rulebook

if TYPE_CHECKING:
    from pytest_benchmark.fixture import BenchmarkFixture

    from crossmargin.margin import Rulebook
    from crossmargin.market import Snapshot

ROOT = Path(__file__).resolve().parent.parent
DESK = ROOT / "src" / "crossmargin" / "cli" / "demo"
ACCOUNTS = 10_000


@pytest.fixture(scope="module")
def snapshot() -> Snapshot:
    return make_snapshot()


@pytest.fixture(scope="module")
def book(snapshot: Snapshot) -> Book:
    return Book.from_accounts(make_accounts(snapshot, ACCOUNTS))


@pytest.fixture(scope="module")
def shipped() -> Rulebook:
    return load_rulebook("deribit-portfolio@2024-04-01")


@pytest.fixture(scope="module")
def of_64_scenarios(shipped: Rulebook) -> Rulebook:
    """The shipped rulebook with a finer price axis: 28 x 2 scenarios in the matrix and 8 in the tails."""
    spot = [4 * (i / 14 - 1) for i in range(28)]
    block = {"spot": spot, "vol": ["down", "up"], "scale": "price_range / axis_steps"}
    return with_values(shipped, {"scenarios.matrix": [block]})


def _command(*arguments: str) -> None:
    done = subprocess.run([sys.executable, "-m", "crossmargin", *arguments], capture_output=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr.decode()


def test_help_cold(benchmark: BenchmarkFixture) -> None:
    """`crossmargin --help`, whole process."""
    benchmark.pedantic(_command, args=("--help",), rounds=9, warmup_rounds=1)


def test_assess_cold(benchmark: BenchmarkFixture) -> None:
    """`crossmargin assess` of the demo desk's five accounts, whole process."""
    files = (str(DESK / "accounts.json"), str(DESK / "snapshot.json"))
    benchmark.pedantic(_command, args=("assess", *files), rounds=7, warmup_rounds=1)


def test_assess_one_account(benchmark: BenchmarkFixture, snapshot: Snapshot, shipped: Rulebook) -> None:
    """`assess` of one account of 20 positions, resolve included, nothing kept."""
    account = make_accounts(snapshot, 1)[0]
    report = benchmark(lambda: assess(account, snapshot, shipped, withdrawable=False))
    assert report.initial_margin > 0


def test_resolve_book(benchmark: BenchmarkFixture, book: Book, snapshot: Snapshot, shipped: Rulebook) -> None:
    """`resolve` of 10,000 accounts x 20 positions on 490 instruments."""
    resolved = benchmark.pedantic(lambda: resolve(book, snapshot, shipped), rounds=7, warmup_rounds=1)
    assert not resolved.failures


@pytest.mark.parametrize("scenarios", ["shipped", "64"])
def test_assess_book(
    benchmark: BenchmarkFixture,
    book: Book,
    snapshot: Snapshot,
    shipped: Rulebook,
    of_64_scenarios: Rulebook,
    scenarios: str,
) -> None:
    """`assess_resolved` of the same book: all lines of deribit-portfolio."""
    rulebook = shipped if scenarios == "shipped" else of_64_scenarios
    resolved = resolve(book, snapshot, rulebook)
    report = benchmark.pedantic(lambda: assess_resolved(resolved, rulebook), rounds=7, warmup_rounds=1)
    assert not report.failures
    assert len(report) == ACCOUNTS


@pytest.mark.parametrize("name", ["deribit-portfolio@2024-04-01", "deribit-standard", "reference"])
def test_what_if_warm(benchmark: BenchmarkFixture, snapshot: Snapshot, name: str) -> None:
    """One pre-trade check on an account of 20 positions, prepared once."""
    prepared = prepare(make_accounts(snapshot, 1)[0], snapshot, load_rulebook(name), ["BTC-PERPETUAL"])
    checked = benchmark(lambda: prepared.what_if("BTC-PERPETUAL", 3.0))
    assert checked.initial_margin > 0


def test_what_if_batched(benchmark: BenchmarkFixture, snapshot: Snapshot, shipped: Rulebook) -> None:
    """1,000 pre-trade checks on the same account in one evaluation."""
    prepared = prepare(make_accounts(snapshot, 1)[0], snapshot, shipped, ["BTC-PERPETUAL"])
    trades = [("BTC-PERPETUAL", float(i % 50 + 1), None) for i in range(1_000)]
    assert len(benchmark(lambda: prepared.what_ifs(trades))) == len(trades)


def test_explain(benchmark: BenchmarkFixture, snapshot: Snapshot, shipped: Rulebook) -> None:
    """`explain` of an account of 20 positions: trees, contributions, liquidation prices, capital efficiency."""
    account = make_accounts(snapshot, 1)[0]
    assert benchmark.pedantic(lambda: explain(account, snapshot, shipped), rounds=5).contributions


def test_book_from_accounts(benchmark: BenchmarkFixture, snapshot: Snapshot) -> None:
    """Columns from 1,000 account structs of 20 positions."""
    accounts = make_accounts(snapshot, 1_000)
    made = benchmark.pedantic(lambda: Book.from_accounts(accounts), rounds=5, warmup_rounds=1)
    assert len(made) == len(accounts)
