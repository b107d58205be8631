"""The margin engine behind a house that lives: the rulebook's program, compiled once for each market, run pool by pool.

Carried from one answer to the next are only what marks and configuration alone make (`ground.py`), and an owner's last
legs, each of which is made anew when a balance differs that it is made of. So an answer is a function of the state and
the holdings, bit by bit, and commands that are decided again are decided alike. (A `LiveBook` adds each fill to floats:
its bits say by which way it came, and a house that was opened from a kept state would stand elsewhere.)

What the program does not serve - rulebooks that cannot be recorded, isolated accounts, what has no price - the
evaluation answers; which of the two does depends on the state and the holdings alone, too.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import isfinite
from typing import TYPE_CHECKING, Final

from crossmargin import kernels
from crossmargin.account import MarginMode
from crossmargin.clearing.configuration import UNIT_MARK, Holder, account_of
from crossmargin.clearing.ground import ground_of, serves
from crossmargin.clearing.ledger import RESERVED
from crossmargin.clearing.pool_engine import PoolEngine, laid_out, lay
from crossmargin.clearing.pool_legs import brought_up, changed_balances, pools_of
from crossmargin.clearing.rules import Figures, further
from crossmargin.margin.report import AccountState
from crossmargin.margin.trigger import STATES
from crossmargin.units import later

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from crossmargin.clearing.commands import Quote
    from crossmargin.clearing.configuration import Configuration
    from crossmargin.clearing.ground import Ground
    from crossmargin.clearing.ledger import Holdings
    from crossmargin.clearing.pool_engine import PoolColumns
    from crossmargin.clearing.pool_legs import Places, Pools
    from crossmargin.clearing.rules import Assess, Reports
    from crossmargin.clearing.state import State
    from crossmargin.errors import Failure
    from crossmargin.margin import Rulebook
    from crossmargin.market import Snapshot

__all__ = ["LiveAssess", "moment_of"]

_TRIGGERED: Final = float(STATES.index(AccountState.LIQUIDATABLE))
_PLAIN: Final = Holder()
_SHARED: Final = MarginMode.CROSS
_WHOLE: Final = 0  # the key of a pool that is not parted
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_NEVER: Final = datetime.max.replace(tzinfo=UTC)
_MOMENT: Final = 1e-6  # seconds: times tell no less apart


@dataclass(frozen=True, slots=True)
class Calendar:
    """When what a configuration lists expires, ascending."""

    configuration: Configuration
    ends: tuple[datetime, ...]


def calendar_of(configuration: Configuration) -> Calendar:
    """Return when it expires, of all that is configured."""
    ends = {terms.contract.instrument.expiry for terms in configuration.terms.values()}
    return Calendar(configuration, tuple(sorted(end for end in ends if end is not None)))


def moment_of(state: State, every: float | None, calendar: Calendar | None = None) -> datetime:
    """Return the moment at which the market is looked at: the state's time, or the last multiple of `every` seconds.

    An expiry since then is the moment itself: nothing is valued beyond its end. `calendar` is that of the state's
    configuration, where it is known.
    """
    assert state.as_of is not None
    if every is None:
        return state.as_of
    since = (state.as_of - _EPOCH) % timedelta(seconds=every)
    moment = later(state.as_of, -since.total_seconds())
    ends = (calendar or calendar_of(state.configuration)).ends
    past = bisect_right(ends, state.as_of)
    return max(moment, ends[past - 1]) if past else moment


class LiveAssess:
    """Answers as the evaluation does, within rounding of float64; see :class:`crossmargin.clearing.rules.Assess`.

    Parameters
    ----------
    slow
        The evaluation, with the reason where an owner cannot be assessed.
    snapshot
        The market of a state.
    every
        As of :func:`moment_of`. With None only owners without contracts that expire are answered by the program: an
        option's value moves with every microsecond, and a program is made for one moment.
    """

    def __init__(
        self,
        rulebook: Rulebook,
        max_quote_age_seconds: float | None,
        slow: Assess,
        snapshot: Callable[[State], Snapshot],
        every: float | None,
    ) -> None:
        self.rulebook, self.max_age, self.every = rulebook, max_quote_age_seconds, every
        self.slow, self.snapshot = slow, snapshot
        self._serves = serves(rulebook)
        self._standing: _Standing | None = None
        self._calendar: Calendar | None = None

    def __call__(self, state: State, holdings: Mapping[str, Holdings]) -> Reports:
        """Return one entry for each owner of `holdings`."""
        if not holdings or not self._serves or not kernels.operations():
            return self.slow(state, holdings)
        accounts = state.configuration.accounts
        asked = {o: held for o, held in holdings.items() if accounts.get(account_of(o), _PLAIN).margin_mode == _SHARED}
        found: dict[str, tuple[Figures, ...] | Failure] = {}
        found |= self._standing_at(state).figures(state, asked)
        if len(found) < len(holdings):
            found |= self.slow(state, {owner: held for owner, held in holdings.items() if owner not in found})
        return {owner: found[owner] for owner in holdings}

    def _calendar_of(self, state: State) -> Calendar:
        known = self._calendar
        if known is None or known.configuration is not state.configuration:
            known = self._calendar = calendar_of(state.configuration)
        return known

    def _standing_at(self, state: State) -> _Standing:
        known, dated = self._standing, self.every is not None
        moment = moment_of(state, self.every, self._calendar_of(state))
        if known is None or not known.serves(state, moment):
            given = state.configuration, state.marks, self.snapshot(state), self.rulebook, self.max_age
            ends = moment if dated else _same_until(state.marks, moment, self.max_age)
            before = None if known is None or not known.configured(state) else known.ground
            known = self._standing = _Standing(state, ground_of(*given, dated=dated, before=before), moment, ends)
        return known


def _same_until(marks: Mapping[str, Quote], moment: datetime, max_age: float | None) -> datetime:
    """Return up to when the quotes that are too old, or observed too far ahead, are those that are now."""
    if max_age is None:
        return _NEVER
    ends = _NEVER
    for quote in marks.values():
        if quote.observed_at is not None:
            first, last = later(quote.observed_at, -max_age), later(quote.observed_at, max_age)
            changes = (later(first, -_MOMENT), later(last, -_MOMENT))
            ends = min([ends, *(one for one in changes if one >= moment)])
            if changes[1] < moment <= later(last, _MOMENT):
                return moment  # so near its end that the moment itself is asked
    return ends


class _Standing:
    """A ground, the moments at which it stands, and its engine."""

    def __init__(self, state: State, ground: Ground | None, begins: datetime, ends: datetime) -> None:
        self.ground, self.begins, self.ends = ground, begins, ends
        self._marks, self._configuration = state.marks, state.configuration
        self._engine = None if ground is None else PoolEngine(ground)
        self._indices: dict[str, int] = {}
        self._known: dict[str, _Laid] = {}  # who was asked for, by these indices

    def serves(self, state: State, moment: datetime) -> bool:
        """Return whether this is the ground of a state at a moment."""
        if not self.configured(state) or not self.begins <= moment <= self.ends:
            return False
        if self._marks is not state.marks:
            if self._marks != state.marks:
                return False
            self._marks = state.marks  # equal ones: not compared again
        return True

    def configured(self, state: State) -> bool:
        """Return whether it was made of a state's configuration."""
        return self._configuration is state.configuration

    def figures(self, state: State, holdings: Mapping[str, Holdings]) -> dict[str, tuple[Figures, ...]]:
        """Return the figures of the owners whom the program can serve."""
        ground, engine = self.ground, self._engine
        if ground is None or engine is None:
            return {}
        if self._indices != state.indices:
            self._indices = dict(state.indices)
            self._known.clear()
        asked, pools, classes = [], [], []
        for owner, held in holdings.items():
            account_class = state.configuration.accounts.get(account_of(owner), _PLAIN).class_ or ""
            laid = self._laid(owner, held, ground.places[account_class])
            if laid is None or not (laid.pools or _WHOLE in ground.labels):
                continue
            for key in sorted(laid.pools) or (_WHOLE,):
                label = ground.labels[key]
                asked.append((owner, f"{owner}{UNIT_MARK}{label}" if label else owner))
                pools.append(laid.columns_of(key, ground.rows))
                classes.append(ground.pool_class[account_class, key])
        return _figures(asked, engine.run(pools, classes), ground.program.beside) if asked else {}

    def _laid(self, owner: str, held: Holdings, places: Places) -> _Laid | None:
        """Return what an owner holds, laid out; made anew where nothing like it is known.

        A leg is a function of the balances that it is made of, so what is brought up is what would be made.
        """
        known = self._known.pop(owner, None)  # it is of no use if what follows is cut short
        if known is None or not known.brought_up(held, self._indices, places):
            pools = pools_of(held, self._indices, places)
            if pools is None:
                return None
            known = _Laid(held, pools)
        known.holdings = dict(held)
        self._known[owner] = known
        return known


class _Laid:
    """An owner's last holdings, and what was made of them: legs by pool, and their columns."""

    def __init__(self, holdings: Holdings, pools: Pools) -> None:
        self.holdings, self.pools = holdings, pools
        self._ordered = any(purse == RESERVED for purse, _ in holdings)
        self.columns: dict[int, PoolColumns] = {}

    def columns_of(self, pool: int, rows: int) -> PoolColumns:
        """Return a pool's columns, laid out where they are not yet."""
        columns = self.columns.get(pool)
        if columns is None:
            columns = self.columns[pool] = laid_out(self.pools.get(pool, {}), rows)
        return columns

    def brought_up(self, held: Holdings, indices: Mapping[str, int], places: Places) -> bool:
        """Bring all to other holdings; return whether that was possible."""
        changed = changed_balances(self.holdings, held)
        if len(changed) > _MANY:
            return False
        self._ordered = self._ordered or any(purse == RESERVED for purse, _ in changed)
        touched = brought_up(self.pools, changed, held, indices, places, ordered=self._ordered)
        if touched is None:
            return False
        for pool, key in touched:
            if pool in self.columns:
                lay(self.columns[pool], key, self.pools.get(pool, {}).get(key))
        return True


_MANY: Final = 16  # balances: to make all anew is as quick


def _figures(
    asked: list[tuple[str, str]], outputs: list[list[float]], beside: tuple[str, ...]
) -> dict[str, tuple[Figures, ...]]:
    """Return the figures by owner, without those of whom any is refused or no number: the evaluation says why."""
    found: dict[str, tuple[Figures, ...]] = {}
    without = set()
    for (owner, pool), figures in zip(asked, outputs, strict=True):
        initial, maintenance, for_initial, for_maintenance, equity, ratio, state, *others, refused = figures
        if refused or not isfinite(equity + for_initial + for_maintenance + initial + maintenance + sum(others)):
            without.add(owner)
        one = Figures(
            pool=pool,
            equity=equity,
            initial_headroom=for_initial - initial,
            maintenance_headroom=for_maintenance - maintenance,
            coverage_ratio=ratio,
            triggered=state >= _TRIGGERED,
            adjusted_equity=for_maintenance,
            initial=initial,
            maintenance=maintenance,
            beside=further(beside, others) if beside else {},
        )
        found[owner] = (*found.get(owner, ()), one)
    for owner in without:
        del found[owner]
    return found
