"""What defaults would leave uncovered, at the worst of the rulebook's scenarios: what a fund's target reads.

Each pool defaults alone: what another pool of the same account has left covers nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from crossmargin.account import Book
from crossmargin.clearing.configuration import Section, Stress, account_of, digest_of, document_of
from crossmargin.clearing.events import Configured
from crossmargin.clearing.ledger import HOUSE
from crossmargin.clearing.rules import Refusal
from crossmargin.errors import FailureReason
from crossmargin.instruments import InstrumentKind
from crossmargin.margin.assess import assess_book
from crossmargin.margin.stressed import stressed

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    from crossmargin.account import Account
    from crossmargin.clearing.ledger import Holdings
    from crossmargin.clearing.rules import RunStress
    from crossmargin.clearing.state import State
    from crossmargin.margin import Rulebook
    from crossmargin.market import Snapshot

    Floats = npt.NDArray[np.float64]

__all__ = ["stress_of"]

_MEMBERS = 2  # whose shortfalls a target may add


def stress_of(
    rulebook: Rulebook,
    market_at: Callable[[State], Snapshot],
    account_with: Callable[[State, str, Holdings], Account],
    max_quote_age_seconds: float | None,
) -> RunStress:
    """Return how a house stresses all accounts under a rulebook: one event that says what stands from then on."""

    def run(state: State) -> Configured:
        owners = [owner for owner in state.balances if owner not in HOUSE]
        accounts = [account_with(state, owner, state.balances[owner]) for owner in owners]
        market = market_at(state)
        report = assess_book(
            Book.from_accounts(accounts), market, rulebook, max_quote_age_seconds=max_quote_age_seconds
        )
        for failure in report.failures.values():  # who cannot be assessed is not taken for safe
            raise Refusal(failure.reason, f"every account assessed, {failure.account} too", failure.message)
        derivatives = (one for one in market.listings.values() if one.kind != InstrumentKind.SPOT)
        found = stressed(report, {one.underlying for one in derivatives})
        if found.lacking:
            raise Refusal(FailureReason.MISSING_CALIBRATION, "rows for all that is held", ", ".join(found.lacking))
        if not found.names:
            raise Refusal(FailureReason.OUT_OF_SCOPE, "a rulebook with scenarios", f"{rulebook.name} scans none")
        members = np.asarray([account_of(owner) for owner in owners], dtype=object)[report.resolved.units.account]
        return _event(state, found.names, np.maximum(-found.worth, 0.0), members.tolist())

    return run


def _event(state: State, names: tuple[str, ...], short: Floats, pools: list[str]) -> Configured:
    """Return the scenarios of the largest and of the two largest shortfalls, with the members that make them."""
    members = sorted(set(pools))
    place = {member: n for n, member in enumerate(members)}
    by_member = np.zeros((len(members), len(names)))
    np.add.at(by_member, [place[pool] for pool in pools], short)
    ascending = np.argsort(by_member, axis=0, kind="stable")[-_MEMBERS:]
    largest = np.take_along_axis(by_member, ascending, axis=0)
    sums = [largest[-count:].sum(axis=0) for count in range(1, _MEMBERS + 1)] if members else []
    worst = {int(total.argmax()) for total in sums if total.any()}
    losses = {
        names[n]: {members[m]: repr(float(by_member[m, n])) for m in ascending[:, n].tolist() if by_member[m, n] > 0}
        for n in sorted(worst)
    }
    assert state.as_of is not None
    made = Stress(as_of=state.as_of, accounts=len(members), scenarios=len(names), losses=losses)
    document = document_of(Section.STRESS, made)
    return Configured(Section.STRESS, digest_of(document), document)
