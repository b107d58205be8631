"""From an owner's integers to the legs that a compiled program reads, without an account made on the way.

A leg's numbers are made of what stands in the ledger now, and of nothing that stood there before: equal holdings give
equal legs, bit by bit, however they came about.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import compress
from operator import ne
from typing import TYPE_CHECKING, Final

from crossmargin.clearing.contracts import Payment, Terms, worth
from crossmargin.clearing.indexes import BORROW, LEND, bearing, owed
from crossmargin.clearing.ledger import DUE, HELD, RESERVED, WALLET
from crossmargin.instruments import InstrumentKind
from crossmargin.margin.program.book import PLACE_SHIFT
from crossmargin.margin.program.nodes import COLUMNS

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from crossmargin.clearing.ledger import Holdings

SIDES: Final = 3  # of a row: short, none, long
Numbers = list[float]
Pools = dict[int, dict[int, Numbers]]
"""By pool's key, then by ``row * SIDES + side + 1``: a leg's numbers, in the order of `COLUMNS`."""

_BIDS, _ASKS, _BID_COST, _ASK_COST, _ORDERS = (
    COLUMNS.index(name) for name in ("bids", "asks", "bid_cost", "ask_cost", "orders")
)
_LEVERAGE: Final = COLUMNS.index("leverage")
_WIDTH: Final = _ORDERS + 1
_BESIDE: Final = tuple((column, column << PLACE_SHIFT) for column in range(1, _WIDTH) if column != _LEVERAGE)
_POSITION: Final = _BESIDE[:2]  # what a position without orders has: cost, accrued


@dataclass(frozen=True, slots=True)
class Purse:
    """Where an asset's balance stands: its pool's key, its row, and the units in one of it."""

    asset: str
    pool: int
    row: int
    one: int


@dataclass(frozen=True, slots=True)
class Leg:
    """Where a position stands, and what makes its numbers of integers.

    Parameters
    ----------
    contract_units, money_units
        Units in one contract, and in one of the settlement asset.
    cost_up, cost_down
        A basis times this ratio is the cost that the engine reads, quantity x price or quantity / price.
    keeps_cost
        Whether the engine reads it; of an option only where the rulebook names entry prices.
    mark, level
        The mark as a number and in units.
    touches
        Purses that a holding in this contract touches, where the rulebook looks at balances of nothing.
    """

    terms: Terms
    pool: int
    row: int
    contract_units: int
    money_units: int
    cost_up: int
    cost_down: int
    keeps_cost: bool
    mark: float
    level: int
    touches: tuple[Purse, ...]


@dataclass(frozen=True, slots=True)
class Places:
    """Where everything stands for one class of accounts.

    `parts`: what a balance is a part of, where that may be made anew alone; `by_side`: opposite positions and orders
    stand apart; `touches`: balances of nothing count.
    """

    purses: Mapping[str, Purse]
    legs: Mapping[str, Leg]
    parts: Mapping[tuple[str, str], Purse | Leg]
    by_side: bool
    touches: bool


def parts_of(purses: Iterable[Purse], legs: Iterable[Leg]) -> dict[tuple[str, str], Purse | Leg]:
    """Return what each balance is a part of: of a wallet's leg, or of a position's."""
    parts: dict[tuple[str, str], Purse | Leg] = {}
    for purse in purses:
        parts |= dict.fromkeys(((WALLET, purse.asset), (DUE, BORROW + purse.asset), (DUE, LEND + purse.asset)), purse)
    for leg in legs:
        terms = leg.terms
        parts |= dict.fromkeys(((HELD, terms.symbol), (terms.basis, terms.settlement), (DUE, terms.symbol)), leg)
    return parts


def numbers_beside(numbers: Numbers) -> tuple[tuple[int, int], ...]:
    """Return the columns of a leg's numbers beside its quantity, each with the code that the engine knows it by."""
    return () if len(numbers) == 1 else _BESIDE if len(numbers) == _WIDTH else _POSITION


def leg_of(
    terms: Terms, digits: int, place: tuple[int, int], level: int, touches: tuple[Purse, ...], *, reads_entries: bool
) -> Leg:
    """Return how positions of a contract become legs.

    Parameters
    ----------
    digits
        Of the settlement asset.
    place
        Key of the pool, and row.
    level
        The mark in units.
    """
    contract = terms.contract
    price, contract_units = 10**contract.price_digits, 10**contract.quantity_digits
    option = contract.instrument.kind == InstrumentKind.OPTION
    up, down = (
        (terms.down * price, terms.up * contract_units)
        if terms.inverse
        else (-terms.down, terms.up * price * contract_units)
    )
    return Leg(
        terms=terms,
        pool=place[0],
        row=place[1],
        contract_units=contract_units,
        money_units=10**digits,
        cost_up=up,
        cost_down=down,
        keeps_cost=terms.payment is Payment.MARGINED and (reads_entries or not option),
        mark=level / price,
        level=level,
        touches=touches,
    )


def pools_of(holdings: Holdings, indices: Mapping[str, int], places: Places) -> Pools | None:
    """Return what an owner's pools hold; None where something has no place here, and the slow way must say what of it.

    Each number is the one nearest to the exact one, as a decimal read as a float is.
    """
    pools: Pools = {}
    purses, legs, side = places.purses, places.legs, 1
    ordered = False
    for (purse, asset), amount in holdings.items():
        if purse == WALLET:
            stands = purses.get(asset)
            if stands is None:
                return None
            pools.setdefault(stands.pool, {})[stands.row * SIDES + 1] = _balance(stands, holdings, indices, amount)
        elif purse == HELD:
            leg = legs.get(asset)
            if leg is None:
                return None
            if places.by_side:
                side = 2 if amount > 0 else 0
            pools.setdefault(leg.pool, {})[leg.row * SIDES + side] = _position(leg, holdings, indices, amount)
            if leg.touches:
                _touch(pools, leg)
        elif purse == RESERVED:
            ordered = True
    return pools if not ordered or _add_orders(pools, holdings, places) else None


def changed_balances(before: Holdings, after: Holdings) -> Collection[tuple[str, str]]:
    """Return the balances that differ."""
    known, names = list(before), list(after)
    if names == known:  # as ever: the same ones in the same order
        return [*compress(known, map(ne, before.values(), after.values()))]
    shared = len(known)
    if names[:shared] == known:  # and new ones behind
        return [*compress(known, map(ne, before.values(), after.values())), *names[shared:]]
    return {key for key, _ in before.items() ^ after.items()}


def brought_up(
    pools: Pools,
    changed: Collection[tuple[str, str]],
    holdings: Holdings,
    indices: Mapping[str, int],
    places: Places,
    *,
    ordered: bool,
) -> set[tuple[int, int]] | None:
    """Bring pools of former holdings to these, in place, where only the balances `changed` differ.

    Returns the legs that were made anew, by pool's key and leg's; None, and the pools are of no use, where an owner's
    pools are better made anew (:func:`pools_of`).

    Parameters
    ----------
    ordered
        Whether any of the holdings may be an order's: otherwise they are not searched for one.
    """
    touched: set[tuple[int, int]] = set()
    orders = sorted([asset for purse, asset in holdings if purse == RESERVED]) if ordered else ()
    for purse, asset in changed:
        stands = places.parts.get((HELD, asset.rpartition("@")[0]) if purse == RESERVED else (purse, asset))
        if stands is None:
            return None
        where = pool, key = stands.pool, stands.row * SIDES + 1
        if where in touched:
            continue
        touched.add(where)
        if isinstance(stands, Purse):
            amount = holdings.get((WALLET, stands.asset), 0)
            numbers = _balance(stands, holdings, indices, amount) if amount else None
        else:
            held = holdings.get((HELD, stands.terms.symbol), 0)
            numbers = _position(stands, holdings, indices, held) if held else None
            for order in orders:
                if order.rpartition("@")[0] == stands.terms.symbol:
                    numbers = _with_order(numbers or [0.0], stands, order, holdings[RESERVED, order])
        if numbers is not None:
            pools.setdefault(pool, {})[key] = numbers
        elif pool in pools:
            pools[pool].pop(key, None)
            if not pools[pool]:
                del pools[pool]
    return touched


def _balance(stands: Purse, holdings: Holdings, indices: Mapping[str, int], amount: int) -> Numbers:
    ran_up = _interest(holdings, indices, stands.asset, amount) if indices else 0
    return [amount / stands.one + ran_up / stands.one]


def _position(leg: Leg, holdings: Holdings, indices: Mapping[str, int], held: int) -> Numbers:
    terms = leg.terms
    quantity, cost, ran_up = held / leg.contract_units, 0.0, 0
    if terms.symbol in indices:
        ran_up = -owed(held, indices[terms.symbol], holdings.get((DUE, terms.symbol), 0))
    if terms.payment is Payment.MARGINED:
        basis = holdings.get((terms.basis, terms.settlement), 0)
        if basis * held * leg.cost_up > 0:
            cost = basis * leg.cost_up / leg.cost_down
        else:  # no price above 0 gives this basis; the mark does, with what it differs by as accrued
            cost = quantity / leg.mark if terms.inverse else quantity * leg.mark
            ran_up += int((worth(terms, held, leg.level) + basis) // 1)
        if not leg.keeps_cost:
            cost = 0.0
    return [quantity, cost, ran_up / leg.money_units]


def _interest(holdings: Holdings, indices: Mapping[str, int], asset: str, wallet: int) -> int:
    pays = 0
    for name, quantity in bearing(asset, wallet):
        if name in indices:
            pays += owed(quantity, indices[name], holdings.get((DUE, name), 0))
    return -pays


def _touch(pools: Pools, leg: Leg) -> None:
    for purse in leg.touches:
        pools.setdefault(purse.pool, {}).setdefault(purse.row * SIDES + 1, [0.0])


def _add_orders(pools: Pools, holdings: Holdings, places: Places) -> bool:
    """Add open orders to the legs of their contracts, by name and limit; return whether each has its place."""
    for asset in sorted(asset for purse, asset in holdings if purse == RESERVED):
        leg, amount = places.legs.get(asset.rpartition("@")[0]), holdings[RESERVED, asset]
        if leg is None:
            return False
        side = (2 if amount > 0 else 0) if places.by_side else 1
        legs, key = pools.setdefault(leg.pool, {}), leg.row * SIDES + side
        legs[key] = _with_order(legs.get(key, [0.0]), leg, asset, amount)
        if leg.touches:
            _touch(pools, leg)
    return True


def _with_order(numbers: Numbers, leg: Leg, order: str, amount: int) -> Numbers:
    """Return a leg's numbers with one more open order, of `amount` signed contracts."""
    numbers = numbers + [0.0] * (_WIDTH - len(numbers))
    quantity, price = amount / leg.contract_units, int(order.rpartition("@")[2]) / 10**leg.terms.contract.price_digits
    column, cost = (_BIDS, _BID_COST) if amount > 0 else (_ASKS, _ASK_COST)
    numbers[column] += quantity
    numbers[cost] += quantity * (1.0 / price if leg.terms.inverse else price)
    numbers[_ORDERS] += 1.0
    return numbers
