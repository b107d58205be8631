"""Accounts at several venues: a row each, their sums, and what all hold of each underlying."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from crossmargin.cli import numbers
from crossmargin.cli.tables import parts

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import RenderableType

    from crossmargin.analysis.overview import Overview, OverviewRow
    from crossmargin.errors import Failure


def overview_tables(view: Overview, unreadable: Sequence[tuple[str, Failure]]) -> Iterator[RenderableType]:
    """Yield the accounts with their sums, the net deltas, and what was refused; `unreadable` by its venue's label."""
    good = [row for row in view.rows if row.failure is None]
    if good:
        yield _accounts(view, good)
        yield _net(view)
    failures = [(row.venue, row.account, row.failure) for row in view.rows if row.failure is not None]
    failures += [(venue, failure.account or "", failure) for venue, failure in unreadable]
    if failures:
        yield _refused(failures)
    elif not good:
        yield Text("the files hold no accounts", style="dim")
    yield from parts.notes(view.warnings, unverified=False)


def _accounts(view: Overview, rows: Sequence[OverviewRow]) -> parts.Sheet:
    names = ("equity", "initial", "maintenance", "left", "coverage")
    asset = view.reporting_asset
    surplus, short, below = (numbers.money(one, asset) for one in (view.surplus, view.shortfall, view.to_maintain))
    note = (
        f"pools have {surplus} above initial margin and miss {short} of it, {below} of maintenance; "
        "a surplus in one pool covers nothing in another"
    )
    made = parts.table(f"{len(rows)} accounts, {asset}", ("venue", "account", "state"), names, note=note)
    for column in made.columns[:3]:
        column.no_wrap = True
    for row in rows:
        figures = (row.equity, row.initial_margin, row.maintenance_margin, row.available_margin)
        cells = (parts.money(value, asset) for value in figures)
        state = parts.state(row.state)
        made.add_row(row.venue, Text(row.account, style="bold"), state, *cells, parts.coverage(row.coverage_ratio))
    sums = (parts.money(value, asset) for value in (view.equity, view.initial_margin, view.maintenance_margin))
    made.add_row("all", "", "", *sums, "", "", style="bold")
    return made


def _net(view: Overview) -> parts.Sheet:
    made = parts.table(
        "Delta over all accounts", ("underlying",), ("long", "short", "net", f"net, {view.reporting_asset}")
    )
    for one in view.net:
        units = (f"{value:,.6g}" for value in (one.long, one.short, one.net))
        made.add_row(Text(one.underlying, style="bold"), *units, parts.money(one.value, view.reporting_asset))
    return made


def _refused(rows: Sequence[tuple[str, str, Failure]]) -> parts.Sheet:
    made = parts.table(f"Refused: {len(rows)}", ("venue", "account", "reason", "what"))
    for venue, account, failure in rows:
        place = f"{failure.instrument}: " if failure.instrument else ""
        reason = Text(failure.reason.value, style="red")
        made.add_row(venue, Text(account, style="bold"), reason, place + failure.message)
    return made
