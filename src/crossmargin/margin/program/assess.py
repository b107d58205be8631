"""`assess_book` of a compact book: the engine where it can, the evaluation account by account where it cannot."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from crossmargin import kernels
from crossmargin.errors import Failure, FailureReason, InputError
from crossmargin.margin.pools import PoolColumns
from crossmargin.margin.program.growth import check_layout, grown, in_order, renumbered
from crossmargin.margin.program.nodes import NotRecordableError
from crossmargin.margin.program.program import OUTPUTS, Market, Program, make_market, make_program
from crossmargin.margin.program.unpack import unpack

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import numpy.typing as npt

    from crossmargin.margin.assess import BookReport
    from crossmargin.margin.model import Rulebook
    from crossmargin.margin.program.compact import CompactBook
    from crossmargin.margin.program.universe import Universe
    from crossmargin.margin.resolved import Resolved
    from crossmargin.market import Snapshot

    Floats = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.int64]

__all__ = [
    "CompactReport",
    "assess_compact",
    "at_market",
    "check_rulebook",
    "fill",
    "make_report",
    "program_of",
    "run_program",
]

_AMOUNTS: Final = OUTPUTS.index("coverage")
_AT_A_TIME: Final = 4096  # accounts that the evaluation takes together: some megabytes of columns


@dataclass(frozen=True, slots=True, kw_only=True)
class CompactReport(PoolColumns):
    """A compact book under its rulebook, in columns [pools]. `engine` says whether the compiled program ran.

    Its figures are read-only then: those that are one number (equity, what stands for a requirement) are one array.
    """

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
    book, market = at_market(book, snapshot, rulebook, max_quote_age_seconds)
    program = program_of(book.universe, market, rulebook)
    found, failures = fill(book, market, program, rulebook, evaluate)
    return make_report(book, market, rulebook, found, failures, engine=program is not None)


def check_rulebook(book: CompactBook, rulebook: Rulebook) -> None:
    """Raise :class:`InputError` when a book was laid out for another rulebook."""
    if book.rulebook != rulebook.digest:
        wanted = f"{rulebook.name}@{rulebook.effective_from}"
        message = f"the book was laid out for another rulebook than {wanted}: compact it anew"
        raise InputError(FailureReason.INVALID_RULEBOOK, message)


def at_market(
    book: CompactBook, snapshot: Snapshot, rulebook: Rulebook, max_quote_age_seconds: float | None
) -> tuple[CompactBook, Market]:
    """Return a book and its contracts at a snapshot's prices; its legs in another order where the snapshot wants one.

    The rows of a level lie side by side, by bucket and expiry: where an asset's wrapper came or went they move.
    """
    age: Any = {"max_quote_age_seconds": max_quote_age_seconds, "reports": book.reports}
    market = make_market(book.universe, snapshot, rulebook, **age)
    check_layout(book, market)
    if in_order(book.universe, market.priced.contracts):
        return book, market
    legs = book.legs.packed()
    growth = grown(book.universe, snapshot, rulebook, listings={}, held=np.unique(legs.row).astype(np.int64))
    legs = renumbered(legs, growth.row, growth.pool_class, len(growth.universe.rows))
    book = replace(book, universe=growth.universe, legs=legs)
    return book, make_market(book.universe, snapshot, rulebook, **age | {"reports": book.reports})


def fill(
    book: CompactBook,
    market: Market,
    program: Program | None,
    rulebook: Rulebook,
    evaluate: Callable[[Resolved, Rulebook], BookReport],
) -> tuple[Sequence[Floats], dict[int, Failure]]:
    """Return the columns of `OUTPUTS` [pools], by the program or else the evaluation; and who is refused."""
    with np.errstate(over="ignore", invalid="ignore"):  # what comes out infinite or NaN is refused, not warned of
        if program is None:
            out = np.empty((len(OUTPUTS), len(book.legs)))
            failures = dict(_evaluated(book, market, rulebook, evaluate, out))
            return list(out), failures
        found = run_program(book, program)
        return found[: len(OUTPUTS)], dict(_refused(book, market, rulebook, evaluate, found))


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


def run_program(book: CompactBook, program: Program) -> list[Floats]:
    """Return the program's outputs [pools], read-only: what stands in one register (often equity) is one column."""
    registers, place = np.unique(program.arrays["outputs"], return_inverse=True)
    out = np.empty((registers.shape[0], len(book.legs)))
    engine = kernels.account_engine(book.legs.buffers(), program.arrays | {"outputs": registers})
    engine.run(None, out, kernels.threads_in_use())
    out.flags.writeable = False
    columns = list(out)
    return [columns[n] for n in place.tolist()]


def make_report(
    book: CompactBook,
    market: Market,
    rulebook: Rulebook,
    found: Sequence[Floats],
    failures: dict[int, Failure],
    *,
    engine: bool,
) -> CompactReport:
    """Return the report of the columns of `OUTPUTS`."""
    initial, maintenance, adjusted_initial, adjusted_maintenance, equity, ratio, state = found
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
    found: Sequence[Floats],
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


def _bad_pools(found: Sequence[Floats]) -> npt.NDArray[np.int64]:
    """Return the pools with a refused leg or a figure that is not finite."""
    amounts = {id(column): column for column in found[:_AMOUNTS]}.values()
    bad = found[-1] > 0 if len(found) > len(OUTPUTS) else np.zeros(found[0].shape, dtype=bool)
    for column in amounts:
        if not np.isfinite(column.sum()):  # one pass says so of them all, but for a sum that overflows
            bad |= ~np.isfinite(column)
    return np.flatnonzero(bad)


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
