"""Rulebooks side by side; computed beside reported."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from crossmargin.cli import numbers
from crossmargin.cli.tables import parts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from crossmargin.analysis.compare import ComparisonRow
    from crossmargin.analysis.reconcile import ReconciliationRow
    from crossmargin.margin.report import MarginReport


def comparison_table(account: str, rows: Sequence[ComparisonRow]) -> parts.Sheet:
    """Return one row per rulebook, least required capital first; refusals last, with their reason."""
    columns = ("required capital", "initial", "maintenance", "headroom", "coverage")
    note = "required capital compares rulebooks; coverage ratios of different rulebooks do not compare"
    made = parts.table(f"{account} under {len(rows)} rulebooks", ("rulebook", "state"), columns, note=note)
    good = sorted((row for row in rows if row.failure is None), key=lambda row: row.required_capital or 0.0)
    for row in good:
        asset = row.reporting_asset or "USD"
        figures = (row.required_capital, row.initial_margin, row.maintenance_margin, row.maintenance_headroom)
        cells = (parts.money(value, asset) for value in figures)
        name = Text(row.rulebook.name, style="bold").append(f" {row.rulebook.effective_from}", style="dim not bold")
        made.add_row(name, parts.state(row.state), *cells, parts.coverage(row.coverage_ratio))
    for row in rows:
        if row.failure is not None:
            name = Text(row.rulebook.name, style="dim").append(f" {row.rulebook.effective_from}")
            made.add_row(name, Text(row.failure.reason.value, style="red"))
    return made


def reconciliation_table(computed: MarginReport, rows: Sequence[ReconciliationRow]) -> parts.Sheet:
    """Return one row per figure: reported, computed, the difference."""
    asset = computed.reporting_asset
    title = f"{computed.account}  {computed.rulebook.name} {computed.rulebook.effective_from}  reported and computed"
    note = None if rows else "the account holds no reported figures (its `reported` block)"
    columns = (f"reported, {asset}", f"computed, {asset}", "residual")
    made = parts.table(title, ("figure",), columns, note=note)
    for row in rows:
        is_ratio = "ratio" in row.name or "coverage" in row.name
        cells = [_figure(value, asset, is_ratio=is_ratio) for value in (row.reported, row.computed, row.residual)]
        made.add_row(row.name, *cells)
    return made


def _figure(value: float | None, asset: str, *, is_ratio: bool) -> Text:
    if value is None:
        return Text("-", style="dim")
    return Text(numbers.ratio(value)) if is_ratio else parts.money(value, asset)
