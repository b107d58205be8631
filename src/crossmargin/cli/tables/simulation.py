"""What simulated worlds came to: how much happened in each, who was called and closed, and who paid."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.text import Text

from crossmargin.cli.tables import parts

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import RenderableType

    from crossmargin.simulation import Outcome

_CASES: Final = ("liquidation: ", "waterfall: ")

__all__ = ["simulation_tables"]

_STAGES: Final = ("warned", "called", "reduce_only", "liquidating", "auction", "bankrupt", "closed", "healthy")


def simulation_tables(found: Sequence[Outcome]) -> Iterator[RenderableType]:
    """Yield one table of the runs, then what happened in all of them together."""
    yield _runs(found)
    if any(cause.startswith("stage: ") for one in found for cause in one.counts):
        yield _stages(found)
    else:
        yield Text("every pool stayed healthy: raise --stress or --events to see some called", style="dim")
    if any(cause.startswith(_CASES) for one in found for cause in one.counts):
        yield _causes(found)
    if any(one.unpaid for one in found):
        yield _unpaid(found)
    yield Text(f"{sum(one.events for one in found):,} events, every invariant held after each", style="green")


def _runs(found: Sequence[Outcome]) -> parts.Sheet:
    note = "head: the hash of the whole journal; the same seed, rulebook and prices give it again"
    columns = ("steps", "commands", "events", "refused", "opened again")
    made = parts.table(f"{found[0].rulebook}: seeded worlds", ("seed", "head"), columns, note=note)
    for one in found:
        refused = one.counts.get("refused", 0)
        figures = (one.steps, one.commands, one.events, refused, one.reopened)
        made.add_row(str(one.seed), Text(one.head[:16], style="dim"), *(f"{figure:,}" for figure in figures))
    return made


def _stages(found: Sequence[Outcome]) -> parts.Sheet:
    made = parts.table("Stages that pools entered", ("stage",), ("times",))
    for stage in _STAGES:
        times = _sum(found, f"stage: {stage}")
        if times:
            made.add_row(stage, f"{times:,}")
    return made


def _causes(found: Sequence[Outcome]) -> parts.Sheet:
    made = parts.table("What cases posted", ("cause",), ("postings",), note="who paid what: `waterfall`")
    causes = {cause for one in found for cause in one.counts if cause.startswith(_CASES)}
    for cause in sorted(causes):
        made.add_row(cause, f"{_sum(found, cause):,}")
    return made


def _unpaid(found: Sequence[Outcome]) -> parts.Sheet:
    made = parts.table("Losses that nobody paid", ("seed", "case", "asset"), ("amount",))
    for one in found:
        for case, amounts in one.unpaid.items():
            for asset, amount in amounts.items():
                made.add_row(str(one.seed), case, asset, amount)
    return made


def _sum(found: Sequence[Outcome], name: str) -> int:
    return sum(one.counts.get(name, 0) for one in found)
