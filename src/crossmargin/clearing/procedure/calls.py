"""What would cure a margin call: how much of which asset to deposit, or which position to reduce by how much."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from fractions import Fraction
from math import ceil, nan
from typing import TYPE_CHECKING, Final

from crossmargin.clearing.scales import to_text
from crossmargin.errors import InputError
from crossmargin.liquidation.assessed import without
from crossmargin.liquidation.formulas import as_fraction
from crossmargin.liquidation.holdings import WALLET, Entry, Row
from crossmargin.liquidation.least import least
from crossmargin.liquidation.stages import cure_slack, cured
from crossmargin.margin.procedure_checks import HEADROOM

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from crossmargin.clearing.procedure.view import View
    from crossmargin.liquidation import Holdings, Leg, Stage
    from crossmargin.liquidation.scope import Scope

__all__ = ["cures"]

_SIZES: Final = tuple(4.0**power for power in range(-8, 11))  # of what is required, tried at once as deposits
_PARTS: Final = 16  # of a position, tried at once
_NOISE: Final = Fraction(1, 10**12)  # of what is required: the compiled program adds up in another order


def cures(view: View, called: Stage) -> dict[str, str]:
    """Return what would end a call at this moment's marks, each alone: by asset a deposit, by position what to close.

    What is told takes the pool out of the stage and meets the requirement that the band names: who paid it is not
    called any more. Amounts are decimal strings at the asset's or instrument's scale, each tried on the engine; of
    what cannot cure there is no entry.
    """
    out: dict[str, str] = {}
    for asset in _assets(view):
        amount = _deposit(view, called, asset)
        if amount is not None:
            out[f"deposit {asset}"] = to_text(amount, _digits(view, asset))
    for leg in view.pool.legs:
        part = _reduction(view, called, leg) if leg.terms.form != "asset" else None
        if part is not None:
            out[f"reduce {leg.name}"] = to_text(part, _contract_digits(view, leg))
    return out


@dataclass(slots=True)
class _Tries:
    """Amounts, in units, of one thing that the account may do, and what the engine says of each."""

    view: View
    called: Stage
    book: Callable[[int], Holdings]
    known: dict[int, Scope | None] = field(default_factory=dict)

    def least(self, amounts: Iterable[int]) -> int | None:
        """Return the least amount that cures, at or below the first of some ascending ones that does; None: none."""
        tried = [0, *amounts]
        self.look(tried)
        place = next((number for number, amount in enumerate(tried) if amount and self.enough(amount)), None)
        if place is None:
            return None
        return least(tried[place - 1], tried[place], self.enough, self.slack, self.look)

    def look(self, amounts: Sequence[int]) -> None:
        """Try amounts together."""
        wanted = [amount for amount in amounts if amount not in self.known]
        for amount, found in zip(wanted, self.view.engine.views([self.book(one) for one in wanted]), strict=True):
            scope = None if isinstance(found, InputError) else replace(self.view, pool=found.made).scope()
            self.known[amount] = scope

    def enough(self, amount: int) -> bool:
        """Return whether an amount cures."""
        scope = self.known[amount]
        try:
            return scope is not None and cured(scope, self.called)
        except InputError:
            return False

    def slack(self, amount: int) -> float:
        """Return a number that is at least 0 where an amount cures; NaN where there is none."""
        scope = self.known[amount]
        try:
            return nan if scope is None else cure_slack(scope, self.called)
        except InputError:
            return nan


def _assets(view: View) -> list[str]:
    """Return what the account may bring: its own assets and those that its contracts settle in, which have a price."""
    own = {leg.terms.settles_in for leg in view.pool.legs} | {view.setting.currency}
    priced = view.setting.market.assets
    known = view.setting.state.configuration.assets
    return sorted(asset for asset in own if asset in priced and asset in known)


def _deposit(view: View, called: Stage, asset: str) -> int | None:
    """Return the least deposit that cures, in units."""
    unit, required = Fraction(1, 10 ** _digits(view, asset)), _required(view, called, asset)
    tries = _Tries(view, called, lambda amount: _with(view, asset, amount * unit, required))
    return tries.least(sorted({ceil(float(required) * share) for share in _SIZES}))


def _reduction(view: View, called: Stage, leg: Leg) -> int | None:
    """Return the least part of a position whose closing at the mark cures, in units."""
    digits = _contract_digits(view, leg)
    held = ceil(as_fraction(leg.figures["contracts_held"]) * 10**digits)
    required = _required(view, called, leg.terms.settles_in)

    def book(amount: int) -> Holdings:
        rest = _with(view, leg.terms.settles_in, Fraction(0), required)
        return without(rest, view.owner, leg, Fraction(amount, 10**digits)) if amount else rest

    parts = sorted({ceil(Fraction(held * number, _PARTS)) for number in range(1, _PARTS + 1)})
    return _Tries(view, called, book).least(parts)


def _required(view: View, called: Stage, asset: str) -> Fraction:
    """Return what the call is about, in units of an asset: the requirement, or what is missing to it; at least 1."""
    figures = view.pool.figures
    required, headroom = (as_fraction(figures[f"{called.cure}{end}"]) for end in ("", HEADROOM))
    unit = as_fraction(view.setting.market.assets[asset].price) * Fraction(1, 10 ** _digits(view, asset))
    return 1 + max(required, -headroom) / unit


def _with(view: View, asset: str, amount: Fraction, required: Fraction) -> Holdings:
    """Return the book after a deposit, less what rounding may take when it is made.

    That is a unit for each leg that is touched, one for a trade, and what two ways to add up may differ by.
    """
    taken = Fraction(1 + len(view.pool.legs) + ceil(required * _NOISE), 10 ** _digits(view, asset))
    change = amount - taken
    return view.holdings.posted([
        Row(Entry(view.owner, WALLET, asset), change), Row(Entry("world", WALLET, asset), -change),
    ])  # fmt: skip


def _digits(view: View, asset: str) -> int:
    return view.setting.state.configuration.assets[asset].digits


def _contract_digits(view: View, leg: Leg) -> int:
    return view.setting.state.configuration.terms[leg.keys["instrument"]].contract.quantity_digits
