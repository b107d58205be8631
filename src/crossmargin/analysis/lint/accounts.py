"""The accounts of lint: flat ones, single balances and debts, ladders of outrights, mixtures; no chance involved."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from itertools import count, islice, product
from math import isfinite
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from msgspec.structs import replace

from crossmargin.account import Account, Order, Position, PositionSide
from crossmargin.analysis.lint.market import asset_price, cash_asset, named_keys
from crossmargin.instruments import ContractKind, InstrumentKind
from crossmargin.units import exact

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from crossmargin.margin.model import Rulebook
    from crossmargin.market import Listing, Snapshot

Role: TypeAlias = Literal["flat", "debt", "outright", "mixed", "deposit"]
_LADDER: Final = (1e3, 1e5, 3e6, 1e8, 3e9)
_MIXED: Final = 400
_MIXED_QUICK: Final = 40
_BALANCES: Final = (1e3, 1e6, 1e9)
_DEPOSIT: Final = 1e5
_ENTRIES: Final = (0.9, 1.0, 1.1)
_GOLDEN: Final = 0.6180339887498949  # its multiples fill the unit interval evenly
_AROUND: Final = (0.999, 1.001)


@dataclass(frozen=True, slots=True)
class Case:
    """One account and what is tried with it.

    `group` is the ladder that a rung belongs to, rungs in rising quantity; `before` of a deposit is the place of the
    account without it.
    """

    account: Account
    role: Role
    group: str = ""
    before: int = -1


def make_cases(rulebook: Rulebook, snapshot: Snapshot, *, quick: bool) -> list[Case]:
    """Return the accounts on which a rulebook is tried; `quick` takes fewer rungs and mixtures."""
    cases = [*_flat(rulebook, snapshot), *_debts(rulebook, snapshot), *_outrights(rulebook, snapshot, quick=quick)]
    cases += structures(rulebook, snapshot)
    cases += list(islice(_mixtures(rulebook, snapshot), _MIXED_QUICK if quick else _MIXED))
    return [*cases, *_deposits(cases, cash_asset(rulebook))]


def _balance(asset: str, dollars: float) -> dict[str, Decimal]:
    return {asset: exact(dollars / asset_price(asset))}


def _flat(rulebook: Rulebook, snapshot: Snapshot) -> Iterator[Case]:
    yield Case(Account(id="empty"), "flat")
    classes: list[str | None] = [None, *sorted(named_keys(rulebook)["class"])]
    for asset, dollars in product(snapshot.assets, _BALANCES):
        yield Case(Account(id=f"{dollars:,.0f} USD of {asset}", balances=_balance(asset, dollars)), "flat")
    for class_ in classes:
        every = {asset: amount for one in snapshot.assets for asset, amount in _balance(one, _DEPOSIT).items()}
        yield Case(Account(id=f"every asset, class {class_}", class_=class_, balances=every), "flat")


def _debts(rulebook: Rulebook, snapshot: Snapshot) -> Iterator[Case]:
    for asset, dollars in product(snapshot.assets, _BALANCES[:2]):
        owed = _balance(asset, -dollars)
        funds = {} if asset == cash_asset(rulebook) else _balance(cash_asset(rulebook), 2 * dollars)
        yield Case(Account(id=f"{dollars:,.0f} USD of {asset} owed", balances={**funds, **owed}), "debt")


def _outrights(rulebook: Rulebook, snapshot: Snapshot, *, quick: bool) -> Iterator[Case]:
    tables = list(_tier_tables(rulebook.document))
    funds = _balance(cash_asset(rulebook), _DEPOSIT)
    for listing in snapshot.listings.values():
        near_bounds = not quick or listing.kind == InstrumentKind.PERPETUAL
        bounds = _bounds(tables, listing) if near_bounds else set()
        index = asset_price(listing.underlying)
        around = {near * bound * unit for near, bound, unit in product(_AROUND, bounds, (1.0, index))}
        rungs = around.union(_LADDER[:: 2 if quick else 1])
        for side, dollars in product((1, -1), sorted(rungs)):
            word = "long" if side > 0 else "short"
            name = f"{word} {dollars:,.9g} USD of {listing.symbol}"
            held = (_position(listing, side * dollars),)
            yield Case(Account(id=name, balances=funds, positions=held), "outright", f"{word} {listing.symbol}")


def _tier_tables(value: Any) -> Iterator[Mapping[str, list[list[Any]]]]:  # noqa: ANN401 - whatever TOML holds
    """Yield tables of tiers: by key, or all under the empty key."""
    if isinstance(value, dict):
        found = {key: part for key, part in value.items() if _is_tiers(part)}
        if "by" in value:
            yield found
        else:
            yield from ({"": part} for part in found.values())
        for key, part in value.items():
            if key not in found:
                yield from _tier_tables(part)


def _is_tiers(value: Any) -> bool:  # noqa: ANN401 - as above
    return isinstance(value, list) and bool(value) and all(isinstance(row, list) for row in value)


def _bounds(tables: Sequence[Mapping[str, list[list[Any]]]], listing: Listing) -> set[float]:
    """Return the finite tier bounds that may hold of an instrument."""
    found: set[float] = set()
    for table in tables:
        keys = (listing.symbol, listing.underlying, listing.settlement_asset, "default", "")
        rows = next((table[key] for key in keys if key in table), [])
        found |= {float(row[0]) for row in rows if isinstance(row[0], int | float) and isfinite(row[0])}
    return {bound for bound in found if bound > 0}


def _position(listing: Listing, dollars: float, entry: float = 1.0, **changes: Any) -> Position:  # noqa: ANN401 - any field
    price = (listing.mark_price or 0.0) * entry
    return Position(
        instrument=listing.symbol,
        quantity=exact(_contracts(listing, dollars)),
        entry_price=exact(price) if price > 0 else None,
        **changes,
    )


def _contracts(listing: Listing, dollars: float) -> float:
    """Return the signed contracts that cover so many dollars of the underlying."""
    if listing.contract == ContractKind.INVERSE and listing.kind != InstrumentKind.OPTION:
        return dollars / listing.multiplier
    return dollars / (asset_price(listing.underlying) * listing.multiplier)


def _mixtures(rulebook: Rulebook, snapshot: Snapshot) -> Iterator[Case]:
    """Yield accounts of one to five positions with balances, a debt, orders, leverage, inputs, classes in turn."""
    listings = list(snapshot.listings.values())
    assets = list(snapshot.assets)
    classes: list[str | None] = [None, *sorted(named_keys(rulebook)["class"])]
    if not listings:
        return
    # where pegs slip, linear and inverse contracts of one strike have two indices: no venue lists both in one pool
    steady = asset_price("USDC") == snapshot.assets["USDC"].price
    kinds = sorted({one.contract for one in listings})
    draw = ((_GOLDEN * n) % 1.0 for n in count(1))
    for number in count():
        choice = listings if steady else [one for one in listings if one.contract == kinds[number % len(kinds)]]
        held = _distinct([choice[int(next(draw) * len(choice))] for _ in range(1 + number % 5)])
        positions = [_drawn(one, draw, number) for one in held]
        if rulebook.opposite_positions != "net" and number % 4 == 0:
            positions = _opposite(positions)
        orders = [_order(held[0], draw)] if number % 4 == 1 else []
        if number % 4 == 3:  # noqa: PLR2004 - orders that would close all, on both sides
            orders = [_order_of(one.instrument, -one.quantity) for one in positions]
        owed = {} if number % 3 else _balance(assets[number // 3 % len(assets)], -3e4)
        coin = assets[int(next(draw) * len(assets))]
        yield Case(
            Account(
                id=f"mixture {number}",
                class_=classes[number % len(classes)],
                balances={**_balance(coin, 10 ** (3 + 4 * next(draw))), **owed},
                positions=tuple(positions),
                orders=tuple(orders),
                inputs=dict.fromkeys(rulebook.inputs, Decimal(10_000)) if number % 4 == 1 else {},
            ),
            "mixed",
        )


def structures(rulebook: Rulebook, snapshot: Snapshot) -> list[Case]:
    """Return what offsets: a coin against its future, straddles, verticals, calendars of synthetic forwards."""
    funds = _balance(cash_asset(rulebook), _DEPOSIT)
    cases = []
    for (base, settle), options in _option_grids(snapshot).items():
        (first, *_, last), strikes = sorted({one[0] for one in options}), sorted({one[1] for one in options})
        middle, wing = strikes[1], strikes[-1]
        legs = {
            "short straddle": {(first, middle, "call"): -1, (first, middle, "put"): -1},
            "short vertical": {(last, middle, "call"): -1, (last, wing, "call"): 1},
            "calendar of forwards": {
                (first, middle, "call"): 1,
                (first, middle, "put"): -1,
                (last, middle, "call"): -1,
                (last, middle, "put"): 1,
            },
        }
        for name, held in legs.items():
            at = {key: options[key] for key in held if key in options}
            positions = tuple(_position(listing, held[key] * 1e6) for key, listing in at.items())
            case = Account(id=f"{name} of {base} in {settle}", balances=funds, positions=positions)
            cases.append(Case(case, "mixed"))
    for listing in snapshot.listings.values():
        if listing.kind == InstrumentKind.PERPETUAL:
            coin = _balance(listing.underlying, _DEPOSIT)
            hedge = (_position(listing, -_DEPOSIT),)
            name = f"{listing.underlying} against a short {listing.symbol}"
            cases.append(Case(Account(id=name, balances=coin, positions=hedge), "mixed"))
    return cases


def _option_grids(snapshot: Snapshot) -> dict[tuple[str, str], dict[tuple[float, float, str], Listing]]:
    """Return the options by expiry (as days), moneyness (forward strike over the index) and type, for each coin."""
    grids: dict[tuple[str, str], dict[tuple[float, float, str], Listing]] = {}
    for one in snapshot.listings.values():
        if one.kind == InstrumentKind.OPTION and one.expiry is not None and one.option_type is not None:
            days = (one.expiry - snapshot.as_of).days
            ratio = round((one.strike or 0.0) / (one.forward_price or 1.0), 1)
            grid = grids.setdefault((one.underlying, one.settlement_asset), {})
            grid[float(days), ratio, one.option_type.value] = one
    return grids


def _distinct(listings: list[Listing]) -> list[Listing]:
    return list({one.symbol: one for one in listings}.values())


def _drawn(listing: Listing, draw: Iterator[float], number: int) -> Position:
    dollars = 10 ** (3 + 6 * next(draw)) * (1 if next(draw) < 0.5 else -1)  # noqa: PLR2004 - one of two
    leverage = Decimal(5) if number % 3 == 0 else None
    return _position(listing, dollars, _ENTRIES[number % len(_ENTRIES)], leverage=leverage)


def _opposite(positions: list[Position]) -> list[Position]:
    """Return the positions with the first one held in both directions."""
    first, *rest = positions
    sides = (PositionSide.LONG, PositionSide.SHORT)
    amounts = (abs(first.quantity), -abs(first.quantity) / 2)
    return [*(replace(first, side=s, quantity=q) for s, q in zip(sides, amounts, strict=True)), *rest]


def _order(listing: Listing, draw: Iterator[float]) -> Order:
    quantity = _contracts(listing, 10 ** (3 + 5 * next(draw)) * (1 if next(draw) < 0.5 else -1))  # noqa: PLR2004 - as above
    return _order_of(listing.symbol, exact(quantity))


def _order_of(symbol: str, quantity: Decimal) -> Order:
    return Order(instrument=symbol, quantity=quantity, limit_price=Decimal(1))


def _deposits(cases: Sequence[Case], funds: str) -> Iterator[Case]:
    """Yield every mixture, debt and first rung once more with more cash."""
    seen = set()
    for place, case in enumerate(cases):
        rung = case.role == "outright" and case.group not in seen
        seen.add(case.group)
        if case.role not in {"mixed", "debt"} and not rung:
            continue
        balances = dict(case.account.balances)
        balances[funds] = balances.get(funds, Decimal(0)) + exact(_DEPOSIT / asset_price(funds))
        account = replace(case.account, id=f"{case.account.id}, and a deposit", balances=balances)
        yield Case(account, "deposit", before=place)
