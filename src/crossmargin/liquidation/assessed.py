"""The engine as what a procedure reads: an account's holdings assessed, as a pool with its figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cached_property, partial
from itertools import compress
from math import inf
from typing import TYPE_CHECKING, Final

import msgspec
import numpy as np

from crossmargin.account import Book
from crossmargin.errors import InputError
from crossmargin.liquidation.formulas import Amount, as_fraction
from crossmargin.liquidation.holdings import BASIS, HELD, WALLET, Holdings, Row, account_of, opening, traded
from crossmargin.liquidation.kept import kept_for
from crossmargin.liquidation.lazily import AllTerms, Made, OfRow
from crossmargin.liquidation.pools import Figures, Leg, Pool, Terms
from crossmargin.liquidation.prices import bankruptcy_price
from crossmargin.liquidation.readings import balances, figures_of_nothing, line_names, line_on, line_total, measured
from crossmargin.margin.assess import assess_book, assess_resolved
from crossmargin.margin.model import INITIAL
from crossmargin.margin.procedure_checks import HEADROOM
from crossmargin.margin.resolve import resolve
from crossmargin.margin.vocabulary import MEASURES, WORDS
from crossmargin.scenarios import ASSET

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from crossmargin.account import Account
    from crossmargin.margin.assess import BookReport
    from crossmargin.margin.model import Rulebook
    from crossmargin.market import Snapshot

__all__ = ["Engine", "View", "without"]

_TRIAL: Final = Fraction(1, 100)  # of a leg, closed to see what that frees
_OTHER: Final = "book"


@dataclass(frozen=True, eq=False)
class Engine:
    """What assesses one account's holdings, again and again.

    Parameters
    ----------
    account
        The account as it was: class, mode, orders and inputs stay its own.
    market
        The snapshot so many seconds after the case began.
    pool
        Which pool is liquidated; None: the first.
    lots
        The smallest number of contracts that trade, by instrument.
    depth
        Contracts that the book offers at once, by instrument.
    """

    account: Account
    market: Callable[[float], Snapshot]
    rulebook: Rulebook
    pool: str | None = None
    lots: Mapping[str, Fraction] = field(default_factory=dict)
    depth: Mapping[str, Fraction] = field(default_factory=dict)
    _terms: list[AllTerms] = field(default_factory=list, init=False, repr=False)

    def terms(self, elapsed: float = 0.0) -> Mapping[str, Terms]:
        """Return the terms of every instrument of the market; each is made when it is asked for."""
        listings = self.market(elapsed).listings
        if not self._terms or self._terms[0].listings is not listings:
            self._terms[:] = [AllTerms(listings)]
        return self._terms[0]

    def opening(self) -> Holdings:
        """Return the account as a book."""
        return opening(self.account, self.terms())

    def __call__(self, holdings: Holdings, elapsed: float) -> Pool:
        """Return the pool with its figures; raises :class:`InputError` where the account is refused."""
        return self.view(holdings, elapsed).made

    def view(self, holdings: Holdings, elapsed: float = 0.0, *, before: View | None = None) -> View:
        """Return the assessment itself, whose `made` is the pool; raises as above.

        Parameters
        ----------
        before
            An assessment of the same account at the same moment: what of it is the market's is not made twice.
        """
        (found,) = self.views([holdings], elapsed, before=before)
        if isinstance(found, InputError):
            raise found
        return found

    def views(
        self, books: Sequence[Holdings], elapsed: float = 0.0, *, before: View | None = None
    ) -> list[View | InputError]:
        """Return many states of the account in one assessment; of a state that is refused, why."""
        report = self.assessed(books, elapsed, before=before)
        found: list[View | InputError] = []
        for place, holdings in enumerate(books):
            failure = report.failures.get(place)
            if failure is None:
                found.append(View(self, holdings, elapsed, report, place))
            else:
                where = {"account": failure.account, "instrument": failure.instrument}
                found.append(InputError(failure.reason, failure.message, **where))
        return found

    def assessed(self, books: Iterable[Holdings], elapsed: float, *, before: View | None = None) -> BookReport:
        """Return the report of many states of the account, each an account of its own."""
        terms = self.terms(elapsed)
        accounts = [
            _renamed(account_of(book, self.account.id, terms, self.account), number)
            for number, book in enumerate(books)
        ]
        book, market = Book.from_accounts(accounts), self.market(elapsed)
        if before is None or before.market is not market:
            return assess_book(book, market, self.rulebook, max_quote_age_seconds=None)
        with np.errstate(over="ignore", invalid="ignore"):  # as `assess_book` has it
            known = before.report.resolved
            resolved = resolve(book, market, self.rulebook, max_quote_age_seconds=None, before=known)
            return assess_resolved(resolved, self.rulebook, kept_for(before.report, resolved))

    def headrooms(self, books: Sequence[Holdings], requirement: str) -> list[float | None]:
        """Return the pool's headroom over a requirement in many states of its book, in one call of the engine.

        None where a state is refused; of a pool that nothing is left in, 0.
        """
        name = f"{requirement}{HEADROOM}"
        found = self.views(books)
        return [None if isinstance(one, InputError) else float(one.made.figures[name]) for one in found]


class View:
    """One assessment: holdings at one moment, which stand at one place of a report."""

    def __init__(self, engine: Engine, holdings: Holdings, elapsed: float, report: BookReport, place: int) -> None:
        self.engine = engine
        self.holdings = holdings
        self.elapsed = elapsed
        self.owner = engine.account.id
        self.market = engine.market(elapsed)
        self.terms = engine.terms(elapsed)
        self.report = report
        units = np.flatnonzero(report.resolved.units.account == place).tolist()
        labels = [report.resolved.units.label[unit] for unit in units]
        self.unit = -1
        if labels and (engine.pool is None or engine.pool in labels):
            self.unit = units[0 if engine.pool is None else labels.index(engine.pool)]

    @property
    def made(self) -> Pool:
        """The pool."""
        if self.unit < 0:
            return Pool(figures_of_nothing(self.engine.rulebook))
        return Pool(Figures(self._known(), self._sums()), Made(self.rows, self._leg))

    @cached_property
    def rows(self) -> list[int]:
        """Where the pool's legs stand."""
        found: list[int] = np.flatnonzero(self.report.resolved.legs.unit == self.unit).tolist()
        return found

    @property
    def instruments(self) -> Iterator[str]:
        """The instruments that the pool has legs of."""
        resolved = self.report.resolved
        contract, kind = resolved.legs.contract[self.rows], resolved.contracts.kind
        for place in contract[kind[contract] != ASSET].tolist():
            yield resolved.names.symbols[int(resolved.contracts.symbol[place])]

    @cached_property
    def words(self) -> list[frozenset[str]]:
        """Of each leg the words of `of` that select it; legs alike share theirs."""
        measures = self.report.evaluation.measures
        listed = tuple(WORDS)
        flags, which = np.unique(np.stack([measures.word(word) for word in listed]), axis=1, return_inverse=True)
        sets = [frozenset(compress(listed, chosen)) for chosen in flags.T.tolist()]
        return [sets[i] for i in which.reshape(-1).tolist()]

    @cached_property
    def by_row(self) -> dict[str, Callable[[int], Amount]]:
        """What is read of the row that a leg stands in: measures, and lines by requirement."""
        evaluation = self.report.evaluation
        made: dict[str, Callable[[int], Amount]] = {
            measure: partial(measured, evaluation, measure) for measure in MEASURES if measure != "equity"
        }
        return made | {key: partial(line_on, evaluation, line, of) for key, line, of in self.lines}

    @cached_property
    def lines(self) -> list[tuple[str, str, str]]:
        """How lines are called, with their requirement."""
        return line_names(self.engine.rulebook)

    def _known(self) -> dict[str, Amount]:
        """Return the pool's own figures."""
        report, evaluation, unit = self.report, self.report.evaluation, self.unit
        found: dict[str, Amount] = {
            "equity": float(report.unit_equity[unit]),
            "adjusted_equity": float(report.unit_adjusted_maintenance[unit]),
            "coverage_ratio": float(report.unit_coverage[unit]),
        }
        for name in self.engine.rulebook.requirements:
            required = float(evaluation.requirement(name)[unit])
            found[name] = required
            found[f"{name}{HEADROOM}"] = float(evaluation.adjusted(name)[unit]) - required
        found["available_margin"] = found[f"{INITIAL}{HEADROOM}"]
        return found

    def _sums(self) -> dict[str, Callable[[], Amount]]:
        """Return what is added up over the pool when it is asked for: lines, and the notional of all legs."""
        evaluation, unit = self.report.evaluation, self.unit
        made: dict[str, Callable[[], Amount]] = {
            key: partial(line_total, evaluation, name, requirement, unit) for key, name, requirement in self.lines
        }
        rows = (self.report.resolved.legs.unit == unit) & ~balances(self.report)
        made["gross"] = lambda: float(np.sum(evaluation.measures["notional"][rows]))
        return made

    def _leg(self, row: int) -> Leg:
        resolved = self.report.resolved
        contract = int(resolved.legs.contract[row])
        name = resolved.names.symbols[int(resolved.contracts.symbol[contract])]
        words = self.words[row]
        is_balance = "asset" in words
        asset = resolved.names.assets[int(resolved.contracts.settle_asset[contract])]
        terms = Terms(asset, form="asset") if is_balance else self.terms[name]
        known: dict[str, Amount] = {"contracts_held": abs(float(resolved.legs.quantity[row]))}
        if name in self.engine.lots:
            known["lot"] = self.engine.lots[name]
        known["depth"] = self.engine.depth.get(name, inf)
        made = OfRow(self.by_row, row, self._derived(row, name, terms))
        keys = {
            "bucket": resolved.names.buckets[int(resolved.contracts.bucket[contract])],
            "instrument": name,
            "asset": asset if not is_balance else name,
            "settlement_asset": asset,
            "quote_asset": resolved.names.assets[int(resolved.contracts.quote_asset[contract])],
            "class": self.engine.account.class_ or "",
            "kind": next(iter(words & {"option", "perpetual", "future", "spot", "asset"}), ""),
        }
        return Leg(name, Figures(known, made), words, keys, terms)

    def _derived(self, row: int, name: str, terms: Terms) -> dict[str, Callable[[], Amount]]:
        """Return figures of a leg that follow from others, or from trying what its closing would free."""
        measures = self.report.evaluation.measures
        held = abs(float(self.report.resolved.legs.quantity[row])) or 1.0

        def quote() -> float:
            return float(self.holdings.get(self.owner, BASIS, terms.settles_in, name))

        def unsettled() -> float:
            contracts = self.holdings.get(self.owner, HELD, name, name)
            return quote() - (float(terms.money(contracts, terms.mark)) if contracts else 0.0)

        return {
            "contract": lambda: abs(float(measures["quantity"][row])) / held,
            "settle_price": lambda: float(measures["settle_rate"][row]),
            "quote": quote,
            "unsettled_pnl": unsettled,
            "wallet": lambda: float(self.holdings.get(self.owner, WALLET, terms.settles_in)),
            "bucket_delta": lambda: self._same_bucket(row, "delta"),
            "pair": lambda: self._pair(row),
            "bankruptcy_price": lambda: self._bankruptcy_price(row, terms),
            "relief": lambda: self.reliefs.get(name, 0.0),
            "debt_value": lambda: max(-float(measures["quantity"][row]), 0.0) * float(measures["price"][row]),
            "collateral_value": lambda: max(float(measures["quantity"][row]), 0.0) * float(measures["price"][row]),
        }

    def _same_bucket(self, row: int, measure: str) -> float:
        rows = self._bucket_rows(row)
        return float(np.sum(self.report.evaluation.measures[measure][rows]))

    def _bucket_rows(self, row: int) -> list[int]:
        resolved = self.report.resolved
        bucket = resolved.contracts.bucket[resolved.legs.contract]
        same = (bucket == bucket[row]) & (resolved.legs.unit == self.unit)
        return [int(i) for i in np.flatnonzero(same & ~balances(self.report))]

    def _pair(self, row: int) -> float:
        """Return the contracts of a leg that the largest opposite leg of its underlying matches."""
        quantity = self.report.resolved.legs.quantity
        opposite = [abs(float(quantity[i])) for i in self._bucket_rows(row) if quantity[i] * quantity[row] < 0]
        return min(max(opposite, default=0.0), abs(float(quantity[row])))

    def _bankruptcy_price(self, row: int, terms: Terms) -> float:
        """Return the leg's price at which the pool's equity is 0, all else at mark.

        It is stated as `price` is, in reporting money per unit: so much times it as the mark is moved.
        """
        measures = self.report.evaluation.measures
        mark = as_fraction(float(measures.of_contract("mark")[row]))
        contracts = as_fraction(float(self.report.resolved.legs.quantity[row]))
        equity = float(self.report.unit_equity[self.unit]) / float(measures["settle_rate"][row])
        found = bankruptcy_price(replace(terms, mark=mark), contracts, as_fraction(equity))
        return float(found * as_fraction(float(measures["price"][row])) / mark) if mark else float(found)

    @cached_property
    def reliefs(self) -> dict[str, float]:
        """Maintenance freed per contract of each leg, from closing a lot of it, or one per cent, at its mark."""
        legs = [leg for leg in self.made.legs if leg.terms.form != "asset"]
        parts = [_part(leg) for leg in legs]
        books = [without(self.holdings, self.owner, leg, part) for leg, part in zip(legs, parts, strict=True)]
        report = self.engine.assessed([self.holdings, *books], self.elapsed)
        labels = report.resolved.units
        column = report.unit_maintenance
        wanted = self.report.resolved.units.label[self.unit]
        by_account = {
            int(account): float(column[unit])
            for unit, account in enumerate(labels.account.tolist())
            if labels.label[unit] == wanted
        }
        before = by_account.get(0, 0.0)
        return {
            leg.name: (before - by_account.get(number, 0.0)) / float(part)
            for number, (leg, part) in enumerate(zip(legs, parts, strict=True), start=1)
        }


def without(holdings: Holdings, owner: str, leg: Leg, part: Fraction) -> Holdings:
    """Return a book after an owner has closed `part` contracts of a leg at its mark, unsigned."""
    contracts = -part if leg.figures["quantity"] > 0 else part
    paid = leg.terms.money(contracts, leg.terms.mark)
    rows: list[Row] = []
    for one, change, received in ((owner, contracts, paid), (_OTHER, -contracts, -paid)):
        rows += traded(holdings, one, leg.name, leg.terms, change, received, realise=True)
    return holdings.posted(rows)


def _part(leg: Leg) -> Fraction:
    held = abs(as_fraction(leg.figures["contracts_held"]))
    least = as_fraction(leg.figures["lot"]) if "lot" in leg.figures else Fraction(0)
    return min(max(least, held * _TRIAL), held) if held else Fraction(1)


def _renamed(account: Account, number: int) -> Account:
    return msgspec.structs.replace(account, id=f"{account.id}#{number}" if number else account.id)
