"""Draws what a hedged options desk had to hold through the crash of 2026-02-05, under three rulebooks.

Reads the recorded Deribit chains of `../shared`, which are no part of this project; the picture is.

    python -m scripts.draw_crash
"""

import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from html import escape
from math import ceil
from pathlib import Path

from crossmargin.margin import assess
from crossmargin.sources import load_rulebook
from tests.shared.crash import RULEBOOKS, account_under, rulebook_of
from tests.shared.deribit_chain import CRASH, CURRENCIES, Chain, deribit_chain_snapshot, read_chains
from tests.shared.desk import hold

ROOT = Path(__file__).resolve().parents[1]
PICTURE = ROOT / "docs" / "pictures" / "crash.svg"
COLOURS = {"deribit-portfolio": "#2f6fdb", "derive-portfolio": "#c2570c", "reference": "#0f8a6d"}
SPOT_STEP = {"BTC": 5_000.0, "ETH": 200.0}
WIDTH, HEIGHT = 1000, 500
PANEL, GAP, LEFT = 322, 150, 60
SPOT_TOP, SPOT_BOTTOM = 104, 194
MARGIN_TOP, MARGIN_BOTTOM = 246, 436
STYLE = """
text { font: 12px system-ui, -apple-system, "Segoe UI", Helvetica, Arial, sans-serif; fill: #475467 }
.title { font-size: 18px; font-weight: 600; fill: #101828 }
.panel { font-size: 14px; font-weight: 600; fill: #101828 }
.name { font-weight: 600 }
.grid { stroke: #eaecf0 } .day { stroke: #d0d5dd; stroke-dasharray: 2 4 }
.spot { stroke: #344054; stroke-width: 1.8; fill: none } .under { fill: #344054; opacity: 0.07 }
.margin { stroke-width: 2.2; fill: none; stroke-linejoin: round }
.low { fill: #b42318 }
"""


@dataclass(frozen=True)
class Series:
    """One desk through time: spot, and the initial margin by rulebook, all in dollars."""

    currency: str
    times: tuple[datetime, ...]
    spot: tuple[float, ...]
    margins: dict[str, tuple[float, ...]]


def assessed(chains: Sequence[Chain]) -> Series:
    """One currency's desk under every rulebook on every chain."""
    held = hold(chains)
    snapshots = [deribit_chain_snapshot([chain]) for chain in chains]
    margins = {}
    for name in RULEBOOKS:
        rulebook = load_rulebook(rulebook_of(name))
        margins[name] = tuple(
            assess(account_under(name, holding), snapshot, rulebook, withdrawable=False).initial_margin
            for holding, snapshot in zip(held, snapshots, strict=True)
        )
    return Series(
        chains[0].currency, tuple(chain.as_of for chain in chains), tuple(chain.index for chain in chains), margins
    )


def across(left: float) -> Callable[[datetime], float]:
    """The horizontal place of a moment in the panel that begins at `left`."""
    span = (CRASH[1] - CRASH[0]) / timedelta(hours=1)
    return lambda moment: left + PANEL * ((moment - CRASH[0]) / timedelta(hours=1)) / span


def up(low: float, high: float, top: float, bottom: float) -> Callable[[float], float]:
    """The vertical place of a value between `low` at the bottom and `high` at the top."""
    return lambda value: bottom - (bottom - top) * (value - low) / (high - low)


def words(said: str, x: float, y: float, class_: str = "", anchor: str = "start", fill: str = "") -> str:
    """One line of text."""
    paint = f' style="fill:{fill}"' if fill else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{class_}" text-anchor="{anchor}"{paint}>{escape(said)}</text>'


def path(points: Iterable[tuple[float, float]], class_: str, stroke: str = "", end: str = "") -> str:
    """A broken line through the points."""
    through = "M" + " L".join(f"{x:.1f} {y:.1f}" for x, y in points) + end
    paint = f' style="stroke:{stroke}"' if stroke else ""
    return f'<path d="{through}" class="{class_}"{paint}/>'


def level(y: float, left: float, said: str) -> str:
    """A grid line with its label."""
    line = f'<line x1="{left}" x2="{left + PANEL}" y1="{y:.1f}" y2="{y:.1f}" class="grid"/>'
    return line + words(said, left - 8, y + 4, anchor="end")


def days(left: float) -> str:
    """Midnights through both panels, and the day below."""
    x, parts = across(left), []
    for day in range((CRASH[1] - CRASH[0]).days):
        start = CRASH[0] + timedelta(days=day)
        if day:
            parts += [
                f'<line x1="{x(start):.1f}" x2="{x(start):.1f}" y1="{top}" y2="{bottom}" class="day"/>'
                for top, bottom in ((SPOT_TOP, SPOT_BOTTOM), (MARGIN_TOP, MARGIN_BOTTOM))
            ]
        parts.append(
            words(f"{start:%d %b}".lstrip("0"), x(start + timedelta(hours=12)), MARGIN_BOTTOM + 20, "", "middle")
        )
    return "".join(parts)


def spot_panel(series: Series, left: float) -> str:
    """Spot through time with its low marked."""
    step = SPOT_STEP[series.currency]
    low, high = step * (min(series.spot) // step), step * ceil(max(series.spot) / step)
    x, y = across(left), up(low, high, SPOT_TOP, SPOT_BOTTOM)
    points = [(x(moment), y(spot)) for moment, spot in zip(series.times, series.spot, strict=True)]
    marks = [low + step * i for i in range(round((high - low) / step) + 1)]
    least = min(range(len(series.spot)), key=series.spot.__getitem__)
    foot = f" L{points[-1][0]:.1f} {SPOT_BOTTOM} L{points[0][0]:.1f} {SPOT_BOTTOM} Z"
    below_left = (points[least][0] - 8, points[least][1] + 5)
    fall = series.spot[least] / series.spot[0] - 1
    return "".join(
        [
            *(level(y(mark), left, f"{mark:,.0f}") for mark in marks),
            path(points, "under", end=foot),
            path(points, "spot"),
            f'<circle cx="{points[least][0]:.1f}" cy="{points[least][1]:.1f}" r="3.5" class="low"/>',
            words(f"{series.spot[least]:,.0f} ({fall:+.0%})".replace("-", "\N{MINUS SIGN}"), *below_left, "low", "end"),
            words(f"{series.currency} spot, USD", left, SPOT_TOP - 12, "panel"),
        ]
    )


def margin_panel(series: Series, left: float) -> str:
    """Initial margin by rulebook, each line named at its end."""
    step = 100_000.0
    high = step * ceil(max(max(margin) for margin in series.margins.values()) / step)
    x, y = across(left), up(0.0, high, MARGIN_TOP, MARGIN_BOTTOM)
    parts = [level(y(step * i), left, f"{step * i / 1e3:,.0f}k" if i else "0") for i in range(round(high / step) + 1)]
    ends = {}
    for name, margin in series.margins.items():
        points = [(x(moment), y(amount)) for moment, amount in zip(series.times, margin, strict=True)]
        parts.append(path(points, "margin", COLOURS[name]))
        parts += [f'<circle cx="{px:.1f}" cy="{py:.1f}" r="2.6" style="fill:{COLOURS[name]}"/>' for px, py in points]
        ends[name] = points[-1]
    above = 0.0
    for name, (px, py) in sorted(ends.items(), key=lambda item: item[1][1]):
        above = max(py + 4, above + 15)  # names that would overlap move down
        parts.append(words(name, px + 10, above, "name", fill=COLOURS[name]))
    parts.append(words(f"Initial margin of the {series.currency} desk, USD", left, MARGIN_TOP - 14, "panel"))
    return "".join(parts)


def picture(desks: Sequence[Series]) -> str:
    """The whole drawing, as SVG on its own white ground."""
    panels = []
    for number, series in enumerate(desks):
        left = LEFT + number * (PANEL + GAP)
        panels += [days(left), spot_panel(series, left), margin_panel(series, left)]
    heading = "One hedged options desk through the crash of 5 February 2026, under three rulebooks"
    rule = "Short 12-delta strangles and half as many 4-delta wings over three expiries, delta hedged at each point."
    source = "Recorded Deribit chains, four a day; derive-portfolio: the same desk in contracts settled in USDC."
    described = f"<title>{escape(heading)}</title><desc>{escape(rule)} {escape(source)}</desc>"
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">{described}',
            f'<style>{STYLE}</style><rect width="{WIDTH}" height="{HEIGHT}" rx="8" fill="#ffffff"/>',
            words(heading, 24, 36, "title"),
            words(rule, 24, 58),
            *panels,
            words(source, 24, HEIGHT - 14),
            "</svg>\n",
        ]
    )


def main() -> None:
    """Writes the picture, or says what is absent."""
    shared = ROOT.parent / "shared"
    if not shared.is_dir():
        sys.exit(f"real data absent: no directory {shared.name}/ beside the checkout")
    chains = read_chains(shared, *CRASH)
    desks = [assessed([chain for chain in chains if chain.currency == currency]) for currency in CURRENCIES]
    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    PICTURE.write_text(picture(desks), encoding="utf-8")
    print(
        f"{PICTURE.relative_to(ROOT)}: {sum(len(series.times) for series in desks)} chains, {len(RULEBOOKS)} rulebooks"
    )


if __name__ == "__main__":
    main()
