"""The models before 2024: documented examples, and the lines that no example shows, by hand."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from datetime import date
from decimal import Decimal
from math import sqrt
from typing import TYPE_CHECKING, Any

import pytest

from crossmargin.account import Account
from crossmargin.analysis.conformance import deribit_legacy
from crossmargin.analysis.conformance.fields import Fields
from crossmargin.analysis.conformance.judge import Verdict, judge
from crossmargin.margin import assess
from crossmargin.sources import load_rulebook
from tests.conformance.made import LOADED
from tests.strategies.books import INDEX, future, option, position, snapshot_of, units

if TYPE_CHECKING:
    from pathlib import Path

    from crossmargin.margin import PoolReport
    from crossmargin.market import Listing

MADE: dict[str, Any] = {
    "price": 0.2,
    "vol": "sqrt(20/DTE)*35%",
    "example": {"dte": 5, "expected": 0.7},
    "contingency_examples": [
        {"desc": "150 options * 2%", "expected_btc": 3},
        {"desc": "offsetting futures 30 BTC * 2.5%", "expected_btc": 0.75},
    ],
}


def verdicts(document: dict[str, Any]) -> list[Verdict]:
    fields, family = Fields(document, ""), deribit_legacy.FAMILY
    return [judge(family, fields, i, name, LOADED) for i, name in enumerate(family.names(fields))]


def test_examples_of_our_own_reproduce() -> None:
    assert deribit_legacy.recognises(MADE)
    found = verdicts(MADE)
    assert [one.failures for one in found] == [()] * 3
    assert max(one.residual or 0.0 for one in found) < 1e-9  # 35 % x 2 has no digit to round


def test_a_rounded_shock_is_met_within_half_of_its_last_digit() -> None:
    exact = 0.35 * sqrt(20 / 7)  # 0.59161
    for stated, met in ((0.592, True), (0.591, False), (0.5916, True), (0.5917, False), (0.59, True)):
        document = {**copy.deepcopy(MADE), "example": {"dte": 7, "expected": stated}}
        assert (verdicts(document)[0].failures == ()) == met
        assert (abs(exact - stated) <= 0.5 * 10.0 ** -(len(str(stated)) - 2)) == met


def test_a_shock_in_all_its_digits_is_met_to_full_precision() -> None:
    shock = (20 / 7) ** 0.5 * 0.35
    assert not verdicts({**MADE, "example": {"dte": 7, "expected": shock}})[0].failures
    assert verdicts({**MADE, "example": {"dte": 7, "expected": shock + 1e-8}})[0].failures


def test_one_per_cent_of_the_price_range_is_noticed() -> None:
    fields = Fields(MADE, "")
    assert deribit_legacy.parameters(fields, 0) == {"price": ("price",)}
    assert deribit_legacy.parameters(fields, 1) == {}
    stated = deribit_legacy.pose(fields, 0, LOADED)
    other = deribit_legacy.pose(Fields({**MADE, "price": 0.202}, ""), 0, LOADED)
    outcome = replace(stated, rulebook=other.rulebook).assess()
    assert [f.name for f in stated.figures if f.residual(f.read(outcome)) > f.tolerance] == ["price move"]


@pytest.mark.parametrize(
    "entries",
    [
        {"vol": "40%"},
        {"example": {"dte": 0, "expected": 0.5}},
        {"contingency_examples": [{"desc": "something else", "expected_btc": 2}]},
        {"contingency_examples": [{"desc": "200 options * 1%"}]},
    ],
)
def test_what_makes_no_sense_is_told(entries: dict[str, Any]) -> None:
    failures = [failure for one in verdicts({**MADE, **entries}) for failure in one.failures]
    assert any(failure.figure == "case" for failure in failures)


@pytest.mark.shared
def test_the_published_examples_reproduce(shared: Path) -> None:
    document = json.loads((shared / "cases" / "venue_deribit_legacy_pm.json").read_text(encoding="utf-8"))
    assert [one.failures for one in verdicts(document)] == [()] * 3
    shipped = LOADED(deribit_legacy.RULEBOOK).document
    changes = deribit_legacy.pose(Fields(document, ""), 0, LOADED).changes
    assert changes == {
        "parameters.price_range": shipped["parameters"]["price_range"],
        "shocks.month": shipped["shocks"]["month"],
        "shocks.vol_move": shipped["shocks"]["vol_move"],
    }


# --- the rule


def charged(spec: str, *held: tuple[Listing, float]) -> PoolReport:
    account = Account(id="a", balances={"BTC": Decimal(50)}, positions=tuple(position(one, q) for one, q in held))
    (pool,) = assess(account, snapshot_of([one for one, _ in held]), LOADED(spec), withdrawable=False).pools
    return pool


def btc(days: int, ratio: float = 1.0, *, call: bool = True) -> Listing:
    return option("BTC", "BTC", days, INDEX["BTC"] * ratio, call=call)


@pytest.mark.parametrize(
    ("day", "spec"),
    [
        ("2018-06-01", "2017-01-01"),
        ("2023-12-31", "2020-01-01"),
        ("2024-05-01", "2024-04-01"),
        ("2026-03-01", "2026-02-01"),
    ],
)
def test_the_name_alone_resolves_by_date(day: str, spec: str) -> None:
    found = load_rulebook("deribit-portfolio", as_of=date.fromisoformat(day))
    assert found.effective_from == date.fromisoformat(spec)


def test_2017_vega_offsets_between_expiries() -> None:
    near, far = btc(50), btc(141)
    spread = charged("deribit-portfolio@2017-01-01", (near, 10), (far, -10)).lines
    alone = [charged("deribit-portfolio@2017-01-01", (one, 10)).lines["vega_long"].maintenance for one in (near, far)]
    assert spread["offsetting_vega"].maintenance == pytest.approx(0.25 * min(alone))
    assert spread["options"].maintenance == pytest.approx(0.01 * 20)
    same = charged("deribit-portfolio@2017-01-01", (near, 10), (btc(50, 1.25), -10)).lines
    assert same["offsetting_vega"].maintenance == 0  # one expiry nets


def test_2020_short_options_net_by_strike_and_shrink_near_the_money() -> None:
    spec = "deribit-portfolio@2020-01-01"
    lines = charged(spec, (btc(50, 1.25), -20), (btc(50, 1.25, call=False), 10)).lines
    assert lines["short_options"].maintenance == pytest.approx(10 * 0.01)
    assert charged(spec, (btc(50, 1.25), -10), (btc(141, 1.25), 10)).lines["short_options"].maintenance == (
        pytest.approx(0.1)
    )
    assert charged(spec, (btc(50), -10)).lines["short_options"].maintenance == pytest.approx(0)
    near = replace_strike(btc(50), 63_000.0)
    assert charged(spec, (near, -10)).lines["short_options"].maintenance == pytest.approx(0.1 * 0.5)


def replace_strike(listing: Listing, strike: float) -> Listing:
    terms = {name: getattr(listing, name) for name in listing.__struct_fields__}
    return type(listing)(**{**terms, "strike": strike, "symbol": f"{strike:g}"})


def test_2020_futures_pay_on_both_sides() -> None:
    held = [(future("BTC", "BTC", days), quantity) for days, quantity in ((50, 3), (141, -3))]
    pool = charged("deribit-portfolio@2020-01-01", *held)
    coins = sum(abs(units(one, quantity)) * one.multiplier / (one.mark_price or 1.0) for one, quantity in held)
    assert pool.lines["futures"].maintenance == pytest.approx(0.006 * coins)
    assert pool.initial_margin == pytest.approx(1.3 * pool.maintenance_margin)
