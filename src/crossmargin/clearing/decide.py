"""Commands to events: pure, without clock or chance. Floats decide, integers act, events remember."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any, Final

from crossmargin.clearing import commands as c
from crossmargin.clearing import handlers_account as account
from crossmargin.clearing import handlers_market as market
from crossmargin.clearing.checking import is_zoned, told
from crossmargin.clearing.checks import check_rows
from crossmargin.clearing.events import Event, Posted, Record, Refused
from crossmargin.clearing.guards import counted
from crossmargin.clearing.rules import Refusal, no_reaction
from crossmargin.clearing.state import Draft, at
from crossmargin.errors import FailureReason, InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from crossmargin.clearing.checking import Outcome
    from crossmargin.clearing.rules import Reports, Rules
    from crossmargin.clearing.state import State

ROUNDS: Final = 1_000  # of reactions to one command, for each pool that does not stand healthy
_LONGEST_NAME: Final = 100
_LONGEST_TEXT: Final = 500

HANDLERS: Final[Mapping[type, Callable[[State, Any, Rules], Outcome]]] = {
    c.Configure: account.configure,
    c.Deposit: account.deposit,
    c.Withdraw: account.withdraw,
    c.Transfer: account.transfer,
    c.Trade: account.trade,
    c.PlaceOrder: account.place_order,
    c.Cancel: account.cancel,
    c.Prices: market.prices,
    c.Accrue: market.accrue,
    c.Settle: market.settle,
    c.Expire: market.expire,
    c.Bid: market.bid,
    c.Tick: market.tick,
    c.StressAll: market.stress,
}


class RunawayError(RuntimeError):
    """Reactions to one command that would not end: a mistake of a procedure."""


def known(state: State, command: c.Command) -> bool:
    """Return whether the command was answered before; it then changes nothing. Numbers begin at 1."""
    return 0 < command.sequence <= state.sources.get(command.source, 0)


def decide(state: State, command: c.Command, rules: Rules) -> tuple[Event, ...]:
    """Return what a command leads to: events in order, at least one; a refusal is one too.

    Raises
    ------
    InputError
        OUT_OF_ORDER for a gap in the source's numbers, MALFORMED_INPUT for a number below 1 or a time without a
        zone. Nothing is recorded then: the command was not taken.
    """
    _check_place(state, command)
    try:
        _check_time(state, command)
        _check_rulebook(state, command, rules)
        today = at(state, command.as_of)
        outcome = HANDLERS[type(command)](today, command, rules)
    except Refusal as refusal:
        return (Refused(refusal.reason, _writable(refusal.expected), _writable(refusal.found)),)
    except InputError as error:
        return (Refused(error.reason, "a command that can be carried out", _writable(str(error))),)
    events = outcome.events if rules.react is no_reaction else _with_reactions(today, command, rules, outcome)
    return (*events, *counted(today, events))


def record_of(state: State, command: c.Command, event: Event, engine: str, digest: str) -> Record:
    """Return the record that carries the next event. A command from the past is recorded as refused at the present."""
    as_of = command.as_of if state.as_of is None else max(command.as_of, state.as_of)
    return Record(state.number + 1, command.source, command.sequence, as_of, engine, digest, event)


def _writable(text: str) -> str:
    """Return what a record can hold of a text that came in: at most 500 characters, and Unicode ones."""
    return text[:_LONGEST_TEXT].encode("utf-8", "backslashreplace").decode()


def _check_place(state: State, command: c.Command) -> None:
    expected = state.sources.get(command.source, 0) + 1
    if command.sequence < 1:
        message = f"source {command.source[:_LONGEST_NAME]!r}: numbers begin at 1, found {told(command.sequence)}"
        raise InputError(FailureReason.MALFORMED_INPUT, message)
    if command.sequence > expected:
        found = told(command.sequence)
        message = f"source {command.source}: expected command {expected}, found {found}; send what is between"
        raise InputError(FailureReason.OUT_OF_ORDER, message)
    assert command.sequence == expected, "a command that was answered before is not decided again"
    if not 0 < len(command.source) <= _LONGEST_NAME or not command.source.isprintable():
        message = f"expected a source of 1 to {_LONGEST_NAME} printable characters, found {command.source[:9]!r} ..."
        raise InputError(FailureReason.MALFORMED_INPUT, message)
    if not is_zoned(command.as_of):
        message = f"expected a time with a zone of whole minutes, found {command.as_of.isoformat()} (write Z for UTC)"
        raise InputError(FailureReason.MALFORMED_INPUT, message)


def _check_time(state: State, command: c.Command) -> None:
    if state.as_of is not None and command.as_of < state.as_of:
        expected = f"a time at or after {state.as_of.isoformat()}"
        raise Refusal(FailureReason.TIME_BACKWARDS, expected, command.as_of.isoformat())


def _check_rulebook(state: State, command: c.Command, rules: Rules) -> None:
    standing = state.configuration.rulebook
    if standing is not None and standing.digest != rules.digest and not isinstance(command, c.Configure):
        raise Refusal(FailureReason.CONFIGURATION_DIFFERS, f"rulebook {standing.digest}", f"in use: {rules.digest}")


def _with_reactions(state: State, command: c.Command, rules: Rules, outcome: Outcome) -> tuple[Event, ...]:
    """Return the events and, until nothing is left to do, what follows from them."""
    draft = Draft(state)
    events: tuple[Event, ...] = ()
    more, reports = outcome.events, dict(outcome.reports or {})
    for turn in count():
        if turn >= ROUNDS * (1 + len(draft.state.pools)):
            break
        for event in more:
            if turn and isinstance(event, Posted):
                check_rows(event.rows, state.configuration.terms, None)
            draft.fold(record_of(draft.state, command, event, "", ""))
        events += more
        touched = market.touched(draft.state, more)  # whoever else stands as he did
        known = set() if turn else set(reports)  # the handler has asked for these already
        reports |= _assessed(draft.state, rules, touched - known)
        more = tuple(rules.react(draft.state, reports))
        if not more:
            return events
    raise RunawayError(f"reactions to command {command.sequence} of {command.source} did not end in {turn} rounds")


def _assessed(state: State, rules: Rules, owners: set[str]) -> Reports:
    return rules.assess(state, {owner: state.balances.get(owner, {}) for owner in sorted(owners)}) if owners else {}
