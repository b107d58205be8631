"""Rulebooks side by side."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from rich.text import Text

from crossmargin.analysis.drivers import shifts
from crossmargin.cli import numbers
from crossmargin.cli.tables import parts

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from crossmargin.analysis.compare import ComparisonRow

_SHOWN_SHIFTS = 3


def comparison_tables(account: str, rows: Sequence[ComparisonRow]) -> Iterator[parts.Sheet]:
    """Yield one row per rulebook, least required capital first, then the refusals with their reason."""
    good = [row for row in rows if row.failure is None]
    bad = [row for row in rows if row.failure is not None]
    names = Counter(row.rulebook.name for row in rows)
    if good:
        yield _verdicts(account, good, names)
        if len(good) > 1:
            yield _drivers(good, names)
    if bad:
        made = parts.table(f"{account} is refused by", ("rulebook", "reason", "what"))
        made.columns[0].no_wrap = made.columns[1].no_wrap = True
        for row in bad:
            if row.failure is not None:
                reason = Text(row.failure.reason.value, style="red")
                place = f"{row.failure.instrument}: " if row.failure.instrument else ""
                made.add_row(_name(row, names), reason, f"{place}{row.failure.message}")
        yield made


def _verdicts(account: str, rows: Sequence[ComparisonRow], names: Counter[str]) -> parts.Sheet:
    asset = rows[0].reporting_asset or "USD"
    note = "required capital compares rulebooks; coverage ratios, each of the worst pool, do not compare"
    columns = ("required\ncapital", "initial", "maint.", "headroom", "coverage")
    made = parts.table(f"{account} under {len(rows)} rulebooks, {asset}", ("rulebook", "state"), columns, note=note)
    made.columns[1].no_wrap = True  # a long name of a rulebook is folded before any figure is cut
    for row in rows:
        figures = (row.required_capital, row.initial_margin, row.maintenance_margin, row.maintenance_headroom)
        cells = (_rounded(value, asset) for value in figures)
        made.add_row(_name(row, names), parts.state(row.state), *cells, parts.coverage(row.coverage_ratio))
    return made


def _drivers(rows: Sequence[ComparisonRow], names: Counter[str]) -> parts.Sheet:
    """Return the positions by which each rulebook differs most from the one that requires least."""
    least = rows[0]
    asset = least.reporting_asset or "USD"
    note = "tied up: a position's part of initial margin and of its value what does not count"
    title = f"What drives the differences from {least.rulebook.name}"
    made = parts.table(title, ("rulebook",), ("capital",), note=note)
    made.add_column("capital tied up by")
    for row in rows[1:]:
        changes = [(one.name, _change(one.change, asset)) for one in shifts(least.drivers, row.drivers)[:_SHOWN_SHIFTS]]
        told = ", ".join(f"{name} {text}" for name, text in changes if text.strip("+-0.,"))  # not what shows as 0
        change = _change((row.required_capital or 0.0) - (least.required_capital or 0.0), asset)
        made.add_row(_name(row, names), Text(change), Text(told, style="dim"))
    return made


def _name(row: ComparisonRow, names: Counter[str]) -> Text:
    """Return a rulebook's name; its date too where it stands under several."""
    name = Text(row.rulebook.name, style="bold")
    if names[row.rulebook.name] > 1:
        name.append(f" {row.rulebook.effective_from}", style="dim not bold")
    return name


def _rounded(value: float | None, asset: str) -> Text:
    """Return an amount in few digits: five figures of one account side by side."""
    return Text(numbers.rounded(value, asset), style="red" if value is not None and value < 0 else "")


def _change(value: float, asset: str) -> str:
    return numbers.rounded(value, asset, sign=True)
