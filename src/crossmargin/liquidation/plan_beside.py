"""A pool under its venue's procedure beside the plan: the same account, market, costs and aim."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from typing import TYPE_CHECKING, Final

import msgspec

from crossmargin.account import Position
from crossmargin.errors import InputError
from crossmargin.liquidation.moves import Desk, scope_of
from crossmargin.liquidation.plan import plan
from crossmargin.liquidation.plan_aim import Aim
from crossmargin.liquidation.plan_data import Plan, PlanOptions
from crossmargin.liquidation.postings import Venue
from crossmargin.liquidation.run import begun, run
from crossmargin.liquidation.stages import stage

if TYPE_CHECKING:
    from crossmargin.liquidation.assessed import Engine
    from crossmargin.liquidation.plan_costs import Costs
    from crossmargin.liquidation.pools import Leg
    from crossmargin.liquidation.run import Outcome
    from crossmargin.margin.procedure import Procedure

__all__ = ["Beside", "VenueMove", "beside", "hedge_legs"]

_ROUNDS: Final = 300


@dataclass(frozen=True, slots=True)
class VenueMove:
    """One move of a procedure.

    Parameters
    ----------
    time
        Seconds since the case began.
    about
        The leg; empty for the whole account.
    amount
        In what the kind is counted.
    cost
        Equity that it took, fees and what was handed over included; the pool's reporting money.
    slack
        What is left over, or still missing, after it.
    """

    time: float
    step: str
    do: str
    about: str
    amount: Fraction
    cost: float
    slack: float


@dataclass(frozen=True, slots=True, eq=False)
class Beside:
    """One pool: how it stands, what the procedure does to it, and what the plan would.

    Parameters
    ----------
    stage, trigger
        Where the procedure says that it stands, and what leads to a liquidation.
    moves
        What the procedure does; none where it has no steps, or where `unable` says why it could not be run.
    ending
        Why it stopped; empty where it was not run.
    slack
        What is left over, or missing, before anything.
    cost
        Equity that the procedure took.
    """

    stage: str
    trigger: str
    procedure: str
    slack: float
    moves: tuple[VenueMove, ...]
    ending: str
    restored: bool
    cost: float
    unable: str
    plan: Plan


def beside(
    engine: Engine,
    costs: Costs,
    options: PlanOptions | None = None,
    *,
    procedure: Procedure | None = None,
    desk: Desk | None = None,
    hedges: Mapping[str, Leg] | None = None,
) -> Beside:
    """Return one pool under a procedure and under the plan that reaches the same end.

    Parameters
    ----------
    hedges
        Of each underlying the instrument that the procedure may open; the plan's are in its options.

    Raises
    ------
    InputError
        As :func:`plan`. What keeps the procedure alone from being run is told in `unable`.
    """
    procedure = procedure or engine.rulebook.procedure
    desk = desk or Desk()
    made = plan(engine, costs, options, procedure=procedure, desk=desk)
    pool = made.before
    aim = Aim(procedure, begun(pool), desk)
    where = stage(scope_of(procedure, pool, aim.case, desk))
    out = Beside(
        stage=where.name, trigger=procedure.liquidation.trigger.text, procedure=procedure.name, slack=aim.slack(pool),
        moves=(), ending="", restored=False, cost=0.0, unable="", plan=made,
    )  # fmt: skip
    if not procedure.liquidation.steps:
        return replace(out, unable="the document has no steps: it says when, not how")
    try:
        return _run(out, engine, costs, aim, hedges or {})
    except InputError as error:
        return replace(out, unable=error.message)


def _run(out: Beside, engine: Engine, costs: Costs, aim: Aim, hedges: Mapping[str, Leg]) -> Beside:
    """Return the same with the procedure run on a book that does not refill."""
    opening = engine.opening()
    start = {position.instrument: Fraction(position.quantity) for position in engine.account.positions}
    venue = Venue(engine.account.id, _reporting(engine), fill=costs.fill(start), hedges=hedges)
    done = run(aim.procedure, opening, engine, venue, aim.desk, rounds=_ROUNDS)
    moves = tuple(_moves(done, aim))
    return replace(
        out, moves=moves, ending=done.ending, restored=done.ending == "ended", cost=sum(move.cost for move in moves)
    )


def _moves(done: Outcome, aim: Aim) -> list[VenueMove]:
    pools = [*(taken.before for taken in done.taken), done.pool]
    return [
        VenueMove(
            time=taken.time,
            step=taken.move.step.name,
            do=taken.move.step.do,
            about=taken.move.about,
            amount=taken.move.amount,
            cost=float(before.figures["equity"]) - float(after.figures["equity"]),
            slack=aim.slack(after),
        )
        for taken, (before, after) in zip(done.taken, pairwise(pools), strict=True)
    ]


def _reporting(engine: Engine) -> str:
    reporting = engine.rulebook.reporting
    return engine.market(0.0).reporting_asset if reporting == "settlement" else reporting


def hedge_legs(engine: Engine, names: Mapping[str, str]) -> dict[str, Leg]:
    """Return the instruments that a procedure may open, as legs of one contract each.

    Parameters
    ----------
    names
        The instrument of each underlying.
    """
    found = {}
    for underlying, name in names.items():
        mark = engine.terms()[name].mark
        one = Position(instrument=name, quantity=Decimal(1), entry_price=Decimal(str(float(mark))))
        alone = msgspec.structs.replace(engine.account, positions=(one,), orders=(), balances={})
        view = replace(engine, account=alone, pool=None)
        leg = view(view.opening(), 0.0).leg(name)
        if leg is not None:
            found[underlying] = leg
    return found
