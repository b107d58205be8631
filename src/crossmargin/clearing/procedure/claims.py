"""Losses that stand on no wallet: what a bankrupt pool still owes on contracts that are closed, and has not settled.

Where a document keeps profit with the position (`realised = "basis"`) and says what its `loss` is, this debt is paid
where it stands: who pays takes it over, and no wallet or collateral is touched for it.
"""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING, Final

from crossmargin.clearing.events import Asked, Event
from crossmargin.clearing.ledger import FUND, HELD, HOUSE, TREASURY, VAULT, WALLET, Row, moved
from crossmargin.clearing.procedure.chain import Chain
from crossmargin.clearing.procedure.payers import payers_of
from crossmargin.clearing.procedure.remembered import recall
from crossmargin.clearing.procedure.sales import exchanged, sellable
from crossmargin.clearing.procedure.view import price_in_money
from crossmargin.clearing.scales import to_text
from crossmargin.liquidation import missing, pay

if TYPE_CHECKING:
    from collections.abc import Mapping

    from crossmargin.clearing.contracts import Terms
    from crossmargin.clearing.procedure.view import View
    from crossmargin.clearing.rules import Assess
    from crossmargin.liquidation import Leg, Share
    from crossmargin.liquidation.scope import Scope

__all__ = ["CLAIMED", "claim_rows", "claimed_events", "holds", "open_claims", "unpaid_claims"]

CLAIMED: Final = "claimed"
_OWN: Final = frozenset({FUND, TREASURY, VAULT})


def open_claims(view: View, memory: Mapping[str, str]) -> list[Leg]:
    """Return the legs whose loss has not been asked for in this case: nothing held, and something owed."""
    asked = _asked(memory)
    return [leg for leg in _claims(view) if leg.name not in asked]


def unpaid_claims(view: View, memory: Mapping[str, str]) -> dict[str, str]:
    """Return what nobody paid of such losses in this case, by settlement asset, as decimal strings."""
    assets, left = view.setting.state.configuration.assets, dict[str, int]()
    for symbol, unpaid in _asked(memory).items():
        asset = view.setting.state.configuration.terms[symbol].settlement
        left[asset] = left.get(asset, 0) + int(unpaid)
    return {asset: to_text(amount, assets[asset].digits) for asset, amount in left.items() if amount}


def claim_rows(view: View, memory: Mapping[str, str], owner: str) -> list[Row]:
    """Return the rows by which an owner takes over what nobody paid of such losses in this case."""
    terms = view.setting.state.configuration.terms
    rows: list[Row] = []
    for symbol, unpaid in _asked(memory).items():
        one = terms[symbol]
        rows += moved(owner, view.owner, one.basis, one.settlement, min(int(unpaid), _owed(view, one)))
    return [row for row in rows if row[3]]


def _asked(memory: Mapping[str, str]) -> dict[str, str]:
    """Return the instruments whose loss was asked for, with the units that nobody paid."""
    found: dict[str, str] = json.loads(memory.get(CLAIMED, "{}"))
    return found


def claimed_events(view: View, leg: Leg, name: str, assess: Assess) -> list[Event]:
    """Return who pays the document's loss of a leg, layer by layer; the case remembers that it was asked for.

    House owners pay with what they hold, at the marks: to the taker, who takes the debt over for it, or without one out
    of their own wallet of its asset. Users pay out of what they have on the same contract, as by its funding.
    """
    setting, terms = view.setting, _terms(view, leg)
    asset, price = terms.settlement, price_in_money(setting, terms.settlement)
    scale = Fraction(10 ** setting.state.configuration.assets[asset].digits) / price
    kept = setting.state.cases[name]
    layers = [layer for layer in setting.procedure.waterfall if layer.pay != "adl"]
    payers = {layer.pay: payers_of(layer.pay, setting, asset, view.owner, assess, terms) for layer in layers}
    told = {"fund": payers["fund"][0].figures["fund"] if payers.get("fund") else Fraction(0), "settle_price": price}
    scope: Scope = replace(view.scope(recall(kept.memory, 0.0).case, told), leg=leg)
    loss = min(missing(scope, scale), _owed(view, terms))
    paid, unpaid = pay(loss, layers, payers, scope, scale)
    chain = Chain(setting.state)
    for one in paid:
        for share in one.allocation.shares:
            unpaid += share.paid - _taken_over(view, terms, share, f"waterfall: {one.pay}", name, chain)
    asked = {**_asked(kept.memory), leg.name: str(unpaid)}
    limits = {"leg": leg.name, "asset": asset, "loss": str(loss), "unpaid": str(unpaid)}
    return [Asked(name, kept.step + 1, "loss", limits, {CLAIMED: json.dumps(asked)}), *chain.events]


def _claims(view: View) -> list[Leg]:
    """Return the legs of which nothing is held and something owed, where the document pays such a debt by itself."""
    rule = view.setting.procedure.liquidation
    if view.realise or rule.loss is None:
        return []
    contracts = (leg for leg in view.pool.legs if leg.terms.form != "asset")
    return [leg for leg in contracts if not holds(view, leg) and _owed(view, _terms(view, leg)) > 0]


def holds(view: View, leg: Leg) -> bool:
    """Return whether a pool has contracts of a leg, and not only what is left of closed ones."""
    return (HELD, leg.keys["instrument"]) in view.setting.state.balances.get(view.owner, {})


def _terms(view: View, leg: Leg) -> Terms:
    return view.setting.state.configuration.terms[leg.keys["instrument"]]


def _owed(view: View, terms: Terms) -> int:
    return max(-view.setting.state.balances.get(view.owner, {}).get((terms.basis, terms.settlement), 0), 0)


def _taken_over(view: View, terms: Terms, share: Share, cause: str, name: str, chain: Chain) -> int:
    """Post what a payer pays of a debt that stands with contracts, and return it.

    A figure that is a float may promise a little more than a house owner's assets bring.
    """
    asset, wanted = terms.settlement, share.paid
    if share.name not in HOUSE:
        chain.post(cause, name, list(moved(share.name, view.owner, terms.basis, asset, wanted)) if wanted else [])
        return wanted
    assert share.name in _OWN
    taker, rows, got, over = view.setting.outside.taker, list[Row](), 0, Fraction(0)
    for other in sorted(sellable(view.setting, chain.state, share.name), key=lambda one: one != asset):
        if got == wanted or (taker is None and other != asset):
            continue
        sold, paid, rest = exchanged(view.setting, chain.state, share.name, (other, asset), wanted - got, over)
        if paid or rest > over:  # else it brings nothing
            rows += moved(share.name, taker, WALLET, other, sold) if taker else [(share.name, WALLET, asset, -paid)]
            got, over = got + paid, rest
    payer = moved(taker, view.owner, terms.basis, asset, got) if taker else [(view.owner, terms.basis, asset, got)]
    chain.post(cause, name, [*rows, *payer] if got else [])
    return got
