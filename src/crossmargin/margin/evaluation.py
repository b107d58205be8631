"""Formulas on rows: which rows a line has, what a name means there, and how finer levels sum into coarser ones."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from crossmargin.errors import Failure, FailureReason
from crossmargin.kernels import codes_in_use
from crossmargin.margin.expression import Means, Name
from crossmargin.margin.frames import Frame, Frames
from crossmargin.margin.functions import NUMPY_FUNCTIONS, TierColumn
from crossmargin.margin.kinds import compute_of
from crossmargin.margin.levels import alike, correlated_root, largest, on_level
from crossmargin.margin.measures import Measures
from crossmargin.margin.model import Constant, Formula, Keyed, Tiers, Variants
from crossmargin.margin.tables import keyed_codes, keyed_value
from crossmargin.margin.tape import as_column, scatter, segment_sum, take
from crossmargin.margin.variation import Variation
from crossmargin.margin.vocabulary import MEASURES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy.typing as npt

    from crossmargin.margin.model import Line, Parameter, Rulebook
    from crossmargin.margin.resolved import Resolved

    Floats = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.int64]

_EMPTY: Mapping[str, Parameter] = {}
_UNIT_MEASURES = frozenset({"numeraire", "stable_price"})
_OF_CONTRACTS = frozenset({"cells", "entries", "greeks"})  # kept under what no leg enters


def of_contracts(shared: Mapping[Any, Any]) -> dict[Any, Any]:
    """Return what of an evaluation's `shared` is the contracts' own, whoever holds them: scenarios, entries, Greeks."""
    return {key: kept for key, kept in shared.items() if key[0] in _OF_CONTRACTS}


class Evaluation:
    """One rulebook's lines over one resolved book, each computed on first use and kept.

    Parameters
    ----------
    quantity
        [legs] signed contracts; default those held. A traced column makes every result traced.
    shared
        What does not depend on quantities, from another evaluation of the same contracts and legs (`shared`).
    """

    def __init__(
        self,
        resolved: Resolved,
        rulebook: Rulebook,
        quantity: Any = None,  # noqa: ANN401 - plain or traced
        functions: Mapping[str, Callable[..., Any]] = NUMPY_FUNCTIONS,
        shared: dict[Any, Any] | None = None,
    ) -> None:
        self.resolved = resolved
        self.rulebook = rulebook
        self.functions = functions
        self._number = functions["number"]
        self.exact = self._number is not np.float64
        self.quantity = resolved.legs.quantity if quantity is None else quantity
        self.shared: dict[Any, Any] = {} if shared is None else shared
        self.measures = Measures(resolved, self.quantity, functions, self.shared)
        self.failures: dict[int, Failure] = {}
        self.details: dict[tuple[str, str], Any] = {}
        self._lines: dict[tuple[str, str], Any] = {}
        self.frames = self.make_frames()
        self._kept: dict[tuple[Any, ...], Any] = {}
        self.varies = Variation(rulebook)
        self.lines = self.varies.lines
        self._inside = False
        self.at: str | None = None  # the line that is being computed

    def make_frames(self) -> Frames:
        """Return the frames that formulas are evaluated on."""
        return Frames(self.resolved, self.rulebook, self.measures, self.shared)

    @property
    def lasting(self) -> dict[Any, Any]:
        """What is kept that holds for any other legs of the same contracts, too."""
        return of_contracts(self.shared)

    # --- results

    def requirement(self, name: str) -> Any:  # noqa: ANN401 - plain or traced
        """Return one requirement [units], reporting asset."""
        return self._account_formula(self.rulebook.requirements[name], name)

    def adjusted(self, requirement: str) -> Any:  # noqa: ANN401 - plain or traced
        """Return the adjusted equity for one requirement [units], reporting asset."""
        return self._account_formula(self.rulebook.adjusted, requirement)

    def equity(self) -> Any:  # noqa: ANN401 - plain or traced
        """Return the standard equity [units], reporting asset."""
        return segment_sum(self.measures["equity"], self.resolved.legs.unit, len(self.resolved.units))

    def line_total(self, name: str, requirement: str) -> Any:  # noqa: ANN401 - plain or traced
        """Return a line summed to the account level [units]."""
        key = ("total", name, requirement)
        if key not in self._kept:
            self._kept[key] = on_level(self.resolved, self.line(name, requirement), self.lines[name].level, "account")
        return self._kept[key]

    def _account_formula(self, parameter: Parameter, requirement: str) -> Any:  # noqa: ANN401 - plain or traced
        return as_column(self.parameter(parameter, self.account_frame(), requirement, _EMPTY), len(self.resolved.units))

    # --- lines

    def line(self, name: str, requirement: str) -> Any:  # noqa: ANN401 - plain or traced
        """Return one line [rows of its level]; rows without a selected leg hold 0."""
        key = (name, requirement if self.varies(name) else "")
        if key not in self._lines:
            line = self.lines[name]
            outer, self.at = self.at, name
            if line.kind == "is":
                self._lines[key] = self._formula_line(line, requirement)
            else:
                self._lines[key] = self._compute(line, requirement, key)
            self.at = outer
        return self._lines[key]

    def _compute(self, line: Line, requirement: str, key: tuple[str, str]) -> Any:  # noqa: ANN401 - plain or traced
        return compute_of(line, exact=self.exact)(self, line, requirement, key)

    def detail(self, name: str, requirement: str) -> Any:  # noqa: ANN401 - each kind keeps its own
        """Return what a kind kept for explanation (a scan: its rows of P&L)."""
        self.line(name, requirement)
        return self.details[name, requirement if self.varies(name) else ""]

    def _formula_line(self, line: Line, requirement: str) -> Any:  # noqa: ANN401 - plain or traced
        frame = self.frame(line.level, line.of, charged=line.section == "charges")
        value = as_column(self.parameter(line.spec, frame, requirement, line.parameters), frame.rows.shape[0])
        return scatter(value, frame.rows, self.row_count(line.level))

    # --- rows

    def row_count(self, level: str) -> int:
        """Return the number of rows of a level."""
        return self.frames.row_count(level)

    def unit_of_row(self, level: str) -> Ints:
        """Return the unit of each row of a level."""
        return self.resolved.legs.unit if level == "leg" else self.resolved.levels[level].unit

    def account_frame(self) -> Frame:
        """Return the frame of requirements: every unit, every leg."""
        return self.frames.account()

    def frame(self, level: str, of: tuple[frozenset[str], ...], *, charged: bool = False) -> Frame:
        """Return the rows of `level` that hold a selected leg. `charged` leaves out muted opposite positions."""
        return self.frames.of(level, of, charged=charged)

    def same(self, *key: Any, make: Callable[[], Any]) -> Any:  # noqa: ANN401 - whatever is made
        """Return what depends on which legs are held and on which side, not on how much; refusals are not kept."""
        whole = (self.frames.sides, *key)
        if whole in self.shared:
            return self.shared[whole]
        before = len(self.failures)
        made = make()
        if len(self.failures) == before and not before:
            self.shared[whole] = made
        return made

    # --- names

    def parameter(self, parameter: Parameter, frame: Frame, requirement: str, own: Mapping[str, Parameter]) -> Any:  # noqa: ANN401 - a number, a column, a tier table
        """Return a parameter on a frame's rows."""
        if isinstance(parameter, Constant):
            return self._number(parameter.value)
        if isinstance(parameter, Variants):
            return self.parameter(parameter.of(requirement), frame, requirement, own)
        if self._inside and isinstance(parameter, Formula) and isinstance(parameter.tree, Name):
            return self.name(parameter.tree, frame, requirement, own)  # which keeps what it finds
        key = (id(parameter), frame.key, requirement)
        if key not in self._kept:
            make = partial(self._made, parameter, frame, requirement, own)
            self._kept[key] = self.same("made", *key, make=make) if self.varies.is_fixed(parameter, own) else make()
        return self._kept[key]

    def _made(
        self, parameter: Tiers | Keyed | Formula, frame: Frame, requirement: str, own: Mapping[str, Parameter]
    ) -> Any:  # noqa: ANN401 - as above
        if isinstance(parameter, Tiers):
            return TierColumn((parameter,))
        if isinstance(parameter, Keyed):
            codes = keyed_codes(self, parameter, frame)
            return keyed_value(parameter, codes, lambda entry: self.parameter(entry, frame, requirement, own))
        return self.formula(parameter, frame, requirement, own)

    def formula(self, formula: Formula, frame: Frame, requirement: str, own: Mapping[str, Parameter]) -> Any:  # noqa: ANN401 - as above
        """Return a formula on a frame's rows."""

        def lookup(name: Name) -> Any:  # noqa: ANN401 - as above
            return self.name(name, frame, requirement, own)

        aggregate = partial(self._aggregate, frame=frame, requirement=requirement)
        means = Means(lookup, self.functions, aggregate, self._number)
        if self._inside:  # entering np.errstate costs as much as a small formula
            return formula.value(means)
        self._inside = True
        try:
            with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
                return formula.value(means)
        finally:
            self._inside = False

    def name(self, name: Name, frame: Frame, requirement: str, own: Mapping[str, Parameter]) -> Any:  # noqa: ANN401 - as above
        """Return what a name means on a frame's rows: own, shared, a line, a requirement, an input, a measure."""
        wanted = name.variant or requirement
        if name.name in own:
            return self.parameter(own[name.name], frame, wanted, own)
        if name.name in self.rulebook.parameters:  # a shared formula reads shared names only, whoever asks
            return self.parameter(self.rulebook.parameters[name.name], frame, wanted, _EMPTY)
        if name.name in self.lines:
            return self._line_on(name.name, frame, wanted)
        if name.name in self.rulebook.requirements:
            return self._account_formula(self.rulebook.requirements[name.name], name.name)
        if name.name in self.resolved.inputs:
            return self.resolved.inputs[name.name][frame.rows]
        return self._measure_on(name.name, frame)

    def _line_on(self, name: str, frame: Frame, requirement: str) -> Any:  # noqa: ANN401 - as above
        key = (name, frame.key, requirement)
        if key not in self._kept:
            level = self.lines[name].level
            value = self.line(name, requirement)
            self._kept[key] = take(on_level(self.resolved, value, level, frame.level), frame.rows)
        return self._kept[key]

    def _measure_on(self, name: str, frame: Frame) -> Any:  # noqa: ANN401 - as above
        key = (name, frame.key)
        if key in self._kept:
            return self._kept[key]
        if name in _UNIT_MEASURES:
            value = self.resolved.units.numeraire[self.unit_of_row(frame.level)[frame.rows]]
        elif name == "equity":
            value = self._equity_on(frame)
        elif name == "value":
            value = self._summed(self._values(), frame)
        elif MEASURES[name].extensive:
            value = self._summed(self.measures[name], frame)
        elif name == "entry_price":
            value = self._common(name, frame)
        else:
            value = self.same("common", name, frame.key, make=lambda: self._common(name, frame))
        self._kept[key] = value
        return value

    def _equity_on(self, frame: Frame) -> Any:  # noqa: ANN401 - as above
        return take(self.equity(), self.unit_of_row(frame.level)[frame.rows])

    def _summed(self, column: Any, frame: Frame) -> Any:  # noqa: ANN401 - as above
        chosen = take(column, frame.legs)
        return chosen if frame.level == "leg" else segment_sum(chosen, frame.row_of, frame.rows.shape[0])

    def _common(self, name: str, frame: Frame) -> Floats:
        """Return an intensive measure on coarser rows: it must be equal across the row."""
        column = np.asarray(self.measures[name])[frame.legs]
        if frame.level == "leg":
            return column
        if name == "index" and frame.level == "bucket":
            return self._bucket_index(frame, column)
        value = np.full(frame.rows.shape[0], np.nan, dtype=column.dtype)
        value[frame.row_of[::-1]] = column[::-1]
        differs = ~alike(column, value[frame.row_of])
        if differs.any():
            units = self.resolved.legs.unit[frame.legs[differs]]
            message = f"{name} differs between legs of one {frame.level}; the rulebook reads it there as one number"
            self.fail(units, FailureReason.INCONSISTENT_ROW, message)
        return value

    def _bucket_index(self, frame: Frame, column: Floats) -> Floats:
        """Return the index of a bucket: the price of its own asset; where that has none, its first leg's index."""
        first = np.full(frame.rows.shape[0], np.nan, dtype=column.dtype)
        first[frame.row_of[::-1]] = column[::-1]
        legs = self.resolved.levels["bucket"].first_leg[frame.rows]
        contract, unit = self.resolved.legs.contract[legs], self.resolved.legs.unit[legs]
        own = self.resolved.contracts.root_rate[contract] / self.resolved.units.numeraire[unit]
        return np.where(own != own, first, own)  # noqa: PLR0124 - NaN

    def _values(self) -> Any:  # noqa: ANN401 - as above
        """Return what [valuation] says each leg is worth; kinds it does not name take the standard worth."""
        if ("values",) not in self._kept:
            worth = self.measures["equity"]
            for kind, formula in self.rulebook.valuation.items():
                frame = self.frame("leg", (frozenset({kind}),))
                said = self.formula(formula, frame, "maintenance", _EMPTY)
                standard = scatter(take(worth, frame.legs), frame.legs, self.row_count("leg"))
                worth = worth - standard + scatter(said, frame.legs, self.row_count("leg"))
            self._kept["values",] = worth
        return self._kept["values",]

    def _aggregate(self, function: str, name: Name, *args: Any, frame: Frame, requirement: str) -> Any:  # noqa: ANN401 - as above
        """Return `largest` or `root` of a finer column on a frame's rows."""
        if name.name in self.lines:
            level = self.lines[name.name].level
            column = self.line(name.name, name.variant or requirement)
            legs = np.arange(self.row_count("leg")) if level == "leg" else self.resolved.levels[level].first_leg
        else:
            column, legs = take(self.measures[name.name], frame.legs), frame.legs
        full = self.resolved.levels[frame.level].row_of_leg[legs]
        place = np.full(self.row_count(frame.level), -1, dtype=np.int64)
        place[frame.rows] = np.arange(frame.rows.shape[0])
        row_of, rows = place[full], frame.rows.shape[0]
        inside = (row_of >= 0).nonzero()[0]
        column, row_of = take(column, inside), row_of[inside]
        if function == "root":
            return correlated_root(column, row_of, rows, args[0], self.functions)
        return largest(column, row_of, rows)

    # --- refusals

    def refuse(self, frame: Frame, rows: Ints, reason: FailureReason, message: str) -> None:
        """Refuse the accounts that some rows of a frame (places among its rows) belong to."""
        self.fail(self.unit_of_row(frame.level)[frame.rows[rows]], reason, message)

    def refuse_legs(self, legs: Ints, reason: FailureReason, message: str) -> None:
        """Refuse the accounts that hold these legs."""
        self.fail(self.resolved.legs.unit[legs], reason, message)

    def fail(self, units: Ints, reason: FailureReason, message: str) -> None:
        """Refuse the accounts of these units; the first reason stands."""
        ids = self.resolved.account_ids
        for account in codes_in_use(self.resolved.units.account[units]).tolist():
            self.failures.setdefault(account, Failure(reason, message, ids[account]))
