"""A resolved book in a moved market: the one place where stress, what-if and liquidation prices move prices.

What moves with underlying X by factor f: the mark of its linear and inverse contracts, index, the variable part of
forwards; the price of X itself and of everything that wraps it, and with them what is settled, quoted or reported in
them. A contract quoted in something that moves is divided by that move: ETH in BTC falls when BTC alone rises. Option
marks move by the model, so that what the recorded mark differs from the model by is kept. Ratios to slow prices
(stable price, average) stay: those move along.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from crossmargin.pricing.black76 import price as black76
from crossmargin.scenarios import ASSET, OPTION, PERPETUAL

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    from crossmargin.margin.resolved import Resolved
    from crossmargin.scenarios import Contracts

    Floats = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.int64]

_JUST_EXPIRED = 1e-12  # years: so that formulas that divide by time stay finite where a value is intrinsic


@dataclass(frozen=True, slots=True)
class Moves:
    """One joint move of the market for each copy of a book. Every value is an array [copies], or one number for all.

    Parameters
    ----------
    prices
        Factor by root asset (``BTC``): it, what wraps it, and every contract on it. Names not here stay.
    pegs
        Factor by asset: its own price alone, not its root's nor that of contracts quoted in it.
    vols
        Factor on implied vol by underlying; `vol` for the underlyings that are not named.
    years
        Time that passes, >= 0. An option that expires meanwhile is worth its intrinsic value.
    rate
        Absolute change of interest rates.
    funding
        One funding payment at this rate: a perpetual's long pays rate x notional at the moved mark in its
        settlement asset, a short receives it.
    """

    prices: Mapping[str, Floats | float] = field(default_factory=dict)
    pegs: Mapping[str, Floats | float] = field(default_factory=dict)
    vols: Mapping[str, Floats | float] = field(default_factory=dict)
    vol: Floats | float = 1.0
    years: Floats | float = 0.0
    rate: Floats | float = 0.0
    funding: Floats | float = 0.0


def moved(resolved: Resolved, moves: Moves, *, discount: bool = False) -> Resolved:
    """Return the same book in the moved market; of a tiled book each copy has its own move.

    Parameters
    ----------
    discount
        Whether the rulebook discounts option values.
    """
    factors = _Factors(resolved, moves)
    c = resolved.contracts
    own = factors.by_name(resolved.names.buckets, moves.prices, c.bucket)
    price = factors.asset_price(c.own_asset)
    balance = c.kind == ASSET
    # a balance is quoted in itself: its price moves, and no quote asset stands under it
    quoted = np.where(balance, 1.0, factors.asset_root(c.quote_asset))
    path = np.where(balance, price, own / quoted)
    shifted = replace(
        c,
        mark=c.mark * path,
        index=c.index * np.where(balance, factors.root_price(resolved, c.bucket), own / quoted),
        forward=np.where(balance, c.forward * price, (c.forward - c.fixed_forward) * path + c.fixed_forward),
        iv=c.iv * factors.by_name(resolved.names.buckets, moves.vols, c.bucket, moves.vol),
        years=_years_left(c, factors.each(moves.years)),
        rate=c.rate + np.where(c.kind == OPTION, factors.each(moves.rate), 0.0),
        quote_rate=np.where(balance, c.quote_rate, c.quote_rate * factors.asset_price(c.quote_asset)),
        settle_rate=c.settle_rate * factors.asset_price(c.settle_asset),
        root_rate=c.root_rate * factors.root_price(resolved, c.bucket),
    )
    shifted = replace(shifted, mark=_option_marks(c, shifted, discount=discount))
    units = replace(resolved.units, numeraire=resolved.units.numeraire * factors.reporting_price(resolved))
    after = replace(resolved, contracts=shifted, units=units)
    return after if np.all(np.asarray(moves.funding) == 0.0) else _with_funding(after, moves)


class _Factors:
    """Moves as columns [contracts] of a book that may be tiled."""

    def __init__(self, resolved: Resolved, moves: Moves) -> None:
        self.names = resolved.names
        self.moves = moves
        self.copies = resolved.copies
        self.per_copy = len(resolved.contracts) // self.copies
        self._assets: dict[str, Floats] = {}

    def each(self, value: Floats | float) -> Floats:
        """Return a value by contract."""
        return np.repeat(np.broadcast_to(np.asarray(value, dtype=np.float64), self.copies), self.per_copy)

    def by_name(
        self, names: tuple[str, ...], values: Mapping[str, Floats | float], codes: Ints, other: Floats | float = 1.0
    ) -> Floats:
        """Return the factor of the name that each code points to."""
        return self._read(self._table(names, values, other), codes)

    def asset_root(self, codes: Ints) -> Floats:
        """Return the factor by which each asset's root moves."""
        return self._read(self._root_table(), codes)

    def asset_price(self, codes: Ints) -> Floats:
        """Return the factor by which each asset's own price moves."""
        return self._read(self._root_table() * self._peg_table(self.names.assets), codes)

    def root_price(self, resolved: Resolved, buckets: Ints) -> Floats:
        """Return the factor by which the price of each bucket's own asset moves."""
        names = resolved.names.buckets
        return self._read(self._table(names, self.moves.prices) * self._peg_table(names), buckets)

    def reporting_price(self, resolved: Resolved) -> Floats:
        """Return the factor by which each pool's reporting asset moves [units]."""
        code, units = resolved.units.reporting, len(resolved.units) // self.copies
        name = resolved.reporting_asset
        rest = np.broadcast_to(
            np.asarray(self.moves.prices.get(name, 1.0)) * self.moves.pegs.get(name, 1.0), self.copies
        )
        factor = np.repeat(rest, units)
        known = code >= 0
        copy = np.repeat(np.arange(self.copies), units)
        table = self._root_table() * self._peg_table(self.names.assets)
        factor = np.array(factor, dtype=np.float64)
        factor[known] = table[code[known], copy[known]]
        return factor

    def _root_table(self) -> Floats:
        if "root" not in self._assets:
            self._assets["root"] = self._table(self.names.roots, self.moves.prices)
        return self._assets["root"]

    def _peg_table(self, names: tuple[str, ...]) -> Floats:
        return self._table(names, self.moves.pegs)

    def _table(
        self, names: tuple[str, ...], values: Mapping[str, Floats | float], other: Floats | float = 1.0
    ) -> Floats:
        """Return the value of each name, `other` where it has none, as [names, copies]."""
        table = np.full((len(names), self.copies), other, dtype=np.float64)
        for row, name in enumerate(names):
            if name in values:
                table[row] = values[name]
        return table

    def _read(self, table: Floats, codes: Ints) -> Floats:
        if not codes.shape[0]:
            return np.ones(0)
        copy = np.repeat(np.arange(self.copies), self.per_copy)
        return np.asarray(table[codes, copy])


def _years_left(c: Contracts, passed: Floats) -> Floats:
    if not passed.any():
        return c.years
    left = np.maximum(c.years - passed, _JUST_EXPIRED)
    return np.where(np.isnan(c.years), c.years, left)


def _option_marks(before: Contracts, after: Contracts, *, discount: bool) -> Floats:
    """Return marks after the move: an option's recorded mark plus what its model value changes by, at least 0."""
    rows = np.flatnonzero(before.kind == OPTION)
    mark = np.array(after.mark)
    if rows.size:
        change = _model_price(after, rows, discount=discount) - _model_price(before, rows, discount=discount)
        expired = after.years[rows] <= _JUST_EXPIRED
        kept = np.where(expired, _model_price(after, rows, discount=discount), before.mark[rows] + change)
        mark[rows] = np.maximum(kept, 0.0)
    return mark


def _model_price(c: Contracts, rows: Ints, *, discount: bool) -> Floats:
    """Return the model price of options in the unit of their mark: quote, or coin where coin-settled."""
    factor = np.exp(-np.maximum(c.rate[rows], 0.0) * c.years[rows]) if discount else 1.0
    value = black76(c.forward[rows], c.strike[rows], c.iv[rows], c.years[rows], c.call[rows], factor)
    return np.asarray(value / np.where(c.inverse[rows], c.forward[rows], 1.0))


def _with_funding(resolved: Resolved, moves: Moves) -> Resolved:
    """Return the book after one funding payment on its perpetuals."""
    c, legs = resolved.contracts, resolved.legs
    per_copy = legs.contract.shape[0] // resolved.copies
    rate = np.repeat(np.broadcast_to(np.asarray(moves.funding, dtype=np.float64), resolved.copies), per_copy)
    perpetual = c.kind == PERPETUAL
    mark = np.where(perpetual, c.mark, 1.0)
    notional = np.where(perpetual, c.multiplier * np.where(c.inverse, 1.0 / mark, mark), 0.0)
    paid = rate * legs.quantity * notional[legs.contract]
    return replace(resolved, legs=replace(legs, accrued=legs.accrued - paid))
