"""What a run of the benchmark found, and what of the table to reach is reached."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from rich.text import Text

from crossmargin.cli import numbers
from crossmargin.cli.tables import parts

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from rich.console import RenderableType
    from rich.table import Table

__all__ = ["bench_tables", "duration", "figure"]

_REACHED: Final = {True: ("yes", "green"), False: ("no", "bold red"), None: ("not judged", "dim")}
_STEPS: Final = ((1.0, "s", 1.0), (1e-3, "ms", 1e3), (1e-6, "µs", 1e6), (0.0, "ns", 1e9))
_MANY: Final = 1e5
_LIMITS: Final = {"L2 reads": "L2", "multiply-adds": "FMA"}


def duration(seconds: float | None) -> str:
    """Return a time in the unit in which it reads best; "-" for none."""
    if seconds is None:
        return "-"
    _, unit, factor = next(step for step in _STEPS if seconds >= step[0])
    return f"{seconds * factor:.3g} {unit}" if seconds * factor < 1e3 else f"{seconds:,.0f} s"  # noqa: PLR2004


def figure(value: float, unit: str) -> str:
    """Return a figure in its unit: times in a unit that reads well, fractions in percent."""
    if unit == "s":
        return duration(value)
    if unit == "%":
        return numbers.percent(value, 0 if value >= 0.1 else 1)  # noqa: PLR2004
    short = f"{value / 1e6:.3g} M" if value >= _MANY else f"{value:.3g}"
    return f"{short} {unit}".strip().replace(" /", "/")


def bench_tables(found: Mapping[str, Any]) -> Iterator[RenderableType]:
    """Yield the machine, then the works and what is reached, or the curves."""
    yield _machine(found)
    if "curves" in found:
        yield from (_curve_table(curve) for curve in found["curves"])
    else:
        yield _works(found["results"])
        yield _aims(found["results"])
        yield from _left_out(found)
    yield from (Text(f"{row['work']} left out: {row['reason']}", style="yellow") for row in found["skipped"])


def _machine(found: Mapping[str, Any]) -> Text:
    machine = found["machine"]
    gigabytes = f", {machine['memory_bytes'] / 2**30:.0f} GiB" if machine["memory_bytes"] else ""
    lines = [
        f"{machine['processor']}, {machine['cores']} cores{gigabytes}, {machine['system']}",
        f"kernel {found['kernel']}, CPython {machine['python']}, NumPy {machine['numpy']}",
        f"{found['accounts']:,} accounts",
    ]
    for limit in found["limits"]:
        rates = f"{limit['read_bytes'] / 1e9:.0f} GB/s from L2, {2e-9 * limit['multiply_adds']:.0f} GFLOP/s"
        lines.append(f"{limit['cores']} core{'s' * (limit['cores'] > 1)}: {rates}")
    if (machine["load"] or 0.0) > 1.0:
        lines.append(f"load {machine['load']:.1f} before the run: other work disturbs these times")
    return Text("\n".join(lines) + "\n", style="dim")


def _works(rows: Sequence[Mapping[str, Any]]) -> Table:
    heads = ("threads", "median", "peer's", "ratio", "of limit")
    note = (
        "ratio: the peer's time over ours; of limit: the least time that reads from L2 or multiply-adds allow over ours"
    )
    made = parts.table("Times", ("work", "peer"), heads, note=note)
    made.columns[0].no_wrap = True
    for row in rows:
        ratio, share = row["peer_ratio"], row["limit_fraction"]
        figures = (
            str(row["threads"]),
            duration(row["seconds"]),
            duration(row["peer_seconds"]),
            "-" if ratio is None else f"{ratio:.3g} x",
            "-" if share is None else f"{numbers.percent(share, 0)} {_LIMITS[row['limit']]}",
        )
        made.add_row(Text(_name(row), style="bold"), row["peer"] or "-", *figures)
    return made


def _name(row: Mapping[str, Any]) -> str:
    rulebook = row["detail"].get("rulebook")
    return f"{row['work']} ({rulebook})" if rulebook else str(row["work"])


def _aims(rows: Sequence[Mapping[str, Any]]) -> Table:
    note = "what is wanted of a million accounts on four cores is not judged with fewer accounts"
    made = parts.table("What it is to reach", ("work", "what"), ("threads", "wanted", "found", "reached"), note=note)
    for row in rows:
        for aim in row["aims"]:
            word, style = _REACHED[aim["reached"]]
            bound = f"{'≥' if aim['at_least'] else '≤'} {figure(aim['bound'], aim['unit'])}"
            cells = (str(row["threads"]), bound, figure(aim["found"], aim["unit"]), Text(word, style=style))
            made.add_row(Text(_name(row), style="bold"), aim["what"], *cells)
    return made


def _left_out(found: Mapping[str, Any]) -> Iterator[Text]:
    if found["peers_absent"]:
        yield Text(f"not installed, so not compared: {', '.join(found['peers_absent'])}", style="dim")


def _curve_table(curve: Mapping[str, Any]) -> Table:
    on = f", {curve['threads']} thread{'s' * (curve['threads'] > 1)}" if curve["threads"] else ""
    accounts = f", {curve['per']:,.0f} accounts" if curve["per"] else ""
    made = parts.table(f"{curve['work']} by {curve['curve']}{accounts}{on}", (), (curve["curve"], "median"))
    for at, seconds in zip(curve["at"], curve["seconds"], strict=True):
        made.add_row(f"{at:,.4g}" if at < _MANY else f"{at:,.0f}", duration(seconds))
    return made
