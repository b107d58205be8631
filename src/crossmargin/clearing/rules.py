"""What the state machine asks for and does not know itself: assessment, procedures, price guards - as functions."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import msgspec

from crossmargin.clearing.configuration import Section, Trip, digest_of, document_of
from crossmargin.clearing.events import Configured, Priced
from crossmargin.errors import Failure, FailureReason
from crossmargin.margin.procedure_checks import HEADROOM

if TYPE_CHECKING:
    from crossmargin.clearing.commands import Bid, Prices, Quote, Trade
    from crossmargin.clearing.events import Event, Posted
    from crossmargin.clearing.ledger import Holdings
    from crossmargin.clearing.state import State


class Refusal(Exception):  # noqa: N818 - the command is refused; nothing is wrong with the program
    """A command that is not carried out: a reason of the closed list, what was expected, what was found."""

    def __init__(self, reason: FailureReason, expected: str, found: str) -> None:
        self.reason, self.expected, self.found = reason, expected, found
        super().__init__(f"{reason}: expected {expected}, found {found}")


class Figures(msgspec.Struct, frozen=True, gc=False):
    """One pool as the margin engine sees it, in its reporting asset; headrooms are signed.

    `pool` is the owner, or ``owner#unit`` where the rulebook parts an owner's holdings. `triggered` says whether the
    rulebook's own liquidation trigger holds. `adjusted_equity` is the one that maintenance is held against. `beside`
    holds the rulebook's further requirements by name, each with its headroom, ``search`` and ``search_headroom``.
    """

    pool: str
    equity: float
    initial_headroom: float
    maintenance_headroom: float
    coverage_ratio: float
    triggered: bool
    adjusted_equity: float
    initial: float
    maintenance: float
    beside: Mapping[str, float] = {}


def further(names: Sequence[str], figures: Sequence[float]) -> dict[str, float]:
    """Return requirements and headrooms by name, of the adjusted equity and the amount of each."""
    found: dict[str, float] = {}
    for name, adjusted, required in zip(names, figures[::2], figures[1::2], strict=True):
        found |= {name: required, f"{name}{HEADROOM}": adjusted - required}
    return found


Reports = Mapping[str, "tuple[Figures, ...] | Failure"]
"""By owner: its pools, or why it cannot be assessed."""


class Assess(Protocol):
    """What each owner's pools stand at with these holdings, and the marks, indices and time of `state`."""

    def __call__(self, state: State, holdings: Mapping[str, Holdings], /) -> Reports:
        """Return one entry for each owner of `holdings`."""


class React(Protocol):
    """What follows from a state and the figures of the pools that changed: events of cases, stages, waterfalls."""

    def __call__(self, state: State, reports: Reports, /) -> Sequence[Event]:
        """Return events; none when nothing is left to do. It is asked again until then."""


class Guard(Protocol):
    """Which of the raw quotes stand."""

    def __call__(self, state: State, command: Prices, /) -> Priced:
        """Return the quotes that pass, by name, and what is to be remembered; both empty where nothing changes."""


class Breakers(Protocol):
    """What stops and resumes on underlyings."""

    def __call__(self, state: State, names: Collection[str] | None, /) -> Sequence[Event]:
        """Return the events that follow from a state, after prices of these names (None: after time has passed)."""


class RunStress(Protocol):
    """What defaults would leave uncovered."""

    def __call__(self, state: State, /) -> Configured:
        """Return the event that says so, or raise `Refusal`."""


class TakeBid(Protocol):
    """What a bid on an open case does."""

    def __call__(self, state: State, command: Bid, /) -> Sequence[Event]:
        """Return events, or raise `Refusal`."""


class CheckAnswer(Protocol):
    """Whether a trade in the name of an open case answers what the case asked for."""

    def __call__(self, state: State, command: Trade, /) -> None:
        """Return, or raise `Refusal`."""


class Answered(Protocol):
    """What follows from a trade that answers what a case asked for."""

    def __call__(self, state: State, command: Trade, posted: Posted, /) -> Sequence[Event]:
        """Return what is posted beside the trade, from the state before it; what the document charges for a fill."""


class CheckWithdrawal(Protocol):
    """Whether money may leave the house at all."""

    def __call__(self, state: State, /) -> None:
        """Return, or raise `Refusal`."""


def nothing_more(_state: State, _command: Trade, _posted: Posted) -> Sequence[Event]:
    """Return nothing: without a procedure no case charges anything."""
    return ()


def any_withdrawal(_state: State) -> None:
    """Let money leave: without a procedure nobody shares a loss."""


def any_answer(_state: State, _command: Trade) -> None:
    """Take any trade as an answer."""


def no_reaction(_state: State, _reports: Reports) -> Sequence[Event]:
    """Return nothing: without a procedure a pool stays as it is."""
    return ()


def no_breakers(state: State, _names: Collection[str] | None) -> Sequence[Event]:
    """Lift what the breakers of other rules stopped: nothing would ever lift it here."""
    return (breakers_event({}),) if state.configuration.breakers else ()


def breakers_event(trips: Mapping[str, tuple[Trip, ...]]) -> Configured:
    """Return the event after which these trips stand, by underlying, and no others."""
    document = document_of(Section.BREAKERS, trips)
    return Configured(Section.BREAKERS, digest_of(document), document)


def middle_quotes(_state: State, command: Prices) -> Priced:
    """Return for each name the middle one of its quotes by price, the lower of two."""
    offered: dict[str, list[Quote]] = {}
    for feed in sorted(command.quotes):
        for name, quote in command.quotes[feed].items():
            offered.setdefault(name, []).append(quote)
    middle = {name: sorted(quotes, key=lambda q: q.price) for name, quotes in offered.items()}
    return Priced({name: middle[name][(len(middle[name]) - 1) // 2] for name in sorted(middle)})


def no_bids(_state: State, _command: Bid) -> Sequence[Event]:
    """Refuse: without a procedure no case takes bids."""
    raise Refusal(FailureReason.UNKNOWN_CASE, "a case that takes bids", "none: no procedure is set up")


def no_stress(_state: State) -> Configured:
    """Refuse: nothing is known of scenarios."""
    raise Refusal(FailureReason.OUT_OF_SCOPE, "rules that know how to stress", "none")


@dataclass(frozen=True, slots=True)
class Rules:
    """The functions that `decide` is given, and the digest of the rulebook that they follow.

    Parameters
    ----------
    lockout
        Whether an account that is being liquidated may not trade; else it may reduce its positions.
    """

    assess: Assess
    digest: str
    react: React = no_reaction
    guard: Guard = middle_quotes
    take_bid: TakeBid = no_bids
    breakers: Breakers = no_breakers
    check_answer: CheckAnswer = any_answer
    answered: Answered = nothing_more
    check_withdrawal: CheckWithdrawal = any_withdrawal
    stress: RunStress = no_stress
    lockout: bool = True
