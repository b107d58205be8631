"""What a plan is: frozen data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from crossmargin.liquidation.holdings import Holdings
    from crossmargin.liquidation.plan_choice import Method
    from crossmargin.liquidation.pools import Pool

__all__ = ["Plan", "PlanOptions", "PlannedTrade"]


@dataclass(frozen=True, slots=True)
class PlanOptions:
    """How a plan is made.

    Parameters
    ----------
    hedges
        The most contracts of each instrument that may be opened, on either side.
    method
        `program`, or `greedy`: again and again what frees most per unit of cost.
    time_limit
        Seconds that one program may take before the plan is made greedily; None: without end.
    """

    hedges: Mapping[str, Fraction] = field(default_factory=dict)
    method: Literal["program", "greedy"] = "program"
    time_limit: float | None = None


@dataclass(frozen=True, slots=True)
class PlannedTrade:
    """One trade of a plan.

    Parameters
    ----------
    contracts
        Signed: what is bought is above 0.
    held
        Contracts held before, signed.
    opens
        Whether it opens a hedge; else it closes.
    price
        What it is expected to trade at, costs in.
    cost
        Against the mark, the pool's reporting money.
    relief
        What the slack gains by it in its place of the order, costs in.
    alone
        What the slack gains by it alone, costs in.
    """

    instrument: str
    contracts: Fraction
    held: Fraction
    opens: bool
    price: Fraction
    cost: float
    relief: float
    alone: float

    @property
    def per_cost(self) -> float | None:
        """What it frees alone per unit of its cost; None where it costs nothing."""
        return self.alone / self.cost if self.cost > 0 else None


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """What should be traded, in which order, at what cost, and what that does.

    Parameters
    ----------
    until
        What must hold at the end.
    restored
        Whether it does, by the engine's own assessment of what is then held.
    missing
        What is left short, in the unit of what `until` compares; 0 where it is restored.
    trades
        First what frees most per unit of its cost.
    cost
        Of all trades against the mark, the pool's reporting money.
    cancels
        Whether open orders are cancelled first.
    before, after
        The pool as it stands, and as the engine assesses it after the plan.
    holdings
        The book after the plan.
    method, rounds
        How trades were chosen, and how many programs were solved.
    """

    until: str
    restored: bool
    missing: float
    trades: tuple[PlannedTrade, ...]
    cost: float
    cancels: bool
    before: Pool
    after: Pool
    holdings: Holdings
    method: Method
    rounds: int

    @property
    def said(self) -> str:
        """The outcome in one sentence."""
        if self.restored:
            return "restored" if self.trades or self.cancels else "nothing has to be done"
        return f"cannot be restored by trading: {self.missing:,.2f} is missing to {self.until}"
