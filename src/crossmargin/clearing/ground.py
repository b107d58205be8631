"""What marks and configuration make, before anybody's holdings: the rulebook's program, and where everything stands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from crossmargin.clearing.pool_legs import Leg, Places, Purse, leg_of, parts_of
from crossmargin.errors import InputError
from crossmargin.instruments import InstrumentKind
from crossmargin.margin.model import INITIAL, MAINTENANCE
from crossmargin.margin.program.assess import program_of
from crossmargin.margin.program.growth import row_table
from crossmargin.margin.program.program import make_market
from crossmargin.margin.program.universe import PoolClass, make_universe, price
from crossmargin.margin.resolve import SETTLEMENT, asset_key
from crossmargin.margin.touched import looks_at_balances

if TYPE_CHECKING:
    from collections.abc import Mapping

    from crossmargin.clearing.commands import Quote
    from crossmargin.clearing.configuration import Configuration
    from crossmargin.margin import Rulebook
    from crossmargin.margin.program.program import Program
    from crossmargin.margin.program.universe import Universe
    from crossmargin.market import Listing, Snapshot

__all__ = ["Ground", "beside", "ground_of", "serves"]

_WHOLE: Final = 0  # the key of a pool that is not parted


@dataclass(frozen=True, slots=True)
class Ground:
    """A program at one moment.

    Parameters
    ----------
    places
        By class of accounts.
    pool_class
        By class of accounts and pool's key, the number of the class that the program knows the pool by.
    labels
        By pool's key, the name of the unit; empty where a pool is not parted.
    inputs
        What the rulebook takes where an account states no input.
    """

    program: Program
    universe: Universe
    rows: int
    places: Mapping[str, Places]
    pool_class: Mapping[tuple[str, int], int]
    labels: Mapping[int, str]
    inputs: tuple[float, ...]


def serves(rulebook: Rulebook) -> bool:
    """Return whether the pools of a rulebook are shared ones whose legs the ledger alone gives."""
    if rulebook.pool_by == "settlement_asset":
        return not any(given.default for given in rulebook.inputs.values())  # of several pools the first takes it
    return rulebook.pool_by in {"account", "group"} and rulebook.reporting != SETTLEMENT


def beside(rulebook: Rulebook) -> tuple[str, ...]:
    """Return the requirements that a rulebook states beside initial and maintenance margin."""
    return tuple(name for name in rulebook.requirements if name not in {INITIAL, MAINTENANCE})


def ground_of(
    standing: Configuration,
    marks: Mapping[str, Quote],
    snapshot: Snapshot,
    rulebook: Rulebook,
    max_quote_age_seconds: float | None,
    *,
    dated: bool,
    before: Ground | None = None,
) -> Ground | None:
    """Return the ground of a market, None where the rulebook cannot be recorded on it.

    Parameters
    ----------
    dated
        Whether instruments that expire are among it; without them it stands at any later moment too, as long as no
        quote becomes too old.
    before
        The ground of other marks of the same configuration: its universe is taken over where it has the same names.
    """
    listings = {s: one for s, one in snapshot.listings.items() if _listed(one, snapshot, rulebook, dated=dated)}
    classes = tuple(dict.fromkeys(("", *sorted({one.class_ or "" for one in standing.accounts.values()}))))
    assets = tuple(snapshot.assets)
    try:
        pools = _pools(rulebook, assets, classes)
        universe = before.universe if before is not None else None
        if universe is None or universe.assets != assets or tuple(universe.listings) != tuple(listings):
            priced = price(listings, assets, classes, snapshot, rulebook, max_quote_age_seconds)
            held = [(0, pool) for pool in pools.values()]
            universe = make_universe(listings, assets, classes, priced, rulebook, isolated=False, held=held)
        market = make_market(universe, snapshot, rulebook, max_quote_age_seconds=max_quote_age_seconds)
        program = program_of(universe, market, rulebook, beside(rulebook))
    except InputError:  # the evaluation says the same of whom it concerns
        return None
    if program is None:
        return None
    number = {pool: n for n, pool in enumerate(universe.pools)}
    numbers = {where: number[pool] for where, pool in pools.items()}
    parted = rulebook.pool_by == "settlement_asset"
    return Ground(
        program=program,
        universe=universe,
        rows=len(universe.rows),
        places={name: _places(standing, marks, universe, rulebook, numbers, name) for name in classes},
        pool_class=numbers,
        labels={n + 1: name for n, name in enumerate(assets)} if parted else {_WHOLE: ""},
        inputs=tuple(float(given.default) for given in rulebook.inputs.values()),
    )


def _listed(one: Listing, snapshot: Snapshot, rulebook: Rulebook, *, dated: bool) -> bool:
    priced = one.settlement_asset in snapshot.assets and one.quote_asset in snapshot.assets
    return (
        priced and (dated or one.expiry is None) and one.kind in rulebook.scope and one.contract in rulebook.contracts
    )


def _pools(rulebook: Rulebook, assets: tuple[str, ...], classes: tuple[str, ...]) -> dict[tuple[str, int], PoolClass]:
    """Return all pools that there may be, by class of accounts and key."""
    own = rulebook.reporting == SETTLEMENT
    keys = dict(enumerate(assets, start=1)) if rulebook.pool_by == "settlement_asset" else {_WHOLE: ""}
    return {
        (name, key): PoolClass(asset if own else rulebook.reporting, code, isolated=False)
        for code, name in enumerate(classes)
        for key, asset in keys.items()
    }


def _places(
    standing: Configuration,
    marks: Mapping[str, Quote],
    universe: Universe,
    rulebook: Rulebook,
    pool_class: Mapping[tuple[str, int], int],
    account_class: str,
) -> Places:
    """Return where everything stands for one class of accounts."""
    table = row_table(universe)
    parted = rulebook.pool_by == "settlement_asset"
    keys = {asset: n + 1 if parted else _WHOLE for n, asset in enumerate(universe.assets)}

    def row(name: str, key: int) -> int:
        return int(table[pool_class[account_class, key], universe.place[name]])

    purses = {
        asset: Purse(asset, key, row(asset_key(asset), key), 10 ** standing.assets[asset].digits)
        for asset, key in keys.items()
        if asset in standing.assets
    }
    legs: dict[str, Leg] = {}
    looks, reads = looks_at_balances(rulebook), "entry_price" in str(rulebook.document)
    for symbol, listing in universe.listings.items():
        touches = _touched(listing) if looks and not parted else ()
        if listing.settlement_asset not in purses or not purses.keys() >= set(touches):
            continue
        key = keys[listing.settlement_asset]
        legs[symbol] = leg_of(
            standing.terms[symbol],
            standing.assets[listing.settlement_asset].digits,
            (key, row(symbol, key)),
            marks[symbol].price,
            tuple(purses[name] for name in touches),
            reads_entries=reads,
        )
    by_side = rulebook.opposite_positions != "net"
    parts = {} if by_side or looks else parts_of(purses.values(), legs.values())
    return Places(purses, legs, parts, by_side=by_side, touches=looks)


def _touched(listing: Listing) -> tuple[str, ...]:
    """Return the assets that holding an instrument touches."""
    spot = (listing.quote_asset, listing.underlying) if listing.kind == InstrumentKind.SPOT else ()
    return tuple(dict.fromkeys((listing.settlement_asset, *spot)))
