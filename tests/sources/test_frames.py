import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import polars as pl
import pytest
from hypothesis import given, settings

from crossmargin.account import Account
from crossmargin.errors import Failure, FailureReason, InputError
from crossmargin.margin.report import AccountState, BookRow, LineAmount
from crossmargin.market import Snapshot
from crossmargin.sources import load_accounts, load_snapshot, write_accounts, write_report_parquet, write_snapshot
from tests.strategies.domain import portfolios

VECTORS = Path(__file__).resolve().parents[1] / "vectors"


@pytest.fixture
def folder() -> Iterator[Path]:
    with TemporaryDirectory() as place:
        yield Path(place)


def test_the_vectors_survive_as_tables(folder: Path) -> None:
    accounts = load_accounts(VECTORS / "accounts.json")
    write_accounts(accounts.accounts, folder)
    assert load_accounts(folder) == accounts
    snapshot = load_snapshot(VECTORS / "snapshot.json")
    write_snapshot(snapshot, folder)
    assert load_snapshot(folder) == snapshot


@settings(max_examples=25)
@given(portfolios(max_accounts=3))
def test_writing_and_reading_changes_nothing(portfolio: tuple[Snapshot, tuple[Account, ...]]) -> None:
    snapshot, accounts = portfolio
    with TemporaryDirectory() as place:
        write_accounts(accounts, Path(place))
        assert load_accounts(place).require() == accounts
        write_snapshot(snapshot, Path(place))
        assert load_snapshot(place) == snapshot


def test_numeric_columns_are_read(folder: Path) -> None:
    pl.DataFrame({"id": ["a", "b"]}).write_parquet(folder / "accounts.parquet")
    held = {"account": ["a", "b"], "instrument": ["P", "P"], "quantity": [1.5, float("nan")], "entry_price": [3, None]}
    pl.DataFrame(held).write_parquet(folder / "positions.parquet")
    first, second = load_accounts(folder).require()
    assert str(first.positions[0].quantity) == "1.5"
    assert second.positions[0].quantity.is_nan()
    assert second.positions[0].entry_price is None


def test_a_bad_row_is_one_failure(folder: Path) -> None:
    pl.DataFrame({"id": ["a", "b"]}).write_parquet(folder / "accounts.parquet")
    held = {"account": ["a", "b"], "instrument": ["P", "P"], "quantity": ["1", "abc"]}
    pl.DataFrame(held).write_parquet(folder / "positions.parquet")
    loaded = load_accounts(folder)
    assert [account.id for account in loaded.accounts] == ["a"]
    (failure,) = loaded.failures
    assert failure.account == "b"
    assert "accounts[1].positions[0].quantity" in failure.message


@pytest.mark.parametrize(
    ("table", "columns", "says"),
    [
        ("positions", {"account": ["z"], "instrument": ["P"], "quantity": ["1"]}, "not in accounts.parquet"),
        ("positions", {"account": ["a"], "quantty": ["1"]}, "did you mean 'quantity'"),
    ],
)
def test_tables_that_would_lose_rows_are_refused(
    folder: Path, table: str, columns: dict[str, list[str]], says: str
) -> None:
    pl.DataFrame({"id": ["a"]}).write_parquet(folder / "accounts.parquet")
    pl.DataFrame(columns).write_parquet(folder / f"{table}.parquet")
    with pytest.raises(InputError, match=says):
        load_accounts(folder)


def test_repeated_assets_are_refused(folder: Path) -> None:
    pl.DataFrame({"id": ["a"]}).write_parquet(folder / "accounts.parquet")
    rows = {"account": ["a", "a"], "asset": ["BTC", "BTC"], "amount": ["1", "2"]}
    pl.DataFrame(rows).write_parquet(folder / "balances.parquet")
    (failure,) = load_accounts(folder).failures
    assert "'BTC' again" in failure.message


def test_what_is_no_directory_of_tables_is_refused(folder: Path) -> None:
    for load in (load_accounts, load_snapshot):
        with pytest.raises(InputError, match="is not there"):
            load(folder)
        with pytest.raises(InputError, match="give the directory"):
            load(folder / "x.parquet")
    (folder / "accounts.parquet").write_bytes(b"no parquet")
    with pytest.raises(InputError, match="cannot be read"):
        load_accounts(folder)


def test_without_the_extra_one_line_says_so(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "polars", None)
    with pytest.raises(InputError, match=r"pip install 'crossmargin\[frames\]'"):
        write_accounts([], folder)


class Row(msgspec.Struct, kw_only=True):
    account: str
    lines: dict[str, LineAmount]
    warnings: tuple[str, ...] = ()


def test_report_rows_become_flat_columns(folder: Path) -> None:
    lines = {"scan": LineAmount(section="charges", initial=2.0, maintenance=1.5)}
    write_report_parquet([Row(account="a", lines=lines, warnings=("w",)), Row(account="b", lines={})], folder / "r")
    frame = pl.read_parquet(folder / "r")
    assert frame["lines.scan.initial"].to_list() == [2.0, None]
    assert frame["warnings"].to_list() == ['["w"]', "[]"]


def test_book_rows_keep_infinite_ratios_and_failures(folder: Path) -> None:
    failure = Failure(FailureReason.MISSING_QUOTE, "no quote", "b", "P")
    rows = [
        BookRow(account="a", state=AccountState.HEALTHY, equity=1.0, coverage_ratio=float("inf")),
        BookRow(account="b", failure=failure),
    ]
    write_report_parquet(rows, folder / "book.parquet")
    frame = pl.read_parquet(folder / "book.parquet")
    assert frame["coverage_ratio"].to_list() == [float("inf"), None]
    assert frame["failure.reason"].to_list() == [None, "missing_quote"]
    assert frame["state"].to_list() == ["healthy", None]


def test_a_folder_that_is_not_there_is_not_written(folder: Path) -> None:
    with pytest.raises(InputError, match="cannot be written"):
        write_report_parquet([BookRow(account="a")], folder / "absent" / "book.parquet")
