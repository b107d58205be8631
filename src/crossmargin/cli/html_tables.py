"""Tables of the HTML report. Every text is escaped where it enters."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from crossmargin.cli import numbers

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from crossmargin.analysis.explanation import Explanation
    from crossmargin.margin.report import PoolReport, Term

_NOTABLE = 0.005


def table(caption: str, left: Sequence[str], right: Sequence[str], rows: Iterable[str]) -> str:
    """Return a table with its caption; the first column heads its row."""
    heads = "".join(f"<th scope='col'>{escape(name)}</th>" for name in left)
    heads += "".join(f"<th scope='col' class='n'>{escape(name)}</th>" for name in right)
    body = "".join(rows)
    return (
        f"<div class='wide'><table><caption>{escape(caption)}</caption>"
        f"<thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def row(head: str, texts: Sequence[str] = (), cells: Sequence[str] = (), kind: str = "") -> str:
    """Return one row: markup of its head, plain texts, markup of its number cells."""
    middle = "".join(f"<td>{escape(text)}</td>" for text in texts)
    return f"<tr class='{kind}'><th scope='row'>{head}</th>{middle}{''.join(cells)}</tr>"


def number(value: float | None, asset: str = "USD") -> str:
    """Return a cell with an amount, coloured below zero."""
    return _cell(numbers.money(value, asset))


def _cell(text: str) -> str:
    below = " below" if text.startswith("-") and len(text) > 1 else ""
    return f"<td class='n{below}'>{escape(text)}</td>"


def terms(pool: PoolReport) -> str:
    """Return the summands of both requirements."""
    asset, rows = pool.reporting_asset, []
    for name, found, total in (
        ("initial margin", pool.initial_terms, pool.initial_margin),
        ("maintenance margin", pool.maintenance_terms, pool.maintenance_margin),
    ):
        rows.append(row(name, (), (number(total, asset), "<td></td>"), "total"))
        top = max((term.amount for term in found), default=0.0)
        rows += [_term(term, top, total, asset) for term in found]
    return table("The requirement, term by term; the largest is marked", ("term",), (asset, "share"), rows)


def _term(term: Term, top: float, total: float, asset: str) -> str:
    share = numbers.percent(term.amount / total, 1) if total else "-"
    binding = term.amount == top > 0
    mark = "<span class='binding'>&#9654; </span>" if binding else ""
    return row(f"{mark}<code>{escape(term.expression)}</code>", (), (number(term.amount, asset), _cell(share)))


def lines(pool: PoolReport, unverified: Collection[str]) -> str:
    """Return the named lines of the rulebook."""
    asset, rows = pool.reporting_asset, []
    top = max((abs(line.maintenance) for line in pool.lines.values()), default=0.0)
    for section in ("values", "charges"):
        for name, line in pool.lines.items():
            if line.section == section:
                small = max(abs(line.initial), abs(line.maintenance)) <= _NOTABLE * top
                mark = " <abbr class='dagger' title='no public source confirms a number of it'>†</abbr>"
                head = f"<code>{escape(name)}</code>{mark if name in unverified else ''}"
                cells = (number(line.initial, asset), number(line.maintenance, asset))
                rows.append(row(head, (section.removesuffix("s"),), cells, "quiet" if small else ""))
    return table(f"Lines of the rulebook, {asset}", ("line", ""), ("initial", "maintenance"), rows)


def collateral(pool: PoolReport) -> str:
    """Return the balances: amount, price, value, what each requirement counts."""
    asset = pool.reporting_asset
    rows = [
        row(
            escape(item.asset),
            (),
            (
                number(item.amount, item.asset),
                _cell(numbers.price(item.price)),
                number(item.value, asset),
                _cell("debt" if item.amount < 0 else numbers.percent(item.haircut_maintenance)),
                number(item.adjusted_value_initial, asset),
                number(item.adjusted_value_maintenance, asset),
            ),
        )
        for item in pool.collateral
    ]
    right = ("amount", "price", "value", "haircut", "initial counts", "maintenance counts")
    return table(f"Collateral, {asset}", ("asset",), right, rows)


def pools(reports: Sequence[PoolReport]) -> str:
    """Return one row per pool, each in its own asset."""
    rows = [
        row(
            escape(pool.pool),
            (pool.reporting_asset, pool.state.value.replace("_", " ")),
            (
                *(number(v, pool.reporting_asset) for v in (pool.equity, pool.initial_margin, pool.maintenance_margin)),
                _cell(numbers.ratio(pool.coverage_ratio)),
            ),
        )
        for pool in reports
    ]
    right = ("equity", "initial", "maintenance", "coverage")
    return table("Pools: each is assessed and liquidated alone", ("pool", "in", "state"), right, rows)


def contributions(found: Explanation, pool: PoolReport) -> str:
    """Return what each position or balance adds; the rows sum to the requirement."""
    asset = pool.reporting_asset
    members = [item for item in found.contributions if item.pool == pool.pool]
    members = [item for item in members if item.initial_margin or item.maintenance_margin]
    members.sort(key=lambda item: -item.maintenance_margin)
    rows = [
        row(
            escape(item.name),
            (item.method.replace("_", " "),),
            (
                _cell(numbers.quantity(item.quantity)),
                number(item.initial_margin, asset),
                number(item.maintenance_margin, asset),
            ),
        )
        for item in members
    ]
    sums = (sum(i.initial_margin for i in members), sum(i.maintenance_margin for i in members))
    rows.append(row("sum", ("",), ("<td></td>", *(number(total, asset) for total in sums)), "total"))
    right = ("quantity", f"initial, {asset}", f"maintenance, {asset}")
    return table("What each position or balance adds to the requirement", ("position", "method"), right, rows)


def greeks(found: Explanation) -> str:
    """Return the Greeks per underlying and pool."""
    asset_of = {pool.pool: pool.reporting_asset for pool in found.report.pools}
    rows = [
        row(
            escape(item.underlying),
            (item.pool, asset_of.get(item.pool, "")),
            (
                _cell(numbers.quantity(round(item.delta, 6))),
                *(
                    number(value, asset_of.get(item.pool, "USD"))
                    for value in (item.delta_value, item.gamma, item.vega, item.theta)
                ),
            ),
        )
        for item in found.greeks
    ]
    right = ("delta, units", "delta value", "gamma, 1 %", "vega, 1 point", "theta, 1 day")
    return table("Greeks per underlying", ("underlying", "pool", "in"), right, rows)


def liquidation(found: Explanation) -> str:
    """Return where the trigger flips on each side of today."""
    rows = []
    for item in found.liquidation_prices:
        cells = [_cell(numbers.price(item.spot))]
        for flip in (item.below, item.above):
            cells += [_cell(numbers.price(flip)), _cell("" if flip is None else f"{flip / item.spot - 1:+.1%}")]
        said = "already liquidatable" if item.already_liquidatable else item.path
        rows.append(row(escape(item.underlying), (item.pool, said), cells))
    right = ("today", "below", "", "above", "")
    return table("Liquidation prices", ("underlying", "pool", "what moves"), right, rows)
