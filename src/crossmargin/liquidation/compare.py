"""Every amount of a procedure beside the least that would restore the account: `restore`, found by trying."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING

from crossmargin.liquidation.moves import Desk, amount_of, ended, most_of, restoring, scopes_of
from crossmargin.liquidation.run import begun
from crossmargin.liquidation.trials import trying

if TYPE_CHECKING:
    from crossmargin.liquidation.holdings import Holdings
    from crossmargin.liquidation.postings import Venue
    from crossmargin.liquidation.run import Assess
    from crossmargin.margin.procedure import Procedure

__all__ = ["SHARED", "Compared", "compared"]

SHARED = frozenset({"close", "share", "exchange"})  # kinds of which a smaller part would do


@dataclass(frozen=True, slots=True)
class Compared:
    """One step on one leg: what its amount moves first, and the least that would restore, in the kind's own unit.

    `restore` is None where not even all of it restores the account.
    """

    step: str
    about: str
    amount: Fraction
    restore: Fraction | None
    most: Fraction


def compared(
    procedure: Procedure, holdings: Holdings, assess: Assess, venue: Venue, desk: Desk | None = None
) -> tuple[Compared, ...]:
    """Return every amount of a procedure at the start of a case, beside `restore`.

    Raises
    ------
    InputError
        A formula has no value here.
    """
    pool = assess(holdings, 0.0)
    case = begun(pool)
    here = replace(venue, realise=procedure.liquidation.realised == "wallet")
    desk = trying(desk or Desk(), assess, holdings, pool, here, 0.0)
    if ended(procedure, pool, case, desk):
        return ()
    found = []
    for step in procedure.liquidation.steps:
        if step.do not in SHARED or step.amount is None or step.holder is not None:
            continue
        for scope, about in scopes_of(procedure, step, pool, case, desk):
            most = most_of(scope, step)
            if most == 0 or (step.when is not None and not scope.holds(step.when)):
                continue
            share = restoring(scope, step, desk)
            least = None if share is None else share * most
            found.append(Compared(step.name, about, max(amount_of(scope, step), Fraction(0)), least, most))
    return tuple(found)
