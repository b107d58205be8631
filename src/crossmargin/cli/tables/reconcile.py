"""Computed beside reported."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from rich.text import Text

from crossmargin.cli import numbers
from crossmargin.cli.tables import parts

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from crossmargin.analysis.reconcile import ReconciliationRow
    from crossmargin.margin.report import MarginReport

_SHOWN_LINES = 3
_SHOWN_SCENARIOS = 4
_ROUNDING = 1e-9


def reconciliation_tables(
    computed: MarginReport, rows: Sequence[ReconciliationRow], notes: Sequence[str] = ()
) -> Iterator[parts.Sheet | Text]:
    """Yield one row per figure: reported, computed, the difference, and what explains it; then what is to be known."""
    asset = computed.reporting_asset
    title = f"{computed.account}  {computed.rulebook.name} {computed.rulebook.effective_from}  reported and computed"
    note = None if rows else "the account holds no reported figures (its `reported` block)"
    columns = ("reported", "computed", "residual")
    made = parts.table(f"{title}, {asset}", ("figure",), columns, note=note)
    made.add_column("perhaps")
    asset_of = {pool.pool: pool.reporting_asset for pool in computed.pools}
    for is_scenario, group in groupby(rows, key=lambda row: row.scenario is not None):
        found = list(group)
        for row in _scenarios(found) if is_scenario else found:
            if _is_told(row):
                made.add_row(*_cells(row, row.asset or asset_of.get(row.pool or "", asset), asset))
    yield made
    for text in notes:
        yield Text("note ", style="yellow").append(text, style="dim")


def _is_told(row: ReconciliationRow) -> bool:
    """Return whether a row is worth a line: not what a pool left out, nor a 0 that the rulebook has no line for."""
    if row.scenario is not None or row.reported:
        return True
    left_out = row.pool is not None and row.reported is None
    return row.computed is not None and not left_out


def _cells(row: ReconciliationRow, unit: str, usual: str) -> tuple[Text, ...]:
    place = [row.pool, row.bucket if row.bucket != row.pool else None, row.instrument, row.requirement]
    words = [word for word in place if word]
    words += [unit] if unit not in {usual, row.pool} and "ratio" not in row.name else []
    if row.lines and row.scenario is None and row.lines != (row.name,):
        words.append(f"= {' + '.join(row.lines)}")
    if row.scenario is not None:
        words.append(row.scenario)
    name = Text(row.name.replace("_", " ") if not row.lines else row.name)
    name.append(f"  {' '.join(words)}" if words else "", style="dim")
    figures = (row.reported, row.computed, row.residual)
    is_ratio = "ratio" in row.name
    amounts = (_figure(value, unit, is_ratio=is_ratio) for value in figures)
    return name, *amounts, Text("; ".join(_reasons(row)), style="dim")


def _reasons(row: ReconciliationRow) -> Iterator[str]:
    """Yield what carries the residual, what is left of it, and what has that amount."""
    carried = list(row.by_line.items())
    for label, amount in carried[:_SHOWN_LINES]:
        yield f"from {label} {amount:+,.6g}"
    if len(carried) > _SHOWN_LINES:
        yield f"{len(carried) - _SHOWN_LINES} more {sum(amount for _, amount in carried[_SHOWN_LINES:]):+,.6g}"
    if row.unexplained is not None and not _is_rounding(row, row.unexplained):
        yield f"not explained {row.unexplained:+,.6g}"
    yield from row.suggestions


def _is_rounding(row: ReconciliationRow, amount: float) -> bool:
    return abs(amount) <= _ROUNDING * max(abs(row.reported or 0.0), abs(row.computed or 0.0), 1.0)


def _scenarios(rows: Sequence[ReconciliationRow]) -> Iterator[ReconciliationRow]:
    """Yield of each grid the scenarios that differ most, under one row that says how many agree."""
    from msgspec.structs import replace

    for _, group in groupby(rows, key=lambda row: (row.name, row.pool, row.bucket)):
        found = list(group)
        agree = [row for row in found if row.residual is not None and _is_rounding(row, row.residual)]
        differ = [row for row in found if row.residual is not None and not _is_rounding(row, row.residual)]
        lacking = len(found) - len(agree) - len(differ)
        told = [f"{len(agree)} of {len(found)} scenarios agree"]
        told += [f"{lacking} not among the rulebook's"] if lacking else []
        blank = replace(found[0], scenario="", reported=None, computed=None, residual=None, by_line={})
        yield replace(blank, suggestions=(", ".join(told),))
        differ.sort(key=lambda row: -abs(row.residual or 0.0))
        yield from differ[:_SHOWN_SCENARIOS]
        if len(differ) > _SHOWN_SCENARIOS:
            yield replace(blank, suggestions=(f"{len(differ) - _SHOWN_SCENARIOS} more differ, by less",))


def _figure(value: float | None, asset: str, *, is_ratio: bool) -> Text:
    if value is None:
        return Text("-", style="dim")
    return Text(numbers.ratio(value)) if is_ratio else parts.money(value, asset)
