"""Several accounts and venues in one view: sums by hand, nothing twice, no pool covering another."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import msgspec
import pytest

from crossmargin.account import Account, Position
from crossmargin.analysis.overview import Venue, overview
from crossmargin.errors import FailureReason, InputError
from crossmargin.instruments import ContractKind, InstrumentKind
from crossmargin.margin import assess
from crossmargin.sources import list_rulebooks, load_rulebook
from tests.analysis.desk import account, rules, snapshot

LONG = msgspec.structs.replace(account({"BTC-PERP": "2", "ETH-FUT": "5"}), id="long")
SHORT = msgspec.structs.replace(account({"BTC-PERP": "-3"}, balances={"BTC": Decimal(1)}, usd="10000"), id="short")
RULES = rules("scan")


def test_sums_are_those_of_the_accounts_and_deltas_net() -> None:
    view = overview([Venue("a", [LONG], RULES), Venue("b", [SHORT], rules("tiered"))], snapshot())
    first = assess(LONG, snapshot(), RULES)
    second = assess(SHORT, snapshot(), rules("tiered"))
    assert view.equity == pytest.approx(first.equity + second.equity)
    assert view.initial_margin == pytest.approx(first.initial_margin + second.initial_margin)
    assert view.surplus - view.shortfall == pytest.approx(first.available_margin + second.available_margin)
    nets = {one.underlying: one for one in view.net}
    assert (nets["BTC"].long, nets["BTC"].short, nets["BTC"].net) == pytest.approx((3.0, -3.0, 0.0))
    assert nets["ETH"].value == pytest.approx(10_000.0)
    assert not view.warnings


def test_a_surplus_at_one_venue_covers_nothing_at_another() -> None:
    poor = msgspec.structs.replace(account({"BTC-PERP": "2"}, usd="100"), id="poor")
    view = overview([Venue("a", [LONG], RULES), Venue("b", [poor], RULES)], snapshot())
    assert view.shortfall == pytest.approx(10_000 - 100)
    assert view.to_maintain == pytest.approx(5_000 - 100)
    assert view.surplus == pytest.approx(assess(LONG, snapshot(), RULES).available_margin)


def test_a_surplus_in_one_pool_covers_nothing_in_another_of_the_same_account() -> None:
    pools = replace(RULES, pool_by="position")
    view = overview([Venue("a", [LONG], pools)], snapshot())
    held = assess(LONG, snapshot(), pools)
    assert view.shortfall == pytest.approx(held.initial_margin)  # positions alone have no collateral of their own
    assert view.surplus == pytest.approx(100_000)


def test_money_of_another_asset_is_converted() -> None:
    in_btc = replace(RULES, reporting="BTC")
    view = overview([Venue("a", [LONG], in_btc)], snapshot())
    assert view.initial_margin == pytest.approx(assess(LONG, snapshot(), in_btc).initial_margin * 50_000)


def test_a_coin_is_a_delta_wherever_it_is_the_money_of_its_pool() -> None:
    holder = Account(id="holder", balances={"BTC": Decimal(2)})
    view = overview([Venue("coin", [holder], load_rulebook("deribit-standard@2024-04-01"))], snapshot())
    assert {one.underlying: one.net for one in view.net} == pytest.approx({"BTC": 2.0})


def test_a_refused_account_is_a_row_and_in_no_sum() -> None:
    odd = Account(id="odd", positions=(Position(instrument="NO-SUCH", quantity=Decimal(1)),))
    view = overview([Venue("a", [LONG, odd], RULES)], snapshot())
    assert view.rows[1].failure is not None
    assert view.rows[1].failure.reason == FailureReason.UNKNOWN_INSTRUMENT
    assert view.equity == view.rows[0].equity


def test_one_account_twice_is_refused_and_two_alike_are_told() -> None:
    with pytest.raises(InputError, match="count twice") as found:
        overview([Venue("a", [LONG, LONG], RULES)], snapshot())
    assert found.value.reason == FailureReason.DUPLICATE_ACCOUNT
    with pytest.raises(InputError, match="its own label"):
        overview([Venue("a", [LONG], RULES), Venue("a", [SHORT], RULES)], snapshot())
    view = overview([Venue("a", [LONG], RULES), Venue("b", [LONG], RULES)], snapshot())
    assert view.warnings == ("long at b holds the very same as long at a: are they one account, read twice?",)


def test_what_a_rulebook_lacks_as_a_whole_names_its_venue() -> None:
    in_gold = replace(RULES, reporting="GOLD")
    with pytest.raises(InputError, match="venue theirs: asset GOLD has no price") as found:
        overview([Venue("ours", [LONG], RULES), Venue("theirs", [SHORT], in_gold)], snapshot())
    assert found.value.reason == FailureReason.UNKNOWN_ASSET


def test_a_missing_calibration_names_the_venue_that_needs_it() -> None:
    needs = next(one for one in list_rulebooks() if one.name == "family-historical")
    with pytest.raises(InputError, match="venue theirs: ") as found:
        overview([Venue("ours", [LONG], RULES), Venue("theirs", [SHORT], load_rulebook(needs.spec))], snapshot())
    assert found.value.reason == FailureReason.MISSING_CALIBRATION


def test_no_accounts_are_no_rows() -> None:
    view = overview([Venue("a", [], RULES), Venue("b", [], RULES)], snapshot())
    assert (view.rows, view.net, view.equity, view.surplus) == ((), (), 0.0, 0.0)


def test_what_a_coin_contract_has_gained_is_no_delta_until_it_is_paid() -> None:
    terms = {"kind": InstrumentKind.PERPETUAL, "contract": ContractKind.INVERSE, "multiplier": 1.0}
    listing = msgspec.structs.replace(
        snapshot().listings["BTC-PERP"], symbol="BTC-INVERSE", settlement_asset="BTC", **terms
    )
    market = msgspec.structs.replace(snapshot(), listings={listing.symbol: listing})
    held = Position(instrument=listing.symbol, quantity=Decimal(50_000), entry_price=Decimal(40_000))
    open_gain = Account(id="open", positions=(held,))
    paid = Account(
        id="paid",
        balances={"BTC": Decimal("0.25")},  # 50,000 x (1 / 40,000 - 1 / 50,000)
        positions=(msgspec.structs.replace(held, entry_price=Decimal(50_000)),),
    )
    views = [overview([Venue("a", [one], RULES)], market) for one in (open_gain, paid)]
    assert views[0].equity == pytest.approx(views[1].equity) == 12_500
    assert [view.net[0].net for view in views] == pytest.approx([1.0, 1.25])
