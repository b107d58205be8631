"""The `worst_side` kind: another line as it would be with all bids, or all asks, filled; the largest of the three."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from crossmargin.margin.kinds.kind import Kind
from crossmargin.margin.tape import plain

if TYPE_CHECKING:
    from collections.abc import Iterable

    from crossmargin.margin.evaluation import Evaluation
    from crossmargin.margin.model import Line, Parameter, Rulebook, WorstSide


def _compute(evaluation: Evaluation, line: Line, requirement: str, key: tuple[str, str]) -> Any:  # noqa: ANN401 - plain or traced
    spec: WorstSide = line.spec
    legs = evaluation.resolved.legs
    held = evaluation.line(spec.line, requirement)
    sides = {"held": held}
    if plain(legs.bids).any() or plain(legs.asks).any():
        for side, added in (("bids", legs.bids), ("asks", legs.asks)):
            filled = type(evaluation)(
                evaluation.resolved,
                evaluation.rulebook,
                evaluation.quantity + added,
                evaluation.functions,
                evaluation.shared,
            )
            sides[side] = filled.line(spec.line, requirement)
            evaluation.failures.update({k: v for k, v in filled.failures.items() if k not in evaluation.failures})
    evaluation.details[key] = {side: plain(value) for side, value in sides.items()}
    return held if len(sides) == 1 else evaluation.functions["max"](*sides.values())


def _parameters(rulebook: Rulebook, line: Line) -> Iterable[Parameter]:
    spec: WorstSide = line.spec
    other = rulebook.line(spec.line)
    from crossmargin.margin.kinds import KINDS  # noqa: PLC0415 (the registry lists this kind too)

    yield from other.parameters.values()
    if other.kind == "is":
        yield other.spec
    else:
        yield from KINDS[other.kind].parameters(rulebook, other)


WORST_SIDE = Kind(_compute, _parameters, exact=True)
