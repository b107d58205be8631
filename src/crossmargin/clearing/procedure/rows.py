"""What a move of a procedure moves in the ledger: balanced rows of integers, rounded against the account.

A position goes by the same rows as any trade (`clearing.trading`); funding is settled before it.
"""

from __future__ import annotations

from fractions import Fraction
from math import ceil, floor
from typing import TYPE_CHECKING

from crossmargin.clearing.contracts import worth
from crossmargin.clearing.ledger import FUND, HELD, RESERVED, WALLET, WORLD, moved
from crossmargin.clearing.procedure.outside import price_of
from crossmargin.clearing.procedure.trades import handed, traded, wallet_of
from crossmargin.clearing.procedure.view import hedge_of, price_in_money
from crossmargin.errors import FailureReason, InputError
from crossmargin.liquidation.formulas import as_fraction
from crossmargin.liquidation.postings import balances_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from crossmargin.clearing.ledger import Row
    from crossmargin.clearing.procedure.view import View
    from crossmargin.liquidation import Leg, Move

__all__ = ["contracts_of", "fee_rows", "hedge_for", "least_share", "move_rows", "parts_of"]


def move_rows(view: View, move: Move, taker: str, keeper: str, reserved: Fraction) -> list[Row]:
    """Return the rows of a move, and of its fees; none where its amount is less than one unit.

    Parameters
    ----------
    taker
        Who stands on the other side.
    keeper
        Who receives what the document pays its keeper.
    reserved
        Money that earlier bidders paid in, which no later one buys.
    """
    rows = _share(view, move, taker, reserved) if move.step.do == "share" else _KINDS[move.step.do](view, move, taker)
    return [*rows, *fee_rows(view, move, taker, keeper)] if rows or move.step.do == "cancel" else []


def contracts_of(view: View, leg: Leg, amount: Fraction) -> int:
    """Return the contracts that a move closes of a leg, signed as the account receives them: whole lots, up."""
    held = _held(view, leg)
    terms = view.setting.state.configuration.terms[leg.keys["instrument"]]
    wanted = min(ceil(amount * int(10**terms.contract.quantity_digits)), abs(held))
    if amount >= abs(as_fraction(leg.figures["contracts_held"])):  # figures are floats: all of it is all of it
        wanted = abs(held)
    return -wanted if held > 0 else wanted


def _held(view: View, leg: Leg) -> int:
    return view.setting.state.balances.get(view.owner, {}).get((HELD, leg.keys["instrument"]), 0)


def _cancel(view: View, _move: Move, _taker: str) -> list[Row]:
    holdings, terms = view.setting.state.balances.get(view.owner, {}), view.setting.state.configuration.terms
    orders = [(asset, amount) for (purse, asset), amount in holdings.items() if purse == RESERVED]
    mine = [one for one in orders if view.covers(terms[one[0].rpartition("@")[0]])]
    return [row for asset, amount in mine for row in moved(view.owner, WORLD, RESERVED, asset, amount)]


def parts_of(view: View, move: Move) -> list[tuple[Leg, Fraction]]:
    """Return the legs that a move closes or hands over, with how much of each."""
    if move.leg is None:
        legs = [leg for leg in view.pool.legs if leg.terms.form != "asset" and leg.fits(move.step.of)]
        return [(leg, move.amount * as_fraction(leg.figures["contracts_held"])) for leg in legs]
    if not move.step.pairs:
        return [(move.leg, move.amount)]
    side, bucket = move.leg.figures["quantity"], move.leg.keys["bucket"]
    same = [leg for leg in view.pool.legs if leg.keys["bucket"] == bucket and leg.terms.form != "asset"]
    opposite = next(leg for leg in same if leg.figures["quantity"] * side < 0)
    return [(move.leg, move.amount), (opposite, move.amount)]


def _close(view: View, move: Move, taker: str) -> list[Row]:
    rows: list[Row] = []
    state, slippage = view.setting.state, view.setting.outside.slippage
    for leg, amount in parts_of(view, move):
        quantity = contracts_of(view, leg, amount)
        if quantity:
            terms = state.configuration.terms[leg.keys["instrument"]]
            price = price_of(state, terms, leg, quantity, move.price, slippage)
            rows += traded(state, terms, view.owner, taker, quantity, price, realise=view.realise)
    return rows


def _assume(view: View, move: Move, taker: str) -> list[Row]:
    """Hand positions over, at a price or with their basis, and then the balances that the step names."""
    if move.leg is not None and move.leg.terms.form == "asset":
        return _seized(view, move.leg, move.amount, taker, [])
    rows: list[Row] = []
    state = view.setting.state
    if move.price is not None:
        rows = _close(view, move, taker)
    else:
        for leg, amount in parts_of(view, move):
            quantity = -contracts_of(view, leg, amount)
            if quantity:
                terms = state.configuration.terms[leg.keys["instrument"]]
                rows += handed(state, terms, view.owner, taker, quantity)
    if move.leg is None:
        for leg in balances_of(view.pool, move.step):
            rows += _seized(view, leg, move.amount * as_fraction(leg.figures["contracts_held"]), taker, rows)
    return rows


def _seized(view: View, leg: Leg, amount: Fraction, taker: str, before: list[Row]) -> list[Row]:
    """Hand over a balance as the rows before leave it, or a part of it; a debt as a debt."""
    asset = leg.terms.settles_in
    digits = view.setting.state.configuration.assets[asset].digits
    held = wallet_of(view.setting.state, view.owner, asset)
    held += sum(row[3] for row in before if row[:3] == (view.owner, WALLET, asset))
    part = min(ceil(amount * 10**digits), abs(held))
    if amount >= as_fraction(leg.figures["contracts_held"]):
        part = abs(held)
    return list(moved(view.owner, taker, WALLET, asset, part if held > 0 else -part)) if part else []


def hedge_for(view: View, move: Move) -> tuple[str, int] | None:
    """Return what a hedge opens: instrument and signed contracts, to the nearest lot; None where there is nothing."""
    assert move.leg is not None
    symbol = hedge_of(view, move.leg)
    hedge = view.hedges().get(move.leg.name) if symbol else None
    if symbol is None or hedge is None:
        return None
    each = as_fraction(hedge.figures["delta"])
    digits = view.setting.state.configuration.terms[symbol].contract.quantity_digits
    contracts = round(move.amount / abs(each) * 10**digits) if each else 0
    quantity = -contracts if (move.leg.figures["bucket_delta"] > 0) == (each > 0) else contracts
    return (symbol, quantity) if quantity else None


def _hedge(view: View, move: Move, taker: str) -> list[Row]:
    """Open the underlying's hedge against its delta."""
    found = hedge_for(view, move)
    if found is None or move.leg is None:
        return []
    symbol, quantity = found
    state = view.setting.state
    terms, hedge = state.configuration.terms[symbol], view.hedges()[move.leg.name]
    price = price_of(state, terms, hedge, quantity, move.price, view.setting.outside.slippage)
    return traded(state, terms, view.owner, taker, quantity, price, realise=view.realise)


def _share(view: View, move: Move, taker: str, reserved: Fraction) -> list[Row]:
    """Sell the same share of everything but the money of earlier bidders; below 0 the fund pays the bidder.

    Whoever bids bears the rounding, leg by leg, so that many small bids take no more than one large one. What the fund
    does not have the account owes: that is a loss, and the waterfall's.
    """
    state, currency = view.setting.state, view.setting.currency
    rate = 10 ** state.configuration.assets[currency].digits / price_in_money(view.setting, currency)
    rows = _shared_positions(view, move.amount, taker)
    if not rows and least_share(view):
        return []  # money alone, for money at a discount, would restore nobody
    something = bool(rows)
    for asset in view.assets:
        settled = sum(row[3] for row in rows if row[:3] == (view.owner, WALLET, asset))
        kept = ceil(reserved * rate) if asset == currency else 0
        part = floor((wallet_of(state, view.owner, asset) + settled - kept) * move.amount)
        rows += moved(view.owner, taker, WALLET, asset, part)
        something = something or part > 0
    if not something:
        return []  # nothing but debts: nobody can buy them
    paid = ceil((move.price or Fraction(0)) * move.amount * rate)
    rows += moved(taker, view.owner, WALLET, currency, max(paid, 0))
    fund = min(max(-paid, 0), max(wallet_of(state, FUND, currency), 0))
    rows += [
        *moved(FUND, taker, WALLET, currency, fund),
        *moved(view.owner, taker, WALLET, currency, max(-paid, 0) - fund),
    ]
    return [row for row in rows if row[3]]


def least_share(view: View) -> Fraction:
    """Return the least share that moves a lot of some position; 0 where there is none."""
    most = max((abs(_held(view, leg)) for leg in view.pool.legs if leg.terms.form != "asset"), default=0)
    return Fraction(1, most) if most else Fraction(0)


def _shared_positions(view: View, share: Fraction, taker: str) -> list[Row]:
    """Return the rows that hand a share of every position over: of what is worth something whole lots down, else up."""
    state = view.setting.state
    rows: list[Row] = []
    for leg in view.pool.legs:
        held = _held(view, leg) if leg.terms.form != "asset" else 0
        if held:
            terms = state.configuration.terms[leg.keys["instrument"]]
            basis = state.balances[view.owner].get((terms.basis, terms.settlement), 0)
            value = worth(terms, held, state.marks[terms.symbol].price) + basis
            part = (floor if value >= 0 else ceil)(abs(held) * share) * (1 if held > 0 else -1)
            rows += handed(state, terms, view.owner, taker, part) if part else []
    return rows


def _exchange(view: View, move: Move, taker: str) -> list[Row]:
    """Repay a debt for collateral: what is repaid is rounded down, what is given for it up."""
    assert move.sides is not None
    assert move.price is not None
    debt, held = (move.sides[side].terms.settles_in for side in ("debt_", "collateral_"))
    state, assets = view.setting.state, view.setting.state.configuration.assets
    repaid = floor(move.amount * 10 ** assets[debt].digits)
    if move.amount >= -as_fraction(move.sides["debt_"].figures["quantity"]):  # figures are floats: all of it is all
        repaid = -wallet_of(state, view.owner, debt)
    exact = Fraction(repaid, 10 ** assets[debt].digits) * move.price * 10 ** assets[held].digits
    given = min(ceil(exact), wallet_of(state, view.owner, held))
    if repaid <= 0 or given <= 0:
        return []
    return [*moved(taker, view.owner, WALLET, debt, repaid), *moved(view.owner, taker, WALLET, held, given)]


def _settle(view: View, move: Move, taker: str) -> list[Row]:
    """Move unrealised P&L into the wallet: of each unit of profit `price` is paid out, a loss is paid in full."""
    assert move.leg is not None
    state, asset = view.setting.state, move.leg.terms.settles_in
    basis = state.configuration.terms[move.leg.keys["instrument"]].basis
    gain = floor(move.amount * 10 ** state.configuration.assets[asset].digits)
    gain = gain if move.leg.figures["unsettled_pnl"] > 0 else -gain
    money = floor(gain * (move.price if move.price is not None and gain > 0 else 1))
    return (
        [*moved(view.owner, taker, basis, asset, gain), *moved(taker, view.owner, WALLET, asset, money)] if gain else []
    )


def fee_rows(view: View, move: Move, taker: str, keeper: str) -> list[Row]:
    """Return fees as rows: of an exchange out of what the other side receives, else out of the account's wallet.

    An exchange whose fees are in the debt's asset adds them to the debt. They are in the asset that the leg settles in;
    over the whole account in money, paid in cash.
    """
    if not any(move.fees.values()):
        return []
    payer, asset, rate = _charged(view, move, taker)
    known = view.setting.state.configuration.assets
    if asset not in known:
        raise InputError(FailureReason.MISSING_QUOTE, f"a fee is to be paid in {asset}, which is no configured asset")
    unit = rate * 10 ** known[asset].digits
    rows: list[Row] = []
    for named, fee in move.fees.items():
        owner = view.setting.outside.owner(named, keeper) or keeper
        rows += moved(payer, owner, WALLET, asset, ceil(fee * unit))
    return [row for row in rows if row[3]]


def _charged(view: View, move: Move, taker: str) -> tuple[str, str, Fraction]:
    """Return who pays a move's fees, in which asset, and how much of it one of what the document counts in is."""
    if move.sides is not None and move.step.fees_in == "debt":
        return view.owner, move.sides["debt_"].terms.settles_in, Fraction(1)
    if move.sides is not None:
        return taker, move.sides["collateral_"].terms.settles_in, Fraction(1)
    if move.leg is not None:
        return view.owner, move.leg.terms.settles_in, Fraction(1)
    return view.owner, view.setting.currency, 1 / price_in_money(view.setting, view.setting.currency)


_KINDS: dict[str, Callable[[View, Move, str], list[Row]]] = {
    "cancel": _cancel,
    "close": _close,
    "assume": _assume,
    "hedge": _hedge,
    "exchange": _exchange,
    "settle": _settle,
}
