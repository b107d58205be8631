"""The `either` kind: what open spot orders have reserved may land in either of two assets; the worse one counts.

A market's reserve is the base of its asks and the quote of its bids. All of it as base: the bids converted at their
limits, or at the market where that gives less; all of it as quote likewise. Each is added to its asset's balance after
the reserves of all other markets of that asset (where it is worth least): worth is weighted by `asset_worth` above 0
and by `liability_worth` below. The smaller of the two counts. The result is signed: a value.

`asset_price` and `liability_price`, where stated, are ratios of the price at which an asset held, or owed, is taken.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from crossmargin.errors import FailureReason
from crossmargin.margin.kinds.kind import Kind
from crossmargin.margin.tape import plain
from crossmargin.scenarios import SPOT

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy.typing as npt

    from crossmargin.margin.evaluation import Evaluation
    from crossmargin.margin.frames import Frame
    from crossmargin.margin.model import Either, Line, Parameter, Rulebook

    Floats = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.int64]


class _Worths(NamedTuple):
    """Of each asset of each pool: the balance (money), its weights, its price and the ratios that it is taken at."""

    balance: Floats
    asset_worth: Floats
    liability_worth: Floats
    asset_price: Floats
    liability_price: Floats
    price: Floats


class _Market(NamedTuple):
    """One market's open orders: their leg, the rows of its assets, and all that is reserved as each, in money."""

    leg: int
    base: int
    quote: int
    as_base: float
    as_quote: float


def _compute(evaluation: Evaluation, line: Line, requirement: str, key: tuple[str, str]) -> Any:  # noqa: ANN401 - plain or traced
    frame = evaluation.frame("asset", (frozenset({"asset"}),))
    worths = _worths(evaluation, line, frame, requirement)
    markets = _markets(evaluation, frame, worths)
    reserved = np.zeros(frame.rows.shape[0])
    for market in markets:
        reserved[market.base] += market.as_base
        reserved[market.quote] += market.as_quote
    top = worths.balance + reserved  # with every reserve that may land there
    result = np.zeros(len(evaluation.resolved.units))
    found: list[tuple[int, int, float, float]] = []
    for market in markets:
        base = _added(worths, top, market.base, market.as_base)
        quote = _added(worths, top, market.quote, market.as_quote)
        owner = int(evaluation.resolved.legs.unit[market.leg])
        result[owner] += min(base, quote)
        found.append((owner, market.leg, base, quote))
    evaluation.details[key] = found
    return result


def _worths(evaluation: Evaluation, line: Line, frame: Frame, requirement: str) -> _Worths:
    price = np.full(frame.rows.shape[0], np.nan)
    price[frame.row_of] = np.asarray(evaluation.measures["price"])[frame.legs]

    def column(parameter: Parameter | None) -> Floats:
        if parameter is None:
            return np.ones(frame.rows.shape)
        value = plain(evaluation.parameter(parameter, frame, requirement, line.parameters))
        return np.broadcast_to(np.asarray(value, dtype=np.float64), frame.rows.shape)

    balance, asset, liability, held_at, owed_at = (column(part) for part in _parts(line.spec))
    return _Worths(balance, asset, liability, held_at, owed_at, price)


def _markets(evaluation: Evaluation, frame: Frame, worths: _Worths) -> list[_Market]:
    """Return every market with open spot orders whose two assets have a row."""
    resolved = evaluation.resolved
    legs, c = resolved.legs, resolved.contracts
    unit = resolved.levels["asset"].unit[frame.rows]
    asset = c.settle_asset[legs.contract[resolved.levels["asset"].first_leg[frame.rows]]]
    place = {(int(u), int(a)): i for i, (u, a) in enumerate(zip(unit, asset, strict=True))}
    bids, asks, bid_value, ask_value = (
        np.asarray(plain(evaluation.measures[name])) for name in ("bids", "asks", "bid_value", "ask_value")
    )
    found = []
    for leg in np.flatnonzero(((bids > 0) | (asks > 0)) & (c.kind[legs.contract] == SPOT)).tolist():
        owner, contract = int(legs.unit[leg]), legs.contract[leg]
        base, quote = (place.get((owner, int(names[contract]))) for names in (c.own_asset, c.quote_asset))
        if base is None or quote is None:
            message = (
                "an open spot order needs a balance in both of its assets: the table has weights for balances only"
            )
            evaluation.fail(np.asarray([owner]), FailureReason.UNKNOWN_PARAMETER, message)
            continue
        bought, sold = float(bids[leg] * worths.price[base]), float(asks[leg] * worths.price[base])
        as_base = sold + min(bought, float(bid_value[leg]) * _ratio(worths, quote, base))
        as_quote = float(bid_value[leg]) + min(float(ask_value[leg]), sold * _ratio(worths, base, quote))
        found.append(_Market(leg, base, quote, as_base, as_quote))
    return found


def _ratio(worths: _Worths, given: int, received: int) -> float:
    """Return what a unit of money is worth after the exchange: given as an asset held, received as one owed."""
    return float(worths.asset_price[given] / worths.liability_price[received])


def _added(worths: _Worths, top: Floats, row: int, amount: float) -> float:
    """Return what an amount adds to the worth of one asset, when it is the last to be added."""
    held = min(max(float(top[row]), 0.0), amount)
    return float(held * worths.asset_worth[row] + (amount - held) * worths.liability_worth[row])


def _parts(spec: Either) -> list[Parameter | None]:
    return [spec.balance, spec.asset_worth, spec.liability_worth, spec.asset_price, spec.liability_price]


def _parameters(_rulebook: Rulebook, line: Line) -> Iterable[Parameter]:
    return [part for part in _parts(line.spec) if part is not None]


EITHER = Kind(_compute, _parameters)
