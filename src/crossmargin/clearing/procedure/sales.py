"""What a house owner or a bankrupt pool sells of its assets to pay in another: at the marks, less their haircut."""

from __future__ import annotations

from fractions import Fraction
from math import ceil
from typing import TYPE_CHECKING

from crossmargin.clearing.ledger import WALLET, moved
from crossmargin.clearing.procedure.trades import wallet_of
from crossmargin.clearing.procedure.view import price_in_money
from crossmargin.liquidation.formulas import as_fraction

if TYPE_CHECKING:
    from crossmargin.clearing.ledger import Row
    from crossmargin.clearing.procedure.view import Setting
    from crossmargin.clearing.state import State

__all__ = ["brings", "exchanged", "sale_rows", "sellable"]


def sellable(setting: Setting, state: State, owner: str) -> list[str]:
    """Return the assets that an owner has and that bring something, in order of creation: `means` counts no others."""
    held = state.balances.get(owner, {}).items()
    return [asset for (purse, asset), amount in held if purse == WALLET and amount > 0 and brings(setting, asset)]


def brings(setting: Setting, asset: str) -> bool:
    """Return whether an asset's sale brings anything: it has a price, and its haircut leaves some of it."""
    priced = asset in setting.state.marks or asset == setting.market.reporting_asset
    return priced and setting.procedure.fund.haircuts.get(asset, 0.0) < 1


def sale_rows(
    setting: Setting, state: State, seller: str, buyer: str, assets: tuple[str, str], wanted: int
) -> list[Row]:
    """Return the rows that sell one asset for at most `wanted` units of another."""
    sold, paid, _ = exchanged(setting, state, seller, assets, wanted)
    return [*moved(seller, buyer, WALLET, assets[0], sold), *moved(buyer, seller, WALLET, assets[1], paid)]


def exchanged(
    setting: Setting, state: State, seller: str, assets: tuple[str, str], wanted: int, over: Fraction = Fraction(0)
) -> tuple[int, int, Fraction]:
    """Return how many units of one asset are given for how many of another, of which at most `wanted` >= 0.

    `over` is the part of a unit that sales before have brought; the third figure is what is then over.
    """
    given, received = assets
    kept = 1 - as_fraction(setting.procedure.fund.haircuts.get(given, 0.0)) if given != received else Fraction(1)
    digits = (state.configuration.assets[given].digits, state.configuration.assets[received].digits)
    prices = price_in_money(setting, given) / price_in_money(setting, received)
    rate = prices * kept * Fraction(10) ** (digits[1] - digits[0])
    held = wallet_of(state, seller, given)
    sold = min(held, ceil((wanted - over) / rate)) if rate else held
    exact = sold * rate + over
    paid = min(int(exact), wanted)
    return sold, paid, exact - paid
