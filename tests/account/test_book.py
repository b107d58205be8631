"""Accounts in columns: every row where it belongs, and what cannot be a quantity refused."""

from __future__ import annotations

from decimal import Decimal
from math import nan
from typing import Any

import pytest
from msgspec.structs import replace

from crossmargin.account import Account, Book, MarginMode, Order, Position, PositionSide
from crossmargin.account.book import check_account
from crossmargin.errors import FailureReason, InputError

R = FailureReason
HELD = Position(instrument="BTCUSDC", quantity=Decimal(2), entry_price=Decimal(60_000))
ORDER = Order(instrument="BTCUSDC", quantity=Decimal(-1), limit_price=Decimal(70_000))


def test_columns_point_into_the_tables() -> None:
    first = Account(
        id="first",
        class_="institution",
        balances={"USD": Decimal(10), "BTC": Decimal(-2)},
        accrued={"USD": Decimal(1), "ETH": Decimal(3)},
        positions=(replace(HELD, side=PositionSide.LONG, leverage=Decimal(5), accrued_funding=Decimal("-0.5")),),
        orders=(ORDER, replace(ORDER, instrument="ETHUSDC", reduce_only=True)),
    )
    apart = replace(HELD, margin_mode=MarginMode.ISOLATED, isolated_collateral={"USD": Decimal(7)}, pool="side")
    second = Account(id="second", positions=(replace(HELD, instrument="ETHUSDC"), apart), inputs={"x": Decimal(4)})
    book = Book.from_accounts([first, second])
    assert len(book) == 2
    assert book.account_ids == ("first", "second")
    assert [book.classes[i] for i in book.account_class] == ["institution", ""]
    p, b, o = book.positions, book.balances, book.orders
    assert [book.symbols[i] for i in p.symbol] == ["BTCUSDC", "ETHUSDC", "BTCUSDC"]
    assert (p.account.tolist(), p.side.tolist()) == ([0, 1, 1], [1, 0, 0])
    assert (p.isolated.tolist(), [book.pools[i] for i in p.pool]) == ([False, False, True], ["", "", "side"])
    assert (p.leverage[0], p.accrued_funding[0]) == (5, -0.5)
    rows = [
        (int(a), book.assets[i], q, x, int(at))
        for a, i, q, x, at in zip(b.account, b.asset, b.amount, b.accrued, b.position, strict=True)
    ]
    assert rows == [(0, "BTC", -2, 0, -1), (0, "ETH", 0, 3, -1), (0, "USD", 10, 1, -1), (1, "USD", 7, 0, 2)]
    assert [book.symbols[i] for i in o.symbol] == ["BTCUSDC", "ETHUSDC"]
    assert (o.quantity.tolist(), o.reduce_only.tolist()) == ([-1, -1], [False, True])
    assert book.inputs["x"].tolist() == [pytest.approx(nan, nan_ok=True), 4]


def test_an_isolated_account_isolates_each_position() -> None:
    account = Account(id="a", margin_mode=MarginMode.ISOLATED, positions=(HELD, replace(HELD, instrument="E")))
    cross = replace(account, id="b", positions=(replace(HELD, margin_mode=MarginMode.CROSS),))
    assert Book.from_accounts([account, cross]).positions.isolated.tolist() == [True, True, False]


def test_an_empty_book() -> None:
    book = Book.from_accounts([])
    assert len(book) == 0
    assert book.positions.quantity.shape == (0,)
    assert book.balances.amount.shape == (0,)


_NAN, _INF = Decimal("nan"), Decimal("inf")


@pytest.mark.parametrize(
    ("changes", "reason", "words"),
    [
        ({"positions": (replace(HELD, quantity=Decimal(0)),)}, R.INVALID_QUANTITY, "other than 0, found 0"),
        ({"positions": (replace(HELD, quantity=_NAN),)}, R.INVALID_QUANTITY, "found NaN"),
        ({"positions": (replace(HELD, quantity=_INF),)}, R.INVALID_QUANTITY, "found Infinity"),
        ({"positions": (replace(HELD, side=PositionSide.SHORT),)}, R.INVALID_QUANTITY, "side is short"),
        ({"positions": (replace(HELD, accrued_funding=_NAN),)}, R.INVALID_QUANTITY, "accrued_funding"),
        ({"positions": (replace(HELD, isolated_collateral={"USD": _INF}),)}, R.INVALID_QUANTITY, "USD"),
        ({"positions": (replace(HELD, entry_price=Decimal(-1)),)}, R.INVALID_PRICE, "entry_price"),
        ({"positions": (replace(HELD, entry_price=_NAN),)}, R.INVALID_PRICE, "entry_price"),
        ({"positions": (replace(HELD, leverage=Decimal(0)),)}, R.INVALID_PRICE, "leverage"),
        ({"orders": (replace(ORDER, quantity=Decimal(0)),)}, R.INVALID_QUANTITY, "order quantity"),
        ({"orders": (replace(ORDER, quantity=_NAN),)}, R.INVALID_QUANTITY, "order quantity"),
        ({"orders": (replace(ORDER, limit_price=Decimal(-1)),)}, R.INVALID_PRICE, "limit_price"),
        ({"orders": (replace(ORDER, limit_price=_INF),)}, R.INVALID_PRICE, "limit_price"),
        ({"balances": {"USD": _NAN}}, R.INVALID_QUANTITY, "balances of USD"),
        ({"accrued": {"USD": _INF}}, R.INVALID_QUANTITY, "accrued of USD"),
        ({"inputs": {"x": _NAN}}, R.INVALID_QUANTITY, "inputs of x"),
    ],
)
def test_what_cannot_be_is_refused_and_the_others_stand(changes: dict[str, Any], reason: R, words: str) -> None:
    account = replace(Account(id="bad", positions=(HELD,), orders=(ORDER,)), **changes)
    with pytest.raises(InputError) as refused:
        check_account(account)
    assert (refused.value.reason, refused.value.account) == (reason, "bad")
    assert words in refused.value.message
    book = Book.from_accounts([account, Account(id="good", positions=(HELD,))])
    assert set(book.failures) == {0}
    assert book.failures[0].reason == reason
    assert book.positions.account.tolist() == [1]
    assert not book.balances.account.size


def test_a_repeated_id_refuses_both() -> None:
    book = Book.from_accounts([Account(id="a", positions=(HELD,)), Account(id="b"), Account(id="a")])
    assert {row: failure.reason for row, failure in book.failures.items()} == {
        0: R.DUPLICATE_ACCOUNT,
        2: R.DUPLICATE_ACCOUNT,
    }
    assert not book.positions.account.size
