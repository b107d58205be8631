"""What happens to a pool that no step restores: its positions go, its collateral is sold, then others pay, by layers.

Every posting conserves; what nobody pays is told, and stays as a debt that the document says what to do with.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from math import ceil
from typing import TYPE_CHECKING, Final

from crossmargin.clearing.configuration import Section, digest_of, document_of
from crossmargin.clearing.events import Asked, Configured, Event, Stage, Staged
from crossmargin.clearing.ledger import FUND, HELD, TREASURY, VAULT, WALLET, moved
from crossmargin.clearing.procedure.chain import Chain
from crossmargin.clearing.procedure.payers import holders, payers_of, price_in_money
from crossmargin.clearing.procedure.rows import handed, traded
from crossmargin.clearing.procedure.view import View, parted, view_of
from crossmargin.clearing.scales import to_text
from crossmargin.liquidation import Payer, allocate, pay
from crossmargin.liquidation.formulas import as_fraction
from crossmargin.liquidation.postings import quoted

if TYPE_CHECKING:
    from crossmargin.clearing.contracts import Terms
    from crossmargin.clearing.ledger import Row
    from crossmargin.clearing.procedure.view import Setting
    from crossmargin.clearing.rules import Assess
    from crossmargin.clearing.state import State
    from crossmargin.liquidation import Leg, Share
    from crossmargin.liquidation.formulas import Amount
    from crossmargin.liquidation.scope import Scope
    from crossmargin.margin.procedure import Payment

__all__ = ["loss_events"]

ADL: Final = "adl"


def loss_events(setting: Setting, name: str, assess: Assess) -> list[Event]:
    """Return the next thing that happens to a bankrupt pool: one position, one sale, one debt, the end."""
    owner, unit = parted(setting.state.cases[name].pool)
    view = view_of(setting, owner, unit)
    for leg in view.pool.legs:
        if leg.terms.form != "asset":
            return _position_gone(view, leg, name, assess)
    debts = _balances(view, below=True)
    if not debts:
        return [_closed(setting, name, {})]
    sold = _collateral_sold(view, debts[0], name)
    return sold or _paid(view, name, debts, assess)


def _balances(view: View, *, below: bool) -> list[str]:
    """Return the assets that the pool owes, or has, in order of creation."""
    holdings = view.setting.state.balances.get(view.owner, {})
    return [asset for (purse, asset), amount in holdings.items() if purse == WALLET and (amount < 0) == below]


def _position_gone(view: View, leg: Leg, name: str, assess: Assess) -> list[Event]:
    """Return the postings by which one position is closed against others, as far as they hold the other side.

    What is left goes to the fund with its basis.
    """
    symbol, chain = leg.keys["instrument"], Chain(view.setting.state)
    terms = chain.state.configuration.terms[symbol]
    for layer in view.setting.procedure.waterfall:
        if layer.pay == ADL:
            _deleveraged(view, leg, layer, chain, name, assess)
    held = chain.state.balances[view.owner].get((HELD, symbol), 0)
    if held:
        chain.post("waterfall: taken over", name, handed(chain.state, terms, view.owner, FUND, held))
    return chain.events


def _deleveraged(view: View, leg: Leg, layer: Payment, chain: Chain, name: str, assess: Assess) -> None:
    """Close a position against those who hold the other side, by the layer's rule, each in a posting of his own.

    The price is the document's (of bankruptcy: those who are closed give up exactly what is missing), else the mark.
    """
    symbol = leg.keys["instrument"]
    terms, held = chain.state.configuration.terms[symbol], chain.state.balances[view.owner][HELD, symbol]
    others = holders(view.setting, terms, held, view.owner, assess)
    scope = replace(view.scope(), leg=leg)
    shares = allocate(abs(held), [_counterparty(layer, one, scope, terms) for one in others], layer.rule).shares
    ticks = 10**terms.contract.price_digits
    price = Fraction(chain.state.marks[symbol].price)
    if layer.price is not None:
        price = quoted(leg, as_fraction(scope.number(layer.price))) * ticks
    for share in shares:
        if share.paid:
            quantity = -share.paid if held > 0 else share.paid
            rows = traded(chain.state, terms, view.owner, share.name, quantity, max(price, Fraction(1)))
            chain.post("waterfall: adl", name, rows)


def _counterparty(layer: Payment, one: Leg, scope: Scope, terms: Terms) -> Payer:
    """Return who may be closed, counted in contracts: what he holds, and how much of it his equity would bear."""
    there = replace(scope, payer=one)
    unit = 10**terms.contract.quantity_digits
    cap = int(as_fraction(one.figures["contracts_held"]) * unit)
    each = as_fraction(one.figures["notional"]) / cap
    weight = 1 if layer.weight is None else int(as_fraction(there.number(layer.weight)) / each)
    return Payer(
        name=one.name,
        cap=cap,
        weight=weight,
        rank=Fraction(0) if layer.rank is None else as_fraction(there.number(layer.rank)),
        equity=int(as_fraction(one.figures["payer_equity"]) / each),
    )


def _collateral_sold(view: View, debt: str, name: str) -> list[Event]:
    """Return the sale of one asset for what is owed, less the haircut of the fund's own sales; nothing without any.

    It is sold to who takes market orders at once, else to the fund.
    """
    have = [asset for asset in _balances(view, below=False) if asset in view.setting.state.marks]
    if not have:
        return []
    buyer = view.setting.outside.taker or FUND
    chain = Chain(view.setting.state)
    owed = -chain.state.balances[view.owner][WALLET, debt]
    chain.post(
        "waterfall: collateral", name, _sale(view.setting, chain.state, view.owner, buyer, (have[0], debt), owed)
    )
    return chain.events


def _sale(setting: Setting, state: State, seller: str, buyer: str, assets: tuple[str, str], wanted: int) -> list[Row]:
    """Return the rows that sell one asset for at most `wanted` units of another, at the marks less the haircut."""
    given, received = assets
    kept = 1 - as_fraction(setting.procedure.fund.haircuts.get(given, 0.0))
    digits = (state.configuration.assets[given].digits, state.configuration.assets[received].digits)
    rate = (
        price_in_money(setting, given)
        * kept
        / price_in_money(setting, received)
        * Fraction(10) ** (digits[1] - digits[0])
    )
    held = state.balances[seller][WALLET, given]
    sold = min(held, ceil(wanted / rate)) if rate else held
    paid = min(int(sold * rate), wanted)
    return [*moved(seller, buyer, WALLET, given, sold), *moved(buyer, seller, WALLET, received, paid)]


def _paid(view: View, name: str, debts: list[str], assess: Assess) -> list[Event]:
    """Return who pays every debt, layer by layer, what nobody pays, and that the case is closed."""
    setting, chain, unpaid = view.setting, Chain(view.setting.state), dict[str, str]()
    layers = [layer for layer in setting.procedure.waterfall if layer.pay != ADL]
    for asset in debts:
        owed = -chain.state.balances[view.owner][WALLET, asset]
        digits = setting.state.configuration.assets[asset].digits
        scale = Fraction(10**digits) / price_in_money(setting, asset)
        here = setting.at(chain.state)
        payers = {layer.pay: payers_of(layer.pay, here, asset, view.owner, assess) for layer in layers}
        scope = view.scope(stated={"fund": _first(payers.get("fund", []))})
        paid, left = pay(owed, layers, payers, scope, scale)
        for one in paid:
            for share in one.allocation.shares:
                _transferred(setting, chain, share, asset, view.owner, f"waterfall: {one.pay}", name)
        if left:
            unpaid[asset] = to_text(left, digits)
    return [*chain.events, *_unpaid(setting, view, name, unpaid, chain), _closed(setting, name, unpaid)]


def _first(legs: list[Leg]) -> Amount:
    return legs[0].figures["fund"] if legs else Fraction(0)


def _transferred(setting: Setting, chain: Chain, share: Share, asset: str, to: str, cause: str, name: str) -> None:
    """Move what a payer pays; a house owner that lacks the asset sells others for it before."""
    if share.name in {FUND, TREASURY, VAULT}:
        for (purse, other), amount in list(chain.state.balances.get(share.name, {}).items()):
            lacking = share.paid - chain.state.balances[share.name].get((WALLET, asset), 0)
            taker = setting.outside.taker
            if purse == WALLET and other != asset and amount > 0 and lacking > 0 and taker is not None:
                rows = _sale(setting, chain.state, share.name, taker, (other, asset), lacking)
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
            owed = -chain.state.balances[view.owner][WALLET, asset]
            after.post("waterfall: deficit", name, list(moved(TREASURY, view.owner, WALLET, asset, owed)))
        return [told, *after.events]
    return [told, *_stopped(setting)] if "halt" in words else [told]


def _stopped(setting: Setting) -> list[Event]:
    """Return the halt of all new risk: what is missing is nobody's, and must not grow."""
    standing = setting.state.configuration
    names = sorted({terms.contract.instrument.underlying for terms in standing.terms.values()})
    document = document_of(Section.HALTS, {"risk": names, "liquidation": list(standing.halts.liquidation)})
    return [Configured(Section.HALTS, digest_of(document), document)]


def _closed(setting: Setting, name: str, unpaid: dict[str, str]) -> Staged:
    pool = setting.state.cases[name].pool
    return Staged(pool, Stage.BANKRUPT, Stage.CLOSED, {f"unpaid {asset}": left for asset, left in unpaid.items()}, name)
