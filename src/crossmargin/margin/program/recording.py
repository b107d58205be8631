"""The evaluation of a rulebook on a template: the formulas are those of :class:`Evaluation`, the rows are recorded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from crossmargin.errors import Failure, FailureReason
from crossmargin.margin.evaluation import Evaluation
from crossmargin.margin.frames import Frame, Frames
from crossmargin.margin.levels import CHAIN, alike
from crossmargin.margin.model import Custom
from crossmargin.margin.program.columns import RECORDED_FUNCTIONS, Column, node_of
from crossmargin.margin.program.kinds import RECORDED_KINDS
from crossmargin.margin.program.nodes import ONE, Node, NotRecordableError, Op, Table, Terms
from crossmargin.margin.program.nothing import is_nothing

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    from crossmargin.margin.expression import Name
    from crossmargin.margin.measures import Measures
    from crossmargin.margin.model import Line, Parameter, Rulebook
    from crossmargin.margin.program.template import Template

    Floats = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.int64]
    Flags = npt.NDArray[np.bool_]

__all__ = ["Recording"]


class _Frames(Frames):
    """Frames of the template: every leg counts as held, but for those that are refused."""

    def __init__(
        self, template: Template, rulebook: Rulebook, measures: Measures, shared: dict[Any, Any], refused: Flags
    ) -> None:
        self.resolved = template.resolved
        self.rulebook = rulebook
        self.measures = measures
        self._any_muted = False
        self._active = ~refused
        self.sides = (b"", b"", b"")
        self._legs = {}
        self._kept = shared.setdefault(("frames", self.sides), {})


class Recording(Evaluation):
    """One rulebook over a template.

    Parameters
    ----------
    refused
        Why a contract cannot be assessed, by contract.
    """

    def __init__(
        self,
        template: Template,
        rulebook: Rulebook,
        refused: Mapping[int, Failure],
        shared: dict[Any, Any] | None = None,
    ) -> None:
        kept: dict[Any, Any] = {} if shared is None else shared
        self.template = template
        self.spaces = template.spaces
        contract = template.resolved.legs.contract
        self.refusals: dict[int, Failure] = {}
        without = np.isin(contract, np.asarray(list(refused), dtype=np.int64))
        for leg in np.flatnonzero(without).tolist():
            self.refusals[leg] = refused[int(contract[leg])]
        self._without = without
        super().__init__(template.resolved, rulebook, functions=RECORDED_FUNCTIONS, shared=kept)

    def make_frames(self) -> Frames:
        """Return the template's frames."""
        return _Frames(self.template, self.rulebook, self.measures, self.shared, self._without)

    # --- results

    def equity(self) -> Any:  # noqa: ANN401 - recorded
        """Return the standard equity [units]."""
        return self._total(self.measures["equity"], self.account_frame())

    def unit_column(self, x: Any) -> Node:  # noqa: ANN401 - recorded or plain
        """Return the node of a result by unit."""
        return node_of(x, Column(self.spaces["account"], Table("account", np.zeros(()))))

    # --- refusals

    def fail(self, units: Ints, reason: FailureReason, message: str) -> None:
        """Say that rows differ where a formula wants them alike: whether they do depends on what is held."""
        del units, reason
        raise NotRecordableError(message)

    def refuse(self, frame: Frame, rows: Ints, reason: FailureReason, message: str) -> None:
        """Refuse who holds a leg of these rows."""
        self.refuse_legs(frame.legs[np.isin(frame.row_of, rows)], reason, message)

    def refuse_legs(self, legs: Ints, reason: FailureReason, message: str) -> None:
        """Refuse who holds these legs; the first reason stands."""
        for leg in legs.tolist():
            self.refusals.setdefault(leg, Failure(reason, message, ""))

    # --- rows

    def masked(self, x: Any, frame: Frame) -> Column:  # noqa: ANN401 - recorded or plain
        """Return a frame's column on all rows of its level, 0 where no leg is selected."""
        space = self.spaces[frame.level]
        like = Column(space, Table(space.level, np.zeros(())), frame.rows)
        node = node_of(x, like)
        if frame.level == "leg" and isinstance(node, Terms | Table):
            terms = node if isinstance(node, Terms) else Terms({ONE: np.broadcast_to(node.values, (space.count,))})
            return Column(space, terms, frame.rows).scattered()
        if self._takes_all(frame) or (frame.level != "leg" and is_nothing(node, self._selected(frame))):
            return Column(space, node)
        zero = Table(space.level, np.zeros(()))
        if frame.level == "leg":
            inside: Node = Table("leg", self._selected(frame).astype(np.float64))
        else:
            held = Op("legsum", frame.level, (Terms({ONE: self._selected(frame).astype(np.float64)}),))
            inside = self.once(("held", frame.key), held)
        return Column(space, Op("select", frame.level, (inside, node, zero)))

    def once(self, key: Any, node: Node) -> Node:  # noqa: ANN401 - any key
        """Return the node first kept under a key, so that what is recorded twice runs once."""
        kept: Node = self._kept.setdefault(("once", key), node)
        return kept

    def _selected(self, frame: Frame) -> Flags:
        inside = np.zeros(self.spaces["leg"].count, dtype=bool)
        inside[frame.legs] = True
        return inside

    def _takes_all(self, frame: Frame) -> bool:
        """Return whether each row that holds anything holds a selected leg: all that stand are selected."""
        return bool((self._selected(frame) | self._without).all())

    def _total(self, x: Any, frame: Frame) -> Column:  # noqa: ANN401 - recorded or plain
        """Return a leg column summed over a frame's legs, on the frame's rows."""
        space = self.spaces[frame.level]
        node = node_of(x, Column(self.spaces["leg"], Terms({})))
        inside = self._selected(frame)
        if isinstance(node, Table):
            node = Terms({ONE: np.broadcast_to(node.values, inside.shape)})
        if isinstance(node, Terms):
            made: Node = Op("legsum", frame.level, (Terms({n: np.where(inside, c, 0.0) for n, c in node.by.items()}),))
        else:
            chosen = Op("select", "leg", (Table("leg", inside.astype(np.float64)), node, Table("leg", np.zeros(()))))
            made = Op("sum", frame.level, (chosen,))
        return Column(space, made, frame.rows)

    def on_level(self, column: Column, level: str, to: str) -> Column:
        """Return a full column of one level on all rows of another: finer rows sum, coarser rows repeat."""
        if level == to:
            return column
        if level == "leg":
            return self._total(
                column, Frame(to, (), self._standing(), self.spaces[to].every, np.zeros(0, dtype=np.int64))
            )
        finer = to != "leg" and (level == "asset" or (to != "asset" and CHAIN.index(level) < CHAIN.index(to)))
        return Column(self.spaces[to], Op("sum" if finer else "lift", to, (column.node,)))

    def _standing(self) -> Ints:
        return np.flatnonzero(~self._without)

    # --- what Evaluation does with rows

    def _compute(self, line: Line, requirement: str, key: tuple[str, str]) -> Any:  # noqa: ANN401 - recorded
        if line.kind not in RECORDED_KINDS or isinstance(line.spec, Custom):
            raise NotRecordableError(f"a line of kind `{line.kind}`")
        return RECORDED_KINDS[line.kind](self, line, requirement, key)

    def _formula_line(self, line: Line, requirement: str) -> Any:  # noqa: ANN401 - recorded
        frame = self.frame(line.level, line.of, charged=line.section == "charges")
        return self.masked(self.parameter(line.spec, frame, requirement, line.parameters), frame)

    def _account_formula(self, parameter: Parameter, requirement: str) -> Any:  # noqa: ANN401 - recorded
        return self.parameter(parameter, self.account_frame(), requirement, {})

    def _line_on(self, name: str, frame: Frame, requirement: str) -> Any:  # noqa: ANN401 - recorded
        key = (name, frame.key, requirement if self.varies(name) else "")
        if key not in self._kept:
            column = self.on_level(self.line(name, requirement), self.lines[name].level, frame.level)
            self._kept[key] = column[frame.rows]
        return self._kept[key]

    def _equity_on(self, frame: Frame) -> Any:  # noqa: ANN401 - recorded
        return self.on_level(self.equity(), "account", frame.level)[frame.rows]

    def _summed(self, column: Any, frame: Frame) -> Any:  # noqa: ANN401 - recorded
        return column[frame.legs] if frame.level == "leg" else self._total(column, frame)

    def _common(self, name: str, frame: Frame) -> Any:  # noqa: ANN401 - recorded or plain
        column = self.measures[name]
        if not isinstance(column, Column):
            return super()._common(name, frame)
        if frame.level != "leg":
            raise NotRecordableError(f"`{name}` of a {frame.level}, which depends on what is held")
        return column[frame.legs]

    def _bucket_index(self, frame: Frame, column: Floats) -> Floats:
        """Return the index of a bucket, which must not depend on what is held where its own asset has no price."""
        value = super()._bucket_index(frame, column)
        unpriced = np.isnan(self.measures.of_contract("root_rate")[frame.legs])
        if (unpriced & ~alike(column, value[frame.row_of])).any():
            raise NotRecordableError("the index of a bucket whose asset has no price: that of the first leg held")
        return value

    def _aggregate(self, function: str, name: Name, *args: Any, frame: Frame, requirement: str) -> Any:  # noqa: ANN401 - recorded
        space = self.spaces[frame.level]
        if name.name in self.lines:
            fine = self.line(name.name, name.variant or requirement)
        else:
            fine = self.masked(self.measures[name.name], self.frame("leg", frame.of))
        if function == "largest":
            return Column(space, Op("largest", frame.level, (self._materialised(fine),)), frame.rows)
        level = fine.space.level
        squares = self.on_level(fine * fine, level, frame.level)[frame.rows]
        total = self.on_level(fine, level, frame.level)[frame.rows]
        root, most = self.functions["sqrt"], self.functions["max"]
        return root(most(squares * (1.0 - args[0]) + total * total * args[0], 0.0))

    @staticmethod
    def _materialised(column: Column) -> Node:
        return column.node
