"""A plain runner: steps of a procedure on a little book, assessed again after each, until it ends or cannot go on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Literal, TypeAlias

from crossmargin.errors import FailureReason, InputError
from crossmargin.liquidation.case import Case, Done
from crossmargin.liquidation.moves import Desk, Move, ended, next_move, scope_of
from crossmargin.liquidation.postings import Venue, applied
from crossmargin.liquidation.trials import trying

if TYPE_CHECKING:
    from crossmargin.liquidation.holdings import Holdings
    from crossmargin.liquidation.pools import Pool
    from crossmargin.margin.procedure import Procedure

__all__ = ["Assess", "Ending", "Outcome", "Taken", "begun", "run", "step_once"]

Assess: TypeAlias = Callable[["Holdings", float], "Pool"]
"""The pool as it stands with these holdings, so many seconds after the case began."""

Ending: TypeAlias = Literal["ended", "stuck", "limit"]
"""`ended`: `until` holds. `stuck`: a round moved nothing. `limit`: the rounds that were asked for are over."""

_MOST_MOVES = 1_000


@dataclass(frozen=True, slots=True, eq=False)
class Taken:
    """One move that was made, how the pool stood before it, and the book after it."""

    time: float
    move: Move
    before: Pool
    holdings: Holdings


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """What a run left: the book, the pool as it stands, the case with its memory, every move, and why it stopped."""

    holdings: Holdings
    pool: Pool
    case: Case
    taken: tuple[Taken, ...]
    ending: Ending


def begun(pool: Pool, time: float = 0.0) -> Case:
    """Return a new case of a pool."""
    return Case(start=pool, started=time, time=time, opened=time)


def run(
    procedure: Procedure,
    holdings: Holdings,
    assess: Assess,
    venue: Venue,
    desk: Desk | None = None,
    *,
    rounds: int = 1_000,
    case: Case | None = None,
) -> Outcome:
    """Return what a procedure does to an account.

    Parameters
    ----------
    assess
        Called after every move; the engine itself for an account, or explicit figures.
    rounds
        The most rounds that are run; each begins `cadence` seconds after the one before.
    case
        The memory to go on with; None: a new case.

    Raises
    ------
    InputError
        A formula has no value here, or NOT_CONVERGED: the procedure goes on without an end.
    """
    desk = desk or Desk()
    venue = replace(venue, owner=desk.holder or venue.owner, realise=procedure.liquidation.realised == "wallet")
    pool = assess(holdings, case.time - case.started if case else 0.0)
    case = case or begun(pool)
    taken: list[Taken] = []
    for _ in range(rounds):
        before = len(taken)
        while not ended(procedure, pool, case, desk):
            move, case, holdings = step_once(procedure, holdings, pool, case, venue, desk, assess)
            if move is None:
                break
            taken.append(Taken(case.time, move, pool, holdings))
            pool = assess(holdings, case.time - case.started)
            if len(taken) > _MOST_MOVES:
                message = f"more than {_MOST_MOVES} moves without an end; check `until` and the amounts"
                raise InputError(FailureReason.NOT_CONVERGED, message)
        if ended(procedure, pool, case, desk):
            return Outcome(holdings, pool, case, tuple(taken), "ended")
        if len(taken) == before:
            return Outcome(holdings, pool, case, tuple(taken), "stuck")
        case = case.at(case.time + _cadence(procedure, pool, case, desk))
        pool = assess(holdings, case.time - case.started)
    return Outcome(holdings, pool, case, tuple(taken), "limit")


def step_once(
    procedure: Procedure, holdings: Holdings, pool: Pool, case: Case, venue: Venue, desk: Desk, assess: Assess
) -> tuple[Move | None, Case, Holdings]:
    """Return the next move of the round (None: it is over), the case and the book after it."""
    here = replace(venue, reserved=sum((done.paid_in for done in case.done), Fraction(0)))
    able = trying(desk, assess, holdings, pool, here, case.time - case.started)
    move, case = next_move(procedure, pool, case, able)
    if move is None:
        return None, case, holdings
    return move, case.after(_done(move, case.time)), applied(holdings, move, pool, here)


def _done(move: Move, time: float) -> Done:
    paid = move.amount * (move.price or Fraction(0)) if move.step.do == "share" else Fraction(0)
    return Done(time, move.step.name, move.about, move.step.do, move.amount, max(paid, Fraction(0)))


def _cadence(procedure: Procedure, pool: Pool, case: Case, desk: Desk) -> float:
    cadence = procedure.liquidation.cadence
    return 0.0 if cadence is None else float(scope_of(procedure, pool, case, desk).parameter(cadence))
