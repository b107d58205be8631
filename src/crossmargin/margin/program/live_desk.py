"""What the engine's checks read beside the book: pools by account with their figures, and where trades land."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from crossmargin.margin.program.live_targets import keys_by_asset
from crossmargin.margin.program.program import OUTPUTS
from crossmargin.margin.program.universe import PoolClass
from crossmargin.margin.resolve import SETTLEMENT, asset_key
from crossmargin.margin.trade import TradeCheck
from crossmargin.scenarios import ASSET, SPOT

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    from crossmargin.margin.program.live_state import LiveState

    Integers = npt.NDArray[np.int32]

__all__ = ["desk_of"]

_FIGURES: Final = 4  # of `OUTPUTS`, the first: what a check adds up


def desk_of(state: LiveState) -> dict[str, Any] | None:
    """Return the desk of a live book at its market; None where every position is a pool of its own."""
    if state.rulebook.pool_by == "position":
        return None
    pools, c = state.pools, state.market.priced.contracts
    refused = len(OUTPUTS) if state.program is not None and state.program.may_refuse else -1
    keys = keys_by_asset(state)
    contracts = {
        "mark": np.asarray(c.mark, dtype=np.float64),
        "rows": state.rows,
        "pays": _pays(state),
        "lands": _by_asset(state, lambda name: 0 if keys is None else keys.get(name, -1)),
        "opens": np.stack([_opens(state, code) for code in range(len(state.universe.account_classes))]),
    }
    return contracts | {
        "numbers": state.numbers,
        "places": state.universe.place,
        "answer": TradeCheck,
        "quiet": state.quiet,
        "first": pools.first,
        "account_class": pools.account_class,
        "follow": pools.follow,
        "key": pools.key,
        "refused": pools.refused,
        "figures": pools.figures[:_FIGURES],
        "rate": np.asarray(state.rate, dtype=np.float64),
        "outputs": np.asarray([*range(_FIGURES), refused], dtype=np.int32),
    }


def _by_asset(state: LiveState, number_of: Callable[[str], int]) -> Integers:
    """Return a number for each contract by the asset that it settles in."""
    numbers = [number_of(name) for name in state.market.priced.names.assets]
    return np.asarray(numbers, dtype=np.int32)[state.market.priced.contracts.settle_asset]


def _pays(state: LiveState) -> Integers:
    """Return the contract of the wallet that pays for each contract; -1 for what cannot be traded here."""
    c = state.market.priced.contracts
    pays = _by_asset(state, lambda name: state.universe.place.get(asset_key(name), -1))
    pays[(c.kind == SPOT) | (c.kind == ASSET)] = -1
    pays[list(state.market.priced.refused)] = -1
    return pays


def _opens(state: LiveState, account_class: int) -> Integers:
    """Return the class of the pool that a trade in each contract would open, -1 where the universe has none."""
    reporting = state.rulebook.reporting

    def number_of(asset: str) -> int:
        wanted = asset if reporting == SETTLEMENT else reporting
        return state.classes.get(PoolClass(wanted, account_class, isolated=False), -1)

    return _by_asset(state, number_of)
