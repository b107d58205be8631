"""Shards over processes give the bits of one process, also when one of them dies."""

from __future__ import annotations

import multiprocessing
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from crossmargin.account import Account, Book, Position
from crossmargin.cluster import assess_shards, mapped, processes, shards_of
from crossmargin.cluster.shards import bounds
from crossmargin.errors import CrossmarginError, FailureReason, InputError, RulebookError
from crossmargin.margin import assess_book
from crossmargin.margin.program.compact import CompactBook, compact
from crossmargin.sources import write_compact_book
from tests.strategies.books import decimal, market, random_accounts, rules
from tests.twins.figures import figures

WITH_PROGRAM, WITHOUT = "derive-standard@2024-06-12", "bybit-unified@2025-09-18"
COUNT = 80


def made(spec: str, count: int = COUNT) -> CompactBook:
    odd = Account(id="nobody", positions=(Position(instrument="NO", quantity=decimal(1.0), entry_price=decimal(1.0)),))
    accounts = random_accounts(spec, 6, count)
    return compact(Book.from_accounts([*accounts[:11], odd, *accounts[11:]]), market(), rules(spec))


@pytest.mark.parametrize("spec", ["derive-standard@2024-06-12", "mango-v4@2024-01-01", "deribit-standard@2024-04-01"])
@pytest.mark.parametrize("shards", [1, 3, 200])
def test_shards_of_this_process_give_the_bits_of_the_whole(spec: str, shards: int) -> None:
    book = made(spec)
    wanted = assess_book(book, market(), rules(spec))
    found = assess_shards(book, market(), rules(spec), processes=1, shards=shards)
    assert figures(found) == figures(wanted)
    assert found.failures == wanted.failures
    assert found.engine == wanted.engine


@pytest.mark.parametrize("spec", [WITH_PROGRAM, WITHOUT])
def test_processes_give_the_bits_of_one(spec: str) -> None:
    book = made(spec)
    wanted = assess_book(book, market(), rules(spec))
    seen: list[tuple[int, int]] = []
    found = assess_shards(book, market(), rules(spec), processes=2, shards=5, progress=lambda *done: seen.append(done))
    assert figures(found) == figures(wanted)
    assert found.failures == wanted.failures
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert (len(seen), seen[-1]) == (5, (len(book), len(book)))


def test_a_killed_process_is_replaced() -> None:
    book = made(WITHOUT)
    wanted = assess_book(book, market(), rules(WITHOUT))
    killed: list[int] = []

    def kill(*_: int) -> None:
        if not killed:
            victim = multiprocessing.active_children()[0]
            killed.append(victim.pid or 0)
            victim.kill()
            victim.join()

    found = assess_shards(book, market(), rules(WITHOUT), processes=2, shards=30, progress=kill)
    assert killed
    assert figures(found) == figures(wanted)
    assert found.failures == wanted.failures


def test_processes_that_all_die_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mapped, "write", lambda path, _: path.write_bytes(b"nothing that could be opened" * 9))
    with pytest.raises(CrossmarginError, match="3 workers died one after the other"):
        assess_shards(made(WITHOUT, 5), market(), rules(WITHOUT), processes=1 + 1)


def test_the_caller_may_stop_half_way() -> None:
    def stop(*_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        assess_shards(made(WITHOUT), market(), rules(WITHOUT), processes=2, progress=stop)


def test_a_small_book_needs_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "_elsewhere", None)
    assert not assess_shards(made(WITHOUT), market(), rules(WITHOUT)).engine


def test_what_cannot_be_done_is_refused() -> None:
    book = made(WITHOUT, 5)
    with pytest.raises(InputError, match="at least one process is needed, found 0"):
        assess_shards(book, market(), rules(WITHOUT), processes=0)
    for shards in (-1, 0):
        with pytest.raises(InputError, match=f"at least one shard is needed, found {shards}"):
            assess_shards(book, market(), rules(WITHOUT), shards=shards)
    with pytest.raises(InputError, match="laid out for another rulebook"):
        assess_shards(book, market(), rules(WITH_PROGRAM))


def test_bounds_cover_every_account_once() -> None:
    for accounts in (0, 1, 7, 100):
        for shards in (1, 3, 8):
            ends = bounds(accounts, shards)
            assert [n for first, last in ends for n in range(first, last)] == list(range(accounts))
            assert max(last - first for first, last in ends) <= -(-accounts // shards)


def test_sources_hold_their_own_accounts_only(tmp_path: Path) -> None:
    book = made(WITH_PROGRAM)
    write_compact_book(book, tmp_path)
    for whole in (book, tmp_path):
        parts = [source.read() for source in shards_of(whole, 4)]
        assert [name for part in parts for name in part.account_ids] == list(book.account_ids)
    assert sum(source.read().legs.quantity.size for source in shards_of(book, 4)) == book.legs.quantity.size


def test_a_folder_written_anew_is_no_source_of_the_old_shards(tmp_path: Path) -> None:
    book = made(WITH_PROGRAM)
    write_compact_book(book, tmp_path)
    shards = shards_of(tmp_path, 2)
    kept = shards[0].read()
    write_compact_book(book, tmp_path)
    assert tuple(kept.account_ids) == tuple(book.account_ids)[: len(kept)]
    with pytest.raises(InputError, match="another book was written here") as error:
        shards[1].read()
    assert error.value.path == str(tmp_path)


def test_objects_come_back_from_mapped_files(tmp_path: Path) -> None:
    given: dict[str, Any] = {
        "a": np.arange(5.0),
        "b": np.zeros((0, 3)),
        "c": "text",
        "d": np.arange(7, dtype=np.uint16),
    }
    mapped.write(tmp_path / "x", given)
    found = mapped.read(tmp_path / "x")
    assert found["c"] == "text"
    for name in ("a", "b", "d"):
        assert found[name].dtype == given[name].dtype
        assert np.array_equal(found[name], given[name])
        assert not found[name].flags.writeable
    mapped.write_zeros(tmp_path / "y", 48)
    mapped.map_array(tmp_path / "y", (2, 3))[1, 2] = 4.0
    assert mapped.map_array(tmp_path / "y", (2, 3)).tolist() == [[0.0, 0.0, 0.0], [0.0, 0.0, 4.0]]


@pytest.mark.parametrize(
    "error",
    [
        InputError(FailureReason.MISSING_VOL, "no vol", account="a", instrument="b", path="c"),
        RulebookError("wrong", path="x.toml", line=3),
        CrossmarginError("died"),
    ],
)
def test_errors_travel_between_processes(error: CrossmarginError) -> None:
    found = pickle.loads(pickle.dumps(error))  # noqa: S301
    assert (type(found), str(found), vars(found)) == (type(error), str(error), vars(error))
