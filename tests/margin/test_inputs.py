"""What an account states counts in one of its pools, and which one is up to the account alone."""

from __future__ import annotations

from decimal import Decimal
from itertools import permutations
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from crossmargin.account import Account, Book, MarginMode, Position
from crossmargin.margin import LiveBook, Rulebook, assess, assess_book, compact
from crossmargin.margin.program.compact import compact_books
from crossmargin.market import Snapshot
from tests.margin.rules import made
from tests.margin.test_live import kernel
from tests.strategies.books import rules
from tests.strategies.events import Mirror, listed_for
from tests.strategies.portfolios import portfolios

PARTED = ("deribit-portfolio@2026-02-01", "deribit-standard@2024-04-01")
SPEC = PARTED[0]
BTC, ETH = "BTC-PERPETUAL", "ETH-PERPETUAL"
FIGURES = ("initial_margin", "maintenance_margin", "equity")


def held(symbol: str, contracts: int, entry: float, **more: Any) -> Position:  # noqa: ANN401 - fields of a position
    return Position(instrument=symbol, quantity=Decimal(contracts), entry_price=Decimal(entry), **more)


def figures(row: Any) -> list[float]:  # noqa: ANN401 - a row of a book, a report, a check
    return [getattr(row, name) for name in FIGURES]


def alone(account: Account, snapshot: Snapshot, rulebook: Rulebook) -> list[float]:
    report = assess(account, snapshot, rulebook)
    return [report.initial_margin, report.maintenance_margin, report.equity]


def close(wanted: list[float]) -> Any:  # noqa: ANN401 - what pytest compares by
    return pytest.approx(wanted, rel=1e-9, abs=1e-6)


def stating(rulebook: Rulebook, count: int, seed: int) -> list[Account]:
    """Random accounts of which every second states each input that the rulebook declares."""
    made_up = portfolios(rulebook, listed_for(rulebook), count, seed)
    given = dict.fromkeys(rulebook.inputs, Decimal(3))
    return [replace(one, inputs=given if n % 2 else {}) for n, one in enumerate(made_up)]


@pytest.mark.parametrize("serving", ["native", "numpy"])
@pytest.mark.parametrize("spec", PARTED)
@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 50), order=st.permutations(range(6)), shuffled=st.permutations(range(8)))
def test_an_account_stands_alone_as_among_others_in_any_order(
    serving: str, spec: str, seed: int, order: list[int], shuffled: list[int]
) -> None:  # fmt: skip
    rulebook = rules(spec)
    snapshot = listed_for(rulebook)
    accounts = [stating(rulebook, 6, seed)[n] for n in order]
    names = sorted(snapshot.assets, key=lambda name: shuffled[list(snapshot.assets).index(name)])
    other = replace(snapshot, assets={name: snapshot.assets[name] for name in names})
    with kernel(serving):
        wanted = {one.id: alone(one, snapshot, rulebook) for one in accounts}
        book = Book.from_accounts(accounts)
        live = LiveBook(compact(Book.from_accounts(accounts[:3]), other, rulebook), other, rulebook)
        for one in accounts[3:]:
            live.add_account(one)
        halves = [Book.from_accounts(accounts[:2]), Book.from_accounts(accounts[2:])]
        reports = [
            assess_book(one, market, rulebook).rows()
            for market in (snapshot, other)
            for one in (book, compact(book, market, rulebook), compact_books(halves, market, rulebook))
        ]
        for rows in [
            *reports,
            [live.row(one.id) for one in accounts],
            assess_book(live.book(), other, rulebook).rows(),
        ]:
            for row in rows:
                assert figures(row) == close(wanted[row.account])


def test_the_first_pool_is_the_first_by_name() -> None:
    """1 BTC of margin: 60,000 dollars more than without, whoever is met first and whatever it holds."""
    rulebook = rules(SPEC)
    snapshot = listed_for(rulebook)
    one = Account(
        id="a", balances={"BTC": Decimal(5), "ETH": Decimal(50)},
        positions=(held(ETH, 1000, 2400), held(BTC, 1000, 60000)),
    )  # fmt: skip
    other = Account(id="b", balances={"ETH": Decimal(1)}, positions=(held(ETH, 1, 2400),))
    added = []
    for accounts in permutations([replace(one, inputs={"mmp_margin": Decimal(1)}), other]):
        found = {row.account: row for row in assess_book(Book.from_accounts(accounts), snapshot, rulebook).rows()}
        added.append(figures(found["a"])[0] - alone(one, snapshot, rulebook)[0])
    assert added == [pytest.approx(snapshot.assets["BTC"].price)] * 2


CHARGED = """
[inputs]
given = { default = 0.5, unit = "money" }
[charges.charge]
level = "account"
is = "given"
"""


def charged(account: Account, pools: str, others: tuple[Account, ...] = ()) -> dict[str, float]:
    """What an account is charged by pool, among others that come before it."""
    rulebook = made(CHARGED, pools=pools)
    report = assess_book(Book.from_accounts([*others, account]), listed_for(rulebook), rulebook).report(len(others))
    return {pool.pool: pool.initial_margin for pool in report.pools}


def test_named_pools_come_by_name_after_the_shared_one() -> None:
    def grouped(*names: str) -> Account:
        positions = tuple(held(ETH, 1, 2400, pool=name or None) for name in names)
        return Account(id="".join(names), positions=positions, inputs={"given": Decimal(7)})

    by = 'by = "group"'
    before = grouped("zeta"), grouped("alpha")
    for others in ((), before, before[::-1]):
        assert charged(grouped("zeta", "beta"), by, others) == {"beta": 7, "zeta": 0}
        assert charged(grouped("beta", "zeta", ""), by, others) == {"cross": 7, "beta": 0, "zeta": 0}


def test_an_isolated_position_has_them_only_where_nothing_is_shared() -> None:
    apart = {"margin_mode": MarginMode.ISOLATED}
    two = Account(
        id="a", positions=(held(ETH, 1, 2400, **apart), held(BTC, 1, 60000, **apart)), inputs={"given": Decimal(7)}
    )
    assert charged(two, "") == {ETH: 7, BTC: 0}
    assert charged(replace(two, balances={"USD": Decimal(1)}), "") == {"cross": 7, ETH: 0, BTC: 0}


def test_who_states_nothing_has_the_default_whoever_else_states_something() -> None:
    silent, speaks = (Account(id=name, positions=(held(ETH, 1, 2400),)) for name in ("silent", "speaks"))
    speaks = replace(speaks, inputs={"given": Decimal(7)})
    assert charged(silent, "") == charged(silent, "", (speaks,)) == {"cross": 0.5}
    assert charged(replace(silent, inputs={"given": Decimal(0)}), "", (speaks,)) == {"cross": 0}


# --- in a live book pools open and empty


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["fill", "fill", "deposit", "input", "orders"]), st.integers(0, 1), st.sampled_from([-1, 1])
    ),
    min_size=1,
    max_size=9,
)


@pytest.mark.parametrize("serving", ["native", "numpy"])
@pytest.mark.parametrize("spec", PARTED)
@settings(max_examples=25, deadline=None)
@given(steps=STEPS, start=st.sampled_from(["nothing", "ETH", "both", "apart"]))
def test_inputs_go_along_as_pools_open_and_empty(
    serving: str, spec: str, steps: list[tuple[str, int, int]], start: str
) -> None:
    """Amounts and prices are such that what is closed or withdrawn leaves nothing at all."""
    mirror = Mirror(rules(spec), listed_for(rules(spec)))
    inputs = dict.fromkeys(list(mirror.rulebook.inputs)[:1], Decimal(1))
    balances = {"nothing": {}, "ETH": {"ETH": Decimal(1)}, "both": {"ETH": Decimal(1), "BTC": Decimal(1)}}
    isolated = held(ETH, 1024, 2048, margin_mode=MarginMode.ISOLATED)
    mirror.accounts = [
        Account(id="other", balances={"ETH": Decimal(1)}),
        Account(id="a", balances=balances.get(start, {}), positions=(isolated,) * (start == "apart"), inputs=inputs),
    ]
    with kernel(serving):
        laid = compact(Book.from_accounts(mirror.accounts), mirror.snapshot, mirror.rulebook)
        live = LiveBook(laid, mirror.snapshot, mirror.rulebook)
        for kind, which, sign in steps:
            take_step(live, mirror, kind, which, sign)
            wanted = close(alone(mirror.accounts[1], mirror.snapshot, mirror.rulebook))
            assert figures(live.row("a")) == wanted
            again = assess_book(live.book(), mirror.snapshot, mirror.rulebook)
            assert figures(again.rows()[1]) == wanted


def take_step(live: LiveBook, mirror: Mirror, kind: str, which: int, sign: int) -> None:
    symbol, asset, price = ((BTC, "BTC", 65536.0), (ETH, "ETH", 2048.0))[which]
    if kind == "input":
        name = next(iter(mirror.rulebook.inputs))
        live.set_input("a", name, 1.0 + sign)
        mirror.set_input(1, name, 1.0 + sign)
    elif kind == "deposit":
        live.deposit("a", asset, sign)
        mirror.deposit(1, asset, Decimal(sign))
    elif kind == "orders":
        orders = [(1024.0, price)] * (sign > 0)
        live.set_orders("a", symbol, orders)
        mirror.order(1, symbol, orders)
    elif not mirror.apart(1, symbol):
        quantity = 1024.0 * sign
        after = mirror.traded(1, symbol, Decimal(quantity), Decimal(price))
        wanted = close(alone(after, mirror.snapshot, mirror.rulebook)[:2])
        for _ in range(2):  # the first may open a pool, which changes nothing
            check = live.what_if("a", symbol, quantity, price)
            many = live.what_ifs(["a", "other"], [symbol] * 2, [quantity] * 2, [price] * 2)
            assert [check.initial_margin, check.maintenance_margin] == wanted
            assert np.asarray(many)[:2, 0].tolist() == wanted
        live.fill("a", symbol, quantity, price)
        mirror.accounts[1] = after


def test_inputs_leave_an_isolated_position_that_expires() -> None:
    """Nothing backs it and nothing is won: its account then holds nothing, and owes the figure in dollars."""
    rulebook = rules(SPEC)
    snapshot = listed_for(rulebook)
    symbol = next(one.symbol for one in snapshot.listings.values() if one.symbol.startswith("ETH") and one.expiry)
    alone_in = held(symbol, 1, 2400, margin_mode=MarginMode.ISOLATED)
    account = Account(id="a", positions=(alone_in,), inputs={"mmp_margin": Decimal(1)})
    mirror = Mirror(rulebook, snapshot, [account])
    live = LiveBook(compact(Book.from_accounts([account]), snapshot, rulebook), snapshot, rulebook)
    mirror.snapshot = mirror.delivered(symbol)
    live.mark(mirror.snapshot)
    live.expire(symbol)
    mirror.expire(symbol)
    assert figures(live.row("a")) == close(alone(mirror.accounts[0], mirror.snapshot, rulebook))
