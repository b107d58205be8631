"""What happened in a scan's worst scenario: each leg's gain, and the folds on the way up, as nodes that add up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from crossmargin.analysis.explanation import FormulaNode
from crossmargin.analysis.trees import Place, rows_behind
from crossmargin.margin.kinds.scan import units_at_risk

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from crossmargin.analysis.trees import Figure, Grower
    from crossmargin.margin.kinds.scan import ScanDetail
    from crossmargin.margin.model import Line, Scan, Slopes

    Ints = npt.NDArray[np.int64]

_ORDER: Final = ("expiry", "bucket", "account")


def worst_scenario_node(grower: Grower, line: Line, detail: ScanDetail, place: Place) -> FormulaNode:
    """Return the node of a scan row's P&L in its worst scenario, the folds and the legs below it."""
    return _Descent(grower, line, detail, int(detail.worst[place.position]), place).top()


def leg_rows(grower: Grower, line: Line, detail: ScanDetail, place: Place) -> tuple[FormulaNode, ...]:
    """Return what each leg adds to a row that is summed as it is: contracts times one contract's own row."""
    descent = _Descent(grower, line, detail, 0, place)
    legs = place.frame.legs[place.frame.row_of == place.position].tolist()
    return tuple(descent.leg_row(leg) for leg in legs)


class _Descent:
    """One scenario of one scan row, taken apart from the line's level down to the legs."""

    def __init__(self, grower: Grower, line: Line, detail: ScanDetail, scenario: int, place: Place) -> None:
        self.grower = grower
        self.line = line
        self.spec: Scan = line.spec
        self.cells = detail.cells
        self.scenario = scenario
        self.place = place

    def top(self) -> FormulaNode:
        node = self.row(self.levels(), self.place)
        return FormulaNode(
            name="worst_scenario", level=node.level, row=self.cells.names[self.scenario], kind="scenario",
            requirement=node.requirement, expression=node.expression, figures=node.figures, value=node.value,
            children=node.children, unverified=node.unverified,
        )  # fmt: skip

    def levels(self) -> list[str]:
        """Return the levels at which this scenario is sloped, the line's own last."""
        sloped = {*self.spec.close_out, *(level for level in _ORDER if self.folds(level))}
        below = _ORDER[: _ORDER.index(self.line.level)]
        return [level for level in below if level in sloped] + [self.line.level]

    def folds(self, level: str) -> list[Slopes]:
        """Return the folds at a level that hold in this scenario: the line's own, then its block's."""
        found = [self.spec.fold[level]] if level in self.spec.fold else []
        for where, block in self.cells.blocks:
            if level in block.fold and self.scenario in range(*where.indices(len(self.cells))):
                found.append(block.fold[level])
        return found

    def row(self, levels: Sequence[str], place: Place) -> FormulaNode:
        """Return the P&L of one row of the last of `levels`."""
        level, below = levels[-1], levels[:-1]
        if below:
            children = tuple(self.row(below, inner) for inner in self.places(below[-1], place))
            name = f"{below[-1]}_pnl"
        else:
            legs = place.frame.legs[place.frame.row_of == place.position].tolist()
            children, name = tuple(self.leg(leg) for leg in legs), "leg_pnl"
        sums: dict[str, Figure] = {name: sum(child.value for child in children)}
        expression, figures, inputs, unverified = self.sloped(level, name, sums, place)
        return FormulaNode(
            name=f"{level}_pnl", level=level, row=self.grower.row_name(level, place.row), kind="scenario",
            requirement=place.requirement, expression=expression, figures=figures,
            value=self.value(level, place, float(sum(child.value for child in children))),
            children=(*children, *inputs), unverified=unverified,
        )  # fmt: skip

    def places(self, level: str, outer: Place) -> list[Place]:
        """Return where the rows of a finer level stand that lie inside one row."""
        evaluation = self.grower.evaluation
        frame = evaluation.frame(level, self.line.of, charged=self.line.section == "charges")
        inside = set(rows_behind(evaluation, level, outer.frame.level, outer.row))
        return [
            Place(frame, position, outer.requirement, outer.own)
            for position, row in enumerate(frame.rows.tolist())
            if row in inside
        ]

    def sloped(
        self, level: str, name: str, figures: dict[str, Figure], place: Place
    ) -> tuple[str, dict[str, Figure], tuple[FormulaNode, ...], bool]:
        """Return the expression of a row's P&L from what lies below it, with the slopes' figures and nodes."""
        expression, unverified = name, False
        children: list[FormulaNode] = []
        found = dict(figures)

        def add(parameter_name: str, slopes: Slopes, part: str) -> str:
            nonlocal unverified
            parameter = getattr(slopes, part)
            reading = self.grower.parameter(parameter, parameter_name, place)
            found[parameter_name] = reading.figure
            children.extend(reading.children)
            unverified |= reading.unverified
            return parameter_name

        shocked = self.shocked(place) if level in self.spec.close_out else 0.0
        if shocked:  # a row without options has nothing to close out
            slopes = self.spec.close_out[level]
            found["shocked_value"] = shocked
            gain, loss = add("close_gain", slopes, "gain"), add("close_loss", slopes, "loss")
            expression = f"{name} + (when(shocked_value > 0, {gain}, {loss}) - 1) * shocked_value"
        for number, slopes in enumerate(self.folds(level)):
            tail = "" if number == 0 else f"_{number + 1}"
            gain, loss = add(f"gain{tail}", slopes, "gain"), add(f"loss{tail}", slopes, "loss")
            up, down = f"{gain} * max({expression}, 0)", f"{loss} * min({expression}, 0)"
            if slopes.gain_cap is not None:
                up = f"min({up}, {add(f'gain_cap{tail}', slopes, 'gain_cap')})"
            if slopes.deductible is not None:
                down = f"min({down} + {add(f'deductible{tail}', slopes, 'deductible')}, 0)"
            expression = f"{up} + {down}"
        return expression, found, tuple(children), unverified

    def value(self, level: str, place: Place, below: float) -> float:
        """Return the row's P&L after its slopes."""
        x = below
        shocked = self.shocked(place) if level in self.spec.close_out else 0.0
        if shocked:
            slopes = self.spec.close_out[level]
            slope = self.number(slopes, "gain", place) if shocked > 0 else self.number(slopes, "loss", place)
            x += (slope - 1.0) * shocked
        for slopes in self.folds(level):
            up = self.number(slopes, "gain", place) * max(x, 0.0)
            down = self.number(slopes, "loss", place) * min(x, 0.0)
            if slopes.gain_cap is not None:
                up = min(up, self.number(slopes, "gain_cap", place))
            if slopes.deductible is not None:
                down = min(down + self.number(slopes, "deductible", place), 0.0)
            x = up + down
        return x

    def number(self, slopes: Slopes, part: str, place: Place) -> float:
        figure = self.grower.parameter(getattr(slopes, part), part, place).figure
        assert isinstance(figure, float)
        return figure

    def rate(self, leg: int) -> float:
        """Return the pool's reporting asset per unit in which gains are stated."""
        resolved = self.grower.evaluation.resolved
        numeraire = float(resolved.units.numeraire[resolved.legs.unit[leg]])
        if not resolved.in_settlement:
            return 1.0 / numeraire
        return float(resolved.contracts.settle_rate[resolved.legs.contract[leg]]) / numeraire

    def contracts(self, leg: int) -> float:
        return float(np.asarray(self.grower.evaluation.quantity)[leg])

    def shocked(self, place: Place) -> float:
        """Return the value of a row's options in this scenario."""
        legs = place.frame.legs[place.frame.row_of == place.position]
        column = self.cells.valuation.shocked[self.grower.evaluation.resolved.legs.contract, self.scenario]
        return float(sum(self.contracts(leg) * self.rate(leg) * float(column[leg]) for leg in legs.tolist()))

    def leg_row(self, leg: int) -> FormulaNode:
        """Return one leg's sum over the scenarios, their weights included."""
        row = self.cells.valuation.gain[int(self.grower.evaluation.resolved.legs.contract[leg])]
        deltas = self.spec.exposure == "delta"
        rate = float(units_at_risk(self.grower.evaluation, np.asarray([leg]))[0]) if deltas else self.rate(leg)
        figures: dict[str, Figure] = {"contracts": self.contracts(leg), "per_contract": tuple((row * rate).tolist())}
        return FormulaNode(
            name="leg_row", level="leg", row=self.grower.row_name("leg", leg), kind="scenario",
            requirement=self.place.requirement, expression="contracts * per_contract", figures=figures,
            value=self.contracts(leg) * float((row * rate).sum()),
        )  # fmt: skip

    def leg(self, leg: int) -> FormulaNode:
        """Return one leg's gain in this scenario, the scenario's weight included."""
        contract = int(self.grower.evaluation.resolved.legs.contract[leg])
        gain = float(self.cells.valuation.gain[contract, self.scenario]) * self.rate(leg)
        held = self.contracts(leg)
        return FormulaNode(
            name="leg_pnl", level="leg", row=self.grower.row_name("leg", leg), kind="scenario",
            requirement=self.place.requirement, expression="contracts * gain_per_contract",
            figures={"contracts": held, "gain_per_contract": gain}, value=held * gain,
        )  # fmt: skip
