"""Synthetix's published liquidations, run through the state machine: windows, keepers' rewards, funding by velocity."""

from __future__ import annotations

from datetime import timedelta
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import pytest

from crossmargin import load_rulebook
from crossmargin.analysis.conformance import synthetix
from crossmargin.analysis.conformance.linear_market import perpetual
from crossmargin.analysis.conformance.linear_market import snapshot_of as market_with
from crossmargin.analysis.conformance.procedure_lines import evaluated
from crossmargin.analysis.conformance.synthetix_procedure import WINDOW_KEYS, by_market
from crossmargin.clearing import Outside, replay
from crossmargin.clearing import commands as c
from crossmargin.clearing.events import Posted
from crossmargin.clearing.indexes import owed
from crossmargin.clearing.ledger import DUE, HELD, VAULT, WALLET, Row
from crossmargin.clearing.snapshots import from_bytes, to_bytes
from crossmargin.clearing.views import cases
from crossmargin.liquidation import Leg
from crossmargin.margin import with_values
from tests.clearing.posed import DIGITS, PRICE_DIGITS, Posed, units
from tests.clearing.published import case_at, cases_of, document_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from crossmargin.analysis.conformance.fields import Fields

FILE = "synthetix_v3_perps"
BTC = "BTC-USD"
KEEPER = "keeper"


# --- windows: what all accounts of a market together may be liquidated of


class Market:
    """Two accounts that are long of one market, and the calls at stated times."""

    def __init__(self, stated: Fields, sizes: Mapping[str, float]) -> None:
        rulebook = with_values(load_rulebook("synthetix-perps"), by_market(stated, WINDOW_KEYS), source="a case")
        self.posed = Posed(rulebook, self.market(100.0, 0.0), Outside(keeper=KEEPER), (*sizes, KEEPER))
        self.posed.quote()
        rows: list[Row] = [(VAULT, WALLET, "USD", units(10**9))]
        # the first has lost more than its collateral; the second loses it when the price halves
        for (owner, size), collateral in zip(sizes.items(), (1, 60), strict=True):
            lost = size * 5 if collateral == 1 else 0.0
            rows += [
                (owner, WALLET, "USD", units(size * collateral)),
                (owner, HELD, BTC, units(size)),
                (owner, f"basis:{BTC}", "USD", -units(size * 100 + lost)),
            ]
        self.posed.open(rows)
        self.start = self.posed.desk.as_of + timedelta(seconds=1)

    @staticmethod
    def market(price: float, skew: float) -> Any:  # noqa: ANN401 - a snapshot
        return market_with([perpetual("BTC", price, "USD", skew=skew)], "USD", {"USD": 1.0})

    def call(self, time: float, price: float, skew: float) -> dict[str, float]:
        """Let a moment's price and skew be known, and return by account what is then closed."""
        self.posed.desk.as_of = self.start + timedelta(seconds=time - 1)
        closed: dict[str, float] = {}
        for event in self.posed.quote(self.market(price, skew)):
            if isinstance(event, Posted) and event.cause == "liquidation: close":
                for owner, purse, _, amount in event.rows:
                    if purse == HELD and owner != VAULT:
                        closed[owner] = closed.get(owner, 0.0) - amount / 10**DIGITS
        return closed


@pytest.mark.parametrize("at", cases_of(FILE, {"window"}))
def test_window(at: tuple[str, int]) -> None:
    """A window's capacity is the market's: what was closed of one account leaves less for the next."""
    case = case_at(at)
    stated, expected = case.needed("input"), case.needed("expected")
    calls = stated.objects("calls")
    second = next(i for i, one in enumerate(calls) if i and one.number("size") > calls[i - 1].number("size"))
    sizes = {"first": calls[0].number("size"), "second": calls[second].number("size")}
    market = Market(stated, sizes)
    found: list[float] = []
    for number, one in enumerate(calls):
        owner = "first" if number < second else "second"
        held = market.posed.state.balances[owner].get((HELD, BTC), 0) / 10**DIGITS
        assert held == pytest.approx(one.number("size"), abs=1e-9)
        closed = market.call(one.number("t"), 100.0 if number < second else 40.0, one.number("skew"))
        assert closed.keys() <= {owner}
        found.append(closed.get(owner, 0.0))
    assert found == pytest.approx(expected.numbers("liquidated"), abs=case.number("tolerance", 0.0))
    assert max(found) == pytest.approx(expected.number("max_in_window"), abs=case.number("tolerance", 0.0))
    assert len(cases(market.posed.records)) == 2
    (text,) = market.posed.state.shared.values()  # only what the last window still counts
    assert text.count("T") == 1
    kept = to_bytes(market.posed.state)
    assert to_bytes(replay(market.posed.journal).state) == kept
    assert to_bytes(from_bytes(kept)) == kept


# --- keepers: what flagging an account pays


@pytest.mark.parametrize("at", cases_of(FILE, {"keeper", "keeper_wei"}))
def test_keeper(at: tuple[str, int]) -> None:
    """The keeper is paid out of the collateral, and the pool takes the rest.

    Of 18 digits a double holds 16: a reward in wei is met to the last that it tells, and to the unit where it is small.
    """
    case = case_at(at)
    scale = -DIGITS if case.text("kind") == "keeper_wei" else 0
    asked = synthetix.pose(document_of(at[0]), at[1], load_rulebook, scale=scale)
    costs = {f"inputs.{name}.default": float(cost) for name, cost in asked.account.inputs.items()}
    rulebook = with_values(asked.rulebook, costs, source="a case") if costs else asked.rulebook
    market = market_with(asked.snapshot.listings.values(), "USD", {"USD": 1.0})
    posed = Posed(rulebook, market, Outside(keeper=KEEPER), ("account", KEEPER))
    posed.quote()
    collateral = Fraction(asked.account.balances["USD"])
    rows: list[Row] = [("account", WALLET, "USD", units(collateral))]
    for number, position in enumerate(asked.account.positions):
        quantity = Fraction(position.quantity)
        lost = collateral if number == 0 else 0  # it has lost its collateral on the first
        name = position.instrument
        rows += [("account", HELD, name, units(quantity)), ("account", f"basis:{name}", "USD", -units(quantity + lost))]
    posed.open(rows)
    posed.quote()
    paid = Fraction(posed.state.balances[KEEPER][WALLET, "USD"]) / 10 ** (DIGITS + scale)
    expected = Fraction(str(case.needed("expected").value["reward"]))
    if scale and expected < 2**53:
        assert paid == expected
    else:
        assert float(paid) == pytest.approx(float(expected), rel=2**-52 if scale else case.number("tolerance"))
    taken = posed.state.balances[VAULT][WALLET, "USD"]
    assert taken == units(collateral) - posed.state.balances[KEEPER][WALLET, "USD"]


# --- funding: the document says the rate, the ledger who pays


@pytest.mark.parametrize("at", cases_of(FILE, {"funding"}))
def test_funding(at: tuple[str, int]) -> None:
    """What a trader's position owes after each time that funding ran up at the rate that the skew has moved."""
    case = case_at(at)
    stated, expected = case.needed("input"), case.needed("expected")
    keys = {
        "parameters.skew_scale": "skew_scale",
        "liquidation.parameters.max_velocity": "max_funding_velocity_per_day",
    }
    rulebook = with_values(load_rulebook("synthetix-perps"), by_market(stated, keys), source="a case")
    size, price = stated.number("trader_size"), stated.number("price")
    posed = Posed(rulebook, market_with([perpetual("BTC", price, "USD")], "USD", {"USD": 1.0}), Outside(), ("trader",))
    posed.quote()
    worth = units(size * price)
    posed.open(
        [
            ("trader", WALLET, "USD", 100 * worth),
            ("trader", HELD, BTC, units(size)),
            ("trader", f"basis:{BTC}", "USD", -worth),
        ]
    )
    skew, rate, paid, rates = stated.number("initial_skew"), 0.0, [], []
    leg = Leg("BTC", {"quantity": 1.0}, keys={"bucket": "BTC", "instrument": "BTC"})
    for step in stated.objects("steps"):
        told = {"market": skew, "rate_before": rate, "days_passed": step.number("days"), "price": 1.0}
        of_value = float(evaluated(rulebook, "funding_paid", told, leg=leg))
        rate = float(evaluated(rulebook, "rate_after", told, leg=leg))
        posed.desk.as_of += timedelta(days=step.number("days"))
        posed.send(c.Accrue, index=BTC, rate=f"{of_value:.12f}", mark=units(price, PRICE_DIGITS))
        holdings = posed.state.balances["trader"]
        run_up = owed(holdings[HELD, BTC], posed.state.indices[BTC], holdings.get((DUE, BTC), 0))
        paid.append(run_up / 10**DIGITS)
        rates.append(rate)
        skew += step.number("skew_change")
    tolerance = case.number("tolerance", 0.0)
    assert paid == pytest.approx(expected.numbers("accrued_cost"), abs=tolerance)
    assert rates == pytest.approx(expected.numbers("funding_rate"), abs=tolerance)
