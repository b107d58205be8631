"""A basket of trades as one: what it requires, each leg's part in that, and the order that needs least between.

Every subset of the legs is an account of its own, all assessed in one book by the engine itself.
"""

from __future__ import annotations

from decimal import Decimal
from math import factorial, inf
from typing import TYPE_CHECKING, Final

import msgspec
import numpy as np

from crossmargin.account import Account, Book
from crossmargin.account.book import check_account
from crossmargin.analysis.trades import Changes, Leg, changed_account
from crossmargin.errors import FailureReason, InputError
from crossmargin.margin.assess import BookReport, assess_book
from crossmargin.margin.model import Rulebook
from crossmargin.margin.report import AccountState, RulebookId
from crossmargin.margin.reporting import rulebook_id
from crossmargin.market import Snapshot

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

__all__ = ["MOST_LEGS", "Basket", "BasketLeg", "Step", "basket"]

MOST_LEGS: Final = 10
"""Legs that are looked at in every order: 1,024 accounts."""


class BasketLeg(msgspec.Struct, frozen=True, kw_only=True):
    """One leg's part in the change of initial margin; signed, the report's reporting asset.

    `alone` is what it changes as the first trade (None: refused alone), `last` as the last of all. `share` is its mean
    over all orders (the Shapley value), so that shares add up to the basket's change; None where an order is refused.
    """

    instrument: str
    quantity: Decimal
    price: Decimal | None
    alone: float | None
    last: float | None
    share: float | None


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """The account after one more leg of an order; figures are None where the rulebook refuses it there."""

    instrument: str
    quantity: Decimal
    initial_margin: float | None
    available_margin: float | None


class Basket(msgspec.Struct, frozen=True, kw_only=True):
    """A basket on one account. All legs at once are the figures `before` and `after`: nothing stands between.

    `best` is an order whose largest interim requirement (`best_peak`) is lowest, of those the one with the least in
    sum; `as_given` the legs as listed, `worst_peak` the largest peak of any order. Peaks count every state between the
    first leg and the last but one, and None means that no order avoids a refusal.
    """

    account: str
    rulebook: RulebookId
    reporting_asset: str
    fees: dict[str, Decimal]
    initial_before: float
    initial_after: float
    maintenance_before: float
    maintenance_after: float
    available_before: float
    available_after: float
    state_after: AccountState
    legs: tuple[BasketLeg, ...]
    as_given: tuple[Step, ...]
    best: tuple[Step, ...]
    given_peak: float | None
    best_peak: float | None
    worst_peak: float | None


def basket(
    account: Account,
    snapshot: Snapshot,
    rulebook: Rulebook,
    legs: Sequence[Leg],
    *,
    fee_rate: float = 0.0,
    max_quote_age_seconds: float | None = 3600.0,
) -> Basket:
    """Return what a basket of trades requires as one, and leg by leg.

    Raises
    ------
    InputError
        No leg, or more than :data:`MOST_LEGS`; or why the account without or with all legs cannot be assessed.
    """
    if not 0 < len(legs) <= MOST_LEGS:
        message = f"a basket holds 1 to {MOST_LEGS} legs, found {len(legs)}; trade larger ones in parts"
        raise InputError(FailureReason.INVALID_QUANTITY, message, account=account.id)
    check_account(account)
    after, fees = changed_account(account, snapshot, Changes(add=tuple(legs), fee_rate=fee_rate))
    subsets = [_held(account, snapshot, legs, mask, fee_rate) for mask in range(1 << len(legs))]
    subsets[-1] = msgspec.structs.replace(after, id=f"{len(subsets) - 1}")
    report = assess_book(Book.from_accounts(subsets), snapshot, rulebook, max_quote_age_seconds=max_quote_age_seconds)
    for whole in (0, -1 % len(subsets)):
        if whole in report.failures:
            failure = report.failures[whole]
            raise InputError(failure.reason, failure.message, account=account.id, instrument=failure.instrument)
    return _basket(account.id, report, legs, fees)


def _held(account: Account, snapshot: Snapshot, legs: Sequence[Leg], mask: int, fee_rate: float) -> Account:
    """Return the account after the legs whose bits are set."""
    chosen = tuple(leg for bit, leg in enumerate(legs) if mask >> bit & 1)
    held, _ = changed_account(account, snapshot, Changes(add=chosen, fee_rate=fee_rate))
    return msgspec.structs.replace(held, id=f"{mask}")


def _basket(name: str, report: BookReport, legs: Sequence[Leg], fees: dict[str, Decimal]) -> Basket:
    initial = np.where(np.isnan(report.account_sum(report.unit_initial)), inf, report.account_sum(report.unit_initial))
    available = report.account_sum(report.unit_adjusted_initial) - report.account_sum(report.unit_initial)
    maintenance = report.account_sum(report.unit_maintenance)
    last = len(initial) - 1
    best = _best_order(initial, len(legs))
    given = tuple(range(len(legs)))
    return Basket(
        account=name,
        rulebook=rulebook_id(report.rulebook),
        reporting_asset=report.reporting_asset,
        fees=fees,
        initial_before=float(initial[0]),
        initial_after=float(initial[last]),
        maintenance_before=float(maintenance[0]),
        maintenance_after=float(maintenance[last]),
        available_before=float(available[0]),
        available_after=float(available[last]),
        state_after=report.report(last).state,
        legs=tuple(_leg(legs, bit, initial) for bit in given),
        as_given=_steps(legs, given, initial, available),
        best=_steps(legs, best, initial, available),
        given_peak=_finite(_peak(given, initial)),
        best_peak=_finite(_peak(best, initial)),
        worst_peak=_finite(_worst_peak(initial, len(legs))),
    )


def _leg(legs: Sequence[Leg], bit: int, initial: Floats) -> BasketLeg:
    instrument, quantity, price = legs[bit]
    one, every = 1 << bit, len(initial) - 1
    return BasketLeg(
        instrument=instrument,
        quantity=quantity,
        price=price,
        alone=_finite(float(initial[one] - initial[0])),
        last=_finite(float(initial[every] - initial[every ^ one])),
        share=_share(bit, initial, len(legs)),
    )


def _share(bit: int, initial: Floats, count: int) -> float | None:
    """Return the mean change by one leg over all orders (Shapley 1953)."""
    if not np.isfinite(initial).all():
        return None
    masks = np.arange(len(initial))
    without = masks[masks >> bit & 1 == 0]
    ones = np.asarray([mask.bit_count() for mask in without.tolist()])
    weight = np.asarray([factorial(k) * factorial(count - 1 - k) / factorial(count) for k in range(count)])
    return float(np.sum(weight[ones] * (initial[without | 1 << bit] - initial[without])))


def _states(order: Iterable[int]) -> list[int]:
    """Return the subset held after each leg of an order."""
    masks, mask = [], 0
    for bit in order:
        mask |= 1 << bit
        masks.append(mask)
    return masks


def _peak(order: Sequence[int], initial: Floats) -> float:
    return max((float(initial[mask]) for mask in _states(order)[:-1]), default=0.0)


def _best_order(initial: Floats, count: int) -> tuple[int, ...]:
    """Return the order whose largest interim requirement is lowest; of equals the least in sum, then the first listed.

    The lowest peak is known before sums are looked at: a state below it may be reached by way of a higher one, and
    then costs less in sum.
    """
    own = [*initial[:-1].tolist(), 0.0]  # the basket itself is not between
    own[0] = 0.0
    before = [[mask ^ 1 << bit for bit in range(count) if mask >> bit & 1] for mask in range(len(own))]
    peaks = [0.0] * len(own)
    for mask in range(1, len(own)):
        peaks[mask] = max(own[mask], min(peaks[state] for state in before[mask]))
    cheapest: list[tuple[float, tuple[int, ...]]] = [(0.0, ())] * len(own)
    for mask in range(1, len(own)):
        ways = ((cheapest[state], (mask ^ state).bit_length() - 1) for state in before[mask])
        total, order = min((total, (*order, bit)) for (total, order), bit in ways)
        cheapest[mask] = (total + own[mask] if own[mask] <= peaks[-1] else inf, order)
    return cheapest[-1][1]


def _worst_peak(initial: Floats, count: int) -> float:
    """Return the largest requirement that some order meets: any subset but none and all can be met."""
    return float(np.max(initial[1:-1])) if count > 1 else 0.0


def _steps(legs: Sequence[Leg], order: Sequence[int], initial: Floats, available: Floats) -> tuple[Step, ...]:
    return tuple(
        Step(
            instrument=legs[bit][0],
            quantity=legs[bit][1],
            initial_margin=_finite(float(initial[mask])),
            available_margin=_finite(float(available[mask])),
        )
        for bit, mask in zip(order, _states(order), strict=True)
    )


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None
