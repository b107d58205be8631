"""What cases remember together: recent moves of the steps whose window is the market's, whoever was liquidated."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime
from fractions import Fraction
from math import inf
from typing import TYPE_CHECKING, NamedTuple

from crossmargin.clearing.events import SHARED
from crossmargin.clearing.procedure.remembered import Remembered, now_of, recall
from crossmargin.liquidation import Done
from crossmargin.liquidation.moves import scopes_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from crossmargin.clearing.procedure.view import Setting, View
    from crossmargin.clearing.state import Case
    from crossmargin.liquidation import Move
    from crossmargin.margin.procedure import Procedure, Step

__all__ = ["added", "remembered", "waits_for_window"]


class _Kept(NamedTuple):
    case: str
    at: str
    amount: str


def remembered(setting: Setting, kept: Case) -> Remembered:
    """Return what a case remembers now, with what others have moved within the windows that it shares with them."""
    held = recall(kept.memory, now_of(setting, kept))
    shared = [step for step in setting.procedure.liquidation.steps if step.window_of == "market"]
    if not shared:
        return held
    beside = tuple(done for step in shared for done in _of_others(setting, kept, step))
    return replace(held, case=replace(held.case, beside=beside))


def _of_others(setting: Setting, kept: Case, step: Step) -> Iterator[Done]:
    """Yield what other cases have moved by a step, in seconds of this one."""
    head = _name(step, "")
    for name, text in setting.state.shared.items():
        moves = [_Kept(*one) for one in json.loads(text)] if name.startswith(head) else []
        for one in moves:
            if setting.state.cases.get(one.case) is not kept:
                leg, amount = name.removeprefix(head), Fraction(one.amount)
                yield Done(_seconds(kept.started, one.at), step.name, leg, step.do, amount)


def added(view: View, name: str, move: Move) -> dict[str, str]:
    """Return the memory of a move for everybody, without what is older than the window; nothing for other steps."""
    step, key = move.step, _name(move.step, move.about)
    if step.window_of != "market":
        return {}
    state = view.setting.state
    assert state.as_of is not None
    there = replace(view.scope(), leg=move.leg)
    window = inf if step.window is None else float(there.parameter(step.window))
    before = [_Kept(*one) for one in json.loads(state.shared.get(key, "[]"))]
    recent = [one for one in before if -_seconds(state.as_of, one.at) < window]
    return {key: json.dumps([*recent, _Kept(name, state.as_of.isoformat(), str(move.amount))])}


def waits_for_window(view: View, held: Remembered, procedure: Procedure) -> bool:
    """Return whether a step moves nothing now because its window is used up: it is not stuck, time frees it again."""
    case, desk = replace(held.case, passed=frozenset()), view.desk(held.case)
    steps = (one for one in procedure.liquidation.steps if one.window is not None and one.do != "share")
    scopes = (scope for step in steps for scope, _ in scopes_of(procedure, step, view.pool, case, desk))
    return any(scope.named("used_in_window") > 0 for scope in scopes)


def _name(step: Step, leg: str) -> str:
    return f"{SHARED}{step.name} of {leg}"


def _seconds(since: datetime, text: str) -> float:
    return (datetime.fromisoformat(text) - since).total_seconds()
