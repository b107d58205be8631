"""Handlers of what the market and time do: prices, accruals, settlement, expiry, bids, ticks, stress."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from crossmargin.clearing.checking import Outcome, check_price, is_unicode, is_zoned, posting, told
from crossmargin.clearing.checks import check_rows
from crossmargin.clearing.commands import ASSET_FIGURES, INSTRUMENT_FIGURES
from crossmargin.clearing.configuration import Section
from crossmargin.clearing.contracts import Payment, Terms
from crossmargin.clearing.events import Configured, Event, Indexed, Posted, Priced
from crossmargin.clearing.indexes import BORROW, LEND, PER_UNIT, funding_step, interest_kept, interest_step
from crossmargin.clearing.ledger import HOUSE, RESERVED, WORLD, Row, moved
from crossmargin.clearing.rules import Refusal
from crossmargin.clearing.settlement import expiry_rows, holders_of, settle_rows
from crossmargin.clearing.state import with_prices
from crossmargin.errors import FailureReason
from crossmargin.instruments import InstrumentKind

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from crossmargin.clearing.commands import Accrue, Bid, Expire, Prices, Quote, Settle, StressAll, Tick
    from crossmargin.clearing.rules import Rules
    from crossmargin.clearing.state import State


_LONGEST = 40  # characters of a decimal, and its digits before or after the point
_LONGEST_NAME = 100  # of a feed, as of a source
_MOST_TOLD = 500  # characters of a quality
_Problem: TypeAlias = tuple[str, str, Refusal]
"""Feed, name, and why its word on that name does not count."""


def prices(state: State, command: Prices, rules: Rules) -> Outcome:
    """Let the guards say which quotes stand, of those that mean something; the rest is as if it had not come."""
    usable, problems = _usable(state, command.quotes)
    if problems and not usable:
        raise problems[0][2]
    priced = _with_reasons(rules.guard(state, msgspec.structs.replace(command, quotes=usable)), problems)
    if not priced.quotes and not priced.memory:
        return Outcome((Posted("prices", None, ()),))
    return Outcome((priced, *rules.breakers(with_prices(state, priced), priced.quotes.keys() | priced.memory.keys())))


def _usable(
    state: State, quotes: Mapping[str, Mapping[str, Quote]]
) -> tuple[dict[str, dict[str, Quote]], list[_Problem]]:
    """Return the quotes that mean something, by feed, and what is wrong with the others."""
    usable: dict[str, dict[str, Quote]] = {}
    problems: list[_Problem] = []
    for feed, own in quotes.items():
        for name, quote in own.items():
            try:
                _check_feed(feed)
                _check_quote(state, name, quote)
            except Refusal as refusal:
                problems.append((feed, name, refusal))
            else:
                usable.setdefault(feed, {})[name] = quote
    return usable, problems


def _with_reasons(priced: Priced, problems: list[_Problem]) -> Priced:
    """Return the prices that stand, whose quality says which words did not count and why.

    What is about a name of which no price stands is told with the first one that does.
    """
    if not problems or not priced.quotes:
        return priced
    told: dict[str, list[str]] = {}
    first = min(priced.quotes)
    for feed, name, refusal in sorted(problems, key=lambda one: one[:2]):
        own = name in priced.quotes
        words = [_shown(feed), *(() if own else (f"on {_shown(name)}",)), refusal.reason.replace("_", " ")]
        told.setdefault(name if own else first, []).append("; " + " ".join(words))
    quotes = {
        name: msgspec.structs.replace(quote, quality=(quote.quality + "".join(told.get(name, ())))[:_MOST_TOLD])
        for name, quote in priced.quotes.items()
    }
    return Priced(quotes, priced.memory)


def _shown(name: str) -> str:
    """Return a name that came from outside as a record can hold it."""
    return name[:_LONGEST].encode("utf-8", "backslashreplace").decode()


def _check_feed(feed: str) -> None:
    if not is_unicode(feed) or len(feed) > _LONGEST_NAME:
        expected = f"a feed of at most {_LONGEST_NAME} Unicode characters"
        raise Refusal(FailureReason.MALFORMED_INPUT, expected, feed[:_LONGEST])


def _check_quote(state: State, name: str, quote: Quote) -> None:
    terms = state.configuration.terms.get(name)
    if terms is None and name not in state.configuration.assets:
        raise Refusal(FailureReason.UNKNOWN_INSTRUMENT, "a configured asset or instrument", name)
    option = terms is not None and terms.contract.instrument.kind == InstrumentKind.OPTION
    check_price(quote.price, f"price of {name}", 0 if option else 1)
    if quote.observed_at is not None and not is_zoned(quote.observed_at):
        raise Refusal(FailureReason.MALFORMED_INPUT, f"a time with a zone for {name}", quote.observed_at.isoformat())
    if quote.interval is not None:
        check_price(quote.interval, f"confidence interval of {name}", 0)
    if len(quote.quality) > _LONGEST or not is_unicode(quote.quality):
        raise Refusal(FailureReason.MALFORMED_INPUT, f"a quality of {name} in a few words", quote.quality[:_LONGEST])
    figures = ASSET_FIGURES if terms is None else INSTRUMENT_FIGURES
    for key, value in quote.figures.items():
        if key not in figures:
            raise Refusal(FailureReason.MALFORMED_INPUT, f"for {name} one of {', '.join(sorted(figures))}", key)
        _decimal(value, f"{key} of {name} as a decimal")


def accrue(state: State, command: Accrue, _: Rules) -> Outcome:
    """Move an index by what one unit of quantity owes."""
    moved_at = state.indexed_at.get(command.index)
    if moved_at is not None and state.as_of is not None and state.as_of <= moved_at:
        raise Refusal(FailureReason.ALREADY_ACCRUED, f"a time after {moved_at.isoformat()}", state.as_of.isoformat())
    step = _step(state, command, _decimal(command.rate, "a rate as a decimal fraction"))
    after = {command.index: state.indices.get(command.index, 0) + step}
    if command.index.startswith(LEND):
        kept = interest_kept(command.index.removeprefix(LEND), state.balances, {**state.indices, **after})
        if kept < 0:
            expected = "interest on deposits that debts pay: accrue theirs first"
            raise Refusal(FailureReason.INVALID_QUANTITY, expected, f"{-kept / PER_UNIT:.8g} units too much")
    return Outcome((Indexed(after),))


def _step(state: State, command: Accrue, rate: Fraction) -> int:
    for prefix in (BORROW, LEND):
        if command.index.startswith(prefix):
            asset = state.configuration.assets.get(command.index.removeprefix(prefix))
            if asset is None or not asset.interest:
                raise Refusal(FailureReason.UNKNOWN_ASSET, "an asset that bears interest", command.index)
            if rate < 0:
                raise Refusal(FailureReason.INVALID_QUANTITY, "an interest rate at or above 0", command.rate)
            return interest_step(rate)
    terms = state.configuration.terms.get(command.index)
    if terms is None or terms.contract.instrument.kind != InstrumentKind.PERPETUAL:
        raise Refusal(FailureReason.UNKNOWN_INSTRUMENT, "a configured perpetual", command.index)
    check_price(command.mark or 0, "mark")
    assert command.mark is not None
    return funding_step(terms, rate, command.mark)


def _decimal(text: str, what: str) -> Fraction:
    try:
        number = Decimal(text if len(text) <= _LONGEST else "NaN")
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite() or abs(number.adjusted()) > _LONGEST:
        raise Refusal(FailureReason.INVALID_QUANTITY, what, text[:_LONGEST])
    return Fraction(number)


def settle(state: State, command: Settle, _: Rules) -> Outcome:
    """Pay everybody's unrealised P&L in an instrument, each within its own account."""
    terms = _held_terms(state, command.instrument, command.price)
    if terms.payment != Payment.MARGINED:
        raise Refusal(FailureReason.INVALID_INSTRUMENT, "a contract with P&L to settle", command.instrument)
    holders = holders_of(terms, state.balances)
    rows = [row for owner, holdings in holders.items() for row in settle_rows(terms, owner, holdings, command.price)]
    return Outcome((posting(state, "settle", rows),))


def expire(state: State, command: Expire, _: Rules) -> Outcome:
    """End a contract: pay everybody, take positions and open orders away."""
    terms = _held_terms(state, command.instrument, command.price)
    expiry = terms.contract.instrument.expiry
    if expiry is None:
        raise Refusal(FailureReason.INVALID_INSTRUMENT, "a contract that expires", command.instrument)
    if state.as_of is None or state.as_of < expiry:
        raise Refusal(FailureReason.AWAITING_SETTLEMENT, f"a time at or after {expiry.isoformat()}", str(state.as_of))
    rows = expiry_rows(terms, holders_of(terms, state.balances), command.price, state.indices)
    return Outcome((posting(state, "expire", [*rows, *_orders_gone(state, terms)]),))


def _held_terms(state: State, instrument: str, price: int) -> Terms:
    terms = state.configuration.terms.get(instrument)
    if terms is None:
        raise Refusal(FailureReason.UNKNOWN_INSTRUMENT, "a configured instrument", instrument)
    check_price(price, "settlement price")
    return terms


def _orders_gone(state: State, terms: Terms) -> list[Row]:
    mark = f"{terms.symbol}@"
    return [
        row
        for owner, holdings in state.balances.items()
        if owner != WORLD
        for (purse, asset), amount in holdings.items()
        if purse == RESERVED and asset.startswith(mark)
        for row in moved(owner, WORLD, RESERVED, asset, amount)
    ]


def bid(state: State, command: Bid, rules: Rules) -> Outcome:
    """Hand a bid to the procedure of its case."""
    case = state.cases.get(command.case)
    if case is None:
        raise Refusal(FailureReason.UNKNOWN_CASE, "an open case", command.case)
    if command.step != case.step:
        raise Refusal(FailureReason.MOVED_ON, f"a bid on step {case.step}", f"on step {told(command.step)}")
    events = tuple(rules.take_bid(state, command))
    for event in events:
        if isinstance(event, Posted):
            check_rows(event.rows, state.configuration.terms, None)
    return Outcome(events or (Posted("bid", command.case, ()),))


def tick(state: State, _command: Tick, rules: Rules) -> Outcome:
    """Let time pass: quotes grow old, and what stood still may go on; what follows is the reactions'."""
    return Outcome((Posted("tick", None, ()), *rules.breakers(state, None)))


def stress(state: State, _command: StressAll, rules: Rules) -> Outcome:
    """Look at every account in every scenario: nobody's figures change, the fund's target may."""
    return Outcome((rules.stress(state),))


def touched(state: State, events: Iterable[Event]) -> set[str]:
    """Return the users whose figures these events may have changed, by the state after them."""
    owners: set[str] = set()
    names: set[str] = set()
    for event in events:
        if isinstance(event, Posted):
            owners.update(row[0] for row in event.rows)
            if not event.rows:  # time has passed: for those who stand under a deadline
                owners.update(state.pools)
        elif isinstance(event, Priced):
            names.update(event.quotes)
        elif isinstance(event, Configured) and event.section != Section.STRESS:  # a liquidation may have waited
            names.update(state.marks)
        elif isinstance(event, Indexed):
            names.update(name.removeprefix(BORROW).removeprefix(LEND) for name in event.indices)
    if names:
        owners.update(o for o, h in state.balances.items() if any(asset in names for _, asset in h))
    return owners - HOUSE
