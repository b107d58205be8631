"""`assess`: the only place where requirements are computed, for one account or for ten million."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from crossmargin.account import Book
from crossmargin.errors import Failure, FailureReason, InputError
from crossmargin.kernels import codes_in_use
from crossmargin.margin.evaluation import Evaluation
from crossmargin.margin.model import INITIAL, MAINTENANCE
from crossmargin.margin.pools import PoolColumns
from crossmargin.margin.report import AccountState, MarginReport
from crossmargin.margin.reporting import make_report
from crossmargin.margin.resolve import resolve
from crossmargin.margin.trigger import coverage, states_of
from crossmargin.margin.withdrawable import withdrawable_amounts

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    from crossmargin.account import Account
    from crossmargin.margin.model import Rulebook
    from crossmargin.margin.program.assess import CompactReport
    from crossmargin.margin.program.compact import CompactBook
    from crossmargin.margin.resolved import Resolved
    from crossmargin.market import Snapshot

    Floats = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class BookReport(PoolColumns):
    """A book under one rulebook, with all that was computed on the way: see :class:`PoolColumns` for the columns."""

    resolved: Resolved
    rulebook: Rulebook
    evaluation: Evaluation

    def report(self, account: int, *, withdrawable: bool = False) -> MarginReport:
        """Return the whole report of one account; raises its :class:`InputError` if it was refused."""
        failure = self.failures.get(account)
        if failure is not None:
            raise InputError(failure.reason, failure.message, account=failure.account, instrument=failure.instrument)
        amounts = withdrawable_amounts(self.resolved, self.rulebook, account) if withdrawable else None
        return make_report(self, account, amounts)


@overload
def assess_book(
    book: Book, snapshot: Snapshot, rulebook: Rulebook, *, max_quote_age_seconds: float | None = 3600.0
) -> BookReport: ...
@overload
def assess_book(
    book: CompactBook, snapshot: Snapshot, rulebook: Rulebook, *, max_quote_age_seconds: float | None = 3600.0
) -> CompactReport: ...
def assess_book(
    book: Book | CompactBook, snapshot: Snapshot, rulebook: Rulebook, *, max_quote_age_seconds: float | None = 3600.0
) -> BookReport | CompactReport:
    """Return every account's equity and requirements; accounts that cannot be assessed become failures.

    Parameters
    ----------
    book
        A book, of which all that is computed on the way is kept for reports; or a compact one (see :func:`compact`),
        for millions of accounts, of which only the figures are.
    max_quote_age_seconds
        Quotes observed longer before `snapshot.as_of` are refused; None accepts any age.

    Raises
    ------
    InputError
        When a compact book was laid out for another rulebook, or the snapshot changes the kind, the form or the
        settlement asset of what it holds: it must be laid out anew.
    """
    if not isinstance(book, Book):
        from crossmargin.margin.program.assess import assess_compact  # noqa: PLC0415 (keeps start-up light)

        return assess_compact(book, snapshot, rulebook, assess_resolved, max_quote_age_seconds=max_quote_age_seconds)
    with np.errstate(over="ignore", invalid="ignore"):  # what comes out infinite or NaN is refused below, not warned of
        return assess_resolved(resolve(book, snapshot, rulebook, max_quote_age_seconds=max_quote_age_seconds), rulebook)


def assess_resolved(resolved: Resolved, rulebook: Rulebook, shared: Mapping[Any, Any] | None = None) -> BookReport:
    """Return the report of a book whose names are already arrays: pure functions from here on.

    Parameters
    ----------
    shared
        What another evaluation has kept (its `shared`) that holds for these contracts and legs, too.
    """
    evaluation = Evaluation(resolved, rulebook, shared=dict(shared or {}))
    equity = evaluation.equity()
    adjusted = {name: np.asarray(evaluation.adjusted(name)) for name in (INITIAL, MAINTENANCE)}
    required = {name: np.asarray(evaluation.requirement(name)) for name in rulebook.requirements}
    ratio = coverage(adjusted[MAINTENANCE], required[MAINTENANCE], equity)
    state = np.broadcast_to(states_of(evaluation, equity, adjusted, required, ratio), equity.shape).astype(np.int64)
    failures = {**resolved.failures, **evaluation.failures}
    _refuse_undefined(resolved, [equity, *adjusted.values(), *required.values()], failures)
    return BookReport(
        account_ids=resolved.account_ids,
        unit_account=resolved.units.account,
        unit_rate=resolved.units.numeraire if resolved.in_settlement else None,
        resolved=resolved,
        rulebook=rulebook,
        evaluation=evaluation,
        reporting_asset=resolved.reporting_asset,
        unit_equity=equity,
        unit_adjusted_initial=adjusted[INITIAL],
        unit_adjusted_maintenance=adjusted[MAINTENANCE],
        unit_initial=required[INITIAL],
        unit_maintenance=required[MAINTENANCE],
        unit_coverage=ratio,
        unit_state=state,
        failures=failures,
    )


def _refuse_undefined(resolved: Resolved, columns: list[Floats], failures: dict[int, Failure]) -> None:
    """Refuse accounts whose figures came out as NaN or infinite: no number is better than a wrong one."""
    undefined = ~np.isfinite(np.stack(columns)).all(axis=0)
    for account in codes_in_use(resolved.units.account[undefined]).tolist():
        message = "the rulebook's formulas give no finite number for this account; `explain` shows where"
        failure = Failure(FailureReason.UNDEFINED_RESULT, message, resolved.account_ids[account])
        failures.setdefault(account, failure)


def assess(
    account: Account,
    snapshot: Snapshot,
    rulebook: Rulebook,
    *,
    max_quote_age_seconds: float | None = 3600.0,
    withdrawable: bool = True,
) -> MarginReport:
    """Return what an account is worth, what must back it, and the named lines why.

    Parameters
    ----------
    max_quote_age_seconds
        Quotes observed longer before `snapshot.as_of` are refused; None accepts any age.
    withdrawable
        Whether to solve for what could be withdrawn of each asset (some dozens of evaluations).

    Raises
    ------
    InputError
        With the one reason why the account cannot be assessed.
    """
    book = Book.from_accounts([account])
    report = assess_book(book, snapshot, rulebook, max_quote_age_seconds=max_quote_age_seconds)
    return report.report(0, withdrawable=withdrawable)


__all__ = ["AccountState", "BookReport", "assess", "assess_book", "assess_resolved"]
