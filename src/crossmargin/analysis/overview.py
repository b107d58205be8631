"""Several accounts at several venues in one view: each under its own rulebook, and sums in which nothing counts twice.

A surplus in one pool does not cover a shortfall in another, at one venue or at two: both are summed, apart.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from crossmargin.account import Account, Book
from crossmargin.analysis.compare import asset_rate
from crossmargin.errors import Failure, FailureReason, InputError
from crossmargin.margin.assess import BookReport, assess_book
from crossmargin.margin.evaluation import Evaluation
from crossmargin.margin.model import Rulebook
from crossmargin.margin.report import AccountState, RulebookId
from crossmargin.margin.reporting import rulebook_id
from crossmargin.margin.resolve import resolve
from crossmargin.market import Snapshot

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

__all__ = ["Net", "Overview", "OverviewRow", "Venue", "overview"]


@dataclass(frozen=True, slots=True)
class Venue:
    """Accounts under one rulebook; `label` tells the venues of a view apart."""

    label: str
    accounts: Sequence[Account]
    rulebook: Rulebook


class OverviewRow(msgspec.Struct, frozen=True, kw_only=True):
    """One account under its venue's rulebook, in the snapshot's reporting asset; `failure` instead if refused."""

    venue: str
    account: str
    rulebook: RulebookId
    state: AccountState | None = None
    equity: float | None = None
    initial_margin: float | None = None
    maintenance_margin: float | None = None
    available_margin: float | None = None
    maintenance_headroom: float | None = None
    coverage_ratio: float | None = None
    failure: Failure | None = None


class Net(msgspec.Struct, frozen=True, kw_only=True):
    """What all accounts hold of one underlying: deltas in its units, long and short apart, and what they net to.

    `value` is the net delta at the index, in the snapshot's reporting asset.
    """

    underlying: str
    long: float
    short: float
    net: float
    value: float


class Overview(msgspec.Struct, frozen=True, kw_only=True):
    """The view: a row for each account, sums over those that were assessed, and net deltas by underlying.

    `surplus` sums what pools have above initial margin, `shortfall` what pools miss of it; `to_maintain` what they miss
    of maintenance margin. `warnings` name accounts that hold the very same.
    """

    reporting_asset: str
    rows: tuple[OverviewRow, ...]
    equity: float
    initial_margin: float
    maintenance_margin: float
    surplus: float
    shortfall: float
    to_maintain: float
    net: tuple[Net, ...]
    warnings: tuple[str, ...]


def overview(venues: Sequence[Venue], snapshot: Snapshot, *, max_quote_age_seconds: float | None = 3600.0) -> Overview:
    """Return every account of every venue in one view.

    Raises
    ------
    InputError
        DUPLICATE_ACCOUNT where one venue's label, or one account id within a venue, stands twice; what a venue's
        rulebook needs for any account at all and the snapshot does not have, with the venue's label.
    """
    _check_once(venues)
    reports = [_report(venue, snapshot, max_quote_age_seconds) for venue in venues]
    rows = [row for pair in zip(venues, reports, strict=True) for row in _rows(*pair, snapshot)]
    good = [row for row in rows if row.failure is None]
    available, headroom = (
        np.concatenate(parts) for parts in zip(*(_left(one, snapshot) for one in reports), strict=True)
    )
    return Overview(
        reporting_asset=snapshot.reporting_asset,
        rows=tuple(rows),
        equity=_sum(row.equity for row in good),
        initial_margin=_sum(row.initial_margin for row in good),
        maintenance_margin=_sum(row.maintenance_margin for row in good),
        surplus=float(np.maximum(available, 0.0).sum()),
        shortfall=float(np.maximum(-available, 0.0).sum()),
        to_maintain=float(np.maximum(-headroom, 0.0).sum()),
        net=_net(venues, rows, snapshot, max_quote_age_seconds),
        warnings=_twins(venues),
    )


def _report(venue: Venue, snapshot: Snapshot, age: float | None) -> BookReport:
    with _named(venue):
        return assess_book(Book.from_accounts(venue.accounts), snapshot, venue.rulebook, max_quote_age_seconds=age)


@contextmanager
def _named(venue: Venue) -> Iterator[None]:
    """Name the venue in a refusal that concerns its rulebook as a whole."""
    try:
        yield
    except InputError as error:
        message = f"venue {venue.label}: {error.message}"
        where = {"account": error.account, "instrument": error.instrument, "path": error.path}
        raise InputError(error.reason, message, **where) from error


def _left(report: BookReport, snapshot: Snapshot) -> tuple[Floats, Floats]:
    """Return what each pool of an assessed account has above initial and above maintenance margin [pools]."""
    units = report.resolved.units
    stands = ~np.isin(units.account, list(report.failures))
    rate = asset_rate(report.reporting_asset, snapshot) * (units.numeraire if report.resolved.in_settlement else 1.0)
    available = (report.unit_adjusted_initial - report.unit_initial) * rate
    headroom = (report.unit_adjusted_maintenance - report.unit_maintenance) * rate
    return available[stands], headroom[stands]


def _sum(values: object) -> float:
    return float(np.sum(np.asarray(list(values), dtype=np.float64)))  # type: ignore[call-overload]


def _check_once(venues: Sequence[Venue]) -> None:
    for label, count in Counter(venue.label for venue in venues).items():
        if count > 1:
            message = (
                f"venue {label!r} stands {count} times; give each its own label, or its accounts would count twice"
            )
            raise InputError(FailureReason.DUPLICATE_ACCOUNT, message)
    for venue in venues:
        for name, count in Counter(account.id for account in venue.accounts).items():
            if count > 1:
                message = f"account {name!r} stands {count} times at {venue.label}; it would count twice"
                raise InputError(FailureReason.DUPLICATE_ACCOUNT, message, account=name)


def _rows(venue: Venue, report: BookReport, snapshot: Snapshot) -> list[OverviewRow]:
    rate = asset_rate(report.reporting_asset, snapshot)
    money = ("equity", "initial_margin", "maintenance_margin", "available_margin", "maintenance_headroom")
    out = []
    for row in report.rows():
        figures: dict[str, float] = {}
        for name in money:
            value = getattr(row, name)
            if value is not None:
                figures[name] = value * rate
        out.append(
            OverviewRow(
                venue=venue.label,
                account=row.account,
                rulebook=rulebook_id(venue.rulebook),
                state=row.state,
                coverage_ratio=row.coverage_ratio,
                failure=row.failure,
                **figures,
            )
        )
    return out


def _net(
    venues: Sequence[Venue], rows: Sequence[OverviewRow], snapshot: Snapshot, age: float | None
) -> tuple[Net, ...]:
    """Return deltas by underlying of all accounts that were assessed, in one money: the snapshot's."""
    refused = {(row.venue, row.account) for row in rows if row.failure is not None}
    found: dict[str, list[float]] = {}
    for venue in venues:
        kept = [account for account in venue.accounts if (venue.label, account.id) not in refused]
        # one money for all venues, whatever their pools report in: a coin is then always held, never the unit itself
        rulebook = replace(venue.rulebook, reporting=snapshot.reporting_asset, pool_by="account")
        with _named(venue):
            resolved = resolve(Book.from_accounts(kept), snapshot, rulebook, max_quote_age_seconds=age)
            measures = Evaluation(resolved, rulebook).measures
        bucket = resolved.contracts.bucket[resolved.legs.contract]
        _add(found, resolved.names.buckets, bucket, np.asarray(measures["delta"]), np.asarray(measures["delta_value"]))
    nets = (
        Net(underlying=name, long=long, short=short, net=long + short, value=value)
        for name, (long, short, value) in found.items()
    )
    return tuple(sorted(nets, key=lambda one: -abs(one.value)))


def _add(
    found: dict[str, list[float]], names: Sequence[str], bucket: npt.NDArray[np.int64], delta: Floats, value: Floats
) -> None:
    for code in np.unique(bucket).tolist():
        mine = bucket == code
        sums = found.setdefault(names[code], [0.0, 0.0, 0.0])
        sums[0] += float(np.maximum(delta[mine], 0.0).sum())
        sums[1] += float(np.minimum(delta[mine], 0.0).sum())
        sums[2] += float(value[mine].sum())


def _twins(venues: Sequence[Venue]) -> tuple[str, ...]:
    """Return a warning for accounts that hold the very same things: perhaps one account, read twice."""
    seen: dict[Mapping[str, object] | str, str] = {}
    out = []
    for venue in venues:
        for account in venue.accounts:
            if not (account.positions or account.balances):
                continue
            held = repr((sorted(account.balances.items()), sorted(map(repr, account.positions))))
            name = f"{account.id} at {venue.label}"
            if held in seen:
                out.append(f"{name} holds the very same as {seen[held]}: are they one account, read twice?")
            seen.setdefault(held, name)
    return tuple(out)
