"""Files of a compact book that were changed are refused where they are read, with file and account."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest

from crossmargin.errors import FailureReason, InputError
from crossmargin.margin.program.book import PLACE_SHIFT, CompactBook
from crossmargin.sources import read_compact_book, write_compact_book
from tests.sources.test_compact_folders import made

BOOK = made()
LEGS = BOOK.legs
_MANY = int(np.flatnonzero(LEGS.count > 1)[3])
_BESIDE = int(np.flatnonzero(LEGS.extra_count)[2])


def harmed(folder: Path, name: str, **columns: object) -> Path:
    """Write the book, then one of its tables with other columns; return that table's file."""
    write_compact_book(BOOK, folder)
    (path,) = folder.glob(f"{name}.*")
    table = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
    fresh = pa.table({key: columns.get(key, table.column(key)) for key in table.column_names})
    path.unlink()
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, fresh.schema) as writer:
        writer.write_table(fresh)
    return path


def ids(ends: npt.NDArray[np.int64], text: npt.NDArray[np.uint8]) -> pa.Array:
    return pa.LargeStringArray.from_buffers(len(ends) - 1, pa.py_buffer(ends), pa.py_buffer(text))


def ends_with(**changed: int) -> npt.NDArray[np.int64]:
    ends = BOOK.account_ids.ends.copy()
    for place, value in changed.items():
        ends[int(place[1:])] = value
    return ends


def refusal(folder: Path, first: int = 0, last: int | None = None) -> InputError:
    with pytest.raises(InputError) as found:
        read_compact_book(folder, first, last)
    return found.value


@pytest.mark.parametrize(
    ("ends", "message"),
    [
        (ends_with(_5=1), "non-monotonic offset at slot 5"),
        (ends_with(_5=9**9), "slot 5 out of bounds"),
        (ends_with(_0=-3), "Negative offsets"),
        (ends_with(_40=9**9), "larger than values array"),
    ],
)
def test_ids_that_end_where_none_can_are_refused(ends: npt.NDArray[np.int64], message: str, tmp_path: Path) -> None:
    write_compact_book(BOOK, tmp_path)
    (path,) = tmp_path.glob("accounts.*")
    content, written = path.read_bytes(), BOOK.account_ids.ends.tobytes()
    assert content.count(written) == 1
    path.write_bytes(content.replace(written, ends.tobytes()))
    error = refusal(tmp_path)
    assert (error.reason, error.path) == (FailureReason.MALFORMED_INPUT, str(path))
    assert message in error.message


def test_ids_that_are_no_text_are_refused(tmp_path: Path) -> None:
    text = BOOK.account_ids.text.copy()
    text[int(BOOK.account_ids.ends[7])] = 0xFF
    path = harmed(tmp_path, "accounts", id=ids(BOOK.account_ids.ends, text))
    error = refusal(tmp_path)
    assert (error.reason, error.path) == (FailureReason.MALFORMED_INPUT, str(path))
    assert "from account 0 on: Invalid UTF8 sequence at string index 7" in error.message
    assert "from account 5 on: Invalid UTF8 sequence at string index 2" in refusal(tmp_path, 5, 20).message
    assert len(read_compact_book(tmp_path, 8, 20)) == 12  # a part looks at its own accounts


def test_an_id_that_stands_twice_is_refused(tmp_path: Path) -> None:
    names = list(BOOK.account_ids)
    names[30] = names[4]
    path = harmed(tmp_path, "accounts", id=pa.array(names, pa.large_string()))
    error = refusal(tmp_path)
    assert (error.reason, error.account, error.path) == (FailureReason.DUPLICATE_ACCOUNT, names[4], str(path))
    assert len(read_compact_book(tmp_path, 5, 40)) == 35


def account_of(book: CompactBook, pool: int) -> str:
    return book.account_ids[int(book.pool_account[pool])]


def test_legs_out_of_order_are_refused(tmp_path: Path) -> None:
    row, first = LEGS.row.copy(), int(LEGS.start[_MANY])
    last = first + int(LEGS.count[_MANY]) - 1
    assert row[first] < row[last]
    row[[first, last]] = row[[last, first]]
    path = harmed(tmp_path, "legs", row=row)
    error = refusal(tmp_path)
    assert (error.reason, error.path) == (FailureReason.MALFORMED_INPUT, str(path))
    assert error.account == account_of(BOOK, _MANY)
    assert "expected legs in ascending order of rows" in error.message
    before = int(BOOK.pool_account[_MANY])
    assert len(read_compact_book(tmp_path, 0, before)) == before


@pytest.mark.parametrize(
    "code",
    [
        (9 << PLACE_SHIFT),  # no column of those beside legs
        0,  # the quantity, which is no extra
        (1 << PLACE_SHIFT) | int(LEGS.count[_BESIDE]),  # a leg that the pool does not have
    ],
)
def test_extras_of_no_leg_or_column_are_refused(code: int, tmp_path: Path) -> None:
    codes = LEGS.extra_leg.copy()
    codes[int(LEGS.extra_start[_BESIDE])] = code
    path = harmed(tmp_path, "extras", leg=codes)
    error = refusal(tmp_path)
    assert (error.reason, error.path) == (FailureReason.MALFORMED_INPUT, str(path))
    assert error.account == account_of(BOOK, _BESIDE)
    assert "expected extras in the order of its legs" in error.message


@pytest.mark.parametrize("what", ["start", "extra_start"])
def test_pools_that_share_legs_are_refused(what: str, tmp_path: Path) -> None:
    starts = getattr(LEGS, what).copy()
    count = LEGS.count if what == "start" else LEGS.extra_count
    starts[np.flatnonzero(count)[1]] = starts[np.flatnonzero(count)[0]]
    path = harmed(tmp_path, "pools", **{what: starts})
    error = refusal(tmp_path)
    assert (error.reason, error.path) == (FailureReason.MALFORMED_INPUT, str(path))
    assert "of pools must stand one after the other" in error.message
