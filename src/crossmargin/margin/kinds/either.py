"""The `either` kind: the reserve of an open spot order may land in either of its two assets; the worse one counts.

For each order: worth(balance + reserve) - worth(balance) in the base asset and in the quote asset, where worth is
weighted by `asset_worth` above 0 and by `liability_worth` below; the smaller. The result is signed: a value.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from crossmargin.errors import FailureReason
from crossmargin.margin.kinds.kind import Kind
from crossmargin.margin.tape import plain
from crossmargin.scenarios import SPOT

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy.typing as npt

    from crossmargin.margin.evaluation import Evaluation
    from crossmargin.margin.model import Either, Line, Parameter, Rulebook

    Floats = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.int64]


def _compute(evaluation: Evaluation, line: Line, requirement: str, key: tuple[str, str]) -> Any:  # noqa: ANN401 - plain or traced
    spec: Either = line.spec
    resolved = evaluation.resolved
    legs, c = resolved.legs, resolved.contracts
    ordered = legs.bids - legs.asks
    orders = np.flatnonzero((ordered != 0) & (c.kind[legs.contract] == SPOT))
    unit_price = evaluation.measures.of_contract("multiplier") * np.asarray(evaluation.measures["price"])
    reserve = ordered[orders] * unit_price[orders]
    frame = evaluation.frame("asset", (frozenset({"asset"}),))
    columns = [
        np.broadcast_to(plain(evaluation.parameter(p, frame, requirement, line.parameters)), frame.rows.shape)
        for p in (spec.balance, spec.asset_worth, spec.liability_worth)
    ]
    unit = resolved.levels["asset"].unit[frame.rows]
    asset = c.settle_asset[legs.contract[resolved.levels["asset"].first_leg[frame.rows]]]
    place = {(int(u), int(a)): i for i, (u, a) in enumerate(zip(unit, asset, strict=True))}
    worth = np.zeros(len(resolved.units))
    found: list[tuple[int, int, float, float]] = []
    for order, amount in zip(orders.tolist(), reserve.tolist(), strict=True):
        contract, owner = legs.contract[order], int(legs.unit[order])
        rows = [place.get((owner, int(a))) for a in (c.own_asset[contract], c.quote_asset[contract])]
        if rows[0] is None or rows[1] is None:
            message = (
                "an open spot order needs a balance in both of its assets: the table has weights for balances only"
            )
            evaluation.fail(np.asarray([owner]), FailureReason.UNKNOWN_PARAMETER, message)
            continue
        base, quote = _added(columns, rows[0], amount), _added(columns, rows[1], amount)
        worth[owner] += min(base, quote)
        found.append((owner, order, base, quote))
    evaluation.details[key] = found
    return worth


def _added(columns: list[Floats], row: int, amount: float) -> float:
    """Return what an amount adds to the worth of one asset's balance."""
    balance, asset_worth, liability_worth = (float(column[row]) for column in columns)

    def worth(value: float) -> float:
        return value * (asset_worth if value >= 0 else liability_worth)

    return worth(balance + amount) - worth(balance)


def _parameters(_rulebook: Rulebook, line: Line) -> Iterable[Parameter]:
    spec: Either = line.spec
    return [spec.balance, spec.asset_worth, spec.liability_worth]


EITHER = Kind(_compute, _parameters)
