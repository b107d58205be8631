"""The procedure of a rulebook as the house's reaction: what follows from a state and the figures that changed."""

from __future__ import annotations

from dataclasses import replace
from math import inf
from typing import TYPE_CHECKING, Final

import msgspec

from crossmargin.clearing.bridge import Markets, rules_of
from crossmargin.clearing.configuration import UNIT_MARK
from crossmargin.clearing.events import LOCKED, Asked, Posted, Stage
from crossmargin.clearing.ledger import HELD, HOUSE
from crossmargin.clearing.procedure.cases import case_events
from crossmargin.clearing.procedure.chain import Chain
from crossmargin.clearing.procedure.loss_lock import check_loss_lock
from crossmargin.clearing.procedure.offers import bid_events
from crossmargin.clearing.procedure.orders import answered_events, check_answer
from crossmargin.clearing.procedure.outside import Outside
from crossmargin.clearing.procedure.staging import opened, stage_events
from crossmargin.clearing.procedure.view import Setting, parted
from crossmargin.clearing.rules import Figures, Refusal, Rules
from crossmargin.errors import Failure, InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from crossmargin.clearing.commands import Bid, Trade
    from crossmargin.clearing.events import Event
    from crossmargin.clearing.rules import Assess, Guard, Reports
    from crossmargin.clearing.state import State
    from crossmargin.margin import Rulebook

__all__ = ["Procedures", "rules_with_procedure"]

_WAITS: Final = "waits"  # why a case cannot go on, in its memory
_LONGEST: Final = 300  # characters of it


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
        self._hedges = frozenset(step.name for step in rulebook.procedure.liquidation.steps if step.do == "hedge")

    def react(self, state: State, reports: Reports, /) -> Sequence[Event]:
        """Return one thing for each pool that something follows for, worst headroom first, ties by name.

        A pool whose balances another one's events have moved waits for the next round, when it is assessed again.
        """
        chain = Chain(state)
        moved: set[str] = set()
        for figures in [*_worst_first(state, reports), *_taken_over(state, self.rulebook)]:
            if parted(figures.pool)[0] in moved:
                continue
            events = self._events(chain.state, figures)
            chain.add(events)
            moved |= {row[0] for event in events if isinstance(event, Posted) for row in event.rows}
        return tuple(chain.events)

    def take_bid(self, state: State, command: Bid, /) -> Sequence[Event]:
        """Return what a bid on an open case does."""
        try:
            return bid_events(self._setting(state), command, self.assess)
        except InputError as error:
            raise Refusal(error.reason, "a case that can be assessed", str(error)) from None

    def check_answer(self, state: State, command: Trade, /) -> None:
        """Refuse a trade that does not answer what its case asked for."""
        check_answer(state, command, self._hedges)

    def check_withdrawal(self, state: State, /) -> None:
        """Refuse to let money leave while a loss may have to be shared, where the document says so."""
        check_loss_lock(state, self.rulebook.procedure.liquidation.loss_lock, self.assess)

    def answered(self, state: State, command: Trade, posted: Posted, /) -> Sequence[Event]:
        """Return what a trade has filled of an order, and the posting of what the document charges for it."""
        try:
            return answered_events(self._setting(state), command, posted)
        except InputError as error:
            raise Refusal(error.reason, "a case that can be assessed", str(error)) from None

    def _setting(self, state: State) -> Setting:
        return Setting(state, self._markets.at(state), self.rulebook, self.outside)

    def _events(self, state: State, figures: Figures) -> list[Event]:
        """Return what follows for one pool; where it cannot be assessed it waits, and its case says why, once."""
        owner, unit = parted(figures.pool)
        stood = state.pools.get(owner, {}).get(unit)
        case = stood.case if stood is not None and stood.stage in LOCKED and stood.stage != Stage.CLOSED else None
        try:
            if case is not None:
                return _going_on(state, case, case_events(self._setting(state), case, self.assess))
            if owner in HOUSE:
                return opened(self._setting(state), figures.pool, "it holds what a case left to it")
            return stage_events(self._setting(state), figures, stood)
        except InputError as error:
            return [] if case is None else _waiting(state, case, error)


def _waiting(state: State, case: str, error: InputError) -> list[Event]:
    why = str(error)[:_LONGEST]
    kept = state.cases[case]
    same = kept.memory.get(_WAITS, "") == why
    return [] if same else [Asked(case, kept.step, "cannot go on", {"why": why}, {_WAITS: why})]


def _going_on(state: State, case: str, events: list[Event]) -> list[Event]:
    """Return a case's events, the first of which forgets why it waited."""
    first = events[0] if events else None
    if isinstance(first, Asked) and state.cases[case].memory.get(_WAITS, ""):
        return [msgspec.structs.replace(first, memory={**first.memory, _WAITS: ""}), *events[1:]]
    return events


def _worst_first(state: State, reports: Reports) -> list[Figures]:
    """Return the pools of a report, and those whose case is open although nothing is left in them."""
    found = [one for report in reports.values() if not isinstance(report, Failure) for one in report]
    seen = {one.pool for one in found}
    for owner, report in reports.items():
        pools = [] if isinstance(report, Failure) else state.pools.get(owner, {})
        names = (f"{owner}{UNIT_MARK}{unit}" if unit else owner for unit in pools)
        found += [_nothing_known(name) for name in names if name not in seen]
    return sorted(found, key=lambda one: (one.maintenance_headroom, one.pool))


def _nothing_known(pool: str) -> Figures:
    return Figures(pool, 0.0, 0.0, 0.0, inf, triggered=False, adjusted_equity=0.0, initial=0.0, maintenance=0.0)


def _taken_over(state: State, rulebook: Rulebook) -> list[Figures]:
    """Return the pools of house owners whose own steps dispose of what cases left to them, while there is any."""
    holders = sorted({step.holder for step in rulebook.procedure.liquidation.steps if step.holder is not None})
    running = {kept.pool for kept in state.cases.values()}
    found = [one for one in holders if one in running or _holds(state, one)]
    return [_nothing_known(one) for one in found]


def _holds(state: State, owner: str) -> bool:
    return any(purse == HELD for purse, _ in state.balances.get(owner, {}))


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
    return replace(
        plain,
        react=procedures.react,
        take_bid=procedures.take_bid,
        check_answer=procedures.check_answer,
        check_withdrawal=procedures.check_withdrawal,
        answered=procedures.answered,
        lockout=rulebook.procedure.liquidation.lockout,
    )
