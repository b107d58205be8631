"""A compact book's folder holds one book whole, whoever reads it, writes it or is stopped while at it."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pytest

from crossmargin.account import Account, Book, Position
from crossmargin.errors import FailureReason, InputError
from crossmargin.margin import LiveBook, assess_book
from crossmargin.margin.program.compact import CompactBook, compact
from crossmargin.sources import compact_books, read_compact_book, write_compact_book
from tests.strategies.books import decimal, random_accounts, rules
from tests.strategies.events import listed_for
from tests.twins.figures import figures

SPEC = "deribit-standard@2024-04-01"
MARKET = listed_for(rules(SPEC))
TABLES = ("accounts", "extras", "legs", "pools", "rows")


def made(seed: int = 4, count: int = 40) -> CompactBook:
    return compact(Book.from_accounts(random_accounts(SPEC, seed, count)), MARKET, rules(SPEC))


def figures_of(book: CompactBook) -> tuple[list[str], list[bytes]]:
    return list(book.account_ids), figures(assess_book(book, MARKET, rules(SPEC)))


def names_in(folder: Path) -> list[tuple[str, str]]:
    """The folder's files without their token: name and sort."""
    return sorted((path.name.split(".")[0], path.suffix) for path in folder.iterdir())


def whole(tables: str) -> list[tuple[str, str]]:
    return sorted([*((name, f".{tables}") for name in TABLES), ("meta", ".json")])


OLD, NEW = made(4), made(5, 70)


@pytest.mark.parametrize("parquet", [False, True], ids=["arrow", "parquet"])
def test_who_has_read_the_old_book_keeps_it(parquet: bool, tmp_path: Path) -> None:
    write_compact_book(OLD, tmp_path)
    held, wanted = read_compact_book(tmp_path), figures_of(OLD)
    write_compact_book(made(6, 3), tmp_path, parquet=parquet)  # shorter files: what is mapped would be gone
    assert figures_of(held) == wanted
    write_compact_book(NEW, tmp_path, parquet=parquet)
    assert figures_of(held) == wanted
    assert figures_of(read_compact_book(tmp_path)) == figures_of(NEW)


@pytest.mark.parametrize("parquet", [False, True], ids=["arrow", "parquet"])
def test_a_book_is_written_back_to_where_it_was_read_from(parquet: bool, tmp_path: Path) -> None:
    write_compact_book(OLD, tmp_path, parquet=parquet)
    for _ in range(2):
        write_compact_book(read_compact_book(tmp_path), tmp_path, parquet=parquet)
    assert figures_of(read_compact_book(tmp_path)) == figures_of(OLD)
    write_compact_book(read_compact_book(tmp_path, 3, 20), tmp_path, parquet=parquet)
    assert figures_of(read_compact_book(tmp_path)) == figures_of(OLD.part(3, 20))


def test_a_live_book_is_written_back_to_where_it_started(tmp_path: Path) -> None:
    write_compact_book(OLD, tmp_path)
    live = LiveBook(read_compact_book(tmp_path), MARKET, rules(SPEC))
    live.deposit(0, "BTC", 1.5)
    write_compact_book(live.book(), tmp_path)
    assert figures_of(read_compact_book(tmp_path)) == figures_of(live.book())


def test_tables_of_the_other_format_go(tmp_path: Path) -> None:
    (tmp_path / "accounts.parquet").write_bytes(b"somebody's")
    for book, parquet in ((OLD, False), (NEW, True), (OLD, False)):
        write_compact_book(book, tmp_path, parquet=parquet)
        assert figures_of(read_compact_book(tmp_path)) == figures_of(book)
        left = names_in(tmp_path)
        left.remove(("accounts", ".parquet"))
        assert left == whole("parquet" if parquet else "arrow")
    assert (tmp_path / "accounts.parquet").read_bytes() == b"somebody's"


class Stopped(BaseException):
    """The process is killed."""


STEPS = ((Path, "open"), (os, "fsync"), (Path, "replace"), (Path, "unlink"))


def stopped_at(step: int, patch: pytest.MonkeyPatch, error: type[BaseException] = Stopped) -> list[int]:
    """Let everything that touches the disk fail from one step on; return what counts the steps."""
    taken = [0]

    def step_of(real: Callable[..., Any]) -> Callable[..., Any]:
        def taken_or_not(*given: Any, **named: Any) -> Any:  # noqa: ANN401 - whatever it is
            taken[0] += 1
            if taken[0] > step:
                raise error
            return real(*given, **named)

        return taken_or_not

    for owner, name in STEPS:
        patch.setattr(owner, name, step_of(getattr(owner, name)))
    return taken


@pytest.mark.parametrize("parquet", [False, True], ids=["arrow", "parquet"])
def test_a_writer_that_is_killed_leaves_the_old_book_or_the_new_one(parquet: bool, tmp_path: Path) -> None:
    wanted = {b"".join(figures_of(book)[1]): name for name, book in (("old", OLD), ("new", NEW))}
    found: list[str] = []
    for step in range(100):
        folder = tmp_path / str(step)
        write_compact_book(OLD, folder)
        with pytest.MonkeyPatch.context() as patch:
            taken = stopped_at(step, patch)
            try:
                write_compact_book(NEW, folder, parquet=parquet)
            except Stopped:
                pass
            else:
                assert step >= taken[0]
                break
        found.append(wanted[b"".join(figures_of(read_compact_book(folder))[1])])
        write_compact_book(OLD, folder)
        assert names_in(folder) == whole("arrow")  # nothing of the killed writer's stays
    first = found.index("new")
    assert found == ["old"] * first + ["new"] * (len(found) - first)
    assert first > 2 * len(TABLES)


def test_a_first_writer_that_is_killed_leaves_no_book(tmp_path: Path) -> None:
    for step in range(2 * len(TABLES)):
        with pytest.MonkeyPatch.context() as patch:
            stopped_at(step, patch)
            with pytest.raises(Stopped):
                write_compact_book(NEW, tmp_path)
        with pytest.raises(InputError, match=r"has a file meta\.json"):
            read_compact_book(tmp_path)
    write_compact_book(NEW, tmp_path)
    assert names_in(tmp_path) == whole("arrow")


@pytest.mark.parametrize("full", [True, False], ids=["over a book", "in an empty folder"])
def test_a_disk_without_room_leaves_what_was_there(full: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_room(_: int) -> None:
        raise OSError(28, "No space left on device")

    if full:
        write_compact_book(OLD, tmp_path)
    monkeypatch.setattr(os, "fsync", no_room)
    with pytest.raises(OSError, match="No space left"):
        write_compact_book(NEW, tmp_path)
    assert names_in(tmp_path) == (whole("arrow") if full else [])
    if full:
        assert figures_of(read_compact_book(tmp_path)) == figures_of(OLD)


def test_a_meta_of_something_else_keeps_what_lies_beside_it(tmp_path: Path) -> None:
    write_compact_book(OLD, tmp_path)
    (tmp_path / "meta.json").write_text("{}")
    before = names_in(tmp_path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError("no room")))
        with pytest.raises(OSError, match="no room"):
            write_compact_book(NEW, tmp_path)
    assert names_in(tmp_path) == before  # it may be a later version's book


def test_a_reader_that_is_overtaken_finds_the_new_book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_compact_book(OLD, tmp_path)
    read, books = compact_books._read, [NEW, OLD, NEW]

    def overtaken(pa: Any, folder: Path, name: str, meta: Any) -> Any:  # noqa: ANN401 - passed on
        if name == "pools" and books:
            write_compact_book(books.pop(0), tmp_path)
        return read(pa, folder, name, meta)

    monkeypatch.setattr(compact_books, "_read", overtaken)
    assert figures_of(read_compact_book(tmp_path)) == figures_of(NEW)
    assert not books


def test_readers_and_writers_at_once_see_whole_books(tmp_path: Path) -> None:
    write_compact_book(OLD, tmp_path)
    wanted, done = [figures_of(book) for book in (OLD, NEW)], Event()

    def write(turn: int) -> None:
        for n in range(8):
            write_compact_book((OLD, NEW)[(turn + n) % 2], tmp_path, parquet=n % 3 == 0)

    def read() -> int:
        times = 0
        while not done.is_set():
            assert figures_of(read_compact_book(tmp_path)) in wanted
            times += 1
        return times

    with ThreadPoolExecutor(4) as pool:
        readers = [pool.submit(read) for _ in range(2)]
        try:
            for writer in [pool.submit(write, turn) for turn in range(2)]:
                writer.result()
        finally:
            done.set()
        assert all(reader.result() for reader in readers)
    assert len(names_in(tmp_path)) == len(whole("arrow"))
    assert figures_of(read_compact_book(tmp_path)) in wanted


def test_a_table_of_another_book_is_not_read(tmp_path: Path) -> None:
    for name, book in (("a", OLD), ("b", NEW)):
        write_compact_book(book, tmp_path / name)
    (legs,) = (tmp_path / "b").glob("legs.*")
    (here,) = (tmp_path / "a").glob("legs.*")
    here.unlink()
    legs.rename(tmp_path / "a" / legs.name)
    with pytest.raises(InputError, match="cannot be read") as error:
        read_compact_book(tmp_path / "a")
    assert str(error.value.path) == str(here)


def test_a_token_names_files_of_the_folder_alone(tmp_path: Path) -> None:
    write_compact_book(OLD, tmp_path)
    meta = tmp_path / "meta.json"
    content = meta.read_text()
    (token,) = {path.name.split(".")[1] for path in tmp_path.glob("legs.*")}
    for harm in (f"/../{token}"[:16], token.upper() + "g", ""):
        meta.write_text(content.replace(token, harm))
        with pytest.raises(InputError, match=r"not the meta\.json of a compact book"):
            read_compact_book(tmp_path)


def test_accounts_refused_for_their_id_come_back(tmp_path: Path) -> None:
    twice = Account(id="twice", positions=(Position(instrument="NO", quantity=decimal(1.0)),))
    book = compact(Book.from_accounts([twice, *random_accounts(SPEC, 4, 5), twice]), MARKET, rules(SPEC))
    write_compact_book(book, tmp_path)
    found = read_compact_book(tmp_path)
    assert {n: one.reason for n, one in found.failures.items()} == dict.fromkeys(
        (0, 6), FailureReason.DUPLICATE_ACCOUNT
    )
    assert np.array_equal(found.account_ids.repeated(), [0, 6])
