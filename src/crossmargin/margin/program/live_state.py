"""The state behind a live book: legs, pools and their figures at one market, and the program that makes the figures."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from crossmargin import kernels
from crossmargin.errors import Failure, FailureReason, InputError
from crossmargin.margin.assess import assess_resolved
from crossmargin.margin.pools import PoolColumns
from crossmargin.margin.program.assess import program_of
from crossmargin.margin.program.compact import CompactBook
from crossmargin.margin.program.growth import bucket_bits, check_layout, renumbered, row_table
from crossmargin.margin.program.ids import Ids
from crossmargin.margin.program.live_desk import desk_of
from crossmargin.margin.program.live_legs import LiveLegs, gathered
from crossmargin.margin.program.live_market import reorder
from crossmargin.margin.program.live_pools import AMOUNTS, LivePools
from crossmargin.margin.program.program import OUTPUTS, make_market
from crossmargin.margin.program.unpack import unpack
from crossmargin.margin.resolve import ISOLATED
from crossmargin.margin.touched import looks_at_balances
from crossmargin.margin.trigger import coverage

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy.typing as npt

    from crossmargin.margin.assess import BookReport
    from crossmargin.margin.model import Rulebook
    from crossmargin.margin.program.growth import Growth
    from crossmargin.margin.program.program import Market, Program
    from crossmargin.margin.program.universe import Universe
    from crossmargin.market import Snapshot

    Floats = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.int64]

__all__ = ["LiveState"]

_TOGETHER: Final = 1 << 16  # pools that the engine computes between two writings of what is kept
_AT_A_TIME: Final = 4096  # accounts that the evaluation takes together: some megabytes of columns


class LiveState:
    """Everything of a live book but its lock and its names for callers.

    `version` grows when arrays, market or program are replaced. `failures` are accounts that are refused now, `without`
    those that were refused when they were laid out: they hold no pool.
    """

    def __init__(
        self,
        book: CompactBook,
        snapshot: Snapshot,
        rulebook: Rulebook,
        max_quote_age_seconds: float | None,
        threads: int | None,
    ) -> None:
        if book.rulebook != rulebook.digest:
            message = f"the book was laid out for another rulebook than {rulebook.name}@{rulebook.effective_from}"
            raise InputError(FailureReason.INVALID_RULEBOOK, f"{message}: compact it anew")
        self.snapshot = snapshot
        self.rulebook = rulebook
        self.looks_at_balances = looks_at_balances(rulebook)
        self.max_quote_age_seconds = max_quote_age_seconds
        self.threads = None if threads is None else kernels.checked_threads(threads)
        self.ids = list(book.account_ids)
        self.numbers = {name: n for n, name in enumerate(self.ids)}
        self.without, self.failures = dict(book.failures), dict(book.failures)
        self.universe = book.universe
        self.pools = LivePools(book)
        self.market = self.market_at(book.universe, snapshot)
        check_layout(book, self.market)
        self.legs = LiveLegs(book.legs, by_side=rulebook.opposite_positions != "net")
        self.legs.add_pools(self.pools.room - self.pools.count)
        self.labels = self._labels(book)
        self.version = 0
        self._engine: Any = None
        self.quiet = np.ones(1, dtype=np.uint8)  # of the engine in use: 0 while an event is under way
        self._built: object = None
        self._unit, self._one = np.zeros(1, dtype=np.int64), np.zeros((len(OUTPUTS) + 1, 1))
        self.program: Program | None = None
        self.index()
        self.remask()
        reorder(self)
        self.use(self.market, self.program_at(self.universe, self.market))
        self.run(None)

    def _labels(self, book: CompactBook) -> dict[int, str]:
        """Return the names of pools by key, those included that may still come."""
        labels = dict(book.pool_labels)
        labels.setdefault(0, "cross")
        if self.rulebook.pool_by == "settlement_asset":
            names = self.market.priced.names.assets
            labels |= {n + 1: name for n, name in enumerate(names)}
        return labels

    # --- market and program

    def market_at(self, universe: Universe, snapshot: Snapshot) -> Market:
        """Return a universe at a snapshot's prices."""
        age, reports = self.max_quote_age_seconds, self.pools.reports(self.universe)
        return make_market(universe, snapshot, self.rulebook, max_quote_age_seconds=age, reports=reports)

    def program_at(self, universe: Universe, market: Market) -> Program | None:
        """Return the program of a market, None where the evaluation serves."""
        return program_of(universe, market, self.rulebook)

    def index(self) -> None:
        """Look up rows by class and contract, and each row's bucket as a bit."""
        self.rows = row_table(self.universe)
        self.classes = {pool: n for n, pool in enumerate(self.universe.pools)}
        self.bits = bucket_bits(self.market)[self.universe.rows.contract]

    def remask(self) -> None:
        """Say anew which buckets each pool holds."""
        self.pools.mask = np.zeros(self.pools.room, dtype=self.bits.dtype)
        held = np.flatnonzero(self.legs.legs.count)
        for first in range(0, held.shape[0], 1 << 16):
            some = held[first : first + (1 << 16)]
            arrays = gathered(self.legs, some, self.pools.pool_class, self.pools.inputs)
            self.pools.mask[some] = np.bitwise_or.reduceat(self.bits[arrays.row], arrays.start.astype(np.int64))

    def use(self, market: Market, program: Program | None) -> None:
        """Take a market and its program into use; the figures are still those of the last one."""
        self.market = market
        self.program = program
        self.rate = market.numeraire if market.in_settlement else np.ones(len(self.universe.pools))
        self._built = None
        self.version += 1
        self.outputs = len(OUTPUTS) + int(program is not None and program.may_refuse)  # figures that the engine gives
        self._one[self.outputs :] = 0.0

    def engine(self) -> Any:  # noqa: ANN401 - compiled, or None
        """Return the engine over the arrays as they are now, None where the evaluation serves."""
        if self.program is None:
            return None
        generation = (self.legs.generation, self.pools.generation)
        if self._built != generation:
            pools = {"pool_class": self.pools.pool_class, "inputs": self.pools.inputs}
            self.quiet = np.zeros(1, dtype=np.uint8)
            self._engine = kernels.account_engine(self.legs.buffers() | pools, self.program.arrays, desk_of(self))
            self._built = generation
            self.version += 1
        return self._engine

    def grow(self, growth: Growth, market: Market) -> None:
        """Lay everything out for the next universe."""
        pools = np.arange(self.pools.count)
        arrays = gathered(self.legs, pools, self.pools.pool_class, self.pools.inputs)
        arrays = renumbered(arrays, growth.row, growth.pool_class, len(growth.universe.rows))
        self.pools.pool_class[: self.pools.count] = arrays.pool_class
        self.legs = LiveLegs(arrays, by_side=self.legs.by_side)
        self.legs.add_pools(self.pools.room - self.pools.count)
        self.universe, self.market = growth.universe, market
        known = set(self.labels.values())
        if self.rulebook.pool_by == "settlement_asset":
            fresh = (name for name in market.priced.names.assets if name not in known)
            after = max((key for key in self.labels if key < ISOLATED), default=0) + 1
            self.labels |= dict(enumerate(fresh, start=after))
        self.index()
        self.remask()

    def rows_held(self) -> Ints:
        """Return the rows that some leg stands on."""
        seen = np.zeros(len(self.universe.rows), dtype=bool)
        for first in range(0, self.pools.count, 1 << 16):
            some = np.arange(first, min(first + (1 << 16), self.pools.count))
            seen[gathered(self.legs, some, self.pools.pool_class, self.pools.inputs).row] = True
        return np.flatnonzero(seen)

    # --- pools

    def open(self, account: int, key: int, pool_class: int) -> int:
        """Return a new pool of an account."""
        if self.pools.count == self.pools.room:
            added = self.pools.grow()
            self.version += 1
            self.legs.add_pools(added)
        return self.pools.open(account, key, pool_class)

    def pools_of(self, account: int, also: int = -1) -> list[int]:
        """Return an account's pools that hold anything, or its first, and the one that is wanted beside."""
        pools = list(self.pools.of(account))
        return [pool for pool in pools if self.legs.held(pool) or pool == also] or pools[:1]

    def shown(self) -> Ints:
        """Return the pools of all accounts that :meth:`pools_of` gives, account by account."""
        order = self.pools.order()
        held = self.legs.legs.count[order] > 0
        account = self.pools.account[order]
        bare = np.ones(self.pools.accounts, dtype=bool)
        bare[account[held]] = False
        first = np.append(True, account[1:] != account[:-1])[: order.shape[0]]
        return np.asarray(order[held | (first & bare[account])])

    def book_of(self, accounts: Sequence[int], also: Iterable[int] | None = None) -> tuple[CompactBook, Ints]:
        """Return copies of some accounts as a compact book, in the order asked, and the pools they were."""
        wanted = [-1] * len(accounts) if also is None else also
        found = [self.pools_of(account, one) for account, one in zip(accounts, wanted, strict=True)]
        pools = np.asarray([pool for some in found for pool in some], dtype=np.int64)
        owner = np.repeat(np.arange(len(accounts), dtype=np.int32), [len(some) for some in found])
        numbers = np.asarray(accounts, dtype=np.int64)
        return self._book(numbers, owner, pools), pools

    def whole_book(self) -> CompactBook:
        """Return a copy of all accounts as a compact book."""
        pools = self.shown()
        return self._book(np.arange(self.pools.accounts), self.pools.account[pools], pools)

    def _book(self, accounts: Ints, owner: npt.NDArray[np.int32], pools: Ints) -> CompactBook:
        failures = {n: self.without[a] for n, a in enumerate(accounts.tolist()) if a in self.without}
        return CompactBook(
            account_ids=Ids.of([self.ids[account] for account in accounts.tolist()]),
            account_class=self.pools.account_class[accounts],
            pool_account=owner,
            pool_key=self.pools.full_key(pools),
            pool_labels=self.labels,
            universe=self.universe,
            legs=gathered(self.legs, pools, self.pools.pool_class, self.pools.inputs),
            failures=failures,
            rulebook=self.rulebook.digest,
        )

    # --- figures

    def run(self, pools: Sequence[int] | Ints | None) -> None:
        """Compute the figures of some pools anew, of all where None; say who is refused."""
        if pools is not None and not len(pools):
            return
        if self.program is None:
            count = self.pools.count
            owners = self.pools.account[:count] if pools is None else self.pools.account[np.asarray(pools)]
            self._evaluate(np.unique(owners).tolist())
            return
        if pools is not None and len(pools) == 1:
            self._run_one(int(pools[0]))
            return
        every = np.arange(self.pools.count) if pools is None else np.asarray(pools, dtype=np.int64)
        bad = [self._run_some(every[n : n + _TOGETHER]) for n in range(0, every.shape[0], _TOGETHER)]
        self._judge(every, np.concatenate(bad) if bad else every)

    def _run_one(self, pool: int) -> None:
        self._unit[0], outputs = pool, self.outputs
        self.engine().run(self._unit, self._one[:outputs], 1)
        self.pools.keep(pool, self._one[:outputs, 0])
        *_, refused = figures = self._one[:, 0].tolist()
        if refused or not isfinite(sum(figures[:AMOUNTS])):
            self._judge(self._unit, self._unit)
        elif int(self.pools.account[pool]) in self.failures:
            self._judge(self._unit, self._unit[:0])

    def _run_some(self, pools: Ints) -> Ints:
        """Compute the figures of some pools, ascending or not; return those of which none is a number, or refused."""
        out = np.empty((self.outputs, pools.shape[0]))
        self.engine().run(pools, out, kernels.threads_in_use() if self.threads is None else self.threads)
        together = bool((np.diff(pools) == 1).all())  # a slice is written in a tenth of the time
        self.pools.keep(slice(int(pools[0]), int(pools[-1]) + 1) if together else pools, out)
        bad = out[-1] > 0 if self.outputs > len(OUTPUTS) else np.zeros(pools.shape[0], dtype=bool)
        if not isfinite(out[:AMOUNTS].sum()):  # one pass says so of them all, but for a sum that overflows
            bad |= ~np.isfinite(out[:AMOUNTS]).all(axis=0)
        return np.asarray(pools[bad])

    def _judge(self, pools: Ints, bad: Ints) -> None:
        """Say who of these pools' accounts is refused now, and why, some of the pools being bad."""
        refused = set(np.unique(self.pools.account[bad]).tolist())
        if len(self.failures) > len(self.without):
            owners = set(self.pools.account[pools].tolist()) - self.without.keys()
            for account in owners & self.failures.keys():
                del self.failures[account]
                if self._account_bad(account):  # by a pool that was not run
                    refused.add(account)
        if refused:
            self.failures |= self._reasons(sorted(refused))

    def _account_bad(self, account: int) -> bool:
        pools = list(self.pools.of(account))
        return bool(self.pools.refused[pools].any() or not np.isfinite(self.pools.figures[:, pools]).all())

    def columns(
        self, pools: Ints, owner: npt.NDArray[Any], ids: tuple[str, ...], failures: dict[int, Failure]
    ) -> PoolColumns:
        """Return copies of some pools' figures, as :func:`assess_book` gives them."""
        initial, maintenance, adjusted_initial, adjusted_maintenance, equity = self.pools.figures[:, pools]
        return PoolColumns(
            account_ids=ids,
            unit_account=owner,
            unit_rate=self.rate[self.pools.pool_class[pools]] if self.market.in_settlement else None,
            reporting_asset=self.market.reporting_asset,
            unit_equity=equity,
            unit_adjusted_initial=adjusted_initial,
            unit_adjusted_maintenance=adjusted_maintenance,
            unit_initial=initial,
            unit_maintenance=maintenance,
            unit_coverage=coverage(adjusted_maintenance, maintenance, equity),
            unit_state=self.pools.state[pools],
            failures=failures,
        )

    def evaluate(self, book: CompactBook) -> BookReport:
        """Return the ordinary report of a compact book of a few accounts."""
        with np.errstate(over="ignore", invalid="ignore"):
            return assess_resolved(unpack(book, self.market, self.rulebook, 0, len(book)), self.rulebook)

    def _reasons(self, accounts: list[int]) -> dict[int, Failure]:
        """Return why the evaluation refuses accounts, of which the engine makes no number."""
        message = "the compiled program gives no finite number for this account, the evaluation does"
        reasons = {}
        for first in range(0, len(accounts), _AT_A_TIME):
            some = accounts[first : first + _AT_A_TIME]
            failures = self.evaluate(self.book_of(some)[0]).failures
            for n, account in enumerate(some):
                strange = Failure(FailureReason.UNDEFINED_RESULT, message, self.ids[account])
                reasons[account] = failures.get(n, strange)
        return reasons

    def _evaluate(self, accounts: list[int]) -> None:
        for first in range(0, len(accounts), _AT_A_TIME):
            some = accounts[first : first + _AT_A_TIME]
            book, pools = self.book_of(some)
            report = self.evaluate(book)
            every = np.asarray([pool for account in some for pool in self.pools.of(account)], dtype=np.int64)
            self.pools.keep(every, np.zeros((len(OUTPUTS), every.shape[0])))
            self.pools.keep(pools, np.stack([getattr(report, f"unit_{name}") for name in OUTPUTS]))
            for n, account in enumerate(some):
                self.failures.pop(account, None)
                if n in report.failures:
                    self.failures[account] = report.failures[n]


def error_of(failure: Failure) -> InputError:
    """Return a refusal as the error to raise."""
    return InputError(failure.reason, failure.message, account=failure.account, instrument=failure.instrument)
