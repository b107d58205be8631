"""Vega: margin levels of one market in cross and isolated mode, a perpetual's funding term, capped futures.

The files count in whole units of the settlement asset, so does the account that is posed.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from crossmargin.account import Account, MarginMode, Order, Position
from crossmargin.analysis.conformance.case import (
    FULL_PRECISION,
    Case,
    Family,
    Figure,
    Steps,
    case_names,
    holds_kind,
    of_kind,
)
from crossmargin.analysis.conformance.derive_market import AS_OF
from crossmargin.analysis.conformance.fields import Fields, refuse
from crossmargin.analysis.conformance.linear_market import (
    NEXT_TO_NOTHING,
    decimal_at,
    decimal_of,
    on_leg,
    perpetual,
    snapshot_of,
    stated,
    total,
)
from crossmargin.instruments import InstrumentKind
from crossmargin.margin import with_values
from crossmargin.units import exact

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from crossmargin.analysis.conformance.case import Outcome, Read, Rulebooks
    from crossmargin.market import Listing, Snapshot

RULEBOOK: Final = "vega@2026-01-20"
ASSET: Final = "USDT"
LONG: Final = "V"
SHORT: Final = "W"
YEAR_HOURS: Final = 8766  # 365.25 days
_LATER: Final = timedelta(days=90)  # no level reads a future's expiry
_PAIR: Final = 2

# entry of the rulebook: the key of a case; what a case leaves out is 0 there
_MARKET: Final = {
    "parameters.linear_slippage": "linear_slippage",
    "parameters.quadratic_slippage": "quadratic_slippage",
    "parameters.interest": "interest_rate",
    "parameters.clamp_lower": "clamp_lower",
    "parameters.clamp_upper": "clamp_upper",
    "charges.funding.margin_funding_factor": "margin_funding_factor",
}
_MODEL: Final = {"tau": "tau", "sigma": "sigma", "mu": "mu"}
_LEVELS: Final = ("maintenance", "search", "initial", "release")


@dataclass(frozen=True, slots=True)
class Posed:
    """One case's account and market."""

    account: Account
    snapshot: Snapshot


def everywhere(value: float) -> dict[str, Any]:
    """Return a table with one number for every market."""
    return {"by": "bucket", "default": value}


def market_changes(given: Fields, unit: float) -> dict[str, Any]:
    """Return the case's market in place of the venue's; `unit` is the asset's smallest and the smallest price step."""
    changes: dict[str, Any] = {entry: everywhere(given.number(key, 0.0)) for entry, key in _MARKET.items()}
    changes["parameters.asset_unit"] = {"by": "settlement_asset", ASSET: unit}
    changes["parameters.tick"] = unit
    if "delta_t_years" in given:
        changes["parameters.interval_hours"] = float(decimal_at(given, "delta_t_years") * YEAR_HOURS)
    scaling = given.object("scaling")
    factors = {level: scaling.number(level, 1.0) for level in _LEVELS[1:]}
    changes["charges.levels.scaling"] = {"maintenance": 1, **factors}
    return changes | _risk(given)


def _risk(given: Fields) -> dict[str, Any]:
    """Return the case's risk factors, or the model that gives them; a case without either asks for none."""
    if "lognormal_risk_model" in given:
        model = given.needed("lognormal_risk_model")
        return model_changes(model, model.number("risk_aversion"))
    both = given.number("risk_factor", 0.0)
    return {
        **{f"parameters.{name}": everywhere(0.0) for name in _MODEL},
        "parameters.simple_long": everywhere(given.number("risk_factor_long", both)),
        "parameters.simple_short": everywhere(given.number("risk_factor_short", both)),
    }


def model_changes(model: Fields, aversion: float) -> dict[str, Any]:
    """Return the parameters of a lognormal model: risk aversion, years, volatility, growth."""
    changes: dict[str, Any] = {f"parameters.{entry}": everywhere(model.number(key)) for entry, key in _MODEL.items()}
    return {**changes, "parameters.aversion": aversion}


def future(price: float, underlying: str = LONG, **terms: Any) -> Listing:  # noqa: ANN401 - any term of a listing
    """Return a dated future: it has levels, and no funding."""
    return perpetual(underlying, price, ASSET, kind=InstrumentKind.FUTURE, expiry=AS_OF + _LATER, **terms)


def held(listing: Listing, quantity: Decimal, **terms: Any) -> tuple[Position, ...]:  # noqa: ANN401 - any term
    """Return a position that was just marked to market; nothing is no position."""
    entry = exact(listing.mark_price or 0.0)
    position = Position(instrument=listing.symbol, quantity=quantity, entry_price=entry, **terms)
    return (position,) if quantity else ()


def _orders(given: Fields, listing: Listing) -> tuple[Order, ...]:
    """Return open orders: a volume on each side, or sizes with their prices."""
    found = []
    for key, sign in (("buy_orders", 1), ("sell_orders", -1)):
        for quantity, price in _stated_orders(given, key, exact(listing.mark_price or 0.0)):
            if quantity < 0 or price <= 0:
                refuse("a size and a price above 0", given.get(key), given.at(key))
            found.append(Order(instrument=listing.symbol, quantity=sign * quantity, limit_price=price))
    return tuple(order for order in found if order.quantity)


def _stated_orders(given: Fields, key: str, mark: Decimal) -> list[tuple[Decimal, Decimal]]:
    if not isinstance(given.value.get(key), list):
        return [(decimal_at(given, key, Decimal(0)), mark)]
    pairs = given.items(key)
    if any(not isinstance(pair, list) or len(pair) != _PAIR for pair in pairs):
        refuse("pairs of a size and a price", pairs, given.at(key))
    return [(decimal_of(pair[0], given.at(key)), decimal_of(pair[1], given.at(key))) for pair in pairs]


def _cross(given: Fields) -> Posed:
    listing = future(given.number("mark_price"))
    positions = held(listing, decimal_at(given, "position"))
    account = Account(id="cross", positions=positions, orders=_orders(given, listing))
    return Posed(account, snapshot_of([listing], ASSET))


def _capped(given: Fields) -> Posed:
    """Return a capped market; without a position any price serves as its mark."""
    most = given.number("max_price")
    quantity, price = decimal_at(given, "position"), given.number("entry_or_last_mtm_price", 0.0)
    listing = future((price or NEXT_TO_NOTHING) if quantity else most, max_price=most)
    account = Account(id="capped", positions=held(listing, quantity), orders=_orders(given, listing))
    return Posed(account, snapshot_of([listing], ASSET))


def _isolated(given: Fields) -> Posed:
    listing = future(given.number("price"))
    factor = decimal_at(given, "margin_factor")
    if factor <= 0:
        refuse("a margin factor above 0", given.get("margin_factor"), given.at("margin_factor"))
    apart = {"margin_mode": MarginMode.ISOLATED, "leverage": 1 / factor}
    account = Account(id="isolated", positions=held(listing, decimal_at(given, "size"), **apart))
    return Posed(account, snapshot_of([listing], ASSET))


def _funded(given: Fields) -> Posed:
    """Return two markets of the same terms, for the long and for the short position."""
    terms = {"twap": given.number("internal_twap"), "index_price": given.number("external_twap")}
    mark = given.number("mark_price")
    listings = [perpetual(name, mark, ASSET, **terms) for name in (LONG, SHORT)]
    quantities = [decimal_at(given, "position_long", Decimal(1)), decimal_at(given, "position_short", Decimal(-1))]
    positions = [held(listing, quantity) for listing, quantity in zip(listings, quantities, strict=True)]
    return Posed(Account(id="funded", positions=(*positions[0], *positions[1])), snapshot_of(listings, ASSET))


def _level(name: str) -> Read:
    return lambda outcome: outcome.pool.requirements[name]


def _required(outcome: Outcome) -> float:
    return outcome.report.maintenance_margin


# of each kind: the account, the figures that it may state, and their tolerance (whole units must be met exactly)
_KINDS: Final[Mapping[str, tuple[Callable[[Fields], Posed], Mapping[str, Read], float]]] = {
    "cross_margin_levels": (_cross, {name: _level(name) for name in _LEVELS}, 0.0),
    "perp_funding_margin": (
        _funded,
        {
            "funding_payment": on_leg("funding_payment", LONG, "maintenance"),
            "funding_rate": on_leg("funding_share", LONG, "maintenance"),
            "mm_long": on_leg("raw", LONG, "maintenance"),
            "mm_short": on_leg("raw", SHORT, "maintenance"),
        },
        FULL_PRECISION,
    ),
    "isolated_margin": (_isolated, {"margin": total("isolated_margin", "initial")}, 0.0),
    "fully_collateralised_capped_future": (_capped, {"margin": _required}, 0.0),
}
_KEYS: Final = {
    "cross_margin_levels": "mark_price",
    "perp_funding_margin": "internal_twap",
    "isolated_margin": "margin_factor",
    "fully_collateralised_capped_future": "max_price",
}


def pose_of(kind: str) -> Callable[[Fields, int, Rulebooks], Case]:
    """Return what poses the cases of a kind."""
    make, read, tolerance = _KINDS[kind]

    def pose(document: Fields, index: int, rulebooks: Rulebooks) -> Case:
        case = document.objects("cases")[index]
        given = case.needed("input")
        posed, changes = make(given), market_changes(given, 1.0)
        return make_case(document, index, posed, changes, rulebooks, figures_of(case, read, tolerance))

    return pose


def make_case(
    document: Fields, index: int, posed: Posed, changes: dict[str, Any], rulebooks: Rulebooks, figures: list[Figure]
) -> Case:
    """Return the case of an account, a market and the parameters that replace the venue's."""
    source = f"cases[{index}].input"
    rulebook = with_values(rulebooks(RULEBOOK), changes, source=source)
    return Case(case_names(document)[index], posed.account, posed.snapshot, rulebook, tuple(figures), changes)


def figures_of(case: Fields, read: Mapping[str, Read], tolerance: float) -> list[Figure]:
    """Return the figures that a case states, each with the file's own tolerance where it has one."""
    expected = case.needed("expected")
    names = [name for name in read if name in expected]
    if not names:
        refuse("a figure to compare", expected.value, expected.place)
    return [Figure(name, stated(expected, name), read[name], case.number("tolerance", tolerance)) for name in names]


def parameters(document: Fields, index: int) -> dict[str, Steps]:
    """Return where a case states the venue's parameters."""
    given = document.objects("cases")[index].needed("input")
    at: Steps = ("cases", index, "input")
    own = [*_MARKET.values(), "delta_t_years", "risk_factor", "risk_factor_long", "risk_factor_short"]
    out: dict[str, Steps] = {key: (*at, key) for key in own if key in given}
    for part, keys in (("scaling", _LEVELS), ("lognormal_risk_model", ("risk_aversion", "tau", "mu", "sigma"))):
        table = given.object(part)
        out |= {f"{part}.{key}": (*at, part, key) for key in keys if key in table}
    return out


FAMILIES: Final[tuple[Family, ...]] = tuple(
    Family("vega", kind, holds_kind(kind, keys=(key,)), case_names, pose_of(kind), parameters, of_kind(kind))
    for kind, key in _KEYS.items()
)
