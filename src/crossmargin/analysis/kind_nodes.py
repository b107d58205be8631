"""Nodes of the kinds: each kind's rule as an expression over what it found, so that its value can be recomputed.

Beside the rulebook's own functions these expressions use, on a tuple of numbers, `min`, `mean`,
`quantile(pnl, confidence)` (the P&L that value at risk reads) and `tail_mean(pnl, confidence)` (expected shortfall's).
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np

from crossmargin.analysis.explanation import FormulaNode
from crossmargin.analysis.scan_nodes import worst_scenario_node

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from crossmargin.analysis.trees import Figure, Grower, Place
    from crossmargin.margin.kinds.scan import ScanDetail
    from crossmargin.margin.model import Line, MaxLoss, Pairing, Scan, WorstSide

_MEASURES: Final = {
    "worst": "max(0, -min(pnl))",
    "mean": "-mean(pnl)",
    "value_at_risk": "max(0, -quantile(pnl, confidence))",
    "expected_shortfall": "max(0, -tail_mean(pnl, confidence))",
}


def _node(grower: Grower, line: Line, requirement: str, row: int, **rest: Any) -> FormulaNode:  # noqa: ANN401 - the node's other fields
    value = float(np.asarray(grower.evaluation.line(line.name, requirement))[row])
    return FormulaNode(
        name=line.name, level=line.level, row=grower.row_name(line.level, row), kind=line.kind, requirement=requirement,
        value=value, **rest,
    )  # fmt: skip


def scan_node(grower: Grower, line: Line, requirement: str, row: int) -> FormulaNode | None:
    """Return a scan's node: its P&L after folds in every scenario, and what each leg did in the worst."""
    place = grower.place(line, requirement, row)
    if place is None:
        return None
    spec: Scan = line.spec
    detail: ScanDetail = grower.evaluation.detail(line.name, requirement)
    expression = _MEASURES[spec.measure]
    figures: dict[str, Figure] = {"pnl": tuple(detail.pnl[place.position].tolist())}
    children: tuple[FormulaNode, ...] = ()
    unverified = False
    for name, parameter in (("confidence", spec.confidence), ("weight", spec.weight)):
        if parameter is None:
            continue
        reading = grower.parameter(parameter, name, place)
        figures[name] = reading.figure
        children += reading.children
        unverified |= reading.unverified
    if spec.weight is not None:
        expression = f"{expression} * weight"
    children += (worst_scenario_node(grower, line, detail, place),)
    return _node(grower, line, requirement, row, expression=expression, figures=figures, children=children,
                 unverified=unverified)  # fmt: skip


def max_loss_node(grower: Grower, line: Line, requirement: str, row: int) -> FormulaNode | None:
    """Return a worst payoff's node: the payoff at price 0 and at every strike, and each leg's at the worst."""
    place = grower.place(line, requirement, row)
    if place is None:
        return None
    _spec: MaxLoss = line.spec
    measures = grower.evaluation.measures
    legs = place.frame.legs[place.frame.row_of == place.position]
    quantity, strike = (np.asarray(measures[name])[legs] for name in ("quantity", "strike"))
    call = np.asarray(measures.of_contract("call"))[legs]
    prices = np.unique(np.append(strike, 0.0))
    away = prices[:, None] - strike[None, :]
    payoffs = quantity * np.maximum(np.where(call, away, -away), 0.0)
    worst = int(payoffs.sum(axis=1).argmin())
    children = tuple(
        FormulaNode(
            name="leg_payoff", level="leg", row=grower.row_name("leg", int(leg)), kind="payoff",
            requirement=requirement, value=float(payoffs[worst, i]),
            expression=f"quantity * max({'price - strike' if call[i] else 'strike - price'}, 0)",
            figures={"quantity": float(quantity[i]), "strike": float(strike[i]), "price": float(prices[worst])},
        )
        for i, leg in enumerate(legs.tolist())
    )  # fmt: skip
    figures: dict[str, Figure] = {"payoff": tuple(payoffs.sum(axis=1).tolist()), "price": tuple(prices.tolist())}
    return _node(grower, line, requirement, row, expression="max(0, -min(payoff))", figures=figures, children=children)


def pairing_node(grower: Grower, line: Line, requirement: str, row: int) -> FormulaNode | None:
    """Return a pairing's node: the charge of each pair, and below it what was matched."""
    place = grower.place(line, requirement, row)
    if place is None:
        return None
    _, matches = grower.evaluation.detail(line.name, requirement)
    spec: Pairing = line.spec
    children = tuple(
        _pair_node(grower, place, spec, i, [float(np.asarray(column)[place.position]) for column in match[1:]])
        for i, match in enumerate(matches)
    )
    return _node(
        grower, line, requirement, row, expression=" + ".join(child.name for child in children),
        figures={child.name: child.value for child in children}, children=children,
    )  # fmt: skip


def _pair_node(grower: Grower, place: Place, spec: Pairing, number: int, match: list[float]) -> FormulaNode:
    pair = spec.pairs[number]
    first, second, charge = match
    reading = grower.parameter(pair.rate, "rate", place)
    matched = "when(first * second < 0, min(abs(first), abs(second) / ratio), 0)"
    table = isinstance(reading.figure, tuple)
    return FormulaNode(
        name=f"pair_{number + 1}", level=place.frame.level, row=" against ".join(pair.of), kind="pair",
        requirement=place.requirement, value=charge, unverified=reading.unverified, children=reading.children,
        expression=f"marginal(rate, {matched})" if table else f"{matched} * rate",
        figures={"first": first, "second": second, "ratio": pair.ratio, "rate": reading.figure},
    )  # fmt: skip


def either_node(grower: Grower, line: Line, requirement: str, row: int) -> FormulaNode | None:
    """Return an either-asset reserve's node: the worse of the two worths of every open order."""
    grower.evaluation.line(line.name, requirement)
    orders = [choice for choice in grower.evaluation.detail(line.name, requirement) if choice[0] == row]
    if not orders:
        return None
    children = tuple(
        FormulaNode(
            name="order", level="leg", row=grower.row_name("leg", leg), kind="order", requirement=requirement,
            value=min(base, quote), expression="min(base, quote)", figures={"base": base, "quote": quote},
        )
        for _, leg, base, quote in orders
    )  # fmt: skip
    figures = {"order": sum(child.value for child in children)}
    return _node(grower, line, requirement, row, expression="order", figures=figures, children=children)


def worst_side_node(grower: Grower, line: Line, requirement: str, row: int) -> FormulaNode | None:
    """Return a worst side's node: the other line as held, with all bids and with all asks filled."""
    spec: WorstSide = line.spec
    legs = grower.evaluation.resolved.legs
    sides: dict[str, Grower] = {"held": grower}
    if legs.bids.any() or legs.asks.any():
        sides |= {"bids": grower.side("bids", legs.bids), "asks": grower.side("asks", legs.asks)}
    grown = {name: side.line(spec.line, requirement, row) for name, side in sides.items()}
    if all(node is None for node in grown.values()):
        return None
    figures = {name: 0.0 if node is None else node.value for name, node in grown.items()}
    children = tuple(msgspec.structs.replace(node, name=name) for name, node in grown.items() if node is not None)
    best = max(figures.values())
    return _node(
        grower, line, requirement, row, figures=figures, children=children,
        expression="held" if len(sides) == 1 else f"max({', '.join(sides)})",
        inactive=tuple(name for name, figure in figures.items() if figure != best),
    )  # fmt: skip


def other_node(grower: Grower, line: Line, requirement: str, row: int) -> FormulaNode:
    """Return the node of a kind from outside: its value, as it cannot say how it came to it."""
    value = float(np.asarray(grower.evaluation.line(line.name, requirement))[row])
    return _node(grower, line, requirement, row, expression="result", figures={"result": value})


KIND_NODES: Mapping[str, Callable[[Grower, Line, str, int], FormulaNode | None]] = MappingProxyType(
    {
        "scan": scan_node,
        "max_loss": max_loss_node,
        "pairing": pairing_node,
        "either": either_node,
        "worst_side": worst_side_node,
    }
)
