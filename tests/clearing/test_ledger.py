"""Amounts, trades and their rounding, as pure functions of integers."""

from fractions import Fraction
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossmargin.clearing.checks import check_rows
from crossmargin.clearing.contracts import Contract, payoff, trade_money, worth
from crossmargin.clearing.events import Posted, Record
from crossmargin.clearing.indexes import PER_UNIT
from crossmargin.clearing.ledger import HELD, ROUND, WALLET, Balances, Layer, Row, UnbalancedError, add, gathered, total
from crossmargin.clearing.scales import to_decimal, to_text, to_units
from crossmargin.clearing.settlement import expiry_rows, settle_rows
from crossmargin.clearing.state import Draft, State
from crossmargin.clearing.trading import handover_rows, realised, trade_rows
from crossmargin.errors import FailureReason, InputError
from tests.clearing import venue
from tests.clearing.venue import terms

MARGINED = (venue.LINEAR, venue.INVERSE, venue.QUANTO, venue.ETHER)
quantities = st.integers(1, 10**6)
prices = st.integers(1, 10**7)


def traded(balances: Balances, one: Contract, buyer: str, seller: str, quantity: int, price: int) -> tuple[Row, ...]:
    t = terms(one)
    money = trade_money(t, quantity, price)
    bought, sold = (buyer, balances.get(buyer, {}), 0), (seller, balances.get(seller, {}), 0)
    rows = gathered(trade_rows(t, bought, sold, quantity, money))
    check_rows(rows, {t.symbol: t}, {})
    add(balances, rows)
    return rows


def value(balances: Balances, one: Contract, owner: str, price: int) -> Fraction:
    """Wallet and unrealised profit, exact."""
    t, held = terms(one), balances.get(owner, {})
    money = held.get((WALLET, t.settlement), 0) + held.get((t.basis, t.settlement), 0)
    return money + worth(t, held.get((HELD, t.symbol), 0), price)


@pytest.mark.parametrize("text", ["0", "1", "-0.000001", "123456789012345678901234567890.5", "1e3", "1.50e-4"])
def test_decimal_strings_come_back_exact(text: str) -> None:
    units = to_units(text, 6)
    assert to_decimal(units, 6) == to_decimal(to_units(to_text(units, 6), 6), 6)
    assert Fraction(to_decimal(units, 6)) == Fraction(text)


@pytest.mark.parametrize("text", ["", "a", "NaN", "Infinity", "0.0000001", "1e999", "1e-999", "9" * 70])
def test_what_is_no_amount_at_this_scale_is_refused(text: str) -> None:
    with pytest.raises(InputError) as refused:
        to_units(text, 6)
    assert refused.value.reason == FailureReason.INVALID_QUANTITY


def test_the_golden_linear_trade() -> None:
    """0.003 contracts at 60,000.7: 180.0021 dollars; closed at 60,001.8 a profit of 0.0033."""
    balances: Balances = {}
    traded(balances, venue.LINEAR, "alice", "bob", 3, 600_007)
    assert balances["alice"] == {(HELD, "BTC-PERP"): 3, ("basis:BTC-PERP", "USDC"): -180_002_100}
    traded(balances, venue.LINEAR, "bob", "alice", 3, 600_018)
    assert balances == {"alice": {(WALLET, "USDC"): 3_300}, "bob": {(WALLET, "USDC"): -3_300}}


def test_the_golden_inverse_trade() -> None:
    """100 contracts of 10 dollars at 60,000: 0.01666667 coin, rounded up for the short, who owes it."""
    balances: Balances = {}
    traded(balances, venue.INVERSE, "alice", "bob", 100, 600_000)
    assert balances["alice"] == {(HELD, "BTC-USD"): 100, ("basis:BTC-USD", "BTC"): 1_666_667}
    traded(balances, venue.INVERSE, "bob", "alice", 100, 660_000)
    assert balances["alice"] == {(WALLET, "BTC"): 1_666_667 - 1_515_152}


def test_the_golden_quanto_trade() -> None:
    """1 contract is worth a millionth of a coin per dollar: 100 contracts from 2,000 to 2,100 gain 0.01 coin."""
    balances: Balances = {}
    traded(balances, venue.QUANTO, "alice", "bob", 100_000, 20_000)
    traded(balances, venue.QUANTO, "bob", "alice", 100_000, 21_000)
    assert balances["alice"] == {(WALLET, "BTC"): 1_000_000}


def test_spot_and_premium_pay_from_the_wallet() -> None:
    balances: Balances = {}
    traded(balances, venue.SPOT, "alice", "bob", 5, 600_001)
    assert balances["alice"] == {(WALLET, "BTC"): 500_000, (WALLET, "USDC"): -300_000_500}
    traded(balances, venue.COIN_PUT, "alice", "bob", 1_000, 523)
    assert balances["alice"][WALLET, "BTC"] == 500_000 - 5_230_000
    assert balances["alice"][HELD, "BTC-USD-MAR-60000-P"] == 1_000


@given(st.sampled_from(MARGINED), quantities, prices)
def test_the_payer_pays_less_than_a_unit_too_much(one: Contract, quantity: int, price: int) -> None:
    exact = abs(worth(terms(one), quantity, price))
    assert 0 <= trade_money(terms(one), quantity, price) - exact < 1


@given(st.sampled_from(MARGINED), st.lists(st.tuples(st.booleans(), quantities, prices), min_size=1, max_size=12))
def test_a_trade_keeps_both_sides_worth_at_its_price_and_makes_nothing(
    one: Contract, trades: list[tuple[bool, int, int]]
) -> None:
    balances: Balances = {}
    for bought, quantity, price in trades:
        before = [value(balances, one, owner, price) for owner in ("alice", "bob")]
        sides = ("alice", "bob") if bought else ("bob", "alice")
        rows = traded(balances, one, *sides, quantity, price)
        after = [value(balances, one, owner, price) for owner in ("alice", "bob")]
        assert total(rows) == {}
        assert all(abs(b - a) < 1 for a, b in zip(before, after, strict=True))
    held = [balances.get(owner, {}).get((HELD, one.instrument.symbol), 0) for owner in ("alice", "bob")]
    assert sum(held) == 0


@given(st.sampled_from(MARGINED), quantities, quantities, prices, prices)
def test_profit_now_is_rounded_down_and_the_rest_stays(
    one: Contract, opened: int, closed: int, first: int, second: int
) -> None:
    balances: Balances = {}
    traded(balances, one, "alice", "bob", opened, first)
    cost = -balances["alice"][terms(one).basis, terms(one).settlement]
    closed = min(opened, closed)
    traded(balances, one, "bob", "alice", closed, second)
    received = trade_money(terms(one), closed, second) * (-1 if terms(one).inverse else 1)
    assert balances["alice"].get((WALLET, terms(one).settlement), 0) == received - ceil(Fraction(cost * closed, opened))


@given(quantities, quantities, prices, prices)
def test_a_flip_leaves_nothing_of_the_old_position(opened: int, more: int, first: int, second: int) -> None:
    balances: Balances = {}
    traded(balances, venue.LINEAR, "alice", "bob", opened, first)
    traded(balances, venue.LINEAR, "bob", "alice", opened + more, second)
    fresh = value({"alice": dict(balances["alice"])}, venue.LINEAR, "alice", second)
    wallet = balances["alice"].get((WALLET, "USDC"), 0)
    assert abs(fresh - wallet) < 2  # a flip opens at the trade's price: nothing unrealised but rounding
    assert balances["alice"][HELD, "BTC-PERP"] == -more


def test_opening_realises_nothing() -> None:
    assert realised(0, 0, 5, -500) == 0
    assert realised(5, -500, 5, -700) == 0
    assert realised(5, -500, -2, 260) == 60
    assert realised(5, -501, -2, 260) == 260 - 201


@given(st.sampled_from(MARGINED), quantities, quantities, prices, prices, st.booleans())
def test_a_position_handed_over_keeps_its_cost_and_realises_nothing(
    one: Contract, opened: int, given_away: int, price: int, mark: int, bought: bool
) -> None:
    t = terms(one)
    balances: Balances = {}
    traded(balances, one, *(("alice", "bob") if bought else ("bob", "alice")), opened, price)
    before = value(balances, one, "alice", mark)
    quantity = min(opened, given_away) * (1 if bought else -1)
    rows = handover_rows(t, "alice", balances["alice"], "vault", {}, quantity)
    assert total(rows) == {}
    add(balances, rows)
    assert (WALLET, t.settlement) not in balances["alice"]
    assert value(balances, one, "alice", mark) + value(balances, one, "vault", mark) == before
    if quantity == balances["vault"][HELD, t.symbol] == opened * (1 if bought else -1):
        assert balances["alice"] == {}


@given(st.sampled_from(MARGINED), quantities, prices, prices)
def test_settlement_of_profit_stays_in_the_account(one: Contract, quantity: int, first: int, mark: int) -> None:
    balances: Balances = {}
    traded(balances, one, "alice", "bob", quantity, first)
    for owner in ("alice", "bob"):
        before = value(balances, one, owner, mark)
        rows = settle_rows(terms(one), owner, balances[owner], mark)
        assert total(rows) == {}
        assert {row[0] for row in rows} <= {owner}
        add(balances, rows)
        assert value(balances, one, owner, mark) == before
        unrealised = value({owner: {k: v for k, v in balances[owner].items() if k[0] != WALLET}}, one, owner, mark)
        assert 0 <= unrealised < 1


@given(
    st.sampled_from((venue.FUTURE, venue.INVERSE_FUTURE, venue.CALL, venue.COIN_PUT)),
    st.lists(st.tuples(st.sampled_from(("alice", "bob", "carol")), quantities, prices), min_size=1, max_size=6),
    prices,
)
def test_expiry_pays_everybody_less_than_a_unit_too_little_and_leaves_nothing(
    one: Contract, trades: list[tuple[str, int, int]], price: int
) -> None:
    t = terms(one)
    balances: Balances = {}
    for buyer, quantity, at in trades:
        traded(balances, one, buyer, "book", quantity, at)
    before = {
        o: (h.get((WALLET, t.settlement), 0), h.get((t.basis, t.settlement), 0), h.get((HELD, t.symbol), 0))
        for o, h in balances.items()
    }
    rows = gathered(expiry_rows(t, balances, price, {}))
    check_rows(rows, {t.symbol: t}, {})
    add(balances, rows)
    for owner, (wallet, basis, held) in before.items():
        assert set(balances[owner]) <= {(WALLET, t.settlement)}
        owed = wallet + basis + payoff(t, held, price)
        assert 0 <= owed - balances[owner].get((WALLET, t.settlement), 0) < 1
    assert 0 <= balances.get(ROUND, {}).get((WALLET, t.settlement), 0) <= len(before)


def test_payoffs() -> None:
    call, put = terms(venue.CALL), terms(venue.COIN_PUT)
    assert payoff(call, 2_000, 650_000) == 10_000_000_000  # 2 x 5,000 dollars
    assert payoff(call, 2_000, 550_000) == 0
    assert payoff(put, -1_000, 500_000_000) == -20_000_000  # 10,000 / 50,000 coin
    assert payoff(terms(venue.FUTURE), 1_000, 600_000) == 60_000_000_000


def test_a_row_too_many_is_caught() -> None:
    with pytest.raises(UnbalancedError, match="do not sum"):
        check_rows((("alice", WALLET, "USDC", 5),), {}, {})


@pytest.mark.parametrize("owner", ["round", "funding", "interest", "fees"])
def test_the_house_cannot_take_what_a_sign_error_leaves_over(owner: str) -> None:
    rows = (("alice", WALLET, "USDC", 5_000_000), (owner, WALLET, "USDC", -5_000_000))
    for turned in (rows, tuple((o, p, a, -n) for o, p, a, n in rows)):
        with pytest.raises(UnbalancedError):
            check_rows(turned, {}, {})


def settled_funding(contracts: int, units: int) -> tuple[Row, ...]:
    """Two owners who settle the same funding of some contracts in one posting, a tenth of a unit each was due less."""
    rows: list[Row] = []
    for symbol in ("BTC-PERP", "ETH-PERP")[:contracts]:
        for owner in ("alice", "bob"):
            due = PER_UNIT // 10
            rows += [(owner, "due", symbol, due), ("funding", "due", symbol, -due)]
            rows += [(owner, "wallet", "USDC", -units), ("funding", "wallet", "USDC", units)]
    return tuple(rows)


def test_each_payment_of_a_posting_may_be_rounded_once() -> None:
    """An account that is taken over settles the funding of all its contracts in one posting."""
    known = {one.instrument.symbol: terms(one) for one in (venue.LINEAR, venue.ETHER)}
    check_rows(settled_funding(1, 1), known, None)
    check_rows(settled_funding(2, 1), known, None)
    for contracts in (1, 2):
        with pytest.raises(UnbalancedError, match="funding would receive"):
            check_rows(settled_funding(contracts, 2), known, None)


OWNERS = st.sampled_from(("alice", "bob", "carol", "fund"))
MOVES = st.lists(st.tuples(OWNERS, st.sampled_from((WALLET, HELD)), st.just("USDC"), st.integers(-3, 3)), max_size=12)


@given(MOVES, MOVES, MOVES)
def test_a_layer_over_balances_is_a_copy_of_them(below: list[Row], first: list[Row], second: list[Row]) -> None:
    balances: Balances = {}
    add(balances, below)
    before = {owner: dict(held) for owner, held in balances.items()}
    copy = {owner: dict(held) for owner, held in balances.items()}
    layer = Layer(balances)
    over = layer
    for rows in (first, second):
        for owner in {row[0] for row in rows}:
            over.written(owner)
        add(over, rows)
        add(copy, rows)
        assert list(over.items()) == list(copy.items())
        assert list(over) == list(copy)
        assert len(over) == len(copy)
        assert {one: over.get(one) for one in ("alice", "bob", "carol", "fund", "nobody")} == {
            one: copy.get(one) for one in ("alice", "bob", "carol", "fund", "nobody")
        }
        assert [owner in over for owner in before] == [True] * len(before)
        assert "nobody" not in over
        over = Layer(over)  # a draft of a draft
    assert balances == before
    with pytest.raises(NotImplementedError):
        del layer["alice"]


def test_a_draft_leaves_the_state_that_it_began_as() -> None:
    """What a draft writes to is copied before, whoever held it."""
    state = State(balances={"alice": {(WALLET, "USDC"): 7}, "bob": {(WALLET, "USDC"): -7}})
    draft = Draft(state)
    rows = (("alice", WALLET, "USDC", -3), ("bob", WALLET, "USDC", 3))
    for number in (1, 2):
        event = Posted("test", None, rows)
        draft.fold(Record(number, "desk", number, venue.START, "", "", event))
    assert draft.state.balances["alice"] == {(WALLET, "USDC"): 1}
    assert draft.state.balances["bob"] == {(WALLET, "USDC"): -1}
    assert state.balances == {"alice": {(WALLET, "USDC"): 7}, "bob": {(WALLET, "USDC"): -7}}
