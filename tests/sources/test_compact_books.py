"""Compact books as files: the same book comes back, Arrow's in place; what is no such book is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from msgspec import structs

from crossmargin.account import Account, Book, Position
from crossmargin.errors import FailureReason, InputError
from crossmargin.margin import assess_book
from crossmargin.margin.program.compact import CompactBook, compact
from crossmargin.sources import read_compact_book, write_compact_book
from tests.strategies.books import decimal, market, random_accounts, rules
from tests.twins.figures import figures

SPECS = ("deribit-standard@2024-04-01", "bybit-unified@2025-09-18", "family-isolated@2020-01-01", "gmx-v2@2023-08-01")


def made(spec: str = SPECS[0]) -> CompactBook:
    odd = Account(id="nobody", positions=(Position(instrument="NO", quantity=decimal(1.0), entry_price=decimal(1.0)),))
    return compact(Book.from_accounts([*random_accounts(spec, 4, 60), odd]), market(), rules(spec))


def file_of(folder: Path, name: str) -> Path:
    """The file of a table, which bears its book's token."""
    (found,) = folder.glob(f"{name}.*")
    return found


def address(array: np.ndarray) -> int:
    return int(array.__array_interface__["data"][0])


@pytest.mark.parametrize("parquet", [False, True], ids=["arrow", "parquet"])
@pytest.mark.parametrize("spec", SPECS)
def test_a_book_comes_back(spec: str, parquet: bool, tmp_path: Path) -> None:
    book = made(spec)
    wanted = assess_book(book, market(), rules(spec))
    write_compact_book(book, tmp_path / "book", parquet=parquet)
    found = read_compact_book(tmp_path / "book")
    report = assess_book(found, market(), rules(spec))
    assert figures(report) == figures(wanted)
    assert report.failures == wanted.failures
    assert found.account_ids == book.account_ids
    assert found.pool_labels == book.pool_labels
    part = read_compact_book(tmp_path / "book", 7, 20)
    assert figures(assess_book(part, market(), rules(spec))) == figures(
        assess_book(book.part(7, 20), market(), rules(spec))
    )


def test_arrow_files_are_read_in_place(tmp_path: Path) -> None:
    write_compact_book(made(), tmp_path)
    before = pa.total_allocated_bytes()
    book = read_compact_book(tmp_path)
    assert pa.total_allocated_bytes() == before
    columns = pa.ipc.open_file(pa.memory_map(str(file_of(tmp_path, "legs")))).read_all()
    mapped = columns.column("quantity").chunk(0)
    for array in (*book.legs.buffers().values(), book.account_ids.ends, book.account_ids.text, book.pool_account):
        if array.size:  # nothing of the book is this process's own memory
            assert not array.flags.owndata
            assert not array.flags.writeable
            assert address(array) % 8 == 0
    assert np.array_equal(book.legs.quantity, mapped.to_numpy())
    part = read_compact_book(tmp_path, 10, 20)
    assert part.legs.quantity.shape == book.legs.quantity.shape  # a view of the whole file


def test_a_part_with_gaps_is_written_without_them(tmp_path: Path) -> None:
    part = made().part(20, 30)
    write_compact_book(part, tmp_path)
    assert read_compact_book(tmp_path).legs.row.shape[0] == int(part.legs.count.sum())


def test_terms_made_from_columns_come_back(tmp_path: Path) -> None:
    listings = {
        name: one if one.strike is None else structs.replace(one, strike=np.float64(one.strike))
        for name, one in market().listings.items()
    }
    snapshot = structs.replace(market(), listings=listings)
    book = compact(Book.from_accounts(random_accounts(SPECS[0], 4, 20)), snapshot, rules(SPECS[0]))
    write_compact_book(book, tmp_path)
    assert dict(read_compact_book(tmp_path).universe.listings) == dict(book.universe.listings)


def test_an_empty_book_comes_back(tmp_path: Path) -> None:
    write_compact_book(made().part(5, 5), tmp_path)
    assert len(read_compact_book(tmp_path)) == 0


def test_another_rulebook_is_refused(tmp_path: Path) -> None:
    write_compact_book(made(), tmp_path)
    with pytest.raises(InputError, match="laid out for another rulebook"):
        assess_book(read_compact_book(tmp_path), market(), rules(SPECS[1]))


def replaced(path: Path, **columns: object) -> None:
    table = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
    held = {name: table.column(name).to_numpy() for name in table.column_names} | columns
    fresh = pa.table({name: values for name, values in held.items() if values is not None})
    path.unlink()
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, fresh.schema) as writer:
        writer.write_table(fresh)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda d: cut(file_of(d, "legs")), "cannot be read"),
        (lambda d: cut(d / "meta.json"), "not the meta.json of a compact book"),
        (lambda d: file_of(d, "legs").write_bytes(b""), "cannot be read"),
        (lambda d: file_of(d, "legs").unlink(), "cannot be read"),
        (lambda d: (d / "meta.json").unlink(), "has a file meta.json"),
        (lambda d: (d / "meta.json").write_text("{}"), "not the meta.json of a compact book"),
        (lambda d: replaced(file_of(d, "legs"), row=None), "expected columns"),
        (
            lambda d: replaced(file_of(d, "legs"), quantity=np.zeros(3, np.float32), row=np.zeros(3, np.uint16)),
            "expected",
        ),
        (
            lambda d: replaced(file_of(d, "legs"), quantity=np.zeros(3), row=np.zeros(3, np.uint16)),
            "outside the book's",
        ),
        (lambda d: replaced(file_of(d, "extras"), leg=np.zeros(0, np.uint32), value=np.zeros(0)), "outside the book's"),
        (
            lambda d: replaced(file_of(d, "rows"), contract=np.array([9**9]), pool_class=np.array([0])),
            "outside the book's",
        ),
        (lambda d: replaced(file_of(d, "accounts"), id=None), "expected columns"),
    ],
)
def test_what_is_no_book_is_refused(harm: object, message: str, tmp_path: Path) -> None:
    write_compact_book(made(), tmp_path)
    harm(tmp_path)  # type: ignore[operator]
    with pytest.raises(InputError, match=message) as error:
        read_compact_book(tmp_path)
    assert error.value.reason == FailureReason.MALFORMED_INPUT
    assert str(tmp_path) in str(error.value)


def test_numbers_that_point_nowhere_are_refused(tmp_path: Path) -> None:
    book = made()
    for name, column in (("account", book.pool_account), ("key", book.pool_key), ("start", book.legs.start)):
        write_compact_book(book, tmp_path)
        bad = column.copy()
        bad[3] = 99_999
        replaced(file_of(tmp_path, "pools"), **{name: bad})
        with pytest.raises(InputError, match=r"points outside|pools must stand"):
            read_compact_book(tmp_path)


@pytest.mark.parametrize("inputs", [10**9, 10**18, 2, 0, -1])
@pytest.mark.parametrize("parquet", [False, True], ids=["arrow", "parquet"])
def test_a_number_of_inputs_without_its_columns_is_refused(inputs: int, parquet: bool, tmp_path: Path) -> None:
    write_compact_book(made(), tmp_path, parquet=parquet)
    meta = json.loads((tmp_path / "meta.json").read_text())
    assert meta["inputs"] == 1
    (tmp_path / "meta.json").write_text(json.dumps(meta | {"inputs": inputs}))
    with pytest.raises(InputError, match=rf"counts {inputs} inputs, this table has columns of 1") as error:
        read_compact_book(tmp_path)
    assert error.value.reason == FailureReason.MALFORMED_INPUT
    assert "pools." in str(error.value)


def test_a_table_of_rows_with_a_contract_twice_or_classes_mixed_is_refused(tmp_path: Path) -> None:
    book = made(SPECS[0])
    rows = book.universe.rows
    twice = np.where(np.arange(len(rows)) == 1, rows.contract[0], rows.contract)
    mixed = np.roll(rows.pool_class, 1)
    assert len(book.universe.pools) > 1
    for columns in (
        {"contract": twice},
        {"contract": np.zeros_like(rows.contract), "pool_class": np.zeros_like(rows.contract)},
        {"pool_class": mixed},
    ):
        write_compact_book(book, tmp_path)
        replaced(file_of(tmp_path, "rows"), **columns)
        with pytest.raises(InputError, match="template rows must stand in the order of classes") as error:
            read_compact_book(tmp_path)
        assert error.value.reason == FailureReason.MALFORMED_INPUT


def test_another_form_is_refused(tmp_path: Path) -> None:
    write_compact_book(made(), tmp_path)
    meta = json.loads((tmp_path / "meta.json").read_text())
    (tmp_path / "meta.json").write_text(json.dumps(meta | {"form": "crossmargin compact book 2"}))
    with pytest.raises(InputError, match="expected form 'crossmargin compact book 1'"):
        read_compact_book(tmp_path)


def test_accounts_that_are_not_there_are_refused(tmp_path: Path) -> None:
    write_compact_book(made(), tmp_path)
    with pytest.raises(InputError, match="accounts 10 to 100 are asked for; the book holds 61"):
        read_compact_book(tmp_path, 10, 100)
