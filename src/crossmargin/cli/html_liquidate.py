"""Pools that are closed out as one HTML file: both paths drawn, what is closed, every move and trade."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from crossmargin.cli import html_tables, numbers
from crossmargin.cli.html_report import page, section
from crossmargin.cli.pictures.close_out import closed_picture, closed_shares, path_picture
from crossmargin.cli.tables.liquidate import costs_said, outcome

if TYPE_CHECKING:
    from collections.abc import Iterator

    from crossmargin.cli.liquidate_calls import Closed, Row
    from crossmargin.liquidation import Beside

_SHOWN = 60


def html_liquidate(found: Closed) -> str:
    """Return the page."""
    title = f"Close-outs under {found.rules.name}"
    lead = f"{numbers.moment(found.snapshot.as_of)}; {costs_said(found)}"
    header = f"<header><h1>{escape(title)}</h1><p>{escape(lead)}</p></header>"
    return page(title, header + "\n".join(_sections(found)))


def _sections(found: Closed) -> Iterator[str]:
    good = [row for row in found.rows if row.found is not None]
    if not good:
        yield section("Nothing to close", f"None of {found.looked_at} pools is to be liquidated.", "")
    for number, row in enumerate(good):
        if row.found is not None:
            yield _pool(number, row, row.found)
    refused = [row for row in found.rows if row.failure is not None]
    if refused:
        yield section("Refused", "", _refused(refused))


def _pool(number: int, row: Row, found: Beside) -> str:
    said = f"{found.stage.replace('_', ' ').capitalize()}; trigger {found.trigger}, until {found.plan.until}. "
    said += f"The plan: {found.plan.said}. "
    said += f"The procedure of {found.procedure}: {found.unable or outcome(found)}."
    parts = []
    if found.plan.trades or found.moves:
        parts.append(path_picture(f"path-{number}", found, row.asset))
    if closed_shares(found):
        parts.append(closed_picture(f"closed-{number}", found))
    if found.plan.trades:
        parts.append(_plan(row, found))
    if found.moves:
        parts.append(_venue(row, found))
    return section(f"{row.account}, {row.pool} ({row.asset})", said, "".join(parts))


def _plan(row: Row, found: Beside) -> str:
    rows = []
    for trade in found.plan.trades:
        per_cost = "-" if trade.per_cost is None else f"{trade.per_cost:,.1f}"
        texts = (
            f"{float(trade.contracts):+,.8g}",
            numbers.quantity(float(trade.held)),
            numbers.price(float(trade.price)),
        )
        cells = [f"<td class='n'>{escape(text)}</td>" for text in texts]
        cells += [html_tables.number(value, row.asset) for value in (trade.cost, trade.relief)]
        cells.append(f"<td class='n'>{per_cost}</td>")
        rows.append(html_tables.row(escape(trade.instrument) + (" (hedge)" if trade.opens else ""), (), cells))
    right = ("contracts", "of", "price", "cost", "frees", "per cost")
    return html_tables.table("The plan, in its order", ("trade",), right, rows)


def _venue(row: Row, found: Beside) -> str:
    rows = []
    for move in found.moves[:_SHOWN]:
        cells = [f"<td class='n'>{escape(numbers.quantity(round(float(move.amount), 8)))}</td>"]
        cells += [html_tables.number(value, row.asset) for value in (move.cost, move.slack)]
        rows.append(html_tables.row(f"{move.time:,.0f} s", (move.step, move.about or "the account"), cells))
    count = len(found.moves)
    caption = f"The procedure of {found.procedure}" + (f": the first {_SHOWN} of {count}" if count > _SHOWN else "")
    return html_tables.table(caption, ("after", "step", "what"), ("amount", "cost", "left"), rows)


def _refused(rows: list[Row]) -> str:
    out = []
    for row in rows:
        if row.failure is not None:
            place = f"{row.failure.instrument}: " if row.failure.instrument else ""
            name = f"{row.account} {row.pool}".strip()
            out.append(html_tables.row(escape(name), (row.failure.reason.value, place + row.failure.message)))
    return html_tables.table("Refused with the reason", ("account", "reason", "what"), (), out)
