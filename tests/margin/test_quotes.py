"""What a quote must be: every refusal, every stand-in with its warning, and that nothing is asked for in vain."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from math import inf, nan

import numpy as np
import pytest
from msgspec.structs import replace

from crossmargin.account import Account, Book, Order, Position
from crossmargin.errors import FailureReason, InputError
from crossmargin.instruments import ContractKind, InstrumentKind
from crossmargin.margin import MarginReport, assess, resolve
from crossmargin.market import AssetQuote, Confidence, Listing
from crossmargin.sources import load_rulebook
from tests.margin.rules import made
from tests.strategies.books import AS_OF, ASSETS, INDEX, future, option, perpetual, position, snapshot_of
from tests.strategies.domain import forward_ratio

R = FailureReason
RULEBOOK = made('[charges.charge]\nis = "rate * notional"\nrate = 0.1')
PERPETUAL = perpetual("BTC", "USDC")
OPTION = option("BTC", "USDC", 50, 60_000.0, call=True)
COIN_OPTION = option("BTC", "BTC", 50, 60_000.0, call=True)
FUTURE = future("BTC", "USDC")


def report(listing: Listing, *others: Listing, account: Account | None = None, **changes: object) -> MarginReport:
    held = Position(instrument=listing.symbol, quantity=Decimal(1), entry_price=Decimal(60_000))
    holder = account or Account(id="holder", positions=(held,))
    return assess(holder, snapshot_of([listing, *others], **changes), RULEBOOK, withdrawable=False)


def refusal(listing: Listing, *others: Listing, account: Account | None = None, **changes: object) -> InputError:
    with pytest.raises(InputError) as refused:
        report(listing, *others, account=account, **changes)
    return refused.value


@pytest.mark.parametrize(
    ("listing", "reason", "words"),
    [
        (replace(PERPETUAL, mark_price=None), R.MISSING_QUOTE, "no mark_price"),
        (replace(PERPETUAL, mark_price=0.0), R.INVALID_PRICE, "mark_price must be above 0"),
        (replace(PERPETUAL, mark_price=-1.0), R.INVALID_PRICE, "mark_price"),
        (replace(PERPETUAL, mark_price=nan), R.INVALID_PRICE, "mark_price"),
        (replace(PERPETUAL, mark_price=inf), R.INVALID_PRICE, "mark_price"),
        (replace(PERPETUAL, index_price=-5.0), R.INVALID_PRICE, "index_price"),
        (replace(PERPETUAL, index_price=0.0), R.INVALID_PRICE, "index_price"),
        (replace(PERPETUAL, funding_rate=nan), R.INVALID_PRICE, "funding_rate must be a finite number"),
        (replace(PERPETUAL, open_interest=-1.0), R.INVALID_PRICE, "open_interest must be at least 0"),
        (replace(PERPETUAL, skew=inf), R.INVALID_PRICE, "skew"),
        (replace(PERPETUAL, bid=-1.0), R.INVALID_PRICE, "bid"),
        (replace(PERPETUAL, ask=nan), R.INVALID_PRICE, "ask"),
        (replace(PERPETUAL, confidence=1.5), R.INVALID_PRICE, "confidence must be between 0 and 1"),
        (replace(PERPETUAL, confidence=nan), R.INVALID_PRICE, "confidence"),
        (replace(PERPETUAL, confidence=Confidence(vol=-0.1)), R.INVALID_PRICE, "confidence"),
        (replace(PERPETUAL, quote_asset="EUR"), R.UNKNOWN_ASSET, "asset EUR has no price"),
        (replace(PERPETUAL, settlement_asset="EURC"), R.UNKNOWN_ASSET, "asset EURC has no price"),
        (replace(PERPETUAL, underlying="DOGE", index_price=None), R.MISSING_QUOTE, "asset DOGE has no price"),
        (replace(PERPETUAL, multiplier=0.0), R.INVALID_INSTRUMENT, "multiplier"),
        (replace(OPTION, mark_price=None), R.MISSING_QUOTE, "no mark_price"),
        (replace(OPTION, mark_price=-0.1), R.INVALID_PRICE, "mark_price must be at least 0"),
        (replace(OPTION, mark_iv=-0.1), R.INVALID_PRICE, "mark_iv"),
        (replace(OPTION, mark_iv=nan), R.INVALID_PRICE, "mark_iv"),
        (replace(OPTION, forward_price=0.0), R.INVALID_PRICE, "forward_price must be above 0"),
        (replace(OPTION, rate=inf), R.INVALID_PRICE, "rate"),
        (replace(OPTION, mark_iv=None), R.MISSING_VOL, "no mark_iv"),
        (replace(OPTION, forward_price=None), R.MISSING_QUOTE, "no forward_price"),
        (replace(OPTION, strike=None), R.INVALID_INSTRUMENT, "strike"),
        (replace(OPTION, expiry=AS_OF), R.AWAITING_SETTLEMENT, "without a delivery_price"),
        (replace(OPTION, expiry=AS_OF - timedelta(days=1)), R.AWAITING_SETTLEMENT, "2026-02-04 08:00Z"),
        (replace(OPTION, expiry=AS_OF, delivery_price=61_000.0), R.EXPIRED, "delivery price 61000"),
        (replace(OPTION, expiry=AS_OF, delivery_price=0.0), R.EXPIRED, "delivery price 0"),
        (replace(FUTURE, expiry=AS_OF), R.AWAITING_SETTLEMENT, "delivery_price"),
        (replace(FUTURE, delivery_price=-1.0), R.INVALID_PRICE, "delivery_price"),
    ],
)
def test_a_quote_that_cannot_be_used_is_refused(listing: Listing, reason: R, words: str) -> None:
    error = refusal(listing)
    assert error.reason == reason
    assert words in error.message
    assert error.instrument == listing.symbol
    assert error.account == "holder"


def test_what_the_snapshot_does_not_list() -> None:
    nowhere = Position(instrument="NOWHERE", quantity=Decimal(1), entry_price=Decimal(1))
    error = refusal(PERPETUAL, account=Account(id="a", positions=(nowhere,)))
    assert (error.reason, error.instrument) == (R.UNKNOWN_INSTRUMENT, "NOWHERE")
    order = Order(instrument="NOWHERE", quantity=Decimal(1), limit_price=Decimal(1))
    error = refusal(PERPETUAL, account=Account(id="a", orders=(order,)))
    assert (error.reason, error.instrument) == (R.UNKNOWN_INSTRUMENT, "NOWHERE")
    error = refusal(PERPETUAL, account=Account(id="a", balances={"DOGE": Decimal(-3)}))
    assert error.reason == R.UNKNOWN_ASSET
    assert "DOGE" in error.message


def test_what_is_out_of_scope() -> None:
    rulebook = made('[charges.charge]\nis = "rate * notional"\nrate = 0.1', scope=("perpetual", "asset"))
    account = Account(id="a", positions=(position(OPTION, 1),))
    with pytest.raises(InputError, match="small covers asset, perpetual; this is of kind option") as refused:
        assess(account, snapshot_of([OPTION]), rulebook)
    assert refused.value.reason == R.OUT_OF_SCOPE


@pytest.mark.parametrize("contract", [PERPETUAL, FUTURE, perpetual("BTC", "BTC")])
def test_a_margined_contract_needs_an_entry_price(contract: Listing) -> None:
    bare = Position(instrument=contract.symbol, quantity=Decimal(1))
    error = refusal(contract, account=Account(id="a", positions=(bare,)))
    assert (error.reason, error.instrument) == (R.MISSING_ENTRY_PRICE, contract.symbol)
    paid = Position(instrument=OPTION.symbol, quantity=Decimal(1))
    assert report(OPTION, account=Account(id="a", positions=(paid,))).equity > 0


@pytest.mark.parametrize("price", [0.0, -1.0, nan, inf])
def test_an_asset_price_must_be_positive(price: float) -> None:
    assets = {**ASSETS, "ETH": AssetQuote(price=price)}
    error = refusal(PERPETUAL, account=Account(id="a", balances={"ETH": Decimal(1)}), assets=assets)
    assert error.reason == R.INVALID_PRICE
    assert "asset ETH" in error.message


def test_an_assets_confidence_must_be_a_share() -> None:
    assets = {**ASSETS, "ETH": AssetQuote(price=1.0, confidence=1.2)}
    error = refusal(PERPETUAL, account=Account(id="a", balances={"ETH": Decimal(1)}), assets=assets)
    assert (error.reason, "confidence" in error.message) == (R.INVALID_PRICE, True)


def test_a_balance_of_nothing_needs_no_price() -> None:
    account = Account(id="a", balances={"DOGE": Decimal(0), "USD": Decimal(5)}, accrued={"DOGE": Decimal(0)})
    assert report(PERPETUAL, account=account).equity == 5
    accrued = replace(account, accrued={"DOGE": Decimal(1)})
    assert refusal(PERPETUAL, account=accrued).reason == R.UNKNOWN_ASSET


def test_a_quote_that_nobody_holds_is_not_judged() -> None:
    broken = replace(OPTION, mark_price=-1.0, mark_iv=None)
    assets = {**ASSETS, "DOGE": AssetQuote(price=nan)}
    assert report(PERPETUAL, broken, assets=assets).initial_margin > 0


# --- age


@pytest.mark.parametrize(("age", "stands"), [(0, True), (3600, True), (3601, False), (-60, True)])
def test_stale_quotes(age: float, stands: bool) -> None:
    seen = AS_OF - timedelta(seconds=age)
    old = replace(PERPETUAL, observed_at=seen)
    coin = Account(id="holder", balances={"BTC": Decimal(1)})
    assets = {**ASSETS, "BTC": replace(ASSETS["BTC"], observed_at=seen)}
    if stands:
        assert report(old).initial_margin > 0
        assert report(PERPETUAL, account=coin, assets=assets).equity == 60_000
        return
    error = refusal(old)
    assert (error.reason, error.instrument) == (R.STALE_QUOTE, PERPETUAL.symbol)
    assert "3,601 s before as_of; at most 3,600 s" in error.message
    assert refusal(PERPETUAL, account=coin, assets=assets).reason == R.STALE_QUOTE


def test_any_age_is_taken_when_asked_for() -> None:
    old = replace(PERPETUAL, observed_at=AS_OF - timedelta(days=400))
    account = Account(id="a", positions=(position(old, 1),))
    assert assess(account, snapshot_of([old]), RULEBOOK, max_quote_age_seconds=None).initial_margin > 0
    with pytest.raises(InputError, match="at most 60 s"):
        assess(account, snapshot_of([old]), RULEBOOK, max_quote_age_seconds=60)


# --- stand-ins


def test_a_missing_index_is_the_assets_price() -> None:
    bare = replace(PERPETUAL, index_price=None, quote_asset="USDC")
    resolved = resolve(
        Book.from_accounts([Account(id="a", positions=(position(bare, 1),))]), snapshot_of([bare]), RULEBOOK
    )
    assert resolved.contracts.index[0] == pytest.approx(60_000 / 0.9995)


def test_a_missing_forward_comes_from_the_curve_with_a_warning() -> None:
    bare = replace(OPTION, forward_price=None)
    curve = (future("BTC", "USDC", 2), future("BTC", "USDC", 141))
    found = report(bare, *curve)
    near, far = (forward_ratio("BTC", days) for days in (2, 141))
    # ln(F / index) is linear in time between the nodes
    share = (50 - 2) / (141 - 2)
    wanted = INDEX["BTC"] * np.exp(np.log(near) * (1 - share) + np.log(far) * share)
    assert found.warnings == (f"{OPTION.symbol}: no forward_price; {wanted:,.2f} from the forward curve",)
    resolved = resolve(
        Book.from_accounts([Account(id="a", positions=(position(bare, 1),))]), snapshot_of([bare, *curve]), RULEBOOK
    )
    assert resolved.contracts.forward[0] == pytest.approx(wanted, rel=1e-9)


def test_another_options_forward_serves_too_but_not_another_coins() -> None:
    bare = replace(OPTION, forward_price=None)
    sibling = option("BTC", "USDC", 50, 75_000.0, call=False)
    assert f"{sibling.forward_price:,.2f}" in report(bare, sibling).warnings[0]
    assert refusal(bare, future("ETH", "USDC")).reason == R.MISSING_QUOTE


def test_a_missing_vol_comes_from_the_surface_with_a_warning() -> None:
    bare = replace(OPTION, mark_iv=None)
    below, above = (option("BTC", "USDC", 50, k, call=True, mark_iv=v) for k, v in ((48_000.0, 0.6), (75_000.0, 0.8)))
    found = report(bare, below, above)
    (warning,) = found.warnings
    assert warning.startswith(f"{OPTION.symbol}: no mark_iv; 0.")
    vol = float(warning.split("no mark_iv; ")[1].split(" ")[0])
    assert 0.6 < vol < 0.8
    assert warning.endswith(f"its mark implies {OPTION.mark_iv:.4f})")
    (warning,) = report(replace(bare, mark_price=1e9), below, above).warnings
    assert "admits no vol" in warning
    assert refusal(bare, option("ETH", "USDC", 50, 2_400.0, call=True)).reason == R.MISSING_VOL


def test_a_vol_that_looks_like_a_percentage_is_pointed_at() -> None:
    (warning,) = report(replace(OPTION, mark_iv=55.0)).warnings
    assert "0.5 is 50 %" in warning


@pytest.mark.parametrize("late", [timedelta(hours=2), timedelta(hours=-2)])
def test_a_quote_from_another_hour_is_refused_on_both_sides(late: timedelta) -> None:
    error = refusal(replace(PERPETUAL, observed_at=AS_OF + late))
    assert (error.reason, "after" in error.message) == (R.STALE_QUOTE, late > timedelta(0))


def test_a_stand_in_is_told_only_to_those_who_hold_it() -> None:
    bare = replace(OPTION, mark_iv=None)
    other = option("BTC", "USDC", 50, 48_000.0, call=True)
    assert not report(PERPETUAL, bare, other).warnings


# --- buckets


def test_a_wrapped_asset_shares_the_bucket_of_what_it_wraps() -> None:
    assets = {**ASSETS, "WSTETH": AssetQuote(price=2_900.0, wraps="STETH")}
    account = Account(id="a", balances={"WSTETH": Decimal(1), "ETH": Decimal(1), "USDC": Decimal(1)})
    resolved = resolve(Book.from_accounts([account]), snapshot_of([], assets=assets), RULEBOOK)
    names, c = resolved.names, resolved.contracts
    bucket = {names.symbols[s]: names.buckets[b] for s, b in zip(c.symbol, c.bucket, strict=True)}
    assert bucket == {"WSTETH": "ETH", "ETH": "ETH", "USDC": "USDC"}  # a peg is no wrapper
    linked = {names.symbols[s]: bool(flag) for s, flag in zip(c.symbol, c.linked, strict=True)}
    assert linked == {"WSTETH": True, "ETH": False, "USDC": True}


def test_wrappers_that_run_in_a_circle() -> None:
    assets = {**ASSETS, "A": AssetQuote(price=1.0, wraps="B"), "B": AssetQuote(price=1.0, wraps="A")}
    error = refusal(PERPETUAL, account=Account(id="a", balances={"A": Decimal(1)}), assets=assets)
    assert error.reason == R.UNKNOWN_ASSET
    assert "loop" in error.message


def test_a_wrapper_of_something_unpriced() -> None:
    assets = {**ASSETS, "XDOGE": AssetQuote(price=1.0, wraps="DOGE")}
    error = refusal(PERPETUAL, account=Account(id="a", balances={"XDOGE": Decimal(1)}), assets=assets)
    assert (error.reason, "DOGE" in error.message) == (R.UNKNOWN_ASSET, True)


# --- options marked at 0


@pytest.mark.parametrize("listing", [OPTION, COIN_OPTION])
def test_an_option_may_be_marked_at_nothing(listing: Listing) -> None:
    free = replace(listing, mark_price=0.0)
    found = report(free, account=Account(id="a", positions=(position(free, -1),)))
    assert found.equity == 0
    assert found.initial_margin > 0


def _quanto() -> Listing:
    terms = {"contract": ContractKind.QUANTO, "settlement_asset": "BTC", "multiplier": 1e-6}
    return perpetual("ETH", "USDC", symbol="Q", kind=InstrumentKind.PERPETUAL, mark_price=2_400.0, **terms)


@pytest.mark.parametrize(
    ("rulebook", "contract", "said"),
    [
        ("deribit-standard", _quanto(), "covers inverse, linear; this is of form quanto"),
        ("binance-usdm", perpetual("BTC", "BTC"), "covers linear; this is of form inverse"),
    ],
)
def test_a_form_that_no_line_charges_is_refused_by_name(rulebook: str, contract: Listing, said: str) -> None:
    held = Position(instrument=contract.symbol, quantity=Decimal(1), entry_price=Decimal(2_000))
    with pytest.raises(InputError, match=said) as refused:
        assess(Account(id="a", positions=(held,)), snapshot_of([contract]), load_rulebook(rulebook))
    assert (refused.value.reason, refused.value.instrument) == (R.OUT_OF_SCOPE, contract.symbol)


def test_a_quanto_contract_pays_at_its_fixed_rate() -> None:
    quanto = _quanto()
    held = Position(instrument="Q", quantity=Decimal(100), entry_price=Decimal(2_000))
    found = report(quanto, account=Account(id="a", positions=(held,)))
    assert found.equity == pytest.approx(100 * 1e-6 * 400 * 60_000)


def test_an_input_that_the_rulebook_does_not_declare() -> None:
    account = Account(id="a", inputs={"mmp_margin": Decimal(1)})
    error = refusal(PERPETUAL, account=account)
    assert (error.reason, "mmp_margin" in error.message) == (R.UNKNOWN_PARAMETER, True)
