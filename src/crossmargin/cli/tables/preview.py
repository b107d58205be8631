"""What another rulebook does to a book: one row for each account that moves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from crossmargin.cli import numbers
from crossmargin.cli.tables import parts
from crossmargin.cli.tables.book import SHOWN

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from crossmargin.analysis.preview import LineChange, PreviewRow


def preview_tables(rows: Sequence[PreviewRow]) -> Iterator[parts.Sheet]:
    """Yield the accounts that move, the largest change first, then those that a rulebook refuses."""
    assessed = [row for row in rows if row.failure_before is None and row.failure_after is None]
    moved = [row for row in assessed if row.moves]
    if assessed:
        yield _moved(assessed, moved)
    refused = [row for row in rows if row.failure_before or row.failure_after]
    if refused:
        yield _refused(refused)


def _moved(assessed: Sequence[PreviewRow], moved: Sequence[PreviewRow]) -> parts.Sheet:
    up, down = sum(row.change > 0 for row in moved), sum(row.change < 0 for row in moved)
    note = f"of {len(assessed)} accounts {len(moved)} move: {up} require more initial margin, {down} less"
    if len(moved) > SHOWN:
        note += f"; the first {SHOWN} are shown, --format json holds all"
    columns = ("initial", "change", "maintenance", "change", "left")
    asset = assessed[0].reporting_asset or "USD"
    made = parts.table(f"What it does to the accounts, {asset}", ("account", "state"), columns, note=note)
    made.add_column("through")
    for column in made.columns[:2]:
        column.no_wrap = True
    for row in moved[:SHOWN]:
        figures = (
            row.initial_after,
            row.change,
            row.maintenance_after,
            (row.maintenance_after or 0.0) - (row.maintenance_before or 0.0),
            row.available_after,
        )
        cells = (parts.money(value, asset) for value in figures)
        made.add_row(Text(row.account, style="bold"), _state(row), *cells, _through(row.lines, asset))
    return made


def _state(row: PreviewRow) -> Text:
    if row.state_before == row.state_after:
        return parts.state(row.state_after)
    return Text.assemble(parts.state(row.state_before), " to ", parts.state(row.state_after))


def _through(lines: Sequence[LineChange], asset: str) -> Text:
    told = (f"{line.line} {numbers.rounded(line.after - line.before, asset, sign=True)}" for line in lines)
    return Text(", ".join(told), style="dim")


def _refused(rows: Sequence[PreviewRow]) -> parts.Sheet:
    made = parts.table(f"Refused: {len(rows)}", ("account", "by", "reason", "what"))
    made.columns[0].no_wrap = True
    for row in rows[:SHOWN]:
        failure = row.failure_after or row.failure_before
        if failure is not None:
            both = row.failure_before is not None and row.failure_after is not None
            by = "both" if both else "B" if row.failure_after else "A"
            place = f"{failure.instrument}: " if failure.instrument else ""
            reason = Text(failure.reason.value, style="red")
            made.add_row(Text(row.account, style="bold"), by, reason, place + failure.message)
    return made
