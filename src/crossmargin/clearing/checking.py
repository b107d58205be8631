"""What handlers share: who may do what, and whether the margin engine allows it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import msgspec

from crossmargin.clearing.checks import check_rows
from crossmargin.clearing.events import LOCKED, Event, Posted, Stage
from crossmargin.clearing.halts import risk_halted
from crossmargin.clearing.indexes import BORROW, LEND, interest_rows
from crossmargin.clearing.ledger import CLOSED_TO_COMMANDS, HELD, HOUSE, WALLET, Row, after_rows, gathered
from crossmargin.clearing.rules import Figures, Refusal
from crossmargin.errors import Failure, FailureReason

if TYPE_CHECKING:
    from datetime import datetime

    from crossmargin.clearing.contracts import Terms
    from crossmargin.clearing.rules import Reports, Rules
    from crossmargin.clearing.state import State

MOST: Final = 10**40  # units of an amount, a quantity or a price
_NOTHING: Mapping[str, int] = {}
_MINUTE: Final = timedelta(minutes=1)


class Outcome(msgspec.Struct, frozen=True, gc=False):
    """What a command leads to: its events, and the figures after them where they are known already."""

    events: tuple[Event, ...]
    reports: Reports | None = None


def posting(
    state: State, cause: str, rows: list[Row], *, case: str | None = None, fees: Mapping[str, int] | None = _NOTHING
) -> Posted:
    """Return the posting of these rows and of the interest on the wallets that they change, checked.

    `fees` None: a procedure says what they are, and no command.
    """
    if not state.indices and fees is not None:  # nothing ran up, so no balance stands in two rows
        plain = tuple(rows)
        check_rows(plain, state.configuration.terms, fees)
        return Posted(cause, case, plain)
    if any(name.startswith((BORROW, LEND)) for name in state.indices):
        rows = interest_rows(rows, state.balances, state.indices) + rows
    added_up = gathered(rows)
    check_rows(added_up, state.configuration.terms, fees)
    return Posted(cause, case, added_up)


def check_owner(state: State, owner: str) -> None:
    """Refuse an owner that is no configured account or pool, nor a house owner that may hold something."""
    if owner not in state.configuration.owners or owner in CLOSED_TO_COMMANDS:
        raise Refusal(FailureReason.UNKNOWN_ACCOUNT, "a configured account or pool, or the house's fund or book", owner)


def check_asset(state: State, asset: str) -> None:
    """Refuse an asset without a scale."""
    if asset not in state.configuration.assets:
        raise Refusal(FailureReason.UNKNOWN_ASSET, "a configured asset", asset)


def check_amount(amount: int) -> None:
    """Refuse an amount that is not above 0, or beyond all reason."""
    if not 0 < amount <= MOST:
        raise Refusal(FailureReason.INVALID_QUANTITY, "an amount above 0 and of at most 40 digits", told(amount))


def check_signed(amount: int, least: int = 1) -> None:
    """Refuse a signed amount, or one that may be 0 (`least`), that is beyond all reason."""
    if not least <= abs(amount) <= MOST:
        raise Refusal(FailureReason.INVALID_QUANTITY, "a quantity other than 0, of at most 40 digits", told(amount))


def check_price(price: int, what: str, least: int = 1) -> None:
    """Refuse a price below `least` units, or beyond all reason."""
    if not least <= price <= MOST:
        expected = f"a {what} {'above' if least else 'at or above'} 0 and of at most 40 digits"
        raise Refusal(FailureReason.INVALID_PRICE, expected, told(price))


def is_unicode(text: str) -> bool:
    """Return whether a text can be written; a lone surrogate cannot."""
    return text.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in text)


def is_zoned(moment: datetime) -> bool:
    """Return whether a time has a zone, whole minutes from UTC: a record holds no finer one."""
    offset = moment.utcoffset()
    return offset is not None and not offset % _MINUTE


def told(number: int) -> str:
    """Return a number in words; one beyond all reason by its length alone."""
    return str(number) if abs(number) <= MOST else f"a number of {number.bit_length()} bits"


def terms_for(state: State, instrument: str) -> Terms:
    """Return the terms of an instrument that still trades, or refuse."""
    terms = state.configuration.terms.get(instrument)
    if terms is None:
        raise Refusal(FailureReason.UNKNOWN_INSTRUMENT, "a configured instrument", instrument)
    expiry = terms.contract.instrument.expiry
    if expiry is not None and state.as_of is not None and state.as_of >= expiry:
        raise Refusal(FailureReason.EXPIRED, f"a time before {expiry.isoformat()}", state.as_of.isoformat())
    return terms


def reduces(held: int, quantity: int) -> bool:
    """Return whether a signed quantity brings a position nearer to 0, not past it."""
    return held * quantity < 0 and abs(quantity) <= abs(held)


def check_stage(
    state: State, owner: str, terms: Terms, quantity: int, case: str | None, *, lockout: bool = True
) -> None:
    """Refuse a trade or an order that the owner's stage, or a halt on the underlying, does not allow.

    A step of the owner's own case passes; where there is no `lockout`, so does what reduces while steps run.
    """
    standing, stages = state.configuration, state.pools.get(owner)
    if not standing.halts.openings and not standing.breakers and stages is None:
        return
    held = state.balances.get(owner, {}).get((HELD, terms.symbol), 0)
    smaller = reduces(held, quantity)
    if owner not in HOUSE and not smaller and case is None:
        for name in (terms.contract.instrument.underlying, terms.settlement):
            why = risk_halted(standing, name)
            if why is not None:
                expected = f"a trade that reduces: {name} is halted ({why})"
                raise Refusal(FailureReason.HALTED, expected, f"{quantity:+} on {held}")
    for stood in (stages or {}).values():
        if case is not None and stood.case == case:
            continue
        reducing = not lockout and smaller and stood.stage == Stage.LIQUIDATING
        if stood.stage in LOCKED and not reducing:
            raise Refusal(FailureReason.LOCKED_OUT, "a pool that is not being closed", stood.stage)
        if stood.stage == Stage.REDUCE_ONLY and not smaller:
            raise Refusal(FailureReason.LOCKED_OUT, "a trade that reduces", f"{quantity:+} on {held}")


def check_healthy(state: State, owner: str) -> None:
    """Refuse to let money leave a pool that does not stand healthy, or whose holdings nobody can value for now."""
    standing = state.configuration
    if standing.halts.openings or standing.breakers:
        for purse, name in state.balances.get(owner, {}):
            of = standing.terms[name].contract.instrument.underlying if purse == HELD else name
            why = risk_halted(standing, of) if purse in {HELD, WALLET} else None
            if why is not None:
                raise Refusal(FailureReason.HALTED, f"holdings without {of}, which is halted ({why})", name)
    for stood in state.pools.get(owner, {}).values():
        if stood.stage != Stage.HEALTHY:
            raise Refusal(FailureReason.NOT_HEALTHY, "a healthy pool", stood.stage)


def check_headroom(
    state: State, posted: Posted, owners: Iterable[str], rules: Rules, *, unless_better: bool
) -> Reports:
    """Return the figures after a posting, or refuse where initial headroom is below 0.

    Parameters
    ----------
    unless_better
        Whether a pool below 0 passes where the posting does not lower its headroom: such a trade reduces risk,
        as the margin engine itself measures it.
    """
    users = [owner for owner in owners if owner not in HOUSE]
    if not users:
        return {}
    reports = rules.assess(state, after_rows(state.balances, posted.rows, users))
    short = [f for owner in users for f in _pools(reports[owner], owner) if f.initial_headroom < 0]
    if short:
        before = _before(state, users, rules) if unless_better else {}
        for figures in short:
            if figures.initial_headroom < before.get(figures.pool, 0.0):
                what = f"initial headroom of {figures.pool} at or above 0" + (", or not lower" if unless_better else "")
                raise Refusal(FailureReason.INSUFFICIENT_MARGIN, what, f"{figures.initial_headroom:.8g}")
    return reports


def _before(state: State, owners: list[str], rules: Rules) -> dict[str, float]:
    reports = rules.assess(state, {owner: state.balances.get(owner, {}) for owner in owners})
    return {f.pool: f.initial_headroom for one in reports.values() if not isinstance(one, Failure) for f in one}


def _pools(report: tuple[Figures, ...] | Failure, owner: str) -> tuple[Figures, ...]:
    if isinstance(report, Failure):
        raise Refusal(report.reason, f"an account that can be assessed: {owner}", report.message)
    return report
