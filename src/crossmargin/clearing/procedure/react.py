"""The procedure of a rulebook as the house's reaction: what follows from a state and the figures that changed."""

from __future__ import annotations

from dataclasses import replace
from math import inf
from typing import TYPE_CHECKING

from crossmargin.clearing.bridge import Markets, rules_of
from crossmargin.clearing.configuration import UNIT_MARK
from crossmargin.clearing.events import LOCKED, Posted, Stage
from crossmargin.clearing.procedure.cases import case_events
from crossmargin.clearing.procedure.chain import Chain
from crossmargin.clearing.procedure.offers import bid_events
from crossmargin.clearing.procedure.outside import Outside
from crossmargin.clearing.procedure.staging import reads_more, stage_events
from crossmargin.clearing.procedure.view import Setting, parted, pools_of
from crossmargin.clearing.rules import Figures, Refusal, Rules
from crossmargin.errors import Failure, InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from crossmargin.clearing.commands import Bid
    from crossmargin.clearing.events import Event
    from crossmargin.clearing.rules import Assess, Guard, Reports
    from crossmargin.clearing.state import State
    from crossmargin.liquidation import Pool
    from crossmargin.margin import Rulebook

__all__ = ["Procedures", "rules_with_procedure"]


class Procedures:
    """Bands, steps and waterfall of a rulebook, run on the state one thing at a time for each pool.

    Parameters
    ----------
    outside
        Who takes market orders and offers.
    assess
        The margin engine, for those whom a posting would touch.
    markets
        The market of a state, as the engine looks at it.
    """

    def __init__(self, rulebook: Rulebook, outside: Outside, assess: Assess, markets: Markets) -> None:
        self.rulebook, self.outside, self.assess, self._markets = rulebook, outside, assess, markets
        self._reads_more = reads_more(rulebook.procedure)

    def react(self, state: State, reports: Reports, /) -> Sequence[Event]:
        """Return one thing for each pool that something follows for, worst headroom first, ties by name.

        A pool whose balances another one's events have moved waits for the next round, when it is assessed again.
        """
        chain = Chain(state)
        moved: set[str] = set()
        pools = self._pools(state, reports) if self._reads_more else {}
        for figures in _worst_first(state, reports):
            if parted(figures.pool)[0] in moved:
                continue
            events = self._events(chain.state, figures, pools.get(figures.pool))
            chain.add(events)
            moved |= {row[0] for event in events if isinstance(event, Posted) for row in event.rows}
        return tuple(chain.events)

    def take_bid(self, state: State, command: Bid, /) -> Sequence[Event]:
        """Return what a bid on an open case does."""
        try:
            return bid_events(self._setting(state), command, self.assess)
        except InputError as error:
            raise Refusal(error.reason, "a case that can be assessed", str(error)) from None

    def _setting(self, state: State) -> Setting:
        return Setting(state, self._markets.at(state), self.rulebook, self.outside)

    def _pools(self, state: State, reports: Reports) -> dict[str, Pool]:
        owners = [owner for owner, report in reports.items() if not isinstance(report, Failure)]
        return pools_of(self._setting(state), owners) if owners else {}

    def _events(self, state: State, figures: Figures, pool: Pool | None) -> list[Event]:
        owner, unit = parted(figures.pool)
        stood = state.pools.get(owner, {}).get(unit)
        if stood is not None and stood.stage in LOCKED and stood.stage != Stage.CLOSED:
            assert stood.case is not None
            return case_events(self._setting(state), stood.case, self.assess)
        return stage_events(self._setting(state), figures, stood, pool)


def _worst_first(state: State, reports: Reports) -> list[Figures]:
    """Return the pools of a report, and those whose case is open although nothing is left in them."""
    found = [one for report in reports.values() if not isinstance(report, Failure) for one in report]
    seen = {one.pool for one in found}
    for owner, report in reports.items():
        pools = [] if isinstance(report, Failure) else state.pools.get(owner, {})
        names = (f"{owner}{UNIT_MARK}{unit}" if unit else owner for unit in pools)
        found += [
            Figures(name, 0.0, 0.0, 0.0, inf, triggered=False, adjusted_equity=0.0, initial=0.0, maintenance=0.0)
            for name in names
            if name not in seen
        ]
    return sorted(found, key=lambda one: (one.maintenance_headroom, one.pool))


def rules_with_procedure(
    rulebook: Rulebook,
    outside: Outside | None = None,
    *,
    max_quote_age_seconds: float | None = 3600.0,
    valued_every_seconds: float | None = None,
    live: bool = True,
    guard: Guard | None = None,
) -> Rules:
    """Return the rules of a clearing house that carries out its rulebook's procedure: calls, liquidation, waterfall.

    Parameters
    ----------
    outside
        Who takes market orders and offers; None: they are asked for, and commands that name the case answer.
    max_quote_age_seconds, valued_every_seconds, live, guard
        As in `rules_of`.
    """
    every = valued_every_seconds
    plain = rules_of(
        rulebook, max_quote_age_seconds=max_quote_age_seconds, valued_every_seconds=every, live=live, guard=guard
    )
    procedures = Procedures(rulebook, outside or Outside(), plain.assess, Markets(every))
    return replace(plain, react=procedures.react, take_bid=procedures.take_bid)
