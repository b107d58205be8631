"""Mango v4: the format of its health cases. Health is what the adjusted equity leaves over the requirement."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

from crossmargin.account import Account
from crossmargin.analysis.conformance.case import (
    FULL_PRECISION,
    Case,
    Family,
    Figure,
    Rulebooks,
    Steps,
    case_names,
    holds_kind,
    of_kind,
)
from crossmargin.analysis.conformance.derive_market import AS_OF
from crossmargin.analysis.conformance.fields import Fields, refuse
from crossmargin.analysis.conformance.quote_positions import DOLLAR, above_zero, amount, asset_name, orders, positions
from crossmargin.instruments import InstrumentKind
from crossmargin.margin import with_values
from crossmargin.market import AssetQuote, Listing, Snapshot
from crossmargin.units import exact

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from crossmargin.account import Order, Position
    from crossmargin.analysis.conformance.case import Outcome
    from crossmargin.margin import Rulebook

RULEBOOK: Final = "mango-v4@2024-01-01"
_TYPES: Final[Mapping[str, str]] = {
    "init": "initial",
    "maint": "maintenance",
    "liq_end": "liquidation_end",
    "liquidation_end": "liquidation_end",
}

# entry of the rulebook: what a token of the case calls it
BY_TOKEN: Final[Mapping[str, str]] = {
    "parameters.initial_asset_weight": "init_asset_weight",
    "parameters.maintenance_asset_weight": "maint_asset_weight",
    "parameters.initial_liability_weight": "init_liab_weight",
    "parameters.maintenance_liability_weight": "maint_liab_weight",
}
CAPS: Final[Mapping[str, str]] = {
    "parameters.deposit_start": "deposit_scale_start",
    "parameters.borrow_start": "borrow_scale_start",
}
_NO_CAP: Final = 1.7976931348623157e308  # as the chain says that none is set

# entry of the rulebook: what a perpetual of the case calls it
BY_PERPETUAL: Final[Mapping[str, str]] = {
    "parameters.initial_base_asset_weight": "init_base_asset_weight",
    "parameters.maintenance_base_asset_weight": "maint_base_asset_weight",
    "parameters.initial_base_liability_weight": "init_base_liab_weight",
    "parameters.maintenance_base_liability_weight": "maint_base_liab_weight",
    "parameters.initial_overall_weight": "init_overall_asset_weight",
    "parameters.maintenance_overall_weight": "maint_overall_asset_weight",
}


def pose(document: Fields, index: int, rulebooks: Rulebooks) -> Case:
    """Return one case as an account, a market and a rulebook."""
    case = document.objects("cases")[index]
    name = case_names(document)[index]
    tokens = case.needed("tokens")
    listings: dict[str, Listing] = {}
    held: list[Position] = []
    open_orders: list[Order] = []
    for number, perpetual in enumerate(case.objects("perps")):
        listing, of_it, orders_of_it = _perpetual(perpetual, number, tokens)
        listings[listing.symbol] = listing
        held += of_it
        open_orders += orders_of_it
    for number, market in enumerate(case.objects("spot_open_orders")):
        listing, orders_of_it = _spot(market, number, tokens)
        listings[listing.symbol] = listing
        open_orders += orders_of_it
    changes = _changes(case, tokens)
    rulebook = rulebooks(RULEBOOK)
    return Case(
        name=name,
        account=Account(id=name, balances=_balances(tokens), positions=tuple(held), orders=tuple(open_orders)),
        snapshot=Snapshot(as_of=AS_OF, reporting_asset=DOLLAR, assets=_assets(tokens), listings=listings),
        rulebook=with_values(rulebook, changes, source=case.place),
        figures=_figures(case),
        changes=changes,
    )


def market_of(case: Fields, rulebooks: Rulebooks, more: Mapping[str, Any]) -> tuple[Rulebook, Snapshot]:
    """Return the rulebook and the market of a case, with other entries of the rulebook replaced as well."""
    tokens = case.needed("tokens")
    listings = [_perpetual(perpetual, number, tokens)[0] for number, perpetual in enumerate(case.objects("perps"))]
    rulebook = with_values(rulebooks(RULEBOOK), {**_changes(case, tokens), **more}, source=case.place)
    listed = {listing.symbol: listing for listing in listings}
    return rulebook, Snapshot(as_of=AS_OF, reporting_asset=DOLLAR, assets=_assets(tokens), listings=listed)


def _token(tokens: Fields, market: Fields, key: str) -> Fields:
    """Return the token that a market names."""
    name = market.text(key)
    return tokens.needed(name) if name in tokens else refuse("one of the case's tokens", name, market.at(key))


def _assets(tokens: Fields) -> dict[str, AssetQuote]:
    found = {}
    for name in tokens:
        token = tokens.needed(name)
        price = above_zero(token, "price")
        found[asset_name(name)] = AssetQuote(
            price=price,
            stable_price=amount(token, "stable", price),
            deposits=amount(token, "bank_deposits", 0.0) + amount(token, "bank_potential_orders", 0.0),
            borrows=amount(token, "bank_borrows", 0.0),
        )
    return found


def _balances(tokens: Fields) -> dict[str, Any]:
    stated = {asset_name(name): amount(tokens.needed(name), "balance", 0.0) for name in tokens}
    return {name: exact(balance) for name, balance in stated.items() if balance}


def _perpetual(stated: Fields, number: int, tokens: Fields) -> tuple[Listing, list[Position], list[Order]]:
    _token(tokens, stated, "settle_token")
    settle = asset_name(stated.text("settle_token"))
    each, price, symbol = amount(stated, "base_lot_size", 1.0), above_zero(stated, "price"), _symbol(number)
    listing = Listing(
        symbol=symbol,
        kind=InstrumentKind.PERPETUAL,
        underlying=symbol,
        quote_asset=settle,
        settlement_asset=settle,
        mark_price=price,
        index_price=price,
        stable_price=amount(stated, "stable", price),
    )
    base, quote = amount(stated, "base_lots", 0.0) * each, amount(stated, "quote", 0.0)
    bids, asks = (abs(amount(stated, key, 0.0)) * each for key in ("bids_lots", "asks_lots"))
    return listing, list(positions(symbol, base, quote, price)), list(orders(symbol, bids, asks, price, price))


def _symbol(number: int) -> str:
    return f"perpetual {number}"


def _spot(stated: Fields, number: int, tokens: Fields) -> tuple[Listing, list[Order]]:
    """Return a spot market and its orders: what is reserved, at the extreme price or, where none is said, the market's.

    An order at the market never converts to less than the oracles say, as without an extreme price; 0 is none.
    """
    base, quote = (_token(tokens, stated, key) for key in ("base", "quote"))
    price = above_zero(base, "price") / above_zero(quote, "price")
    names = [stated.text(key) for key in ("base", "quote")]
    symbol = f"{names[0]}/{names[1]} {number}"
    listing = Listing(
        symbol=symbol,
        kind=InstrumentKind.SPOT,
        underlying=asset_name(names[0]),
        quote_asset=asset_name(names[1]),
        settlement_asset=asset_name(names[1]),
        mark_price=price,
        index_price=price,
    )
    bid, ask = (above_zero(stated, key) if stated.value.get(key) else price for key in ("highest_bid", "lowest_ask"))
    reserved = amount(stated, "reserved_quote", 0.0)
    return listing, list(orders(symbol, reserved / bid, amount(stated, "reserved_base", 0.0), bid, ask))


def _changes(case: Fields, tokens: Fields) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for entry, key in BY_TOKEN.items():
        out[entry] = {"by": "asset", **{asset_name(name): amount(tokens.needed(name), key) for name in tokens}}
    for entry, key in CAPS.items():
        stated = {asset_name(name): amount(tokens.needed(name), key) for name in tokens if key in tokens.needed(name)}
        if stated:
            out[entry] = {"by": "asset", **stated, "default": _NO_CAP}
    perpetuals = case.objects("perps")
    for entry, key in BY_PERPETUAL.items():
        if perpetuals:
            table = {_symbol(number): amount(stated, key) for number, stated in enumerate(perpetuals)}
            out[entry] = {"by": "instrument", **table}
    return out


def _figures(case: Fields) -> tuple[Figure, ...]:
    stated = case.text("health_type")
    if stated not in _TYPES:
        refuse(" or ".join(_TYPES), stated, case.at("health_type"))
    tolerance = amount(case, "tolerance", FULL_PRECISION)
    health = case.needed("expected").number("health")
    return (Figure("health", health, partial(_left, _TYPES[stated]), tolerance),)


def _left(requirement: str, outcome: Outcome) -> float:
    evaluation = outcome.book.evaluation
    return float(sum(evaluation.adjusted(requirement) - evaluation.requirement(requirement)))


def parameters(document: Fields, index: int) -> dict[str, Steps]:
    """Return where the venue's parameters of a case stand, by token or perpetual and key."""
    case = document.objects("cases")[index]
    return dict(_parameters(case, ("cases", index)))


def _parameters(case: Fields, at: Steps) -> Iterator[tuple[str, Steps]]:
    tokens = case.needed("tokens")
    for name in tokens:
        token = tokens.needed(name)
        keys = [*BY_TOKEN.values(), *(key for key in CAPS.values() if key in token)]
        yield from ((f"{name}.{key}", (*at, "tokens", name, key)) for key in keys)
    for number in range(len(case.objects("perps"))):
        yield from ((f"perps[{number}].{key}", (*at, "perps", number, key)) for key in BY_PERPETUAL.values())


FAMILY: Final = Family(
    "mango_v4",
    "health",
    holds_kind("health", keys=("tokens", "health_type")),
    case_names,
    pose,
    parameters,
    of_kind("health"),
)
FAMILIES: Final[tuple[Family, ...]] = (FAMILY,)
