"""The rulebook's expressions with figures, as nested details of the HTML report."""

from __future__ import annotations

import re
from html import escape
from typing import TYPE_CHECKING

from crossmargin.cli import numbers

if TYPE_CHECKING:
    from crossmargin.analysis.explanation import FormulaNode, PoolTree

_FIGURES = 12
_ROWS = 12  # rows of one line; a page of thousands would help nobody
_OPEN = 2  # levels that stand open


def trees(tree: PoolTree) -> str:
    """Return the trees of one pool."""
    labelled = [(f"adjusted equity, {name}", node) for name, node in tree.adjusted_equity.items()]
    labelled += list(tree.requirements.items())
    return "".join(_node(node, tree.reporting_asset, 0, label) for label, node in labelled)


def _node(node: FormulaNode, asset: str, depth: int, label: str | None = None, *, dead: bool = False) -> str:
    place = f" <span class='soft'>{escape(node.row)}</span>" if node.row and node.row != "account" else ""
    mark = " <span class='dagger'>†</span>" if node.unverified else ""
    value = numbers.money(node.value, asset) if abs(node.value) >= 1 else numbers.figure(node.value)
    if dead:
        return f"<div class='node dead'>{escape(node.name)}{place} {escape(value)}</div>"
    head = f"<summary>{escape(label or node.name)}{place} <b>{escape(value)}</b>{mark}</summary>"
    body = f"<div class='node'><code>{_expression(node)}</code>{_figures(node)}</div>"
    inside = _children(node, asset, depth)
    return f"<details{' open' if depth < _OPEN else ''}>{head}{body}{inside}</details>"


def _children(node: FormulaNode, asset: str, depth: int) -> str:
    counted: dict[str, int] = {}
    parts = []
    inactive = {text.strip() for text in node.inactive}
    for child in node.children:
        counted[child.name] = counted.get(child.name, 0) + 1
        if counted[child.name] <= _ROWS:
            parts.append(_node(child, asset, depth + 1, dead=child.name in inactive))
    for name, count in counted.items():
        if count > _ROWS:
            parts.append(f"<div class='node soft'>{count - _ROWS} more rows of {escape(name)}</div>")
    return "".join(parts)


def _expression(node: FormulaNode) -> str:
    """Return the expression, what does not decide struck out."""
    text = escape(node.expression)
    arguments = sorted({escape(argument.strip()) for argument in node.inactive}, key=len, reverse=True)
    if not arguments:
        return text
    pattern = r"(?<![\w.])(" + "|".join(re.escape(argument) for argument in arguments) + r")(?![\w.])"
    return re.sub(pattern, r"<s>\1</s>", text)


def _figures(node: FormulaNode) -> str:
    if not node.figures:
        return ""
    shown = list(node.figures.items())[:_FIGURES]
    words = [f"{escape(name)} <b>{escape(numbers.figure(value))}</b>" for name, value in shown]
    if len(node.figures) > _FIGURES:
        words.append(f"{len(node.figures) - _FIGURES} more")
    return f"<div class='known'>{' &nbsp; '.join(words)}</div>"
