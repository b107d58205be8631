"""What a kind is to the engine: how its line is computed, and which parameters it reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from crossmargin.margin.evaluation import Evaluation
    from crossmargin.margin.model import Line, Parameter, Rulebook


class Kind(NamedTuple):
    """`compute(evaluation, line, requirement, key)` returns the line [rows of its level] and keeps its detail.

    `parameters(rulebook, line)` lists everything in the line that might vary between requirements. `exact` kinds
    compute with nothing but what they are given, so they run on exact numbers too.
    """

    compute: Callable[[Evaluation, Line, str, tuple[str, str]], Any]
    parameters: Callable[[Rulebook, Line], Iterable[Parameter]]
    exact: bool = False
