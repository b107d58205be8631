"""What may be traded: each way of it, and what one contract does to the engine's arrays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction
from math import floor, log10
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec
import numpy as np

from crossmargin.account import Book, Position
from crossmargin.errors import FailureReason, InputError
from crossmargin.liquidation.formulas import as_fraction
from crossmargin.liquidation.holdings import BASIS, HELD, WALLET, account_of
from crossmargin.margin.resolve import resolve
from crossmargin.scenarios import ASSET

if TYPE_CHECKING:
    import numpy.typing as npt

    from crossmargin.liquidation.assessed import Engine, View
    from crossmargin.liquidation.holdings import Holdings
    from crossmargin.liquidation.pools import Terms
    from crossmargin.margin.resolved import Resolved

    Floats = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.int64]

__all__ = ["Way", "Ways", "ways_of"]

_ROUNDING: Final = 1e-12  # of what stood there before
_DIGITS: Final = 6  # of a position whose lot nobody states: as fine as it is traded


class Way(NamedTuple):
    """One instrument on one side: `side` +1 buys, -1 sells; at `most`; `least` trades; `opens` a hedge, else closes."""

    name: str
    side: int
    most: Fraction
    least: Fraction
    opens: bool
    terms: Terms


@dataclass(frozen=True, slots=True, eq=False)
class Ways:
    """Ways to trade, and the engine's arrays of the account that they change.

    Parameters
    ----------
    account
        The account with a leg for all that may be traded or paid in; `quantity` says what it really holds.
    unit
        The pool.
    leg, wallet
        [ways] the legs of the instrument and of the balance that it pays in.
    paid, booked, accrued
        [ways] what one contract at its mark adds to the wallet, to the leg's cost, to its accrued P&L.
    side, most, least
        [ways] as the ways have them.
    """

    listed: tuple[Way, ...]
    account: Resolved
    unit: int
    leg: Ints
    wallet: Ints
    paid: Floats
    booked: Floats
    accrued: Floats
    side: Floats
    most: Floats
    least: Floats

    def __len__(self) -> int:
        """Return how many ways there are."""
        return len(self.listed)

    @property
    def legs(self) -> int:
        """How many legs one copy of the account has."""
        return int(self.account.legs.contract.shape[0])

    @property
    def units(self) -> int:
        """How many pools one copy of the account has."""
        return len(self.account.units)

    @property
    def rate(self) -> Floats:
        """[ways] the pool's reporting money per unit of what each settles in."""
        contract = self.account.legs.contract[self.leg]
        return np.asarray(self.account.contracts.settle_rate[contract] / self.account.units.numeraire[self.unit])

    def after(self, trades: Floats, cost: Floats, nudge: Floats | None = None) -> Resolved:
        """Return one copy of the account for each point, after its trades and costs [points, ways].

        Parameters
        ----------
        nudge
            [points, legs] what is added to quantities besides, to stand on one side of 0.
        """
        points = trades.shape[0]
        legs = self.account.legs
        quantity = self._quantity(trades, cost)
        booked, accrued = (np.tile(c, (points, 1)) for c in (legs.cost, legs.accrued))
        np.add.at(booked.T, self.leg, (trades * self.booked).T)
        np.add.at(accrued.T, self.leg, (trades * self.accrued).T)
        quantity += 0.0 if nudge is None else nudge
        # what is closed altogether leaves no cost but rounding
        for column, before in ((booked, legs.cost), (accrued, legs.accrued)):
            column[(quantity == 0) & (np.abs(column) <= _ROUNDING * np.abs(before))] = 0.0
        wide = self.account.beside(points)
        legs = replace(wide.legs, quantity=quantity.ravel(), cost=booked.ravel(), accrued=accrued.ravel())
        return replace(wide, legs=legs)

    def _quantity(self, trades: Floats, cost: Floats) -> Floats:
        """Return what each leg then holds [points, legs]."""
        quantity = np.tile(self.account.legs.quantity, (trades.shape[0], 1))
        np.add.at(quantity.T, self.leg, (trades * self.side).T)
        np.add.at(quantity.T, self.wallet, (trades * self.paid - cost).T)
        return quantity

    def slopes(self, by_quantity: Floats, by_accrued: Floats, after: Resolved) -> tuple[Floats, Floats]:
        """Return slopes by way and by its cost [ways], given slopes by leg [points, legs] as entry prices stay.

        Of two points (:meth:`sides`) the second is that of what is bought and not held, and of wallets that are paid.
        """
        last = by_quantity.shape[0] - 1
        legs, c = after.legs, after.contracts
        point = np.where(self._is_bought(), last, 0)
        at = point * self.legs + self.leg
        contract = legs.contract[at]
        inverse, level = c.inverse[contract], c.mark[contract]
        with np.errstate(divide="ignore", invalid="ignore"):
            mean = np.where(
                legs.quantity[at] != 0, legs.cost[at] / legs.quantity[at], np.where(inverse, 1 / level, level)
            )
        # what a contract adds to P&L beyond a contract at the entry price that there is
        beside = c.multiplier[contract] * np.where(inverse, -1.0, 1.0) * (self.side * mean - self.booked)
        margined = [way.terms.form in {"linear", "inverse"} for way in self.listed]
        beside = self.accrued + np.where(margined, beside, 0.0)
        wallet = by_quantity[np.where(self.paid > 0, last, 0), self.wallet]
        by_way = self.side * by_quantity[point, self.leg] + self.paid * wallet + beside * by_accrued[point, self.leg]
        return by_way, -by_quantity[0, self.wallet]

    def moved(self, by_leg: Floats) -> tuple[Floats, Floats]:
        """Return by way and by cost what is linear in the quantities of legs, [..., legs] to [..., ways] twice."""
        wallet = by_leg[..., self.wallet]
        return by_leg[..., self.leg] * self.side + wallet * self.paid, -wallet

    def _is_bought(self) -> npt.NDArray[np.bool_]:
        """Return the ways that buy what is not held."""
        held = self.account.legs.quantity[self.leg] != 0
        return np.asarray((self.side > 0) & ~held)

    def sides(self, trades: Floats, cost: Floats, sliver: float) -> tuple[Floats, Floats]:
        """Return points [points, ways] and nudges [points, legs] at which a slope is that of one side of 0.

        The first stands just inside of what is held, and below 0 in wallets and hedges that hold nothing; the second,
        where there is one, above 0 in these.
        """
        closes = np.asarray([not way.opens for way in self.listed])
        point = np.where(closes, np.minimum(trades, self.most * (1.0 - sliver)), trades)
        flat = np.zeros(self.legs)
        quantity = self._quantity(point[None], cost[None])[0]
        np.maximum.at(flat, self.leg, sliver * self.most)
        np.maximum.at(flat, self.wallet, sliver * self.most * np.abs(self.paid) + np.finfo(float).tiny)
        flat = np.where(quantity == 0, flat, 0.0)
        if not flat.any():
            return point[None], np.zeros((1, self.legs))
        return np.stack([point, point]), np.stack([-flat, flat])


def ways_of(engine: Engine, view: View, hedges: Mapping[str, Fraction], *, realise: bool) -> Ways:
    """Return every way to close what a pool holds, and to open its hedges.

    Parameters
    ----------
    hedges
        The most contracts of each instrument that may be opened, on either side.

    Raises
    ------
    InputError
        A hedge that the market does not list.
    """
    terms, holdings, owner = view.terms, view.holdings, view.owner
    for name in hedges:
        if name not in terms or not terms[name].mark:
            message = "it is named as a hedge and the market does not list it with a mark"
            raise InputError(FailureReason.UNKNOWN_INSTRUMENT, message, instrument=name)
    listed = tuple(_listed(engine, view, hedges))
    resolved = view.report.resolved
    places = _places(resolved)
    if any(name not in places for way in listed for name in (way.name, _wallet(way))):
        resolved = _with_all(engine, view, listed)
        places = _places(resolved)
    legs = np.asarray([places[way.name] for way in listed], dtype=np.int64)
    wallets = np.asarray([places[_wallet(way)] for way in listed], dtype=np.int64)
    each = [_each(holdings, owner, way, realise=realise) for way in listed]
    paid, booked = (np.asarray([one[i] for one in each], dtype=np.float64) for i in (0, 1))
    # what is closed takes its part of the leg's cost, and of P&L that no entry price tells, into the wallet
    side, most, least = (
        np.asarray([float(getattr(way, name)) for way in listed]) for name in ("side", "most", "least")
    )
    settles = np.asarray([realise and not way.opens for way in listed], dtype=bool)
    booked = np.where(settles, -resolved.legs.cost[legs] / most, booked)
    accrued = np.where(settles, -resolved.legs.accrued[legs] / most, 0.0)
    label = engine.pool if engine.pool is not None else resolved.units.label[0]
    unit = resolved.units.label.index(label) if label in resolved.units.label else 0
    return Ways(listed, resolved, unit, legs, wallets, paid, booked, accrued, side, most, least)


def _listed(engine: Engine, view: View, hedges: Mapping[str, Fraction]) -> Iterator[Way]:
    for name in view.instruments:
        held = view.holdings.get(view.owner, HELD, name, name)
        if held:
            least = _lot(engine, name, held)
            yield Way(name, -1 if held > 0 else 1, abs(held), least, opens=False, terms=view.terms[name])
    for name, most in hedges.items():
        held = view.holdings.get(view.owner, HELD, name, name)
        for side in (-1, 1):
            if most > 0 and held * side >= 0:
                least = _lot(engine, name, as_fraction(most))
                yield Way(name, side, as_fraction(most), least, opens=True, terms=view.terms[name])


def _lot(engine: Engine, name: str, most: Fraction) -> Fraction:
    """Return the lot of an instrument; where nobody states it a millionth of what is at hand, as a power of ten."""
    stated = engine.lots.get(name)
    return stated or Fraction(10) ** (floor(log10(abs(most))) - _DIGITS)


def _wallet(way: Way) -> str:
    """Return how the balance is called that a way pays in; no instrument's name begins so."""
    return f"\0{way.terms.settles_in}"


def _with_all(engine: Engine, view: View, listed: tuple[Way, ...]) -> Resolved:
    """Return the arrays of the account with a leg for all that may be traded or paid in, of what it lacks with 0."""
    held = account_of(view.holdings, view.owner, view.terms, engine.account)
    names = {position.instrument for position in held.positions}
    opened = tuple(
        Position(instrument=name, quantity=Decimal(1), entry_price=Decimal(str(float(view.terms[name].mark))))
        for name in dict.fromkeys(way.name for way in listed if way.name not in names)
    )
    wallets = {way.terms.settles_in: Decimal(1) for way in listed}
    balances = {**wallets, **{asset: amount for asset, amount in held.balances.items() if amount}}
    whole = msgspec.structs.replace(held, positions=(*held.positions, *opened), balances=balances)
    resolved = resolve(Book.from_accounts([whole]), engine.market(0.0), engine.rulebook, max_quote_age_seconds=None)
    if resolved.failures:
        failure = resolved.failures[0]
        raise InputError(failure.reason, failure.message, account=failure.account, instrument=failure.instrument)
    return _as_held(resolved, view.holdings, view.owner, names)


def _places(resolved: Resolved) -> dict[str, int]:
    """Return where each instrument's leg stands; a balance's name begins with a zero character."""
    c = resolved.contracts
    out: dict[str, int] = {}
    for leg, contract in enumerate(resolved.legs.contract.tolist()):
        name = resolved.names.symbols[int(c.symbol[contract])]
        if c.kind[contract] == ASSET:
            name = f"\0{resolved.names.assets[int(c.own_asset[contract])]}"
        out.setdefault(name, leg)
    return out


def _as_held(resolved: Resolved, holdings: Holdings, owner: str, names: set[str]) -> Resolved:
    """Return the arrays with what is really held: nothing where something stood in."""
    quantity, cost = resolved.legs.quantity.copy(), resolved.legs.cost.copy()
    for name, leg in _places(resolved).items():
        if name.startswith("\0"):
            quantity[leg] = float(holdings.get(owner, WALLET, name[1:]))
        elif name not in names:
            quantity[leg] = cost[leg] = 0.0
    return replace(resolved, legs=replace(resolved.legs, quantity=quantity, cost=cost))


def _each(holdings: Holdings, owner: str, way: Way, *, realise: bool) -> tuple[float, float]:
    """Return what one contract at its mark adds to the wallet and to the leg's cost.

    It is what :func:`~crossmargin.liquidation.holdings.traded` posts for all of a way, divided by its contracts; of a
    closing that is realised the leg's cost is left out, for the leg itself tells it.
    """
    terms, inverse = way.terms, way.terms.form == "inverse"
    if realise and not way.opens and terms.form != "premium":
        basis = holdings.get(owner, BASIS, terms.settles_in, way.name)
        # in fractions: what was entered at its mark pays exactly nothing, on neither side of it
        return float(terms.money(Fraction(way.side), terms.mark) + basis / way.most), 0.0
    each, mark = float(terms.multiplier), float(terms.mark)
    money = way.side * each / mark if inverse else -way.side * each * mark
    return (money, 0.0) if terms.form == "premium" else (0.0, (money if inverse else -money) / each)
