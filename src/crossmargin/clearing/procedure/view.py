"""One pool of the ledger as a procedure reads it: the engine's own figures, and what may be tried on them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from functools import cached_property
from typing import TYPE_CHECKING

from crossmargin.account import Account, Position
from crossmargin.clearing.bridge import account_with
from crossmargin.clearing.configuration import UNIT_MARK
from crossmargin.clearing.ledger import HOUSE, WALLET
from crossmargin.clearing.procedure.books import book_of
from crossmargin.clearing.procedure.outside import Outside, currency_of
from crossmargin.errors import FailureReason, InputError
from crossmargin.instruments import ContractKind, InstrumentKind
from crossmargin.liquidation import Desk, Engine, Pool, Venue, scope_of
from crossmargin.liquidation.trials import trying

if TYPE_CHECKING:
    from crossmargin.clearing.contracts import Terms
    from crossmargin.clearing.state import State
    from crossmargin.liquidation import Case, Holdings, Leg
    from crossmargin.liquidation.formulas import Amount
    from crossmargin.liquidation.scope import Scope
    from crossmargin.margin import Rulebook
    from crossmargin.margin.procedure import Procedure
    from crossmargin.market import Snapshot

__all__ = ["Setting", "View", "hedge_of", "named", "one_of", "parted", "price_in_money", "view_of"]


@dataclass(frozen=True, slots=True)
class Setting:
    """What every case of a house shares at one moment: the state, its market, the rulebook, and the outside."""

    state: State
    market: Snapshot
    rulebook: Rulebook
    outside: Outside

    @property
    def procedure(self) -> Procedure:
        """The rulebook's procedure."""
        return self.rulebook.procedure

    @property
    def currency(self) -> str:
        """The asset that stands for money."""
        return currency_of(self.outside, self.state.configuration, self.market.reporting_asset)

    def at(self, state: State) -> Setting:
        """Return the same setting one posting later; marks stay."""
        return replace(self, state=state)


@dataclass(frozen=True, slots=True)
class View:
    """A pool: who it is, the engine that assesses it, its holdings as a little book, and its figures."""

    setting: Setting
    owner: str
    unit: str
    engine: Engine
    holdings: Holdings
    pool: Pool

    @property
    def name(self) -> str:
        """The pool's name in events."""
        return named(self.owner, self.unit)

    @property
    def realise(self) -> bool:
        """Whether the profit of what is closed goes to the wallet, as the document says."""
        return self.setting.procedure.liquidation.realised == "wallet"

    @property
    def assets(self) -> list[str]:
        """The assets that the pool has or owes, in order of creation."""
        mine = {leg.terms.settles_in for leg in self.pool.legs if leg.terms.form == "asset"}
        holdings = self.setting.state.balances.get(self.owner, {})
        wallets = [asset for purse, asset in holdings if purse == WALLET]
        listed = [asset for asset in wallets if not self.unit or asset in mine]
        return listed + [asset for asset in sorted(mine) if asset not in wallets]

    def covers(self, terms: Terms) -> bool:
        """Return whether contracts of an instrument belong here: a parted owner has several pools."""
        mine = self.unit in {terms.symbol, terms.settlement}
        return not self.unit or mine or any(leg.name == terms.symbol for leg in self.pool.legs)

    def desk(self, case: Case, stated: Mapping[str, Amount] | None = None) -> Desk:
        """Return what surrounds the procedure here; a move may be tried on the little book."""
        holder = self.owner if self.owner in HOUSE else None
        outside = self.setting.outside
        plain = Desk(stated={**outside.inputs, **(stated or {})}, steps=outside.steps, holder=holder)
        return trying(plain, self.engine, self.holdings, self.pool, self.venue(case), 0.0)

    def venue(self, case: Case) -> Venue:
        """Return the market of the little book: fills at the mark, and instruments to hedge with."""
        return Venue(
            owner=self.owner,
            reporting=self.setting.currency,
            hedges=self.hedges(),
            realise=self.realise,
            reserved=sum((done.paid_in for done in case.done), Fraction(0)),
        )

    def scope(self, case: Case | None = None, stated: Mapping[str, Amount] | None = None) -> Scope:
        """Return where the document's formulas are evaluated over the whole pool."""
        desk = Desk(stated={**self.setting.outside.inputs, **(stated or {})})
        return scope_of(self.setting.procedure, self.pool, case, desk)

    def hedges(self) -> Mapping[str, Leg]:
        """Return of each underlying one contract of what hedges it, where the document hedges at all."""
        hedging = any(step.do == "hedge" for step in self.setting.procedure.liquidation.steps)
        return Hedges(self) if hedging else {}


class Hedges(Mapping[str, "Leg"]):
    """By underlying one contract of what hedges it, assessed when it is asked for: most steps hedge nothing."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._made: dict[str, Leg] = {}

    @cached_property
    def _symbols(self) -> dict[str, str]:
        legs = (leg for leg in self._view.pool.legs if leg.terms.form != "asset")
        found = {leg.keys["bucket"]: hedge_of(self._view, leg) for leg in legs}
        return {bucket: symbol for bucket, symbol in found.items() if symbol is not None}

    def __getitem__(self, bucket: str) -> Leg:
        """Return the contract; raises KeyError for an underlying that nothing hedges."""
        if bucket not in self._made:
            self._made[bucket] = one_of(self._view.setting, self._symbols[bucket])
        return self._made[bucket]

    def __iter__(self) -> Iterator[str]:
        """Yield every underlying."""
        return iter(self._symbols)

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._symbols)


def view_of(setting: Setting, owner: str, unit: str) -> View:
    """Return a pool as the engine sees it now.

    Raises
    ------
    InputError
        The account cannot be assessed.
    """
    state = setting.state
    engine = _engine(setting, account_with(state, owner, state.balances.get(owner, {})), unit or None)
    holdings = book_of(state, owner)
    return View(setting, owner, unit, engine, holdings, engine(holdings, 0.0))


def _engine(setting: Setting, account: Account, unit: str | None) -> Engine:
    lots = {
        symbol: Fraction(1, 10**terms.contract.quantity_digits)
        for symbol, terms in setting.state.configuration.terms.items()
    }
    return Engine(account, lambda _: setting.market, setting.rulebook, unit, lots, setting.outside.depth)


def hedge_of(view: View, leg: Leg) -> str | None:
    """Return the instrument that hedges a leg's underlying: its first linear perpetual by name, else another one.

    Of a pool that an owner's holdings are parted into, one that belongs to the pool.
    """
    same, setting = [], view.setting
    for symbol, terms in setting.state.configuration.terms.items():
        instrument = terms.contract.instrument
        if instrument.underlying == leg.keys["bucket"] and symbol in setting.state.marks and view.covers(terms):
            kinds = (InstrumentKind.PERPETUAL, InstrumentKind.FUTURE)
            if instrument.kind in kinds:
                order = (kinds.index(instrument.kind), instrument.contract != ContractKind.LINEAR, symbol)
                same.append((order, symbol))
    return min(same)[1] if same else None


def one_of(setting: Setting, symbol: str) -> Leg:
    """Return one contract of an instrument as a leg, with its delta."""
    price = Decimal(str(setting.market.listings[symbol].mark_price))
    held = Account(id="hedge", positions=(Position(instrument=symbol, quantity=Decimal(1), entry_price=price),))
    engine = _engine(setting, held, None)
    return next(leg for leg in engine(engine.opening(), 0.0).legs if leg.name == symbol)


def price_in_money(setting: Setting, asset: str) -> Fraction:
    """Return the price of an asset in reporting money, exactly as it stands; the reporting asset's own is 1.

    Raises
    ------
    InputError
        MISSING_QUOTE: there is no mark of it.
    """
    if asset == setting.market.reporting_asset and asset not in setting.state.marks:
        return Fraction(1)
    quote = setting.state.marks.get(asset)
    if quote is None:
        raise InputError(FailureReason.MISSING_QUOTE, f"no price of {asset} stands, and money is paid in it")
    return Fraction(quote.price, 10 ** setting.state.configuration.assets[asset].price_digits)


def named(owner: str, unit: str) -> str:
    """Return the name of a pool."""
    return f"{owner}{UNIT_MARK}{unit}" if unit else owner


def parted(pool: str) -> tuple[str, str]:
    """Return the owner and the unit that a pool's name is made of."""
    owner, _, unit = pool.partition(UNIT_MARK)
    return owner, unit
