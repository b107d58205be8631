"""Where an event lands: names of instruments and assets become pools, rows and terms, or are refused."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING, Any, NamedTuple

from crossmargin.errors import FailureReason, InputError
from crossmargin.instruments import ContractKind, InstrumentKind
from crossmargin.margin.program.growth import grown
from crossmargin.margin.program.universe import PoolClass
from crossmargin.margin.resolve import ISOLATED, SETTLEMENT, asset_key
from crossmargin.margin.trade import Terms

if TYPE_CHECKING:
    from collections.abc import Mapping

    from crossmargin.margin.program.live_state import LiveState
    from crossmargin.market import Listing

__all__ = ["Target", "check_trade", "keys_by_asset", "own_pool", "reporting_class", "row_in", "target_of", "terms_of"]


class Target(NamedTuple):
    """Where trades in an instrument land at one market.

    `rows` are by class of pools, -1 where there is no row yet. `price` is the mark, NaN where there is none.
    """

    symbol: str
    rows: list[int]
    price: float
    terms: Terms
    settles: str


def terms_of(listing: Listing) -> Terms:
    """Return how an instrument is paid."""
    return Terms(
        listing.kind == InstrumentKind.OPTION, listing.contract == ContractKind.INVERSE, float(listing.multiplier)
    )


def target_of(state: LiveState, symbol: str) -> Target:
    """Return where trades in an instrument land.

    Raises
    ------
    InputError
        UNKNOWN_INSTRUMENT, or OUT_OF_SCOPE for spot and where every position is a pool of its own.
    """
    listing = state.universe.listings.get(symbol)
    if listing is None:
        message = "it is not among the instruments that the book knows: mark a snapshot that lists it first"
        raise InputError(FailureReason.UNKNOWN_INSTRUMENT, message, instrument=symbol)
    if listing.kind == InstrumentKind.SPOT:
        message = "spot is exchanged, not held on margin: deposit what comes and withdraw what goes"
        raise InputError(FailureReason.OUT_OF_SCOPE, message, instrument=symbol)
    contract = state.universe.place[symbol]
    return Target(
        symbol=symbol,
        rows=state.rows[:, contract].tolist(),
        price=float(state.market.priced.contracts.mark[contract]),
        terms=terms_of(listing),
        settles=listing.settlement_asset,
    )


def keys_by_asset(state: LiveState) -> Mapping[str, int] | None:
    """Return the keys of shared pools by the asset that settles in them; None where one pool (0) is for all."""
    if state.rulebook.pool_by != "settlement_asset":
        return None
    return {label: key for key, label in state.labels.items() if 0 < key < ISOLATED}


def key_of(state: LiveState, asset: str) -> int:
    """Return the key of the shared pool that what settles in an asset is in."""
    keys = keys_by_asset(state)
    return 0 if keys is None else keys[asset]


def reporting_class(state: LiveState, account_class: int, asset: str) -> PoolClass:
    """Return the class of a shared pool for what settles in an asset, for accounts of a class."""
    reporting = asset if state.rulebook.reporting == SETTLEMENT else state.rulebook.reporting
    return PoolClass(reporting, account_class, isolated=False)


def own_pool(state: LiveState, account: int, asset: str) -> int:
    """Return an account's shared pool for what settles in an asset, opened where there is none yet."""
    if account in state.without:
        failure = state.without[account]
        raise InputError(failure.reason, failure.message, account=failure.account, instrument=failure.instrument)
    key = key_of(state, asset)
    pool = state.pools.find(account, key)
    if pool >= 0:
        return pool
    wanted = reporting_class(state, int(state.pools.account_class[account]), asset)
    if wanted not in state.classes:
        extend(state, [(asset_key(asset), wanted)])
    return state.open(account, key, state.classes[wanted])


def row_in(state: LiveState, pool: int, key: str) -> int:
    """Return the row of a contract (by its key) in a pool's class; the universe grows where it has none."""
    number = int(state.pools.pool_class[pool])
    row = int(state.rows[number, state.universe.place[key]])
    if row < 0:
        extend(state, [(key, state.universe.pools[number])])
        row = int(state.rows[int(state.pools.pool_class[pool]), state.universe.place[key]])
    return row


def extend(state: LiveState, also: list[tuple[str, PoolClass]], **more: Any) -> None:  # noqa: ANN401 - as `grown` takes them
    """Let contracts stand in further classes of pools; see :func:`grown` for the rest."""
    growth = grown(
        state.universe, state.snapshot, state.rulebook,
        listings=more.pop("listings", {}), held=state.rows_held(), also=also, **more,
    )  # fmt: skip
    market = state.market_at(growth.universe, state.snapshot)
    program = state.program_at(growth.universe, market)
    state.grow(growth, market)
    state.use(market, program)


def check_trade(state: LiveState, account: int, target: Target, quantity: float, price: float) -> None:
    """Refuse a trade that cannot be one, or that lands where the rule does not say."""
    where = {"account": state.ids[account], "instrument": target.symbol}
    if state.rulebook.pool_by == "position":
        message = "every position is a pool of its own, so a trade has no shared pool; ask the function what_if"
        raise InputError(FailureReason.OUT_OF_SCOPE, message, **where)
    if not isfinite(quantity) or quantity == 0:
        message = f"quantity must be a number other than 0, found {quantity}"
        raise InputError(FailureReason.INVALID_QUANTITY, message, **where)
    refused = state.market.priced.refused.get(state.universe.place[target.symbol])
    if refused is not None:
        raise InputError(refused.reason, refused.message, **where)
    if not isfinite(price) or price < 0 or (price == 0 and not target.terms.option):
        message = f"the price of a trade must be above 0, found {price}"
        raise InputError(FailureReason.INVALID_PRICE, message, **where)
    _check_isolated(state, account, target)


def _check_isolated(state: LiveState, account: int, target: Target) -> None:
    for pool in state.pools.of(account):
        if not state.pools.is_isolated(pool):
            continue
        row = target.rows[int(state.pools.pool_class[pool])]
        if row >= 0 and row in state.legs.rows(pool):
            message = "it is held as an isolated position, where a trade may land; ask the function what_if"
            where = {"account": state.ids[account], "instrument": target.symbol}
            raise InputError(FailureReason.OUT_OF_SCOPE, message, **where)
