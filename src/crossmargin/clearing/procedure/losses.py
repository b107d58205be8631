"""What happens to a pool that no step restores: its positions go, its collateral is sold, then others pay, by layers.

Every posting conserves; what nobody pays is told, and stays as a debt that the document says what to do with.
"""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Final

from crossmargin.clearing.configuration import Section, digest_of, document_of
from crossmargin.clearing.events import Asked, Configured, Event, Stage, Staged
from crossmargin.clearing.ledger import FUND, HELD, TREASURY, VAULT, WALLET, moved
from crossmargin.clearing.procedure.chain import Chain
from crossmargin.clearing.procedure.claims import CLAIMED, claim_rows, claimed_events, holds, open_claims, unpaid_claims
from crossmargin.clearing.procedure.deleveraging import deleveraged
from crossmargin.clearing.procedure.payers import payers_of
from crossmargin.clearing.procedure.remembered import recall
from crossmargin.clearing.procedure.sales import brings, sale_rows, sellable
from crossmargin.clearing.procedure.trades import traded, wallet_of
from crossmargin.clearing.procedure.view import View, parted, price_in_money, view_of
from crossmargin.clearing.scales import to_text
from crossmargin.liquidation import pay

if TYPE_CHECKING:
    from crossmargin.clearing.procedure.view import Setting
    from crossmargin.clearing.rules import Assess
    from crossmargin.liquidation import Leg, Share
    from crossmargin.liquidation.formulas import Amount

__all__ = ["loss_events"]

ADL: Final = "adl"


def loss_events(setting: Setting, name: str, assess: Assess) -> list[Event]:
    """Return the next thing that happens to a bankrupt pool: one position, one sale, one debt, the end."""
    kept = setting.state.cases[name]
    view = view_of(setting, *parted(kept.pool))
    claims = open_claims(view, kept.memory)
    if claims:
        return claimed_events(view, claims[0], name, assess)
    unpaid = unpaid_claims(view, kept.memory)
    if unpaid:
        return _ended_unpaid(view, name, unpaid, assess)
    if CLAIMED in kept.memory and float(view.pool.figures["equity"]) >= 0:
        return [_closed(view, name, {})]
    for leg in view.pool.legs:
        if leg.terms.form != "asset":
            return _position_gone(view, leg, name, assess)
    debts = _balances(view, below=True)
    if not debts:
        return [_closed(view, name, {})]
    sold = _collateral_sold(view, debts[0], name)
    return sold or _paid(view, name, debts, assess)


def _balances(view: View, *, below: bool) -> list[str]:
    """Return the assets that the pool owes, or has, in order of creation."""
    amounts = {asset: wallet_of(view.setting.state, view.owner, asset) for asset in view.assets}
    return [asset for asset, amount in amounts.items() if amount and (amount < 0) == below]


def _position_gone(view: View, leg: Leg, name: str, assess: Assess) -> list[Event]:
    """Return the postings by which one position is closed against others, as far as they hold the other side.

    What is left the fund takes over at the mark, so that the loss stands where the waterfall finds it.
    """
    symbol, chain = leg.keys["instrument"], Chain(view.setting.state)
    terms = chain.state.configuration.terms[symbol]
    for layer in view.setting.procedure.waterfall:
        if layer.pay == ADL and (HELD, symbol) in chain.state.balances[view.owner]:
            deleveraged(view, leg, layer, chain, name, assess)
    held = chain.state.balances[view.owner].get((HELD, symbol), 0)
    if held:
        rows = traded(chain.state, terms, view.owner, FUND, -held, chain.state.marks[symbol].price)
        chain.post("waterfall: taken over", name, rows)
    left = chain.state.balances[view.owner].get((terms.basis, terms.settlement), 0)
    if left:  # profit or loss of contracts that are gone
        basis = (view.owner, terms.basis, terms.settlement, -left)
        chain.post("waterfall: settled", name, [basis, (view.owner, WALLET, terms.settlement, left)])
    return chain.events


def _collateral_sold(view: View, debt: str, name: str) -> list[Event]:
    """Return the sale of one asset for what is owed, less the haircut of the fund's own sales; nothing without any.

    It is sold to who takes market orders at once, else to the fund.
    """
    have = [asset for asset in _balances(view, below=False) if brings(view.setting, asset)]
    if not have:
        return []
    buyer = view.setting.outside.taker or FUND
    chain = Chain(view.setting.state)
    owed = -wallet_of(chain.state, view.owner, debt)
    rows = sale_rows(view.setting, chain.state, view.owner, buyer, (have[0], debt), owed)
    chain.post("waterfall: collateral", name, rows)
    return chain.events


def _paid(view: View, name: str, debts: list[str], assess: Assess) -> list[Event]:
    """Return who pays every debt, layer by layer, what nobody pays, and that the case is closed."""
    setting, chain, unpaid = view.setting, Chain(view.setting.state), dict[str, str]()
    layers = [layer for layer in setting.procedure.waterfall if layer.pay != ADL]
    case = recall(setting.state.cases[name].memory, 0.0).case
    for asset in debts:
        owed = -wallet_of(chain.state, view.owner, asset)
        digits = setting.state.configuration.assets[asset].digits
        price = price_in_money(setting, asset)
        here = setting.at(chain.state)
        payers = {layer.pay: payers_of(layer.pay, here, asset, view.owner, assess) for layer in layers}
        scope = view.scope(case, {"fund": _first(payers.get("fund", [])), "settle_price": price})
        paid, left = pay(owed, layers, payers, scope, Fraction(10**digits) / price)
        for one in paid:
            for share in one.allocation.shares:
                _transferred(setting, chain, share, asset, view.owner, f"waterfall: {one.pay}", name)
        if left:
            unpaid[asset] = to_text(left, digits)
    return [*chain.events, *_unpaid(setting, view, name, unpaid, chain), _closed(view, name, unpaid)]


def _first(legs: list[Leg]) -> Amount:
    return legs[0].figures["fund"] if legs else Fraction(0)


def _transferred(setting: Setting, chain: Chain, share: Share, asset: str, to: str, cause: str, name: str) -> None:
    """Move what a payer pays; a house owner that lacks the asset sells others for it before."""
    if share.name in {FUND, TREASURY, VAULT}:
        for other in sellable(setting, chain.state, share.name):
            lacking = share.paid - chain.state.balances[share.name].get((WALLET, asset), 0)
            taker = setting.outside.taker
            if other != asset and lacking > 0 and taker is not None:
                rows = sale_rows(setting, chain.state, share.name, taker, (other, asset), lacking)
                chain.post(f"{cause}, sale", name, rows)
    chain.post(cause, name, [*moved(share.name, to, WALLET, asset, share.paid)] if share.paid else [])


def _unpaid(setting: Setting, view: View, name: str, unpaid: dict[str, str], chain: Chain) -> list[Event]:
    """Return what becomes of a debt that nobody pays: the venue's own, or it stays and new risk stops."""
    if not unpaid:
        return []
    step = setting.state.cases[name].step + 1
    told = Asked(name, step, "unpaid", unpaid, {})
    words = {layer.pay for layer in setting.procedure.waterfall}
    if "deficit" in words:
        after = Chain(chain.state)
        for asset in unpaid:
            owed = -wallet_of(chain.state, view.owner, asset)
            after.post("waterfall: deficit", name, list(moved(TREASURY, view.owner, WALLET, asset, owed)))
        return [told, *after.events]
    return [told, *_stopped(setting)] if "halt" in words else [told]


def _ended_unpaid(view: View, name: str, unpaid: dict[str, str], assess: Assess) -> list[Event]:
    """Return the end of a pool whose debts of closed contracts nobody pays; before it, that a position goes.

    A closed pool is looked at again when it is worth something: no position stays behind in one that is not.
    """
    setting = view.setting
    left = _left_over(setting, view, name)
    chain = Chain(setting.state)
    chain.add(left)
    after = view_of(setting.at(chain.state), view.owner, view.unit)
    held = [leg for leg in view.pool.legs if leg.terms.form != "asset" and holds(view, leg)]
    if held and float(after.pool.figures["equity"]) < 0:
        return _position_gone(view, held[0], name, assess)
    return [*left, _closed(view, name, unpaid)]


def _left_over(setting: Setting, view: View, name: str) -> list[Event]:
    """Return what becomes of debts of closed contracts that nobody pays: the venue's own, or new risk stops."""
    words = {layer.pay for layer in setting.procedure.waterfall}
    chain = Chain(setting.state)
    if "deficit" in words:
        chain.post("waterfall: deficit", name, claim_rows(view, setting.state.cases[name].memory, TREASURY))
    return [*chain.events, *(_stopped(setting) if "halt" in words else [])]


def _stopped(setting: Setting) -> list[Event]:
    """Return the halt of all new risk: what is missing is nobody's, and must not grow."""
    standing = setting.state.configuration
    names = sorted({terms.contract.instrument.underlying for terms in standing.terms.values()})
    document = document_of(Section.HALTS, {"risk": names, "liquidation": list(standing.halts.liquidation)})
    return [Configured(Section.HALTS, digest_of(document), document)]


def _closed(view: View, name: str, unpaid: dict[str, str]) -> Staged:
    told = {f"unpaid {asset}": left for asset, left in unpaid.items()}
    return Staged(view.name, Stage.BANKRUPT, Stage.CLOSED, told, name)
