"""What must hold of single lines and scenario sets: signs, haircuts, slopes of close-outs, weights, moves, ramps."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from crossmargin.analysis.lint.finding import Finding, LintRule
from crossmargin.analysis.lint.trial import money
from crossmargin.margin.checks import line_dimension
from crossmargin.margin.dimensions import RATIO
from crossmargin.margin.expression import Call, Name, walk
from crossmargin.margin.locate import dotted
from crossmargin.margin.model import INITIAL, MAINTENANCE, Constant, Formula, Keyed, Scan, Tiers, Variants
from crossmargin.margin.shocks import scenario_cells

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import numpy.typing as npt

    from crossmargin.analysis.lint.trial import Trial
    from crossmargin.margin.locate import Path
    from crossmargin.margin.model import Line, Parameter, Rulebook, Slopes

    Floats = npt.NDArray[np.float64]

_ROUNDING: Final = 1e-9
_BOTH: Final = (MAINTENANCE, INITIAL)


def line_findings(trial: Trial) -> Iterator[Finding]:
    """Yield what does not hold of lines and scenarios."""
    for line in trial.rulebook.charges.values():
        yield from _negative(trial, line)
        if isinstance(line.spec, Scan):
            yield from _slopes(trial, line)
    for line in trial.rulebook.lines.values():
        if line.haircut:
            yield from _haircut(trial, line)
    for name in trial.rulebook.scenarios:
        yield from _scenarios(trial, name)
    yield from _ramps(trial.rulebook)
    yield from _steps(trial.rulebook)


def _negative(trial: Trial, line: Line) -> Iterator[Finding]:
    """A charge is at or above 0; helper lines that are ratios are not charges."""
    if line.haircut:
        return
    owner = trial.account_of_row(line.level)
    for name in trial.rulebook.requirements:
        value = np.asarray(trial.report.evaluation.line(line.name, name))
        below = np.where(trial.refused[owner], 0.0, -value - trial.tolerance[owner])
        if np.nanmax(below, initial=0.0) > 0:
            if line_dimension(trial.rulebook, line, name) == RATIO:
                return
            row = int(np.nanargmax(below))
            told = f"{trial.name(int(owner[row]))} is charged {money(value[row])} {trial.unit} for {name}"
            message = f"{told}: a charge is never below 0; correct its numbers, or write max(0, ...)"
            yield Finding(rule=LintRule.CHARGE_NOT_NEGATIVE, path=_blamed(line), message=message)
            return


def _blamed(line: Line) -> str:
    """Return the entry of a line that holds a negative number; the line where none does."""
    for name, parameter in line.parameters.items():
        for path, value in _constants(parameter, (line.section, line.name, name)):
            if value < 0:
                return dotted(path)
    return dotted((line.section, line.name))


def _constants(parameter: Parameter | None, at: Path) -> Iterator[tuple[Path, float]]:
    """Yield the numbers of a parameter with their paths."""
    if isinstance(parameter, Constant):
        yield at, parameter.value
    elif isinstance(parameter, Tiers):
        yield from ((at, rate) for rate in parameter.rate)
    elif isinstance(parameter, Variants):
        for name, part in parameter.by_requirement.items():
            yield from _constants(part, (*at, name))
    elif isinstance(parameter, Keyed):
        for key, entry in parameter.entries.items():
            yield from _constants(entry, (*at, key))
        yield from _constants(parameter.default, (*at, "default"))


def _haircut(trial: Trial, line: Line) -> Iterator[Finding]:
    """A haircut on a positive balance takes between nothing and all of it."""
    if line.level != "leg":
        return
    resolved, evaluation = trial.report.resolved, trial.report.evaluation
    owner = trial.account_of_row("leg")
    frame = evaluation.frame("leg", line.of)
    worth = np.nan_to_num(np.asarray(evaluation.measures["mark_value"]))
    counted = np.zeros(owner.shape, dtype=bool)
    counted[frame.legs] = True
    counted &= ~trial.refused[owner] & (worth > 0)
    for name in _BOTH:
        taken = np.asarray(evaluation.line(line.name, name))
        share = np.where(counted, taken / np.where(worth > 0, worth, 1.0), 0.0)
        outside = np.maximum(-share, share - 1.0 / _least_price(trial))
        if np.nanmax(outside, initial=0.0) > _ROUNDING:
            leg = int(np.nanargmax(outside))
            asset = resolved.names.assets[int(resolved.contracts.own_asset[resolved.legs.contract[leg]])]
            told = f"for {name} it takes {share[leg]:.6g} of the value of {asset} from {trial.name(int(owner[leg]))}"
            message = f"{told}: a haircut stays in [0, 1], or it raises value or makes a debt of it; correct the number"
            yield Finding(rule=LintRule.HAIRCUT_LOWERS_VALUE, path=_entry_of(line, asset), message=message)
            return


def _least_price(trial: Trial) -> float:
    """Return the least price of a pool's asset: a rulebook may value coins in it on one side only."""
    return float(np.min(trial.report.resolved.units.numeraire, initial=1.0))


def _entry_of(line: Line, asset: str) -> str:
    """Return the entry by which a line may cut an asset: the first number for it outside [0, 1], or the line."""
    entries: list[tuple[Path, float]] = []
    for name, parameter in line.parameters.items():
        found = dict(_constants(parameter, (line.section, line.name, name)))
        own = [(path, value) for path, value in found.items() if asset in path]
        entries += own or [(path, value) for path, value in found.items() if path[-1] in {"default", name}]
    outside = [path for path, value in entries if not 0.0 <= value <= 1.0]
    return dotted(outside[0] if outside else (line.section, line.name))


def _slopes(trial: Trial, line: Line) -> Iterator[Finding]:
    """Closing out a long brings at most its value, closing out a short costs at least that."""
    spec: Scan = line.spec
    for level, slopes in spec.close_out.items():
        for side in ("gain", "loss"):
            found = _slope(trial, line, level, slopes, side)
            yield from [found] if found else []


def _slope(trial: Trial, line: Line, level: str, slopes: Slopes, side: str) -> Finding | None:
    evaluation = trial.report.evaluation
    frame = evaluation.frame(level, line.of, charged=True)
    parameter = slopes.gain if side == "gain" else slopes.loss
    path = dotted((line.section, line.name, "close_out", level, side))
    for name in _BOTH:
        value = np.asarray(evaluation.parameter(parameter, frame, name, line.parameters), dtype=np.float64)
        value = value[np.isfinite(value)]
        if not value.size:
            continue
        if side == "gain" and value.max() > 1.0 + _ROUNDING:
            told = f"a long is closed out at {value.max():.6g} times its value"
            message = f"{told}, above it, in the trader's favour; is it swapped with the loss? keep it at most 1"
            return Finding(rule=LintRule.LONG_CLOSES_OUT_LOWER, path=path, message=message)
        if side == "loss" and value.min() < 1.0 - _ROUNDING:
            told = f"a short is closed out at {value.min():.6g} times its value"
            message = f"{told}, below it, in the trader's favour; is it swapped with the gain? keep it at least 1"
            return Finding(rule=LintRule.SHORT_CLOSES_OUT_HIGHER, path=path, message=message)
    return None


def _scenarios(trial: Trial, name: str) -> Iterator[Finding]:
    """Weights lie in [0, 1], and no move takes a price to 0 or below."""
    cells = scenario_cells(trial.report.resolved, trial.rulebook, [name])[name]
    for number, (where, _) in enumerate(cells.blocks):
        weight, spot = cells.weight[:, where], cells.spot[:, where]
        outside = np.maximum(-weight, weight - 1.0)
        if weight.size and np.nanmax(outside, initial=0.0) > _ROUNDING:
            found = weight.reshape(-1)[int(np.nanargmax(outside))]
            message = f"a scenario has weight {found:.6g}: weights lie in [0, 1]; correct the number or its formula"
            path = dotted(("scenarios", name, str(number), "weight"))
            yield Finding(rule=LintRule.WEIGHT_WITHIN_ONE, path=path, message=message)
        if spot.size and np.nanmin(spot, initial=0.0) <= -1.0:
            message = (
                f"after scale a price moves by {np.nanmin(spot):.6g} of itself: a move is above -1; narrow the axis"
            )
            path = dotted(("scenarios", name, str(number), "spot"))
            yield Finding(rule=LintRule.PRICE_STAYS_POSITIVE, path=path, message=message)


def _ramps(rulebook: Rulebook) -> Iterator[Finding]:
    """A ramp is flat beyond its last finite bound: another rate at "inf" would be a jump that never happens."""
    for at, table, own in _formulas(rulebook):
        for node in walk(table.tree):
            if isinstance(node, Call) and node.function == "ramp" and isinstance(node.args[0], Name):
                word = node.args[0].name
                home = at[:2] if word in own else ("parameters",)
                parameter = own.get(word) or rulebook.parameters.get(word)
                yield from _ramp(parameter, (*home, word))


def _steps(rulebook: Rulebook) -> Iterator[Finding]:
    """A table read by `step` jumps at its bounds: the rulebook says that this is meant."""
    for at, formula, own in _formulas(rulebook):
        for node in walk(formula.tree):
            if isinstance(node, Call) and node.function == "step" and isinstance(node.args[0], Name):
                word = node.args[0].name
                home = at[:2] if word in own else ("parameters",)
                if not declared_stepwise(rulebook.document, (*home, word)):
                    advice = f'if that is the rule, say stepwise = ["{word}"] beside it, else read `marginal` or `ramp`'
                    message = f"`step` jumps at the bounds of `{word}`; {advice}"
                    yield Finding(rule=LintRule.STEP_DECLARED, path=dotted((*home, word)), message=message)


def declared_stepwise(document: Mapping[str, Any], at: Path) -> bool:
    """Return whether the table around an entry, or one around that, names it in `stepwise`."""
    tables: list[Any] = [document]
    for step in at[:-1]:
        tables.append(tables[-1].get(step, {}) if isinstance(tables[-1], dict) else {})
    return any(isinstance(table, dict) and at[-1] in table.get("stepwise", ()) for table in tables)


def _ramp(parameter: Parameter | None, at: Path) -> Iterator[Finding]:
    parts: Mapping[str, Any] = {}
    if isinstance(parameter, Keyed):
        parts = {**parameter.entries, "default": parameter.default}
    elif isinstance(parameter, Variants):
        parts = parameter.by_requirement
    for key, part in parts.items():
        yield from _ramp(part, (*at, key))
    if not isinstance(parameter, Tiers):
        return
    for last, beyond in list(pairwise(parameter.rate))[-1:]:
        if last != beyond:
            told = f"the ramp ends at {last:.6g} and states {beyond:.6g} beyond, which it never reaches"
            message = f'{told}; give "inf" the rate of the last bound, or add a bound where it is reached'
            yield Finding(rule=LintRule.RAMP_CONTINUOUS, path=dotted(at), message=message)


def _formulas(rulebook: Rulebook) -> Iterator[tuple[Path, Formula, Mapping[str, Parameter]]]:
    """Yield every formula with where it stands and the names beside it."""
    for line in rulebook.lines.values():
        at: Path = (line.section, line.name)
        for part in (line.spec, *line.parameters.values()):
            yield from ((at, formula, line.parameters) for formula in formulas_in(part))
    for name, parameter in rulebook.requirements.items():
        yield from ((("requirement", name), formula, {}) for formula in formulas_in(parameter))
    for name, parameter in rulebook.parameters.items():
        yield from ((("parameters", name), formula, {}) for formula in formulas_in(parameter))


def formulas_in(part: Any) -> Iterator[Formula]:  # noqa: ANN401 - any parameter, or a kind's own struct
    """Yield the formulas of a parameter."""
    if isinstance(part, Formula):
        yield part
    elif isinstance(part, Variants):
        for entry in part.by_requirement.values():
            yield from formulas_in(entry)
    elif isinstance(part, Keyed):
        for keyed in (*part.entries.values(), part.default):
            yield from formulas_in(keyed)
