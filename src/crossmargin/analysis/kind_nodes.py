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
from crossmargin.analysis.scan_nodes import leg_rows, worst_scenario_node
from crossmargin.analysis.trees import Place, rows_behind

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from crossmargin.analysis.trees import Figure, Grower
    from crossmargin.margin.kinds.pairing import Match, Matches
    from crossmargin.margin.kinds.scan import ScanDetail
    from crossmargin.margin.model import Line, MaxLoss, Pairing, Scan, WorstSide

_MEASURES: Final = {
    "worst": "max(0, -min(pnl))",
    "mean": "-mean(pnl)",
    "value_at_risk": "max(0, -quantile(pnl, confidence))",
    "expected_shortfall": "max(0, -tail_mean(pnl, confidence))",
    "row": "leg_row",
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
    summed = spec.measure == "row"
    pnl = detail.pnl[place.position]
    figures: dict[str, Figure] = {"leg_row": float(pnl.sum())} if summed else {"pnl": tuple(pnl.tolist())}
    children: tuple[FormulaNode, ...] = leg_rows(grower, line, detail, place) if summed else ()
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
    if not summed:
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
    matches: Matches = grower.evaluation.detail(line.name, requirement)
    spec: Pairing = line.spec
    if matches.frame.level != line.level:  # buckets are matched across their pool
        unit = int(grower.evaluation.unit_of_row(line.level)[row])
        place = Place(matches.frame, int(np.searchsorted(matches.frame.rows, unit)), requirement, line.parameters)
    own = grower.row_name(line.level, row) if place.frame.level != line.level else None
    pairs = tuple(
        _pair_node(grower, place, spec, (number, match), own)
        for number, match in enumerate(matches.pairs)
        if own is None or own in spec.pairs[number].of
    )
    return _node(
        grower, line, requirement, row, expression=" + ".join(node.name for node in pairs) or "0",
        figures={node.name: node.value for node in pairs},
        children=(*pairs, *_matched_lines(grower, spec, place)),
    )  # fmt: skip


def _matched_lines(grower: Grower, spec: Pairing, place: Place) -> tuple[FormulaNode, ...]:
    """Return the nodes of the lines that are matched, and of what their units stand for."""
    found = []
    for name in (spec.exposure, spec.worth):
        if name in grower.rulebook.lines:
            level = grower.rulebook.line(name).level
            rows = rows_behind(grower.evaluation, level, place.frame.level, place.row)
            found += [grower.line(name, place.requirement, behind) for behind in rows]
    return tuple(node for node in found if node is not None)


def _pair_node(grower: Grower, place: Place, spec: Pairing, match: tuple[int, Match], own: str | None) -> FormulaNode:
    """Return one pair's node; `own` is the bucket whose part alone is shown."""
    number, found = match
    pair = spec.pairs[number]
    reading = grower.parameter(pair.rate, "rate", place)
    figures: dict[str, Figure] = {name: float(column[place.position]) for name, column in found.figures.items()}
    worth = _worth(spec, None if own is None else pair.of.index(own))
    matched = _matched(spec, same=pair.of[0] == pair.of[1])
    charged = f"marginal(rate, {matched})" if isinstance(reading.figure, tuple) else f"{matched} * rate"
    parts = found.parts if own is None else (found.parts[pair.of.index(own)],)
    return FormulaNode(
        name=f"pair_{number + 1}", level=place.frame.level, row=" against ".join(pair.of), kind="pair",
        requirement=place.requirement, value=float(sum(part[place.position] for part in parts)),
        unverified=reading.unverified, children=reading.children, expression=f"{charged}{worth}",
        figures={**figures, "ratio": pair.ratio, "rate": reading.figure},
    )  # fmt: skip


def _matched(spec: Pairing, *, same: bool) -> str:
    """Return the expression of a pair's matched units."""
    if not spec.tiers:
        return "when(first * second < 0, min(abs(first), abs(second) / ratio), 0)"
    if same:
        return "min(first_long, first_short)"
    return "(min(first_long, second_short / ratio) + min(first_short, second_long / ratio))"


def _worth(spec: Pairing, leg: int | None) -> str:
    """Return the factor by which matched units are worth something: of both keys together, or of one."""
    if spec.worth is None:
        return ""
    return {None: " * (first_worth + ratio * second_worth)", 0: " * first_worth", 1: " * ratio * second_worth"}[leg]


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
