"""What each kind of step moves, as balanced rows of the book."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, TypeAlias

from crossmargin.errors import FailureReason, InputError
from crossmargin.liquidation.formulas import as_fraction
from crossmargin.liquidation.holdings import BASIS, HELD, WALLET, Entry, Holdings, Row, traded

if TYPE_CHECKING:
    from crossmargin.liquidation.moves import Move
    from crossmargin.liquidation.pools import Leg, Pool
    from crossmargin.margin.procedure import Step

__all__ = ["FUND", "Fill", "Venue", "applied", "balances_of", "quoted", "reported"]

Fill: TypeAlias = "Callable[[Leg, Fraction], Fraction]"
"""The price, as the instrument quotes it, at which the book takes `contracts` more (signed) of a leg."""

FUND: Final = "fund"


def at_mark(leg: Leg, _contracts: Fraction) -> Fraction:
    """Return the leg's mark price: a book without spread or impact."""
    return leg.terms.mark


@dataclass(frozen=True, slots=True)
class Venue:
    """What the steps trade with and in.

    Parameters
    ----------
    owner
        Whose account is liquidated.
    reporting
        The asset that shares are paid in.
    fill
        The market.
    realise
        Whether the profit of what is closed goes to the wallet.
    hedges
        Of each underlying the instrument that may be opened against its delta, as a leg with its delta per contract.
    reserved
        Cash of earlier bidders, which no later one buys.
    """

    owner: str
    reporting: str = "USD"
    fill: Fill = at_mark
    realise: bool = True
    hedges: Mapping[str, Leg] = field(default_factory=dict)
    reserved: Fraction = Fraction(0)


def applied(holdings: Holdings, move: Move, pool: Pool, venue: Venue) -> Holdings:
    """Return the book after a move.

    Raises
    ------
    InputError
        A hedge is asked for, and no instrument for it is at hand.
    """
    if move.step.do == "cancel":
        paid = holdings.posted(_fees(move, venue))
        return replace(paid, cancelled=holdings.cancelled | {venue.owner})
    return holdings.posted([*_ROWS[move.step.do](holdings, move, pool, venue), *_fees(move, venue)])


def _close(holdings: Holdings, move: Move, pool: Pool, venue: Venue) -> list[Row]:
    """Close contracts against `to`; over the account the same share of every leg; pairs both legs alike."""
    owner = move.holder or venue.owner
    if move.leg is None:
        legs = [leg for leg in pool.legs if leg.terms.form != "asset" and leg.fits(move.step.of)]
        return [row for leg in legs for row in _closed(holdings, owner, leg, move.amount * _held(leg), move, venue)]
    rows = _closed(holdings, owner, move.leg, move.amount, move, venue)
    if move.step.pairs:
        rows += _closed(holdings, owner, _opposite(pool, move.leg), move.amount, move, venue)
    return rows


def _held(leg: Leg) -> Fraction:
    return abs(as_fraction(leg.figures["contracts_held"]))


def _opposite(pool: Pool, leg: Leg) -> Leg:
    """Return the leg of the same underlying that stands against another."""
    side = leg.figures["quantity"]
    same = [one for one in pool.legs if one.keys.get("bucket") == leg.keys.get("bucket") and one.terms.form != "asset"]
    return next(one for one in same if one.figures["quantity"] * side < 0)


def _closed(holdings: Holdings, owner: str, leg: Leg, amount: Fraction, move: Move, venue: Venue) -> list[Row]:
    contracts = -amount if leg.figures["quantity"] > 0 else amount
    price = quoted(leg, move.price) if move.price is not None else venue.fill(leg, contracts)
    return _trade(holdings, owner, move.step.to, leg, contracts, price, realise=venue.realise)


def quoted(leg: Leg, price: Fraction) -> Fraction:
    """Return a price in the pool's reporting money as the instrument quotes it."""
    reported = as_fraction(leg.figures["price"])
    return price * leg.terms.mark / reported if reported else price


def reported(leg: Leg, price: Fraction) -> Fraction:
    """Return a price as the instrument quotes it in the pool's reporting money: the inverse of :func:`quoted`."""
    return price * as_fraction(leg.figures["price"]) / leg.terms.mark if leg.terms.mark else price


def _trade(
    holdings: Holdings, owner: str, other: str, leg: Leg, contracts: Fraction, price: Fraction, *, realise: bool
) -> list[Row]:
    money = leg.terms.money(contracts, price)
    name = leg.keys.get("instrument", leg.name)
    rows = traded(holdings, owner, name, leg.terms, contracts, money, realise=realise)
    return [*rows, *traded(holdings, other, name, leg.terms, -contracts, -money, realise=realise)]


def _fees(move: Move, venue: Venue) -> list[Row]:
    """Return fees as rows: of an exchange out of what the other side receives, else out of the account's wallet.

    An exchange whose fees are in the debt's asset adds them to the debt. They are in the asset that the leg settles in;
    over the whole account in the reporting asset.
    """
    payer, asset = move.holder or venue.owner, venue.reporting
    if move.sides is not None and move.step.fees_in == "debt":
        asset = move.sides["debt_"].terms.settles_in
    elif move.sides is not None:
        payer, asset = move.step.to, move.sides["collateral_"].terms.settles_in
    elif move.leg is not None:
        asset = move.leg.terms.settles_in
    rows: list[Row] = []
    for owner, fee in move.fees.items():
        rows += [Row(Entry(payer, WALLET, asset), -fee), Row(Entry(owner, WALLET, asset), fee)]
    return rows


def _hedge(holdings: Holdings, move: Move, _pool: Pool, venue: Venue) -> list[Row]:
    """Open the underlying's hedge against its delta."""
    assert move.leg is not None
    hedge = venue.hedges.get(move.leg.name)
    if hedge is None:
        message = f"a hedge of {move.leg.name} is asked for, and no instrument of it is at hand: name one"
        raise InputError(FailureReason.UNKNOWN_INSTRUMENT, message, instrument=move.leg.name)
    each = as_fraction(hedge.figures["delta"])
    least = as_fraction(hedge.figures.get("lot", 0.0))
    contracts = move.amount / abs(each)
    contracts = round(contracts / least) * least if least else contracts
    if (move.leg.figures["bucket_delta"] > 0) == (each > 0):
        contracts = -contracts
    price = quoted(hedge, move.price) if move.price is not None else venue.fill(hedge, contracts)
    return _trade(holdings, venue.owner, move.step.to, hedge, contracts, price, realise=venue.realise)


def _assume(holdings: Holdings, move: Move, pool: Pool, venue: Venue) -> list[Row]:
    """Hand contracts over: at a price, or with the basis that they were taken at; over the account balances too."""
    if move.leg is None:
        legs = [leg for leg in pool.legs if leg.terms.form != "asset" and leg.fits(move.step.of)]
        legs += balances_of(pool, move.step)
        return [row for leg in legs for row in _handed(holdings, leg, _held(leg) * move.amount, move, venue)]
    return _handed(holdings, move.leg, move.amount, move, venue)


def balances_of(pool: Pool, step: Step) -> list[Leg]:
    """Return the balances that a step over the whole account hands over: those that its `of` names as `asset`."""
    named = any("asset" in words for words in step.of)
    return [leg for leg in pool.legs if named and leg.terms.form == "asset" and leg.fits(step.of)]


def _handed(holdings: Holdings, leg: Leg, amount: Fraction, move: Move, venue: Venue) -> list[Row]:
    if move.price is not None and leg.terms.form != "asset":
        return _closed(holdings, venue.owner, leg, amount, move, venue)
    if leg.terms.form == "asset":
        balance = Entry(venue.owner, WALLET, leg.terms.settles_in)
        given = amount if leg.figures["quantity"] > 0 else -amount  # a debt is handed over as one
        return [Row(balance, -given), Row(balance._replace(owner=move.step.to), given)]
    name = leg.keys.get("instrument", leg.name)
    held = holdings.get(venue.owner, HELD, name, name)
    share = amount / abs(held) if held else Fraction(0)
    purses = ((HELD, name), (BASIS, leg.terms.settles_in))
    rows: list[Row] = []
    for purse, asset in purses:
        part = holdings.get(venue.owner, purse, asset, name) * share
        rows += [Row(Entry(venue.owner, purse, asset, name), -part), Row(Entry(move.step.to, purse, asset, name), part)]
    return rows


def _share(holdings: Holdings, move: Move, _pool: Pool, venue: Venue) -> list[Row]:
    """Sell the same share of everything but the cash of earlier bidders; below 0 the fund pays the bidder."""
    rows: list[Row] = []
    for entry, amount in holdings.of(venue.owner).items():
        whole = amount - venue.reserved if entry.purse == WALLET and entry.asset == venue.reporting else amount
        part = whole * move.amount
        rows += [Row(entry, -part), Row(entry._replace(owner=move.step.to), part)]
    price = (move.price or Fraction(0)) * move.amount
    payee = venue.owner if price >= 0 else FUND
    sides = ((move.step.to, -price), (payee, price))
    rows += [Row(Entry(owner, WALLET, venue.reporting), money) for owner, money in sides]
    return rows


def _exchange(_holdings: Holdings, move: Move, _pool: Pool, venue: Venue) -> list[Row]:
    """Repay a debt for collateral."""
    assert move.sides is not None
    assert move.price is not None
    debt, held = (move.sides[side].terms.settles_in for side in ("debt_", "collateral_"))
    other, given = move.step.to, move.amount * move.price
    return [
        Row(Entry(venue.owner, WALLET, debt), move.amount),
        Row(Entry(other, WALLET, debt), -move.amount),
        Row(Entry(venue.owner, WALLET, held), -given),
        Row(Entry(other, WALLET, held), given),
    ]


def _settle(_holdings: Holdings, move: Move, _pool: Pool, venue: Venue) -> list[Row]:
    """Move unrealised P&L into the wallet: of each unit of profit `price` is paid out, a loss is paid in full."""
    assert move.leg is not None
    name, asset = move.leg.keys.get("instrument", move.leg.name), move.leg.terms.settles_in
    gain = move.amount if move.leg.figures["unsettled_pnl"] > 0 else -move.amount
    money = gain * (move.price if move.price is not None else Fraction(1))
    rows: list[Row] = []
    for owner, sign in ((venue.owner, 1), (move.step.to, -1)):
        rows += [
            Row(Entry(owner, BASIS, asset, name), -sign * gain),
            Row(Entry(owner, WALLET, asset), sign * money),
        ]
    return rows


_ROWS: Final[Mapping[str, Callable[[Holdings, Move, Pool, Venue], list[Row]]]] = MappingProxyType(
    {
        "close": _close,
        "hedge": _hedge,
        "assume": _assume,
        "share": _share,
        "exchange": _exchange,
        "settle": _settle,
    }
)
