"""Circuit breakers: what a rulebook stops on an underlying, and when it resumes. What stands still is an event.

Two things stop: too few feeds for a price (`prices`), and the conditions of [[halt]]. Both are asked after prices and
ticks, of the underlyings concerned. What has tripped stands in the configuration's section `breakers`, with its reason.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from math import inf
from typing import TYPE_CHECKING, Final

import msgspec

from crossmargin.clearing.configuration import Trip
from crossmargin.clearing.events import Event, Priced
from crossmargin.clearing.guards import Guarded, accept, enough, live
from crossmargin.clearing.halts import LIQUIDATION, OPENINGS
from crossmargin.clearing.measured import View, expired
from crossmargin.clearing.rules import breakers_event
from crossmargin.errors import InputError
from crossmargin.liquidation.pools import Leg, Pool
from crossmargin.liquidation.scope import Scope
from crossmargin.liquidation.stages import stands_still
from crossmargin.margin.expression import names
from crossmargin.margin.procedure_prices import PriceRule, Prices
from crossmargin.margin.vocabulary import HALT_MEASURES
from crossmargin.units import later

if TYPE_CHECKING:
    from crossmargin.clearing import commands
    from crossmargin.clearing.configuration import Configuration
    from crossmargin.clearing.state import State
    from crossmargin.margin.procedure import Halt, Procedure

__all__ = ["Watchman", "watchman_of"]

THIN: Final = "prices"


def watchman_of(procedure: Procedure) -> Watchman | None:
    """Return the guards and breakers of a procedure; None where it has neither."""
    if procedure.prices is None and not procedure.halts:
        return None
    return Watchman(procedure, procedure.prices or Prices(PriceRule()))


class Watchman:
    """Guards and breakers of a procedure; which prices count for an underlying is found anew for a configuration."""

    def __init__(self, procedure: Procedure, rules: Prices) -> None:
        self.procedure, self.rules = procedure, rules
        self.windows = frozenset(halt.window for halt in procedure.halts if halt.window is not None)
        self._seen: Configuration | None = None
        self._names: Mapping[str, frozenset[str]] = {}

    def __call__(self, state: State, quoted: Collection[str] | None) -> Sequence[Event]:
        """Return the event that says what stands still from here on; none where nothing changes."""
        standing = state.configuration.breakers
        by_underlying = self._of_underlyings(state.configuration)
        after = {underlying: trips for underlying, trips in standing.items() if underlying in by_underlying}
        for underlying, own in by_underlying.items():
            if quoted is None or underlying in standing or not own.isdisjoint(quoted):
                after[underlying] = self._trips(state, underlying)
        after = {underlying: trips for underlying, trips in sorted(after.items()) if trips}
        if after == dict(standing):
            return ()
        return (breakers_event(after),)

    def guard(self, state: State, command: commands.Prices) -> Priced:
        """Return which of a command's quotes stand, and what the guards remember."""
        assert state.as_of is not None
        found = accept(lambda name: self._guarded(state, name), state.heard, command.quotes, state.as_of)
        return Priced(dict(found.quotes), dict(found.memory))

    def _guarded(self, state: State, name: str) -> Guarded:
        terms = state.configuration.terms.get(name)
        rule = self._rule(state.configuration, name)
        digits = state.configuration.assets[name].price_digits if terms is None else terms.contract.price_digits
        windows = {*(self.windows if rule.halts else ()), *(() if rule.twap_window is None else (rule.twap_window,))}
        return Guarded(rule, digits, tuple(sorted(windows)))

    def _rule(self, standing: Configuration, name: str) -> PriceRule:
        terms = standing.terms.get(name)
        return self.rules.rule(name, "asset" if terms is None else terms.contract.instrument.kind)

    def _of_underlyings(self, standing: Configuration) -> Mapping[str, frozenset[str]]:
        """Return by underlying the names whose prices count for it; an asset counts for itself."""
        if self._seen is not standing:
            found: dict[str, set[str]] = {name: {name} for name in standing.assets}
            for symbol, terms in standing.terms.items():
                found.setdefault(terms.contract.instrument.underlying, set()).add(symbol)
            counted = {u: frozenset(n for n in own if self._rule(standing, n).halts) for u, own in found.items()}
            self._seen, self._names = standing, {u: own for u, own in sorted(counted.items()) if own}
        return self._names

    def _trips(self, state: State, underlying: str) -> tuple[Trip, ...]:
        """Return what stands still on an underlying now."""
        view = View(state, underlying, {n: self._rule(state.configuration, n) for n in self._heard(state, underlying)})
        if not view.rules:
            return ()
        before = {trip.rule: trip for trip in state.configuration.breakers.get(underlying, ())}
        found = [_thin(view, before.get(THIN)), *(self._halted(view, halt, before) for halt in self.procedure.halts)]
        return tuple(trip for trip in found if trip is not None)

    def _heard(self, state: State, underlying: str) -> list[str]:
        """Return the counting names that have been quoted and have not expired."""
        terms, names = state.configuration.terms, self._of_underlyings(state.configuration)[underlying]
        return [n for n in sorted(names) if n in state.heard and (n not in terms or not expired(terms[n], state))]

    def _halted(self, view: View, halt: Halt, before: Mapping[str, Trip]) -> Trip | None:
        """Return the trip of one [[halt]]; a condition that cannot be told stops, too."""
        old = before.get(halt.when.text)
        read = {}
        try:
            read = {name: view.measure(name, halt.window or 0.0) for name in sorted(_reads(halt))}
            leg = Leg(view.underlying, read, keys={"bucket": view.underlying, "asset": view.underlying})
            if not stands_still(Scope(self.procedure, Pool({}), leg=leg), halt, before=old is not None):
                return None
            cause = {name: f"{value:.6g}" for name, value in read.items()}
        except InputError as error:
            cause = {"cannot be told": error.message}
        return _kept(
            view.as_of, old or Trip(rule=halt.when.text, what=halt.what, since=view.as_of, cause=cause), halt.wait
        )


def _reads(halt: Halt) -> set[str]:
    formulas = [halt.when, *([] if halt.until is None else [halt.until])]
    return {name.name for formula in formulas for name in names(formula.tree)} & HALT_MEASURES.keys()


def _thin(view: View, old: Trip | None) -> Trip | None:
    """Return the trip of an underlying with a price that too few feeds give."""
    counts = {name: live(rule, view.state.heard[name], view.as_of) for name, rule in view.rules.items()}
    thin = {name: words for name, words in counts.items() if not enough(view.rules[name], words)}
    if not thin:
        return None
    wait = max(view.rules[name].wait for name in thin)
    cause = {name: f"{len(words)} live of {view.rules[name].minimum} needed" for name, words in thin.items()}
    what = (OPENINGS, LIQUIDATION) if wait else (OPENINGS,)
    return _kept(view.as_of, old or Trip(rule=THIN, what=what, since=view.as_of, cause=cause), wait)


def _kept(as_of: datetime, trip: Trip, wait: float | None) -> Trip:
    """Return a trip as it stands now: liquidation waits no longer than `wait` seconds."""
    if LIQUIDATION not in trip.what or wait in {None, inf}:
        return trip
    if trip.waits_until is None:
        return msgspec.structs.replace(trip, waits_until=later(trip.since, wait))
    if as_of < trip.waits_until:
        return trip
    return msgspec.structs.replace(trip, what=tuple(word for word in trip.what if word != LIQUIDATION))
