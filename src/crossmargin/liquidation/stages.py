"""The stages of an account's life: which band holds, when a deadline has passed, what cures it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from crossmargin.liquidation.ends import slack_in
from crossmargin.margin.procedure import STAGES
from crossmargin.margin.procedure_checks import HEADROOM

if TYPE_CHECKING:
    from crossmargin.liquidation.scope import Scope
    from crossmargin.margin.procedure import Band, Halt

__all__ = ["Stage", "cure_slack", "cured", "stage", "stands_still"]

_WORSE = {name: number for number, name in enumerate(STAGES)}


@dataclass(frozen=True, slots=True)
class Stage:
    """Where a pool stands.

    Parameters
    ----------
    cause
        The condition that put it there, as the document writes it; empty where it is healthy.
    cure
        The requirement that a cure restores; None where the band names none.
    deadline
        Seconds that it has, counted from when it entered the stage; None: without end.
    """

    name: str
    cause: str = ""
    cure: str | None = None
    deadline: float | None = None


def stage(scope: Scope, before: str = "healthy", since: float = 0.0) -> Stage:
    """Return the stage of a pool: the worst that holds, or the one that it is in until its `until` holds.

    A band is left by `until`, never by the mere end of what led into it. After its deadline the account is liquidated.

    Parameters
    ----------
    scope
        The pool.
    before
        The stage that it is in.
    since
        Seconds that it has been there.
    """
    procedure = scope.procedure
    rule = procedure.liquidation
    found = Stage("healthy")
    for band in procedure.bands:
        if band.then in _WORSE and _stands(scope, band, before) and _WORSE[band.then] >= _WORSE[found.name]:
            found = _in_band(scope, band)
    late = found.deadline is not None and found.name == before and since >= found.deadline
    if late:
        found = Stage("liquidating", f"{found.deadline:g} s passed in {found.name}")
    if scope.holds(rule.trigger) or (before == "liquidating" and not _left(scope)):
        found = Stage("liquidating", rule.trigger.text)
    if found.name == "liquidating" and scope.named("equity") < 0:
        return Stage("bankrupt", "equity < 0")
    return found


def _stands(scope: Scope, band: Band, before: str) -> bool:
    """Return whether a band holds: by its condition, or, once in it or in a worse one, until it is left."""
    if scope.holds(band.when):
        return True
    return _WORSE[before] >= _WORSE[band.then] and band.until is not None and not scope.holds(band.until)


def _left(scope: Scope) -> bool:
    rule = scope.procedure.liquidation
    if rule.until is not None:
        return scope.holds(rule.until)
    return scope.named(f"{rule.target or 'maintenance'}{HEADROOM}") >= 0


def _in_band(scope: Scope, band: Band) -> Stage:
    deadline = None if band.deadline is None else float(scope.parameter(band.deadline))
    return Stage(band.then, band.when.text, band.cure, deadline)


def cured(scope: Scope, stood: Stage) -> bool:
    """Return whether what was done has cured a call: it is left, and the requirement that its band names is met."""
    return scope.named(f"{stood.cure}{HEADROOM}") >= 0 and _WORSE[stage(scope, stood.name).name] < _WORSE[stood.name]


def cure_slack(scope: Scope, stood: Stage) -> float:
    """Return a number that is at least 0 where a call is cured, a guide to how much would; NaN: nothing says."""
    doors = [band.until for band in scope.procedure.bands if band.then == stood.name and band.until is not None]
    return min([float(scope.named(f"{stood.cure}{HEADROOM}")), *(slack_in(scope, door) for door in doors)])


def stands_still(scope: Scope, halt: Halt, *, before: bool) -> bool:
    """Return whether a halt holds, asked for one underlying, whose figures the leg has.

    It is left by its `until`; one without it, as soon as its condition holds no more.

    Parameters
    ----------
    before
        Whether it held until now.
    """
    if before and halt.until is not None and not scope.holds(halt.until):
        return True
    return scope.holds(halt.when)
