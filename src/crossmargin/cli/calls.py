"""The few calls into the other rooms, all in one place; each imports what it needs when it is made."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crossmargin._version import __version__
from crossmargin.cli.changes import Moves
from crossmargin.errors import Failure, FailureReason, InputError
from crossmargin.units import SCHEMA_VERSION

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from decimal import Decimal

    from crossmargin.account import Account, Position
    from crossmargin.analysis.compare import ComparisonRow
    from crossmargin.analysis.explanation import Explanation
    from crossmargin.analysis.preview import PreviewRow
    from crossmargin.analysis.whatif import WhatIf
    from crossmargin.cli.changes import Trade
    from crossmargin.margin import BookReport, MarginReport
    from crossmargin.margin.model import Rulebook
    from crossmargin.margin.report import BookRow, RulebookId
    from crossmargin.market import Snapshot
    from crossmargin.sources import ShippedRulebook

_SHOWN_NAMES = 12  # account ids that an error lists
EXAMPLES = "family-"
DIFFERENCES = (
    "equity",
    "initial_margin",
    "maintenance_margin",
    "available_margin",
    "maintenance_headroom",
    "coverage_ratio",
)


def stamped(**content: object) -> dict[str, Any]:
    """Return a JSON document of these keys under the versions that made it."""
    return {"schema_version": SCHEMA_VERSION, "engine_version": __version__, **content}


def rulebook_id(rules: Rulebook) -> RulebookId:
    """Return which methodology a rulebook is, as reports name it."""
    from crossmargin.margin.report import RulebookId

    return RulebookId(name=rules.name, effective_from=rules.effective_from, digest=rules.digest)


@dataclass(frozen=True, slots=True)
class Loaded:
    """Accounts of a file in its order, refused ones as failures, and the market."""

    rows: tuple[Account | Failure, ...]
    snapshot: Snapshot

    @property
    def ids(self) -> tuple[str, ...]:
        """Account ids, refused ones included."""
        return tuple(_id_of(row) for row in self.rows)

    @property
    def accounts(self) -> tuple[Account, ...]:
        """The accounts that could be read."""
        return tuple(row for row in self.rows if not isinstance(row, Failure))

    @property
    def unreadable(self) -> tuple[Failure, ...]:
        """What could not be read."""
        return tuple(row for row in self.rows if isinstance(row, Failure))


def _id_of(row: Account | Failure) -> str:
    return (row.account or "") if isinstance(row, Failure) else row.id


def load(accounts: Path, snapshot: Path) -> Loaded:
    """Return the accounts and the market of two files."""
    from crossmargin.sources import load_accounts, load_snapshot

    market = load_snapshot(snapshot)
    return Loaded(load_accounts(accounts, instruments=market.listings).rows, market)


def rulebook(spec: str, snapshot: Snapshot | None = None) -> Rulebook:
    """Return the rulebook that a name, a name with a date, or a path means; a name alone as of the snapshot.

    A file that accounts are to be assessed under must mean something, too; the shipped ones are tested.
    """
    from crossmargin.sources import load_rulebook

    found = load_rulebook(spec, None if snapshot is None else snapshot.as_of.date())
    if snapshot is not None and spec.endswith(".toml"):
        from crossmargin.analysis.lint import check_semantics

        check_semantics(found, Path(spec).read_text(encoding="utf-8"))
    return found


def shipped() -> Sequence[ShippedRulebook]:
    """Return the shipped rulebooks by name and date."""
    from crossmargin.sources import list_rulebooks

    return list_rulebooks()


def in_force(snapshot: Snapshot) -> list[Rulebook]:
    """Return every shipped rulebook in force on the snapshot's day, one date of each; examples of methods left out."""
    day = snapshot.as_of.date()
    dated = (book for book in shipped() if book.effective_from <= day and not book.name.startswith(EXAMPLES))
    specs = {book.name: book.spec for book in dated}
    return [rulebook(spec) for spec in specs.values()]


def choose(loaded: Loaded, wanted: Sequence[str]) -> Loaded:
    """Return the accounts of these ids; all where none is asked for."""
    if not wanted:
        return loaded
    for name in wanted:
        if name not in loaded.ids:
            message = f"no account {name!r} in the file, which holds {_some(loaded.ids) or 'none'}"
            raise InputError(FailureReason.UNKNOWN_ACCOUNT, message, account=name)
    kept = tuple(row for row, name in zip(loaded.rows, loaded.ids, strict=True) if name in set(wanted))
    return Loaded(kept, loaded.snapshot)


def choose_one(loaded: Loaded, wanted: str | None) -> Account:
    """Return the one account of this id, or the only one of the file; raises its refusal where it has one."""
    found = choose(loaded, (wanted,) if wanted else ())
    if len(set(found.ids)) != 1:
        message = f"the file holds {len(found.rows)} accounts ({_some(found.ids)}); say which with --account ID"
        raise InputError(FailureReason.UNKNOWN_ACCOUNT, message)
    if len(found.rows) > 1:
        message = "this account id stands more than once; merge the rows or rename one"
        raise InputError(FailureReason.DUPLICATE_ACCOUNT, message, account=found.ids[0])
    (row,) = found.rows
    if isinstance(row, Failure):
        raise InputError(row.reason, row.message, account=row.account, instrument=row.instrument)
    return row


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN_NAMES]) + (", ..." if len(names) > _SHOWN_NAMES else "")


def report(account: Account, snapshot: Snapshot, rules: Rulebook, age: float | None = 3600.0) -> MarginReport:
    """Return one account's report."""
    from crossmargin.margin import assess

    return assess(account, snapshot, rules, max_quote_age_seconds=age)


def report_document(report: MarginReport) -> dict[str, Any]:
    """Return the JSON document of one account: its report, and the same shape that several accounts have."""
    from msgspec.structs import asdict

    return {**asdict(report), "accounts": [report], "failures": []}


@dataclass(frozen=True, slots=True)
class Assessed:
    """A book after its assessment: one row per account of the file, in its order."""

    rows: tuple[BookRow, ...]
    book: BookReport
    rules: Rulebook
    as_of: datetime

    def document(self) -> dict[str, Any]:
        """Return the JSON document: the full report of each account, and what was refused."""
        good = [i for i, row in enumerate(self.book.rows()) if row.failure is None]
        return stamped(
            rulebook=rulebook_id(self.rules),
            as_of=self.as_of,
            accounts=[self.book.report(i) for i in good],
            failures=[row.failure for row in self.rows if row.failure is not None],
        )


def book_report(loaded: Loaded, rules: Rulebook, age: float | None = 3600.0) -> Assessed:
    """Return the reports of many accounts, refused ones as rows."""
    from crossmargin.account import Book
    from crossmargin.margin import assess_book
    from crossmargin.margin.report import BookRow

    book = assess_book(Book.from_accounts(loaded.accounts), loaded.snapshot, rules, max_quote_age_seconds=age)
    good = iter(book.rows())
    rows = (BookRow(account=_id_of(r), failure=r) if isinstance(r, Failure) else next(good) for r in loaded.rows)
    return Assessed(tuple(rows), book, rules, loaded.snapshot.as_of)


def preview(loaded: Loaded, before: Rulebook, after: Rulebook, age: float | None) -> tuple[PreviewRow, ...]:
    """Return what another rulebook does to each account of a file; what could not be read is refused by both."""
    from crossmargin.analysis.preview import PreviewRow
    from crossmargin.analysis.preview import preview as rows_of

    refused = (
        PreviewRow(account=row.account or "", failure_before=row, failure_after=row) for row in loaded.unreadable
    )
    return (*rows_of(loaded.accounts, loaded.snapshot, before, after, max_quote_age_seconds=age), *refused)


def explanation(account: Account, snapshot: Snapshot, rules: Rulebook, age: float | None = 3600.0) -> Explanation:
    """Return the whole explanation of one account."""
    from crossmargin.analysis import explain

    return explain(account, snapshot, rules, max_quote_age_seconds=age)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Everything that a what-if changes."""

    trades: tuple[Trade, ...] = ()
    orders: tuple[Trade, ...] = ()
    deposits: Mapping[str, Decimal] = field(default_factory=dict)
    moves: Moves = field(default_factory=Moves)
    fee: float = 0.0


def what_if(
    account: Account, snapshot: Snapshot, rules: Rulebook, wanted: Wanted, age: float | None = 3600.0
) -> WhatIf:
    """Return one account before and after."""
    from crossmargin.analysis.whatif import Changes, Shock, what_if

    moves = wanted.moves
    _check_names(snapshot, moves)
    pegged = {name for name in moves.prices if _is_pegged(snapshot, name)}
    shock = Shock(
        prices={name: move for name, move in moves.prices.items() if name not in pegged},
        vol=moves.vol,
        time_days=moves.time_days,
        funding=moves.funding,
        peg={name: moves.prices[name] for name in pegged},
    )
    changes = Changes(
        add=tuple((trade.instrument, trade.quantity, trade.price) for trade in wanted.trades),
        orders=tuple((order.instrument, order.quantity, order.price) for order in wanted.orders),
        deposits=dict(wanted.deposits),
        shock=shock,
        fee_rate=wanted.fee,
    )
    return what_if(account, snapshot, rules, changes, max_quote_age_seconds=age)


def _check_names(snapshot: Snapshot, moves: Moves) -> None:
    """Refuse a shock of a name that the market does not know: it would move nothing, without a word."""
    known = {*snapshot.assets, *(listing.underlying for listing in snapshot.listings.values())}
    for name in moves.prices:
        if name not in known:
            message = f"--shock moves {name!r}, which the snapshot does not know; it knows {_some(sorted(known))}"
            raise InputError(FailureReason.UNKNOWN_ASSET, message)


def what_if_document(found: WhatIf) -> dict[str, Any]:
    """Return the JSON document of a what-if."""
    before = found.before
    return stamped(
        rulebook=before.rulebook,
        as_of=before.as_of,
        account=before.account,
        before=before,
        after=found.after,
        differences={**{name: getattr(found, name) for name in DIFFERENCES}, "lines": found.lines},
        fees=found.fees,
        marginal=found.marginal,
    )


def _is_pegged(snapshot: Snapshot, name: str) -> bool:
    """Return whether a shock of `name` moves one asset against what it stands for, not a market."""
    quote = snapshot.assets.get(name)
    return quote is not None and (quote.pegged_to is not None or quote.wraps is not None)


def comparison(
    account: Account, snapshot: Snapshot, rules: Sequence[Rulebook], age: float | None = 3600.0
) -> Sequence[ComparisonRow]:
    """Return one row per rulebook."""
    from crossmargin.analysis import compare

    return compare(account, snapshot, rules, max_quote_age_seconds=age)


def conformance(directory: Path) -> Mapping[str, Any]:
    """Return the families of published cases with what was reproduced."""
    from crossmargin.analysis.conformance import run_conformance
    from crossmargin.sources import load_rulebook
    from crossmargin.sources.cases import load_cases

    return run_conformance(load_cases(directory), cache(load_rulebook)).document()


def schema(name: str) -> Mapping[str, Any]:
    """Return the JSON Schema of a document."""
    from crossmargin.sources import schema

    return schema(name)


def write_parquet(reports: Sequence[Any], path: Path) -> None:
    """Write one row per account."""
    from crossmargin.sources import write_report_parquet

    write_report_parquet(reports, path)


def unverified_lines(rules: Rulebook) -> frozenset[str]:
    """Return the lines that rest on a number that no public source confirms."""
    from crossmargin.cli.provenance import unverified_lines

    return unverified_lines(rules)


def holding(account: Account, position: Position) -> Account:
    """Return the same account with this position alone and no orders."""
    from msgspec.structs import replace

    return replace(account, positions=(position,), orders=())
