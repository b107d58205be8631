"""From the state to the margin engine: holdings become accounts, marks a snapshot; the engine is called, not repeated.

Each pool of the ledger is an account of its own here: it is assessed alone. A rulebook may part it further (by
settlement asset, by position); the parts are units, ``owner#unit``.
"""

from __future__ import annotations

from decimal import Decimal, localcontext
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final

import msgspec

from crossmargin.account import Account, Book, Order, Position
from crossmargin.clearing.breakers import watchman_of
from crossmargin.clearing.configuration import UNIT_MARK, Configuration, Holder, account_of
from crossmargin.clearing.contracts import Payment, Terms, worth
from crossmargin.clearing.ground import beside
from crossmargin.clearing.indexes import bearing, owed
from crossmargin.clearing.ledger import DUE, HELD, RESERVED, WALLET
from crossmargin.clearing.live_bridge import LiveAssess, moment_of
from crossmargin.clearing.rules import (
    Figures,
    Reports,
    Rules,
    further,
    middle_quotes,
    no_bids,
    no_breakers,
    no_reaction,
)
from crossmargin.clearing.scales import to_decimal
from crossmargin.clearing.stress import stress_of
from crossmargin.errors import Failure, FailureReason, InputError
from crossmargin.margin.assess import assess_book
from crossmargin.margin.report import AccountState
from crossmargin.margin.trigger import STATES
from crossmargin.market import AssetQuote, Listing, Snapshot

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from crossmargin.clearing.commands import Quote
    from crossmargin.clearing.ledger import Holdings
    from crossmargin.clearing.rules import Guard, React, TakeBid
    from crossmargin.clearing.state import State
    from crossmargin.margin import Rulebook

BASIS: Final = "basis:"  # purses that keep what was received for an instrument
_ENTRY_DIGITS: Final = 28  # of a derived entry price, which risk alone reads
_SHORTEST_INTERVAL: Final = 1e-3  # seconds
_LONGEST_INTERVAL: Final = 86_400.0
_WHOLE_POOL: Final = "cross"  # the engine's label of what is not parted
_TRIGGERED: Final = STATES.index(AccountState.LIQUIDATABLE)


def snapshot_of(state: State, as_of: datetime | None = None) -> Snapshot:
    """Return the market as the marks say it, at a moment or the state's time. What has no mark is absent."""
    standing = state.configuration
    reporting = "USD" if standing.rulebook is None else standing.rulebook.reporting_asset
    assets = {name: _asset_quote(standing, name, state.marks[name]) for name in standing.assets if name in state.marks}
    assets.setdefault(reporting, AssetQuote(price=1.0))
    listings = {s: _listing(terms, state.marks[s]) for s, terms in standing.terms.items() if s in state.marks}
    moment = as_of or state.as_of
    assert moment is not None
    return Snapshot(as_of=moment, reporting_asset=reporting, assets=assets, listings=listings)


def _asset_quote(standing: Configuration, name: str, quote: Quote) -> AssetQuote:
    asset = standing.assets[name]
    figures = {key: float(value) for key, value in quote.figures.items()}
    price = float(to_decimal(quote.price, asset.price_digits))
    fields = {"price": price, "pegged_to": asset.pegged_to, "wraps": asset.wraps, "observed_at": quote.observed_at}
    return msgspec.convert({**fields, **figures}, AssetQuote)


def _listing(terms: Terms, quote: Quote) -> Listing:
    figures: dict[str, Any] = {key: float(value) for key, value in quote.figures.items()}
    mark = float(to_decimal(quote.price, terms.contract.price_digits))
    static = msgspec.structs.asdict(terms.contract.instrument)
    return Listing(**{"index_price": mark, **static, **figures, "mark_price": mark, "observed_at": quote.observed_at})


def account_with(state: State, owner: str, holdings: Holdings) -> Account:
    """Return what an owner holds as an account of the engine: exact decimals, entry prices derived from the basis."""
    standing = state.configuration
    holder = standing.accounts.get(account_of(owner), Holder())
    balances, accrued = {}, {}
    positions, orders = [], []
    for (purse, asset), amount in holdings.items():
        if purse == WALLET:
            balances[asset] = to_decimal(amount, standing.assets[asset].digits)
            interest = _interest(state, holdings, asset, amount)
            if interest:
                accrued[asset] = to_decimal(interest, standing.assets[asset].digits)
        elif purse == HELD:
            positions.append(_position(state, standing.terms[asset], holdings, amount))
        elif purse.startswith(BASIS) and (HELD, purse.removeprefix(BASIS)) not in holdings:
            positions += _closed(state, standing.terms[purse.removeprefix(BASIS)], amount)
        elif purse == RESERVED:
            orders.append(_order(standing, asset, amount))
    return Account(
        id=owner,
        margin_mode=holder.margin_mode,
        class_=holder.class_,
        balances=balances,
        accrued=accrued,
        positions=tuple(positions),
        orders=tuple(orders),
    )


def _interest(state: State, holdings: Holdings, asset: str, wallet: int) -> int:
    pays = 0
    for name, quantity in bearing(asset, wallet):
        pays += owed(quantity, state.indices.get(name, 0), holdings.get((DUE, name), 0))
    return -pays


def _position(state: State, terms: Terms, holdings: Holdings, held: int) -> Position:
    digits = state.configuration.assets[terms.settlement].digits
    funding = -owed(held, state.indices.get(terms.symbol, 0), holdings.get((DUE, terms.symbol), 0))
    entry = None
    if terms.payment == Payment.MARGINED:
        basis = holdings.get((terms.basis, terms.settlement), 0)
        entry = _entry_price(terms, held, basis)
        if entry is None:  # no price gives this basis; the mark does, with what it differs by as accrued
            mark = state.marks[terms.symbol].price if terms.symbol in state.marks else 1
            entry = to_decimal(mark, terms.contract.price_digits)
            funding += int((worth(terms, held, mark) + basis) // 1)
    return Position(
        instrument=terms.symbol,
        quantity=to_decimal(held, terms.contract.quantity_digits),
        entry_price=entry,
        accrued_funding=to_decimal(funding, digits),
    )


def _closed(state: State, terms: Terms, basis: int) -> list[Position]:
    """Return P&L that no contract is left of: a position and its opposite, of which one is owed it."""
    if terms.symbol not in state.marks:
        return []
    mark = to_decimal(state.marks[terms.symbol].price, terms.contract.price_digits)
    owed_it = to_decimal(basis, state.configuration.assets[terms.settlement].digits)
    return [
        Position(instrument=terms.symbol, quantity=Decimal(1), entry_price=mark, accrued_funding=owed_it),
        Position(instrument=terms.symbol, quantity=Decimal(-1), entry_price=mark),
    ]


def _entry_price(terms: Terms, held: int, basis: int) -> Decimal | None:
    """Return the average price at which the position was opened; None where no price above 0 gives its basis."""
    if terms.inverse:
        price = Fraction(held * terms.up, terms.down * basis) if basis else Fraction(0)
    else:
        price = Fraction(-basis * terms.down, held * terms.up)
    if price <= 0:
        return None
    price /= 10**terms.contract.price_digits
    with localcontext() as context:
        context.prec = _ENTRY_DIGITS
        return Decimal(price.numerator) / Decimal(price.denominator)


def _order(standing: Configuration, asset: str, quantity: int) -> Order:
    symbol, _, limit = asset.rpartition("@")
    contract = standing.terms[symbol].contract
    return Order(
        instrument=symbol,
        quantity=to_decimal(quantity, contract.quantity_digits),
        limit_price=to_decimal(int(limit), contract.price_digits),
    )


class Markets:
    """The market of a state at the moment at which it is looked at; made anew when marks or configuration change.

    Parameters
    ----------
    every
        As of `moment_of`.
    """

    def __init__(self, every: float | None = None) -> None:
        self.every = every
        self._seen: tuple[object, object] = (None, None)
        self._market: Snapshot | None = None

    def at(self, state: State) -> Snapshot:
        """Return the market of a state."""
        seen, moment = (state.marks, state.configuration), moment_of(state, self.every)
        if self._market is None or self._seen[0] is not seen[0] or self._seen[1] is not seen[1]:
            self._market, self._seen = snapshot_of(state, moment), seen
        if moment != self._market.as_of:
            self._market = msgspec.structs.replace(self._market, as_of=moment)
        return self._market


class _Assessor:
    """`assess_book` on accounts made of the state."""

    def __init__(self, rulebook: Rulebook, max_quote_age_seconds: float | None, markets: Markets) -> None:
        self.rulebook, self.max_quote_age_seconds, self.markets = rulebook, max_quote_age_seconds, markets

    def __call__(self, state: State, holdings: Mapping[str, Holdings]) -> Reports:
        if not holdings:
            return {}
        accounts = [account_with(state, owner, held) for owner, held in holdings.items()]
        market, age = self.markets.at(state), self.max_quote_age_seconds
        report = assess_book(Book.from_accounts(accounts), market, self.rulebook, max_quote_age_seconds=age)
        owner_of = report.resolved.units.account.tolist()
        figures: dict[str, list[Figures]] = {owner: [] for owner in holdings}
        owners = list(holdings)
        initial = report.unit_adjusted_initial - report.unit_initial
        maintenance = report.unit_adjusted_maintenance - report.unit_maintenance
        names, evaluation = beside(self.rulebook), report.evaluation
        others = [column for name in names for column in (evaluation.adjusted(name), evaluation.requirement(name))]
        for unit, row in enumerate(owner_of):
            figures[owners[row]].append(
                Figures(
                    pool=pool_name(owners[row], report.resolved.units.label[unit]),
                    equity=float(report.unit_equity[unit]),
                    initial_headroom=float(initial[unit]),
                    maintenance_headroom=float(maintenance[unit]),
                    coverage_ratio=float(report.unit_coverage[unit]),
                    triggered=bool(report.unit_state[unit] >= _TRIGGERED),
                    adjusted_equity=float(report.unit_adjusted_maintenance[unit]),
                    initial=float(report.unit_initial[unit]),
                    maintenance=float(report.unit_maintenance[unit]),
                    beside=further(names, [float(column[unit]) for column in others]),
                )
            )
        out: dict[str, tuple[Figures, ...] | Failure] = {owner: tuple(rows) for owner, rows in figures.items()}
        out.update({owners[row]: failure for row, failure in report.failures.items()})
        return out


def pool_name(owner: str, unit: str) -> str:
    """Return what a unit of an owner is called: the owner alone where nothing is parted."""
    return owner if unit == _WHOLE_POOL else f"{owner}{UNIT_MARK}{unit}"


def rules_of(
    rulebook: Rulebook,
    *,
    max_quote_age_seconds: float | None = 3600.0,
    valued_every_seconds: float | None = None,
    live: bool = True,
    react: React = no_reaction,
    guard: Guard | None = None,
    take_bid: TakeBid = no_bids,
) -> Rules:
    """Return the rules of a clearing house under a rulebook, with its procedures where there are any.

    Parameters
    ----------
    max_quote_age_seconds
        Quotes observed longer before a command's time are refused; None accepts any age.
    valued_every_seconds
        The market is looked at as of the last multiple of so many seconds (quotes' ages count from there too), so that
        contracts which expire need not be valued anew for each command; None: as of each command's own time.
    live
        Whether the rulebook's compiled program answers where it can; else the evaluation always does. The figures are
        the same within rounding of float64, and with either a function of the state alone; but choose one and keep it
        where commands are to be decided again bit by bit.
    guard
        None: the rulebook's own, with its breakers; the middle quote where it states neither [prices] nor [[halt]].

    Raises
    ------
    InputError
        INVALID_QUANTITY for an interval below a millisecond or above a day.
    """
    if valued_every_seconds is not None and not _SHORTEST_INTERVAL <= valued_every_seconds <= _LONGEST_INTERVAL:
        message = f"valued_every_seconds must be between a millisecond and a day, found {valued_every_seconds}"
        raise InputError(FailureReason.INVALID_QUANTITY, message)
    markets = Markets(valued_every_seconds)
    slow = _Assessor(rulebook, max_quote_age_seconds, markets)
    assess = LiveAssess(rulebook, max_quote_age_seconds, slow, markets.at, valued_every_seconds) if live else slow
    watchman = watchman_of(rulebook.procedure) if guard is None else None
    guard = guard or (middle_quotes if watchman is None else watchman.guard)
    stress = stress_of(rulebook, markets.at, account_with, max_quote_age_seconds)
    return Rules(assess, rulebook.digest, react, guard, take_bid, watchman or no_breakers, stress=stress)
