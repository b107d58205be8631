"""Greeks of each underlying in each pool, summed from the engine's own columns."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from crossmargin.analysis.explanation import CoinGreeks, GreeksRow
from crossmargin.scenarios import OPTION
from crossmargin.units import DAYS_PER_YEAR

if TYPE_CHECKING:
    import numpy.typing as npt

    from crossmargin.margin.evaluation import Evaluation

    Floats = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.int64]

_ONE_PERCENT = 0.01
_VOL_POINT = 0.01
_BASIS_POINT = 1e-4


def greeks_rows(evaluation: Evaluation) -> tuple[GreeksRow, ...]:
    """Return the Greeks of every underlying that moves a pool's value, pool by pool.

    Open orders count nothing. Rows that are 0 throughout (a balance of the reporting asset) are left out.
    """
    columns = leg_greeks(evaluation)
    rows = evaluation.resolved.levels["bucket"]
    sums = {name: np.bincount(rows.row_of_leg, weights=column, minlength=len(rows)) for name, column in columns.items()}
    moved = np.flatnonzero(np.any([column != 0 for column in sums.values()], axis=0))
    in_order = moved[np.argsort(rows.unit[moved], kind="stable")]
    return tuple(_row(evaluation, row, {name: float(c[row]) for name, c in sums.items()}) for row in in_order.tolist())


def leg_greeks(evaluation: Evaluation) -> dict[str, Floats]:
    """Return each leg's Greeks [legs] in the units of :class:`GreeksRow`, reporting asset, signed."""
    names = ("delta", "delta_value", "gamma", "vega", "theta", "rho", "forward", "index")
    m = {name: np.asarray(evaluation.measures[name], dtype=np.float64) for name in names}
    # the index and the forward move by the same 1 %
    gamma = np.nan_to_num(m["gamma"] * m["forward"] * m["index"])
    # in the coin itself a delta is per coin, of which the same contract is fewer at a higher price
    coins = np.asarray(evaluation.measures["own_coin"], dtype=np.bool_)
    return {
        "delta": m["delta"],
        "delta_value": m["delta_value"],
        "gamma": (gamma - np.where(coins, m["delta_value"], 0.0)) * _ONE_PERCENT,
        "vega": m["vega"] * _VOL_POINT,
        "theta": m["theta"] / DAYS_PER_YEAR,
        "rho": m["rho"] * _BASIS_POINT,
    }


def _row(evaluation: Evaluation, row: int, figures: dict[str, float]) -> GreeksRow:
    resolved = evaluation.resolved
    rows = resolved.levels["bucket"]
    bucket = int(resolved.contracts.bucket[resolved.legs.contract[rows.first_leg[row]]])
    return GreeksRow(
        pool=resolved.units.label[int(rows.unit[row])],
        underlying=resolved.names.buckets[bucket],
        in_coin=_in_coin(evaluation, np.flatnonzero(rows.row_of_leg == row)),
        **figures,
    )


def _in_coin(evaluation: Evaluation, legs: Ints) -> CoinGreeks | None:
    """Return the same figures of the coin-settled options alone, in coin; None where there are none."""
    resolved, c = evaluation.resolved, evaluation.resolved.contracts
    contract = resolved.legs.contract[legs]
    coin = (c.kind[contract] == OPTION) & c.inverse[contract]
    legs, contract = legs[coin], contract[coin]
    if not legs.size:
        return None
    option = np.cumsum(c.kind == OPTION)[contract] - 1
    table = evaluation.measures.contract_greeks()
    forward, units = c.forward[contract], np.asarray(evaluation.measures["quantity"])[legs]

    def total(column: Floats, unit: float) -> float:
        return float(np.sum(units * column[option] / forward) * unit)

    # a coin value is the value over the forward; its derivative is adjusted for what the premium itself gains
    delta = table.delta - table.value
    return CoinGreeks(
        asset=resolved.names.assets[int(c.settle_asset[contract[0]])],
        delta=float(np.sum(units * delta[option])),
        vega=total(table.vega, _VOL_POINT),
        theta=total(table.theta, 1.0 / DAYS_PER_YEAR),
        rho=total(table.rho, _BASIS_POINT),
    )
