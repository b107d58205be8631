"""The rulebook's expressions with figures in place of names: the tree that was assessed, row by row.

Nothing is computed a second time here: every figure is read from the evaluation that gave the requirement. A name
that is a line, a formula or a requirement has a child for each row behind it, and the children add up to its figure.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec
import numpy as np

from crossmargin.analysis.explanation import FormulaNode, PoolTree
from crossmargin.margin.expression import AGGREGATIONS, Call, Name, evaluate, inactive, parse_expression, to_text, walk
from crossmargin.margin.functions import NUMPY_FUNCTIONS, TierColumn
from crossmargin.margin.model import INITIAL, MAINTENANCE, Constant, Formula, Keyed, Tiers, Variants
from crossmargin.margin.reporting import unit_reporting
from crossmargin.margin.rows import row_name
from crossmargin.margin.tables import keyed_codes
from crossmargin.margin.vocabulary import COARSER

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy.typing as npt

    from crossmargin.margin.assess import BookReport
    from crossmargin.margin.evaluation import Evaluation
    from crossmargin.margin.expression import Expression
    from crossmargin.margin.frames import Frame
    from crossmargin.margin.model import Line, Parameter

Figure: TypeAlias = "float | tuple[float, ...] | tuple[tuple[float, float], ...]"

_NONE: Mapping[str, Parameter] = {}


@dataclass(frozen=True, slots=True)
class Place:
    """One row where a formula stands: its frame, its position among the frame's rows, whose numbers come first."""

    frame: Frame
    position: int
    requirement: str
    own: Mapping[str, Parameter]

    @property
    def row(self) -> int:
        """The row in its level."""
        return int(self.frame.rows[self.position])


@dataclass(frozen=True, slots=True)
class Reading:
    """What a name means at a place: its figure, the nodes behind it, whether its number is unverified."""

    figure: Figure
    children: tuple[FormulaNode, ...] = ()
    unverified: bool = False


def pool_trees(book: BookReport, account: int, grower: Grower | None = None) -> tuple[PoolTree, ...]:
    """Return the expressions of each pool of an account: both adjusted equities and every requirement.

    Parameters
    ----------
    grower
        What several accounts of one book may share.
    """
    grower = Grower(book.evaluation) if grower is None else grower
    units = np.flatnonzero(book.resolved.units.account == account).tolist()
    return tuple(
        PoolTree(
            pool=book.resolved.units.label[unit],
            reporting_asset=unit_reporting(book, unit),
            adjusted_equity={name: grower.adjusted(name, unit) for name in (INITIAL, MAINTENANCE)},
            requirements={name: grower.requirement(name, unit) for name in book.rulebook.requirements},
        )
        for unit in units
    )


class Grower:
    """Grows the nodes of one evaluation; each line's row is grown once."""

    def __init__(self, evaluation: Evaluation) -> None:
        self.evaluation = evaluation
        self.rulebook = evaluation.rulebook
        self._lines: dict[tuple[str, str, int], FormulaNode | None] = {}
        self._columns: dict[tuple[object, ...], Any] = {}
        self._sides: dict[str, Grower] = {}

    # --- what is asked for

    def requirement(self, name: str, unit: int) -> FormulaNode:
        """Return the tree of one requirement of a pool."""
        return self._account(self.rulebook.requirements[name], name, name, unit)

    def adjusted(self, requirement: str, unit: int) -> FormulaNode:
        """Return the tree of a pool's adjusted equity as it counts toward one requirement."""
        return self._account(self.rulebook.adjusted, "adjusted_equity", requirement, unit)

    def _account(self, parameter: Parameter, name: str, requirement: str, unit: int) -> FormulaNode:
        return self.node(parameter, name, Place(self.evaluation.account_frame(), unit, requirement, _NONE))

    def line(self, name: str, requirement: str, row: int) -> FormulaNode | None:
        """Return a line's node on one row of its level; None where no leg is selected."""
        key = (name, requirement, row)
        if key not in self._lines:
            self._lines[key] = self._grown_line(self.rulebook.line(name), requirement, row)
        return self._lines[key]

    def _grown_line(self, line: Line, requirement: str, row: int) -> FormulaNode | None:
        from crossmargin.analysis.kind_nodes import KIND_NODES, other_node  # noqa: PLC0415 (kinds grow lines again)

        if line.kind != "is":
            return KIND_NODES.get(line.kind, other_node)(self, line, requirement, row)
        place = self.place(line, requirement, row)
        return None if place is None else self.node(line.spec, line.name, place, kind="is")

    def place(self, line: Line, requirement: str, row: int) -> Place | None:
        """Return where a line stands on one row of its level; None where no leg is selected."""
        frame = self.evaluation.frame(line.level, line.of, charged=line.section == "charges")
        position = int(np.searchsorted(frame.rows, row))
        if position == frame.rows.shape[0] or frame.rows[position] != row:
            return None
        return Place(frame, position, requirement, line.parameters)

    def side(self, name: str, added: npt.NDArray[np.float64]) -> Grower:
        """Return the grower of this portfolio with some orders filled."""
        if name not in self._sides:
            e = self.evaluation
            self._sides[name] = Grower(type(e)(e.resolved, e.rulebook, e.quantity + added, e.functions, e.shared))
        return self._sides[name]

    # --- nodes

    def row_name(self, level: str, row: int) -> str:
        """Return what a row is called."""
        return row_name(self.evaluation.resolved, level, row)

    def node(self, parameter: Parameter, name: str, place: Place, *, kind: str = "formula") -> FormulaNode:
        """Return the node of a formula or a number at a place."""
        entry = self.entry(parameter, place)
        if isinstance(entry, Formula):
            return self._formula(entry, name, place, kind)
        assert isinstance(entry, Constant)
        return self._made(name, kind, place, expression=f"{entry.value:.17g}", value=entry.value, figures={},
                          unverified=_unverified(entry))  # fmt: skip

    def _formula(self, formula: Formula, name: str, place: Place, kind: str) -> FormulaNode:
        readings = self._readings(formula, place)
        figures = {text: reading.figure for text, reading in readings.items()}
        value = self.number(("formula", id(formula)), lambda: self.evaluation.parameter(
            formula, place.frame, place.requirement, place.own), place)  # fmt: skip

        def figure_of(part: Expression) -> float:
            with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
                return float(
                    evaluate(part, lambda n: _operand(figures[to_text(n)]), NUMPY_FUNCTIONS, _aggregate(figures))
                )

        return self._made(
            name, kind, place, expression=formula.text, value=value, figures=figures,
            inactive=_undeciding(formula.tree, figure_of),
            children=tuple(child for reading in readings.values() for child in reading.children),
            unverified=any(reading.unverified for reading in readings.values()),
        )  # fmt: skip

    def _made(self, name: str, kind: str, place: Place, **rest: Any) -> FormulaNode:  # noqa: ANN401 - the node's other fields
        return FormulaNode(
            name=name, level=place.frame.level, row=self.row_name(place.frame.level, place.row), kind=kind,
            requirement=place.requirement, **rest,
        )  # fmt: skip

    def _readings(self, formula: Formula, place: Place) -> dict[str, Reading]:
        """Return what each name of a formula means, in the order in which they stand."""
        parts = list(walk(formula.tree))
        columns = {to_text(part.args[0]) for part in parts if isinstance(part, Call) and part.function in AGGREGATIONS}
        found: dict[str, Reading] = {}
        for part in parts:
            if isinstance(part, Name) and to_text(part) not in found:
                text = to_text(part)
                found[text] = self._column_of(part, place) if text in columns else self.reading(part, place)
        return found

    # --- names

    def reading(self, part: Name, place: Place) -> Reading:
        """Return what a name means at a place, by the engine's own order of tables."""
        wanted = replace(place, requirement=part.variant or place.requirement)
        for table in (place.own, self.rulebook.parameters):
            if part.name in table:
                return self.parameter(table[part.name], to_text(part), wanted)
        if part.name in self.rulebook.lines:
            return self._line_reading(part, wanted)
        value = self.number(("name", part), lambda: self.evaluation.name(
            part, place.frame, place.requirement, place.own), place)  # fmt: skip
        if part.name in self.rulebook.requirements:
            return Reading(value, (self.requirement(part.name, place.row),))
        return Reading(value)

    def parameter(self, parameter: Parameter, name: str, place: Place) -> Reading:
        """Return a parameter at a place: a number, a tier table, or a formula's value with its node."""
        entry = self.entry(parameter, place)
        if isinstance(entry, Constant):
            return Reading(entry.value, unverified=_unverified(entry))
        if isinstance(entry, Tiers):
            return Reading(tuple(zip(entry.upto, entry.rate, strict=True)), unverified=_unverified(entry))
        child = self.node(entry, name, place)
        return Reading(child.value, (child,))

    def entry(self, parameter: Parameter, place: Place) -> Constant | Tiers | Formula:
        """Return which number, table or formula stands for a parameter at a place."""
        if isinstance(parameter, Variants):
            return self.entry(parameter.of(place.requirement), place)
        if isinstance(parameter, Keyed):
            codes = self._column(("keys", id(parameter), place.frame.key), lambda: keyed_codes(
                self.evaluation, parameter, place.frame))  # fmt: skip
            entries = [*parameter.entries.values(), *([] if parameter.default is None else [parameter.default])]
            return self.entry(entries[int(codes[place.position])], place)
        return parameter

    def _line_reading(self, part: Name, place: Place) -> Reading:
        value = self.number(("name", part), lambda: self.evaluation.name(
            part, place.frame, place.requirement, place.own), place)  # fmt: skip
        return Reading(value, tuple(self._lines_behind(part, place)))

    def _lines_behind(self, part: Name, place: Place) -> list[FormulaNode]:
        """Return a line's nodes on the rows that a place reads, named as the formula names them."""
        found = []
        level = self.rulebook.line(part.name).level
        for row in rows_behind(self.evaluation, level, place.frame.level, place.row):
            node = self.line(part.name, place.requirement, row)
            if node is not None:
                found.append(node if part.variant is None else msgspec.structs.replace(node, name=to_text(part)))
        return found

    def _column_of(self, part: Name, place: Place) -> Reading:
        """Return the finer figures that `largest` or `root` reads on one row."""
        wanted = part.variant or place.requirement
        if part.name in self.rulebook.lines:
            level = self.rulebook.line(part.name).level
            rows = rows_behind(self.evaluation, level, place.frame.level, place.row)
            column = np.asarray(self.evaluation.line(part.name, wanted))
            children = self._lines_behind(part, replace(place, requirement=wanted))
            return Reading(tuple(column[rows].tolist()), tuple(children))
        legs = place.frame.legs[place.frame.row_of == place.position]
        return Reading(tuple(np.asarray(self.evaluation.measures[part.name])[legs].tolist()))

    # --- columns

    def number(self, key: tuple[object, ...], make: Any, place: Place) -> float:  # noqa: ANN401 - makes a column or a number
        """Return one row's number of a column that is made once for all rows."""
        column = self._column((*key, place.frame.key, place.requirement, id(place.own)), make)
        return float(np.broadcast_to(np.asarray(column), place.frame.rows.shape)[place.position])

    def _column(self, key: tuple[object, ...], make: Any) -> Any:  # noqa: ANN401 - as above
        if key not in self._columns:
            self._columns[key] = make()
        return self._columns[key]


def rows_behind(evaluation: Evaluation, level: str, at: str, row: int) -> list[int]:
    """Return the rows of `level` that one row of level `at` reads: those inside it, or the one around it."""
    levels = evaluation.resolved.levels
    if level == at:
        return [row]
    if at in COARSER[level]:
        first = np.arange(evaluation.row_count("leg")) if level == "leg" else levels[level].first_leg
        return [int(i) for i in np.flatnonzero(levels[at].row_of_leg[first] == row)]
    leg = row if at == "leg" else int(levels[at].first_leg[row])
    return [int(levels[level].row_of_leg[leg])]


def _undeciding(tree: Expression, figure_of: Callable[[Expression], float]) -> tuple[str, ...]:
    """Return the arguments of min, max and when that do not decide; not a name that counts elsewhere in the formula."""
    dead = inactive(tree, figure_of)
    read = Counter(to_text(part) for part in walk(tree) if isinstance(part, Name))
    unread = Counter(to_text(part) for text in dead for part in walk(parse_expression(text)) if isinstance(part, Name))
    return tuple(text for text in dict.fromkeys(dead) if text not in read or read[text] == unread[text])


def _unverified(entry: Constant | Tiers) -> bool:
    return entry.provenance is not None and entry.provenance.unverified


def _operand(figure: Figure) -> Any:  # noqa: ANN401 - a number or a tier table
    if not isinstance(figure, tuple):
        return figure
    bounds = [row for row in figure if isinstance(row, tuple)]
    if bounds:
        return TierColumn((Tiers(tuple(upto for upto, _ in bounds), tuple(rate for _, rate in bounds)),))
    return sum(row for row in figure if not isinstance(row, tuple))


def _aggregate(figures: Mapping[str, Figure]) -> Any:  # noqa: ANN401 - what `evaluate` calls for largest and root
    def aggregate(function: str, name: Name, *args: float) -> float:
        column = np.asarray(figures[to_text(name)], dtype=np.float64)
        if function == "largest":
            return float(column.max())
        rho = args[0]
        return float(np.sqrt(max(float(column @ column) * (1.0 - rho) + float(column.sum()) ** 2 * rho, 0.0)))

    return aggregate
