"""P&L by scenario: a heat map of spot and vol moves, or bars where the scenarios are no grid."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crossmargin.cli import numbers
from crossmargin.cli.grid import DARK, heat, ink, read_grid, scale_of
from crossmargin.cli.pictures import svg

if TYPE_CHECKING:
    from collections.abc import Sequence

    from crossmargin.cli.grid import Grid
    from crossmargin.margin.report import ScenarioRow, ScenarioTable

WIDTH = 920.0
_LEFT, _TOP, _CELL = 76.0, 30.0, 38.0
_BARS = 14  # bars at most: the worst scenarios


def scenario_pictures(name: str, table: ScenarioTable, asset: str) -> list[str]:
    """Return the pictures of one scenario table: grid, and bars of what lies off it."""
    grid = read_grid(table)
    scale = scale_of(table)
    title = f"{table.line}, {table.row}, {table.requirement}: profit and loss by scenario, {asset}"
    worst = f"Worst: {table.worst_scenario}, a loss of {numbers.money(table.loss, asset)} {asset}."
    if grid is None:
        return [_bars(name, title, worst, table.scenarios, scale, asset)]
    drawn = [_grid(name, title, worst, grid, scale, asset)]
    if grid.rest:
        drawn.append(_bars(f"{name}-more", f"{title}, off the grid", worst, grid.rest, scale, asset))
    return drawn


def _grid(name: str, title: str, worst: str, grid: Grid, scale: float, asset: str) -> str:
    width = (WIDTH - _LEFT) / len(grid.spots)
    marks = [svg.text(grid.corner, 0, 18, "axis")]
    for column, spot in enumerate(grid.spots):
        marks.append(svg.text(grid.label(spot), _LEFT + (column + 0.5) * width, 18, "axis", "middle"))
    for row, vol in enumerate(grid.vols):
        top = _TOP + row * _CELL
        marks.append(svg.text(vol, 0, top + _CELL / 2 + 4, "axis"))
        for column, spot in enumerate(grid.spots):
            found = grid.cells.get((vol, spot))
            if found is not None:
                marks.append(_cell(found, _LEFT + column * width, top, width, scale, asset))
    return svg.picture(name, title, worst, WIDTH, _TOP + _CELL * len(grid.vols) + 4, "".join(marks))


def _cell(row: ScenarioRow, x: float, y: float, width: float, scale: float, asset: str) -> str:
    colour = heat(row.pnl, scale)
    said = svg.tip(f"{row.name}: {numbers.money(row.pnl, asset)} {asset}{' (the worst)' if row.worst else ''}")
    fill = "#{:02x}{:02x}{:02x}".format(*colour)
    box = svg.rectangle(
        x + 1, y + 1, width - 2, _CELL - 2, said, rx=3, fill=fill, class_="worst" if row.worst else "cell"
    )
    middle, base = x + width / 2, y + _CELL / 2 + 4
    shade = "ink-dark" if ink(colour) == DARK else "ink-light"
    weight = "bold" if row.worst else "normal"
    words = svg.element(
        "text", svg.compact(_rounded(row.pnl)), x=middle, y=base, class_=shade, font_weight=weight, text_anchor="middle"
    )
    return box + words


def _rounded(value: float) -> float:
    """Return a value to three digits, so that cells stay narrow."""
    return float(f"{value:.3g}")


def _bars(name: str, title: str, worst: str, rows: Sequence[ScenarioRow], scale: float, asset: str) -> str:
    ordered = sorted(rows, key=lambda row: row.pnl)[:_BARS]
    losses = any(row.pnl < 0 for row in ordered)
    gains = any(row.pnl > 0 for row in ordered)
    left, right, height = 250.0, WIDTH - 110, 24.0
    zero = right if losses and not gains else (left if not losses else (left + right) / 2)
    reach = max(zero - left if losses else 0.0, right - zero if gains else 0.0)
    marks = []
    for i, row in enumerate(ordered):
        y = 4 + i * height
        length = abs(row.pnl) / scale * reach
        start = zero - length if row.pnl < 0 else zero
        said = svg.tip(f"{row.name}: {numbers.money(row.pnl, asset)} {asset}")
        marks.append(svg.text(row.name, 0, y + 16, "strong" if row.worst else "axis"))
        fill = "#{:02x}{:02x}{:02x}".format(*heat(row.pnl, scale))
        marks.append(
            svg.rectangle(
                start,
                y + 3,
                max(length, 1.0),
                height - 6,
                said,
                rx=2,
                fill=fill,
                class_="worst" if row.worst else "cell",
            )
        )
        marks.append(svg.text(svg.compact(_rounded(row.pnl)), WIDTH, y + 16, "strong" if row.worst else "axis", "end"))
    left_out = len(rows) - len(ordered)
    if left_out:
        marks.append(svg.text(f"{left_out} milder ones are not drawn", 0, 4 + len(ordered) * height + 14, "axis"))
    marks.append(svg.line(zero, 2, zero, 4 + len(ordered) * height, "zero"))
    return svg.picture(name, title, worst, WIDTH, 8 + (len(ordered) + bool(left_out)) * height, "".join(marks))
