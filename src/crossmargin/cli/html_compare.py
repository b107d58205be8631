"""One account under several rulebooks as one HTML file."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from crossmargin.analysis.drivers import shifts
from crossmargin.cli import html_tables, numbers
from crossmargin.cli.html_report import page, section
from crossmargin.cli.pictures.bars import bars_picture

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from crossmargin.analysis.compare import ComparisonRow
    from crossmargin.analysis.drivers import Driver

_SHOWN = 3


def html_compare(account: str, as_of: datetime, rows: Sequence[ComparisonRow]) -> str:
    """Return the page: bars, figures, what drives each difference, refusals."""
    good = [row for row in rows if row.failure is None]
    parts = []
    if good:
        text = (
            "Each part is what one position or balance ties up as held; parts left of zero relieve. The sum stands at "
            "the right; required capital, below, is counted in cash and may differ from it."
        )
        parts.append(section("Capital tied up", text, bars_picture("bars", good)))
        text = "Compare required capital, nothing else. Below and above: the nearest prices of liquidation."
        parts.append(section("Figures", text, _figures(good)))
        text = f"Against {good[0].rulebook.name}, which requires least: the positions that differ most."
        parts.append(section("What drives each difference", text, _shifts(good)))
    if len(good) < len(rows):
        parts.append(section("Refused", "", _refused([row for row in rows if row.failure is not None])))
    title = f"{account} under {len(good)} rulebooks"
    header = f"<header><h1>{escape(title)}</h1><p>{escape(numbers.moment(as_of))}</p></header>"
    return page(title, header + "\n".join(parts))


def _figures(rows: Sequence[ComparisonRow]) -> str:
    asset = rows[0].reporting_asset or "USD"
    names = ("required capital", "initial", "maintenance", "headroom", "below", "above")
    out = []
    for row in rows:
        figures = (row.required_capital, row.initial_margin, row.maintenance_margin, row.maintenance_headroom)
        prices = (
            f"{found.underlying} {numbers.price(level)}" if found is not None and level is not None else "-"
            for found, level in (
                (row.nearest_below, row.nearest_below.below if row.nearest_below else None),
                (row.nearest_above, row.nearest_above.above if row.nearest_above else None),
            )
        )
        cells = [html_tables.number(value, asset) for value in figures]
        cells += [f"<td class='n'>{escape(text)}</td>" for text in prices]
        state = (row.state.value.replace("_", " ") if row.state else "", row.worst_scenario or "-")
        out.append(html_tables.row(_name(row), state, cells))
    return html_tables.table(f"In {asset}", ("rulebook", "state", "worst scenario"), names, out)


def _name(row: ComparisonRow) -> str:
    return f"{escape(row.rulebook.name)} <small>{row.rulebook.effective_from}</small>"


def _shifts(rows: Sequence[ComparisonRow]) -> str:
    asset = rows[0].reporting_asset or "USD"
    out = []
    for row in rows[1:]:
        for number, shift in enumerate(shifts(rows[0].drivers, row.drivers)[:_SHOWN]):
            head = _name(row) if number == 0 else ""
            cells = (_tied(rows[0].drivers, shift.name, asset), _tied(row.drivers, shift.name, asset))
            change = f"<td class='n'>{escape(numbers.signed(shift.change, asset))}</td>"
            out.append(html_tables.row(head, (shift.name,), (*cells, change)))
    heads = (rows[0].rulebook.name, "here", "difference")
    return html_tables.table(f"Tied up, {asset}", ("rulebook", "position"), heads, out)


def _tied(found: Sequence[Driver], name: str, asset: str) -> str:
    return html_tables.number(sum(driver.tied_up for driver in found if driver.name == name), asset)


def _refused(rows: Sequence[ComparisonRow]) -> str:
    out = []
    for row in rows:
        if row.failure is not None:
            place = f"{row.failure.instrument}: " if row.failure.instrument else ""
            out.append(html_tables.row(_name(row), (row.failure.reason.value, place + row.failure.message)))
    return html_tables.table("Refused with the reason", ("rulebook", "reason", "what"), (), out)
