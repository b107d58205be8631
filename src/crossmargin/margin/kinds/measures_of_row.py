"""From a row of P&L to one number: worst, expected shortfall, value at risk, mean, or the row's own sum.

Each returns the loss and the scenarios' shares in it: loss = -sum(share * pnl), so attribution needs no second rule.
"""

from __future__ import annotations

from math import ceil, floor
from typing import TYPE_CHECKING

import numpy as np

from crossmargin.errors import FailureReason, InputError

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.int64]

_ROUNDING = 1e-9  # 0.975 of 1,000 scenarios is 975, whatever the last bit says


def loss_of_rows(pnl: Floats, measure: str, confidence: float | None) -> tuple[Floats, Ints]:
    """Return the loss [rows] (>= 0 but for `mean`) and the worst scenario [rows] of P&L rows [rows, scenarios].

    `row` is the sum of the row as it is, with its sign: a gain is positive.

    Expected shortfall is the mean over the worst (1 - confidence) share of scenarios, the last one counted in part;
    value at risk the smallest loss that at least `confidence` of the scenarios do not exceed.
    """
    worst = np.argmin(pnl, axis=1) if pnl.shape[1] else np.zeros(pnl.shape[0], dtype=np.int64)
    if measure == "worst":
        return np.maximum(0.0, -pnl[np.arange(pnl.shape[0]), worst]), worst
    if measure == "mean":
        return -pnl.mean(axis=1), worst
    if measure == "row":
        return pnl.sum(axis=1), worst
    if confidence is None:
        message = f"measure {measure} needs a confidence"
        raise InputError(FailureReason.INVALID_RULEBOOK, message)
    if measure == "value_at_risk":
        rank = quantile_rank(pnl.shape[1], confidence)
        return np.maximum(0.0, -np.partition(pnl, rank, axis=1)[:, rank]), worst
    shares = tail_shares(pnl.shape[1], confidence)
    tail = np.sort(np.partition(pnl, shares.shape[0] - 1, axis=1)[:, : shares.shape[0]], axis=1)
    return np.maximum(0.0, -(tail @ shares)), worst


def quantile_rank(scenarios: int, confidence: float) -> int:
    """Return the rank, worst first, of the P&L at value at risk."""
    return scenarios - max(1, ceil(confidence * scenarios - _ROUNDING))


def tail_shares(scenarios: int, confidence: float) -> Floats:
    """Return the shares, worst first, of the scenarios that expected shortfall averages; they sum to 1."""
    tail = max((1.0 - confidence) * scenarios, 1e-12)
    whole = min(floor(tail + _ROUNDING), scenarios)
    rest = tail - whole if whole < scenarios and tail - whole > _ROUNDING else 0.0
    weights = np.append(np.ones(whole), [rest] if rest else [])
    return np.asarray(weights / weights.sum()) if weights.sum() else np.ones(1)


def scenario_shares(pnl: Floats, measure: str, confidence: float | None, loss: Floats) -> Floats:
    """Return each scenario's share in the loss [rows, scenarios]: the derivative of the loss by -pnl."""
    rows, scenarios = pnl.shape
    shares: Floats = np.zeros_like(pnl)
    if measure == "mean":
        return np.full_like(pnl, 1.0 / scenarios)
    if measure == "row":
        return np.full_like(pnl, -1.0)
    order = np.argsort(pnl, axis=1, kind="stable")
    if measure == "expected_shortfall" and confidence is not None:
        weights = tail_shares(scenarios, confidence)
        np.put_along_axis(shares, order[:, : weights.shape[0]], np.tile(weights, (rows, 1)), axis=1)
    elif measure == "value_at_risk" and confidence is not None:
        rank = quantile_rank(scenarios, confidence)
        np.put_along_axis(shares, order[:, rank : rank + 1], 1.0, axis=1)
    else:
        lowest = pnl.min(axis=1, keepdims=True)
        ties = pnl == lowest
        shares = ties / ties.sum(axis=1, keepdims=True)
    return np.asarray(shares * (loss > 0)[:, None])
