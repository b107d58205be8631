"""Stages: which one a pool stands in, the event that says so, and the case that begins with a liquidation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from crossmargin.clearing.events import Asked, Event, Stage, Staged
from crossmargin.clearing.halts import liquidation_halted
from crossmargin.clearing.ledger import HELD
from crossmargin.clearing.procedure.calls import cures
from crossmargin.clearing.procedure.inflow import inflow_events
from crossmargin.clearing.procedure.remembered import begin
from crossmargin.clearing.procedure.view import parted, view_of
from crossmargin.errors import InputError
from crossmargin.liquidation import Desk, Pool, scope_of, stage
from crossmargin.liquidation.pools import Figures
from crossmargin.margin.expression import names
from crossmargin.margin.model import INITIAL, MAINTENANCE
from crossmargin.margin.procedure_checks import HEADROOM
from crossmargin.units import later

if TYPE_CHECKING:
    from collections.abc import Mapping

    from crossmargin.clearing import rules
    from crossmargin.clearing.procedure.view import Setting, View
    from crossmargin.clearing.state import PoolStage, State
    from crossmargin.liquidation import Case
    from crossmargin.liquidation.scope import Scope
    from crossmargin.liquidation.stages import Stage as Stood

__all__ = ["halted", "left_to", "opened", "stage_events", "triggered"]

_TO_CASE: Final = frozenset({"liquidating", "bankrupt"})
_KNOWN: Final = (
    *("equity", "adjusted_equity", "coverage_ratio", INITIAL, MAINTENANCE),
    *(f"{INITIAL}{HEADROOM}", f"{MAINTENANCE}{HEADROOM}", "available_margin"),
)


def stage_events(setting: Setting, figures: rules.Figures, stood: PoolStage | None) -> list[Event]:
    """Return what follows for a pool that no case holds: nothing, another stage, or a case."""
    before = stood.stage if stood else Stage.HEALTHY
    if before == Stage.CLOSED:
        return [Staged(figures.pool, before, Stage.HEALTHY, _written({"equity": figures.equity}))] * (
            figures.equity > 0
        )
    scope, found = _stage(setting, figures, before, stood)
    if found.name == before:
        return []
    if found.name in _TO_CASE:
        if halted(setting.state, parted(figures.pool)[0]):
            return []
        # looked at again by the evaluation, which says when a case is over: two answers that differ would not end
        sure = stage(view_of(setting, *parted(figures.pool)).scope(), before.value, _since(setting, stood))
        return opened(setting, figures.pool, sure.cause) if sure.name in _TO_CASE else []
    cure = None if found.cure is None else cures(view_of(setting, *parted(figures.pool)), found)
    deadline = None
    if found.deadline is not None and setting.state.as_of is not None:
        deadline = later(setting.state.as_of, found.deadline)
    cause = {"when": found.cause, **_read(scope, found.cause)}
    return [Staged(figures.pool, before, Stage(found.name), cause, None, cure, deadline)]


def halted(state: State, owner: str) -> bool:
    """Return whether liquidation waits on an underlying of which an owner holds contracts."""
    terms = state.configuration.terms
    held = {
        terms[name].contract.instrument.underlying for purse, name in state.balances.get(owner, {}) if purse == HELD
    }
    return any(liquidation_halted(state, underlying) for underlying in held)


def triggered(view: View) -> bool:
    """Return whether a pool that stood outside would be liquidated now."""
    return stage(view.scope(), "healthy", 0.0).name in _TO_CASE


def left_to(view: View, case: str, memory: Case) -> list[Event]:
    """Return the events by which a pool leaves its case: the fund's inflow, then healthy or the band that holds."""
    setting = view.setting
    inflow = inflow_events(view, case, memory)
    stood = setting.state.pools[view.owner][view.unit]
    found = stage(view.scope(), "healthy", 0.0)
    to = Stage(found.name)
    deadline = None
    if found.deadline is not None and setting.state.as_of is not None:
        deadline = later(setting.state.as_of, found.deadline)
    cure = None if found.cure is None else cures(view, found)
    told = {"until": "met", **_written(_plain(view.pool))}
    return [*inflow, Staged(view.name, stood.stage, to, told, case, cure, deadline)]


def opened(setting: Setting, pool: str, why: str) -> list[Event]:
    """Return the events that open a case: what triggered it, and what it remembers of the beginning."""
    owner, unit = parted(pool)
    view, stood = view_of(setting, owner, unit), setting.state.pools.get(owner, {}).get(unit)
    before = stood.stage if stood is not None else Stage.HEALTHY
    case = f"{pool} at {setting.state.number}"
    late = before.value if why.endswith(f"passed in {before}") else ""
    cause = {"when": why, **_written(_plain(view.pool))}
    return [
        Staged(pool, before, Stage.LIQUIDATING, cause, case),
        Asked(case, 0, "begin", {}, begin(view.pool, view.scope(), late)),
    ]


def _stage(setting: Setting, figures: rules.Figures, before: Stage, stood: PoolStage | None) -> tuple[Scope, Stood]:
    """Return where a pool stands: by its own figures, and where a band reads more, by all that the engine knows."""
    since = _since(setting, stood)
    desk = Desk(stated=dict(setting.outside.inputs))
    quick = scope_of(setting.procedure, _quick(figures), None, desk)
    try:
        return quick, stage(quick, before.value, since)
    except InputError:
        scope = view_of(setting, *parted(figures.pool)).scope()
        return scope, stage(scope, before.value, since)


def _since(setting: Setting, stood: PoolStage | None) -> float:
    """Return the seconds since a pool entered its stage."""
    if stood is None or setting.state.as_of is None:
        return 0.0
    return (setting.state.as_of - stood.since).total_seconds()


def _quick(figures: rules.Figures) -> Pool:
    known = (
        figures.equity,
        figures.adjusted_equity,
        figures.coverage_ratio,
        figures.initial,
        figures.maintenance,
        figures.initial_headroom,
        figures.maintenance_headroom,
        figures.initial_headroom,
    )
    return Pool(Figures({**dict(zip(_KNOWN, known, strict=True)), **figures.beside}))


def _plain(pool: Pool) -> dict[str, float]:
    wanted = ("equity", "adjusted_equity", MAINTENANCE, f"{MAINTENANCE}{HEADROOM}", "coverage_ratio")
    return {name: float(pool.figures[name]) for name in wanted if name in pool.figures}


def _read(scope: Scope, condition: str) -> dict[str, str]:
    """Return the figures that a band's condition read, as decimal strings."""
    bands = (band for band in scope.procedure.bands if band.when.text == condition)
    band = next(bands, None)
    if band is None:
        return {}
    read = sorted({name.name for name in names(band.when.tree)})
    return _written({name: float(scope.named(name)) for name in read})


def _written(figures: Mapping[str, float]) -> dict[str, str]:
    return {name: repr(number) for name, number in figures.items()}
