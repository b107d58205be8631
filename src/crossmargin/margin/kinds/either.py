"""The `either` kind: what open spot orders have reserved may land in either of two assets; the worse one counts.

A market's reserve is the base of its asks and the quote of its bids. All of it as base: the bids converted at their
limits, or at the market where that gives less; all of it as quote likewise. Each is added to its asset's balance after
the reserves of all other markets of that asset (where it is worth least): worth is weighted by `asset_worth` above 0
and by `liability_worth` below. The smaller of the two counts. The result is signed: a value.

`asset_price` and `liability_price`, where stated, are ratios of the price at which an asset held, or owed, is taken.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from crossmargin.errors import FailureReason
from crossmargin.margin.kinds.kind import Kind
from crossmargin.margin.tape import as_column, plain, segment_sum, take
from crossmargin.scenarios import SPOT

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy.typing as npt

    from crossmargin.margin.evaluation import Evaluation
    from crossmargin.margin.frames import Frame
    from crossmargin.margin.model import Either, Line, Parameter, Rulebook

    Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class _Markets:
    """Spot markets with open orders: their legs, and the rows of their base and quote assets."""

    leg: Ints
    base: Ints
    quote: Ints


def _compute(evaluation: Evaluation, line: Line, requirement: str, key: tuple[str, str]) -> Any:  # noqa: ANN401 - plain or traced
    frame = evaluation.frame("asset", (frozenset({"asset"}),))
    markets = _markets(evaluation, frame)
    unit = evaluation.resolved.legs.unit[markets.leg]
    if not markets.leg.size:
        evaluation.details[key] = []
        return np.zeros(len(evaluation.resolved.units))
    columns = [
        1.0 if part is None else evaluation.parameter(part, frame, requirement, line.parameters)
        for part in _parts(line.spec)
    ]
    balance, held_worth, owed_worth, held_price, owed_price = (as_column(x, frame.rows.shape[0]) for x in columns)
    sides = _reserved(evaluation, frame, markets, held_price, owed_price)
    top = balance  # with every reserve that may land there
    for amount, row in sides:
        top = top + segment_sum(amount, row, frame.rows.shape[0])
    f = evaluation.functions
    added = []
    for amount, row in sides:  # the last to be added
        above = f["min"](f["max"](take(top, row), 0.0), amount)
        added.append(above * take(held_worth, row) + (amount - above) * take(owed_worth, row))
    base, quote = (np.asarray(plain(column)).tolist() for column in added)
    evaluation.details[key] = list(zip(unit.tolist(), markets.leg.tolist(), base, quote, strict=True))
    return segment_sum(f["min"](*added), unit, len(evaluation.resolved.units))


def _markets(evaluation: Evaluation, frame: Frame) -> _Markets:
    """Return every market with open spot orders; an account whose asset has no row is refused."""
    resolved = evaluation.resolved
    legs, c, rows = resolved.legs, resolved.contracts, resolved.levels["asset"]
    ordered = (plain(evaluation.measures["bids"]) > 0) | (plain(evaluation.measures["asks"]) > 0)
    found = np.flatnonzero(ordered & (c.kind[legs.contract] == SPOT))
    asset = c.settle_asset[legs.contract[rows.first_leg[frame.rows]]]
    place = {pair: row for row, pair in enumerate(zip(rows.unit[frame.rows].tolist(), asset.tolist(), strict=True))}
    unit, contract = legs.unit[found], legs.contract[found]
    base, quote = (
        np.asarray([place.get(pair, -1) for pair in zip(unit.tolist(), names[contract].tolist(), strict=True)], int)
        for names in (c.own_asset, c.quote_asset)
    )
    known = (base >= 0) & (quote >= 0)
    if not known.all():
        message = "an open spot order needs a balance in both of its assets: the table has weights for balances only"
        evaluation.fail(unit[~known], FailureReason.UNKNOWN_PARAMETER, message)
    return _Markets(found[known], base[known], quote[known])


def _reserved(
    evaluation: Evaluation,
    frame: Frame,
    markets: _Markets,
    held_price: Any,  # noqa: ANN401 - plain or traced
    owed_price: Any,  # noqa: ANN401 - plain or traced
) -> tuple[tuple[Any, Ints], tuple[Any, Ints]]:
    """Return all that is reserved as base and as quote, money, each with the row of its asset."""
    bids, asks, bid_value, ask_value = (
        take(evaluation.measures[name], markets.leg) for name in ("bids", "asks", "bid_value", "ask_value")
    )
    price = np.asarray(evaluation.measures["price"])[frame.legs[np.unique(frame.row_of, return_index=True)[1]]]
    least = evaluation.functions["min"]
    at_market = price[markets.base]
    # given as an asset held, received as one owed
    bought = bid_value * (take(held_price, markets.quote) / take(owed_price, markets.base))
    sold = asks * at_market * (take(held_price, markets.base) / take(owed_price, markets.quote))
    as_base = asks * at_market + least(bids * at_market, bought)
    return (as_base, markets.base), (bid_value + least(ask_value, sold), markets.quote)


def _parts(spec: Either) -> list[Parameter | None]:
    return [spec.balance, spec.asset_worth, spec.liability_worth, spec.asset_price, spec.liability_price]


def _parameters(_rulebook: Rulebook, line: Line) -> Iterable[Parameter]:
    return [part for part in _parts(line.spec) if part is not None]


EITHER = Kind(_compute, _parameters)
