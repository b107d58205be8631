"""An explanation for the terminal: the tree with figures, contributions, Greeks, liquidation prices, efficiency."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from rich.console import Group
from rich.text import Text
from rich.tree import Tree

from crossmargin.cli import numbers
from crossmargin.cli.tables import parts
from crossmargin.cli.tables.report import head
from crossmargin.cli.tables.scenarios import scenario_table

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from rich.console import RenderableType

    from crossmargin.analysis.explanation import (
        CapitalEfficiency,
        Contribution,
        Explanation,
        FormulaNode,
        GreeksRow,
        LiquidationPrice,
        PoolTree,
    )

_FIGURES = 8  # figures of one formula on one line
_ROWS = 6  # rows of one line that a tree opens; the rest are counted


def explain_tables(found: Explanation, *, trees: bool = True, whole: bool = False) -> Iterator[RenderableType]:
    """Yield the explanation; without `trees` its summary; `whole` opens every row of the trees."""
    report = found.report
    yield head(report)
    if trees:
        for tree in found.trees:
            yield from pool_trees(tree, whole=whole)
    for pool in report.pools if trees else ():
        for table in pool.scenario_tables:
            if any(row.pnl for row in table.scenarios):
                yield from scenario_table(table, pool.reporting_asset, all_rows=whole)
    asset_of = {pool.pool: pool.reporting_asset for pool in report.pools}
    if found.contributions:
        yield contributions_table(found.contributions, asset_of)
    if found.greeks:
        yield greeks_table(found.greeks, asset_of)
    if found.liquidation_prices:
        yield liquidation_table(found.liquidation_prices, several=len(asset_of) > 1)
    if found.capital_efficiency is not None:
        yield efficiency_table(found.capital_efficiency, report.reporting_asset)
    required = numbers.money(found.required_capital, report.reporting_asset)
    yield Text.assemble(("required capital  ", "dim"), (f"{required} {report.reporting_asset}", "bold"))
    yield from parts.notes(report.warnings, unverified=trees and any(_has_unverified(tree) for tree in found.trees))


def pool_trees(tree: PoolTree, *, whole: bool = False) -> Iterator[RenderableType]:
    """Yield the trees of one pool: adjusted equity, then each requirement."""
    yield Text(f"pool {tree.pool}, {tree.reporting_asset}", style="bold")
    for prefix, nodes in (("adjusted equity, ", tree.adjusted_equity), ("", tree.requirements)):
        for name, node in nodes.items():
            yield node_tree(node, tree.reporting_asset, whole=whole, label=f"{prefix}{name}")
            yield Text()


def node_tree(node: FormulaNode, asset: str, *, whole: bool = False, label: str | None = None) -> Tree:
    """Return a formula with its figures and, below it, where they come from; dead branches dim."""
    made = Tree(_node_text(node, asset, label), guide_style="bright_black")
    _grow(made, node, asset, _ROWS if not whole else None)
    return made


def _grow(tree: Tree, node: FormulaNode, asset: str, limit: int | None) -> None:
    counted: dict[str, int] = {}
    for child in node.children:
        counted[child.name] = counted.get(child.name, 0) + 1
        if limit is not None and counted[child.name] > limit:
            continue
        dead = _is_inactive(child.name, node.inactive)
        branch = tree.add(_node_text(child, asset, dead=dead))
        if not dead:
            _grow(branch, child, asset, limit)
    for name, count in counted.items():
        if limit is not None and count > limit:
            tree.add(Text(f"... {count - limit} more rows of {name} (--all shows them)", style="dim"))


def _is_inactive(name: str, inactive: Collection[str]) -> bool:
    """Return whether a name is one of the arguments that do not decide, whatever spaces surround it."""
    return any(text.strip() == name for text in inactive)


def _node_text(node: FormulaNode, asset: str, label: str | None = None, *, dead: bool = False) -> RenderableType:
    first = Text(label or node.name, style="dim strike" if dead else "bold")
    if node.row and node.row != "account":
        first.append(f" [{node.row}]", style="dim")
    first.append(f"  {_value(node, asset)}", style="dim" if dead else "cyan")
    if node.unverified:
        first.append(f" {parts.UNVERIFIED_MARK}", style="yellow")
    if dead:
        return first.append("  does not decide", style="dim")
    lines: list[RenderableType] = [first, _expression(node)]
    if node.figures:
        lines.append(_figures(node))
    return Group(*lines)


def _value(node: FormulaNode, asset: str) -> str:
    small = 1.0
    return numbers.money(node.value, asset) if abs(node.value) >= small else numbers.figure(node.value)


def _expression(node: FormulaNode) -> Text:
    """Return the expression, its arguments that do not decide struck out."""
    text = Text(f"= {node.expression}" if node.kind in {"formula", "is"} else node.expression, style="default")
    for argument in node.inactive:
        bounded = rf"(?<![\w.]){re.escape(argument.strip())}(?![\w.])"
        text.highlight_regex(bounded, style="dim strike")
    return text


def _figures(node: FormulaNode) -> Text:
    text = Text(style="dim")
    for i, (name, value) in enumerate(node.figures.items()):
        if i == _FIGURES:
            text.append(f"  ... {len(node.figures) - _FIGURES} more")
            break
        text.append(f"{'   ' if i else ''}{name} ")
        text.append(numbers.figure(value), style="not dim")
    return text


def _has_unverified(tree: PoolTree) -> bool:
    nodes: list[FormulaNode] = [*tree.requirements.values(), *tree.adjusted_equity.values()]
    while nodes:
        node = nodes.pop()
        if node.unverified:
            return True
        nodes.extend(node.children)
    return False


def contributions_table(rows: Sequence[Contribution], asset_of: dict[str, str]) -> parts.Sheet:
    """Return what each position or balance adds, largest first; they sum to the requirement."""
    rays = any(row.method == "ray_average" for row in rows)
    note = "~ ray average: the mean derivative as the pool grows from 0 to 1; the others are exact derivatives"
    columns = ("quantity", "initial", "maintenance", "in")
    made = parts.table("Contributions", ("position or balance",), columns, note=note if rays else None)
    for pool in dict.fromkeys(row.pool for row in rows):
        asset = asset_of.get(pool, "")
        members = [row for row in rows if row.pool == pool and (row.initial_margin or row.maintenance_margin)]
        for row in sorted(members, key=lambda row: -row.maintenance_margin):
            name = Text(row.name).append(" ~" if row.method == "ray_average" else "", style="dim")
            cells = (parts.money(row.initial_margin, asset), parts.money(row.maintenance_margin, asset))
            made.add_row(name, parts.amount(row.quantity), *cells, asset)
        if members:
            totals = (sum(row.initial_margin for row in members), sum(row.maintenance_margin for row in members))
            made.add_row(f"pool {pool}", "", *(parts.money(total, asset) for total in totals), asset, style="bold")
            made.add_section()
    return made


def greeks_table(rows: Sequence[GreeksRow], asset_of: dict[str, str]) -> parts.Sheet:
    """Return the Greeks per underlying."""
    columns = ("delta, units", "delta value", "gamma 1 %", "vega 1 pt", "theta 1 d", "rho 1 bp")
    several = len(asset_of) > 1
    made = parts.table("Greeks per underlying", ("underlying", "pool") if several else ("underlying",), columns)
    for row in rows:
        asset = asset_of.get(row.pool, "USD")
        figures = (row.delta_value, row.gamma, row.vega, row.theta, row.rho)
        place = (row.pool,) if several else ()
        delta = Text(f"{row.delta:,.4f}", style="red" if row.delta < 0 else "")
        made.add_row(row.underlying, *place, delta, *(_short(value, asset) for value in figures))
    return made


def _short(value: float, asset: str) -> Text:
    digits = 4 if numbers.digits_of(asset) > numbers.MONEY_DIGITS else 0
    text = f"{value:,.{digits}f}"
    return Text(text.lstrip("-") if not text.strip("-0.,") else text, style="red" if value < 0 else "")


def liquidation_table(rows: Sequence[LiquidationPrice], *, several: bool) -> parts.Sheet:
    """Return where the trigger flips on each side, and how far away that is."""
    left = ("underlying", "path", *(("pool",) if several else ()))
    made = parts.table("Liquidation prices", left, ("below", "", "spot", "above", ""))
    for row in rows:
        place = (row.pool,) if several else ()
        name = Text(row.underlying, style="bold red" if row.already_liquidatable else "bold")
        sides = (*_side(row.below, row.spot), numbers.price(row.spot), *_side(row.above, row.spot))
        made.add_row(name, row.path, *place, *sides)
        if row.already_liquidatable:
            made.add_row("", Text("liquidatable at spot: safe from the prices named", style="red"))
        elif len(row.safe_regions) > 1:
            regions = ", ".join(f"{numbers.price(low)} to {numbers.price(high)}" for low, high in row.safe_regions)
            made.add_row("", Text(f"safe: {regions}", style="dim"))
    return made


def _side(flip: float | None, spot: float) -> tuple[Text, Text]:
    if flip is None:
        return Text("none", style="dim"), Text()
    distance = flip / spot - 1
    near = abs(distance) < 0.10  # noqa: PLR2004  # a move that a day can bring
    return Text(numbers.price(flip)), Text(f"{distance:+.1%}", style="bold red" if near else "dim")


def efficiency_table(found: CapitalEfficiency, asset: str) -> parts.Sheet:
    """Return required capital alone, position by position, and together."""
    made = parts.table("Capital efficiency: required capital, each alone and all together", ("position",), (asset,))
    for name, alone in sorted(found.positions.items(), key=lambda item: -item[1]):
        made.add_row(name, parts.money(alone, asset))
    made.add_section()
    made.add_row("sum of each alone", parts.money(found.standalone, asset))
    made.add_row("relief by netting", parts.money(found.cross - found.standalone, asset))
    made.add_row("together", parts.money(found.cross, asset), style="bold")
    if found.efficiency is not None:
        share = numbers.percent(abs(found.efficiency), 1)
        word = f"{share} less" if found.efficiency >= 0 else f"{share} more"
        word = "as much" if share == numbers.percent(0.0, 1) else word
        made.note = f"{word} capital {'as' if word == 'as much' else 'than'} the positions alone"
    return made
