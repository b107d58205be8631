"""What fills close to within rounding is closed: a live book is as flat as an account that never held anything."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest
from msgspec.structs import replace

from crossmargin.account import Account, Book
from crossmargin.instruments import InstrumentKind
from crossmargin.margin import LiveBook, assess_book, compact
from crossmargin.margin.trade import TradeCheck
from tests.margin.test_live import kernel
from tests.strategies.books import rules
from tests.strategies.events import Mirror, listed_for, tradable

TRADED = [
    ("synthetix-perps@2026-01-20", "perpetual"),
    ("binance-usdm@2024-09-01", "perpetual"),
    ("reference@2020-01-01", "perpetual"),
    ("reference@2020-01-01", "inverse"),
    ("reference@2020-01-01", "option"),
    ("deribit-portfolio@2026-02-01", "option"),
]
ROOM = {"USDC": Decimal(1_000_000), "USDT": Decimal(1_000_000), "BTC": Decimal(50)}


def live_of(spec: str) -> tuple[LiveBook, Mirror]:
    """A live book of one account with room for any trade, and its mirror in exact decimals."""
    mirror = Mirror(rules(spec), listed_for(rules(spec)), [Account(id="a", balances=dict(ROOM))])
    book = compact(Book.from_accounts(mirror.accounts), mirror.snapshot, mirror.rulebook)
    return LiveBook(book, mirror.snapshot, mirror.rulebook), mirror


def first_of(mirror: Mirror, kind: str) -> str:
    """An instrument of a kind, or of an inverse contract."""
    return next(one.symbol for one in tradable(mirror.snapshot) if kind in {one.kind, one.contract})


@pytest.mark.parametrize("serving", ["native", "numpy"])
@pytest.mark.parametrize(("spec", "kind"), TRADED)
@pytest.mark.parametrize("sign", [1, -1])
def test_a_position_closed_by_decimals_is_flat(spec: str, kind: str, serving: str, sign: int) -> None:
    with kernel(serving):
        live, mirror = live_of(spec)
        symbol = first_of(mirror, kind)
        for amount in ("0.1", "0.2"):
            live.fill("a", symbol, sign * float(amount))
            mirror.trade(0, symbol, sign * Decimal(amount), None, Decimal(0))
        last = -sign * 0.3
        assert -last != sign * 0.1 + sign * 0.2
        alone, many = live.what_if("a", symbol, last), live.what_ifs(["a"] * 2, [symbol] * 2, [last] * 2)
        live.fill("a", symbol, last)
        mirror.trade(0, symbol, -sign * Decimal("0.3"), None, Decimal(0))
        assert not mirror.accounts[0].positions
        (flat,) = assess_book(Book.from_accounts(mirror.accounts), mirror.snapshot, mirror.rulebook).rows()
        wanted = TradeCheck(*(getattr(flat, name) for name in TradeCheck._fields))
        found = [live.row("a"), alone, TradeCheck(*np.asarray(many)[:, 0]), TradeCheck(*np.asarray(many)[:, 1])]
        for one in found:
            assert [getattr(one, name) for name in wanted._fields] == pytest.approx(wanted, rel=1e-12, abs=0)
        assert holds(live) <= {f"\0{name}" for name in mirror.snapshot.assets}
        live.mark(replace(mirror.snapshot, listings={n: x for n, x in mirror.snapshot.listings.items() if n != symbol}))
        assert not live.failures


def holds(live: LiveBook) -> set[str]:
    """What the account has legs of; assets stand behind a NUL."""
    book = live.book()
    keys = list(book.universe.place)
    return {keys[n] for n in book.universe.rows.contract[book.legs.row].tolist()}


@pytest.mark.parametrize("serving", ["native", "numpy"])
@pytest.mark.parametrize("spec", ["synthetix-perps@2026-01-20", "binance-usdm@2024-09-01"])
@pytest.mark.parametrize("sign", [1, -1])
def test_what_rounding_leaves_of_the_trade_opens_nothing(spec: str, serving: str, sign: int) -> None:
    """In hedge mode, where the other side would be a leg of its own, as where opposite positions net."""
    with kernel(serving):
        live, mirror = live_of(spec)
        symbol = first_of(mirror, InstrumentKind.PERPETUAL)
        live.fill("a", symbol, sign * 0.3)
        last = -sign * (0.1 + 0.2)  # more than is held, by rounding
        assert live.what_if("a", symbol, last)[:2] == (0.0, 0.0)
        assert live.what_ifs(["a"], [symbol], [last]).initial_margin.tolist() == [0.0]
        live.fill("a", symbol, last)
        assert live.row("a").initial_margin == 0.0
        assert symbol not in holds(live)
        live.fill("a", symbol, sign * 0.3)
        live.fill("a", symbol, -sign * 0.5)  # the rest is no rounding
        assert -sign * 0.2 in live.book().legs.quantity.round(12).tolist()
