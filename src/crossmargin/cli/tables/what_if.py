"""One account before and after."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING

from rich.text import Text

from crossmargin.cli import numbers
from crossmargin.cli.tables import parts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType

    from crossmargin.margin.report import LineAmount, MarginReport

FIGURES = (
    "equity",
    "adjusted_equity_initial",
    "initial_margin",
    "available_margin",
    "adjusted_equity_maintenance",
    "maintenance_margin",
    "maintenance_headroom",
    "scan_loss",
)


def what_if_tables(before: MarginReport, after: MarginReport) -> Iterator[RenderableType]:
    """Yield the figures and the lines of both reports, with what changed."""
    asset = after.reporting_asset
    title = f"{after.account}  {after.rulebook.name} {after.rulebook.effective_from}  before and after"
    made = parts.table(title, ("",), (f"before, {asset}", f"after, {asset}", "change"))
    for name in FIGURES:
        was, becomes = getattr(before, name), getattr(after, name)
        style = "bold" if name in {"initial_margin", "maintenance_margin"} else ""
        cells = (parts.money(was, asset), parts.money(becomes, asset), parts.change(becomes - was, asset))
        made.add_row(name.replace("_", " "), *cells, style=style)
    ratios = (before.coverage_ratio, after.coverage_ratio)
    moved = Text(f"{ratios[1] - ratios[0]:+,.3f}") if all(isfinite(ratio) for ratio in ratios) else Text("-")
    made.add_row("coverage ratio", *(parts.coverage(ratio) for ratio in ratios), moved)
    made.add_row("state", parts.state(before.state), parts.state(after.state))
    yield made
    if before.worst_scenario or after.worst_scenario:
        yield Text.assemble(
            ("worst scenario  ", "dim"),
            before.worst_scenario or "none",
            ("  then  ", "dim"),
            after.worst_scenario or "none",
        )
        yield Text()
    yield _lines(before, after, asset)
    yield from parts.notes(after.warnings, unverified=False)


def _lines(before: MarginReport, after: MarginReport, asset: str) -> parts.Sheet:
    made = parts.table(
        "Lines that changed, at maintenance", ("line",), (f"before, {asset}", f"after, {asset}", "change")
    )
    moves = []
    for name in dict.fromkeys((*before.lines, *after.lines)):
        was, becomes = _maintenance(before.lines.get(name)), _maintenance(after.lines.get(name))
        if numbers.money(was, asset) != numbers.money(becomes, asset):
            moves.append((name, was, becomes))
    for name, was, becomes in sorted(moves, key=lambda move: -abs(move[2] - move[1])):
        made.add_row(name, parts.money(was, asset), parts.money(becomes, asset), parts.change(becomes - was, asset))
    return made


def _maintenance(line: LineAmount | None) -> float:
    return 0.0 if line is None else line.maintenance
