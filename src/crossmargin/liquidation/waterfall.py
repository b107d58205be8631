"""Layers of a procedure's waterfall paid one after another: who paid what, and what is left unpaid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from math import ceil, isfinite
from typing import TYPE_CHECKING

from crossmargin.errors import FailureReason, InputError
from crossmargin.liquidation.allocate import Allocation, Payer, allocate
from crossmargin.liquidation.formulas import as_fraction

if TYPE_CHECKING:
    from crossmargin.liquidation.formulas import Amount
    from crossmargin.liquidation.pools import Leg
    from crossmargin.liquidation.scope import Scope
    from crossmargin.margin.procedure import Fund, Payment

__all__ = ["Paid", "cover", "funds", "inflow", "missing", "pay", "replenishment", "shortfalls"]

_NOTHING = frozenset({"deficit", "halt"})


@dataclass(frozen=True, slots=True)
class Paid:
    """What one layer paid: the layer, its allocation, and the price at which its positions were taken, if any."""

    pay: str
    allocation: Allocation
    price: Fraction | None = None


def missing(scope: Scope, scale: Fraction | int = 1) -> int:
    """Return what has to be paid for an account that no step can restore, >= 0, in the units that :func:`pay` takes.

    The document's `loss`, else what its equity lies below 0; rounded up, so that nothing stays behind.
    """
    loss = scope.procedure.liquidation.loss
    lacking = -as_fraction(scope.named("equity")) if loss is None else as_fraction(scope.number(loss))
    return max(ceil(lacking * scale), 0)


def pay(
    loss: int, layers: Sequence[Payment], payers: Mapping[str, Sequence[Leg]], scope: Scope, scale: Fraction | int = 1
) -> tuple[tuple[Paid, ...], int]:
    """Return what each layer paid of a loss, and what nobody paid; together the loss.

    Parameters
    ----------
    loss
        In units of which `scale` make one of the pool's reporting money; >= 0.
    payers
        Of each word of `pay` who may be asked, in listed order, with the figures that ranks, weights and caps read.
    scope
        Where the formulas are evaluated; each payer goes before its leg.

    Raises
    ------
    InputError
        A formula without a value, or a weight or cap below 0.
    """
    done: list[Paid] = []
    left = loss
    for layer in layers:
        here = _with_loss(scope, loss, left, scale)
        if left == 0 or layer.pay in _NOTHING or (layer.when is not None and not here.holds(layer.when)):
            continue
        listed = [_payer(layer, one, here, scale) for one in payers.get(layer.pay, ())]
        found = allocate(left, listed, layer.rule, rounding=layer.rounding, remainder=layer.remainder)
        price = None if layer.price is None else as_fraction(here.number(layer.price))
        done.append(Paid(layer.pay, found, price))
        left = found.unpaid
    return tuple(done), left


def _with_loss(scope: Scope, loss: int, left: int, scale: Fraction | int) -> Scope:
    told = {"loss": Fraction(left) / scale, "paid": Fraction(loss - left) / scale}
    return replace(scope, stated={**(scope.stated or {}), **told})


def _payer(layer: Payment, one: Leg, scope: Scope, scale: Fraction | int) -> Payer:
    there = replace(scope, payer=one)
    fund = scope.procedure.fund
    bound = layer.cap or {"skin": fund.skin, "assess": fund.assessment}.get(layer.pay)
    cap = None if bound is None else there.number(bound)
    kept = Fraction(0) if layer.keep is None else as_fraction(there.number(layer.keep))
    equity = one.figures.get("payer_equity", Fraction(0))
    return Payer(
        name=one.name,
        cap=_cap(cap, kept, one, scale),
        weight=1 if layer.weight is None else _units(there.number(layer.weight), scale),
        rank=Fraction(0) if layer.rank is None else as_fraction(there.number(layer.rank)),
        equity=_units(equity, scale),
    )


def _cap(cap: Amount | None, kept: Fraction, one: Leg, scale: Fraction | int) -> int | None:
    """Return the most that a payer is asked for: its cap, and of a fund what it holds above what stays in it."""
    bounds = [] if cap is None or not isfinite(cap) else [_units(cap, scale)]
    if "fund" in one.figures:
        bounds.append(_units(max(as_fraction(one.figures["fund"]) - kept, Fraction(0)), scale))
    return max(min(bounds), 0) if bounds else None


def _units(money: Amount, scale: Fraction | int) -> int:
    """Return whole units of money, rounded down: nobody is asked for more than it has."""
    return int(as_fraction(money) * scale // 1)


def cover(holdings: Mapping[str, Amount], prices: Mapping[str, Amount], fund: Fund) -> Fraction:
    """Return what a fund can pay: its assets at today's prices, less what their sale would cost.

    Raises
    ------
    InputError
        MISSING_QUOTE: an asset without a price; it is never taken for nothing.
    """
    total = Fraction(0)
    for asset, amount in holdings.items():
        if asset not in prices:
            message = f"the fund holds {asset}, and no price of it is stated"
            raise InputError(FailureReason.MISSING_QUOTE, message)
        kept = 1 - as_fraction(fund.haircuts.get(asset, 0.0))
        total += as_fraction(amount) * as_fraction(prices[asset]) * kept
    return total


def shortfalls(losses: Mapping[str, Mapping[str, Amount]], members: int) -> Fraction:
    """Return Cover-n: of all scenarios the largest sum of n shortfalls that one and the same scenario makes.

    Parameters
    ----------
    losses
        By scenario and member what a default would leave uncovered, >= 0.
    members
        How many of the largest are added: 1 or 2.
    """
    sums = [sum(sorted((as_fraction(x) for x in by.values()), reverse=True)[:members]) for by in losses.values()]
    return max((Fraction(total) for total in sums), default=Fraction(0))


def funds(fund: Fund, scope: Scope, losses: Mapping[str, Mapping[str, Amount]]) -> Fraction:
    """Return what the fund should hold: its `target`, over the shortfalls of a stress."""
    if fund.target is None:
        return Fraction(0)
    told = {"cover_1": shortfalls(losses, 1), "cover_2": shortfalls(losses, 2)}
    return as_fraction(replace(scope, stated={**(scope.stated or {}), **told}).number(fund.target))


def inflow(fund: Fund, scope: Scope) -> Fraction:
    """Return what a liquidation leaves to the fund, money >= 0."""
    return Fraction(0) if fund.inflow is None else max(as_fraction(scope.number(fund.inflow)), Fraction(0))


def replenishment(held: Amount, target: Amount, inflow: Amount) -> tuple[Fraction, Fraction]:
    """Return how an inflow is parted: what the fund keeps until it holds its target, and what goes out again."""
    lacking = max(as_fraction(target) - as_fraction(held), Fraction(0))
    kept = min(as_fraction(inflow), lacking)
    return kept, as_fraction(inflow) - kept
