"""Which arguments of min, max and when decide anything on the generated accounts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from crossmargin.analysis.lint.finding import Finding, LintRule
from crossmargin.margin.expression import Call, to_text, walk
from crossmargin.margin.locate import dotted
from crossmargin.margin.model import Formula, Variants

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    import numpy.typing as npt

    from crossmargin.analysis.lint.trial import Trial
    from crossmargin.margin.frames import Frame
    from crossmargin.margin.locate import Path
    from crossmargin.margin.model import Parameter

    Flags = npt.NDArray[np.bool_]

_CHOICES = frozenset({"min", "max", "when"})


@dataclass(slots=True)
class Branches:
    """The branches met so far, and those that decided at least once."""

    met: dict[tuple[str, str, str], None] = field(default_factory=dict)
    reached: set[tuple[str, str, str]] = field(default_factory=set)

    def see(self, trial: Trial) -> None:
        """Note what decides in one trial."""
        account = trial.report.evaluation.account_frame()
        for name in trial.rulebook.requirements:
            for path, formula, frame, own in _read(trial, account, name):
                for node in walk(formula.tree):
                    if isinstance(node, Call) and node.function in _CHOICES:
                        self._choice(trial, (path, node, frame, name, own))

    def _choice(self, trial: Trial, at: tuple[Path, Call, Frame, str, Mapping[str, Parameter]]) -> None:
        path, node, frame, requirement, own = at
        branches = node.args[1:] if node.function == "when" else node.args
        keys = [(dotted(path), to_text(node), to_text(part)) for part in branches]
        self.met.update(dict.fromkeys(keys))
        if self.reached.issuperset(keys):
            return
        figures = [
            np.broadcast_to(
                trial.report.evaluation.formula(Formula("", part), frame, requirement, own), frame.rows.shape
            )
            for part in node.args
        ]
        for key, decides in zip(keys, _decides(node.function, figures), strict=True):
            if decides.any():
                self.reached.add(key)

    def findings(self) -> Iterator[Finding]:
        """Yield the branches that never decided."""
        for key in self.met:
            if key not in self.reached:
                path, choice, branch = key
                told = f"`{branch}` in `{choice}` decides on none of the generated accounts"
                message = f"{told}; delete it, or correct the numbers if it should bind"
                yield Finding(rule=LintRule.BRANCH_REACHED, path=path, message=message, severity="warning")


def _decides(function: str, figures: list[Any]) -> list[Flags]:
    """Return, for each branch, the rows on which it decides; where all are equal none does."""
    if function == "when":
        held = figures[0].astype(bool)
        return [held, ~held]
    stacked = np.stack(figures)
    best = stacked.min(axis=0) if function == "min" else stacked.max(axis=0)
    differs = stacked.min(axis=0) < stacked.max(axis=0)
    return [np.asarray((row == best) & differs) for row in stacked]


def _read(
    trial: Trial, account: Frame, requirement: str
) -> Iterator[tuple[Path, Formula, Frame, Mapping[str, Parameter]]]:
    """Yield the formulas that one requirement may read, each with its rows and the names beside it."""
    rulebook, evaluation = trial.rulebook, trial.report.evaluation
    for path, formula in _of(rulebook.requirements[requirement], ("requirement", requirement), requirement):
        yield path, formula, account, {}
    for path, formula in _of(rulebook.adjusted, ("equity", "adjusted"), requirement):
        yield path, formula, account, {}
    for line in rulebook.lines.values():
        if line.kind != "is":
            continue
        frame = evaluation.frame(line.level, line.of, charged=line.section == "charges")
        at: Path = (line.section, line.name)
        parts: Iterable[tuple[Path, Any]] = [((*at, "is"), line.spec)]
        parts = [*parts, *(((*at, name), value) for name, value in line.parameters.items())]
        for place, part in parts:
            for path, formula in _of(part, place, requirement):
                yield path, formula, frame, line.parameters


def _of(parameter: Parameter, at: Path, requirement: str) -> Iterator[tuple[Path, Formula]]:
    """Yield the formula that a requirement reads of a parameter, if it is one."""
    if isinstance(parameter, Variants):
        part = parameter.by_requirement.get(requirement)
        if isinstance(part, Formula):
            yield (*at, requirement), part
    elif isinstance(parameter, Formula):
        yield at, parameter
