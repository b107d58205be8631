"""The `pairing` kind: opposite amounts matched in listed order, a rate on every matched unit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from crossmargin.margin.functions import TierColumn
from crossmargin.margin.kinds.kind import Kind
from crossmargin.margin.tables import contract_keys
from crossmargin.margin.tape import plain, scatter, segment_sum, take

if TYPE_CHECKING:
    from collections.abc import Iterable

    from crossmargin.margin.evaluation import Evaluation
    from crossmargin.margin.frames import Frame
    from crossmargin.margin.model import Line, Pairing, Parameter, Rulebook

_KEY = {"asset": "settlement_asset"}  # a contract's asset is what it settles in, a balance's is itself


def _compute(evaluation: Evaluation, line: Line, requirement: str, key: tuple[str, str]) -> Any:  # noqa: ANN401 - plain or traced
    spec: Pairing = line.spec
    frame = evaluation.frame(line.level, line.of, charged=line.section == "charges")
    amounts: dict[str, Any] = {}
    for name in dict.fromkeys(name for pair in spec.pairs for name in pair.of):
        amounts[name] = _amount(evaluation, spec, frame, name)
    f = evaluation.functions
    total: Any = np.zeros(frame.rows.shape[0])
    matches = []
    for pair in spec.pairs:
        first, second = amounts[pair.of[0]], amounts[pair.of[1]]
        opposite = plain(first) * plain(second) < 0
        matched = f["when"](opposite, f["min"](f["abs"](first), f["abs"](second) * (1.0 / pair.ratio)), 0.0)
        amounts[pair.of[0]] = first - matched * np.sign(plain(first))
        amounts[pair.of[1]] = second - matched * (np.sign(plain(second)) * pair.ratio)
        rate = evaluation.parameter(pair.rate, frame, requirement, line.parameters)
        charge = f["marginal"](rate, matched) if isinstance(rate, TierColumn) else matched * rate
        matches.append((pair.of, plain(first), plain(second), plain(charge)))
        total = total + charge
    evaluation.details[key] = (frame, matches)
    return scatter(total, frame.rows, evaluation.row_count(line.level))


def _amount(evaluation: Evaluation, spec: Pairing, frame: Frame, name: str) -> Any:  # noqa: ANN401 - plain or traced
    """Return the netted measure of the legs under one key, by row of the frame."""
    keys, names = contract_keys(evaluation.resolved, _KEY.get(spec.between, spec.between))
    wanted = names.index(name) if name in names else -1
    mine = np.flatnonzero(keys[evaluation.resolved.legs.contract[frame.legs]] == wanted)
    column = take(evaluation.measures[spec.exposure], frame.legs[mine])
    return segment_sum(column, frame.row_of[mine], frame.rows.shape[0])


def _parameters(_rulebook: Rulebook, line: Line) -> Iterable[Parameter]:
    spec: Pairing = line.spec
    return [pair.rate for pair in spec.pairs]


PAIRING = Kind(_compute, _parameters)
