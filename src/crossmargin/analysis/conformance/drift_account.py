"""Drift v2: one account of its margin cases, in dollars: the quote token, other tokens, perpetuals, open orders."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from crossmargin.account import Account, MarginMode
from crossmargin.analysis.conformance.case import Case, Figure, Steps
from crossmargin.analysis.conformance.derive_market import AS_OF
from crossmargin.analysis.conformance.fields import Fields, refuse
from crossmargin.analysis.conformance.quote_positions import (
    DOLLAR,
    DUST,
    above_zero,
    amount,
    asset_name,
    orders,
    positions,
)
from crossmargin.instruments import InstrumentKind
from crossmargin.margin import with_values
from crossmargin.market import AssetQuote, Listing, Snapshot
from crossmargin.units import exact

if TYPE_CHECKING:
    from collections.abc import Mapping
    from decimal import Decimal

    from crossmargin.account import Order, Position
    from crossmargin.analysis.conformance.case import Outcome
    from crossmargin.margin import Rulebook

_QUOTE: Final = "USDC"
_CROSS: Final = "cross"
_CHARGE: Final = "parameters.order_charge"

# entry of the rulebook: what a token of the case calls it
BY_TOKEN: Final[Mapping[str, str]] = {
    "parameters.initial_asset": "initial_asset",
    "parameters.maintenance_asset": "maintenance_asset",
    "parameters.initial_liability": "initial_liability",
    "parameters.maintenance_liability": "maintenance_liability",
}
# entry of the rulebook: what a perpetual of the case calls it, and what holds where it does not say
BY_PERPETUAL: Final[Mapping[str, tuple[str, float | None]]] = {
    "parameters.initial_ratio": ("ratio_initial", None),
    "parameters.maintenance_ratio": ("ratio_maintenance", None),
    "parameters.high_initial_ratio": ("hlm_initial", 0.0),
    "parameters.high_maintenance_ratio": ("hlm_maintenance", 0.0),
    "parameters.perpetual_imf": ("imf_factor", 0.0),
    "parameters.initial_gain_weight": ("upnl_weight_initial", None),
    "parameters.maintenance_gain_weight": ("upnl_weight_maintenance", None),
}


@dataclass(slots=True)
class _Desk:
    """Collects one case's account and market; `charged` counts the open orders stated for each that is posed."""

    assets: dict[str, AssetQuote] = field(default_factory=dict)
    listings: dict[str, Listing] = field(default_factory=dict)
    balances: dict[str, Decimal] = field(default_factory=dict)
    positions: list[Position] = field(default_factory=list)
    orders: list[Order] = field(default_factory=list)
    charged: dict[str, float] = field(default_factory=dict)

    def token(self, name: str, stated: Fields) -> None:
        """Add a token: its quote and its balance."""
        price = above_zero(stated, "price")
        self.assets[name] = AssetQuote(
            price=price,
            twap=amount(stated, "twap5", price),
            deposits=amount(stated, "deposits", 0.0),
        )
        balance = amount(stated, "balance", 0.0)
        if balance:
            self.balances[name] = exact(balance)

    def order(self, symbol: str, stated: Fields, price: float) -> None:
        """Add the open orders of a market, one for each side: the venue counts them, but takes them at the oracle."""
        bids, asks = (abs(amount(stated, key, 0.0)) for key in ("open_bids", "open_asks"))
        count = amount(stated, "open_orders", 0.0)
        dust = float(DUST) if count and not bids + asks else 0.0  # orders that add nothing still cost
        posed = list(orders(symbol, bids + dust, asks, price, price))
        self.orders += posed
        if posed:
            self.charged[symbol] = count / len(posed)


def pose_account(case: Fields, name: str, requirement: str, rulebook: Rulebook, tolerance: float) -> Case:
    """Return one case as an account, a market and a rulebook."""
    stated = case.needed("input")
    desk = _Desk()
    quote = stated.needed("quote")
    desk.token(_QUOTE, quote)
    tokens = stated.object("spot")
    for token in tokens:
        _add_spot(desk, _token_name(token), tokens.needed(token), desk.assets[_QUOTE].price)
    for number, perpetual in enumerate(stated.objects("perps")):
        _add_perpetual(desk, _symbol(number), perpetual, amount(stated, "user_max_margin_ratio", 0.0))
    changes = _changes(stated, requirement, desk, rulebook)
    flagged = "high_leverage_user" in stated and stated.flag("high_leverage_user")
    account = Account(
        id=name,
        class_="high_leverage" if flagged else None,
        balances=desk.balances,
        positions=tuple(desk.positions),
        orders=tuple(desk.orders),
        inputs={"max_margin_ratio": exact(amount(stated, "user_max_margin_ratio", 0.0))},
    )
    snapshot = Snapshot(as_of=AS_OF, reporting_asset=DOLLAR, assets=desk.assets, listings=desk.listings)
    figures = _figures(case.needed("expected"), requirement, tolerance)
    return Case(name, account, snapshot, with_values(rulebook, changes, source=case.place), figures, changes)


def _token_name(token: str) -> str:
    return asset_name(token) if token != _QUOTE else f"{_QUOTE} token"


def _symbol(number: int) -> str:
    return f"perpetual {number}"


def _add_spot(desk: _Desk, token: str, stated: Fields, quote_price: float) -> None:
    desk.token(token, stated)
    symbol, price = f"{token}/{_QUOTE}", above_zero(stated, "price") / quote_price
    desk.listings[symbol] = Listing(
        symbol=symbol,
        kind=InstrumentKind.SPOT,
        underlying=token,
        quote_asset=_QUOTE,
        settlement_asset=_QUOTE,
        mark_price=price,
        index_price=price,
    )
    desk.order(symbol, stated, price)


def _add_perpetual(desk: _Desk, symbol: str, stated: Fields, of_user: float) -> None:
    price = above_zero(stated, "price")
    prediction = "prediction" in stated and stated.flag("prediction")
    desk.listings[symbol] = Listing(
        symbol=symbol,
        kind=InstrumentKind.PERPETUAL,
        underlying=symbol,
        quote_asset=_QUOTE,
        settlement_asset=_QUOTE,
        mark_price=price,
        index_price=price,
        max_price=1.0 if prediction else None,
    )
    base, quote = amount(stated, "base", 0.0), amount(stated, "entry_quote", 0.0)
    more: dict[str, Any] = {}
    # the account's own ratio is an input, which only the shared pool reads: an isolated position states it too
    own = max(amount(stated, "max_margin_ratio", 0.0), of_user if "isolated_deposit" in stated else 0.0)
    if own:
        more["leverage"] = 1 / exact(own)
    if "isolated_deposit" in stated:
        if not base or amount(stated, "open_orders", 0.0):
            refuse("an isolated position with a base and without orders", base, stated.at("base"))
        more |= {
            "margin_mode": MarginMode.ISOLATED,
            "isolated_collateral": {_QUOTE: exact(amount(stated, "isolated_deposit"))},
        }
    desk.positions += positions(symbol, base, quote, price, **more)
    desk.order(symbol, stated, price)


def _changes(stated: Fields, requirement: str, desk: _Desk, rulebook: Rulebook) -> dict[str, Any]:
    tokens = stated.object("spot")
    named = {_QUOTE: stated.needed("quote")} | {_token_name(token): tokens.needed(token) for token in tokens}
    out: dict[str, Any] = {
        f"parameters.strict.{requirement}": int(stated.flag("strict")) if "strict" in stated else 0,
        f"parameters.cushion.{requirement}": amount(stated, "margin_buffer", 0.0),
    }
    for entry, key in BY_TOKEN.items():
        out[entry] = {"by": "bucket", **{name: amount(token, key) for name, token in named.items()}}
    for entry, key in (("parameters.spot_imf", "imf_factor"), ("parameters.scale_start", "scale_start_quote")):
        out[entry] = {"by": "bucket", **{name: amount(token, key, 0.0) for name, token in named.items()}}
    perpetuals = stated.objects("perps")
    for entry, (key, otherwise) in BY_PERPETUAL.items():
        if perpetuals:
            table = {_symbol(number): amount(one, key, otherwise) for number, one in enumerate(perpetuals)}
            out[entry] = {"by": "instrument", **table}
    if desk.charged:
        each = rulebook.document["parameters"]["order_charge"]
        table = {symbol: count * each for symbol, count in desk.charged.items()}
        out[_CHARGE] = {"by": "instrument", **table, "default": each}
    return out


def _figures(expected: Fields, requirement: str, tolerance: float) -> tuple[Figure, ...]:
    found = tuple(
        Figure(name, amount(expected, name), partial(read, requirement), tolerance)
        for name, read in _READ.items()
        if name in expected
    )
    return found or refuse("a figure to compare", expected.value, expected.place)


def _of_pools(outcome: Outcome, column: Any, *, cross: bool) -> float:  # noqa: ANN401 - a column [pools]
    """Return the sum over the pool that is shared, or over the isolated ones."""
    labels = outcome.book.resolved.units.label
    return sum(float(column[unit]) for unit, label in enumerate(labels) if (label == _CROSS) == cross)


def _required(requirement: str, outcome: Outcome, *, cross: bool) -> float:
    return _of_pools(outcome, outcome.book.evaluation.requirement(requirement), cross=cross)


def _collateral(requirement: str, outcome: Outcome, *, cross: bool) -> float:
    return _of_pools(outcome, outcome.book.evaluation.adjusted(requirement), cross=cross)


_READ: Final[Mapping[str, Any]] = {
    "margin_requirement": partial(_required, cross=True),
    "total_collateral": partial(_collateral, cross=True),
    "isolated_margin_requirement": partial(_required, cross=False),
    "isolated_total_collateral": partial(_collateral, cross=False),
}


def account_parameters(document: Fields, index: int) -> dict[str, Steps]:
    """Return where the venue's parameters of a case stand, by token or perpetual and key."""
    stated = document.objects("cases")[index].needed("input")
    at: Steps = ("cases", index, "input")
    out: dict[str, Steps] = {"margin_buffer": (*at, "margin_buffer")} if "margin_buffer" in stated else {}
    tokens = stated.object("spot")
    for token in tokens:
        found = tokens.needed(token)
        keys = [*BY_TOKEN.values(), *(key for key in ("imf_factor", "scale_start_quote") if key in found)]
        out |= {f"spot.{key}": (*at, "spot", token, key) for key in keys}
    out |= {f"quote.{key}": (*at, "quote", key) for key in BY_TOKEN.values()}
    for number, perpetual in enumerate(stated.objects("perps")):
        keys = [key for key, _ in BY_PERPETUAL.values() if key in perpetual]
        out |= {f"perps.{key}": (*at, "perps", number, key) for key in keys}
    return out
