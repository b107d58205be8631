"""A book that lives: fills, deposits, orders and prices one at a time, each in about the time its own pools take."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING, Any

import numpy as np

from crossmargin.errors import FailureReason, InputError
from crossmargin.margin.program.live_accounts import add_account
from crossmargin.margin.program.live_checks import checked, checks, evaluated, judged, placed
from crossmargin.margin.program.live_events import credit, place_orders, traded
from crossmargin.margin.program.live_inputs import parted, put_input
from crossmargin.margin.program.live_lock import LiveLock
from crossmargin.margin.program.live_market import marked
from crossmargin.margin.program.live_names import LiveNames, real_numbers
from crossmargin.margin.program.live_settlement import settle
from crossmargin.margin.program.live_state import LiveState, error_of
from crossmargin.margin.program.live_targets import Target, check_trade, own_pool, target_of
from crossmargin.margin.resolve import asset_key
from crossmargin.margin.trade import TradeCheck, TradeChecks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    import numpy.typing as npt

    from crossmargin.account import Account
    from crossmargin.errors import Failure
    from crossmargin.margin.model import Rulebook
    from crossmargin.margin.pools import PoolColumns
    from crossmargin.margin.program.compact import CompactBook
    from crossmargin.margin.report import BookRow, MarginReport
    from crossmargin.market import Snapshot

    Floats = npt.NDArray[np.float64]

__all__ = ["LiveBook"]


class LiveBook:
    """Many accounts under one rulebook, kept up to date event by event.

    Every event computes the pools that it touches anew, from nothing but what they hold: the figures are always those
    that :func:`assess_book` would give. One lock orders everything: an event is seen whole or not at all, `view` and
    every other reading is of one moment between two events, and the kernels let other threads run meanwhile. What is
    read is a copy and never changes. An event that is refused has changed nothing.

    Amounts are float64: the ledger of record is the caller's. No event checks margin: ask :meth:`what_if` first.

    Parameters
    ----------
    book
        From :func:`compact`, for the same rulebook; it is copied.
    max_quote_age_seconds
        As of :func:`assess_book`, at every `mark`.
    threads
        Most threads of one computation, at least 1; None: as the kernels are set.

    Raises
    ------
    InputError
        When the book was laid out for another rulebook or other terms (see :func:`assess_book`), the snapshot lacks the
        price of a reporting asset, or `threads` is no number of threads.
    """

    def __init__(
        self,
        book: CompactBook,
        snapshot: Snapshot,
        rulebook: Rulebook,
        *,
        max_quote_age_seconds: float | None = 3600.0,
        threads: int | None = None,
    ) -> None:
        self._state = LiveState(book, snapshot, rulebook, max_quote_age_seconds, threads)
        self._lock = LiveLock(self._state)
        self._names = LiveNames(self._state)
        self._targets: dict[str, Target] = {}
        self._check: Callable[..., Any] = _aside
        self._contracts: Mapping[str, int] = {}
        self._bound = -1
        with self._lock:
            if self._state.market.priced.restated:
                self._state.run(marked(self._state, snapshot))
            self._bind()

    def __len__(self) -> int:
        """Return the number of accounts, refused ones included."""
        return len(self._state.ids)

    @property
    def nbytes(self) -> int:
        """Bytes of legs, pools and figures."""
        state = self._state
        return int(state.legs.nbytes + state.pools.nbytes)

    @property
    def engine(self) -> bool:
        """Whether the compiled program serves; else the ordinary evaluation does, with the same results."""
        return self._state.program is not None

    @property
    def snapshot(self) -> Snapshot:
        """The market at which the figures stand."""
        return self._state.snapshot

    # --- events

    def fill(
        self, account: str | int, instrument: str, quantity: float, price: float | None = None, fee: float = 0.0
    ) -> None:
        """Trade signed contracts in an account's shared pool, at the mark unless a price is given.

        What is opposite closes first and is realised into the settlement asset's balance, which also pays premiums and
        the fee (an amount of that asset, negative where it is a rebate). What rounding leaves of what is closed (2^-50
        of the larger of held and traded) is closed with it.

        Raises
        ------
        InputError
            An unknown account or instrument; a quantity, price or fee that cannot be one; OUT_OF_SCOPE for spot and
            where the trade could land on an isolated position.
        """
        with self._lock:
            number, target = self.account_number(account), self._target(instrument)
            level = target.price if price is None else float(price)
            check_trade(self._state, number, target, quantity, level)
            self._check_number("fee", fee, account)
            self._done(traded(self._state, number, target, float(quantity), level, float(fee)))

    def deposit(self, account: str | int, asset: str, amount: float) -> None:
        """Add a signed amount to a balance of the shared pool; negative withdraws, whatever the margin says.

        What is left within rounding of nothing (2^-50 of the amount) is nothing.
        """
        with self._lock:
            number = self.account_number(account)
            self._check_number("amount", amount, account)
            if asset_key(asset) not in self._state.universe.place:
                message = f"asset {asset} is not among those that the book knows: mark a snapshot that prices it first"
                raise InputError(FailureReason.UNKNOWN_ASSET, message, account=self._state.ids[number])
            pool = own_pool(self._state, number, asset)
            self._done(credit(self._state, pool, asset, float(amount)))

    def set_orders(self, account: str | int, instrument: str, orders: Iterable[tuple[float, float]]) -> None:
        """Replace an account's open orders in an instrument by these: signed contracts and limit, each."""
        with self._lock:
            number, target = self.account_number(account), self._target(instrument)
            wanted = [(float(quantity), float(limit)) for quantity, limit in orders]
            for one in wanted:
                if not (isfinite(one[0]) and one[0] and isfinite(one[1]) and one[1] > 0):
                    message = f"an order is a quantity other than 0 and a limit above 0, found {one}"
                    raise InputError(FailureReason.INVALID_QUANTITY, message, instrument=instrument)
            self._done(place_orders(self._state, number, target, wanted))

    def set_input(self, account: str | int, name: str, value: float) -> None:
        """Set a figure that only the venue knows, of those that the rulebook declares."""
        with self._lock:
            number, declared = self.account_number(account), list(self._state.rulebook.inputs)
            if name not in declared:
                message = f"input {name} is not one that the rulebook declares ({', '.join(declared) or 'none'})"
                raise InputError(FailureReason.UNKNOWN_PARAMETER, message, account=self._state.ids[number])
            self._check_number(name, value, account)
            state = self._state
            if number in state.without:
                raise error_of(state.without[number])
            self._done(put_input(state, number, declared.index(name), float(value)))

    def mark(self, snapshot: Snapshot) -> int:
        """Take new prices; return how many pools they concern: the others stand as they are.

        Instruments and assets that the snapshot lists anew are known from now on; those that it no longer lists and
        that nobody holds are forgotten when the next new one comes. An instrument's terms are always those of the last
        snapshot that listed it with sound ones: figures, fills, checks and expiry go by a changed multiplier, strike,
        expiry, option type, underlying or quote asset from now on, as if it had been so all along.

        Raises
        ------
        InputError
            When it lacks the price of an asset that a pool reports in; INVALID_INSTRUMENT when it changes the kind, the
            form or the settlement asset (of spot also the other two) of what some account holds or has orders in:
            these say which pool a position is in, what unit its cost has and which wallet pays. Whatever else cannot
            be priced refuses the accounts that hold it: see `failures`.
        """
        with self._lock:
            pools = marked(self._state, snapshot)
            self._done(pools)
            return self._state.pools.count if pools is None else len(pools)

    def expire(self, instrument: str) -> int:
        """Settle an instrument at the snapshot's `delivery_price`; return in how many pools something changed.

        Every position in it is closed as by a trade at its value then (of an option, its payoff), its open orders are
        void, and what backed an isolated position goes to the balances.
        """
        with self._lock:
            pools = settle(self._state, instrument)
            self._done(pools)
            return len(pools)

    def add_account(self, account: Account) -> int:
        """Add an account; return its number. Raises why it cannot be laid out.

        It comes last. One that was refused when the book was laid out holds nothing here and stays refused until it is
        added again: it keeps its number.
        """
        with self._lock:
            self._done(add_account(self._state, account))
            return self._state.numbers[account.id]

    # --- checks

    def what_if(self, account: str | int, instrument: str, quantity: float, price: float | None = None) -> TradeCheck:
        """Return where an account would stand after one trade at `price` (default: the mark), without fees.

        Account-wide, in the book's reporting asset. Raises as :meth:`fill` does, and why the account would be refused.
        """
        found: TradeCheck | None = self._check(account, instrument, quantity, price)
        return self._what_if(account, instrument, quantity, price) if found is None else found

    def _what_if(self, account: str | int, instrument: str, quantity: float, price: float | None) -> TradeCheck:
        with self._lock:
            number, target = self.account_number(account), self._target(instrument)
            level = target.price if price is None else float(price)
            check_trade(self._state, number, target, quantity, level)
            trade = placed(self._state, number, target, float(quantity), level)
            self._bind()
            self._state.quiet[0] = 1  # nothing changes from here on
            found = checked(self._state, trade)
            if found is None:
                figures, failures = evaluated(self._state, [trade])
                if failures[0] is not None:
                    raise error_of(failures[0])
                found = TradeCheck(*figures[:, 0].tolist())
            return found

    def what_ifs(
        self,
        accounts: Sequence[str | int] | npt.NDArray[np.int64],
        instruments: Sequence[str | int] | npt.NDArray[np.int64],
        quantities: Sequence[float] | Floats,
        prices: Sequence[float] | Floats | None = None,
    ) -> TradeChecks:
        """Return the same for many trades, each on its own: the quickest for a list of them.

        Parameters
        ----------
        accounts, instruments
            Names, or numbers of `account_number` and `instrument_number`, all of one sort.
        prices
            NaN is at the mark.
        """
        with self._lock:
            account, symbol = self._names.accounts(accounts), self._names.instruments(instruments)
            quantity = real_numbers("quantities", quantities)
            price = np.full(quantity.shape, np.nan) if prices is None else real_numbers("prices", prices)
            if quantity.ndim != 1 or not account.shape == symbol.shape == quantity.shape == price.shape:
                message = "accounts, instruments, quantities and prices must be of one length"
                raise InputError(FailureReason.MALFORMED_INPUT, message)
            contracts = np.asarray([self._contracts.get(one, -1) for one in self._names.symbols], dtype=np.int64)
            figures, aside = checks(self._state, account, contracts[symbol], quantity, price)
            if aside.size:
                targets = [self._target(self._names.symbols[n]) for n in symbol[aside].tolist()]
                figures[:, aside] = judged(self._state, account[aside], targets, quantity[aside], price[aside])
                self._bind()
            return TradeChecks(*figures)

    # --- names

    def account_number(self, account: str | int) -> int:
        """Return an account's number, which it keeps; a number is checked and returned."""
        return self._names.account(account)

    def instrument_number(self, instrument: str | int) -> int:
        """Return an instrument's number, which it keeps; a number is checked and returned."""
        return self._names.instrument(instrument)

    def _target(self, instrument: str) -> Target:
        target = self._targets.get(instrument)
        if target is None:
            target = self._targets[instrument] = target_of(self._state, instrument)
        return target

    def _check_number(self, name: str, value: float, account: str | int) -> None:
        if not isfinite(value):
            message = f"{name} must be a number, found {value}"
            raise InputError(FailureReason.INVALID_QUANTITY, message, account=str(account))

    # --- readings

    @property
    def failures(self) -> Mapping[int, Failure]:
        """The accounts that are refused now, by number, each with its reason."""
        with self._lock:
            return dict(self._state.failures)

    def view(self) -> PoolColumns:
        """Return all figures in columns of pools, as :func:`assess_book` gives them; a copy of one moment."""
        with self._lock:
            state, pools = self._state, self._state.shown()
            return state.columns(pools, state.pools.account[pools], tuple(state.ids), dict(state.failures))

    def row(self, account: str | int) -> BookRow:
        """Return one account in short."""
        with self._lock:
            number, state = self.account_number(account), self._state
            pools = np.asarray(state.pools_of(number), dtype=np.int64)
            failures = {0: state.failures[number]} if number in state.failures else {}
            return state.columns(pools, np.zeros_like(pools), (state.ids[number],), failures).rows()[0]

    def report(self, account: str | int, *, withdrawable: bool = False) -> MarginReport:
        """Return the whole report of one account; raises its :class:`InputError` if it is refused."""
        with self._lock:
            book, _ = self._state.book_of([self.account_number(account)])
            return self._state.evaluate(book).report(0, withdrawable=withdrawable)

    def book(self) -> CompactBook:
        """Return all accounts laid out as they are now: a copy, for :func:`assess_book` or another live book."""
        with self._lock:
            return self._state.whole_book()

    # --- what is prepared for single checks

    def _done(self, pools: Sequence[int] | npt.NDArray[np.int64] | None) -> None:
        self._state.run(pools)
        self._bind()

    def _bind(self) -> None:
        """Look up anew whatever an event has replaced."""
        state = self._state
        engine = state.engine()
        if state.version == self._bound:
            return
        self._bound = state.version
        self._targets.clear()
        self._names.know(state.universe.listings)
        self._contracts = state.universe.place
        # which pool has an account's inputs after a trade is asked under the lock
        self._check = _aside if engine is None or parted(state) else engine.check


def _aside(*_: object) -> None:
    """Leave every check to the evaluation."""
