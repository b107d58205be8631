"""What would cure a margin call: how much of which asset to deposit, or which position to reduce by how much."""

from __future__ import annotations

from fractions import Fraction
from math import ceil
from typing import TYPE_CHECKING, Final

from crossmargin.clearing.scales import to_text
from crossmargin.liquidation.assessed import without
from crossmargin.liquidation.formulas import as_fraction
from crossmargin.liquidation.holdings import WALLET, Entry, Row
from crossmargin.margin.procedure_checks import HEADROOM

if TYPE_CHECKING:
    from crossmargin.clearing.procedure.view import View
    from crossmargin.liquidation import Holdings, Leg

__all__ = ["cures"]

_TRIES: Final = 8
_GRID: Final = 16  # parts tried at once
_ROUNDS: Final = 5  # each 16 times as fine: a millionth of the position
_SPARE: Final = Fraction(1, 10**6)  # of an amount, so that what is told does cure after it is rounded


def cures(view: View, requirement: str) -> dict[str, str]:
    """Return what would meet a requirement again, each alone: by asset what to deposit, by position what to close.

    Amounts are decimal strings at the asset's or instrument's scale, rounded up; of what cannot cure there is no
    entry. Each was tried on the engine.
    """
    out: dict[str, str] = {}
    for asset in _assets(view):
        amount = _deposit(view, requirement, asset)
        if amount is not None:
            out[f"deposit {asset}"] = amount
    for leg in view.pool.legs:
        part = _reduction(view, requirement, leg) if leg.terms.form != "asset" else None
        if part is not None:
            out[f"reduce {leg.name}"] = part
    return out


def _assets(view: View) -> list[str]:
    """Return what the account may bring: its own assets and those that its contracts settle in, which have a price."""
    own = {leg.terms.settles_in for leg in view.pool.legs} | {view.setting.currency}
    priced = view.setting.market.assets
    known = view.setting.state.configuration.assets
    return sorted(asset for asset in own if asset in priced and asset in known)


def _deposit(view: View, requirement: str, asset: str) -> str | None:
    """Return the deposit that cures: by the slope of headroom at hand, tried, and corrected where it bends."""
    digits = view.setting.state.configuration.assets[asset].digits
    price = as_fraction(view.setting.market.assets[asset].price)
    lacking = -as_fraction(view.pool.figures[f"{requirement}{HEADROOM}"])
    amount = lacking / price
    for _ in range(_TRIES):
        (found,) = view.engine.headrooms([_with(view, asset, amount)], requirement)
        if found is None or lacking + as_fraction(found) <= 0:
            return None
        if found >= 0:
            return to_text(ceil(amount * (1 + _SPARE) * 10**digits), digits)
        amount *= lacking / (lacking + as_fraction(found)) * (1 + _SPARE)
    return None


def _with(view: View, asset: str, amount: Fraction) -> Holdings:
    rows = [Row(Entry(view.owner, WALLET, asset), amount), Row(Entry("world", WALLET, asset), -amount)]
    return view.holdings.posted(rows)


def _reduction(view: View, requirement: str, leg: Leg) -> str | None:
    """Return the least part of a position whose closing at the mark cures; None where no part of a grid does."""
    held = as_fraction(leg.figures["contracts_held"])
    digits = view.setting.state.configuration.terms[leg.keys["instrument"]].contract.quantity_digits
    low, high = Fraction(0), held
    for _ in range(_ROUNDS):
        parts = [low + (high - low) * number / _GRID for number in range(1, _GRID + 1)]
        books = [without(view.holdings, view.owner, leg, part) for part in parts]
        rooms = view.engine.headrooms(books, requirement)
        enough = next((number for number, room in enumerate(rooms) if room is not None and room >= 0), None)
        if enough is None:
            return None
        low, high = (parts[enough - 1] if enough else low), parts[enough]
    return to_text(min(ceil(high * 10**digits), ceil(held * 10**digits)), digits)
