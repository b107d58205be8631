"""Worths at the scenarios of a rulebook, beside what the engine says at a market that has moved so."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING

import numpy as np
import pytest

from crossmargin import Account, AssetQuote, Book, Listing, Position, Snapshot, assess_book, load_rulebook
from crossmargin.instruments import InstrumentKind
from crossmargin.margin.shocks import scenario_cells
from crossmargin.margin.stressed import stressed

if TYPE_CHECKING:
    from collections.abc import Mapping

MARKS = {"BTC": 60_000.0, "ETH": 2_000.0}
HELD = {
    "long": ("20000", {"BTC": "2"}),
    "pair": ("5000", {"BTC": "1", "ETH": "-25"}),
    "short": ("3000", {"ETH": "-10"}),
    "flat": ("100", {}),
}


def market(moves: Mapping[str, float]) -> Snapshot:
    """A linear perpetual of each coin, moved by its own share."""
    listings = {}
    for coin, mark in MARKS.items():
        price = mark * (1 + moves.get(coin, 0.0))
        listings[f"{coin}-PERP"] = Listing(
            symbol=f"{coin}-PERP", kind=InstrumentKind.PERPETUAL, underlying=coin,
            settlement_asset="USDC", quote_asset="USDC", mark_price=price, index_price=price,
        )  # fmt: skip
    assets = {"USDC": AssetQuote(price=1.0), "USD": AssetQuote(price=1.0)}
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    return Snapshot(as_of=moment, reporting_asset="USD", assets=assets, listings=listings)


def position(coin: str, quantity: str) -> Position:
    return Position(instrument=f"{coin}-PERP", quantity=Decimal(quantity), entry_price=Decimal(int(MARKS[coin])))


def book() -> Book:
    return Book.from_accounts(
        [
            Account(
                id=name,
                balances={"USDC": Decimal(cash)},
                positions=tuple(position(coin, quantity) for coin, quantity in held.items()),
            )
            for name, (cash, held) in HELD.items()
        ]
    )


@pytest.mark.parametrize("name", ["reference", "deribit-portfolio", "okx-portfolio", "derive-portfolio"])
def test_a_worth_at_a_move_is_the_equity_at_prices_that_moved(name: str) -> None:
    """Linear contracts gain one by one: each at its own move, weighted as the rulebook weighs it."""
    rulebook = load_rulebook(name)
    report = assess_book(book(), market({}), rulebook)
    assert not report.failures
    symbols = [report.resolved.names.symbols[int(symbol)] for symbol in report.resolved.contracts.symbol]
    found, place, compared = stressed(report, MARKS), 0, 0
    for label in dict.fromkeys(scenario.partition(":")[0] for scenario in found.names):
        cells = scenario_cells(report.resolved, rulebook, [label])[label]
        for scenario in np.flatnonzero((cells.axes.peg == 0) & (cells.axes.basis == 0)).tolist():
            expected = np.array(report.unit_equity)
            for coin in MARKS:
                contract = symbols.index(f"{coin}-PERP")
                moved = assess_book(book(), market({coin: float(cells.spot[contract, scenario])}), rulebook)
                expected += cells.weight[contract, scenario] * (moved.unit_equity - report.unit_equity)
            assert found.worth[:, place + scenario] == pytest.approx(expected, rel=1e-9, abs=1e-6)
            compared += 1
        place += len(cells)
    assert place == len(found.names)
    assert compared > 6


def test_a_rulebook_without_scans_has_no_scenarios() -> None:
    found = stressed(assess_book(book(), market({}), load_rulebook("dydx-v4")), MARKS)
    assert found.names == ()
    assert found.worth.shape == (4, 0)
