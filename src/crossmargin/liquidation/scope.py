"""Names of a procedure's formulas turned into numbers: own lines and numbers first, then figures, then memory."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from math import inf
from typing import TYPE_CHECKING, Final, NoReturn

from crossmargin.errors import FailureReason, InputError
from crossmargin.liquidation.formulas import Amount, as_fraction, holds, value_of
from crossmargin.margin.expression import Comparison, Name
from crossmargin.margin.model import MAINTENANCE, Constant, Formula, Keyed, Tiers, Variants
from crossmargin.margin.procedure_checks import START

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from crossmargin.liquidation.case import Case
    from crossmargin.liquidation.pools import Leg, Pool
    from crossmargin.margin.model import Parameter
    from crossmargin.margin.procedure import Procedure

__all__ = ["Scope"]

_SIDES: Final = ("debt_", "collateral_")


@dataclass(frozen=True, slots=True)
class Scope:
    """Where a formula of a procedure is evaluated.

    Parameters
    ----------
    leg
        The leg in question; None over the whole pool.
    payer
        Who is asked in the waterfall; its figures go before the leg's.
    stated
        What whoever runs it states: inputs of the document, and figures that the pool does not have.
    sides
        Of an exchange: the debt and the collateral, whose words are read as ``debt_*`` and ``collateral_*``.
    restore
        What finds the built-in amount; None where nothing can be tried.
    exactly
        Whether all is computed on fractions.
    """

    procedure: Procedure
    pool: Pool
    case: Case | None = None
    leg: Leg | None = None
    payer: Leg | None = None
    step: str = ""
    window: float = inf
    stated: Mapping[str, Amount] | None = None
    sides: Mapping[str, Leg] | None = None
    restore: Callable[[], Amount] | None = None
    exactly: bool = False

    def number(self, formula: Formula) -> Amount:
        """Return the value of a formula; raises :class:`InputError` where it has none."""
        try:
            return value_of(formula.tree, self.lookup, exactly=self.exactly)
        except InputError as error:
            raise InputError(error.reason, f"{formula.text!r}: {error.message}", **self._place()) from None

    def holds(self, formula: Formula) -> bool:
        """Return whether a condition holds."""
        assert isinstance(formula.tree, Comparison)
        try:
            return holds(formula.tree, self.lookup, exactly=self.exactly)
        except InputError as error:
            raise InputError(error.reason, f"{formula.text!r}: {error.message}", **self._place()) from None

    def parameter(self, parameter: Parameter) -> Amount:
        """Return a number of the document."""
        found = self._entry(parameter, "this number", MAINTENANCE)
        return found if not isinstance(found, Tiers) else _refuse("a tier table is no number")

    def named(self, name: str) -> Amount:
        """Return the number behind a name."""
        found = self.lookup(Name(name))
        return found if not isinstance(found, Tiers) else _refuse(f"`{name}` is a tier table")

    def lookup(self, name: Name) -> Amount | Tiers:
        """Return what a name stands for."""
        own = self.procedure.liquidation
        if self.stated is not None and name.name in self.stated:
            return self._number(self.stated[name.name])
        if own.inputs.get(name.name) is not None:
            return self._number(own.inputs[name.name] or 0.0)
        if name.name in own.lines:
            return value_of(own.lines[name.name].tree, self.lookup, exactly=self.exactly)
        for table in (own.parameters, self.procedure.parameters):
            if name.name in table:
                return self._entry(table[name.name], name.name, name.variant or MAINTENANCE)
        return self._measure(name)

    def _measure(self, name: Name) -> Amount | Tiers:
        """Return a figure of the leg, of the pool, of the case."""
        key = name.name if name.variant is None else f"{name.name}.{name.variant}"
        parts = [part.figures for part in (self.payer, self.leg) if part is not None]
        for place in (*parts, self.pool.figures):
            if key in place:
                return self._number(place[key])
        past = self.case.memory(key, self.step, self.leg.name if self.leg else "", self.window) if self.case else None
        if past is not None:
            return self._number(past)
        if name.name == "restore" and self.restore is not None:
            return self._number(self.restore())
        if name.name.endswith(START) and self.case is not None:
            return self._at_start(Name(name.name.removesuffix(START), name.variant))
        for side in _SIDES:
            if self.sides is not None and name.name.startswith(side):
                leg = self.sides[side]
                there = replace(self, leg=leg, sides=None)
                whole = name.name in leg.figures  # `debt_value` is a figure of its own
                return there.lookup(name if whole else Name(name.name.removeprefix(side), name.variant))
        return _refuse(f"nothing says what `{name.name}` is here; state it, or read it where it is known")

    def _at_start(self, name: Name) -> Amount | Tiers:
        """Return what a name was when the case began; of a leg that there was not, 0."""
        assert self.case is not None
        leg = self._leg_at_start(self.case.start) if self.leg else None
        if self.leg is not None and leg is None:
            return self._number(0.0)
        return replace(self, pool=self.case.start, leg=leg).lookup(name)

    def _leg_at_start(self, start: Pool) -> Leg | None:
        """Return the leg as it was; an underlying's, which goes by the underlying's name, as its first leg."""
        assert self.leg is not None
        bucket = self.leg.keys.get("bucket")
        if self.leg.name != bucket or self.leg.terms.form == "asset":
            return start.leg(self.leg.name)
        of_it = (leg for leg in start.legs if leg.keys.get("bucket") == bucket and leg.terms.form != "asset")
        return next(of_it, start.leg(bucket))

    def _entry(self, parameter: Parameter, name: str, variant: str) -> Amount | Tiers:
        """Return the number or table of a parameter, for this leg and requirement."""
        if isinstance(parameter, Variants):
            parameter = parameter.of(variant)
        if isinstance(parameter, Keyed):
            key = self.leg.keys.get(parameter.by) if self.leg else None
            found = parameter.entries.get(key or "", parameter.default)
            if found is None:
                _refuse(f"`{name}` has no entry for the {parameter.by} {key!r} and no default")
            parameter = found
        if isinstance(parameter, Formula):
            return value_of(parameter.tree, self.lookup, exactly=self.exactly)
        return self._number(parameter.value) if isinstance(parameter, Constant) else parameter

    def _number(self, number: Amount) -> Amount:
        if self.exactly:
            return number if isinstance(number, float) and number in {inf, -inf} else as_fraction(number)
        return float(number) if isinstance(number, Fraction) else number

    def _place(self) -> dict[str, str]:
        return {"instrument": self.leg.name} if self.leg else {}


def _refuse(message: str) -> NoReturn:
    raise InputError(FailureReason.UNDEFINED_RESULT, message)
