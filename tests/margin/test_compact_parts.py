"""A compact book in parts, in pieces and joined again is the same book."""

from __future__ import annotations

from collections import Counter
from dataclasses import fields, replace
from itertools import pairwise

import numpy as np
import pytest
from msgspec import structs

from crossmargin.account import Account, Book, Position
from crossmargin.errors import FailureReason, InputError
from crossmargin.margin import LiveBook, assess_book
from crossmargin.margin.program import compact as laying
from crossmargin.margin.program.book import CompactBook
from crossmargin.margin.program.compact import compact, compact_books
from crossmargin.margin.program.ids import Ids
from crossmargin.margin.program.join import join_books
from crossmargin.margin.program.split import split
from tests.strategies.books import decimal, market, random_accounts, rules
from tests.twins.figures import figures

SPECS = (
    "deribit-standard@2024-04-01", "bybit-unified@2025-09-18", "binance-usdm@2024-09-01", "family-isolated@2020-01-01",
    "derive-portfolio@2026-08-20", "span@2020-06-19", "panoptic@2026-09-28",
)  # fmt: skip
COUNT = 90


def refused(name: str) -> Account:
    """An account whose instrument no market lists."""
    return Account(
        id=name, positions=(Position(instrument="NO-SUCH", quantity=decimal(1.0), entry_price=decimal(1.0)),)
    )


def book_of(spec: str, seed: int = 3) -> Book:
    accounts = random_accounts(spec, seed, COUNT)
    return Book.from_accounts([*accounts[:40], refused("nobody"), Account(id="bare"), *accounts[40:]])


def compacted(spec: str, seed: int = 3) -> CompactBook:
    return compact(book_of(spec, seed), market(), rules(spec))


def same(a: CompactBook, b: CompactBook) -> bool:
    arrays = (("account_class", "pool_account", "pool_key"), a, b), ([f.name for f in fields(a.legs)], a.legs, b.legs)
    for names, x, y in arrays:
        for name in names:
            one, other = getattr(x, name), getattr(y, name)
            assert one.dtype == other.dtype, name
            assert one.tobytes() == other.tobytes(), name
    return (a.account_ids, a.pool_labels, a.failures) == (b.account_ids, b.pool_labels, b.failures)


@pytest.mark.parametrize("spec", SPECS)
def test_a_book_laid_out_in_pieces_is_the_book_laid_out_at_once(spec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = compacted(spec)
    monkeypatch.setattr(laying, "split", lambda book: split(book, 37))
    assert same(compacted(spec), whole)


@pytest.mark.parametrize("spec", SPECS)
def test_parts_give_the_bits_of_the_whole(spec: str) -> None:
    book, rng = compacted(spec), np.random.default_rng(5)
    wanted = figures(assess_book(book, market(), rules(spec)))
    cuts = np.sort(rng.integers(0, len(book) + 1, 5)).tolist()
    for first, last in pairwise([0, *cuts, cuts[-1], len(book)]):
        for part in (book.part(first, last), book.part(first, last).packed()):
            report = assess_book(part, market(), rules(spec))
            low, high = np.searchsorted(book.pool_account, [first, last])
            assert figures(report) == [column[8 * low : 8 * high] for column in wanted]
            assert tuple(report.account_ids) == tuple(book.account_ids)[first:last]


@pytest.mark.parametrize("spec", SPECS)
def test_parts_join_to_the_whole(spec: str) -> None:
    book = compacted(spec)
    parts = [book.part(*ends) for ends in pairwise((0, 13, 13, 50, len(book)))]
    assert same(join_books(parts), book)


def test_a_part_shares_the_legs_of_its_book() -> None:
    book = compacted(SPECS[0])
    part = book.part(20, 60)
    assert part.legs.quantity is book.legs.quantity
    assert np.shares_memory(part.legs.start, book.legs.start)
    assert np.shares_memory(part.packed().legs.quantity, book.legs.quantity)  # legs side by side are cut, not copied
    assert part.packed().legs.quantity.shape[0] == int(part.legs.count.sum())
    with pytest.raises(IndexError, match="accounts 5 to 1000 of"):
        book.part(5, 1000)


def test_legs_that_lie_anywhere_are_packed() -> None:
    book = compacted(SPECS[0])
    legs = book.legs
    moved = replace(
        legs,
        row=np.concatenate([legs.row, legs.row]),
        quantity=np.concatenate([np.full_like(legs.quantity, np.nan), legs.quantity]),
        start=(legs.start + np.uint32(legs.row.shape[0])).astype(np.uint32),
    )
    odd = np.arange(len(legs)) % 2 == 1  # every other pool stands where it stood
    gaps = replace(
        moved,
        start=np.where(odd, moved.start, legs.start).astype(np.uint32),
        quantity=np.concatenate([legs.quantity, legs.quantity]),
    )
    for spread in (moved, gaps):
        assert same(replace(book, legs=spread.packed()), book)


@pytest.mark.parametrize("spec", SPECS)
def test_books_with_tables_of_their_own_are_laid_out_as_one(spec: str) -> None:
    accounts = random_accounts(spec, 3, COUNT)
    books = [Book.from_accounts(accounts[first:last]) for first, last in pairwise((0, 1, 30, 30, COUNT))]
    whole = assess_book(compact(Book.from_accounts(accounts), market(), rules(spec)), market(), rules(spec))
    found = assess_book(compact_books(books, market(), rules(spec)), market(), rules(spec))
    assert found.failures == whole.failures
    assert found.unit_account.tobytes() == whole.unit_account.tobytes()
    for name in ("equity", "maintenance", "initial"):
        one, other = (getattr(report, f"unit_{name}") for report in (found, whole))
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-6, err_msg=name)


def test_an_asset_of_which_nothing_is_known_is_refused() -> None:
    odd = Account(id="odd", balances={"NO-SUCH": decimal(1.0)})
    fine = Account(id="fine", balances={"USDC": decimal(1.0), "NO-SUCH": decimal(0.0)})
    spec = "deribit-portfolio-cross@2026-02-01"
    book = compact_books([Book.from_accounts([odd]), Book.from_accounts([fine])], market(), rules(spec))
    assert {n: failure.reason for n, failure in book.failures.items()} == {0: FailureReason.UNKNOWN_ASSET}
    assert list(assess_book(book, market(), rules(spec)).failures) == [0]


def test_only_like_books_are_joined() -> None:
    one, other = compacted(SPECS[0]), compacted(SPECS[1])
    with pytest.raises(InputError, match="book 1 has other contracts"):
        join_books([one, other])
    with pytest.raises(InputError, match="no book to join"):
        join_books([])


def test_nothing_makes_an_empty_book() -> None:
    book = compact_books([], market(), rules(SPECS[0]))
    assert (len(book), len(book.legs)) == (0, 0)
    assert assess_book(book, market(), rules(SPECS[0])).rows() == []


def in_portions(accounts: list[Account], cuts: tuple[int, ...]) -> CompactBook:
    books = [Book.from_accounts(accounts[first:last]) for first, last in pairwise((0, *cuts, len(accounts)))]
    return compact_books(books, market(), rules(SPECS[0]))


@pytest.mark.parametrize("cuts", [(10,), (2, 10), (3,), (), (10, 40)])
def test_an_account_id_in_two_portions_is_refused_as_in_one_book(cuts: tuple[int, ...]) -> None:
    some = random_accounts(SPECS[0], 3, 60)
    again = [structs.replace(some[n + 20], id=some[n].id) for n in (1, 1, 4)]
    accounts = [*some[:3], again[0], *some[3:30], refused(some[7].id), *again[1:], *some[30:]]
    whole = compact(Book.from_accounts(accounts), market(), rules(SPECS[0]))
    book = in_portions(accounts, cuts)
    assert dict(book.failures) == dict(whole.failures)
    assert {one.reason for one in book.failures.values()} == {FailureReason.DUPLICATE_ACCOUNT}
    assert sorted(book.failures) == [1, 3, 5, 8, 31, 32, 33]
    assert not np.isin(book.pool_account, list(book.failures)).any()
    assert (book.account_ids, book.pool_account.tolist()) == (whole.account_ids, whole.pool_account.tolist())
    found, wanted = (assess_book(one, market(), rules(SPECS[0])) for one in (book, whole))
    assert found.failures == wanted.failures
    np.testing.assert_allclose(found.unit_maintenance, wanted.unit_maintenance, rtol=1e-12, atol=1e-6)


def test_events_of_an_account_that_stands_twice_are_refused() -> None:
    accounts = random_accounts(SPECS[0], 3, 8)
    live = LiveBook(in_portions([*accounts, accounts[2]], (5,)), market(), rules(SPECS[0]))
    before = live.book()
    with pytest.raises(InputError) as error:
        live.deposit(accounts[2].id, "BTC", 1.0)
    assert error.value.reason == FailureReason.DUPLICATE_ACCOUNT
    assert same(live.book(), before)
    live.deposit(accounts[3].id, "BTC", 1.0)
    with pytest.raises(InputError, match="an account of this id is in the book"):
        live.add_account(accounts[2])


def test_books_that_share_an_account_are_not_joined() -> None:
    book = compacted(SPECS[0])
    with pytest.raises(InputError, match="more than once in the books to join") as error:
        join_books([book.part(0, 50), book.part(49, 60)])
    assert (error.value.reason, error.value.account) == (FailureReason.DUPLICATE_ACCOUNT, book.account_ids[49])
    twice = in_portions([*random_accounts(SPECS[0], 3, 8), random_accounts(SPECS[0], 3, 1)[0]], (5,))
    assert same(join_books([twice.part(0, 6), twice.part(6, 9)]), twice)  # refused both: nothing is to be mistaken


def test_repeated_ids_are_found_as_by_counting() -> None:
    rng = np.random.default_rng(7)
    short = ["".join(rng.choice(["", "\0", "a", "é"], size=int(rng.integers(4))).tolist()) for _ in range(200)]
    many = [f"{n}" for n in range(70_000)]  # more than are mixed at once
    for names in ([], ["a"], ["", ""], short, [*many, "65535", "70000"], [*short[:3], "x" * 200_000, *short[3:]]):
        ids, counts = Ids.of(names), Counter(names)
        assert ids.repeated().tolist() == [n for n, name in enumerate(names) if counts[name] > 1]
    ids = Ids.of(["a", "b", "a", "b"])
    assert ids[:2].repeated().tolist() == []
    assert ids[1:].repeated().tolist() == [0, 2]


def test_ids_that_mix_alike_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Ids, "_mixed", lambda self: np.zeros(len(self), dtype=np.uint64))
    assert Ids.of(["a", "b", "a", "c"]).repeated().tolist() == [0, 2]


def test_ids_read_as_a_tuple_does() -> None:
    names = ("", "a", "Zürich", "日本", "a")
    ids = Ids.of(names)
    assert (tuple(ids), len(ids), ids[2], ids[-1]) == (names, 5, "Zürich", "a")
    assert ids == names
    assert names == ids
    assert ids != names[:4]
    assert tuple(ids[1:4]) == names[1:4]
    assert tuple(ids[::2]) == names[::2]
    assert tuple(ids[4:2]) == ()
    assert Ids.join([ids[1:4], Ids.of(()), ids[4:]]) == names[1:]
    assert Ids.join([]) == ()
    with pytest.raises(IndexError):
        ids[5]
