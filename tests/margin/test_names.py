"""What a name means: own parameters first, shared ones read shared names only."""

from __future__ import annotations

from decimal import Decimal

import pytest

from crossmargin.account import Account, Position
from crossmargin.margin import assess
from tests.margin.rules import made
from tests.strategies.books import ASSETS, perpetual, snapshot_of

_BODY = """
[parameters]
rate = 0.1
twice = "(1 + 1) * rate"
[charges.plain]
is = "twice * notional"
[charges.own]
is = "(twice + rate) * notional"
rate = 0.5
[charges.charge]
level = "account"
is = "plain + own"
"""


def test_a_shared_formula_does_not_see_the_own_number_of_the_line_that_reads_it() -> None:
    contract = perpetual("BTC", "USDC")
    held = Position(instrument=contract.symbol, quantity=Decimal(2), entry_price=Decimal(50_000))
    found = assess(Account(id="a", positions=(held,)), snapshot_of([contract]), made(_BODY), withdrawable=False)
    notional = 2 * (contract.mark_price or 0.0) * contract.multiplier * ASSETS["USDC"].price
    lines = found.lines
    assert lines["plain"].initial == pytest.approx(0.2 * notional, rel=1e-12)
    assert lines["own"].initial == pytest.approx((0.2 + 0.5) * notional, rel=1e-12)
