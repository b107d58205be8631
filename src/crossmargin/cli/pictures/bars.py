"""Rulebooks side by side: for each one bar, its parts what positions and balances tie up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crossmargin.cli import numbers
from crossmargin.cli.pictures import svg

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from crossmargin.analysis.compare import ComparisonRow

WIDTH = 920.0
_LEFT, _RIGHT, _ROW, _LEGEND = 230.0, 820.0, 30.0, 22.0
SHOWN = 7  # names that get a colour of their own; the rest share one
_OTHERS = "all others"


def bars_picture(name: str, rows: Sequence[ComparisonRow]) -> str:
    """Return the bars, in the order of the rows; what relieves stands left of zero."""
    names = _largest(rows)
    parts = [_parts(row, names) for row in rows]
    low = min(sum(value for value in one.values() if value < 0) for one in parts)
    high = max(sum(value for value in one.values() if value > 0) for one in parts)
    scale = (_RIGHT - _LEFT) / ((high - low) or 1.0)
    zero = _LEFT - low * scale
    asset = rows[0].reporting_asset or ""
    top = _LEGEND * (len(names) // 3 + 1) + 6
    marks = [_legend(names)]
    for place, (row, one) in enumerate(zip(rows, parts, strict=True)):
        marks.append(_bar(top + place * _ROW, row, one, names, zero, scale, asset))
    height = top + len(rows) * _ROW
    marks.append(svg.line(zero, top, zero, height, "zero"))
    said = "What each position and balance ties up: its part of initial margin and the value that does not count."
    return svg.picture(name, f"Capital tied up by rulebook, {asset}", said, WIDTH, height + 4, "".join(marks))


def _largest(rows: Sequence[ComparisonRow]) -> list[str]:
    """Return the names that weigh most under any rulebook, and a last one for the rest."""
    weight: dict[str, float] = {}
    for row in rows:
        for driver in row.drivers:
            weight[driver.name] = max(weight.get(driver.name, 0.0), abs(driver.tied_up))
    ordered = sorted((name for name in weight if weight[name]), key=lambda name: -weight[name])
    return ordered[:SHOWN] + ([_OTHERS] if len(ordered) > SHOWN else [])


def _parts(row: ComparisonRow, names: Sequence[str]) -> dict[str, float]:
    parts = dict.fromkeys(names, 0.0)
    for driver in row.drivers:
        if driver.tied_up:
            parts[driver.name if driver.name in parts else names[-1]] += driver.tied_up
    return parts


def _legend(names: Sequence[str]) -> str:
    out = []
    for number, name in enumerate(names):
        x, y = (number % 3) * WIDTH / 3, (number // 3) * _LEGEND
        out.append(svg.rectangle(x, y + 4, 12, 12, class_=f"part-{number}"))
        out.append(svg.text(name, x + 18, y + 14, "axis"))
    return "".join(out)


def _bar(
    y: float,
    row: ComparisonRow,
    parts: Mapping[str, float],
    names: Sequence[str],
    zero: float,
    scale: float,
    asset: str,
) -> str:
    out = [svg.text(row.rulebook.name, 0, y + 19, "strong")]
    up, down = zero, zero
    for number, name in enumerate(names):
        value, width = parts[name], abs(parts[name]) * scale
        x = up if value >= 0 else down - width
        up, down = (up + width, down) if value >= 0 else (up, down - width)
        tip = svg.tip(f"{row.rulebook.name}, {name}: {numbers.money(value, asset)} {asset}")
        out.append(svg.rectangle(x, y + 5, width, _ROW - 10, tip, class_=f"part-{number}"))
    total = sum(parts.values())
    out.append(svg.text(numbers.money(total, asset), WIDTH, y + 19, "axis", "end"))
    return "".join(out)
