"""The price at which closing a position leaves nothing: exactly on fractions, to a unit in the ledger's money."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from crossmargin.account import Account, Position
from crossmargin.clearing.contracts import Asset, Contract, terms_of, trade_money
from crossmargin.clearing.ledger import Holdings as Purses
from crossmargin.clearing.ledger import add
from crossmargin.clearing.trading import side_rows
from crossmargin.errors import FailureReason, InputError
from crossmargin.instruments import ContractKind, Instrument, InstrumentKind
from crossmargin.liquidation import Terms, Venue, bankruptcy_price, run
from crossmargin.liquidation.assessed import Engine
from crossmargin.liquidation.holdings import HELD, WALLET
from crossmargin.margin import parse_rulebook
from crossmargin.market import AssetQuote, Listing, Snapshot
from tests.liquidation.procedures import PLAIN, conserved
from tests.liquidation.test_run import ASSUME

if TYPE_CHECKING:
    from typing import Literal

FORMS: tuple[Literal["linear", "inverse"], ...] = ("linear", "inverse")
PRICES = st.integers(1, 10**9).map(lambda units: Fraction(units, 1000))
SIGNED = st.integers(-(10**9), 10**9).filter(bool).map(lambda units: Fraction(units, 10**4))
MULTIPLIERS = st.sampled_from([Fraction(1), Fraction(10), Fraction(1, 10**6), Fraction(1, 3)])


@given(st.sampled_from(FORMS), SIGNED, MULTIPLIERS, PRICES, PRICES, SIGNED)
def test_closing_there_leaves_exactly_nothing(
    form: Literal["linear", "inverse"],
    contracts: Fraction,
    multiplier: Fraction,
    entry: Fraction,
    mark: Fraction,
    wallet: Fraction,
) -> None:
    """Bought at the entry, closed at the bankruptcy price: wallet, what it cost and what it brings are 0 together."""
    terms = Terms("BTC", multiplier, form, mark)
    equity = wallet + terms.money(contracts, entry) + terms.money(-contracts, mark)
    if form == "inverse" and contracts * multiplier / mark == -equity:
        with pytest.raises(InputError, match="no price leaves nothing"):
            bankruptcy_price(terms, contracts, equity)
        return
    price = bankruptcy_price(terms, contracts, equity)
    assert wallet + terms.money(contracts, entry) + terms.money(-contracts, price) == 0


@given(st.sampled_from(FORMS), SIGNED, MULTIPLIERS, PRICES)
def test_without_equity_it_is_the_mark(
    form: Literal["linear", "inverse"], contracts: Fraction, multiplier: Fraction, mark: Fraction
) -> None:
    assert bankruptcy_price(Terms("BTC", multiplier, form, mark), contracts, Fraction(0)) == mark


def test_figures_by_hand() -> None:
    """10,000 contracts of 10 USD long at 50,000 are 2 BTC; with 0.5 BTC behind them nothing is left at 40,000."""
    inverse = Terms("BTC", Fraction(10), "inverse", Fraction(50_000))
    assert bankruptcy_price(inverse, Fraction(10_000), Fraction(1, 2)) == 40_000
    assert bankruptcy_price(inverse, Fraction(-10_000), Fraction(1, 2)) == Fraction(200_000, 3)
    quanto = Terms("BTC", Fraction(1, 10**6), "linear", Fraction(2_000))  # a dollar of ETH is a millionth of a BTC
    assert bankruptcy_price(quanto, Fraction(100), Fraction(1, 100)) == 1_900
    assert bankruptcy_price(quanto, Fraction(-100), Fraction(1, 100)) == 2_100


def test_what_has_no_price_is_refused() -> None:
    """A short of 2 BTC with 2 BTC behind it never comes to nothing: at no price does it owe more than them."""
    inverse = Terms("BTC", Fraction(10), "inverse", Fraction(50_000))
    with pytest.raises(InputError, match="close at the market") as told:
        bankruptcy_price(inverse, Fraction(-10_000), Fraction(2))
    assert told.value.reason is FailureReason.UNDEFINED_RESULT
    with pytest.raises(InputError, match="mark above 0") as told:
        bankruptcy_price(replace(inverse, mark=Fraction(0)), Fraction(1), Fraction(1))
    assert told.value.reason is FailureReason.INVALID_PRICE


# --- in the ledger's integers -------------------------------------------------------------------------------------

ASSETS = {"BTC": Asset(digits=8), "USDC": Asset(digits=6)}


def listed(form: str) -> Contract:
    terms = {"linear": ("USDC", 1.0, 3), "inverse": ("BTC", 10.0, 0), "quanto": ("BTC", 1e-6, 3)}
    settlement, multiplier, digits = terms[form]
    instrument = Instrument(
        symbol="X", kind=InstrumentKind.PERPETUAL, contract=ContractKind(form), underlying="ETH", quote_asset="USD",
        settlement_asset=settlement, multiplier=multiplier,
    )  # fmt: skip
    return Contract(instrument=instrument, quantity_digits=digits, price_digits=4)


@given(
    st.sampled_from(["linear", "inverse", "quanto"]),
    st.integers(-(10**6), 10**6).filter(bool),
    st.integers(10**5, 10**9),
    st.integers(10**5, 10**9),
    st.integers(-(10**9), 10**11),
)
def test_the_ledger_is_left_with_less_than_two_units(
    form: str, quantity: int, entry: int, mark: int, wallet: int
) -> None:
    """Opening and closing round once each, in their payer's favour or against: what is left is the close's rounding."""
    contract = listed(form)
    ours, digits = terms_of(contract, ASSETS), ASSETS[contract.instrument.settlement_asset].digits
    shown = Terms(
        ours.settlement,
        Fraction(str(contract.instrument.multiplier)),
        "inverse" if form == "inverse" else "linear",
        Fraction(mark, 10**4),
    )
    sign = 1 if quantity > 0 else -1
    paid = trade_money(ours, abs(quantity), entry) * (sign if form == "inverse" else -sign)
    balances: dict[str, Purses] = {"a": {("wallet", ours.settlement): wallet}}
    add(balances, side_rows(ours, "a", {}, quantity, paid, 0))
    contracts = Fraction(quantity, 10**contract.quantity_digits)
    equity = Fraction(wallet + paid, 10**digits) + shown.money(-contracts, shown.mark)
    assume(equity > 0)
    try:
        price = bankruptcy_price(shown, contracts, equity)
    except InputError:
        return
    received = shown.money(-contracts, price) * 10**digits
    add(balances, side_rows(ours, "a", balances["a"], -quantity, int(received // 1), 0))
    assert all(abs(left) <= 1 for left in balances["a"].values())
    assert not {purse for purse, _ in balances["a"]} & {"held", ours.basis}


# --- as a procedure reads it --------------------------------------------------------------------------------------

BTC, ETH = 50_000.0, 2_000.0
SYMBOLS = {"linear": "USD", "inverse": "BTC", "quanto": "BTC"}


def venue(form: str, reporting: str = "USD", mark: float | None = None) -> Snapshot:
    settlement = SYMBOLS[form]
    underlying = "BTC" if form == "inverse" else "ETH"
    price = mark or {"BTC": BTC, "ETH": ETH}[underlying]
    listing = Listing(
        symbol="X", kind=InstrumentKind.PERPETUAL, contract=ContractKind(form), underlying=underlying,
        quote_asset="USD", settlement_asset=settlement, mark_price=price, index_price=price,
        multiplier={"linear": 1.0, "inverse": 10.0, "quanto": 1e-6}[form],
    )  # fmt: skip
    assets = {"BTC": AssetQuote(price=BTC), "ETH": AssetQuote(price=ETH), "USD": AssetQuote(price=1.0)}
    as_of = datetime(2026, 1, 1, tzinfo=UTC)
    return Snapshot(as_of=as_of, reporting_asset=reporting, assets=assets, listings={"X": listing})


def rulebook(reporting: str = "USD") -> str:
    head = PLAIN.replace('reporting = "USD"', f'reporting = "{reporting}", contracts = ["linear", "inverse", "quanto"]')
    return head + ASSUME.replace("[liquidation]", '[liquidation]\nuntil = "equity > 1e18"')


@pytest.mark.parametrize(
    ("form", "quantity", "entry", "behind"),
    [
        ("linear", "10", "2010", "150"),
        ("linear", "-10", "1990", "-30"),
        ("inverse", "10000", "50500", "0.05"),
        ("inverse", "-10000", "49000", "0.07"),
        ("inverse", "10000", "52000", "0.02"),
        ("quanto", "100000", "2010", "1.5"),
        ("quanto", "-100000", "1980", "2.5"),
    ],
)
def test_a_takeover_at_that_price_leaves_nothing(form: str, quantity: str, entry: str, behind: str) -> None:
    coin = SYMBOLS[form]
    position = Position(instrument="X", quantity=Decimal(quantity), entry_price=Decimal(entry))
    account = Account(id="trader", balances={coin: Decimal(behind)}, positions=(position,))
    market, document = venue(form), parse_rulebook(rulebook(), "plain.toml")
    engine = Engine(account, lambda _elapsed: market, document)
    out = run(document.procedure, engine.opening(), engine, Venue("trader"), rounds=1)
    assert out.holdings.get("vault", HELD, "X", "X") == Fraction(quantity)
    assert abs(out.holdings.get("trader", WALLET, coin)) < Fraction(1, 10**8)
    assert conserved(out.holdings)
    before = engine(engine.opening(), 0.0).leg("X")
    assert before is not None
    own = float(before.terms.mark) / before.figures["price"] * before.figures["bankruptcy_price"]
    assert engine_equity(form, account, float(own)) == pytest.approx(0.0, abs=1e-8)


def engine_equity(form: str, account: Account, mark: float) -> float:
    """What the engine itself says of the account at another mark, in units of the settlement asset."""
    market = venue(form, mark=mark)
    document = parse_rulebook(rulebook(), "plain.toml")
    engine = Engine(account, lambda _elapsed: market, document)
    return float(engine(engine.opening(), 0.0).figures["equity"]) / (BTC if SYMBOLS[form] == "BTC" else 1.0)


def test_a_pool_kept_in_its_own_coin_has_the_same_price() -> None:
    document = parse_rulebook(rulebook("BTC").replace("[pools]", ""), "plain.toml")
    position = Position(instrument="X", quantity=Decimal(10_000), entry_price=Decimal(50_500))
    account = Account(id="trader", balances={"BTC": Decimal("0.05")}, positions=(position,))
    market = venue("inverse")
    engine = Engine(account, lambda _elapsed: market, document)
    out = run(document.procedure, engine.opening(), engine, Venue("trader", "BTC"), rounds=1)
    assert abs(out.holdings.get("trader", WALLET, "BTC")) < Fraction(1, 10**8)


@pytest.mark.parametrize(("form", "behind"), [("linear", "150"), ("inverse", "0.3"), ("quanto", "1.5")])
@pytest.mark.parametrize("sign", [1, -1])
def test_closing_at_the_market_pays_out_what_the_account_was_worth(form: str, behind: str, sign: int) -> None:
    """Half is closed, then the rest: in settlement units the account has all the time what the engine says."""
    coin = SYMBOLS[form]
    position = Position(
        instrument="X", quantity=Decimal(sign * 1_000), entry_price=Decimal(50_500 if form == "inverse" else 2_010)
    )
    account = Account(id="trader", balances={coin: Decimal(behind)}, positions=(position,))
    half = ASSUME.replace('do = "assume"', 'do = "close"').replace('price = "bankruptcy_price"', 'amount = "500"')
    head = PLAIN.replace('reporting = "USD"', 'reporting = "USD", contracts = ["linear", "inverse", "quanto"]')
    document = parse_rulebook(head + half.replace("[liquidation]", '[liquidation]\nuntil = "gross <= 0"'), "plain.toml")
    market = venue(form)
    engine = Engine(account, lambda _elapsed: market, document)
    before = engine(engine.opening(), 0.0).figures["equity"]
    out = run(document.procedure, engine.opening(), engine, Venue("trader"), rounds=2)
    assert out.ending == "ended"
    assert [taken.move.amount for taken in out.taken] == [500, 500]
    rate = BTC if coin == "BTC" else 1.0
    assert out.taken[1].before.figures["equity"] == pytest.approx(before, abs=1e-8 * rate)
    left = out.holdings.get("trader", WALLET, coin)
    assert float(left) * rate == pytest.approx(float(before), abs=1e-8 * rate)
    assert conserved(out.holdings)
