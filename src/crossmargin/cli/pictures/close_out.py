"""How far an account comes for what it costs: under the venue's procedure and under the plan, step by step."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crossmargin.cli import numbers
from crossmargin.cli.pictures import svg

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from crossmargin.liquidation import Beside

WIDTH, HEIGHT = 920.0, 300.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 96.0, 890.0, 34.0, 250.0
_ROW, _NAME = 24.0, 250.0
_SHOWN = 14


def path_picture(name: str, found: Beside, asset: str) -> str:
    """Return both paths: across what has been paid, up what is left over or still missing."""
    paths = {"plan": _planned(found)}
    if not found.unable:
        paths["venue"] = _procedure(found)
    xs = [x for path in paths.values() for x, _ in path]
    ys = [0.0, *(y for path in paths.values() for _, y in path)]
    across = _scale(min(0.0, *xs), max(xs), _LEFT, _RIGHT)
    up = _scale(min(ys), max(ys), _BOTTOM, _TOP)
    marks = [_axes(xs, ys, across, up)]
    for kind, path in paths.items():
        marks.append(_path(kind, path, across, up, asset))
    marks.append(_legend(paths, found, asset))
    said = f"Missing {numbers.money(max(-found.slack, 0.0), asset)} {asset} at first; 0 is where {found.plan.until}."
    title = f"What is left over or missing, against what it cost, {asset}"
    return svg.picture(name, title, said, WIDTH, HEIGHT, "".join(marks))


def _planned(found: Beside) -> list[tuple[float, float]]:
    path, paid, slack = [(0.0, found.slack)], 0.0, found.slack
    for trade in found.plan.trades:
        paid, slack = paid + trade.cost, slack + trade.relief
        path.append((paid, slack))
    return path


def _procedure(found: Beside) -> list[tuple[float, float]]:
    path, paid = [(0.0, found.slack)], 0.0
    for move in found.moves:
        paid += move.cost
        path.append((paid, move.slack))
    return path


def _scale(low: float, high: float, start: float, end: float) -> tuple[float, float]:
    """Return offset and points per unit."""
    unit = (end - start) / ((high - low) or 1.0)
    return start - low * unit, unit


def _at(value: float, scale: tuple[float, float]) -> float:
    return scale[0] + value * scale[1]


def _axes(xs: Sequence[float], ys: Sequence[float], across: tuple[float, float], up: tuple[float, float]) -> str:
    out = []
    for tick in svg.ticks(min(ys), max(ys)):
        y = _at(tick, up)
        out.append(svg.line(_LEFT, y, _RIGHT, y, "rule") + svg.text(svg.compact(tick), _LEFT - 8, y + 4, "axis", "end"))
    ticks = svg.ticks(min(0.0, *xs), max(xs))
    out += [svg.text(svg.compact(tick), _at(tick, across), _BOTTOM + 18, "axis", "middle") for tick in ticks]
    out.append(svg.line(_LEFT, _at(0.0, up), _RIGHT, _at(0.0, up), "limit"))
    out.append(svg.text("what it cost", (_LEFT + _RIGHT) / 2, HEIGHT - 12, "axis", "middle"))
    return "".join(out)


def _path(
    kind: str, path: Sequence[tuple[float, float]], across: tuple[float, float], up: tuple[float, float], asset: str
) -> str:
    points = [(_at(x, across), _at(y, up)) for x, y in path]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    out = [svg.element("polyline", points=line, class_=f"curve {kind}")]
    for (x, y), (paid, slack) in zip(points, path, strict=True):
        tip = svg.tip(f"{kind}: {numbers.money(paid, asset)} paid, {numbers.signed(slack, asset)} left")
        out.append(svg.element("circle", tip, cx=x, cy=y, r=3.5, class_=f"mark {kind}"))
    return "".join(out)


def _legend(paths: Mapping[str, Sequence[tuple[float, float]]], found: Beside, asset: str) -> str:
    out, x = [], _LEFT
    for kind, path in paths.items():
        steps = len(path) - 1
        whole = found.plan.restored if kind == "plan" else found.restored
        name = "the plan" if kind == "plan" else f"procedure of {found.procedure}"
        word = "restored" if whole else "not restored"
        words = f"{name}: {steps} {'trade' if kind == 'plan' else 'move'}{'s' * (steps != 1)}, "
        words += f"{numbers.money(path[-1][0], asset)} {asset}, {word}"
        out.append(svg.rectangle(x, 6, 12, 12, class_=f"fill {kind}") + svg.text(words, x + 18, 16, "axis"))
        x += 26 + 6.6 * len(words)
    return "".join(out)


def closed_picture(name: str, found: Beside) -> str:
    """Return what is closed of each instrument that either touches, as a share of what was held."""
    shares = closed_shares(found)
    rows = sorted(shares.items(), key=lambda row: -max(row[1].values()))[:_SHOWN]
    unit = (_RIGHT - _NAME - 60) / max(1.0, *(max(both.values()) for _, both in rows)) if rows else 1.0
    marks = [svg.text("share of what is held that is closed: the plan / the venue", WIDTH, 12, "axis", "end")]
    for place, (instrument, both) in enumerate(rows, start=1):
        y = place * _ROW
        marks.append(svg.text(instrument, 0, y + 16, "strong"))
        for number, kind in enumerate(("plan", "venue")):
            share = both.get(kind, 0.0)
            tip = svg.tip(f"{instrument}, {kind}: {numbers.percent(share, 1)}")
            marks.append(svg.rectangle(_NAME, y + 3 + number * 9, share * unit, 8, tip, class_=f"fill {kind}"))
        words = " / ".join(numbers.percent(both.get(kind, 0.0), 1) for kind in ("plan", "venue"))
        marks.append(svg.text(words, WIDTH, y + 16, "axis", "end"))
    said = "Contracts traded, as a share of those held; of a hedge that is opened, as a share of the largest."
    return svg.picture(
        name, "What is closed: the plan / the venue", said, WIDTH, (len(rows) + 1) * _ROW + 4, "".join(marks)
    )


def closed_shares(found: Beside) -> dict[str, dict[str, float]]:
    """Return by instrument which share of what is held the plan closes, and the venue."""
    shares: dict[str, dict[str, float]] = {}
    held = {
        leg.name: float(leg.figures["contracts_held"]) for leg in found.plan.before.legs if leg.terms.form != "asset"
    }
    for trade in found.plan.trades:
        whole = held.get(trade.instrument) or abs(float(trade.contracts))
        shares.setdefault(trade.instrument, {})["plan"] = abs(float(trade.contracts)) / whole
    for move in found.moves:
        if move.do not in {"close", "assume"}:
            continue
        names = [move.about] if move.about else list(held)
        for name in names:
            if held.get(name):
                share = float(move.amount) / held[name] if move.about else float(move.amount)
                both = shares.setdefault(name, {})
                both["venue"] = both.get("venue", 0.0) + share
    return shares
