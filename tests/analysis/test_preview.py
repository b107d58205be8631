"""What another rulebook does to a book, checked by hand and against two assessments."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import msgspec
import pytest

from crossmargin.account import Account, Position
from crossmargin.analysis.preview import LineChange, preview
from crossmargin.errors import FailureReason
from crossmargin.margin import assess, with_values
from crossmargin.margin.report import AccountState
from tests.analysis.desk import account, rules, snapshot

BEFORE = rules("tiered")
AFTER = with_values(BEFORE, {"charges.tiered.tiers.1.1": 0.05})


def named(held: Account, name: str) -> Account:
    return msgspec.structs.replace(held, id=name)


def test_whose_requirement_moves_by_how_much_and_through_which_line() -> None:
    large = named(account({"BTC-PERP": "10"}), "large")  # 500,000: 400,000 of it in the second tier
    small = named(account({"BTC-PERP": "1"}), "small")
    rows = preview([small, large], snapshot(), BEFORE, AFTER)
    assert [row.account for row in rows] == ["large", "small"]
    assert (rows[0].initial_before, rows[0].initial_after) == (9_000.0, 21_000.0)
    assert rows[0].change == 12_000.0
    assert rows[0].maintenance_after == 10_500.0
    assert LineChange(line="tiered", before=9_000.0, after=21_000.0) in rows[0].lines
    assert rows[0].moves
    assert not rows[1].moves
    assert rows[1].lines == ()


def test_a_change_of_state_is_a_move() -> None:
    thin = account({"BTC-PERP": "10"}, usd="8000")
    (row,) = preview([thin], snapshot(), BEFORE, AFTER)
    assert (row.state_before, row.state_after) == (AccountState.MARGIN_CALL, AccountState.LIQUIDATABLE)


def test_figures_are_those_of_two_assessments_in_one_asset() -> None:
    held = account({"BTC-PERP": "10", "ETH-FUT": "-30"})
    in_btc = replace(AFTER, reporting="BTC")
    (row,) = preview([held], snapshot(), BEFORE, in_btc)
    first, second = (assess(held, snapshot(), one, withdrawable=False) for one in (BEFORE, in_btc))
    assert row.initial_before == first.initial_margin
    assert row.initial_after == pytest.approx(second.initial_margin * 50_000, rel=1e-12)
    assert row.available_after == pytest.approx(second.available_margin * 50_000, rel=1e-12)


def test_an_account_that_one_rulebook_refuses_stands_on_top_with_its_reason() -> None:
    narrow = replace(AFTER, scope=frozenset({"future", "asset"}))
    flat = Account(id="flat", balances={"USD": Decimal(1)})
    rows = preview([flat, account({"BTC-PERP": "1"})], snapshot(), BEFORE, narrow)
    assert rows[0].failure_before is None
    assert rows[0].failure_after is not None
    assert rows[0].failure_after.reason == FailureReason.OUT_OF_SCOPE
    assert rows[0].initial_after is None
    assert rows[0].change == float("inf")
    assert rows[1].account == "flat"


def test_an_account_that_both_refuse_says_so_twice() -> None:
    unknown = Account(id="odd", positions=(Position(instrument="NO-SUCH", quantity=Decimal(1)),))
    (row,) = preview([unknown], snapshot(), BEFORE, AFTER)
    assert row.failure_before == row.failure_after
    assert row.change == 0.0
