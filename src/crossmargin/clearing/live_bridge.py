"""The margin engine behind a house that lives: the rulebook's program, compiled once for each market, run pool by pool.

Nothing is carried from one answer to the next but what marks and configuration alone make (`ground.py`). What a pool
holds is laid out anew from the ledger's integers each time it is asked for. So an answer is a function of the state and
the holdings, bit by bit, and commands that are decided again are decided alike. (A `LiveBook` adds each fill to floats:
its bits say by which way it came, and a house that was opened from a kept state would stand elsewhere.)

What the program does not serve - rulebooks that cannot be recorded, isolated accounts, what has no price - the
evaluation answers; which of the two does depends on the state and the holdings alone, too.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from math import isfinite
from typing import TYPE_CHECKING, Final

from crossmargin import kernels
from crossmargin.account import MarginMode
from crossmargin.clearing.configuration import UNIT_MARK, Holder, account_of
from crossmargin.clearing.ground import ground_of, serves
from crossmargin.clearing.ledger import RESERVED
from crossmargin.clearing.pool_engine import PoolColumns, PoolEngine
from crossmargin.clearing.pool_legs import brought_up, pools_of
from crossmargin.clearing.rules import Figures, further
from crossmargin.margin.report import AccountState
from crossmargin.margin.trigger import STATES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from crossmargin.clearing.commands import Quote
    from crossmargin.clearing.ground import Ground
    from crossmargin.clearing.ledger import Holdings
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
_MOMENT: Final = timedelta(microseconds=1)


def moment_of(state: State, every: float | None) -> datetime:
    """Return the moment at which the market is looked at: the state's time, or the last multiple of `every` seconds.

    An expiry since then is the moment itself: nothing is valued beyond its end.
    """
    assert state.as_of is not None
    if every is None:
        return state.as_of
    moment = state.as_of - (state.as_of - _EPOCH) % timedelta(seconds=every)
    ends = (terms.contract.instrument.expiry for terms in state.configuration.terms.values())
    return max([moment, *(end for end in ends if end is not None and moment < end <= state.as_of)])


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

    def _standing_at(self, state: State) -> _Standing:
        moment, known, dated = moment_of(state, self.every), self._standing, self.every is not None
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
    age, ends = timedelta(seconds=max_age), _NEVER
    for quote in marks.values():
        if quote.observed_at is not None:
            changes = (quote.observed_at - age - _MOMENT, quote.observed_at + age - _MOMENT)
            ends = min([ends, *(one for one in changes if one >= moment)])
            if changes[1] < moment <= quote.observed_at + age + _MOMENT:
                return moment  # so near its end that the moment itself is asked
    return ends


class _Standing:
    """A ground, the moments at which it stands, and its engine."""

    def __init__(self, state: State, ground: Ground | None, begins: datetime, ends: datetime) -> None:
        self.ground, self.begins, self.ends = ground, begins, ends
        self._marks, self._configuration = state.marks, state.configuration
        self._engine = None if ground is None else PoolEngine(ground)
        self._indices: dict[str, int] = {}
        self._known: dict[str, tuple[Holdings, Pools]] = {}  # who was asked for last, without orders, by these indices

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
        columns, asked = PoolColumns(), []
        for owner, held in holdings.items():
            account_class = state.configuration.accounts.get(account_of(owner), _PLAIN).class_ or ""
            pools = self._pools(owner, held, state.indices, ground.places[account_class])
            if pools is None or not (pools or _WHOLE in ground.labels):
                continue
            for key in sorted(pools) or (_WHOLE,):
                columns.add(pools.get(key, {}), ground.pool_class[account_class, key])
                label = ground.labels[key]
                asked.append((owner, f"{owner}{UNIT_MARK}{label}" if label else owner))
        return _figures(asked, engine.run(columns), ground.program.beside) if asked else {}

    def _pools(self, owner: str, held: Holdings, indices: Mapping[str, int], places: Places) -> Pools | None:
        """Return an owner's pools, made anew where nothing like them is known.

        A leg is a function of the balances that it is made of, so what is brought up is what would be made.
        """
        if self._indices != indices:
            self._indices = dict(indices)
            self._known.clear()
        before, pools = self._known.pop(owner, _NOTHING)
        changed = {key for key, _ in held.items() ^ before.items()} if before else set()
        if before and len(changed) <= _MANY and brought_up(pools, changed, held, indices, places):
            self._known[owner] = (dict(held), pools)
            return pools
        fresh = pools_of(held, indices, places)
        if fresh and not any(purse == RESERVED for purse, _ in held):
            self._known[owner] = (dict(held), fresh)
        return fresh


_MANY: Final = 16  # balances: to make all anew is as quick
_NOTHING: Final[tuple[Holdings, Pools]] = ({}, {})


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
