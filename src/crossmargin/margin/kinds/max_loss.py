"""The `max_loss` kind: the worst payoff of a row's options at expiry, over price 0 and every strike held.

Beyond the last strike net short calls lose without bound: a rulebook charges those on a line of their own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from crossmargin.margin.kinds.kind import Kind
from crossmargin.margin.tape import Traced, plain, scatter, take

if TYPE_CHECKING:
    from crossmargin.margin.evaluation import Evaluation
    from crossmargin.margin.model import Line


def _compute(evaluation: Evaluation, line: Line, requirement: str, key: tuple[str, str]) -> Any:  # noqa: ANN401 - plain or traced
    del requirement  # no parameter varies
    frame = evaluation.frame(line.level, line.of, charged=line.section == "charges")
    quantity = take(evaluation.measures["quantity"], frame.legs)
    strike = np.asarray(evaluation.measures["strike"])[frame.legs]
    call = evaluation.measures.of_contract("call")[frame.legs]
    rows = frame.rows.shape[0]
    # candidates: each leg's strike in its own row, and price 0 in every row
    price = np.append(strike, np.zeros(rows))
    row_of = np.append(frame.row_of, np.arange(rows))
    candidate, leg = _pairs(row_of, frame.row_of, rows)
    away = price[candidate] - strike[leg]
    per_unit = np.maximum(np.where(call[leg], away, -away), 0.0)
    payoff = np.bincount(candidate, weights=plain(quantity)[leg] * per_unit, minlength=price.shape[0])
    lowest = np.full(rows, np.inf)
    np.minimum.at(lowest, row_of, payoff)
    loss: Any = np.maximum(0.0, -lowest)
    worst = np.zeros(rows, dtype=np.int64)
    hits = np.flatnonzero(payoff == lowest[row_of])
    worst[row_of[hits[::-1]]] = hits[::-1]
    evaluation.details[key] = (frame, price[worst], loss)
    if isinstance(quantity, Traced):
        at = price[worst][frame.row_of] - strike
        slope = -np.maximum(np.where(call, at, -at), 0.0) * (loss > 0)[frame.row_of]
        loss = Traced(loss, [(quantity, lambda adjoint: adjoint[frame.row_of] * slope)])
    return scatter(loss, frame.rows, evaluation.row_count(line.level))


def _pairs(candidate_row: Any, leg_row: Any, rows: int) -> tuple[Any, Any]:  # noqa: ANN401 - integer columns
    """Return every (candidate, leg) that share a row, as two index columns."""
    legs_by_row = np.argsort(leg_row, kind="stable")
    count = np.bincount(leg_row, minlength=rows)
    start = np.cumsum(count) - count
    repeat = count[candidate_row]
    candidate = np.repeat(np.arange(candidate_row.shape[0]), repeat)
    within = np.arange(candidate.shape[0]) - np.repeat(np.cumsum(repeat) - repeat, repeat)
    return candidate, legs_by_row[start[candidate_row[candidate]] + within]


MAX_LOSS = Kind(_compute, lambda _rulebook, _line: ())
