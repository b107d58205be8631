"""Who trades, or lends and borrows: makers, gamblers, hedgers, savers - each draws its commands from the seed."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from crossmargin.clearing import commands as c
from crossmargin.clearing.events import LOCKED, Stage
from crossmargin.clearing.ledger import HELD
from crossmargin.clearing.procedure.remembered import recall
from crossmargin.clearing.scales import to_units

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.random import Generator

    from crossmargin.clearing.state import PoolStage, State
    from crossmargin.simulation.market import Market

__all__ = ["TRADERS", "Intent", "cure", "deposits", "intent", "lent", "loan"]

TRADERS: Final = {"maker": 1_000_000.0, "gambler": 5_000.0, "hedger": 60_000.0, "saver": 20_000.0}
"""Kinds of account, with the dollars that they begin with."""
_APPETITE: Final = {"maker": 0.3, "gambler": 30.0, "hedger": 8.0, "saver": 4.0}  # of what it has, a trade
_BORROWED: Final = {"maker": 0.2, "gambler": 0.9, "hedger": 0.8}  # how often it takes rather than pays in
_LEAST_LOAN: Final = 0.001  # of what it has: many are small, so that some stand near what they may owe
_MONEY, _ORDERS, _DEPOSITS, _TO_BOOK, _CURED, _WHOLE = 0.06, 0.12, 0.4, 0.3, 0.6, 0.7  # how often each is drawn

Intent = tuple[type, dict[str, Any]]
"""A command without its place: its kind and its fields."""


@dataclass(frozen=True, slots=True)
class Trader:
    """An account and the kind that it is of."""

    owner: str
    kind: str


def traders(count: int) -> list[Trader]:
    """Return so many accounts, of every kind in turn."""
    kinds = ("maker", "gambler", "gambler", "hedger", "saver")
    return [Trader(f"{kinds[number % len(kinds)]}-{number}", kinds[number % len(kinds)]) for number in range(count)]


def deposits(everyone: Sequence[Trader], dollar: str, digits: int) -> list[Intent]:
    """Return what everybody brings at first, coins for one in three; and what the fund begins with."""
    out: list[Intent] = []
    for number, trader in enumerate(everyone):
        amount = int(TRADERS[trader.kind]) * 10**digits
        out.append((c.Deposit, {"owner": trader.owner, "asset": dollar, "amount": amount}))
        if number % 3 == 0:
            out.append((c.Deposit, {"owner": trader.owner, "asset": "BTC", "amount": 10**8 // 4}))
    out.append((c.Deposit, {"owner": "fund", "asset": dollar, "amount": 20_000 * 10**digits}))
    return out


def lent(everyone: Sequence[Trader], market: Market) -> list[Intent]:
    """Return what everybody brings besides where nothing is traded: of each coin a third of its dollars' worth."""
    return [
        (c.Deposit, {"owner": trader.owner, "asset": coin, "amount": _units(market, coin, TRADERS[trader.kind] / 3)})
        for trader in everyone
        for coin in market.spots
    ]


def loan(rng: Generator, everyone: Sequence[Trader], market: Market) -> Intent:
    """Return what somebody does where there is nothing to trade: it borrows, which is a withdrawal, or pays in."""
    trader = everyone[int(rng.integers(len(everyone)))]
    assets = [market.venue.dollar, *market.spots]
    asset = assets[int(rng.integers(len(assets)))]
    borrows = rng.random() < _BORROWED.get(trader.kind, 0.5)
    amount = _units(market, asset, TRADERS[trader.kind] * _LEAST_LOAN ** float(rng.random()))
    return c.Withdraw if borrows else c.Deposit, {"owner": trader.owner, "asset": asset, "amount": amount}


def _units(market: Market, asset: str, dollars: float) -> int:
    """Return so many dollars' worth of an asset, in its units."""
    return max(int(dollars / market.spots.get(asset, 1.0) * 10 ** market.venue.assets[asset].digits), 1)


def intent(rng: Generator, everyone: Sequence[Trader], state: State, market: Market, names: Sequence[str]) -> Intent:
    """Return what somebody wants next: mostly a trade, now and then an order, a deposit or a withdrawal."""
    trader = everyone[int(rng.integers(len(everyone)))]
    draw = rng.random()
    if draw < _MONEY:
        amount = int(rng.integers(1, 2_000)) * 10**6
        kind = c.Deposit if rng.random() < _DEPOSITS else c.Withdraw
        return kind, {"owner": trader.owner, "asset": market.venue.dollar, "amount": amount}
    symbol = names[int(rng.integers(len(names)))]
    quantity = _quantity(rng, trader, market, symbol)
    price = _price(rng, state, symbol)
    if draw < _ORDERS:
        sign = 1 if rng.integers(2) else -1
        fields = {"owner": trader.owner, "instrument": symbol, "quantity": sign * quantity, "limit_price": price}
        return c.PlaceOrder, fields
    other = everyone[int(rng.integers(len(everyone)))]
    alone = other.owner == trader.owner or rng.random() < _TO_BOOK
    sides = (trader.owner, "book" if alone else other.owner)
    buyer, seller = sides if _buys(rng, trader, state, symbol) else sides[::-1]
    fields = {"buyer": buyer, "seller": seller, "instrument": symbol, "quantity": quantity, "price": price}
    return c.Trade, {**fields, "buyer_fee": int(rng.integers(0, 3_000)), "seller_fee": int(rng.integers(-500, 3_000))}


def _quantity(rng: Generator, trader: Trader, market: Market, symbol: str) -> int:
    contract = market.venue.contracts[symbol]
    money = TRADERS[trader.kind] * _APPETITE[trader.kind] * rng.random()
    spot = market.spots[contract.instrument.underlying]
    each = contract.instrument.multiplier * (1.0 if contract.instrument.contract == "inverse" else spot)
    return max(int(money / each * 10**contract.quantity_digits / 4), 1)


def _buys(rng: Generator, trader: Trader, state: State, symbol: str) -> bool:
    """Gamblers add to what they have, hedgers lean against it, others toss a coin."""
    held = state.balances.get(trader.owner, {}).get((HELD, symbol), 0)
    lean = {"gambler": 0.35, "hedger": -0.35}.get(trader.kind, -0.1) * (1 if held > 0 else -1 if held < 0 else 0)
    return bool(rng.random() < 0.5 + lean)


def _price(rng: Generator, state: State, symbol: str) -> int:
    mark = state.marks[symbol].price
    return max(round(mark * (1 + float(rng.normal(0.0, 0.0005)))), 1)


def cure(
    rng: Generator, owner: str, stood: PoolStage, wanted: Mapping[str, str], digits: Mapping[str, int]
) -> Intent | None:
    """Return what the owner of a called pool does about it: in six of ten cases the first deposit that would cure."""
    if stood.stage in LOCKED or stood.stage == Stage.HEALTHY or rng.random() > _CURED:
        return None
    for name, text in sorted(wanted.items()):
        what, _, asset = name.partition(" ")
        if what == "deposit" and asset in digits and Decimal(text) < Decimal(50_000):
            return c.Deposit, {"owner": owner, "asset": asset, "amount": to_units(text, digits[asset])}
    return None


def answer(rng: Generator, state: State, case: str) -> Intent | None:
    """Return the fill of a market order that a case asks for: all that is left of it or half, near the mark."""
    owner = state.cases[case].pool.partition("#")[0]
    orders = recall(state.cases[case].memory, 0.0).orders
    left = {one.instrument: one.wanted - one.filled for one in orders}
    symbol = next((name for name, contracts in left.items() if contracts and name in state.marks), None)
    if symbol is None:
        return None
    wanted = abs(left[symbol])
    quantity = wanted if rng.random() < _WHOLE else max(wanted // 2, 1)
    buyer, seller = (owner, "book") if left[symbol] > 0 else ("book", owner)
    fields = {"buyer": buyer, "seller": seller, "instrument": symbol, "quantity": quantity}
    return c.Trade, {**fields, "price": _price(rng, state, symbol), "case": case}


def offer(rng: Generator, bidders: Sequence[str], state: State, case: str, *, sells: bool) -> Intent:
    """Return a bid on what a case offers, by somebody rich, at any price; who `sells` repays a debt."""
    bidder = bidders[int(rng.integers(len(bidders)))]
    share = ("1", "0.5", "0.1")[int(rng.integers(3))]
    step = state.cases[case].step
    return c.Bid, {
        "case": case,
        "bidder": bidder,
        "share": share,
        "limit": "0" if sells else "1000000000",
        "step": step,
    }
