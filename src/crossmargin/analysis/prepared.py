"""Pre-trade checks: one account resolved once, asked again and again what a trade would do to its requirements.

Instruments that may be traded stand in the arrays as legs of nothing from the start. A check changes quantities only
and lets the engine evaluate again; whatever no quantity enters (scenario cells, contract columns, which rows there
are) is kept between checks.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec
import numpy as np

from crossmargin.account import Account, Book, MarginMode, Position
from crossmargin.errors import FailureReason, InputError
from crossmargin.margin.evaluation import Evaluation, of_contracts
from crossmargin.margin.legs import muted_legs
from crossmargin.margin.model import INITIAL, MAINTENANCE
from crossmargin.margin.resolve import resolve
from crossmargin.margin.trade import Holding, Terms, TradeCheck, trade
from crossmargin.scenarios import ASSET, OPTION, SPOT
from crossmargin.units import exact

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from crossmargin.margin.model import Rulebook
    from crossmargin.margin.resolved import Legs, Resolved
    from crossmargin.market import Snapshot

    Floats = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.int64]

__all__ = ["Prepared", "TradeCheck", "prepare"]

Trade: TypeAlias = "tuple[str, float, float | None]"
"""Instrument, signed contracts, price (None: at the mark)."""
_CHANGED = ("quantity", "cost", "accrued", "leverage", "muted")
_TRADED = ("quantity", "cost", "accrued")
_MOST_KEPT = 20_000  # entries remembered between checks: some megabytes


def prepare(
    account: Account,
    snapshot: Snapshot,
    rulebook: Rulebook,
    instruments: Sequence[str] = (),
    *,
    max_quote_age_seconds: float | None = 3600.0,
) -> Prepared:
    """Return the account ready for what-ifs in what it holds and in `instruments`.

    Raises
    ------
    InputError
        The account's refusal, or OUT_OF_SCOPE where each position is a pool of its own (there `what_if` serves).
    """
    if rulebook.pool_by == "position" or account.margin_mode == MarginMode.ISOLATED:
        message = "every position is a pool of its own, so a trade has no shared pool; use what_if"
        raise InputError(FailureReason.OUT_OF_SCOPE, message, account=account.id)
    held = [p.instrument for p in account.positions]
    traded = list(dict.fromkeys([*held, *instruments]))
    book = Book.from_accounts([account, _padded(account, snapshot, traded)])
    resolved = resolve(book, snapshot, rulebook, max_quote_age_seconds=max_quote_age_seconds)
    for row in (0, 1):
        failure = resolved.failures.get(row)
        if failure is not None:
            raise InputError(failure.reason, failure.message, account=account.id, instrument=failure.instrument)
    return Prepared(_emptied(resolved, by_side=rulebook.opposite_positions != "net"), rulebook)


def _padded(account: Account, snapshot: Snapshot, instruments: Sequence[str]) -> Account:
    """Return the account with a contract of each instrument on both sides, and one of every asset they pay in."""
    positions, balances = list(account.positions), dict(account.balances)
    for symbol in instruments:
        listing = snapshot.listings.get(symbol)
        if listing is None:
            message = "the snapshot does not list it; add it to snapshot.instruments or check the symbol"
            raise InputError(FailureReason.UNKNOWN_INSTRUMENT, message, account=account.id, instrument=symbol)
        entry = exact(listing.mark_price) if listing.mark_price else None
        pads = [Position(instrument=symbol, quantity=Decimal(side), entry_price=entry) for side in (1, -1)]
        positions += [] if listing.kind == "spot" else pads
        assets = (listing.settlement_asset, listing.quote_asset, listing.underlying)
        for asset in assets if listing.kind == "spot" else assets[:1]:
            if not balances.get(asset):
                balances[asset] = Decimal(1)
    return msgspec.structs.replace(account, id=f"{account.id}\0padded", positions=tuple(positions), balances=balances)


def _emptied(resolved: Resolved, *, by_side: bool) -> Resolved:
    """Return the padded account alone, its legs holding what the account itself holds."""
    real, padded = resolved.only(0), resolved.only(1)
    place = {key: leg for leg, key in enumerate(_keys(padded, by_side=by_side))}
    rows = np.asarray([place[key] for key in _keys(real, by_side=by_side)], dtype=np.int64)
    columns = {}
    for name, empty in (("quantity", 0.0), ("cost", 0.0), ("accrued", 0.0), ("leverage", np.nan)):
        column = np.full(padded.legs.contract.shape[0], empty)
        column[rows] = getattr(real.legs, name)
        columns[name] = column
    muted = np.zeros(padded.legs.contract.shape[0], dtype=bool)
    muted[rows] = real.legs.muted
    return replace(padded, account_ids=real.account_ids, legs=replace(padded.legs, **columns, muted=muted))


def _keys(resolved: Resolved, *, by_side: bool) -> list[tuple[Any, ...]]:
    """Return what names a leg: its contract and pool, and where sides are kept apart its side."""
    legs, c = resolved.legs, resolved.contracts
    sign = np.sign(np.where(legs.quantity != 0, legs.quantity, legs.bids + legs.asks)).astype(int)
    side = np.where(c.kind[legs.contract] == ASSET, 0, sign if by_side else 0)
    label = [resolved.units.label[unit] for unit in legs.unit.tolist()]
    return list(zip(c.symbol[legs.contract].tolist(), label, side.tolist(), strict=True))


@dataclass(frozen=True, slots=True)
class _Target:
    """Where a trade in an instrument lands: its legs by side (equal where sides net), and the balance that pays."""

    contract: int
    long: int
    short: int
    wallet: int


class Prepared:
    """One account ready for what-ifs. Nothing here changes but what is remembered."""

    def __init__(self, resolved: Resolved, rulebook: Rulebook) -> None:
        self.resolved = resolved
        self.rulebook = rulebook
        self._shared: dict[Any, Any] = {}
        self._targets: dict[str, _Target] = {}

    def today(self) -> TradeCheck:
        """Return where the account stands without a trade."""
        return self._checks(self.resolved)[0]

    def what_if(self, instrument: str, quantity: float, price: float | None = None) -> TradeCheck:
        """Return where the account would stand after one trade at `price` (default: the mark), without fees.

        What closes is realised into the settlement asset's balance, premium is paid from it, as :func:`what_if` does.
        """
        return self._checks(replace(self.resolved, legs=self._traded((instrument, quantity, price))))[0]

    def what_ifs(self, trades: Sequence[Trade]) -> list[TradeCheck]:
        """Return the same for many trades, each on its own, in one evaluation: the quickest for a list of them."""
        if not trades:
            return []
        many = _repeated(self.resolved, len(trades))
        legs = [self._traded(leg) for leg in trades]
        columns = {name: np.concatenate([getattr(leg, name) for leg in legs]) for name in _CHANGED}
        shared = of_contracts(self._shared)
        return self._checks(replace(many, legs=replace(many.legs, **columns)), shared)

    def _checks(self, resolved: Resolved, shared: dict[Any, Any] | None = None) -> list[TradeCheck]:
        if len(self._shared) > _MOST_KEPT:
            self._shared = of_contracts(self._shared)
        evaluation = Evaluation(resolved, self.rulebook, shared=self._shared if shared is None else shared)
        money = resolved.units.numeraire if resolved.in_settlement else np.ones(len(resolved.units))
        columns = [
            np.asarray(column * money).reshape(-1, len(self.resolved.units)).sum(axis=1)
            for column in (
                evaluation.requirement(INITIAL),
                evaluation.requirement(MAINTENANCE),
                evaluation.adjusted(INITIAL),
                evaluation.adjusted(MAINTENANCE),
            )
        ]
        if evaluation.failures:
            failure = evaluation.failures[min(evaluation.failures)]
            raise InputError(failure.reason, failure.message, account=failure.account, instrument=failure.instrument)
        initial, maintenance, for_initial, for_maintenance = (column.tolist() for column in columns)
        return [
            TradeCheck(i, m, a - i, b - m)
            for i, m, a, b in zip(initial, maintenance, for_initial, for_maintenance, strict=True)
        ]

    def _target(self, instrument: str) -> _Target:
        if instrument not in self._targets:
            self._targets[instrument] = _find_target(self.resolved, self.rulebook, instrument)
        return self._targets[instrument]

    def _traded(self, leg: Trade) -> Legs:
        """Return the legs after a trade: what closes is realised, the rest merges at its price."""
        instrument, amount, price = leg
        target, legs, c = self._target(instrument), self.resolved.legs, self.resolved.contracts
        level = float(c.mark[target.contract]) if price is None else price
        opposite, same = (target.short, target.long) if amount > 0 else (target.long, target.short)
        held = {row: Holding(*(float(getattr(legs, name)[row]) for name in _TRADED)) for row in (opposite, same)}
        option = bool(c.kind[target.contract] == OPTION)
        terms = Terms(option, bool(c.inverse[target.contract]), float(c.multiplier[target.contract]))
        funding, paid = trade(terms, held[opposite], held[same], amount, level)
        columns = {name: getattr(legs, name).copy() for name in _TRADED}
        for row, holding in held.items():
            for name in _TRADED:
                columns[name][row] = getattr(holding, name)
        quantity = columns["quantity"]
        quantity[target.wallet] = quantity[target.wallet] + funding + paid
        kept = legs.quantity * quantity > 0  # what is closed, or turned around, takes its leverage with it
        return replace(
            legs, **columns, leverage=np.where(kept, legs.leverage, np.nan), muted=self._muted(quantity)
        )  # fmt: skip

    def _muted(self, quantity: Floats) -> npt.NDArray[np.bool_]:
        legs = self.resolved.legs
        if self.rulebook.opposite_positions != "larger":
            return legs.muted
        return muted_legs(legs.contract, legs.unit, quantity, self.resolved.contracts)


def _find_target(resolved: Resolved, rulebook: Rulebook, instrument: str) -> _Target:
    legs, c, names = resolved.legs, resolved.contracts, resolved.names
    rows = [
        row
        for row, symbol in enumerate(c.symbol.tolist())
        if names.symbols[symbol] == instrument and c.kind[row] not in {SPOT, ASSET}
    ]
    if not rows:
        message = "it was not prepared (spot never is: deposit and withdraw); name it in `instruments`"
        raise InputError(FailureReason.UNKNOWN_INSTRUMENT, message, instrument=instrument)
    row, settle = rows[0], int(c.settle_asset[rows[0]])
    if (resolved.units.isolated[legs.unit] & (legs.contract == row)).any():
        message = "it is held as an isolated position, where a trade may land; use what_if"
        raise InputError(FailureReason.OUT_OF_SCOPE, message, instrument=instrument)
    pool = names.assets[settle] if rulebook.pool_by == "settlement_asset" else "cross"
    shared = np.asarray([label == pool for label in resolved.units.label])[legs.unit]
    found = np.flatnonzero((legs.contract == row) & shared)
    wallet = np.flatnonzero((c.kind[legs.contract] == ASSET) & (c.own_asset[legs.contract] == settle) & shared)
    # where sides are kept apart the short one stands first
    return _Target(row, int(found[-1]), int(found[0]), int(wallet[0]))


def _repeated(resolved: Resolved, count: int) -> Resolved:
    """Return the account `count` times over one set of contracts."""
    tiled = resolved.tile(count)
    contract = np.tile(resolved.legs.contract, count)
    return replace(tiled, contracts=resolved.contracts, legs=replace(tiled.legs, contract=contract), copies=1)
