"""Tables and pictures of docs/benchmarks.md, from the newest results that `make bench KEEP=1` left in docs/data.

Run it after that: python -m scripts.bench_pages && python -m scripts.docs_tables
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape
from math import ceil, floor, log10
from pathlib import Path
from typing import Any

from crossmargin.cli.tables.bench import duration, figure

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT / "docs" / "data"
PICTURES = ROOT / "docs" / "pictures"
WIDTH = 1000
OURS, PEER, IDEAL = "#2f6fdb", "#c2570c", "#98a2b3"
STYLE = """
text { font: 12px system-ui, -apple-system, "Segoe UI", Helvetica, Arial, sans-serif; fill: #475467 }
.title { font-size: 18px; font-weight: 600; fill: #101828 }
.panel { font-size: 14px; font-weight: 600; fill: #101828 }
.grid { stroke: #eaecf0 } .ideal { stroke: #98a2b3; stroke-dasharray: 3 4; fill: none }
.line { stroke-width: 2.2; fill: none; stroke-linejoin: round }
"""
PICTURED = {"bench": "How many times longer other libraries take", "curves": "How cost grows"}
REACHED = {True: "yes", False: "**no**", None: "not judged"}


def newest(kind: str) -> dict[str, Any] | None:
    """The newest kept results of a kind; None where none are kept."""
    paths = sorted(DATA.glob(f"{kind}-*.json"))
    found: dict[str, Any] | None = json.loads(paths[-1].read_text(encoding="utf-8")) if paths else None
    return found


# --- tables


def bench_table() -> str:
    """What was timed, and what it was to reach."""
    found = newest("bench")
    if found is None:
        return "No run is kept yet.\n"
    machine = found["machine"]
    memory = f", {machine['memory_bytes'] / 2**30:.0f} GiB" if machine["memory_bytes"] else ""
    said = (
        f"{found['at'][:10]}: {machine['processor']}, {machine['cores']} cores{memory}; kernel {found['kernel']}, "
        f"CPython {machine['python']}, NumPy {machine['numpy']}; {found['accounts']:,} accounts.\n"
        f"Load of the machine before the run: {machine['load']:.1f}.\n"
    )
    for limit in found["limits"]:
        rates = f"{limit['read_bytes'] / 1e9:.0f} GB/s from L2, {2e-9 * limit['multiply_adds']:.0f} GFLOP/s"
        said += f"At most, {limit['cores']} core{'s' * (limit['cores'] > 1)}: {rates}.\n"
    pictures = "".join(
        f"\n![{shown}](pictures/{kind}.svg)\n"
        for kind, shown in PICTURED.items()
        if (PICTURES / f"{kind}.svg").exists()
    )
    return f"{said}\n{_times(found['results'])}\n{_aims(found['results'])}{pictures}"


def clearing_table() -> str:
    """What clearing was timed at, beside its floors."""
    found = newest("clearing")
    if found is None:
        return "No run is kept yet.\n"
    machine = found["machine"]
    said = f"{machine['cores']} cores of {machine['processor']}, Python {machine['python']}"
    lines = [
        f"Measured on {found['made']} on {said}; load before the run {machine['load']:.1f}.\n",
        "| what | median | lowest .. highest | beside |",
        "| --- | --- | --- | --- |",
    ]
    for row in found["results"]:
        unit = row["unit"].removesuffix(" p50")
        figures = (f"{row['median']:,.0f} {unit}", f"{row['low']:,.0f} .. {row['high']:,.0f}", row["beside"])
        lines.append(f"| {' | '.join((row['name'], *figures))} |")
    return "\n".join(lines) + "\n"


def _name(row: Mapping[str, Any]) -> str:
    rulebook = row["detail"].get("rulebook")
    return f"`{row['work']}`, {rulebook}" if rulebook else f"`{row['work']}`"


def _times(rows: Sequence[Mapping[str, Any]]) -> str:
    lines = ["| work | threads | median | peer | its median | ratio | of the limit |", "| --- " * 7 + "|"]
    for row in rows:
        ratio, share = row["peer_ratio"], row["limit_fraction"]
        cells = (
            _name(row),
            str(row["threads"]),
            duration(row["seconds"]),
            row["peer"] or "",
            duration(row["peer_seconds"]) if row["peer"] else "",
            "" if ratio is None else f"{ratio:.3g}x",
            "" if share is None else f"{share:.0%}, {row['limit']}",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _aims(rows: Sequence[Mapping[str, Any]]) -> str:
    lines = ["| work | what | threads | wanted | found | reached |", "| --- " * 6 + "|"]
    for row in rows:
        for aim in row["aims"]:
            bound = f"{'at least' if aim['at_least'] else 'at most'} {figure(aim['bound'], aim['unit'])}"
            found = figure(aim["found"], aim["unit"])
            cells = (_name(row), aim["what"], str(row["threads"]), bound, found, REACHED[aim["reached"]])
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


# --- pictures


def words(said: str, x: float, y: float, class_: str = "", anchor: str = "start", fill: str = "") -> str:
    """One line of text."""
    paint = f' style="fill:{fill}"' if fill else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{class_}" text-anchor="{anchor}"{paint}>{escape(said)}</text>'


def drawing(title: str, below: str, height: float, parts: Iterable[str]) -> str:
    """A whole picture on its own white ground, which says what it shows."""
    said = f"<title>{escape(title)}</title><desc>{escape(below)}</desc>"
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" role="img">{said}'
    ground = f'<style>{STYLE}</style><rect width="{WIDTH}" height="{height:.0f}" rx="8" fill="#ffffff"/>'
    return "\n".join([head, ground, words(title, 24, 36, "title"), words(below, 24, 58), *parts, "</svg>\n"])


def logarithmic(low: float, high: float, start: float, end: float) -> Callable[[float], float]:
    """The place of a value on a logarithmic scale."""
    return lambda value: start + (end - start) * (log10(value) - log10(low)) / (log10(high) - log10(low))


def decades(values: Iterable[float]) -> tuple[float, float]:
    """The powers of ten that hold the values."""
    found = list(values)
    low, high = floor(log10(min(found))), ceil(log10(max(found)))
    return 10.0**low, 10.0 ** max(high, low + 1)


def ratios_picture(found: Mapping[str, Any]) -> str:
    """Every peer's time over ours, as bars on a logarithmic scale."""
    rows = [(row, name, s / row["seconds"]) for row in found["results"] for name, s in _peers_of(row)]
    low, high = decades(ratio for _, _, ratio in rows)
    x = logarithmic(min(low, 1.0), high, 430, WIDTH - 70)
    bottom = 84 + 24 * len(rows)
    marks = range(round(log10(min(low, 1.0))), round(log10(high)) + 1)
    parts = [
        _rule(x(10.0**n), 78, x(10.0**n), bottom) + words(_times_over(n), x(10.0**n), bottom + 18, "", "middle")
        for n in marks
    ]
    for n, (row, name, ratio) in enumerate(rows):
        y, colour = 84 + 24 * n, OURS if ratio >= 1 else PEER
        left, right = min(x(ratio), x(1.0)), max(x(ratio), x(1.0))
        said = f"{row['work']}, {row['threads']} thread{'s' * (row['threads'] > 1)}: {name}"
        parts.append(words(said, 420, y + 15, "", "end"))
        parts.append(f'<rect x="{left:.1f}" y="{y + 4}" width="{right - left:.1f}" height="15" fill="{colour}"/>')
        parts.append(words(f"{ratio:.3g}x", right + 6, y + 16))
    title = "How many times longer other libraries take"
    below = f"{found['machine']['processor']}, {found['at'][:10]}; float64, medians of contenders that take turns."
    return drawing(title, below, bottom + 34, parts)


def _peers_of(row: Mapping[str, Any]) -> list[tuple[str, float]]:
    """The other libraries of a row; what of ours it is compared with is none."""
    ours = ("tick", "tick_one_underlying")
    return [] if row["work"] in ours else list(row["detail"].get("peers", {}).items())


def _times_over(power: int) -> str:
    return f"{10**power:,}x" if power >= 0 else f"1/{10**-power}x"


def _rule(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="grid"/>'


MARKS = 5
PANELS = (
    ("accounts", "A tick, by accounts"),
    ("scenarios", "Worst losses, by scenarios"),
    ("legs", "The engine, by legs an account"),
    ("threads", "On so many threads"),
)


def curves_picture(found: Mapping[str, Any]) -> str:
    """How cost grows, in four panels; dotted: in proportion, from the last point of the first line."""
    parts = []
    for n, (name, title) in enumerate(PANELS):
        lines = [curve for curve in found["curves"] if curve["curve"] == name]
        if lines:
            parts.append(_panel(title, lines, 80 + (n % 2) * 490, 110 + (n // 2) * 300))
    below = f"{found['machine']['processor']}, {found['at'][:10]}; medians; dotted: in proportion."
    return drawing("How cost grows", below, 700, parts)


def _panel(title: str, lines: Sequence[Mapping[str, Any]], left: float, top: float) -> str:
    width, height = 350, 220
    across = [at for line in lines for at in line["at"]]
    up = [seconds for line in lines for seconds in line["seconds"]]
    (low, high), (fast, slow) = (min(across), max(across)), decades(up)
    x, y = logarithmic(low, max(high, low * 2), left, left + width), logarithmic(fast, slow, top + height, top)
    per = f", {lines[0]['per']:,.0f} accounts" if lines[0]["per"] else ""
    parts = [words(f"{title}{per}", left, top - 14, "panel")]
    for n in range(round(log10(fast)), round(log10(slow)) + 1):
        parts.append(_rule(left, y(10.0**n), left + width, y(10.0**n)))
        parts.append(words(duration(10.0**n), left - 8, y(10.0**n) + 4, "", "end"))
    parts += [words(_short(at), x(at), top + height + 18, "", "middle") for at in _marks(across)]
    parts.append(_proportion(lines, x, y, (fast, slow)))
    above = 0.0
    ends = sorted(zip(lines, (OURS, PEER), strict=False), key=lambda one: -one[0]["seconds"][-1])
    for line, colour in ends:
        points = [(x(at), y(seconds)) for at, seconds in zip(line["at"], line["seconds"], strict=True)]
        through = "M" + " L".join(f"{px:.1f} {py:.1f}" for px, py in points)
        parts.append(f'<path d="{through}" class="line" style="stroke:{colour}"/>')
        parts += [f'<circle cx="{px:.1f}" cy="{py:.1f}" r="2.8" style="fill:{colour}"/>' for px, py in points]
        said = f"{line['threads']} thread{'s' * (line['threads'] > 1)}" if line["threads"] else line["work"]
        above = max(points[-1][1] + 4, above + 15)  # names that would overlap move down
        parts.append(words(said, left + width + 8, above, "", "start", colour))
    return "".join(parts)


def _proportion(
    lines: Sequence[Mapping[str, Any]],
    x: Callable[[float], float],
    y: Callable[[float], float],
    bounds: tuple[float, float],
) -> str:
    """Dotted lines: cost in proportion to what grows, or to one over the threads."""
    found = []
    for line in lines:
        falls = line["curve"] == "threads"
        anchor = 0 if falls else -1
        at, seconds = line["at"][anchor], line["seconds"][anchor]
        ideal = [(p, seconds * (at / p if falls else p / at)) for p in line["at"]]
        inside = [(x(p), y(s)) for p, s in ideal if bounds[0] <= s <= bounds[1]]
        found.append('<path d="M' + " L".join(f"{px:.1f} {py:.1f}" for px, py in inside) + '" class="ideal"/>')
    return "".join(found)


def _marks(values: Sequence[float]) -> Iterable[float]:
    """Which values stand on the axis: few enough to be read."""
    found = sorted(set(values))
    return found if len(found) <= MARKS else found[:: ceil(len(found) / MARKS)]


def _short(value: float) -> str:
    for limit, unit in ((1e6, "M"), (1e3, "k")):
        if value >= limit:
            return f"{value / limit:.3g}{unit}"
    return f"{value:.3g}"


def main() -> None:
    """Draw the pictures that there are results for."""
    for kind, draw in (("bench", ratios_picture), ("curves", curves_picture)):
        found = newest(kind)
        if found is not None:
            (PICTURES / f"{kind}.svg").write_text(draw(found), encoding="utf-8")
            print(f"written: docs/pictures/{kind}.svg")


if __name__ == "__main__":
    main()
