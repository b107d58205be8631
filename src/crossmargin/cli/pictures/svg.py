"""The few elements that the pictures are made of. Every text is escaped; colours are classes of report.css."""

from __future__ import annotations

from html import escape
from math import floor, log10


def element(tag: str, content: str = "", **attributes: object) -> str:
    """Return one element. ``class_`` is class, ``_`` in names is ``-``; content is markup already."""
    words = (f' {name.rstrip("_").replace("_", "-")}="{_value(value)}"' for name, value in attributes.items())
    return f"<{tag}{''.join(words)}>{content}</{tag}>"


def text(words: str, x: float, y: float, class_: str = "", anchor: str = "start") -> str:
    """Return a line of text."""
    return element("text", escape(words), x=x, y=y, class_=class_, text_anchor=anchor)


def tip(words: str) -> str:
    """Return what a pointer over an element shows, and what a screen reader says of it."""
    return element("title", escape(words))


def rectangle(x: float, y: float, width: float, height: float, content: str = "", **more: object) -> str:
    """Return a rectangle; negative extents count as none."""
    return element("rect", content, x=x, y=y, width=max(width, 0.0), height=max(height, 0.0), **more)


def line(x1: float, y1: float, x2: float, y2: float, class_: str) -> str:
    """Return a straight line."""
    return element("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=class_)


def picture(name: str, title: str, description: str, width: float, height: float, content: str) -> str:
    """Return a whole picture that scales with the page and says what it shows."""
    said = element("title", escape(title), id=f"{name}-title") + element("desc", escape(description), id=f"{name}-desc")
    return element(
        "svg",
        said + content,
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {_value(width)} {_value(height)}",
        role="img",
        aria_labelledby=f"{name}-title {name}-desc",
    )


def ticks(low: float, high: float, wanted: int = 5) -> list[float]:
    """Return round numbers that span low to high."""
    span = high - low
    if span <= 0:
        return [low]
    raw = span / wanted
    power = 10.0 ** floor(log10(raw))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= raw)
    first = -int(-low // step) if low >= 0 else int(low // step)
    return [i * step for i in range(first, int(high // step) + 1) if low <= i * step <= high]


def compact(value: float) -> str:
    """Return a number short enough for an axis."""
    value += 0.0  # a negative zero is a zero
    for limit, unit in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= limit:
            return f"{value / limit:,.4g}{unit}"
    return f"{value:,.4g}"


def _value(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else escape(str(value), quote=True)
