"""What a trade costs against the mark: half the spread, impact and fees, or a recorded order book; always convex."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np

from crossmargin.errors import FailureReason, InputError
from crossmargin.liquidation.formulas import as_fraction

if TYPE_CHECKING:
    import numpy.typing as npt

    from crossmargin.liquidation.pools import Leg, Terms
    from crossmargin.liquidation.postings import Fill

    Floats = npt.NDArray[np.float64]

__all__ = ["Costs", "Impact", "Ladder", "Segments", "Tariff"]

_KNOTS: Final = np.append(0.0, np.geomspace(0.004, 1.0, 8))  # of the most that is traded
_AROUND: Final = np.asarray([0.5, 0.7, 0.85, 0.95, 1.0, 1.05, 1.2, 1.5, 2.0])  # of an amount that is wanted
_BEYOND: Final = 0.02  # of the last level's price: what is assumed to be behind it
_LEAST_PRICE: Final = 0.01  # of the mark: nothing is sold for less, whatever the model says


@dataclass(frozen=True, slots=True)
class Impact:
    """A stated model: a trade of Q contracts pays ``half_spread + impact * sqrt(Q / volume)`` per contract.

    The square-root law of market impact (Toth et al. 2011): `impact` is a day's volatility times a factor near 1.

    Parameters
    ----------
    half_spread, impact
        >= 0, in the instrument's own price.
    volume
        > 0, contracts that trade in a day.
    """

    half_spread: float
    impact: float = 0.0
    volume: float = 1.0


@dataclass(frozen=True, slots=True)
class Ladder:
    """A recorded order book: (price, contracts), best first. What it does not hold is 2 % behind its last level."""

    bids: tuple[tuple[float, float], ...] = ()
    asks: tuple[tuple[float, float], ...] = ()


Liquidity: TypeAlias = Impact | Ladder


@dataclass(frozen=True, slots=True, eq=False)
class Segments:
    """A convex cost as straight parts: contracts of each, and what one contract of it costs, settlement asset."""

    width: Floats
    each: Floats

    def first(self, parts: int) -> Segments:
        """Return the first parts alone."""
        return Segments(self.width[:parts], self.each[:parts])


@dataclass(frozen=True, slots=True)
class Costs:
    """What trades cost, by instrument.

    Parameters
    ----------
    books
        A model or a recorded book for each instrument that may be traded.
    fee
        The venue's fee, a fraction of what the trade pays.
    """

    books: Mapping[str, Liquidity] = field(default_factory=dict)
    fee: float = 0.0

    def total(self, name: str, terms: Terms, contracts: float) -> float:
        """Return what trading these contracts (signed) at once costs against the mark, settlement asset."""
        return float(self.totals(name, terms, np.asarray([contracts]))[0])

    def totals(self, name: str, terms: Terms, contracts: Floats) -> Floats:
        """Return the same for many amounts [n], each on its own."""
        book, mark = self.book(name), float(terms.mark)
        if isinstance(book, Impact):
            price = _impacted(contracts, mark, book.half_spread, book.impact, book.volume)
            paid = _money(terms, contracts, price)
        else:
            paid = np.where(contracts > 0, _swept(book, terms, contracts, 1), _swept(book, terms, contracts, -1))
        return np.asarray(_money(terms, contracts, mark) - paid + self.fee * np.abs(paid))

    def segments(
        self, name: str, terms: Terms, side: int, most: float, *, around: float = 0.0, under: bool = False
    ) -> Segments:
        """Return the cost of trading up to `most` contracts on one side, as chords: never less than the cost.

        Parameters
        ----------
        side
            +1 buys, -1 sells.
        around
            Contracts near which chords are short; 0: nowhere in particular.
        under
            Whether the parts are tangents instead: never more than the cost, for a lower bound.
        """
        book = self.book(name)
        knots = np.unique(np.minimum(np.concatenate([_KNOTS * most, _AROUND * around, [most]]), most))
        if isinstance(book, Ladder):
            knots = np.unique(np.concatenate([knots, _levels(book, side, most)]))
        cost = self.totals(name, terms, side * knots)
        if under and isinstance(book, Impact):
            hair = 1e-6 * most
            each = (self.totals(name, terms, side * (knots[:-1] + hair)) - cost[:-1]) / hair
        else:
            each = np.diff(cost) / np.diff(knots)
        return Segments(np.diff(knots), np.maximum.accumulate(each))

    def fill(self, start: Mapping[str, Fraction] | None = None) -> Fill:
        """Return the market that a procedure trades in: prices with all costs in.

        Parameters
        ----------
        start
            Contracts held when the case began, by instrument: what was closed since has used up the book, which does
            not refill.
        """

        def price(leg: Leg, contracts: Fraction) -> Fraction:
            name, terms = leg.keys.get("instrument", leg.name), leg.terms
            done = float(as_fraction(leg.figures["contracts"]) - start[name]) if start and name in start else 0.0
            signed = float(contracts)
            done = done if done * signed > 0 else 0.0
            cost = self.total(name, terms, done + signed) - (self.total(name, terms, done) if done else 0.0)
            return priced(terms, contracts, cost)

        return price

    def book(self, name: str) -> Liquidity:
        """Return what is known of an instrument; raises :class:`InputError` where nothing is."""
        book = self.books.get(name)
        if book is None:
            message = "nothing says what trading it costs: give it an order book, or a model for what has none"
            raise InputError(FailureReason.MISSING_QUOTE, message, instrument=name)
        return book


def priced(terms: Terms, contracts: Fraction, cost: float) -> Fraction:
    """Return the price at which trading these contracts (signed) costs so much against the mark."""
    if not contracts:
        return terms.mark
    paid = terms.money(contracts, terms.mark) - as_fraction(cost)
    if terms.form == "inverse":
        return contracts * terms.multiplier / paid
    return -paid / (contracts * terms.multiplier)


def _money(terms: Terms, contracts: Floats, price: Floats | float) -> Floats:
    """Return what who takes these contracts (signed) receives, settlement asset; as :meth:`Terms.money` has it."""
    each = float(terms.multiplier)
    return np.asarray(contracts * each / price if terms.form == "inverse" else -contracts * each * price)


def _impacted(contracts: Floats, mark: Any, half: Any, impact: Any, volume: Any) -> Floats:  # noqa: ANN401 - numbers or columns
    """Return the price of trading these contracts (signed) under the stated model."""
    away = half + impact * np.sqrt(np.abs(contracts) / volume)
    return np.asarray(np.where(contracts > 0, mark + away, np.maximum(mark - away, _LEAST_PRICE * mark)))


@dataclass(frozen=True, slots=True, eq=False)
class Tariff:
    """The costs of a list of ways, side by side: each an instrument's, on one side.

    Parameters
    ----------
    ways
        (instrument, its terms, +1 buys or -1 sells).
    """

    costs: Costs
    ways: tuple[tuple[str, Terms, int], ...]
    model: Floats
    modelled: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, costs: Costs, ways: Iterable[tuple[str, Terms, int]]) -> Tariff:
        """Return the costs of some ways; raises :class:`InputError` for one of which nothing is known."""
        listed = tuple(ways)
        rows = [_columns(costs.book(name), terms, side) for name, terms, side in listed]
        flags = np.asarray([row is not None for row in rows], dtype=bool)
        return cls(costs, listed, np.asarray([row or _NO_MODEL for row in rows]).reshape(-1, 7).T, flags)

    def segments(self, most: Floats) -> list[Segments]:
        """Return the cost of trading up to so many contracts [ways], as :meth:`Costs.segments` has it."""
        knots = _KNOTS[:, None] * np.where(self.modelled, most, 0.0)
        width = np.diff(knots, axis=0)
        each = np.diff(self.paid(knots), axis=0) / np.where(self.modelled, width, 1.0)
        each = np.maximum.accumulate(each, axis=0)
        return [
            Segments(width[:, place], each[:, place])
            if self.modelled[place]
            else self.costs.segments(name, terms, side, float(most[place]))
            for place, (name, terms, side) in enumerate(self.ways)
        ]

    def paid(self, trades: Floats) -> Floats:
        """Return what trades >= 0 cost by way [points, ways], each way's settlement asset."""
        side, mark, half, impact, volume, multiplier, inverse = self.model
        signed = trades * side
        price = _impacted(signed, mark, half, impact, volume)
        worth, at_mark = (-signed * one * multiplier for one in (price, mark))
        if inverse.any():
            worth = np.where(inverse > 0, signed / price * multiplier, worth)
            at_mark = np.where(inverse > 0, signed / mark * multiplier, at_mark)
        out = at_mark - worth + self.costs.fee * np.abs(worth)
        for place in () if self.modelled.all() else np.flatnonzero(~self.modelled & trades.any(axis=0)):
            name, terms, way = self.ways[place]
            out[:, place] = self.costs.totals(name, terms, way * trades[:, place])
        return np.asarray(np.where(trades > 0, out, 0.0))


_NO_MODEL: Final = (1.0, 1.0, 0.0, 0.0, 1.0, 1.0, 0.0)


def _columns(book: Liquidity, terms: Terms, side: int) -> tuple[float, ...] | None:
    """Return the stated model of one way as numbers; None for a recorded book, and for what is worth nothing."""
    if not isinstance(book, Impact) or not terms.mark:
        return None
    inverse = 1.0 if terms.form == "inverse" else 0.0
    return side, float(terms.mark), book.half_spread, book.impact, book.volume, float(terms.multiplier), inverse


def _side(book: Ladder, side: int) -> list[tuple[float, float]]:
    return [level for level in (book.asks if side > 0 else book.bids) if level[1] > 0]


def _swept(book: Ladder, terms: Terms, contracts: Floats, side: int) -> Floats:
    """Return what sweeping one side of the book pays in, signed; behind the last level 2 % is assumed."""
    levels = np.asarray(_side(book, side)).reshape(-1, 2)
    last = float(levels[-1, 0]) if levels.size else float(terms.mark)
    ends = np.concatenate([[0.0], np.cumsum(levels[:, 1])])
    paid = np.concatenate([[0.0], np.cumsum(_money(terms, side * levels[:, 1], levels[:, 0]))])
    taken = np.minimum(np.abs(contracts), ends[-1])
    behind = _money(terms, side * (np.abs(contracts) - taken), last * (1 + side * _BEYOND))
    return np.asarray(np.interp(taken, ends, paid) + behind)


def _levels(book: Ladder, side: int, most: float) -> Floats:
    """Return where a book's levels end, as many as a model has knots: nearest first, then ever fewer of them."""
    sizes = np.cumsum([offered for _, offered in _side(book, side)])
    sizes = sizes[sizes < most]
    if sizes.size <= _KNOTS.size:
        return sizes
    return np.asarray(sizes[np.unique(np.geomspace(1, sizes.size, _KNOTS.size).astype(int)) - 1])
