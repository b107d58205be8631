"""Who may be asked for a loss, layer by layer of the waterfall, with the figures that its formulas read."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Final

from crossmargin.clearing.configuration import account_of
from crossmargin.clearing.contracts import worth
from crossmargin.clearing.ledger import FUND, HELD, HOUSE, TREASURY, VAULT, WALLET, Holdings, Row, after_rows
from crossmargin.clearing.procedure.view import price_in_money
from crossmargin.errors import Failure
from crossmargin.liquidation import Leg, cover
from crossmargin.liquidation.pools import Figures

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from crossmargin.clearing.contracts import Terms
    from crossmargin.clearing.procedure.view import Setting
    from crossmargin.clearing.rules import Assess
    from crossmargin.clearing.state import State
    from crossmargin.liquidation.formulas import Amount

__all__ = ["MEMBER", "bears", "holders", "means", "notional_of", "payers_of"]

MEMBER: Final = "member"
"""The class of accounts that stand behind the fund and may be assessed."""


def payers_of(
    word: str, setting: Setting, asset: str, bankrupt: str, assess: Assess, terms: Terms | None = None
) -> list[Leg]:
    """Return who a layer may ask for money in an asset, in order of creation in the ledger.

    Parameters
    ----------
    word
        The layer's `pay`.
    bankrupt
        Whose loss it is; he pays nothing more.
    terms
        The contract that the loss is of: open interest is then its own; None: of all.
    """
    if word in {"skin", "fund", "vault"}:
        owner = {"skin": TREASURY, "fund": FUND, "vault": VAULT}[word]
        return [Leg(owner, Figures({"fund": means(setting, owner, asset)}))]
    users = [owner for owner in setting.state.balances if owner not in HOUSE and owner != bankrupt]
    if word == "assess":
        standing = setting.state.configuration.accounts
        users = [one for one in users if (h := standing.get(account_of(one))) is not None and h.class_ == MEMBER]
    equities = _equities(setting, users, assess)
    positive = [owner for owner in users if equities.get(owner, 0.0) > 0]
    return [Leg(owner, _figures(setting, owner, asset, bankrupt, equities[owner], terms)) for owner in positive]


def means(setting: Setting, owner: str, asset: str) -> Fraction:
    """Return what a house owner can pay in an asset: what it holds of it, and what a sale of its others would bring."""
    priced = setting.state.marks
    held = {
        name: Fraction(amount, _power(setting.state, name))
        for (purse, name), amount in setting.state.balances.get(owner, {}).items()
        if purse == WALLET and amount > 0 and (name in priced or name == setting.market.reporting_asset)
    }
    own = held.pop(asset, Fraction(0)) * price_in_money(setting, asset)
    sellable = held if setting.outside.taker is not None else {}
    prices = {name: price_in_money(setting, name) for name in sellable}
    debts = sum(
        Fraction(amount, _power(setting.state, name)) * price_in_money(setting, name)
        for (purse, name), amount in setting.state.balances.get(owner, {}).items()
        if purse == WALLET and amount < 0 and name in priced
    )
    return max(own + cover(sellable, prices, setting.procedure.fund) + debts, Fraction(0))


def bears(setting: Setting, owner: str, rows: list[Row]) -> bool:
    """Return whether a house owner can take over what rows bring it: its worth stays above 0, or does not fall.

    Everything counts at its mark. What rounding takes, a unit for each row, does not count.
    """
    before = setting.state.balances.get(owner, {})
    after = after_rows(setting.state.balances, tuple(rows), [owner])[owner]
    rounding = sum((_unit(setting, row) for row in rows if row[0] == owner), Fraction(0))
    return _worth(setting, after) >= min(_worth(setting, before), Fraction(0)) - rounding


def _unit(setting: Setting, row: Row) -> Fraction:
    asset = row[2]
    return price_in_money(setting, asset) / _power(setting.state, asset) if row[1] == WALLET else Fraction(0)


def _worth(setting: Setting, holdings: Holdings) -> Fraction:
    """Return what holdings are worth at the marks, in reporting money."""
    state, total = setting.state, Fraction(0)
    for (purse, asset), amount in holdings.items():
        terms = state.configuration.terms.get(asset)
        if purse == WALLET:
            total += Fraction(amount, _power(state, asset)) * price_in_money(setting, asset)
        elif purse == HELD and terms is not None:
            money = worth(terms, amount, state.marks[asset].price) + holdings.get((terms.basis, terms.settlement), 0)
            total += money / _power(state, terms.settlement) * price_in_money(setting, terms.settlement)
    return total


def _equities(setting: Setting, owners: Iterable[str], assess: Assess) -> dict[str, float]:
    state = setting.state
    reports = assess(state, {owner: state.balances[owner] for owner in owners})
    return {
        owner: sum(one.equity for one in report) for owner, report in reports.items() if not isinstance(report, Failure)
    }


def _figures(setting: Setting, owner: str, asset: str, bankrupt: str, equity: float, terms: Terms | None) -> Figures:
    holdings, price = setting.state.balances[owner], price_in_money(setting, asset)
    wallet = max(Fraction(holdings.get((WALLET, asset), 0), _power(setting.state, asset)) * price, Fraction(0))

    def profit() -> Amount:
        gains = (_gain(setting, owner, terms) for terms in _shared(setting, owner, bankrupt))
        return sum((max(gain, Fraction(0)) for gain in gains), Fraction(0))

    known: dict[str, Amount] = {"payer_equity": equity, "deposited": wallet}
    made: dict[str, Callable[[], Amount]] = {
        "profit": profit,
        "notional": lambda: notional_of(setting, owner),
        "open_interest_value": lambda: _notional(setting, owner, terms) if terms else notional_of(setting, owner),
        "payer_leverage": lambda: float(notional_of(setting, owner)) / equity,
    }
    return Figures(known, made)


def notional_of(setting: Setting, owner: str) -> Fraction:
    """Return the notional of all that an owner holds, in reporting money."""
    return sum((_notional(setting, owner, terms) for terms in _all(setting, owner)), Fraction(0))


def _all(setting: Setting, owner: str) -> list[Terms]:
    terms, marks = setting.state.configuration.terms, setting.state.marks
    held = (asset for purse, asset in setting.state.balances[owner] if purse == HELD)
    return [terms[asset] for asset in held if asset in marks]


def _shared(setting: Setting, owner: str, bankrupt: str) -> list[Terms]:
    """Return the contracts of an owner on the underlyings that the bankrupt one held; on all where he holds none."""
    lost = {terms.contract.instrument.underlying for terms in _all(setting, bankrupt)}
    mine = _all(setting, owner)
    return [terms for terms in mine if not lost or terms.contract.instrument.underlying in lost]


def _gain(setting: Setting, owner: str, terms: Terms) -> Fraction:
    """Return the unrealised P&L of a position at the mark, in reporting money."""
    holdings = setting.state.balances[owner]
    value = worth(terms, holdings[HELD, terms.symbol], setting.state.marks[terms.symbol].price)
    money = value + holdings.get((terms.basis, terms.settlement), 0)
    return money / _power(setting.state, terms.settlement) * price_in_money(setting, terms.settlement)


def _power(state: State, asset: str) -> int:
    """Return how many units make one of an asset."""
    return int(10 ** state.configuration.assets[asset].digits)


def _notional(setting: Setting, owner: str, terms: Terms) -> Fraction:
    held = setting.state.balances[owner].get((HELD, terms.symbol), 0)
    money = abs(worth(terms, held, setting.state.marks[terms.symbol].price))
    return money / _power(setting.state, terms.settlement) * price_in_money(setting, terms.settlement)


def holders(setting: Setting, terms: Terms, against: int, bankrupt: str, assess: Assess) -> list[Leg]:
    """Return the users who hold the other side of a position, with the figures that their rank is read from.

    Parameters
    ----------
    against
        The position that is closed, signed contracts.
    """
    state, key = setting.state, (HELD, terms.symbol)
    users = [
        owner
        for owner, holdings in state.balances.items()
        if owner not in HOUSE and owner != bankrupt and holdings.get(key, 0) * against < 0
    ]
    equities = _equities(setting, users, assess)
    return [_holder(setting, terms, owner, equities[owner]) for owner in users if equities.get(owner, 0.0) > 0]


def _holder(setting: Setting, terms: Terms, owner: str, equity: float) -> Leg:
    holdings = setting.state.balances[owner]
    held, basis = holdings[HELD, terms.symbol], holdings.get((terms.basis, terms.settlement), 0)
    scale = price_in_money(setting, terms.settlement) / _power(setting.state, terms.settlement)
    notional, gain = _notional(setting, owner, terms), _gain(setting, owner, terms)
    mark = Fraction(setting.state.marks[terms.symbol].price, 10**terms.contract.price_digits)
    unit = abs(worth(terms, held, setting.state.marks[terms.symbol].price))
    entry = mark * abs(basis) / unit if not terms.inverse else mark * unit / abs(basis or 1)
    known: dict[str, Amount] = {
        "payer_equity": equity,
        "notional": notional,
        "profit": max(gain, Fraction(0)),
        "pnl": gain,
        "pnl_share": gain / (abs(basis) * scale) if basis else Fraction(0),
        "payer_leverage": float(notional) / equity,
        "price": mark * price_in_money(setting, terms.settlement),
        "entry_price": entry or mark,
        "quantity": Fraction(held, 10**terms.contract.quantity_digits),
        "contracts_held": Fraction(abs(held), 10**terms.contract.quantity_digits),
    }
    return Leg(owner, Figures(known), keys={"instrument": terms.symbol, "bucket": terms.contract.instrument.underlying})
