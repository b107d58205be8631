"""Auto-deleveraging: a position that nobody takes is closed against those who hold the other side."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from math import ceil, floor
from typing import TYPE_CHECKING

from crossmargin.clearing.contracts import Payment, Terms, worth
from crossmargin.clearing.indexes import funding_rows
from crossmargin.clearing.ledger import HELD, WALLET
from crossmargin.clearing.procedure.payers import holders
from crossmargin.clearing.procedure.trades import traded_for, wallet_of
from crossmargin.liquidation import Payer, allocate
from crossmargin.liquidation.formulas import as_fraction
from crossmargin.liquidation.postings import quoted
from crossmargin.margin.expression import Name

if TYPE_CHECKING:
    from crossmargin.clearing.procedure.chain import Chain
    from crossmargin.clearing.procedure.view import View
    from crossmargin.clearing.rules import Assess
    from crossmargin.liquidation import Leg
    from crossmargin.liquidation.scope import Scope
    from crossmargin.margin.procedure import Payment as Layer

__all__ = ["deleveraged"]


def deleveraged(view: View, leg: Leg, layer: Layer, chain: Chain, name: str, assess: Assess) -> None:
    """Close a position against those who hold the other side, by the layer's rule, each in a posting of his own.

    The price is the document's (of bankruptcy: those who are closed give up exactly what is missing), else the mark.
    Rounding is for the bankrupt: no unit of debt is left by it.
    """
    symbol = leg.keys["instrument"]
    terms, held = chain.state.configuration.terms[symbol], chain.state.balances[view.owner][HELD, symbol]
    others = holders(view.setting.at(chain.state), terms, held, view.owner, assess)
    scope = replace(view.scope(), leg=leg)
    shares = allocate(abs(held), [_counterparty(layer, one, scope, terms) for one in others], layer.rule).shares
    left = _exact_hole(view, terms, layer)
    for share in shares:
        if not share.paid:
            continue
        quantity = -share.paid if held > 0 else share.paid
        if left is None:
            money = _money(view, leg, layer, scope, terms, quantity)
        else:  # the price anew from what is left: the last takes the remainder
            open_ = chain.state.balances[view.owner][HELD, symbol]
            money = left * share.paid // abs(open_)
            left -= money
        rows = traded_for(chain.state, terms, view.owner, share.name, quantity, max(money, 0))
        chain.post("waterfall: adl", name, rows)


def _exact_hole(view: View, terms: Terms, layer: Layer) -> int | None:
    """Return the money >= 0 for which a whole position is given up so that nothing is left and nothing is owed.

    None where the price is another, or where more than this position and its settlement asset decides.
    """
    state = view.setting.state
    at_bankruptcy = layer.price is not None and layer.price.tree == Name("bankruptcy_price")
    alone = (
        view.assets in ([], [terms.settlement])
        and len([leg for leg in view.pool.legs if leg.terms.form != "asset"]) == 1
    )
    if not at_bankruptcy or not alone or terms.payment is not Payment.MARGINED:
        return None
    held = state.balances[view.owner][HELD, terms.symbol]
    funding = sum(
        row[3]
        for row in funding_rows(terms, view.owner, state.balances[view.owner], state.indices)
        if row[:2] == (view.owner, WALLET)
    )
    own = wallet_of(state, view.owner, terms.settlement) + funding
    own += state.balances[view.owner].get((terms.basis, terms.settlement), 0)
    receives = (held > 0) != terms.inverse
    return max(-own if receives else own, 0)


def _money(view: View, leg: Leg, layer: Layer, scope: Scope, terms: Terms, quantity: int) -> int:
    """Return what changes hands for some contracts at the layer's price, rounded for the bankrupt."""
    price = Fraction(view.setting.state.marks[terms.symbol].price)
    if layer.price is not None:
        price = quoted(leg, as_fraction(scope.number(layer.price))) * 10**terms.contract.price_digits
    if price <= 0:
        price = Fraction(terms.payment is not Payment.PREMIUM)
    exact = abs(worth(terms, quantity, price))
    receives = (quantity < 0) != terms.inverse
    return ceil(exact) if receives else floor(exact)


def _counterparty(layer: Layer, one: Leg, scope: Scope, terms: Terms) -> Payer:
    """Return who may be closed, counted in contracts: what he holds, and how much of it his equity would bear."""
    there = replace(scope, payer=one)
    unit = 10**terms.contract.quantity_digits
    cap = int(as_fraction(one.figures["contracts_held"]) * unit)
    each = (as_fraction(one.figures["notional"]) / cap) or Fraction(1)  # what is worth nothing counts in contracts
    weight = 1 if layer.weight is None else int(as_fraction(there.number(layer.weight)) / each)
    return Payer(
        name=one.name,
        cap=cap,
        weight=weight,
        rank=Fraction(0) if layer.rank is None else as_fraction(there.number(layer.rank)),
        equity=int(as_fraction(one.figures["payer_equity"]) / each),
    )
