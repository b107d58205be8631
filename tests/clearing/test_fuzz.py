"""Whatever a command says, the house answers; and what it answers keeps every invariant."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from crossmargin.clearing import commands as c
from crossmargin.clearing.configuration import Section, digest_of
from crossmargin.clearing.invariants import sums
from tests.clearing import venue
from tests.clearing.venue import Desk, open_house

numbers = st.one_of(st.integers(-5, 5), st.integers(-(10**12), 10**12), st.just(10**39), st.just(-(10**400)))
texts = st.one_of(
    st.text(max_size=8), st.sampled_from(["0", "\ud800", "-1e9999", "NaN", "1e-9", "0.0001", "inf", "1_0"])
)
owners = st.sampled_from(
    ["alice", "alice/hedge", "bob", "fund", "book", "round", "world", "", "/", "nobody", "alice/", "\ud800"]
)
assets = st.sampled_from(["USDC", "BTC", "ETH", "USD", "", "BTC-PERP", "DOGE"])
symbols = st.sampled_from([one.instrument.symbol for one in venue.CONTRACTS] + ["", "USDC", "DOGE-PERP"])
names = st.one_of(
    assets, symbols, st.sampled_from(["borrow:USDC", "lend:USDC", "lend:", "borrow:BTC", "lend:BTC-PERP"])
)
documents = st.one_of(
    texts, st.sampled_from(["{}", "[]", '{"USDC": {"digits": 6}}', '{"x": {"digits": -1}}', '{"x": {}}'])
)
quotes = st.dictionaries(
    names,
    st.builds(
        c.Quote, price=numbers, figures=st.dictionaries(st.sampled_from(["mark_iv", "twap", "x"]), texts, max_size=2)
    ),
    max_size=2,
)
maybe = st.one_of(st.none(), numbers)
FIELDS: dict[type, dict[str, st.SearchStrategy[Any]]] = {
    c.Configure: {"section": st.one_of(st.sampled_from(list(Section)), texts), "document": documents},
    c.Deposit: {"owner": owners, "asset": assets, "amount": numbers},
    c.Withdraw: {"owner": owners, "asset": assets, "amount": numbers},
    c.Transfer: {"owner": owners, "target": owners, "asset": assets, "amount": numbers},
    c.Trade: {
        "buyer": owners, "seller": owners, "instrument": symbols, "quantity": numbers, "price": numbers,
        "buyer_fee": numbers, "seller_fee": numbers, "buyer_limit": maybe, "seller_limit": maybe,
        "case": st.one_of(st.none(), texts),
    },
    c.PlaceOrder: {"owner": owners, "instrument": symbols, "quantity": numbers, "limit_price": numbers},
    c.Cancel: {"owner": owners, "instrument": symbols, "quantity": numbers, "limit_price": numbers},
    c.Prices: {"quotes": st.dictionaries(texts, quotes, max_size=2)},
    c.Accrue: {"index": names, "rate": texts, "mark": maybe},
    c.Settle: {"instrument": symbols, "price": numbers},
    c.Expire: {"instrument": symbols, "price": numbers},
    c.Bid: {"case": texts, "bidder": owners, "share": texts, "limit": texts, "step": numbers},
    c.Tick: {},
    c.StressAll: {},
}  # fmt: skip
drawn = st.sampled_from(list(FIELDS)).flatmap(
    lambda kind: st.tuples(st.just(kind), st.fixed_dictionaries(FIELDS[kind]))
)


def named(desk: Desk, kind: type, fields: dict[str, Any]) -> c.Command:
    if kind is c.Configure:
        document = fields["document"]
        fields = {**fields, "digest": "" if document == "\ud800" else digest_of(document)}
    command: c.Command = kind(**desk.named(), **fields)
    return command


@settings(max_examples=150)
@given(st.lists(drawn, min_size=1, max_size=20), st.sampled_from([0, 100]))
def test_the_house_answers_whatever_it_is_asked(drawn: list[tuple[type, dict[str, Any]]], days: int) -> None:
    desk = open_house()
    for kind, fields in drawn:
        desk.as_of += timedelta(days=days)
        answer = desk.house.handle(named(desk, kind, fields))
        assert answer.records
        assert sums(desk.house.state.balances) == {}
