"""What a liquidation that ended leaves to the fund."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

from crossmargin.clearing.checking import posting
from crossmargin.clearing.ledger import FUND, HOUSE, WALLET, moved
from crossmargin.clearing.procedure.payers import means, notional_of
from crossmargin.clearing.procedure.trades import wallet_of
from crossmargin.clearing.procedure.view import price_in_money
from crossmargin.liquidation import funds, inflow, replenishment

if TYPE_CHECKING:
    from crossmargin.clearing.events import Event
    from crossmargin.clearing.procedure.view import View
    from crossmargin.liquidation import Case

__all__ = ["inflow_events"]


def inflow_events(view: View, case: str, memory: Case) -> list[Event]:
    """Return the posting by which the fund receives its inflow, as far as it lacks its target; nothing without any.

    A target that stands on `cover_1` or `cover_2` reads the last stress; before the first one these count for nothing.
    Without a target the fund keeps all.
    """
    setting, fund = view.setting, view.setting.procedure.fund
    if fund.inflow is None:
        return []
    money = inflow(fund, view.scope(memory))
    if fund.target is not None:
        scope = view.scope(memory, {"open_interest_value": _open_interest(view)})
        money, _ = replenishment(means(setting, FUND, setting.currency), funds(fund, scope, _losses(view)), money)
    unit = 10 ** setting.state.configuration.assets[setting.currency].digits
    amount = int(money / price_in_money(setting, setting.currency) * unit)
    amount = min(amount, max(wallet_of(setting.state, view.owner, setting.currency), 0))
    if not amount:
        return []
    rows = moved(view.owner, FUND, WALLET, setting.currency, amount)
    return [posting(setting.state, "liquidation: inflow", list(rows), case=case, fees=None)]


def _losses(view: View) -> dict[str, dict[str, Fraction]]:
    last = view.setting.state.configuration.stress
    found = {} if last is None else last.losses
    return {scenario: {member: Fraction(text) for member, text in by.items()} for scenario, by in found.items()}


def _open_interest(view: View) -> Fraction:
    owners = (owner for owner in view.setting.state.balances if owner not in HOUSE)
    return sum((notional_of(view.setting, owner) for owner in owners), Fraction(0))
