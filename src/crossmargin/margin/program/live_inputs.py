"""Which pool of an account has the inputs that it states, as pools open and empty: by the rule of `unit_inputs`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from crossmargin.margin.program.book import inputs_of, stated
from crossmargin.margin.program.live_legs import number_of
from crossmargin.margin.program.live_targets import extend, keys_by_asset, reporting_class
from crossmargin.margin.resolve import ISOLATED, asset_key
from crossmargin.scenarios import ASSET

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from crossmargin.margin.program.book import CompactBook
    from crossmargin.margin.program.live_legs import LiveLegs
    from crossmargin.margin.program.live_state import LiveState

    Ints = npt.NDArray[np.int64]
    Floats = npt.NDArray[np.float64]
    Flags = npt.NDArray[np.bool_]

__all__ = ["carrier", "carry_in_copies", "carry_inputs", "know_bare_class", "may_move", "moving", "parted", "put_input"]

_QUANTITY = number_of("quantity")


def parted(state: LiveState) -> bool:
    """Return whether inputs may move: somebody states any, and an account may have several pools."""
    if not state.pools.inputs.size:
        return False
    return state.rulebook.pool_by != "account" or any(pool.isolated for pool in state.universe.pools)


def carrier(state: LiveState, account: int) -> int:
    """Return the pool that has an account's inputs; who holds nothing has a shared pool of no asset, opened here."""
    held = [pool for pool in state.pools.of(account) if state.legs.held(pool)]
    if held:
        return min(held, key=lambda pool: _rank(state, int(state.pools.full_key(np.asarray([pool]))[0])))
    pool = state.pools.find(account, 0)
    return pool if pool >= 0 else state.open(account, 0, know_bare_class(state, account))


def put_input(state: LiveState, account: int, place: int, value: float) -> list[int]:
    """Set one of an account's inputs; return the pools to be computed anew."""
    pool = carrier(state, account)
    values = inputs_of(state.pools.inputs, slice(pool, pool + 1))[:, 0]
    values[place] = value
    state.pools.put_inputs(pool, values)
    return [pool]


def carry_inputs(state: LiveState, account: int) -> list[int]:
    """Put an account's inputs into the pool that has them now; return the pools that changed."""
    if not parted(state):
        return []
    pools = list(state.pools.of(account))
    inputs = state.pools.inputs[:, pools]
    had = [pools[n] for n in np.flatnonzero(inputs.any(axis=0)).tolist()]
    if not had:
        return []
    own = carrier(state, account)
    if had == [own]:
        return []
    state.pools.inputs[:, had] = 0.0
    state.pools.inputs[:, own] = inputs.sum(axis=1)
    return sorted({*had, own})


def know_bare_class(state: LiveState, account: int) -> int:
    """Return the number of the class of an account's pool while it holds nothing; the universe may grow by it."""
    asset = state.market.reporting_asset
    wanted = reporting_class(state, int(state.pools.account_class[account]), asset)
    if wanted not in state.classes:
        extend(state, [(asset_key(asset), wanted)])
    return state.classes[wanted]


def _rank(state: LiveState, key: int) -> tuple[bool, str, int]:
    """Return what the pools of an account are ordered by: shared ones by name, then isolated positions'."""
    return key >= ISOLATED, state.labels[key] if 0 < key < ISOLATED else "", key


# --- checks: in a trade's copy inputs move as in the account, and the engine leaves them where they are


def moving(state: LiveState, account: Ints, contract: Ints, quantity: Floats) -> Flags:
    """Return of each trade whether it could move inputs: :func:`may_move`, for many."""
    pools, c = state.pools, state.market.priced.contracts
    states = np.zeros(pools.accounts, dtype=bool)
    states[pools.account[: pools.count][pools.inputs[:, : pools.count].any(axis=0)]] = True
    found = states[account] & (contract >= 0)
    keys, names = keys_by_asset(state), state.market.priced.names.assets
    for n in np.flatnonzero(found).tolist():
        one = int(contract[n])
        key = 0 if keys is None else keys[names[c.settle_asset[one]]]
        found[n] = may_move(state, int(account[n]), key, one, float(quantity[n]))
    return found


def may_move(state: LiveState, account: int, key: int, contract: int, quantity: float) -> bool:
    """Return whether a trade in the pool of a key could move its account's inputs: it opens a pool or empties one."""
    pools = list(state.pools.of(account))
    given = state.pools.inputs[:, pools].any(axis=0)
    if not given.any():
        return False
    own, lands = pools[int(given.argmax())], state.pools.find(account, key)
    if lands == own:
        return _may_empty(state, own, contract, quantity)
    if lands >= 0 and state.legs.held(lands):
        return False
    here = int(state.pools.full_key(np.asarray([own]))[0])
    return not state.legs.held(own) or _rank(state, key) < _rank(state, here)


def _may_empty(state: LiveState, pool: int, contract: int, quantity: float) -> bool:
    """Return whether a trade closes the only contract of a pool: what it pays may leave nothing of the wallet."""
    row = int(state.rows[int(state.pools.pool_class[pool]), contract])
    if row < 0 or state.legs.at(pool, row)[_QUANTITY] * quantity >= 0:
        return False
    held = state.universe.rows.contract[state.legs.rows(pool)]
    return bool((state.market.priced.contracts.kind[held[held != contract]] == ASSET).all())


def carry_in_copies(state: LiveState, book: CompactBook, legs: LiveLegs, accounts: Sequence[int]) -> CompactBook:
    """Return copies of accounts, each after a trade, with their inputs in the pools that have them then."""
    inputs = np.zeros((state.pools.inputs.shape[0], len(book.legs)))
    key, pool_class = book.pool_key.copy(), book.legs.pool_class.copy()
    for n, account in enumerate(accounts):
        given = state.pools.inputs[:, list(state.pools.of(account))].sum(axis=1)
        if not given.any():
            continue
        pools = range(*np.searchsorted(book.pool_account, [n, n + 1]).tolist())
        held = [pool for pool in pools if _holds(state, legs, pool)]
        own = min(held, key=lambda pool: _rank(state, int(key[pool])), default=pools[0])
        inputs[:, own] = given
        if not held:
            bare = reporting_class(state, int(state.pools.account_class[account]), state.market.reporting_asset)
            key[own], pool_class[own] = 0, state.classes[bare]
    return replace(book, pool_key=key, legs=replace(book.legs, inputs=stated(inputs), pool_class=pool_class))


def _holds(state: LiveState, legs: LiveLegs, pool: int) -> bool:
    """Return whether a pool has a leg other than an asset's of which nothing is left."""
    kind = state.market.priced.contracts.kind[state.universe.rows.contract[legs.rows(pool)]]
    return bool(((kind != ASSET) | (legs.legs.columns["quantity"][legs.legs.of(pool)] != 0)).any())
