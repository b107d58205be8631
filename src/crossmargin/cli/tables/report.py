"""One account's report: the figures, the requirement's terms, the lines, the collateral, the scenarios."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING

from rich import box
from rich.console import Group
from rich.panel import Panel
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from crossmargin.cli import numbers
from crossmargin.cli.tables import parts
from crossmargin.cli.tables.scenarios import scenario_table
from crossmargin.margin.report import AccountState

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from rich.console import RenderableType

    from crossmargin.margin.report import MarginReport, PoolReport, Term

_DIGEST = 8  # characters of the rulebook's hash that a person compares
_SCANS = 4  # scenario tables of one pool
_NOTABLE = 0.005  # share of the largest line below which a line is drawn dim


def report_tables(
    report: MarginReport, unverified: Collection[str] = (), *, scenarios: bool = True
) -> Iterator[RenderableType]:
    """Yield the whole report of one account."""
    yield head(report)
    several = len(report.pools) > 1
    if several:
        yield pools_table(report)
    for pool in report.pools:
        if several:
            if not _is_used(pool):
                continue
            yield Rule(f" pool {pool.pool} ", style="dim", align="left")
        yield from pool_tables(pool, unverified, scenarios=scenarios)
    used = {name for pool in report.pools for name in pool.lines} & set(unverified)
    yield from parts.notes(report.warnings, unverified=bool(used))


def head(report: MarginReport) -> Panel:
    """Return the panel with the figures that matter most."""
    asset = report.reporting_asset
    figures = Table(box=None, pad_edge=False, show_header=True, header_style="dim", expand=False)
    figures.add_column(asset, style="dim")
    for name in ("initial", "maintenance"):
        figures.add_column(name, justify="right", min_width=20)
    figures.add_row("equity", "", parts.money(report.equity, asset, "bold"))
    for name, low, high in (
        ("adjusted equity", report.adjusted_equity_initial, report.adjusted_equity_maintenance),
        ("required margin", report.initial_margin, report.maintenance_margin),
        ("headroom", report.available_margin, report.maintenance_headroom),
    ):
        figures.add_row(name, parts.money(low, asset), parts.money(high, asset))
    figures.add_row("coverage ratio", "", parts.coverage(report.coverage_ratio))
    return Panel(Group(*_head_parts(report, figures)), box=box.ROUNDED, border_style="dim", title=_title(report))


def _head_parts(report: MarginReport, figures: Table) -> Iterator[RenderableType]:
    yield figures
    if isfinite(report.coverage_ratio) and report.coverage_ratio > 0:
        share = 1 / report.coverage_ratio
        whose = "the worst pool's" if len(report.pools) > 1 else "the"
        words = f"  maintenance takes {numbers.percent(share, 1)} of {whose} adjusted equity"
        yield Text("\n") + parts.meter(share) + Text(words, style="dim")
    if report.worst_scenario:
        yield Text("worst scenario  ", style="dim").append(report.worst_scenario, style="bold")
    if len(report.pools) > 1:
        yield Text("worst pool  ", style="dim").append(report.worst_pool, style="bold")


def _title(report: MarginReport) -> Text:
    rulebook = report.rulebook
    name = f"{rulebook.name} {rulebook.effective_from} ({rulebook.digest[:_DIGEST]})"
    text = Text.assemble((report.account, "bold"), f"  {name}  {numbers.moment(report.as_of)}  ")
    return text.append_text(parts.state(report.state))


def pools_table(report: MarginReport) -> parts.Sheet:
    """Return one row per pool, each in its own asset."""
    columns = ("equity", "adjusted", "initial", "maintenance", "coverage")
    made = parts.table("Pools", ("pool", "in", "state"), columns)
    for pool in report.pools:
        asset = pool.reporting_asset
        name = parts.marked(pool.pool, binding=pool.pool == report.worst_pool, indent="  ")
        figures = (pool.equity, pool.adjusted_equity_maintenance, pool.initial_margin, pool.maintenance_margin)
        cells = (parts.money(value, asset) for value in figures)
        made.add_row(name, asset, parts.state(pool.state), *cells, parts.coverage(pool.coverage_ratio))
    return made


def pool_tables(
    pool: PoolReport, unverified: Collection[str] = (), *, scenarios: bool = True
) -> Iterator[RenderableType]:
    """Yield the tables of one pool."""
    yield terms_table(pool)
    yield lines_table(pool, unverified)
    yield collateral_table(pool)
    if scenarios:
        yield from _heaviest(pool)


def _heaviest(pool: PoolReport) -> Iterator[RenderableType]:
    """Yield the scans that cost most; `explain` draws all."""
    tables = [table for table in pool.scenario_tables if any(row.pnl for row in table.scenarios)]
    heaviest = sorted(tables, key=lambda table: -table.loss)[:_SCANS]
    for table in tables:
        if table in heaviest:
            yield from scenario_table(table, pool.reporting_asset)
    left = len(tables) - len(heaviest)
    if left:
        yield Text(f"not drawn here: {left} more that cost less; `crossmargin explain` draws all\n", style="dim")


def terms_table(pool: PoolReport) -> parts.Sheet:
    """Return the summands of both requirements, the largest marked."""
    asset = pool.reporting_asset
    note = f"{parts.BINDING_MARK} the largest term of each requirement"
    made = parts.table("Requirement, term by term", ("term",), (f"{asset}", "share"), note=note)
    for name, terms, total in (
        ("initial margin", pool.initial_terms, pool.initial_margin),
        ("maintenance margin", pool.maintenance_terms, pool.maintenance_margin),
    ):
        made.add_row(Text(name, style="bold"), parts.money(total, asset, "bold"), "")
        for term in terms:
            share = numbers.percent(term.amount / total, 1) if total else "-"
            binding = term is _largest(terms)
            made.add_row(
                parts.marked(term.expression, binding=binding, indent="  "), parts.money(term.amount, asset), share
            )
    return made


def _largest(terms: tuple[Term, ...]) -> Term | None:
    top = max(terms, key=lambda term: term.amount, default=None)
    return top if top is not None and top.amount > 0 else None


def lines_table(pool: PoolReport, unverified: Collection[str] = ()) -> parts.Sheet:
    """Return the named lines; those that are nothing or next to nothing are dim."""
    asset = pool.reporting_asset
    made = parts.table("Lines of the rulebook", ("line", ""), (f"initial, {asset}", f"maintenance, {asset}"))
    top = max((abs(line.maintenance) for line in pool.lines.values()), default=0.0)
    for section in ("values", "charges"):
        for name, line in pool.lines.items():
            if line.section == section:
                small = max(abs(line.initial), abs(line.maintenance)) <= _NOTABLE * top
                cells = (parts.money(value, asset) for value in (line.initial, line.maintenance))
                label = Text(section.removesuffix("s"), style="dim")
                made.add_row(parts.marked(name, unverified), label, *cells, style="dim" if small else "")
    return made


def collateral_table(pool: PoolReport) -> parts.Sheet:
    """Return the balances: amount, price, value, and what maintenance counts."""
    asset = pool.reporting_asset
    right = ("amount", f"price, {asset}", f"value, {asset}", "haircut", "initial counts", "maint. counts")
    made = parts.table("Collateral", ("asset",), right)
    for row in pool.collateral:
        made.add_row(
            row.asset,
            Text(numbers.money(row.amount, row.asset), style="red" if row.amount < 0 else ""),
            numbers.price(row.price),
            parts.money(row.value, asset),
            "debt" if row.amount < 0 else numbers.percent(row.haircut_maintenance),
            parts.money(row.adjusted_value_initial, asset),
            parts.money(row.adjusted_value_maintenance, asset),
        )
    for name, most in (pool.withdrawable or {}).items():
        if most > 0:
            made.note = f"{made.note or 'withdrawable, one at a time:'}  {numbers.money(most, name)} {name}"
    return made


def _is_used(pool: PoolReport) -> bool:
    empty = not (pool.equity or pool.initial_margin or pool.collateral)
    return not empty or pool.state is not AccountState.HEALTHY
