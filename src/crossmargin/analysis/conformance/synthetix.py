"""Synthetix v3 perpetuals: accounts, committed orders, what collateral counts for, and the keeper's reward.

A fill's price is the mark and the skew's premium. The files state the mark and the skew before each fill; the engine
itself is asked what a committed order of that size would fill at, and that is the position's entry price.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from crossmargin.account import Account, Order, Position
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
from crossmargin.analysis.conformance.fields import Fields, as_number, refuse
from crossmargin.analysis.conformance.linear_market import (
    decimal_at,
    decimal_of,
    exactly,
    on_leg,
    perpetual,
    snapshot_of,
    stated,
    total,
)
from crossmargin.margin import AccountState, Rulebook, with_values
from crossmargin.margin.exact import assess_exact
from crossmargin.units import exact

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from crossmargin.analysis.conformance.case import Outcome, Read, Rulebooks
    from crossmargin.margin.exact import ExactPool
    from crossmargin.market import Listing, Snapshot

RULEBOOK: Final = "synthetix-perps@2026-01-20"
_USD: Final = "USD"
_WEI: Final = -18
_IMPACT: Final = "skew_before_fill"

# entry of the rulebook, by market: the key of a market in the files; what a file leaves out is 0 there
_BY_MARKET: Final = {
    "parameters.skew_scale": "skew_scale",
    "parameters.maker_fee": "maker_fee",
    "parameters.taker_fee": "taker_fee",
    "charges.positions.fraction": "im_fraction",
    "charges.positions.least_ratio": "min_im_ratio",
    "charges.positions.scalar": "mm_scalar",
    "charges.positions.least_margin": "min_position_margin",
    "charges.flag_reward.rate": "flag_reward_ratio",
    "parameters.window_multiplier": "multiplier",
    "parameters.window_seconds": "window_seconds",
}
_GUARDS: Final = {
    "charges.keeper.least_reward": "min_reward",
    "charges.keeper.least_profit": "min_profit_ratio",
    "charges.keeper.most_reward": "max_reward",
    "charges.keeper.most_share": "max_scaling_ratio",
}
_BY_COLLATERAL: Final = {
    "charges.haircuts.spot_scale": "skew_scale",
    "charges.haircuts.discount_scalar": "discount_scalar",
    "charges.haircuts.lower": "lower_limit",
    "charges.haircuts.upper": "upper_limit",
}
_COSTS: Final = {"flag_cost": "flag_cost", "liquidate_cost": "liquidate_cost", "cost_of_execution": "flag_cost"}


@dataclass(slots=True)
class _Desk:
    """Collects one case's account and market."""

    rulebook: Rulebook
    listings: dict[str, Listing] = field(default_factory=dict)
    prices: dict[str, float] = field(default_factory=dict)
    balances: dict[str, Decimal] = field(default_factory=dict)
    positions: list[Position] = field(default_factory=list)
    orders: list[Order] = field(default_factory=list)
    inputs: dict[str, Decimal] = field(default_factory=dict)

    def hold(self, market: str, quantity: Decimal, entry: Decimal) -> None:
        """Add a position; nothing is no position."""
        if quantity:
            symbol = self.listings[market].symbol
            self.positions.append(Position(instrument=symbol, quantity=quantity, entry_price=entry))

    def account(self, name: str) -> Account:
        """Return the account."""
        return Account(
            id=name,
            balances=self.balances,
            positions=tuple(self.positions),
            orders=tuple(self.orders),
            inputs={key: value for key, value in self.inputs.items() if value},
        )

    def snapshot(self) -> Snapshot:
        """Return the market."""
        return snapshot_of(self.listings.values(), _USD, self.prices)


def _changes(given: Fields, scale: int) -> dict[str, Any]:
    """Return the case's markets, guards and collateral in place of the venue's; 0 for what it does not state."""
    markets = given.object("markets")
    changes: dict[str, Any] = {
        entry: {"by": "bucket", **{m: markets.needed(m).number(key, 0.0) for m in markets}, "default": 0}
        for entry, key in _BY_MARKET.items()
    }
    rates = dict(_rewarded(given))
    if rates:
        changes["charges.flag_reward.rate"] = {"by": "bucket", **{m: rate for m, (rate, _) in rates.items()}}
    guards = given.object("guards")
    for entry, key in _GUARDS.items():
        changes[entry] = float(decimal_at(guards, key, Decimal(0)).scaleb(scale))  # whole 1e-18: ratios too
    collaterals = given.objects("collaterals")
    for entry, key in _BY_COLLATERAL.items():
        if collaterals:
            changes[entry] = {"by": "asset", **{c.text("asset"): c.number(key, 0.0) for c in collaterals}, "default": 0}
    return changes


def _rewarded(given: Fields) -> list[tuple[str, tuple[float, Decimal]]]:
    """Return flag-reward rate and notional of the positions that a case about the reward alone states."""
    if "notional_at_liquidation" in given:
        rate = decimal_at(given, "flag_reward_ratio").scaleb(_WEI)
        return [("M0", (float(rate), decimal_at(given, "notional_at_liquidation").scaleb(_WEI)))]
    rates, notionals = given.numbers("flag_reward_ratios"), given.items("position_notionals")
    if len(rates) != len(notionals):
        refuse("as many rates as notionals", rates, given.at("flag_reward_ratios"))
    place = given.at("position_notionals")
    held = [decimal_of(notional, place) for notional in notionals]
    return [(f"M{i}", (rate, notional)) for i, (rate, notional) in enumerate(zip(rates, held, strict=True))]


def _desk(given: Fields, rulebook: Rulebook, scale: int) -> _Desk:
    desk = _Desk(rulebook)
    backing = decimal_at(given, "collateral_usd", Decimal(0)).scaleb(scale)
    if backing:
        desk.balances[_USD] = backing
    for collateral in given.objects("collaterals"):
        desk.balances[collateral.text("asset")] = decimal_at(collateral, "amount")
        desk.prices[collateral.text("asset")] = collateral.number("price")
    for key, cost in _COSTS.items():
        desk.inputs[cost] = desk.inputs.get(cost, Decimal(0)) + decimal_at(given, key, Decimal(0)).scaleb(scale)
    for market, (_, notional) in _rewarded(given):
        desk.listings[market] = perpetual(market, 1.0, _USD)
        desk.hold(market, notional, Decimal(1))
    _markets(desk, given)
    return desk


def _markets(desk: _Desk, given: Fields) -> None:
    prices, skews = given.object("prices"), {}
    order = given.object("order")
    if order.value:
        skews[order.text("market")] = order.number("skew_before")
    for market in prices:
        desk.listings[market] = perpetual(market, prices.number(market), _USD, skew=skews.get(market))
    positions = given.object("positions")
    for market in positions:
        position = positions.needed(market)
        prices.number(market)
        quantity = decimal_at(position, "size")
        desk.hold(market, quantity, _entry(desk, position, market, quantity))
    _order(desk, given, order)


def _order(desk: _Desk, given: Fields, order: Fields) -> None:
    """Add a committed order, and the positions as they were before it."""
    after, prices = given.object("positions_after"), given.object("prices")
    delta = decimal_at(order, "size_delta") if order.value else Decimal(0)
    traded = order.text("market") if order.value else ""
    for market in after:
        entry = exact(prices.number(market))
        desk.hold(market, decimal_of(after.get(market), after.at(market)) - (delta if market == traded else 0), entry)
    if order.value and traded not in after:
        prices.number(traded)
        desk.hold(traded, -delta, exact(prices.number(traded)))
    if delta:
        symbol = desk.listings[traded].symbol
        desk.orders.append(Order(instrument=symbol, quantity=delta, limit_price=exact(prices.number(traded))))


def _entry(desk: _Desk, position: Fields, market: str, quantity: Decimal) -> Decimal:
    """Return what a position filled at: what the engine says of an order of its size in the market as it was."""
    mark = position.number("mark_at_fill", desk.listings[market].mark_price)
    if not quantity or _IMPACT not in position:
        return exact(mark)
    listing = perpetual(market, mark, _USD, skew=position.number(_IMPACT))
    order = Order(instrument=listing.symbol, quantity=quantity, limit_price=exact(mark))
    pool = assess_exact(Account(id="fill", orders=(order,)), snapshot_of([listing], _USD), desk.rulebook).pool
    filled = Fraction(exact(mark)) - pool.lines["fills"]["order"] / Fraction(quantity)
    return Decimal(filled.numerator) / Decimal(filled.denominator)


def pose(document: Fields, index: int, rulebooks: Rulebooks, *, scale: int = 0) -> Case:
    """Return one case; `scale` is the power of ten of its amounts."""
    case = document.objects("cases")[index]
    name, given = case_names(document)[index], case.needed("input")
    changes = _changes(given, scale)
    rulebook = with_values(rulebooks(RULEBOOK), changes, source=case.at("input"))
    desk = _desk(given, rulebook, scale)
    account, snapshot = desk.account(name), desk.snapshot()
    expected = case.needed("expected")
    figures = _in_wei(expected, account, snapshot) if scale else _figures(case, expected, desk)
    if not figures:
        refuse("a figure to compare", expected.value, expected.place)
    return Case(name, account, snapshot, rulebook, figures, changes)


def _figures(case: Fields, expected: Fields, desk: _Desk) -> tuple[Figure, ...]:
    tolerance = case.number("tolerance", FULL_PRECISION)
    figures = [Figure(name, expected.number(name), read, tolerance) for name, read in _READ.items() if name in expected]
    flags = [Figure(name, float(expected.flag(name)), read, 0.0) for name, read in _FLAGS.items() if name in expected]
    gains = expected.object("pnl")
    parts = [
        Figure(f"pnl.{market}", gains.number(market), on_leg("gains", market, "maintenance"), tolerance)
        for market in gains
    ]
    shares = expected.items("discounts")
    assets = list(desk.prices)
    if shares and len(shares) != len(assets):
        refuse(f"{len(assets)} discounts", shares, expected.at("discounts"))
    discounts = [
        Figure(f"discounts[{i}]", as_number(share, expected.at("discounts")), partial(_discount, assets[i]), tolerance)
        for i, share in enumerate(shares)
    ]
    return (*figures, *flags, *parts, *discounts)


def _in_wei(expected: Fields, account: Account, snapshot: Snapshot) -> tuple[Figure, ...]:
    """Return the reward in whole 1e-18, as the contracts compute it: nothing may be off."""

    def reward(pool: ExactPool) -> Fraction:
        return pool.lines["keeper"]["maintenance"] * 10**-_WEI

    return (Figure("reward", stated(expected, "reward"), exactly(account, snapshot, reward), 0.0),)


def _discount(asset: str, outcome: Outcome) -> float:
    rows = {row.asset: row.haircut_maintenance for row in outcome.pool.collateral}
    return rows.get(asset) or 0.0


def _left_for_order(outcome: Outcome) -> float:
    return float(outcome.book.evaluation.adjusted("order")[0])


def _required_by_order(outcome: Outcome) -> float:
    return outcome.pool.requirements["order"]


def _accepted(outcome: Outcome) -> float:
    return float(_left_for_order(outcome) >= _required_by_order(outcome))


def _liquidatable(outcome: Outcome) -> float:
    """Return whether the trigger holds; without a position there is nothing to liquidate."""
    held = any(float(notional) > 0 for notional in outcome.book.evaluation.line("account_size", "maintenance"))
    return float(held and outcome.report.state in {AccountState.LIQUIDATABLE, AccountState.BANKRUPT})


def _worth(outcome: Outcome) -> float:
    return outcome.report.adjusted_equity_maintenance


def _withdrawable(outcome: Outcome) -> float:
    return outcome.report.available_margin


_READ: Final[Mapping[str, Read]] = {
    "available_margin": _worth,
    "withdrawable_margin": _withdrawable,
    "initial_margin_excl_reward": total("positions", "initial"),
    "maintenance_margin_excl_reward": total("positions", "maintenance"),
    "liquidation_reward": total("keeper", "maintenance"),
    "reward": total("keeper", "maintenance"),
    "total_open_interest": total("account_size", "maintenance"),
    "required_margin": _required_by_order,
    "available_margin_after_fill_pnl": _left_for_order,
}
_FLAGS: Final[Mapping[str, Read]] = {"liquidatable": _liquidatable, "accepted": _accepted}


def parameters(document: Fields, index: int) -> dict[str, Steps]:
    """Return where a case states the venue's parameters, those that are numbers."""
    given = document.objects("cases")[index].needed("input")
    at: Steps = ("cases", index, "input")
    out: dict[str, Steps] = {}
    markets = given.object("markets")
    for market in markets:
        out |= {f"{market}.{key}": (*at, "markets", market, key) for key in _numbers(markets.needed(market))}
    out |= {f"guards.{key}": (*at, "guards", key) for key in _numbers(given.object("guards"))}
    for number, _ in enumerate(given.items("flag_reward_ratios")):
        out[f"flag_reward_ratios[{number}]"] = (*at, "flag_reward_ratios", number)
    for number, collateral in enumerate(given.objects("collaterals")):
        keys = [key for key in _BY_COLLATERAL.values() if key in _numbers(collateral)]
        out |= {f"{collateral.text('asset')}.{key}": (*at, "collaterals", number, key) for key in keys}
    return out


def _numbers(given: Fields) -> list[str]:
    return [key for key, value in given.value.items() if isinstance(value, int | float)]


def _family(kind: str, key: str, pose_case: Callable[[Fields, int, Rulebooks], Case] = pose) -> Family:
    recognises = holds_kind(kind, keys=(key,))
    return Family("synthetix_v3", kind, recognises, case_names, pose_case, parameters, of_kind(kind))


def pose_wei(document: Fields, index: int, rulebooks: Rulebooks) -> Case:
    """Return a case that states its amounts in whole 1e-18."""
    return pose(document, index, rulebooks, scale=_WEI)


FAMILIES: Final[tuple[Family, ...]] = (
    _family("account", "guards"),
    _family("account_oi", "prices"),
    _family("account_req", "guards"),
    _family("order", "positions_after"),
    _family("discount", "collaterals"),
    _family("keeper", "position_notionals"),
    _family("keeper_wei", "notional_at_liquidation", pose_wei),
)
