"""dYdX's published liquidations, run through the state machine: the order that is asked for, and what its fill leaves.

Money and contracts are the chain's own quantums, so that every amount is compared to the unit.
"""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from math import ceil, floor
from typing import TYPE_CHECKING, Any

import pytest

from crossmargin import load_rulebook
from crossmargin.analysis.conformance.linear_market import decimal_at, perpetual
from crossmargin.analysis.conformance.linear_market import snapshot_of as market_with
from crossmargin.clearing import Outside
from crossmargin.clearing import commands as c
from crossmargin.clearing.events import Asked, Posted, Refused
from crossmargin.clearing.ledger import FUND, HELD, WALLET, Row
from crossmargin.errors import FailureReason as R
from crossmargin.margin import with_values
from tests.clearing.posed import PRICE_DIGITS, Posed
from tests.clearing.published import case_at, cases_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from crossmargin.analysis.conformance.fields import Fields

FILE = "dydx_v4_margin_liquidation"
QUANTUM = 6  # digits of a USDC


def symbol(market: str) -> str:
    return f"{market}-USDC"


class Subaccount:
    """A house with the account of a case, and somebody who answers its orders."""

    def __init__(self, case: Fields, numbers: Mapping[str, str]) -> None:
        self.given = given = case.needed("input")
        self.positions = list(given.objects("positions"))
        self.about = next(one for one in self.positions if one.text("market") == given.text("market"))
        changes: dict[str, Any] = {
            f"liquidation.parameters.{ours}": self.millionths(given, key) for ours, key in numbers.items()
        }
        for entry, key in (("initial", "initial_margin_ppm"), ("maintenance", "maintenance_fraction_ppm")):
            table = {one.text("market"): self.millionths(one, key) for one in self.positions}
            changes[f"charges.positions.{entry}_fraction"] = {"by": "bucket", **table}
        for entry in ("lower_cap", "upper_cap"):
            changes[f"charges.positions.{entry}"] = {"by": "bucket", "default": 0}
        rulebook = with_values(load_rulebook("dydx-v4"), changes, source="a case")
        digits = {symbol(one.text("market")): -int(one.number("atomic_resolution")) for one in self.positions}
        self.posed = Posed(
            rulebook, self.market(), Outside(), ("account", "other"), quantity_digits=digits, digits=QUANTUM, feeds=3
        )
        self.posed.quote()

    @staticmethod
    def millionths(given: Fields, key: str) -> float:
        return float(decimal_at(given, key).scaleb(-6))

    @staticmethod
    def price(stated: Fields) -> Decimal:
        """Return the oracle's price, USDC per coin."""
        return decimal_at(stated, "price").scaleb(int(stated.number("exponent")))

    def market(self, moved: float = 1.0) -> Any:  # noqa: ANN401 - a snapshot
        prices = {one.text("market"): float(self.price(one)) for one in self.positions}
        prices[self.about.text("market")] *= moved
        listed = [perpetual(name, price, "USDC") for name, price in prices.items()]
        return market_with(listed, "USDC", {"USDC": 1.0})

    def opened(self) -> None:
        """Let the account stand as the case says: its quote balance, and positions that were opened at these prices."""
        rows: list[Row] = [("other", WALLET, "USDC", 10**15), (FUND, WALLET, "USDC", 10**15)]
        quote = int(decimal_at(self.given, "quote_balance"))
        for one in self.positions:
            base, name = int(decimal_at(one, "base_quantums")), symbol(one.text("market"))
            worth = int(Decimal(base).scaleb(int(one.number("atomic_resolution")) + QUANTUM) * self.price(one))
            rows += [("account", HELD, name, base), ("account", f"basis:{name}", "USDC", -worth)]
            quote += worth
        self.posed.open([("account", WALLET, "USDC", quote), *rows])

    def _orders(self) -> list[Asked]:
        wanted = symbol(self.about.text("market"))
        asked = [r.event for r in self.posed.records if isinstance(r.event, Asked) and r.event.what == "order"]
        return [event for event in asked if event.limits["instrument"] == wanted]

    def order(self) -> Asked:
        """Return the order for the market of the case that was asked for last."""
        return self._orders()[-1]

    def ordered_whole(self) -> None:
        """Let the order be for the whole position: the account was worth nothing, and the price has returned."""
        base = int(decimal_at(self.about, "base_quantums"))
        worse = 0.5 if base > 0 else 1.5
        self.posed.quote(self.market(worse))
        while (
            len(self.positions) > 1 and not self._orders()
        ):  # legs go by name: the orders of those before end unfilled
            self.posed.desk.as_of += timedelta(seconds=1)
            self.posed.send(c.Tick)
        assert int(self.order().limits["quantity"]) == -base
        self.posed.desk.as_of -= timedelta(seconds=1)
        self.posed.quote(self.market())

    def answered(self, contracts: int, ticks: int) -> list[Any]:
        """Return what follows as somebody answers the order."""
        buyer, seller = ("account", "other") if contracts > 0 else ("other", "account")
        fields = {"instrument": symbol(self.about.text("market")), "quantity": abs(contracts), "price": ticks}
        return self.posed.send(c.Trade, buyer=buyer, seller=seller, case=self.order().case, **fields)

    def filled(self, contracts: int, ticks: int) -> int:
        """Return what the fund receives as the order is filled in part, or in whole; below 0 it pays."""
        before = self.posed.state.balances[FUND][WALLET, "USDC"]
        events = self.answered(contracts, ticks)
        trade = events[0]
        assert isinstance(trade, Posted)
        assert trade.cause == "trade"
        fees = [event for event in events if isinstance(event, Posted) and event.cause == "liquidation: close, fees"]
        received = sum(row[3] for event in fees for row in event.rows if row[0] == FUND)
        assert len(fees) == bool(received)
        left = self.posed.until(self.posed.records[-len(events)].number + 1 + len(fees)).balances[FUND][WALLET, "USDC"]
        assert left == before + received
        return received


def ticks_for(money: int, contracts: int, resolution: int) -> int:
    """Return the price at which so many quantums are paid for so many contracts: in ticks, rounded down."""
    coins = Fraction(abs(contracts)) * Fraction(10) ** resolution
    return int(Fraction(money, 10**QUANTUM) / coins * 10**PRICE_DIGITS)


@pytest.mark.parametrize("at", cases_of(FILE, {"fillable_price"}))
def test_fillable(at: tuple[str, int]) -> None:
    """The order is asked for at a limit: no worse than the fillable price."""
    case = case_at(at)
    account = Subaccount(case, {"adjust": "bankruptcy_adjustment_ppm", "spread": "spread_to_mm_ratio_ppm"})
    account.opened()
    account.posed.quote()
    over, under = case.needed("expected").items("price_quote_per_base_quantum")
    expected = Fraction(over, under) / 10**QUANTUM / Fraction(10) ** int(account.about.number("atomic_resolution"))
    assert float(account.order().limits["limit"]) == pytest.approx(float(expected), rel=1e-14)
    sells = account.order().limits["quantity"].startswith("-")
    ticks = expected * 10**PRICE_DIGITS
    worse = ticks * (1 - Fraction(1, 10**12)) if sells else ticks * (1 + Fraction(1, 10**12))
    refusal = account.answered(-1 if sells else 1, round(worse))[0]
    assert isinstance(refusal, Refused)
    assert refusal.reason == R.INVALID_PRICE
    assert isinstance(account.answered(-1 if sells else 1, ceil(ticks) if sells else floor(ticks))[0], Posted)


@pytest.mark.parametrize("at", cases_of(FILE, {"insurance_fund_delta"}))
def test_fund(at: tuple[str, int]) -> None:
    """What a fill leaves to the insurance fund, or what the fund adds."""
    case = case_at(at)
    given = case.needed("input")
    account = Subaccount(case, {"most_fee": "max_liquidation_fee_ppm"})
    account.opened()
    account.ordered_whole()
    base, resolution = int(decimal_at(given, "fill_base_quantums")), int(account.about.number("atomic_resolution"))
    per_quantum = Fraction(decimal_at(given, "subticks")) * Fraction(10) ** int(
        given.number("quantum_conversion_exponent")
    )
    price = per_quantum / 10**QUANTUM / Fraction(10) ** resolution
    received = account.filled(base if given.flag("is_buy") else -base, int(price * 10**PRICE_DIGITS))
    assert received == case.needed("expected").number("insurance_fund_delta")


@pytest.mark.parametrize("at", cases_of(FILE, {"bankruptcy_price"}))
@pytest.mark.parametrize("better", [-1, 0, 1])
def test_bankruptcy(at: tuple[str, int], better: int) -> None:
    """At the bankruptcy price the fund neither receives nor pays; a quantum better or worse is the fund's."""
    case = case_at(at)
    account = Subaccount(case, {})
    account.opened()
    account.ordered_whole()
    base = int(decimal_at(case.needed("input"), "delta_base_quantums"))
    # above 0 it is received
    quantums = int(decimal_at(case.needed("expected"), "bankruptcy_quote_quantums")) + better
    price = ticks_for(abs(quantums), base, int(account.about.number("atomic_resolution")))
    assert account.filled(base, price) == better
