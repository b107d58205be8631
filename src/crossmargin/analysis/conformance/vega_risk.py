"""Vega's risk model: tails of a lognormal, risk factors, what is asked of liquidity providers, where a party is closed.

The rulebook's own lines are read for a position of one unit: what a tail costs as a share of its price.
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from crossmargin.account import Account, Book
from crossmargin.analysis.conformance.case import FULL_PRECISION, Case, Family, Steps, case_names, holds_kind, of_kind
from crossmargin.analysis.conformance.linear_market import decimal_at, decimal_of, perpetual, snapshot_of, total
from crossmargin.analysis.conformance.vega import (
    ASSET,
    LONG,
    YEAR_HOURS,
    Posed,
    everywhere,
    figures_of,
    future,
    held,
    make_case,
    market_changes,
    model_changes,
)
from crossmargin.liquidation import liquidation_prices
from crossmargin.margin import assess_book
from crossmargin.units import exact

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from crossmargin.analysis.conformance.case import Outcome, Read, Rulebooks
    from crossmargin.analysis.conformance.fields import Fields

_SMALLEST: Final = 1e-15  # of a price or an amount, where a case rounds nothing
_WHOLE: Final = 1.0
_YEAR_SECONDS: Final = 3600.0 * YEAR_HOURS

_FACTORS: Final[Mapping[str, Read]] = {
    "rf_long": total("factor_long", "maintenance"),
    "rf_short": total("factor_short", "maintenance"),
}
_BOUNDS: Final[Mapping[str, Read]] = {
    "price_bound_min": total("price_low", "maintenance"),
    "price_bound_max": total("price_high", "maintenance"),
}


def _one_unit(price: float, **terms: Any) -> Posed:  # noqa: ANN401 - any term of a listing
    listing = future(price, **terms)
    return Posed(Account(id="unit", positions=held(listing, Decimal(1))), snapshot_of([listing], ASSET))


def _tail(name: str) -> Read:
    """Return a tail of the lognormal as the files state it: the lower one is a loss."""
    factor, quantile = _FACTORS, _BOUNDS
    reads: dict[str, Read] = {
        "es_long": lambda outcome: factor["rf_long"](outcome) - 1.0,
        "es_short": lambda outcome: factor["rf_short"](outcome) + 1.0,
        "var_long": lambda outcome: -quantile["price_bound_min"](outcome),
        "var_short": quantile["price_bound_max"],
    }
    return reads[name]


def pose_tails(document: Fields, index: int, rulebooks: Rulebooks) -> Case:
    """Return a lognormal by its mean and deviation; both tails of probability lambda at a price of 1."""
    case = document.objects("cases")[index]
    given = case.needed("input")
    tail, mean, deviation = given.number("lambda"), given.number("mu"), given.number("sigma")
    changes: dict[str, Any] = _unrounded() | {
        "parameters.aversion": tail,
        "parameters.tau": everywhere(1.0),
        "parameters.mu": everywhere(mean + deviation * deviation / 2.0),  # the growth of that mean over one year
        "parameters.sigma": everywhere(deviation),
        "parameters.bound_seconds": _YEAR_SECONDS,
        "parameters.bound_probability": 1.0 - 2.0 * tail,  # between both tails
    }
    figures = figures_of(case, {n: _tail(n) for n in ("var_long", "es_long", "var_short", "es_short")}, FULL_PRECISION)
    return make_case(document, index, _one_unit(1.0), changes, rulebooks, figures)


def _unrounded() -> dict[str, Any]:
    names = ("linear_slippage", "quadratic_slippage", "tau", "sigma", "mu")
    changes: dict[str, Any] = {f"parameters.{name}": everywhere(0.0) for name in names}
    changes["parameters.asset_unit"] = {"by": "settlement_asset", ASSET: _SMALLEST}
    return {**changes, "parameters.tick": _SMALLEST}


def pose_factors(document: Fields, index: int, rulebooks: Rulebooks) -> Case:
    """Return a risk model and its two factors."""
    case = document.objects("cases")[index]
    given = case.needed("input")
    changes = _unrounded() | model_changes(given, given.number("lambda"))
    return make_case(document, index, _one_unit(1.0), changes, rulebooks, figures_of(case, _FACTORS, FULL_PRECISION))


def pose_stake(document: Fields, index: int, rulebooks: Rulebooks) -> Case:
    """Return a market: its risk factors, its target stake in whole units, and the prices that stop its trading."""
    case = document.objects("cases")[index]
    given = case.needed("input")
    changes = _unrounded() | model_changes(given, given.number("lambda"))
    changes |= {
        "parameters.tick": _WHOLE,
        "parameters.asset_unit": {"by": "settlement_asset", ASSET: _WHOLE},
        "charges.target_stake.stake_scaling": given.number("target_stake_scaling", 1.0),
    }
    for entry, key in (("bound_seconds", "horizon_s"), ("bound_probability", "probability")):
        if key in given:
            changes[f"parameters.{entry}"] = given.number(key)
    posed = _one_unit(given.number("mark_price"), open_interest=given.number("open_interest"))
    whole = figures_of_some(case, {"target_stake": total("target_stake", "maintenance"), **_BOUNDS}, 0.0)
    figures = [*whole, *figures_of_some(case, _FACTORS, FULL_PRECISION)]
    return make_case(document, index, posed, changes, rulebooks, figures)


def figures_of_some(case: Fields, read: Mapping[str, Read], tolerance: float) -> list[Any]:
    """Return those of the figures that a case states, which may be none."""
    expected = case.needed("expected")
    return figures_of(case, read, tolerance) if any(name in expected for name in read) else []


def pose_liquidation(document: Fields, index: int, rulebooks: Rulebooks) -> Case:
    """Return a party and its collateral; where it is closed is the engine's own search along the market's price."""
    case = document.objects("cases")[index]
    given = case.needed("input")
    changes = market_changes(given, _SMALLEST) | _funding(given)
    listing = _listing(given)
    party = Account(id="party", positions=held(listing, decimal_at(given, "position")))
    snapshot = snapshot_of([listing], ASSET)
    figures = figures_of(
        case, {"liquidation_price": _closed_at(listing.symbol, given.number("mark_price"))}, FULL_PRECISION
    )
    bare = make_case(document, index, Posed(party, snapshot), changes, rulebooks, figures)
    return replace(bare, account=_backed(bare, given))


def _funding(given: Fields) -> dict[str, Any]:
    """Return funding terms under which a unit pays just what the case says: no interest, no clamp."""
    names = ("interest", "clamp_lower", "clamp_upper")
    flat = {f"parameters.{name}": everywhere(0.0) for name in names}
    return flat | {"charges.funding.margin_funding_factor": everywhere(given.number("margin_funding_factor", 1.0))}


def _listing(given: Fields) -> Any:  # noqa: ANN401 - a listing
    """Return a future, or a perpetual whose own average lies above the external one by what a unit pays."""
    mark, paid = given.number("mark_price"), given.number("funding_per_unit", 0.0)
    if not paid:
        return future(mark)
    outside = mark + abs(paid)
    return perpetual(LONG, mark, ASSET, index_price=outside, twap=outside + paid)


def _backed(bare: Case, given: Fields) -> Account:
    """Return the party with its collateral: a number, or its maintenance margin at the mark."""
    value = given.value.get("collateral")
    if isinstance(value, int | float):
        amount = decimal_of(value, given.at("collateral"))
    else:
        book = assess_book(Book.from_accounts([bare.account]), bare.snapshot, bare.rulebook, max_quote_age_seconds=None)
        amount = exact(book.report(0).maintenance_margin)
    return Account(id=bare.name, balances={ASSET: amount}, positions=bare.account.positions)


def _closed_at(symbol: str, mark: float) -> Read:
    """Return what reads the market's price at the flip of the trigger that is nearest to its mark."""

    def read(outcome: Outcome) -> float:
        found = liquidation_prices(outcome.book.resolved, outcome.book.evaluation.rulebook)
        marks = [level for price in found for level in price.marks.get(symbol, ()) if level is not None]
        return min(marks, key=lambda level: abs(level - mark), default=float("nan"))

    return read


def parameters(document: Fields, index: int) -> dict[str, Steps]:
    """Return where the model and the market's terms stand."""
    given = document.objects("cases")[index].needed("input")
    return {key: ("cases", index, "input", key) for key in _PARAMETERS if key in given}


_PARAMETERS: Final = (
    *("lambda", "tau", "mu", "sigma", "target_stake_scaling", "horizon_s", "probability"),
    *("linear_slippage", "quadratic_slippage", "risk_factor_long", "risk_factor_short", "margin_funding_factor"),
)


def _family(kind: str, key: str, pose: Callable[[Fields, int, Rulebooks], Case]) -> Family:
    return Family("vega", kind, holds_kind(kind, keys=(key,)), case_names, pose, parameters, of_kind(kind))


FAMILIES: Final[tuple[Family, ...]] = (
    _family("lognormal_var_es", "lambda", pose_tails),
    _family("es_risk_factors", "lambda", pose_factors),
    _family("es_risk_factor_target_stake", "open_interest", pose_stake),
    _family("liquidation_price_property", "mark_price", pose_liquidation),
)
