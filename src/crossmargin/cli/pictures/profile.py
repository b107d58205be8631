"""The liquidation profile: coverage against price on both sides of today."""

from __future__ import annotations

from itertools import pairwise
from math import isfinite, log
from typing import TYPE_CHECKING

from crossmargin.cli import numbers
from crossmargin.cli.pictures import svg

if TYPE_CHECKING:
    from collections.abc import Sequence

    from crossmargin.analysis.explanation import LiquidationPrice, Profile, ProfilePoint

WIDTH, HEIGHT = 920.0, 270.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 44.0, 908.0, 22.0, 232.0
_LOW, _HIGH = 0.25, 4.0  # multiples of today's price that are drawn; flips beyond them widen the view
_CEILINGS = (2.0, 12.0)  # coverage above the top is drawn at the top, which lies above today's, between these
_FLOOR = -0.5


def profile_picture(name: str, profile: Profile, flips: LiquidationPrice | None) -> str:
    """Return coverage against price along one path, the regions where the trigger holds shaded."""
    points = [point for point in _in_view(profile.points, flips) if isfinite(point.coverage_ratio)]
    title = f"{profile.underlying}: coverage ratio against price, {profile.path}"
    if len(points) < 2:  # noqa: PLR2004  # a line needs two points
        words = "Nothing to draw: no requirement along this path."
        return svg.picture(name, title, words, WIDTH, 30, svg.text(words, 0, 18, "axis"))
    low, high = log(points[0].multiple), log(points[-1].multiple)
    today = min(points, key=lambda point: abs(log(point.multiple))).coverage_ratio
    top = min(max(1.5 * today, _CEILINGS[0]), _CEILINGS[1])
    frame = _Frame(low, high, top)
    marks = [_regions(points, frame), _axes(frame, flips), _curve(points, frame), _flips(flips, frame)]
    return svg.picture(name, title, _said(flips), WIDTH, HEIGHT, "".join(marks))


class _Frame:
    """Where a multiple and a coverage ratio lie in the picture; the price axis is logarithmic."""

    def __init__(self, low: float, high: float, top: float) -> None:
        self.low, self.high, self.top = low, high, top

    def x(self, multiple: float) -> float:
        return _LEFT + (log(multiple) - self.low) / (self.high - self.low) * (_RIGHT - _LEFT)

    def y(self, ratio: float) -> float:
        share = (min(max(ratio, _FLOOR), self.top) - _FLOOR) / (self.top - _FLOOR)
        return _BOTTOM - share * (_BOTTOM - _TOP)

    def holds(self, multiple: float) -> bool:
        return self.low - 1e-9 <= log(multiple) <= self.high + 1e-9


def _in_view(points: Sequence[ProfilePoint], flips: LiquidationPrice | None) -> list[ProfilePoint]:
    low, high = _LOW, _HIGH
    if flips is not None:
        low = min(low, 0.8 * (flips.below or flips.spot) / flips.spot)
        high = max(high, 1.25 * (flips.above or flips.spot) / flips.spot)
    return [point for point in sorted(points, key=lambda point: point.multiple) if low <= point.multiple <= high]


def _regions(points: Sequence[ProfilePoint], frame: _Frame) -> str:
    """Return the shaded prices at which the trigger holds."""
    shaded = []
    edges = [frame.x(point.multiple) for point in points]
    middles = [edges[0], *((a + b) / 2 for a, b in pairwise(edges)), edges[-1]]
    start: float | None = None
    for i, point in enumerate(points):
        if point.liquidatable and start is None:
            start = middles[i]
        if start is not None and (not point.liquidatable or i == len(points) - 1):
            end = middles[i + 1] if point.liquidatable else middles[i]
            shaded.append(svg.rectangle(start, _TOP, end - start, _BOTTOM - _TOP, class_="danger"))
            start = None
    return "".join(shaded)


def _axes(frame: _Frame, flips: LiquidationPrice | None) -> str:
    marks = []
    for ratio in svg.ticks(0.0, frame.top, 4):
        marks.append(svg.line(_LEFT, frame.y(ratio), _RIGHT, frame.y(ratio), "rule"))
        marks.append(svg.text(f"{ratio:g}", _LEFT - 8, frame.y(ratio) + 4, "axis", "end"))
    marks.append(svg.line(_LEFT, frame.y(1.0), _RIGHT, frame.y(1.0), "limit"))
    for multiple in (0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 10.0):
        if frame.holds(multiple):
            words = svg.compact(float(f"{flips.spot * multiple:.4g}")) if flips else f"{multiple:g}x"
            marks.append(svg.text(words, frame.x(multiple), _BOTTOM + 18, "axis", "middle"))
            marks.append(svg.line(frame.x(multiple), _BOTTOM, frame.x(multiple), _BOTTOM + 4, "zero"))
    marks.append(svg.line(_LEFT, _BOTTOM, _RIGHT, _BOTTOM, "zero"))
    if frame.holds(1.0):
        marks.append(svg.line(frame.x(1.0), _TOP, frame.x(1.0), _BOTTOM, "today"))
        marks.append(svg.text("today", frame.x(1.0), _TOP - 8, "axis", "middle"))
    return "".join(marks)


def _curve(points: Sequence[ProfilePoint], frame: _Frame) -> str:
    path = " ".join(f"{frame.x(p.multiple):.1f},{frame.y(p.coverage_ratio):.1f}" for p in points)
    return svg.element("polyline", points=path, class_="curve")


def _flips(flips: LiquidationPrice | None, frame: _Frame) -> str:
    marks = []
    for flip in (flips.below, flips.above) if flips else ():
        if flips is not None and flip is not None and frame.holds(flip / flips.spot):
            x = frame.x(flip / flips.spot)
            words = f"{numbers.price(flip)} ({flip / flips.spot - 1:+.1%})"
            anchor = "start" if x < (_LEFT + _RIGHT) / 2 else "end"
            shift = 6 if anchor == "start" else -6
            marks.append(svg.line(x, _TOP, x, _BOTTOM, "flip"))
            marks.append(svg.element("circle", cx=x, cy=frame.y(1.0), r=4, class_="dot"))
            marks.append(svg.text(words, x + shift, _TOP + 14, "strong", anchor))
    marks.append(svg.text("price (logarithmic)", _RIGHT, HEIGHT - 4, "axis", "end"))
    return "".join(marks)


def _said(flips: LiquidationPrice | None) -> str:
    if flips is None:
        return "Shaded: liquidatable."
    sides = [
        f"{side} at {numbers.price(flip)}" for side, flip in (("below", flips.below), ("above", flips.above)) if flip
    ]
    already = "Already liquidatable. " if flips.already_liquidatable else ""
    return (
        f"{already}The trigger flips {' and '.join(sides) if sides else 'nowhere in the scan'}. Shaded: liquidatable."
    )
