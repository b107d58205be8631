"""Where trades land and what they leave behind, isolated positions above all: to the last decimal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from decimal import Decimal, localcontext
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from crossmargin.account import Account, MarginMode, Position, PositionSide
from crossmargin.analysis.basket import basket
from crossmargin.analysis.trades import Changes, Leg, changed_account
from crossmargin.analysis.whatif import WhatIf, what_if
from crossmargin.errors import InputError
from crossmargin.margin.report import AccountState
from crossmargin.market import AssetQuote, Snapshot
from tests.strategies.books import ASSETS, LATEST, option, perpetual, rules, snapshot_of

REFERENCE = rules(next(spec for spec in LATEST if spec.startswith("reference@")))
LINEAR, INVERSE = perpetual("BTC", "USDC", quote_asset="USDC"), perpetual("BTC", "BTC")
OTHER = perpetual("ETH", "USDC", quote_asset="USDC")
CALL, COIN_CALL = (option("BTC", settle, 50, 60_000.0, call=True) for settle in ("USDC", "BTC"))
MARKET = snapshot_of([LINEAR, INVERSE, OTHER, CALL, COIN_CALL])
MARK = Decimal(repr(LINEAR.mark_price))
CROSS, ISOLATED = MarginMode.CROSS, MarginMode.ISOLATED
LONG, SHORT = PositionSide.LONG, PositionSide.SHORT


def d(text: float | str) -> Decimal:
    return Decimal(str(text))


def held(quantity: float, entry: float | None = 60_000, symbol: str = LINEAR.symbol, **more: object) -> Position:
    fields: dict[str, Any] = dict(more)
    return Position(instrument=symbol, quantity=d(quantity), entry_price=None if entry is None else d(entry), **fields)


def apart(quantity: float, collateral: float | None = 9_000, **more: object) -> Position:
    """An isolated position."""
    backed = {} if collateral is None else {"USDC": d(collateral)}
    return held(quantity, margin_mode=ISOLATED, isolated_collateral=backed, **more)  # type: ignore[arg-type]


def desk(*positions: Position, mode: MarginMode = CROSS, **balances: float) -> Account:
    amounts = {name: d(amount) for name, amount in balances.items()}
    return Account(id="desk", margin_mode=mode, positions=positions, balances=amounts)


def after(account: Account, *legs: Leg) -> Account:
    return changed_account(account, MARKET, Changes(add=legs))[0]


def buy(quantity: float, price: float = 61_000, symbol: str = LINEAR.symbol) -> Leg:
    return (symbol, d(quantity), d(price))


def asked(account: Account, *legs: Leg) -> WhatIf:
    return what_if(account, MARKET, REFERENCE, Changes(add=legs))


# --- isolated positions


def test_an_isolated_position_closes_instead_of_a_second_one_opening() -> None:
    account = desk(held(1, 60_000, isolated_collateral={"USDC": d(8_000)}), mode=ISOLATED, USDC=10_000)
    found = asked(account, (LINEAR.symbol, d(-1), None))
    assert found.before.initial_margin > 0
    assert found.after.initial_margin == 0
    assert found.after.state == AccountState.HEALTHY
    assert found.equity == pytest.approx(0, abs=1e-6)
    closed = after(account, buy(-1))
    assert closed.positions == ()
    assert closed.balances == {"USDC": d(10_000) + 8_000 + 1_000}


def test_what_closes_of_an_isolated_position_is_realised_into_its_collateral() -> None:
    one = after(desk(apart(3, accrued_funding=d(10)), USDC=1), buy(-1))
    (left,) = one.positions
    assert one.balances == {"USDC": 1}
    with localcontext(prec=60):
        assert left.isolated_collateral["USDC"] + left.accrued_funding == d(9_000) + 1_000 + 10
    assert left.accrued_funding == pytest.approx(d(20) / 3)
    assert (left.quantity, left.entry_price, left.margin_mode) == (d(2), d(60_000), ISOLATED)


def test_a_loss_beyond_the_collateral_is_released_too() -> None:
    assert after(desk(apart(1, 500), USDC=2_000), buy(-1, 59_000)).balances == {"USDC": d(1_500)}


def test_an_isolated_position_grows_without_taking_collateral() -> None:
    one = after(desk(apart(2), USDC=1), buy(2, 62_000))
    assert one.positions == (replace(apart(4), entry_price=d(61_000)),)
    assert one.balances == {"USDC": 1}


@pytest.mark.parametrize("mode", [CROSS, ISOLATED])
def test_what_a_trade_turns_around_opens_in_the_accounts_own_mode(mode: MarginMode) -> None:
    one = after(desk(apart(2), mode=mode, USDC=1), buy(-3))
    assert one.positions == (held(-1, 61_000),)
    assert one.balances == {"USDC": d(1) + 9_000 + 2_000}


def test_an_instrument_held_in_both_modes_trades_in_the_accounts_own() -> None:
    both = (apart(2, side=LONG), held(-1, side=SHORT, margin_mode=CROSS))
    assert after(desk(*both), buy(-1, 60_000)).positions == (both[0], replace(both[1], quantity=d(-2)))
    assert after(desk(*both, mode=ISOLATED), buy(-1)).positions[0].quantity == 1
    # what is opposite there closes, and what is left lands on what is held in the other mode
    assert after(desk(*both), buy(3, 60_000)).positions == (apart(4, side=LONG),)


def test_a_label_of_a_pool_does_not_hide_an_isolated_position() -> None:
    assert after(desk(apart(2, pool="a"), USDC=0), buy(-2)).positions == ()
    grouped = held(2, pool="a")
    assert after(desk(grouped), buy(-2)).positions == (grouped, held(-2, 61_000))


def test_a_new_isolated_position_has_no_collateral_and_is_named() -> None:
    account = desk(apart(1), mode=ISOLATED, USDC=10_000)
    found = asked(account, (OTHER.symbol, d(5), None), (LINEAR.symbol, d(1), None))
    assert found.after.initial_margin > found.before.initial_margin
    assert found.equity == pytest.approx(0, abs=1e-6)
    assert [text for text in found.after.warnings if "no collateral" in text] == [
        "ETHUSDC opens as an isolated position, and a trade moves no collateral to it: give it some of its own"
    ]
    closed = asked(account, (OTHER.symbol, d(5), None), (OTHER.symbol, d(-5), None))
    assert not closed.after.warnings
    assert not asked(desk(USDC=10_000), (OTHER.symbol, d(5), None)).after.warnings


def test_premium_of_isolated_options() -> None:
    account = desk(mode=ISOLATED, USDC=10_000)
    bought = after(account, buy(1, 4_000, CALL.symbol))
    assert bought.balances == {"USDC": 6_000}
    assert bought.positions == (held(1, None, CALL.symbol),)
    sold = after(account, buy(-2, 4_000, CALL.symbol))
    assert sold.balances == {"USDC": 10_000}  # what an option was sold for stays beside what is owed on it
    assert sold.positions == (held(-2, None, CALL.symbol, isolated_collateral={"USDC": d("8000.0")}),)
    half = after(sold, buy(1, 5_000, CALL.symbol))
    assert half.positions[0].isolated_collateral == {"USDC": 3_000}
    assert after(half, buy(1, 5_000, CALL.symbol)).balances == {"USDC": 8_000}


def test_a_basket_trades_as_a_what_if_does() -> None:
    account = desk(apart(1), USDC=30_000)
    found = basket(account, MARKET, REFERENCE, [(LINEAR.symbol, d(-1), None), (OTHER.symbol, d(1), None)])
    wanted = asked(account, (LINEAR.symbol, d(-1), None), (OTHER.symbol, d(1), None))
    assert found.initial_after == pytest.approx(wanted.after.initial_margin, rel=1e-12)
    assert found.legs[0].alone == pytest.approx(-wanted.before.initial_margin, rel=1e-12)


# --- properties

AMOUNTS = st.decimals("-9", "9", places=1).filter(bool)
PRICES = st.decimals("40_000", "80_000", places=1)
FUNDING = st.decimals("-50", "50", places=2)


@st.composite
def positions(draw: st.DrawFn) -> Position:
    """A position in one perpetual, of either mode, with a side or without."""
    quantity, isolated = draw(AMOUNTS), draw(st.sampled_from([None, CROSS, ISOLATED]))
    side = draw(st.sampled_from([None, LONG if quantity > 0 else SHORT]))
    backed = {"USDC": draw(st.decimals("0", "90_000", places=2))} if isolated == ISOLATED else {}
    return Position(
        instrument=LINEAR.symbol,
        quantity=quantity,
        entry_price=draw(PRICES),
        side=side,
        margin_mode=isolated,
        isolated_collateral=backed,
        accrued_funding=draw(FUNDING),
    )


@st.composite
def desks(draw: st.DrawFn) -> Account:
    """An account of either mode; no two positions of one side."""
    rows = draw(st.lists(positions(), max_size=3, unique_by=lambda one: one.side))
    return desk(*rows, mode=draw(st.sampled_from([CROSS, ISOLATED])), USDC=100_000)


def worth(account: Account) -> Decimal:
    """The account at the mark, USDC, to the last digit."""
    with localcontext(prec=200):
        total = sum(account.balances.values(), Decimal(0))
        for one in account.positions:
            total += sum(one.isolated_collateral.values(), Decimal(0)) + one.accrued_funding
            total += one.quantity * (MARK - (one.entry_price or 0))
        return total


def net(account: Account) -> Decimal:
    return sum((one.quantity for one in account.positions), Decimal(0))


def keys(rows: Iterable[Position]) -> Counter[tuple[str, PositionSide | None, str | None]]:
    return Counter((one.instrument, one.side, one.pool) for one in rows)


@given(desks(), st.lists(AMOUNTS, min_size=1, max_size=4))
def test_trades_at_the_mark_change_no_equity_and_double_no_position(account: Account, trades: list[Decimal]) -> None:
    found = after(account, *((LINEAR.symbol, quantity, None) for quantity in trades))
    assert abs(worth(found) - worth(account)) < d("1e-15")  # an averaged entry is cut at 28 digits
    assert net(found) == net(account) + sum(trades)
    assert max(keys(found.positions).values(), default=1) == 1


@given(desks(), st.decimals("0.01", "1", places=2))
def test_closing_keeps_every_digit(account: Account, share: Decimal) -> None:
    """What is realised and what is left are the whole, to the last digit, in every position that can be closed."""
    if not account.positions:
        return
    quantity = -share * account.positions[0].quantity
    found = after(account, (LINEAR.symbol, quantity, None))
    opened = {one.entry_price for one in found.positions} - {one.entry_price for one in account.positions}
    if not opened:  # nothing was averaged
        assert worth(found) == worth(account)


@given(desks(), AMOUNTS, st.sampled_from([d("0.1"), d("0.5"), d("0.9")]))
def test_a_trade_in_parts_leaves_what_the_whole_leaves(account: Account, quantity: Decimal, share: Decimal) -> None:
    whole = after(account, (LINEAR.symbol, quantity, MARK))
    parts = after(account, (LINEAR.symbol, quantity * share, MARK), (LINEAR.symbol, quantity * (1 - share), MARK))
    assert keys(parts.positions) == keys(whole.positions)
    assert parts.balances["USDC"] == pytest.approx(whole.balances["USDC"], abs=d("1e-15"))
    for one, other in zip(parts.positions, whole.positions, strict=True):
        assert (one.quantity, one.margin_mode) == (other.quantity, other.margin_mode)
        assert one.entry_price == pytest.approx(other.entry_price, abs=d("1e-15"))
        assert dict(one.isolated_collateral) == pytest.approx(dict(other.isolated_collateral), abs=d("1e-15"))


@pytest.mark.parametrize("mode", [CROSS, ISOLATED])
@pytest.mark.parametrize("quantity", [-3, -2, -1, 1])
@pytest.mark.parametrize("listing", [LINEAR, INVERSE, CALL, COIN_CALL], ids=lambda one: one.symbol)
def test_equity_as_assessed_is_the_same_before_and_after(mode: MarginMode, quantity: int, listing: Any) -> None:  # noqa: ANN401
    entry = None if listing.kind == "option" else 55_000
    backed = {listing.settlement_asset: d("0.5")}
    row = held(2, entry, listing.symbol, margin_mode=ISOLATED, isolated_collateral=backed, accrued_funding=d("0.01"))
    account = desk(row, mode=mode, USDC=100_000, BTC=1)
    found = asked(account, (listing.symbol, d(quantity), None))
    assert found.equity == pytest.approx(0, abs=1e-6)


# --- the price that an option's fee is paid on


def fee(snapshot: Snapshot, symbol: str = CALL.symbol) -> float:
    changes = Changes(add=((symbol, d(1), d(4_000)),), fee_rate=0.001)
    return float(changed_account(desk(), snapshot, changes)[1]["USDC"])


def test_a_fee_is_paid_on_the_index_that_the_engine_reads() -> None:
    usdc = ASSETS["USDC"].price
    inputs = {
        "index": (replace(CALL, index_price=59_000.0, forward_price=61_000.0), 59.0),
        "asset": (replace(CALL, index_price=None, forward_price=61_000.0, quote_asset="USDC"), 60.0 / usdc),
        "asset in reporting": (replace(CALL, index_price=None, forward_price=61_000.0, quote_asset="USD"), 60.0),
    }
    for name, (listing, wanted) in inputs.items():
        assert fee(snapshot_of([listing])) == pytest.approx(wanted, rel=1e-12), name


def test_the_reporting_asset_is_worth_one_without_being_listed() -> None:
    bare = replace(CALL, index_price=None, forward_price=None, quote_asset="USD")
    unlisted = {name: quote for name, quote in ASSETS.items() if name != "USD"}
    assert fee(snapshot_of([bare], assets=unlisted)) == pytest.approx(60.0, rel=1e-12)


def test_a_fee_is_paid_on_the_forward_where_there_is_no_other_price() -> None:
    listing = replace(CALL, index_price=None, forward_price=61_000.0)
    assert fee(snapshot_of([listing], assets={"USDC": ASSETS["USDC"]})) == pytest.approx(61.0, rel=1e-12)
    broken = {**ASSETS, "BTC": AssetQuote(price=float("nan"))}
    with pytest.raises(InputError, match="needs the price of BTC"):
        fee(snapshot_of([listing], assets=broken))
