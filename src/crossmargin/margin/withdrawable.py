"""What could be withdrawn of each asset: the engine itself is asked, with less of the asset, until nothing is left."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from crossmargin.margin.evaluation import Evaluation
from crossmargin.margin.model import INITIAL, TRANSFER
from crossmargin.margin.roots import last_nonnegative
from crossmargin.scenarios import ASSET

if TYPE_CHECKING:
    import numpy.typing as npt

    from crossmargin.margin.model import Rulebook
    from crossmargin.margin.resolved import Resolved

    Floats = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.int64]


def withdrawable_amounts(resolved: Resolved, rulebook: Rulebook, account: int) -> dict[int, dict[str, float]]:
    """Return, by pool and asset, the most that can leave with initial headroom still at least 0.

    Each asset on its own, never more than the balance; 0 where headroom is negative already. A rulebook that names a
    requirement `transfer` asks for that headroom too.
    """
    asked = [name for name in (INITIAL, TRANSFER) if name in rulebook.requirements]
    mine = resolved.only(account)
    legs, c = mine.legs, mine.contracts
    rows = np.flatnonzero((c.kind[legs.contract] == ASSET) & (legs.quantity > 0))
    out: dict[int, dict[str, float]] = {}
    if not rows.size:
        return out
    tiled = mine.tile(rows.shape[0])
    place = np.arange(rows.shape[0]) * legs.contract.shape[0] + rows
    unit = np.arange(rows.shape[0]) * len(mine.units) + legs.unit[rows]
    shared: dict[Any, Any] = {}  # what no quantity enters is computed in the first round only

    def headroom(amount: Floats) -> Floats:
        quantity = tiled.legs.quantity.copy()
        quantity[place] -= amount
        evaluation = Evaluation(tiled, rulebook, quantity, shared=shared)
        left = [evaluation.adjusted(name) - evaluation.requirement(name) for name in asked]
        return np.asarray(np.minimum.reduce(left)[unit])

    amounts = last_nonnegative(headroom, legs.quantity[rows])
    original = np.flatnonzero(resolved.units.account == account)
    for leg, amount in zip(rows.tolist(), amounts.tolist(), strict=True):
        asset = mine.names.assets[int(c.own_asset[legs.contract[leg]])]
        out.setdefault(int(original[legs.unit[leg]]), {})[asset] = amount
    return out
