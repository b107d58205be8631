"""The kinds of line that have an operation of their own, recorded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from crossmargin.margin.kinds.measures_of_row import quantile_rank, tail_shares
from crossmargin.margin.kinds.scan import climb_levels, leg_rates, refuse_lacking, scan_cells, scan_number
from crossmargin.margin.program.columns import Column
from crossmargin.margin.program.nodes import ONE, PER_UNIT, Node, NotRecordableError, Op, Table, Terms, walk
from crossmargin.margin.program.pairing import record_pairing

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy.typing as npt

    from crossmargin.margin.frames import Frame
    from crossmargin.margin.model import Line, Parameter, Scan, Slopes
    from crossmargin.margin.program.recording import Recording

    Floats = npt.NDArray[np.float64]
    Flags = npt.NDArray[np.bool_]

__all__ = ["RECORDED_KINDS", "Bend", "Scanned", "Tail"]


@dataclass(frozen=True, slots=True)
class Bend:
    """A fold or a close-out at a level, on scenarios [first, last); the parts are places among the scan's own."""

    level: str
    first: int
    last: int
    gain: int
    loss: int
    gain_cap: int | None = None
    deductible: int | None = None
    close_out: bool = False


@dataclass(frozen=True, slots=True)
class Tail:
    """How a row becomes a number: the measure, how many of the lowest cells count, and their shares."""

    measure: str
    depth: int = 1
    shares: Floats | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Scanned:
    """What a scan needs beside columns.

    `scale` [template legs] turns a quantity into the weight of its contract's row; `gain` and `shocked` [contracts,
    scenarios]; `chain` the levels on the way up; `weight` the place of the line's weight among the parts; `inside`
    says of the template rows of the line's level whether a leg of the line may stand there.
    """

    chain: tuple[str, ...]
    scale: Floats
    gain: Floats
    shocked: Floats | None
    bends: tuple[Bend, ...]
    tail: Tail
    weight: int | None
    inside: Flags


def _scan(recording: Recording, line: Line, requirement: str, _key: tuple[str, str]) -> Column:
    spec: Scan = line.spec
    cells = scan_cells(recording, spec)
    frame = recording.frame(line.level, line.of, charged=line.section == "charges")
    refuse_lacking(recording, cells, frame)
    scale = np.zeros(recording.spaces["leg"].count)
    scale[frame.legs] = leg_rates(recording, spec, frame)
    chain = tuple(climb_levels(line, cells))
    parts = _Parts(recording, line, requirement)
    bends = []
    behind: _Slopes | None = None
    for level in chain:
        at = frame if level == line.level else parts.frame(level)
        if level in spec.close_out and level != chain[0]:
            raise NotRecordableError("a close-out above a finer fold")
        if level in spec.close_out:
            bends.append(parts.bend(level, (0, len(cells)), parts.slopes(spec.close_out[level], at), close_out=True))
        blocks = [(where, block.fold[level]) for where, block in cells.blocks if level in block.fold]
        if level in spec.fold:
            slopes = parts.slopes(spec.fold[level], at)
            if spec.measure == "worst" and level == chain[-1] and not blocks and slopes.keep_order():
                behind = slopes
            else:
                bends.append(parts.bend(level, (0, len(cells)), slopes))
        bends += [parts.bend(level, (where.start, where.stop), parts.slopes(fold, at)) for where, fold in blocks]
    weight = None if spec.weight is None else parts.parameter(spec.weight, frame)
    confidence = scan_number(recording, spec.confidence, frame, requirement, line)
    inside = np.zeros(recording.spaces[line.level].count, dtype=bool)
    inside[frame.rows] = True
    more = Scanned(
        chain=chain,
        scale=scale,
        gain=cells.valuation.gain,
        shocked=cells.valuation.shocked if spec.close_out else None,
        bends=tuple(bends),
        tail=_tail(spec.measure, len(cells), confidence),
        weight=None if weight is None or behind is not None else parts.place(weight),
        inside=inside,
    )
    node = Op("scan", line.level, tuple(parts.nodes), more)
    if behind is not None:
        node = behind.of_worst(node, weight)
    space = recording.spaces[line.level]
    # a row without a selected leg gains nothing, so it loses nothing either, unless a weight is no number there
    return Column(space, node) if weight is None else recording.masked(Column(space, node, frame.rows), frame)


class _Slopes(NamedTuple):
    """The columns of a fold: x -> min(gain max(x, 0), cap) + min(loss min(x, 0) + deductible, 0)."""

    gain: Node
    loss: Node
    gain_cap: Node | None
    deductible: Node | None

    def keep_order(self) -> bool:
        """Whether more is never folded to less, and a gain never to a loss: the worst cell then stays the worst."""
        steps = (self.gain, self.loss)  # nothing times a slope without end would be no number
        finite = all(isinstance(part, Table) and bool(np.isfinite(part.values).all()) for part in steps)
        given = (part for part in self if part is not None)
        return finite and all(isinstance(part, Table) and bool(np.all(part.values >= 0)) for part in given)

    def of_worst(self, worst: Op, weight: Node | None) -> Op:
        """Return the worst loss after such a fold from the one before it: a number for each row, not for each cell."""
        level, found = worst.level, Op("mul", worst.level, (worst, self.loss))
        if self.deductible is not None:
            above = Op("sub", level, (found, self.deductible))
            found = Op("max", level, (above, Table(level, np.zeros(()))))
        return found if weight is None else Op("mul", level, (found, weight))


class _Parts:
    """The columns that a scan's folds read."""

    def __init__(self, recording: Recording, line: Line, requirement: str) -> None:
        self.recording = recording
        self.line = line
        self.requirement = requirement
        self.nodes: list[Node] = []

    def frame(self, level: str) -> Frame:
        return self.recording.frame(level, self.line.of, charged=self.line.section == "charges")

    def parameter(self, parameter: Parameter, frame: Frame) -> Node:
        value = self.recording.parameter(parameter, frame, self.requirement, self.line.parameters)
        return self._everywhere(value, frame)

    def amount(self, parameter: Parameter, frame: Frame) -> Node:
        """Return a cap or a deductible; below 0 it bends nothing into a loss, which is nobody's who holds nothing."""
        value = self.recording.parameter(parameter, frame, self.requirement, self.line.parameters)
        bends_nothing = not isinstance(value, Column) and bool(np.all(np.asarray(value) >= 0))
        return self._everywhere(value, frame) if bends_nothing else self.recording.masked(value, frame).node

    def place(self, node: Node) -> int:
        self.nodes.append(node)
        return len(self.nodes) - 1

    def _everywhere(self, value: Any, frame: Frame) -> Node:  # noqa: ANN401 - recorded or plain
        """Return a frame's column on all rows: where nothing is selected nothing is gained, and 0 bends nothing."""
        if isinstance(value, Column):
            return self.recording.masked(value, frame).node
        if np.ndim(value) == 0:
            return Table(frame.level, np.asarray(value, dtype=np.float64))
        full = np.zeros(self.recording.spaces[frame.level].count)
        full[frame.rows] = value
        return Table(frame.level, full)

    def slopes(self, slopes: Slopes, frame: Frame) -> _Slopes:
        gain, loss = self.parameter(slopes.gain, frame), self.parameter(slopes.loss, frame)
        more = (slopes.gain_cap, slopes.deductible)
        return _Slopes(gain, loss, *(None if one is None else self.amount(one, frame) for one in more))

    def bend(self, level: str, columns: tuple[int, int], slopes: _Slopes, *, close_out: bool = False) -> Bend:
        cap, deductible = (None, None) if close_out else slopes[2:]
        return Bend(
            level,
            *columns,
            self.place(slopes.gain),
            self.place(slopes.loss),
            None if cap is None else self.place(cap),
            None if deductible is None else self.place(deductible),
            close_out,
        )


def _tail(measure: str, scenarios: int, confidence: float | None) -> Tail:
    if measure == "expected_shortfall" and confidence is not None:
        shares = tail_shares(scenarios, confidence)
        return Tail(measure, shares.shape[0], shares)
    if measure == "value_at_risk" and confidence is not None:
        return Tail(measure, quantile_rank(scenarios, confidence) + 1)
    return Tail(measure)


def _max_loss(recording: Recording, line: Line, _requirement: str, _key: tuple[str, str]) -> Column:
    frame = recording.frame(line.level, line.of, charged=line.section == "charges")
    strike = np.full(recording.spaces["leg"].count, np.nan)  # a leg without one does not count
    strike[frame.legs] = np.asarray(recording.measures["strike"])[frame.legs]
    put = ~(np.isnan(strike) | recording.measures.of_contract("call"))
    held = recording.measures["quantity"].node
    if not isinstance(held, Terms) or ((strike < 0) & ~np.isnan(strike)).any():
        raise NotRecordableError("a payoff over prices below 0")
    # the payoff at price 0, and its slope there
    sums = [Terms({name: np.where(put, by * rate, 0.0) for name, by in held.by.items()}) for rate in (strike, -1.0)]
    parts: tuple[Node, ...] = (held, *(Op("legsum", line.level, (terms,)) for terms in sums))
    return Column(recording.spaces[line.level], Op("max_loss", line.level, parts, strike))


def _worst_side(recording: Recording, line: Line, requirement: str, _key: tuple[str, str]) -> Column:
    held: Column = recording.line(line.spec.line, requirement)
    if isinstance(held.node, Table) or (isinstance(held.node, Terms) and held.node.by.keys() <= {ONE}):
        return held  # nothing that is held enters it, so that no order changes it
    reads = {name for node in walk([held.node]) if isinstance(node, Terms) for name in node.by}
    if reads & {"cost", PER_UNIT}:
        raise NotRecordableError("what orders filled would cost")
    return Column(held.space, Op("worst_side", line.level, (held.node,)))


RECORDED_KINDS: Final[Mapping[str, Callable[..., Column]]] = {
    "scan": _scan,
    "max_loss": _max_loss,
    "pairing": record_pairing,
    "worst_side": _worst_side,
}
