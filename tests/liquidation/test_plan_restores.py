"""Plans never give up where the greedy one restores."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from importlib import import_module

import numpy as np
import pytest

from crossmargin.account import Account, Position
from crossmargin.instruments import InstrumentKind
from crossmargin.liquidation import Costs, Engine, Impact, PlanOptions, plan
from crossmargin.liquidation.plan_choice import weighed
from crossmargin.liquidation.plan_costs import Tariff
from crossmargin.market import AssetQuote, Listing, Snapshot
from crossmargin.sources import load_rulebook

PRICES = {"BTC": 57_000.0, "ETH": 2_000.0, "SOL": 100.0}
COSTS = Costs({
    f"{coin}-PERP": Impact(half_spread=price * 0.0003, impact=price * 0.02, volume=1e5 * 57_000 / price)
    for coin, price in PRICES.items()
}, fee=0.0005)  # fmt: skip


def three_perpetuals() -> Engine:
    """An account whose cheapest plan came 0.00014 dollars short: less than the solver's tolerance."""
    market = Snapshot(
        as_of=datetime(2026, 3, 1, tzinfo=UTC),
        reporting_asset="USD",
        assets={"USDC": AssetQuote(price=1.0), **{coin: AssetQuote(price=price) for coin, price in PRICES.items()}},
        listings={f"{coin}-PERP": listing(coin, price) for coin, price in PRICES.items()},
    )
    held = (("BTC", "-0.319", "53201.6"), ("ETH", "-28.616", "2187.7"), ("SOL", "2710.531", "106.4"))
    positions = tuple(
        Position(instrument=f"{coin}-PERP", quantity=Decimal(contracts), entry_price=Decimal(entry))
        for coin, contracts, entry in held
    )
    short = Account(id="t", balances={"USDC": Decimal("14920.21")}, positions=positions)
    lots = {f"{coin}-PERP": Fraction(1, 1000) for coin in PRICES}
    return Engine(short, lambda _elapsed: market, load_rulebook("deribit-portfolio"), lots=lots)


def listing(coin: str, price: float) -> Listing:
    return Listing(
        symbol=f"{coin}-PERP", kind=InstrumentKind.PERPETUAL, underlying=coin, quote_asset="USDC",
        settlement_asset="USDC", mark_price=price, index_price=price,
    )  # fmt: skip


def test_what_a_solvers_tolerance_leaves_missing_is_solved_again() -> None:
    made = plan(three_perpetuals(), COSTS)
    greedy = plan(three_perpetuals(), COSTS, PlanOptions(method="greedy"))
    assert (made.said, made.method, greedy.restored) == ("restored", "program", True)
    assert made.cost < greedy.cost


def test_where_the_program_does_not_restore_the_greedy_plan_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """Even of a program that finds nothing at all."""

    def nothing(surface, costs, _time_limit, target):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
        ways = surface.ways
        tariff = Tariff.of(costs, ((way.name, way.terms, way.side) for way in ways.listed))
        return weighed(surface, tariff, np.zeros(len(ways), dtype=np.int64), "program", 1, target)

    greedy = plan(three_perpetuals(), COSTS, PlanOptions(method="greedy"))
    monkeypatch.setattr(import_module("crossmargin.liquidation.plan"), "chosen", nothing)
    made = plan(three_perpetuals(), COSTS)
    assert (made.restored, made.method, made.trades) == (True, "greedy", greedy.trades)
