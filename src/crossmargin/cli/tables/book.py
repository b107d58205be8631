"""A book of accounts: one row each, refused ones with their reason."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from crossmargin.cli import numbers
from crossmargin.cli.tables import parts
from crossmargin.margin.report import AccountState

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import RenderableType

    from crossmargin.margin.model import Rulebook
    from crossmargin.margin.report import BookRow
    from crossmargin.market import Snapshot

SHOWN = 200  # rows on a terminal; JSON and Parquet hold all


def book_tables(rows: Sequence[BookRow], rules: Rulebook, snapshot: Snapshot) -> Iterator[RenderableType]:
    """Yield the book, the account in most need first, then what was refused."""
    good = sorted((row for row in rows if row.failure is None), key=_standing)
    bad = [row for row in rows if row.failure is not None]
    title = f"{rules.name} {rules.effective_from}  {numbers.moment(snapshot.as_of)}  {len(good)} accounts"
    if good:
        yield _accounts(title, good)
    if bad:
        yield _refused(bad)
    if not rows:
        yield Text("the file holds no accounts", style="dim")


def _standing(row: BookRow) -> tuple[int, float]:
    """Return the key that puts the account in most need first: by state, then by headroom."""
    rank = 0 if row.state is None else list(AccountState).index(row.state)
    return -rank, row.maintenance_headroom or 0.0


def _accounts(title: str, rows: Sequence[BookRow]) -> parts.Sheet:
    right = ("equity", "initial", "maintenance", "headroom", "coverage")
    note = "reporting asset; ordered by state, then by headroom"
    if len(rows) > SHOWN:
        note += f"; the first {SHOWN} of {len(rows)}: --format json and parquet hold all"
    made = parts.table(title, ("account", "state"), right, note=note)
    for column in made.columns[:2]:
        column.no_wrap = True
    for row in rows[:SHOWN]:
        figures = (row.equity, row.initial_margin, row.maintenance_margin, row.maintenance_headroom)
        cells = (parts.money(value) for value in figures)
        made.add_row(
            Text(row.account, style="bold"), parts.state(row.state), *cells, parts.coverage(row.coverage_ratio)
        )
    return made


def _refused(rows: Sequence[BookRow]) -> parts.Sheet:
    made = parts.table(f"Refused: {len(rows)}", ("account", "reason", "what"))
    made.columns[0].no_wrap = True
    for row in rows[:SHOWN]:
        if row.failure is not None:
            place = f"{row.failure.instrument}: " if row.failure.instrument else ""
            reason = Text(row.failure.reason.value, style="red")
            made.add_row(Text(row.account, style="bold"), reason, place + row.failure.message)
    return made
