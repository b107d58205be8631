"""The close-out plan: the cheapest trades that end a liquidation, chosen by a linear program on the engine's own rows.

What is chosen is rounded to lots, posted on the book and assessed again by the engine: nothing is taken on the
program's word.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from crossmargin.liquidation.holdings import HELD, traded
from crossmargin.liquidation.moves import Desk
from crossmargin.liquidation.plan_aim import Aim
from crossmargin.liquidation.plan_choice import Choice, chosen, chosen_greedily
from crossmargin.liquidation.plan_costs import priced
from crossmargin.liquidation.plan_data import Plan, PlannedTrade, PlanOptions
from crossmargin.liquidation.plan_lots import amount_of
from crossmargin.liquidation.plan_solver import UnsolvedError
from crossmargin.liquidation.plan_surface import Surface
from crossmargin.liquidation.plan_ways import ways_of
from crossmargin.liquidation.run import begun
from crossmargin.margin.procedure import MARKET

if TYPE_CHECKING:
    from crossmargin.liquidation.assessed import Engine, View
    from crossmargin.liquidation.holdings import Holdings, Row
    from crossmargin.liquidation.plan_costs import Costs
    from crossmargin.margin.procedure import Procedure

__all__ = ["plan"]

_TURNS: Final = 4  # targets that are tried where the engine finds the plan short
_AGAIN: Final = 1.5


def plan(
    engine: Engine,
    costs: Costs,
    options: PlanOptions | None = None,
    *,
    procedure: Procedure | None = None,
    holdings: Holdings | None = None,
    desk: Desk | None = None,
    view: View | None = None,
) -> Plan:
    """Return the cheapest trades that end a liquidation.

    Parameters
    ----------
    engine
        The account, its market, its rulebook, its lots.
    costs
        What trades cost; every instrument that is held needs an entry.
    procedure
        Whose `until` is to be reached; None: the rulebook's own.
    holdings
        What is held; None: the account as it is.
    desk
        What `until` reads that no assessment gives.
    view
        What is held, as `engine` has assessed it already (:meth:`Engine.view`): whoever saw that the account is short
        has that. `holdings` is then its own.

    Raises
    ------
    InputError
        The account is refused, `until` has no value, an instrument has no cost, or HiGHS is absent.
    """
    options = options or PlanOptions()
    view = view or engine.view(holdings or engine.opening())
    holdings, before = view.holdings, view.made
    procedure = procedure or engine.rulebook.procedure
    aim = Aim(procedure, begun(before), desk or Desk())
    freed = _without_orders(engine, holdings)
    view = view if freed is holdings else engine.view(freed)
    start = before if freed is holdings else view.made
    done = Plan(
        until=aim.text, restored=aim.reached(start), missing=0.0, trades=(), cost=0.0, cancels=freed is not holdings,
        before=before, after=start, holdings=freed, method="none", rounds=0,
    )  # fmt: skip
    if done.restored:
        return replace(done, cancels=done.cancels and not aim.reached(before))
    ways = ways_of(engine, view, options.hedges, realise=procedure.liquidation.realised == "wallet")
    if not ways.listed:
        return replace(done, missing=max(-aim.slack(start), 0.0))
    known = view.report.evaluation if ways.account is view.report.resolved else None
    job = _Job(engine, costs, aim, Surface(ways, engine.rulebook, aim, aim.figures(start), known), done, view)
    return job.made(options, realise=procedure.liquidation.realised == "wallet")


def _without_orders(engine: Engine, holdings: Holdings) -> Holdings:
    """Return the book with the account's open orders cancelled; the same where it has none."""
    owner = engine.account.id
    if not engine.account.orders or owner in holdings.cancelled:
        return holdings
    return replace(holdings, cancelled=holdings.cancelled | {owner})


@dataclass(frozen=True, slots=True, eq=False)
class _Job:
    """One plan in the making: `blank` is the plan that trades nothing, `view` how the account then stands."""

    engine: Engine
    costs: Costs
    aim: Aim
    surface: Surface
    blank: Plan
    view: View

    def made(self, options: PlanOptions, *, realise: bool) -> Plan:
        """Return the plan; the greedy one where only that restores, or leaves less missing."""
        best = self.settled(options, realise=realise)
        if best.restored or best.method == "greedy":
            return best
        other = self.settled(replace(options, method="greedy"), realise=realise)
        return other if other.restored or other.missing < best.missing else best

    def settled(self, options: PlanOptions, *, realise: bool) -> Plan:
        """Return one way's plan: lots are chosen, posted, assessed; where the engine finds them short, chosen again."""
        target, found, best = 0.0, self.blank, self.blank
        for _ in range(_TURNS):
            choice = self.choice(options, target)
            found = self.posted(choice, realise=realise)
            best = found if found.restored or found.missing < best.missing or best is self.blank else best
            if found.restored or choice.slack < 0:
                break
            target += _AGAIN * max(found.missing, 1e-9 * abs(self.aim.slack(self.blank.after)))
        return best

    def choice(self, options: PlanOptions, target: float) -> Choice:
        """Return the lots: of the program, or greedy ones where it is asked for, time is up or the solver fails."""
        if options.method == "greedy":
            return chosen_greedily(self.surface, self.costs, target)
        try:
            return chosen(self.surface, self.costs, options.time_limit, target)
        except UnsolvedError:
            return chosen_greedily(self.surface, self.costs, target)

    def posted(self, choice: Choice, *, realise: bool) -> Plan:
        """Return the plan of these lots, assessed by the engine."""
        ways = self.surface.ways
        trades, holdings = [], self.blank.holdings
        cost = choice.cost
        for rank, place in enumerate(choice.order):
            way = ways.listed[place]
            contracts = way.side * amount_of(way, int(choice.lots[place]))
            price = priced(way.terms, contracts, float(cost[place]))
            held = self.blank.holdings.get(self.engine.account.id, HELD, way.name, way.name)
            paid = float(cost[place] * ways.rate[place])
            trades.append(
                PlannedTrade(way.name, contracts, held, way.opens, price, paid, choice.relief[rank], choice.alone[rank])
            )
            rows: list[Row] = []
            money = way.terms.money(contracts, price)
            for owner, q, paid_in in ((self.engine.account.id, contracts, money), (MARKET, -contracts, -money)):
                rows += traded(holdings, owner, way.name, way.terms, q, paid_in, realise=realise)
            holdings = holdings.posted(rows)
        after = self.engine.view(holdings, before=self.view).made
        restored = self.aim.reached(after)
        return replace(
            self.blank, restored=restored, missing=0.0 if restored else max(-self.aim.slack(after), 0.0),
            trades=tuple(trades), cost=sum(trade.cost for trade in trades), after=after, holdings=holdings,
            method=choice.method, rounds=choice.rounds,
        )  # fmt: skip
