"""Handlers of what an account does: configure, deposit, withdraw, transfer, trade, order, cancel."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crossmargin.clearing.checking import (
    Outcome,
    check_amount,
    check_asset,
    check_headroom,
    check_healthy,
    check_owner,
    check_price,
    check_signed,
    check_stage,
    is_unicode,
    posting,
    terms_for,
    told,
)
from crossmargin.clearing.configuration import MADE, UNIT_MARK, Section, account_of, configured, digest_of
from crossmargin.clearing.contracts import Payment, trade_money
from crossmargin.clearing.events import Configured
from crossmargin.clearing.indexes import due_of_trade, funding_rows
from crossmargin.clearing.ledger import HOUSE, RESERVED, WALLET, WORLD, Holdings, Row, moved
from crossmargin.clearing.rules import Refusal
from crossmargin.clearing.trading import trade_rows
from crossmargin.errors import FailureReason

if TYPE_CHECKING:
    from crossmargin.clearing.commands import Cancel, Configure, Deposit, PlaceOrder, Trade, Transfer, Withdraw
    from crossmargin.clearing.contracts import Terms
    from crossmargin.clearing.rules import Rules
    from crossmargin.clearing.state import State


def configure(state: State, command: Configure, rules: Rules) -> Outcome:
    """Take a document, if its hash is the one named and it fits what stands."""
    if not is_unicode(command.document):
        raise Refusal(FailureReason.MALFORMED_INPUT, "a document of Unicode text", "a lone surrogate")
    found = digest_of(command.document)
    if found != command.digest:
        raise Refusal(FailureReason.CONFIGURATION_DIFFERS, f"a document of hash {command.digest}", found)
    if command.section in MADE:
        raise Refusal(FailureReason.MALFORMED_INPUT, "a section that is set up by hand, as halts", command.section)
    after = configured(state.configuration, command.section, command.document)
    if command.section == Section.RULEBOOK and after.rulebook is not None and after.rulebook.digest != rules.digest:
        raise Refusal(
            FailureReason.CONFIGURATION_DIFFERS, f"the rulebook in use, {rules.digest}", after.rulebook.digest
        )
    return Outcome((Configured(command.section, command.digest, command.document),))


def deposit(state: State, command: Deposit, _: Rules) -> Outcome:
    """Add to a wallet what the world brings."""
    _check_payment(state, command.owner, command.asset, command.amount)
    rows = moved(WORLD, command.owner, WALLET, command.asset, command.amount)
    return Outcome((posting(state, "deposit", list(rows)),))


def withdraw(state: State, command: Withdraw, rules: Rules) -> Outcome:
    """Take from a wallet, if the pool is healthy, initial headroom stays at or above 0 and no loss is open.

    The house's own have to have what they withdraw: nobody's margin backs what they owe.
    """
    _check_payment(state, command.owner, command.asset, command.amount)
    check_healthy(state, command.owner)
    rules.check_withdrawal(state)
    if command.owner in HOUSE:
        has = state.balances.get(command.owner, {}).get((WALLET, command.asset), 0)
        if command.amount > has:
            expected = f"at most what {command.owner} has, {max(has, 0)}"
            raise Refusal(FailureReason.INSUFFICIENT_MARGIN, expected, told(command.amount))
    rows = moved(command.owner, WORLD, WALLET, command.asset, command.amount)
    posted = posting(state, "withdraw", list(rows))
    return Outcome((posted,), check_headroom(state, posted, [command.owner], rules, unless_better=False))


def transfer(state: State, command: Transfer, rules: Rules) -> Outcome:
    """Take from one pool to another of the same account, as a withdrawal from the first."""
    _check_payment(state, command.owner, command.asset, command.amount)
    check_owner(state, command.target)
    if account_of(command.owner) != account_of(command.target) or command.owner == command.target:
        raise Refusal(FailureReason.UNKNOWN_ACCOUNT, f"another pool of {account_of(command.owner)}", command.target)
    check_healthy(state, command.owner)
    posted = posting(
        state, "transfer", list(moved(command.owner, command.target, WALLET, command.asset, command.amount))
    )
    return Outcome((posted,), check_headroom(state, posted, [command.owner], rules, unless_better=False))


def _check_payment(state: State, owner: str, asset: str, amount: int) -> None:
    check_owner(state, owner)
    check_asset(state, asset)
    check_amount(amount)


def trade(state: State, command: Trade, rules: Rules) -> Outcome:
    """Post a trade: funding settled first, then both sides, fees, and what the trade fills of open orders."""
    terms = terms_for(state, command.instrument)
    _check_trade(state, command, terms, rules)
    buyer, seller, balances = command.buyer, command.seller, state.balances
    bought, sold = balances.get(buyer, {}), balances.get(seller, {})
    money = trade_money(terms, command.quantity, command.price)
    rows: list[Row] = []
    if terms.symbol in state.indices:
        rows += funding_rows(terms, buyer, bought, state.indices) + funding_rows(terms, seller, sold, state.indices)
        rows += due_of_trade(terms, buyer, command.quantity, state.indices)
        rows += due_of_trade(terms, seller, -command.quantity, state.indices)
    sides = (buyer, bought, command.buyer_fee), (seller, sold, command.seller_fee)
    rows += trade_rows(terms, *sides, command.quantity, money)
    if command.buyer_limit is not None:
        _check_limit(command.price, command.buyer_limit, worse=command.price > command.buyer_limit)
        rows += _filled(terms, buyer, bought, command.buyer_limit, command.quantity)
    if command.seller_limit is not None:
        _check_limit(command.price, command.seller_limit, worse=command.price < command.seller_limit)
        rows += _filled(terms, seller, sold, command.seller_limit, -command.quantity)
    fees = {terms.settlement: command.buyer_fee + command.seller_fee}
    posted = posting(state, "trade", rows, case=command.case, fees=fees)
    judged = [owner for owner in (buyer, seller) if owner != _owner_of(state, command.case)]
    more = () if command.case is None else rules.answered(state, command, posted)
    return Outcome((posted, *more), check_headroom(state, posted, judged, rules, unless_better=True))


def _owner_of(state: State, case: str | None) -> str | None:
    """Return whose case it is: its procedure has decided for him, and his headroom is not waited for."""
    return None if case is None else state.cases[case].pool.partition(UNIT_MARK)[0]


def _check_trade(state: State, command: Trade, terms: Terms, rules: Rules) -> None:
    check_owner(state, command.buyer)
    check_owner(state, command.seller)
    check_amount(command.quantity)
    if command.buyer == command.seller:
        raise Refusal(FailureReason.UNKNOWN_ACCOUNT, "two different owners", f"{command.buyer} twice")
    check_price(command.price, "price", 0 if terms.payment is Payment.PREMIUM else 1)
    check_signed(command.buyer_fee, 0)
    check_signed(command.seller_fee, 0)
    if command.case is not None:
        if command.case not in state.cases:
            raise Refusal(FailureReason.UNKNOWN_CASE, "an open case", command.case)
        if _owner_of(state, command.case) not in {command.buyer, command.seller}:
            raise Refusal(FailureReason.UNKNOWN_CASE, f"a case of {command.buyer} or {command.seller}", command.case)
        if account_of(command.buyer) == account_of(command.seller):  # it would set its own price
            raise Refusal(FailureReason.UNKNOWN_ACCOUNT, "an answer of another account", f"both of {command.buyer}")
        rules.check_answer(state, command)
    check_stage(state, command.buyer, terms, command.quantity, command.case, lockout=rules.lockout)
    check_stage(state, command.seller, terms, -command.quantity, command.case, lockout=rules.lockout)


def order_asset(terms: Terms, limit_price: int) -> str:
    """Return the asset under which an open order stands in the ledger: contracts wanted, against `world`."""
    return f"{terms.symbol}@{limit_price}"


def _filled(terms: Terms, owner: str, holdings: Holdings, limit: int, quantity: int) -> list[Row]:
    """Return the rows that take a fill off an open order."""
    wanted = order_asset(terms, limit)
    standing = holdings.get((RESERVED, wanted), 0)
    if standing * quantity <= 0 or abs(standing) < abs(quantity):
        raise Refusal(FailureReason.INVALID_QUANTITY, f"an open order of at least {quantity:+}", f"{standing:+}")
    return list(moved(owner, WORLD, RESERVED, wanted, quantity))


def _check_limit(price: int, limit: int, *, worse: bool) -> None:
    """Refuse to fill an order at a price that is worse than its limit."""
    check_price(limit, "limit price")
    if worse:
        raise Refusal(FailureReason.INVALID_PRICE, f"no worse price than the limit {told(limit)}", told(price))


def place_order(state: State, command: PlaceOrder, rules: Rules) -> Outcome:
    """Open an order, if the rulebook's reserves for it leave initial headroom."""
    terms = terms_for(state, command.instrument)
    check_owner(state, command.owner)
    _check_order(command)
    check_stage(state, command.owner, terms, command.quantity, None, lockout=rules.lockout)
    rows = moved(WORLD, command.owner, RESERVED, order_asset(terms, command.limit_price), command.quantity)
    posted = posting(state, "order", list(rows))
    return Outcome((posted,), check_headroom(state, posted, [command.owner], rules, unless_better=True))


def cancel(state: State, command: Cancel, _: Rules) -> Outcome:
    """Take back an open order, or a part of it."""
    check_owner(state, command.owner)
    _check_order(command)
    terms = state.configuration.terms.get(command.instrument)
    if terms is None:
        raise Refusal(FailureReason.UNKNOWN_INSTRUMENT, "a configured instrument", command.instrument)
    holdings = state.balances.get(command.owner, {})
    return Outcome(
        (posting(state, "cancel", _filled(terms, command.owner, holdings, command.limit_price, command.quantity)),)
    )


def _check_order(command: PlaceOrder | Cancel) -> None:
    check_signed(command.quantity)
    check_price(command.limit_price, "limit price")
