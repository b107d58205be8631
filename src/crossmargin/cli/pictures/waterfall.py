"""From gross to net: what the positions would require alone, less what netting relieves, is what they require."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crossmargin.cli import numbers
from crossmargin.cli.pictures import svg

if TYPE_CHECKING:
    from crossmargin.analysis.explanation import CapitalEfficiency

WIDTH = 920.0
_LEFT, _RIGHT, _ROW = 250.0, 800.0, 26.0
_SHOWN = 16  # positions that get a bar of their own; the rest share one


def waterfall_picture(name: str, found: CapitalEfficiency, asset: str) -> str:
    """Return the waterfall of required capital: each position alone, their sum, the relief, together."""
    ordered = sorted(found.positions.items(), key=lambda item: -item[1])
    steps = ordered[:_SHOWN]
    if len(ordered) > _SHOWN:
        steps.append((f"{len(ordered) - _SHOWN} others", sum(value for _, value in ordered[_SHOWN:])))
    marks, reached, row = [], 0.0, 0
    scale = _scale(steps, found)
    for label, value in steps:
        marks.append(_bar(row, label, value, (reached, reached + value), scale, "step", asset))
        reached += value
        row += 1
    relief = found.cross - found.standalone
    marks.append(_bar(row, "sum of each alone", found.standalone, (0.0, found.standalone), scale, "total", asset))
    kind = "relief" if relief <= 0 else "surplus"
    marks.append(_bar(row + 1, "netting", relief, (found.standalone, found.cross), scale, kind, asset))
    marks.append(_bar(row + 2, "together", found.cross, (0.0, found.cross), scale, "net", asset))
    zero = _LEFT - scale[0] * scale[1]
    marks.append(svg.line(zero, 0, zero, (row + 3) * _ROW, "zero"))
    saved = numbers.percent(found.efficiency, 1)
    both = (numbers.money(found.standalone, asset), numbers.money(found.cross, asset))
    said = f"Alone {both[0]}, together {both[1]} {asset}: {saved} less."
    title = f"Required capital from gross to net, {asset}"
    return svg.picture(name, title, said, WIDTH, (row + 3) * _ROW + 4, "".join(marks))


def _scale(steps: list[tuple[str, float]], found: CapitalEfficiency) -> tuple[float, float]:
    """Return the least level that is drawn, and points per unit."""
    levels, reached = [0.0, found.standalone, found.cross], 0.0
    for _, value in steps:
        reached += value
        levels.append(reached)
    return min(levels), (_RIGHT - _LEFT) / ((max(levels) - min(levels)) or 1.0)


def _bar(
    row: int, label: str, value: float, levels: tuple[float, float], scale: tuple[float, float], kind: str, asset: str
) -> str:
    least, unit = scale
    low, high = (_LEFT + (level - least) * unit for level in sorted(levels))
    y = row * _ROW
    said = svg.tip(f"{label}: {numbers.money(value, asset)} {asset}")
    strong = "strong" if kind in {"total", "net", "relief", "surplus"} else "axis"
    words = numbers.signed(value, asset) if kind in {"relief", "surplus"} else numbers.money(value, asset)
    return (
        svg.text(label, 0, y + 17, strong)
        + svg.rectangle(low, y + 4, max(high - low, 1.0), _ROW - 8, said, rx=2, class_=kind)
        + svg.text(words, WIDTH, y + 17, strong, "end")
    )
