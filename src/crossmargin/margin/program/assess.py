"""`assess_book` of a compact book: the engine where it can, the evaluation account by account where it cannot."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from crossmargin import kernels
from crossmargin.errors import Failure, FailureReason, InputError
from crossmargin.margin.pools import PoolColumns
from crossmargin.margin.program.nodes import NotRecordableError
from crossmargin.margin.program.program import OUTPUTS, Market, Program, make_market, make_program
from crossmargin.margin.program.unpack import unpack

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy.typing as npt

    from crossmargin.margin.assess import BookReport
    from crossmargin.margin.model import Rulebook
    from crossmargin.margin.program.compact import CompactBook
    from crossmargin.margin.program.universe import Universe
    from crossmargin.margin.resolved import Resolved
    from crossmargin.market import Snapshot

    Floats = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.int64]

__all__ = ["CompactReport", "assess_compact", "check_rulebook", "fill", "make_report", "program_of", "run_program"]

_AT_A_TIME = 4096  # accounts that the evaluation takes together: some megabytes of columns


@dataclass(frozen=True, slots=True, kw_only=True)
class CompactReport(PoolColumns):
    """A compact book under its rulebook, in columns [pools]. `engine` says whether the compiled program ran."""

    book: CompactBook
    market: Market
    rulebook: Rulebook
    engine: bool

    def resolved(self, account: int) -> Resolved:
        """Return the arrays of one account, for its whole report."""
        return unpack(self.book, self.market, self.rulebook, account, account + 1)


def assess_compact(
    book: CompactBook,
    snapshot: Snapshot,
    rulebook: Rulebook,
    evaluate: Callable[[Resolved, Rulebook], BookReport],
    *,
    max_quote_age_seconds: float | None = 3600.0,
) -> CompactReport:
    """Return every account's figures at a snapshot's prices; `evaluate` is the evaluation of resolved arrays."""
    check_rulebook(book, rulebook)
    market = make_market(book.universe, snapshot, rulebook, max_quote_age_seconds=max_quote_age_seconds)
    program = program_of(book.universe, market, rulebook)
    found = np.empty((len(OUTPUTS) + 1, len(book.legs)))
    failures = fill(book, market, program, rulebook, evaluate, found)
    return make_report(book, market, rulebook, found, failures, engine=program is not None)


def check_rulebook(book: CompactBook, rulebook: Rulebook) -> None:
    """Raise :class:`InputError` when a book was laid out for another rulebook."""
    if book.rulebook != rulebook.digest:
        wanted = f"{rulebook.name}@{rulebook.effective_from}"
        message = f"the book was laid out for another rulebook than {wanted}: compact it anew"
        raise InputError(FailureReason.INVALID_RULEBOOK, message)


def fill(
    book: CompactBook,
    market: Market,
    program: Program | None,
    rulebook: Rulebook,
    evaluate: Callable[[Resolved, Rulebook], BookReport],
    out: Floats,
) -> dict[int, Failure]:
    """Fill `out` [outputs + 1, pools] by the program, or by the evaluation if there is none; return who is refused."""
    with np.errstate(over="ignore", invalid="ignore"):  # what comes out infinite or NaN is refused, not warned of
        if program is None:
            return dict(_evaluated(book, market, rulebook, evaluate, out))
        run_program(book, program, out)
        return dict(_refused(book, market, rulebook, evaluate, out))


def program_of(universe: Universe, market: Market, rulebook: Rulebook, beside: tuple[str, ...] = ()) -> Program | None:
    """Return the program, with further requirements `beside`.

    None where no compiled kernel serves or the rulebook cannot be recorded.
    """
    ops = kernels.operations()
    if not ops or rulebook.opposite_positions == "larger":
        return None
    try:
        return make_program(universe, market, rulebook, ops, beside)
    except NotRecordableError:
        return None


def run_program(book: CompactBook, program: Program, out: Floats) -> None:
    """Fill `out` [outputs + 1, pools]; its last row counts refused legs."""
    out[-1] = 0.0
    engine = kernels.account_engine(book.legs.buffers(), program.arrays)
    engine.run(None, out if program.may_refuse else out[:-1], kernels.threads_in_use())


def make_report(
    book: CompactBook, market: Market, rulebook: Rulebook, found: Floats, failures: dict[int, Failure], *, engine: bool
) -> CompactReport:
    """Return the report of columns [outputs, pools]."""
    initial, maintenance, adjusted_initial, adjusted_maintenance, equity, ratio, state = found[: len(OUTPUTS)]
    return CompactReport(
        account_ids=book.account_ids,
        unit_account=book.pool_account,
        unit_rate=market.numeraire[book.legs.pool_class] if market.in_settlement else None,
        reporting_asset=market.reporting_asset,
        unit_equity=equity,
        unit_adjusted_initial=adjusted_initial,
        unit_adjusted_maintenance=adjusted_maintenance,
        unit_initial=initial,
        unit_maintenance=maintenance,
        unit_coverage=ratio,
        unit_state=state.astype(np.int8),
        failures=failures,
        book=book,
        market=market,
        rulebook=rulebook,
        engine=engine,
    )


def _refused(
    book: CompactBook,
    market: Market,
    rulebook: Rulebook,
    evaluate: Callable[[Resolved, Rulebook], BookReport],
    found: Floats,
) -> Iterator[tuple[int, Failure]]:
    """Yield the accounts that are refused, each with the evaluation's own reason."""
    yield from book.failures.items()
    refused = np.unique(book.pool_account[_bad_pools(found)]).astype(np.int64)
    message = "the compiled program gives no finite number for this account, the evaluation does"
    for first in range(0, refused.shape[0], _AT_A_TIME):
        accounts = refused[first : first + _AT_A_TIME]
        some = book.of_accounts(accounts)
        failures = evaluate(unpack(some, market, rulebook, 0, len(some)), rulebook).failures
        for n, account in enumerate(accounts.tolist()):
            strange = Failure(FailureReason.UNDEFINED_RESULT, message, book.account_ids[account])
            yield account, failures.get(n, strange)


def _bad_pools(found: Floats) -> npt.NDArray[np.int64]:
    """Return the pools with a refused leg or a figure that is not finite."""
    figures = found[: len(OUTPUTS) - 2]
    refused = found[-1] > 0
    if not np.isfinite(figures.sum()):  # one pass says so of them all, but for a sum that overflows
        refused |= ~np.isfinite(figures).all(axis=0)
    return np.flatnonzero(refused)


def _evaluated(
    book: CompactBook,
    market: Market,
    rulebook: Rulebook,
    evaluate: Callable[[Resolved, Rulebook], BookReport],
    out: Floats,
) -> Iterator[tuple[int, Failure]]:
    """Fill `out` by the evaluation, some accounts at a time, and yield who is refused."""
    for first in range(0, len(book), _AT_A_TIME):
        last = min(first + _AT_A_TIME, len(book))
        report = evaluate(unpack(book, market, rulebook, first, last), rulebook)
        low, high = np.searchsorted(book.pool_account, [first, last]).tolist()
        for n, name in enumerate(OUTPUTS):
            out[n, low:high] = getattr(report, f"unit_{name}")
        yield from ((first + account, failure) for account, failure in report.failures.items())
