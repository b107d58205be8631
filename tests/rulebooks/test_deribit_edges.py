"""Deribit's extended moves: a fraction of the profit in USD, turned into coin at the edge of the price range."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest

from crossmargin.account import Account, Book, Position
from crossmargin.margin import assess_book
from crossmargin.sources import load_rulebook
from tests.strategies.books import market, option, perpetual, snapshot_of

SPECS = ("deribit-portfolio@2024-04-01", "deribit-portfolio@2026-02-01")


@pytest.mark.parametrize("spec", SPECS)
def test_a_coin_perpetual_gains_at_every_extended_move_what_it_gains_at_the_edge(spec: str) -> None:
    account = Account(
        id="a", positions=(Position(instrument="BTC-PERPETUAL", quantity=Decimal(6), entry_price=Decimal(60_000)),)
    )
    report = assess_book(Book.from_accounts([account]), market(), load_rulebook(spec))
    wide = report.evaluation.detail("extended", "initial")
    contract = int(report.resolved.legs.contract[0])
    per_contract = wide.cells.valuation.gain[contract]
    edges = np.asarray([-0.16] * 2 + [0.16] * 6)
    listing = market().listings["BTC-PERPETUAL"]
    coins = listing.multiplier / (listing.mark_price or 1.0)
    assert per_contract == pytest.approx(coins * edges / (1 + edges), rel=1e-9)


def test_an_option_settled_in_coin_is_converted_at_the_edge_too() -> None:
    call = option("BTC", "BTC", 50, 60_000.0, call=True)
    snapshot = snapshot_of([call, perpetual("BTC", "BTC")])
    account = Account(id="a", positions=(Position(instrument=call.symbol, quantity=Decimal(1)),))
    evaluation = assess_book(Book.from_accounts([account]), snapshot, load_rulebook(SPECS[1])).evaluation
    cells = evaluation.detail("extended", "initial").cells
    assert cells.spot[0][-1] == 5.0
    # at +500 % the call is worth its forward less the strike, and its time value is next to nothing
    forward = (call.forward_price or 0.0) * 6
    gained_in_usd = (forward - 60_000.0) - (call.mark_price or 0.0) * 6 * 60_000.0
    in_coin = gained_in_usd * (0.16 / 5) / (60_000.0 * 1.16)
    assert cells.valuation.gain[0][-1] == pytest.approx(in_coin, rel=0.02)
