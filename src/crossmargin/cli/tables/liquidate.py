"""Pools that are closed out: one row each, then what the venue does and what the plan would."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from crossmargin.cli import numbers
from crossmargin.cli.tables import parts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType

    from crossmargin.cli.liquidate_calls import Closed, Row
    from crossmargin.liquidation import Beside, Plan

_SHOWN = 40  # moves of a procedure on a terminal; JSON holds all


def liquidate_tables(found: Closed) -> Iterator[RenderableType]:
    """Yield the pools, each one's moves and trades, what was refused."""
    good = [row for row in found.rows if row.found is not None]
    title = f"{found.rules.name} {found.rules.effective_from}  {numbers.moment(found.snapshot.as_of)}"
    if not good:
        yield Text(f"{title}: none of {found.looked_at} pools is to be liquidated")
    else:
        yield _pools(f"{title}  {len(good)} of {found.looked_at} pools", good, found)
    for row in good:
        if row.found is not None:
            yield _venue(row, row.found)
            yield _plan(row, row.found)
    refused = [row for row in found.rows if row.failure is not None]
    if refused:
        yield _refused(refused)


def costs_said(found: Closed) -> str:
    """Say where costs come from."""
    if not found.recorded:
        return "costs are a stated model (see --help), not a market's; no order book was given"
    many = len(found.recorded)
    return f"costs of {many} instrument{'s' * (many != 1)} are of recorded books; of any other a stated model"


def outcome(found: Beside) -> str:
    """Say how the venue's procedure came out, in a word or two."""
    if found.unable:
        return "not run"
    if found.restored and not found.moves:
        return "no need"
    return {"ended": "restored", "stuck": "not restored", "limit": "still going"}.get(found.ending, found.ending)


def planned(made: Plan) -> str:
    """Say how the plan comes out, in a word or two."""
    if not made.restored:
        return "not restored"
    return "restored" if made.trades or made.cancels else "no need"


def _pools(title: str, rows: list[Row], found: Closed) -> parts.Sheet:
    made = parts.table(
        title, ("account", "pool", "stage"), ("missing", "venue", "cost", "plan", "cost"), note=costs_said(found)
    )
    made.columns[-6].no_wrap = True  # a stage is one word
    for row in rows:
        if row.found is None:
            continue
        here = row.found
        venue = parts.money(here.cost, row.asset) if not here.unable else Text("-")
        made.add_row(
            Text(row.account, style="bold"),
            row.pool if row.pool == row.asset else f"{row.pool} ({row.asset})",
            Text(here.stage.replace("_", " "), style="" if here.stage == "healthy" else "bold red"),
            parts.money(max(-here.slack, 0.0), row.asset),
            outcome(here),
            venue,
            planned(here.plan),
            parts.money(here.plan.cost, row.asset),
        )
    return made


def _venue(row: Row, found: Beside) -> RenderableType:
    title = f"{row.account}, {row.pool}: the procedure of {found.procedure} until {found.plan.until}"
    if found.unable:
        return Text.assemble((title, "bold"), f"\nnot run: {found.unable}\n")
    if not found.moves:
        return Text.assemble((title, "bold"), f"\n{outcome(found)}: it makes no move\n")
    note = "cost: equity that it takes, with fees and what is handed over; left: what is then over or missing"
    if len(found.moves) > _SHOWN:
        note = f"the first {_SHOWN} of {len(found.moves)} moves, --format json holds all; {note}"
    made = parts.table(title, ("after", "step", "what"), ("amount", "cost", "left"), note=note)
    for move in found.moves[:_SHOWN]:
        made.add_row(
            f"{move.time:,.0f} s",
            move.step,
            move.about or "the account",
            numbers.quantity(round(float(move.amount), 8)),
            parts.money(move.cost, row.asset),
            parts.money(move.slack, row.asset),
        )
    return made


def _plan(row: Row, found: Beside) -> RenderableType:
    made = found.plan
    title = f"{row.account}, {row.pool}: the plan"
    said = f"{title}: {made.said}" + ("; open orders are cancelled first" if made.cancels else "")
    if not made.trades:
        return Text(f"{said}\n", style="bold")
    note = "frees: what it gains in this order, costs in; per cost: what it gains alone per unit of its cost"
    sheet = parts.table(said, ("trade",), ("contracts", "of", "price", "cost", "frees", "per cost"), note=note)
    for trade in made.trades:
        sheet.add_row(
            Text(trade.instrument, style="bold").append(" (hedge)" if trade.opens else "", style="dim"),
            f"{float(trade.contracts):+,.8g}",
            numbers.quantity(float(trade.held)),
            numbers.price(float(trade.price)),
            parts.money(trade.cost, row.asset),
            parts.money(trade.relief, row.asset),
            "-" if trade.per_cost is None else f"{trade.per_cost:,.1f}",
        )
    return sheet


def _refused(rows: list[Row]) -> parts.Sheet:
    made = parts.table(f"Refused: {len(rows)}", ("account", "reason", "what"))
    for row in rows:
        if row.failure is not None:
            place = f"{row.failure.instrument}: " if row.failure.instrument else ""
            name = f"{row.account} {row.pool}".strip()
            made.add_row(
                Text(name, style="bold"), Text(row.failure.reason.value, style="red"), place + row.failure.message
            )
    return made
