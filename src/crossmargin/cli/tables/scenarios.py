"""Scenario tables as heat: a grid of spot and vol moves, or a list of the worst."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.style import Style
from rich.text import Text

from crossmargin.cli import numbers
from crossmargin.cli.grid import heat, ink, read_grid, scale_of
from crossmargin.cli.tables import parts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType

    from crossmargin.cli.grid import Grid
    from crossmargin.margin.report import ScenarioRow, ScenarioTable

_LISTED = 8  # scenarios of a list that is no grid: the worst ones
_WIDTH = 92  # columns that a grid may take
_BAR = 28


def scenario_table(table: ScenarioTable, asset: str, *, all_rows: bool = False) -> Iterator[RenderableType]:
    """Yield the heat grid of one scan on one row, and below it what lies off the grid."""
    grid = read_grid(table)
    worst = f"worst {table.worst_scenario}: {numbers.money(-table.loss, asset)}" if table.worst_scenario else ""
    title = f"{table.line} · {table.row} · {table.requirement}   P&L by scenario"
    limit = None if all_rows else _LISTED
    if grid is None:
        yield _listing(f"{title}, {asset}", table.scenarios, scale_of(table), asset, limit, worst)
        return
    yield _grid(title, asset, grid, scale_of(table), worst)
    if any(row.worst or (all_rows and row.pnl) for row in grid.rest):
        yield _listing("off the grid", grid.rest, scale_of(table), asset, limit, "")


def _grid(title: str, asset: str, grid: Grid, scale: float, note: str | None) -> parts.Sheet:
    width = max(5, min(10, (_WIDTH - 10) // len(grid.spots) - 1))
    divisor, unit = _unit(scale, width)
    made = parts.Sheet(f"{title}, {unit}{asset}", note, box=None, padding=(0, 1, 0, 0))
    made.add_column(grid.corner, style="dim", no_wrap=True)
    for spot in grid.spots:
        made.add_column(grid.label(spot), justify="right", width=width)
    for vol in grid.vols:
        made.add_row(vol, *(_cell(grid.cells.get((vol, spot)), scale, divisor, width) for spot in grid.spots))
    return made


def _unit(scale: float, width: int) -> tuple[float, str]:
    """Return by what cells are divided so that they fit, and how that is said."""
    for divisor, unit in ((1.0, ""), (1e3, "thousand "), (1e6, "million ")):
        if len(_short(-scale / divisor)) < width:
            return divisor, unit
    return 1e9, "billion "


def _short(value: float) -> str:
    value += 0.0  # a negative zero is a zero
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:,.3g}"  # noqa: PLR2004  # three digits show the shape


def _cell(row: ScenarioRow | None, scale: float, divisor: float, width: int) -> Text:
    if row is None:
        return Text(" " * width)
    colour = heat(row.pnl, scale)
    style = Style(color=ink(colour), bgcolor="#{:02x}{:02x}{:02x}".format(*colour), bold=row.worst)
    mark = parts.BINDING_MARK if row.worst else ""
    return Text(f"{mark}{_short(row.pnl / divisor)}".rjust(width), style=style)


def _listing(
    title: str, rows: tuple[ScenarioRow, ...], scale: float, asset: str, limit: int | None, worst: str
) -> parts.Sheet:
    ordered = sorted(rows, key=lambda row: row.pnl)[:limit]
    left_out = len(rows) - len(ordered)
    note = "; ".join(text for text in (worst, f"{left_out} milder ones not shown" if left_out else "") if text)
    made = parts.table(title, ("scenario",), (f"P&L, {asset}",), note=note or None)
    made.add_column("", no_wrap=True)
    for row in ordered:
        name = parts.marked(row.name, binding=row.worst, indent="  ")
        bar = Text("█" * max(1, round(abs(row.pnl) / scale * _BAR)) if row.pnl else "", style=_shade(row.pnl, scale))
        made.add_row(name, parts.money(row.pnl, asset), bar)
    return made


def _shade(pnl: float, scale: float) -> Style:
    return Style(color="#{:02x}{:02x}{:02x}".format(*heat(pnl, scale)))
